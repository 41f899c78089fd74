//! One call: two small machines side by side, what the people have said and whether there is a path. Here is what both
//! sides share; `caller` and `callee` hold what differs before somebody accepted.

use std::ops::ControlFlow;

use ahoy_protocol::control::{ControlMessage, Sending};
use ahoy_protocol::id::{Address, CallId, DeviceAddress, Username};
use ahoy_protocol::identity::PublicKey;
use ahoy_protocol::signal::{Close, CloseReason, Signal};
use ahoy_protocol::verification::Code;

pub(crate) use crate::call::callee::OpeningOffer;
use crate::call::callee::Preparation;
use crate::call::legs::Legs;
use crate::candidates::{LocalCandidates, RemoteCandidates};
use crate::config::Timers;
use crate::device::Device;
use crate::end::{EndReason, Failure, Side};
use crate::gate::{Consent, Gate, gate};
use crate::input::PathState;
use crate::negotiation::{Negotiation, Role};
use crate::output::{Event, Output, PeerCommand, Trust};
use crate::recovery::Recovery;
use crate::time::Time;
use crate::tried::Tried;
use crate::verification::Verification;
use crate::view::{CallView, PeopleView};

mod callee;
mod caller;
mod connection;
mod legs;
mod signals;
mod verifying;

/// A live call.
#[derive(Debug)]
pub(crate) struct Call {
    id: CallId,
    /// The other person.
    user: Username,
    timers: Timers,
    /// The caller's free-text name, fit to be shown.
    name: Option<String>,
    trust: Option<Trust>,
    /// The key that signed the other side's first description.
    key: Option<PublicKey>,
    people: People,
    /// What the local user wants to send.
    wanted: Sending,
    /// What the other side says that it sends.
    remote: Option<Sending>,
    /// What was last let through.
    gate: Gate,
    /// What was last told over the control channel of the own sending.
    told: Option<Sending>,
    peer_open: bool,
    path: PathState,
    control_open: bool,
    negotiation: Negotiation,
    recovery: Recovery,
    /// The own address of a path that was built before anybody accepted is gone, and there is no other path yet.
    is_address_gone: bool,
    local_candidates: LocalCandidates,
    tried: Tried,
    remote_candidates: RemoteCandidates,
    verification: Verification,
    /// What both people can read to each other, once it is known.
    code: Option<Code>,
}

/// What the people have said.
#[derive(Debug)]
enum People {
    /// The local user dialled, nobody accepted yet. No legs until the server said whom the offer reached.
    Dialling { legs: Option<Legs>, until: Time },
    /// The other user dialled at the same moment, and that call is awaited.
    GivingWay { until: Time },
    /// It rings here.
    Ringing { caller: DeviceAddress, until: Time, preparation: Preparation },
    /// The callee accepted; `other` is the device at the other end.
    Accepted { other: DeviceAddress, consent: Consent, standing: Standing },
}

/// How an accepted call stands.
#[derive(Debug)]
enum Standing {
    /// A path, or the other side's word, is awaited since somebody accepted.
    Awaited { since: Time },
    /// The call goes on.
    Up,
    /// The old path was given up for a new one, which is to come before anybody misses it.
    Restarting { until: Time },
    /// The path is gone and may come back.
    Lost { until: Time },
}

/// Why a call ends, and what the other side is told.
#[derive(Debug)]
pub(crate) struct Ending {
    reason: EndReason,
    close: Option<CloseReason>,
}

impl Ending {
    /// The other side knows, or cannot be told.
    fn silent(reason: EndReason) -> Self {
        Self { reason, close: None }
    }

    /// The other side is told.
    pub(crate) fn telling(reason: EndReason, close: CloseReason) -> Self {
        Self { reason, close: Some(close) }
    }
}

/// Whether the call goes on.
pub(crate) type Flow = ControlFlow<Ending>;

/// The call goes on.
const GOES_ON: Flow = ControlFlow::Continue(());

impl Call {
    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    pub(crate) fn user(&self) -> &Username {
        &self.user
    }

    /// Whether the local user has said to send the camera's picture; at first, what was dialled with.
    pub(crate) fn wants_video(&self) -> bool {
        self.wanted.video
    }

    /// Whether the other side's answer is known, perhaps before its user accepted.
    pub(crate) fn is_answered(&self) -> bool {
        self.negotiation.is_answered()
    }

    /// Whether the local user dialled and nobody has accepted.
    pub(crate) fn is_unaccepted_outgoing(&self) -> bool {
        matches!(self.people, People::Dialling { .. } | People::GivingWay { .. })
    }

    pub(crate) fn is_ringing_here(&self) -> bool {
        matches!(self.people, People::Ringing { .. })
    }

    pub(crate) fn has_path(&self) -> bool {
        self.path.kind().is_some()
    }

    /// Whether this device is the one at the other end.
    pub(crate) fn is_with(&self, device: &DeviceAddress) -> bool {
        match &self.people {
            People::Dialling { .. } | People::GivingWay { .. } => false,
            People::Ringing { caller: other, .. } | People::Accepted { other, .. } => other == device,
        }
    }

    pub(crate) fn hang_up(&self) -> Ending {
        match self.people {
            People::Dialling { .. } => Ending::telling(EndReason::Cancelled(Side::Local), CloseReason::Cancelled),
            People::GivingWay { .. } => Ending::silent(EndReason::Cancelled(Side::Local)),
            People::Ringing { .. } => Ending::telling(EndReason::Declined(Side::Local), CloseReason::Declined),
            People::Accepted { .. } => Ending::telling(EndReason::HungUp(Side::Local), CloseReason::Hangup),
        }
    }

    pub(crate) fn set_sending(&mut self, device: &mut Device, sending: Sending) {
        self.wanted = sending;
        self.refresh(device);
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.patience(), self.negotiation.deadline(), self.recovery.deadline()].into_iter().flatten().min()
    }

    /// Acts on deadlines that have come.
    pub(crate) fn handle_deadline(&mut self, device: &mut Device) -> Flow {
        self.negotiation.handle_deadline(device.now);
        self.run_steps(device)?;
        self.recover(device)?;
        if self.patience().is_none_or(|until| until > device.now) {
            return GOES_ON;
        }
        ControlFlow::Break(match &self.people {
            People::Accepted { standing: Standing::Restarting { .. }, .. } => {
                self.path_is_lost(device);
                return self.recover(device);
            }
            // Nobody was asked.
            People::Dialling { .. } if self.is_yet_to_begin() => Ending::silent(EndReason::NotSignedIn),
            People::Dialling { .. } => Ending::telling(EndReason::NoAnswer(Side::Remote), CloseReason::Cancelled),
            People::GivingWay { .. } => Ending::silent(EndReason::CallingYouElsewhere),
            People::Ringing { .. } => Ending::telling(EndReason::NoAnswer(Side::Local), CloseReason::Timeout),
            People::Accepted { standing: Standing::Awaited { .. }, .. } => self.no_path(),
            People::Accepted { standing: Standing::Up | Standing::Lost { .. }, .. } => {
                Ending::telling(EndReason::Failed(Failure::PathLost), CloseReason::Failed)
            }
        })
    }

    /// Ends the call: tells the other side and the user, shuts the gate, closes the peer connection.
    pub(crate) fn end(mut self, device: &mut Device, ending: Ending) {
        self.leave(device, ending.close);
        device.event(Event::Ended { call: self.id, reason: ending.reason });
    }

    /// As [`Self::end`], for a dialled call that goes on as the other user's: the user is told of that call.
    pub(crate) fn give_way(mut self, device: &mut Device, to: CallId) {
        let close = match self.people {
            // The own call's end was told when it began to give way.
            People::GivingWay { .. } => None,
            People::Dialling { .. } | People::Ringing { .. } | People::Accepted { .. } => Some(CloseReason::Glare),
        };
        self.leave(device, close);
        device.event(Event::GaveWay { dialled: self.id, to });
    }

    pub(crate) fn view(&self) -> CallView {
        let people = match &self.people {
            People::Dialling { legs: Some(legs), .. } if legs.any_rings() => PeopleView::RingingThere,
            People::Dialling { .. } => PeopleView::Dialling,
            People::GivingWay { .. } => PeopleView::GivingWay,
            People::Ringing { .. } => PeopleView::RingingHere,
            People::Accepted { .. } => PeopleView::Accepted,
        };
        CallView {
            call: self.id,
            user: self.user.clone(),
            name: self.name.clone(),
            people,
            path: self.path,
            gate: self.gate,
            wanted: self.wanted,
            remote: self.remote,
            trust: self.trust,
            code: self.code,
        }
    }

    fn new(id: CallId, user: Username, role: Role, people: People, video: bool, timers: Timers) -> Self {
        Self {
            id,
            user,
            timers,
            name: None,
            trust: None,
            key: None,
            people,
            wanted: Sending { audio: true, video, screen: false },
            remote: None,
            gate: Gate::SHUT,
            told: None,
            peer_open: false,
            path: PathState::New,
            control_open: false,
            negotiation: Negotiation::new(role, timers),
            recovery: Recovery::new(role, timers),
            is_address_gone: false,
            local_candidates: LocalCandidates::default(),
            tried: Tried::default(),
            remote_candidates: RemoteCandidates::default(),
            verification: Verification::new(role),
            code: None,
        }
    }

    /// How long what the people wait for may take; `None` while the call goes on.
    fn patience(&self) -> Option<Time> {
        match &self.people {
            People::Dialling { until, .. } | People::GivingWay { until } | People::Ringing { until, .. } => {
                Some(*until)
            }
            People::Accepted { standing: Standing::Awaited { since }, .. } => {
                let is_unaided = self.misses_path() && self.tried.is_unaided();
                Some(*since + if is_unaided { self.timers.unaided } else { self.timers.path })
            }
            People::Accepted { standing: Standing::Restarting { until } | Standing::Lost { until }, .. } => {
                Some(*until)
            }
            People::Accepted { standing: Standing::Up, .. } => None,
        }
    }

    /// Whom a message about the call goes to: every device of the callee, until one accepted.
    fn other(&self) -> Address {
        match &self.people {
            People::Dialling { .. } | People::GivingWay { .. } => Address::User(self.user.clone()),
            People::Ringing { caller: other, .. } | People::Accepted { other, .. } => Address::Device(other.clone()),
        }
    }

    /// Sends to the other side, over the control channel too where there is one.
    fn send(&self, device: &mut Device, signal: Signal) {
        if self.control_open {
            let command = PeerCommand::SendControl(ControlMessage::Signal(signal.clone()));
            device.peer(self.id, command);
        }
        device.send(self.other(), signal);
    }

    /// What the path machine and the people together allow; says what has changed.
    fn refresh(&mut self, device: &mut Device) {
        let mut path = self.path;
        let consent = match &mut self.people {
            People::Dialling { .. } | People::GivingWay { .. } | People::Ringing { .. } => Consent::Missing,
            People::Accepted { consent, standing, .. } => {
                let consent = *consent;
                match (&standing, path.kind()) {
                    (Standing::Awaited { .. } | Standing::Lost { .. }, Some(path)) if consent == Consent::Given => {
                        *standing = Standing::Up;
                        device.event(Event::Connected { call: self.id, path });
                    }
                    // It was not missed yet.
                    (Standing::Restarting { .. }, Some(_)) => *standing = Standing::Up,
                    (Standing::Up, None) if path == PathState::Connecting => {
                        *standing = Standing::Restarting { until: device.now + device.config.timers.stall };
                    }
                    (Standing::Restarting { .. }, None) if path == PathState::Connecting => {}
                    (Standing::Up | Standing::Restarting { .. }, None) => self.path_is_lost(device),
                    (Standing::Awaited { .. }, None) if path == PathState::Lost => self.recovery.path_lost(device.now),
                    (Standing::Awaited { .. } | Standing::Lost { .. }, Some(_) | None) | (Standing::Up, Some(_)) => {}
                }
                if path == PathState::Connecting && !self.is_awaited() {
                    // There was a path, and there is another in a moment.
                    path = PathState::Lost;
                }
                consent
            }
        };
        self.set_gate(device, gate(consent, path, self.wanted));
        if self.control_open && consent == Consent::Given && self.told != Some(self.gate.send) {
            self.told = Some(self.gate.send);
            device.peer(self.id, PeerCommand::SendControl(ControlMessage::Media(self.gate.send)));
        }
    }

    /// Media have stalled: the user is told, and a new path is looked for.
    fn path_is_lost(&mut self, device: &mut Device) {
        if let People::Accepted { standing, .. } = &mut self.people {
            *standing = Standing::Lost { until: device.now + device.config.timers.lost };
            self.recovery.path_lost(device.now);
            device.event(Event::PathLost { call: self.id });
        }
    }

    /// Whether an accepted call has never had a path.
    fn is_awaited(&self) -> bool {
        matches!(self.people, People::Accepted { standing: Standing::Awaited { .. }, .. })
    }

    fn set_gate(&mut self, device: &mut Device, gate: Gate) {
        if self.gate != gate {
            self.gate = gate;
            device.outputs.push_back(Output::Media { call: self.id, gate });
        }
    }

    /// Whether all has been said, and only a path is missing.
    fn misses_path(&self) -> bool {
        self.negotiation.is_settled() && !self.has_path()
    }

    /// The other side gave a call up that has waited long for its first path: the same is missed here, and what is known of
    /// it here says more than that it failed there.
    fn gave_up_path(&self, now: Time) -> Option<EndReason> {
        let People::Accepted { standing: Standing::Awaited { since }, .. } = &self.people else { return None };
        let is_late = now.since(*since) >= self.timers.unaided / 2;
        (is_late && self.misses_path()).then(|| EndReason::Failed(self.missing()))
    }

    /// An accepted call that will not come about any more.
    fn no_path(&self) -> Ending {
        Ending::telling(EndReason::Failed(self.missing()), CloseReason::Failed)
    }

    /// What an accepted call without a path lacks.
    fn missing(&self) -> Failure {
        if self.misses_path() {
            Failure::NoPath {
                local_candidates: self.local_candidates.sent_count(),
                remote_candidates: self.remote_candidates.handed_on(),
                tried: self.tried.clone(),
            }
        } else {
            Failure::NoConfirmation
        }
    }

    fn leave(&mut self, device: &mut Device, close: Option<CloseReason>) {
        // An offer that has not left yet rings nowhere.
        let is_known_there = self.negotiation.role() == Role::Callee || self.negotiation.has_offered();
        if let Some(reason) = close
            && is_known_there
        {
            self.send(device, Signal::Close(Close { call: self.id, reason, by: None }));
        }
        self.set_gate(device, Gate::SHUT);
        self.close_peer(device);
        let now = device.now;
        device.ended.insert(now, self.id);
    }

    fn open_peer(&mut self, device: &mut Device) {
        self.peer_open = true;
        device.peer(self.id, PeerCommand::Open);
    }

    fn close_peer(&mut self, device: &mut Device) {
        if self.peer_open {
            self.peer_open = false;
            self.control_open = false;
            device.peer(self.id, PeerCommand::Close);
        }
    }
}
