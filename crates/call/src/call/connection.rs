//! The path machine of a call: what the peer connection reports, what the negotiation asks for, and candidates.

use std::ops::ControlFlow;

use ahoy_protocol::control::ControlMessage;
use ahoy_protocol::description::{DescriptionKind, Proof};
use ahoy_protocol::id::{Address, DeviceAddress};
use ahoy_protocol::signal::{Candidate, CandidateMessage, CloseReason, Restart, Signal};

use crate::call::callee::{HeldAnswer, has_application};
use crate::call::{Call, Ending, Flow, GOES_ON, People, Standing};
use crate::candidates::Verdict;
use crate::device::Device;
use crate::end::{EndReason, Failure};
use crate::gate::Consent;
use crate::input::{PathKind, PathState, PeerInput};
use crate::negotiation::{Role, Step};
use crate::output::{Event, Output, PeerCommand, UnsignedDescription, Via};
use crate::recovery::Act;

impl Call {
    /// The peer connection reports something.
    pub(crate) fn handle_peer(&mut self, device: &mut Device, input: PeerInput) -> Flow {
        if !self.peer_open {
            device.counters.stale += 1;
            return GOES_ON;
        }
        match input {
            PeerInput::Made { serial, result } => {
                if let Ok(sdp) = &result {
                    self.verification.made(sdp);
                }
                let is_awaited = self.negotiation.handle_made(device.now, serial, result);
                self.work_done(device, is_awaited)
            }
            PeerInput::Applied { serial, result } => {
                let is_awaited = self.negotiation.handle_applied(device.now, serial, result);
                self.work_done(device, is_awaited)
            }
            PeerInput::Candidate(candidate) => {
                if let Some(candidate) = self.local_candidates.take_in(candidate) {
                    self.send_candidate(device, candidate);
                }
                GOES_ON
            }
            PeerInput::Path(path) => self.path_changed(device, path),
            PeerInput::AddressGone => self.address_gone(device),
            PeerInput::Tried(tried) => {
                self.tried = tried;
                GOES_ON
            }
            PeerInput::NegotiationNeeded => {
                self.negotiation.want_offer(device.now, false);
                self.run_steps(device)
            }
            PeerInput::ControlOpened => {
                self.control_open = true;
                self.told = None;
                match self.people {
                    People::Accepted { .. } => self.confirm(device),
                    People::Dialling { .. } | People::GivingWay { .. } | People::Ringing { .. } => {}
                }
                self.refresh(device);
                self.verify(device);
                GOES_ON
            }
            PeerInput::Control(message) => self.handle_control(device, message),
            PeerInput::ControlClosed => {
                self.control_open = false;
                GOES_ON
            }
        }
    }

    /// The local user, or the network's change, wants a new path. Only the caller makes offers that restart ICE.
    pub(crate) fn restart_ice(&mut self, device: &mut Device) -> Flow {
        match (self.negotiation.role(), self.negotiation.restart_n()) {
            (Role::Caller, _) => {
                self.recovery.restart_begun(device.now);
                if let Some((n, sdp)) = self.negotiation.unanswered_restart() {
                    // Taking it back would leave both without a path: it stands until it is answered or the call ends.
                    self.send_offer(device, n, sdp);
                    return GOES_ON;
                }
                self.negotiation.want_offer(device.now, true);
                self.run_steps(device)
            }
            (Role::Callee, Some(n)) if matches!(self.people, People::Accepted { .. }) => {
                self.recovery.restart_begun(device.now);
                self.send(device, Signal::Restart(Restart { call: self.id, n }));
                GOES_ON
            }
            (Role::Callee, Some(_) | None) => {
                device.counters.out_of_place += 1;
                GOES_ON
            }
        }
    }

    /// The server was heard from.
    pub(crate) fn server_heard(&mut self, device: &Device, with_servers: bool) {
        self.recovery.server_heard(device.now, with_servers);
    }

    /// The way to the server is gone.
    pub(crate) fn server_lost(&mut self) {
        self.recovery.server_lost();
    }

    /// Fresh ICE servers came. A relay goes on only for those who are known to it by the newest; where a new path is looked
    /// for, that one takes them.
    pub(crate) fn take_ice_servers(&mut self, device: &mut Device) -> Flow {
        self.recover(device)?;
        if self.path == PathState::Connected(PathKind::Relay) && !self.is_awaited() && self.recovery.is_well() {
            self.negotiation.want_offer(device.now, false);
        }
        self.run_steps(device)
    }

    /// Looks for a new path where one is due.
    pub(super) fn recover(&mut self, device: &mut Device) -> Flow {
        while let Some(act) = self.recovery.due(device.now) {
            match act {
                Act::AskServer => device.ask_ice_servers(),
                Act::Restart => self.restart_ice(device)?,
            }
        }
        GOES_ON
    }

    fn address_gone(&mut self, device: &mut Device) -> Flow {
        match &self.people {
            People::Accepted { .. } => {
                self.recovery.address_gone(device.now);
                self.recover(device)
            }
            // No path is agreed on anew before somebody accepted.
            People::Dialling { .. } | People::GivingWay { .. } | People::Ringing { .. } => {
                self.is_address_gone = true;
                GOES_ON
            }
        }
    }

    /// Does what the negotiation asks for.
    pub(super) fn run_steps(&mut self, device: &mut Device) -> Flow {
        while let Some(step) = self.negotiation.next_step() {
            match step {
                Step::Peer(command) => device.peer(self.id, command),
                Step::SendOffer { n, sdp } => self.send_offer(device, n, sdp),
                Step::SendAnswer { n, sdp, offer } => self.send_or_hold_answer(device, HeldAnswer { n, sdp, offer }),
                Step::RemotePending { sdp } => {
                    for candidate in self.remote_candidates.description_pending(&sdp) {
                        device.peer(self.id, PeerCommand::AddCandidate(candidate));
                    }
                }
                Step::RemoteApplied => self.remote_candidates.description_applied(),
                Step::RemoteFailed => self.remote_candidates.description_failed(),
                Step::Fail(failure) => {
                    return ControlFlow::Break(Ending::telling(EndReason::Failed(failure), CloseReason::Failed));
                }
            }
        }
        GOES_ON
    }

    /// A candidate of the other side's.
    pub(super) fn remote_candidate(&mut self, device: &mut Device, candidate: Candidate) -> Flow {
        match self.remote_candidates.take_in(candidate) {
            Verdict::HandOn(candidate) => device.peer(self.id, PeerCommand::AddCandidate(candidate)),
            Verdict::Waits => {}
            Verdict::Seen => device.counters.passed += 1,
            Verdict::Refused => device.counters.refused += 1,
        }
        GOES_ON
    }

    /// Who vouches for the other side is known now.
    pub(super) fn vouched(&mut self, device: &mut Device, proof: Proof) {
        self.trust = Some(device.trust(&self.user, proof));
        if let Proof::Key(key) = proof {
            self.key = Some(key);
            device.pin(&self.user, key);
        }
    }

    /// Sends an answer, signed for what the local user has said by now.
    pub(super) fn send_answer(&mut self, device: &mut Device, answer: HeldAnswer) {
        let HeldAnswer { n, sdp, offer } = answer;
        let kind = match self.people {
            People::Accepted { .. } => DescriptionKind::Answer,
            People::Dialling { .. } | People::GivingWay { .. } | People::Ringing { .. } => DescriptionKind::Early,
        };
        let description = UnsignedDescription { offer: Some(offer), ..self.description(device, kind, n, sdp) };
        self.send_description(device, description);
    }

    fn work_done(&mut self, device: &mut Device, is_awaited: bool) -> Flow {
        if !is_awaited {
            device.counters.stale += 1;
            return GOES_ON;
        }
        self.run_steps(device)
    }

    fn path_changed(&mut self, device: &mut Device, path: PathState) -> Flow {
        self.path = path;
        if path.kind().is_some() {
            self.recovery.path_up(device.now);
            self.is_address_gone = false;
        }
        if let (PathState::Failed, People::Accepted { standing, .. }) = (path, &self.people) {
            return ControlFlow::Break(match standing {
                Standing::Awaited { .. } => self.no_path(),
                Standing::Up | Standing::Restarting { .. } | Standing::Lost { .. } => {
                    Ending::telling(EndReason::Failed(Failure::PathLost), CloseReason::Failed)
                }
            });
        }
        self.refresh(device);
        self.recover(device)
    }

    fn handle_control(&mut self, device: &mut Device, message: ControlMessage) -> Flow {
        let Some(from) = self.control_peer() else {
            device.counters.out_of_place += 1;
            return GOES_ON;
        };
        match message {
            ControlMessage::Signal(signal) if signal.call() == self.id => self.handle_signal(device, &from, signal),
            ControlMessage::Accepted(accepted) if accepted.call == self.id => match &mut self.people {
                People::Dialling { .. } => self.won(device, from, Some(accepted.video), Consent::Given),
                People::Accepted { consent, .. } if self.negotiation.role() == Role::Caller => {
                    *consent = Consent::Given;
                    self.refresh(device);
                    GOES_ON
                }
                People::GivingWay { .. } | People::Ringing { .. } | People::Accepted { .. } => {
                    device.counters.out_of_place += 1;
                    GOES_ON
                }
            },
            ControlMessage::Media(sending) if matches!(self.people, People::Accepted { .. }) => {
                if self.remote != Some(sending) {
                    self.remote = Some(sending);
                    device.event(Event::RemoteSending { call: self.id, sending });
                }
                GOES_ON
            }
            ControlMessage::Verify(word) => self.handle_verify(device, word),
            // How large pictures should be is no rule of a call: who encodes them takes that message before it comes here.
            ControlMessage::Signal(_)
            | ControlMessage::Accepted(_)
            | ControlMessage::Media(_)
            | ControlMessage::Shown(_) => {
                device.counters.out_of_place += 1;
                GOES_ON
            }
        }
    }

    /// Who is at the other end of the control channel.
    fn control_peer(&self) -> Option<DeviceAddress> {
        match &self.people {
            // Before somebody accepted only the answer of an only device is applied.
            People::Dialling { legs, .. } => {
                let session = legs.as_ref()?.only()?;
                Some(DeviceAddress { username: self.user.clone(), session })
            }
            People::GivingWay { .. } => None,
            People::Ringing { caller: other, .. } | People::Accepted { other, .. } => Some(other.clone()),
        }
    }

    fn send_offer(&mut self, device: &mut Device, n: u32, sdp: String) {
        let mut description = self.description(device, DescriptionKind::Offer, n, sdp);
        if matches!(self.people, People::Dialling { .. }) {
            description.video = Some(self.wanted.video);
            description.name = device.config.name.clone();
        }
        self.send_description(device, description);
    }

    fn send_or_hold_answer(&mut self, device: &mut Device, answer: HeldAnswer) {
        match self.people {
            People::Ringing { .. } if !has_application(&answer.sdp) => self.hold_answer(answer),
            People::Ringing { .. } | People::Accepted { .. } => self.send_answer(device, answer),
            People::Dialling { .. } | People::GivingWay { .. } => {}
        }
    }

    fn description(&self, device: &Device, kind: DescriptionKind, n: u32, sdp: String) -> UnsignedDescription {
        UnsignedDescription {
            call: self.id,
            kind,
            n,
            sdp,
            video: None,
            name: None,
            receiver: self.user.clone(),
            receiver_key: device.contacts.key(&self.user).or(self.key),
            offer: None,
        }
    }

    fn send_description(&mut self, device: &mut Device, description: UnsignedDescription) {
        if self.control_open {
            let description = description.clone();
            device.outputs.push_back(Output::SendDescription { via: Via::Control, description });
        }
        let sdp = description.sdp.clone();
        device.send_description(self.other(), description);
        for candidate in self.local_candidates.description_sent(&sdp) {
            self.send_candidate(device, candidate);
        }
    }

    /// The caller's candidates are for every device until an answer was applied (section 5, "candidate").
    fn send_candidate(&self, device: &mut Device, candidate: Candidate) {
        let signal = Signal::Candidate(CandidateMessage { call: self.id, candidate });
        match self.negotiation.role() {
            Role::Caller if !self.negotiation.is_settled() => {
                device.send(Address::User(self.user.clone()), signal);
            }
            Role::Caller | Role::Callee => self.send(device, signal),
        }
    }
}
