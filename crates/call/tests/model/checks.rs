//! What must hold at every step and at the end, whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ahoy_call::{
    Command, EndReason, Event, Failure, Gate, LinkView, Output, PeerCommand, PeopleView, Time, Trust,
    UnsignedDescription,
};
use ahoy_protocol::description::DescriptionKind;
use ahoy_protocol::id::{CallId, Username};
use ahoy_protocol::message::ClientMessage;
use ahoy_protocol::signal::Signal;
use ahoy_protocol::verification::Code;

use crate::world::{Weather, World};

/// No call that is not going on is older: it rings for 65 s at most, is accepted, and waits 20 s for a path.
const PATIENCE: Duration = Duration::from_secs(90);
/// In calm histories a close is there long before.
const GHOST: Duration = Duration::from_secs(5);

/// What one device has been told and has done, in one life of its program.
#[derive(Debug, Default)]
pub(crate) struct Record {
    calls: BTreeMap<CallId, CallRecord>,
    live: Option<CallId>,
    rings: Vec<(Time, Username)>,
}

impl Record {
    /// Whether the person at this device dialled that call.
    pub(crate) fn has_dialled(&self, call: CallId) -> bool {
        self.calls.get(&call).is_some_and(|record| record.dialled)
    }
}

#[derive(Debug, Default)]
struct CallRecord {
    dialled: bool,
    trust: Option<Trust>,
    /// The person at this device said yes.
    accepted: bool,
    /// Since when it does not go on.
    since: Time,
    up: bool,
    over: bool,
    next_n: u32,
    /// The descriptions that left.
    fragments: BTreeSet<String>,
    /// Since when it rings for nobody.
    ghost_since: Option<Time>,
}

/// What the devices of a call show their users to compare.
#[derive(Debug, Default)]
pub(crate) struct Codes(BTreeMap<CallId, Vec<Code>>);

/// How often things happened in all histories, so that a model that does nothing is noticed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    dialled: u64,
    rang: u64,
    connected: u64,
    lost_paths: u64,
    gave_way: u64,
    early_answers: u64,
    codes: u64,
    pub(crate) offers: u64,
    pub(crate) rollbacks: u64,
    pub(crate) candidates: u64,
    pub(crate) came_back: u64,
    pub(crate) signed_in_anew: u64,
    pub(crate) said_again: u64,
    pub(crate) copies: u64,
    pub(crate) server_restarts: u64,
    ended: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.dialled += other.dialled;
        self.rang += other.rang;
        self.connected += other.connected;
        self.lost_paths += other.lost_paths;
        self.gave_way += other.gave_way;
        self.early_answers += other.early_answers;
        self.codes += other.codes;
        self.offers += other.offers;
        self.rollbacks += other.rollbacks;
        self.candidates += other.candidates;
        self.came_back += other.came_back;
        self.signed_in_anew += other.signed_in_anew;
        self.said_again += other.said_again;
        self.copies += other.copies;
        self.server_restarts += other.server_restarts;
        for (reason, count) in &other.ended {
            *self.ended.entry(reason).or_default() += count;
        }
    }

    pub(crate) fn check_that_nothing_was_left_out(&self, histories: u64) {
        let rare = histories / 1_000;
        let counts = [self.lost_paths, self.gave_way, self.early_answers, self.rollbacks, self.said_again, self.codes];
        assert!(counts.into_iter().all(|count| count >= rare), "{self:?}");
        let common = [self.dialled, self.rang, self.connected, self.offers, self.candidates];
        assert!(common.into_iter().all(|count| count >= histories / 4), "{self:?}");
        let away = [self.came_back, self.signed_in_anew, self.copies, self.server_restarts];
        assert!(away.into_iter().all(|count| count >= histories / 40), "{self:?}");
        let reasons = [
            "hangup",
            "declined",
            "cancelled",
            "busy",
            "timeout",
            "offline",
            "answered_elsewhere",
            "declined_elsewhere",
        ];
        for reason in reasons {
            assert!(self.ended.get(reason).is_some_and(|count| *count >= rare), "{reason}: {self:?}");
        }
    }
}

impl World {
    /// What a person is about to do, as far as later checks ask for it.
    pub(crate) fn check_command(&mut self, device: usize, command: &Command) {
        if let Command::Accept { call, .. } = command
            && self.devices[device].view().call.as_ref().is_some_and(|view| view.call == *call)
            && let Some(record) = self.devices[device].record.calls.get_mut(call)
        {
            record.accepted = true;
        }
    }

    pub(crate) fn check_output(&mut self, device: usize, output: &Output) {
        match output {
            Output::Event(event) => self.check_event(device, event),
            Output::Media { call, gate } => self.check_gate(device, *call, *gate),
            Output::Peer { call, command } => {
                let is_close = matches!(command, PeerCommand::Close);
                if !is_close && !self.may_speak_freely(device, *call) {
                    self.break_rule("the transport hears of a stranger's call before the user accepted");
                }
                if matches!(command, PeerCommand::Open) {
                    self.check_has_servers(device, *call);
                }
                self.check_not_over(device, *call);
            }
            Output::SendDescription { description, .. } => self.check_description(device, description),
            Output::Send(ClientMessage::Relay(relay)) => self.check_signal(device, &relay.signal),
            Output::Send(_)
            | Output::OpenLink { .. }
            | Output::CloseLink { .. }
            | Output::DropLink { .. }
            | Output::Login { .. } => {}
        }
    }

    /// What must hold after every input.
    pub(crate) fn check_device(&mut self, device: usize) {
        let view = self.devices[device].view().call.clone();
        let record = &self.devices[device].record;
        if view.as_ref().map(|call| call.call) != record.live {
            self.break_rule("what the screen shows is not what was told");
            return;
        }
        if let Some(call) = record.live.and_then(|live| record.calls.get(&live))
            && !call.up
            && self.now.since(call.since) > PATIENCE
        {
            self.break_rule("a call is neither going on nor over");
        }
        if self.weather == Weather::Calm {
            self.check_ghosts();
        }
    }

    /// What must hold once everything has come to rest.
    pub(crate) fn check_agreement(&mut self) {
        for index in 0..self.devices.len() {
            let Some(call) = self.devices[index].view().call.clone() else {
                if !self.devices[index].peers.is_empty() {
                    self.break_rule("a peer connection outlives its call");
                }
                continue;
            };
            let is_up = self.devices[index].record.calls.get(&call.call).is_some_and(|record| record.up);
            let partner = self.devices[index].peers.get(&call.call).and_then(|peer| peer.partner);
            let there = partner.and_then(|other| self.devices[other].view().call.as_ref());
            let agrees = there.is_some_and(|there| there.call == call.call && there.people == PeopleView::Accepted);
            let in_it =
                self.devices.iter().filter(|other| other.view().call.as_ref().is_some_and(|c| c.call == call.call));
            if call.people != PeopleView::Accepted || !is_up || !agrees || in_it.count() != 2 {
                self.break_rule("at rest, the two sides do not agree about a call");
            }
        }
    }

    /// Both people see the same code, whatever the network did.
    fn check_code(&mut self, call: CallId, code: Code) {
        let shown = self.codes.0.entry(call).or_default();
        shown.push(code);
        let (agree, count) = (shown.iter().all(|other| *other == code), shown.len());
        if !agree || count > 2 {
            self.break_rule("the verification codes of a call differ, or one device made two");
        }
        if count == 2 {
            self.tally.codes += 1;
        }
    }

    fn check_event(&mut self, device: usize, event: &Event) {
        match event {
            Event::Dialling { call, .. } => {
                self.tally.dialled += 1;
                self.begin(device, *call, CallRecord { dialled: true, ..CallRecord::default() });
            }
            Event::Incoming { call, from, trust, .. } => {
                self.tally.rang += 1;
                self.check_ring_limit(device, &from.username);
                self.begin(device, *call, CallRecord { trust: Some(*trust), ..CallRecord::default() });
            }
            Event::GaveWay { dialled, to } => {
                self.tally.gave_way += 1;
                self.gave_way(device, *dialled, *to);
            }
            Event::Connected { call, .. } => {
                self.tally.connected += 1;
                self.set_up(device, *call, true);
            }
            Event::PathLost { call } => {
                self.tally.lost_paths += 1;
                self.set_up(device, *call, false);
            }
            Event::Accepted { call, .. } => {
                let now = self.now;
                self.with_record(device, *call, |record| record.since = now);
                if !self.devices[device].record.has_dialled(*call) {
                    // Who is accepted may ring again.
                    let caller = &self.users[1 - self.devices[device].user].name;
                    self.devices[device].record.rings.retain(|(_, earlier)| earlier != caller);
                }
            }
            Event::Ended { call, reason } => self.ended(device, *call, reason),
            Event::Relayed { call, .. } | Event::Ringing { call, .. } | Event::RemoteSending { call, .. } => {
                self.check_not_over(device, *call);
            }
            Event::SignedIn { .. }
            | Event::IceServers(_)
            | Event::SignInFailed { .. }
            | Event::LinkLost
            | Event::SignedInElsewhere
            | Event::Presence { .. }
            | Event::Missed { .. }
            | Event::MissedWhileAway(_)
            | Event::Refused { .. }
            | Event::KeyChanged { .. }
            | Event::Pin { .. } => {}
            Event::Code { call, code, .. } => self.check_code(*call, *code),
        }
    }

    fn begin(&mut self, device: usize, call: CallId, record: CallRecord) {
        let now = self.now;
        let all = &mut self.devices[device].record;
        let is_only = all.live.replace(call).is_none();
        let is_new = all.calls.insert(call, CallRecord { since: now, ..record }).is_none();
        if !is_only {
            self.break_rule("two calls at once on one device");
        }
        if !is_new {
            self.break_rule("a call begins twice on one device");
        }
    }

    /// The dialled call goes on as another, which the person therefore accepts.
    fn gave_way(&mut self, device: usize, dialled: CallId, to: CallId) {
        let now = self.now;
        let record = &mut self.devices[device].record;
        if record.live == Some(dialled) {
            record.live = Some(to);
            if let Some(old) = record.calls.get_mut(&dialled) {
                old.over = true;
            }
        }
        let call = record.calls.entry(to).or_default();
        call.accepted = true;
        call.since = now;
        let (is_live, is_over) = (record.live == Some(to), call.over);
        if !is_live || is_over {
            self.break_rule("a dialled call goes on as one that is not there");
        }
    }

    fn ended(&mut self, device: usize, call: CallId, reason: &EndReason) {
        *self.tally.ended.entry(reason.code()).or_default() += 1;
        self.note(&format!("{reason}"));
        let is_not_begun = self.devices[device].record.live != Some(call);
        if is_not_begun && matches!(reason, EndReason::AlreadyInCall | EndReason::NotSignedIn | EndReason::Yourself) {
            return;
        }
        self.check_not_over(device, call);
        let record = &mut self.devices[device].record;
        if record.live.take() != Some(call) {
            self.break_rule("a call ends that was not there");
        }
        self.with_record(device, call, |record| (record.over, record.up) = (true, false));
        self.check_reason(device, call, reason);
    }

    /// Some reasons are true only if something else is.
    fn check_reason(&mut self, device: usize, call: CallId, reason: &EndReason) {
        let user = self.devices[device].user;
        let mut siblings =
            self.devices.iter().enumerate().filter(|(other, state)| *other != device && state.user == user);
        let accepted_there = siblings.any(|(_, sibling)| {
            sibling.life > 0 || sibling.record.calls.get(&call).is_some_and(|record| record.accepted)
        });
        let accepted_here = self.devices[device].record.calls.get(&call).is_some_and(|record| record.accepted);
        let single = self.devices.len() == 2;
        let calm = self.weather == Weather::Calm;
        match reason {
            EndReason::AnsweredElsewhere if self.weather != Weather::Garbage && !accepted_there => {
                self.break_rule("answered elsewhere, but nobody answered there");
            }
            EndReason::CallingYouElsewhere | EndReason::Failed(_) if calm && single => {
                self.break_rule("with one device each and nothing broken, this cannot be");
            }
            EndReason::Glare if calm && single && accepted_here => {
                self.break_rule("each of the two gave way to the other");
            }
            EndReason::Failed(
                Failure::NoPath { .. }
                | Failure::NoConfirmation
                | Failure::PathLost
                | Failure::Transport(_)
                | Failure::TransportSilent,
            )
            | EndReason::NotProven(_)
            | EndReason::CodeBroken
            | EndReason::CodesDiffer
            | EndReason::UnknownUser
            | EndReason::Refused { .. }
                if calm =>
            {
                self.break_rule("nothing broke, but the call failed");
            }
            _ => {}
        }
    }

    fn check_gate(&mut self, device: usize, call: CallId, gate: Gate) {
        if gate == Gate::SHUT {
            return;
        }
        self.check_not_over(device, call);
        let record = self.devices[device].record.calls.get(&call);
        let is_caller = record.is_some_and(|record| record.dialled);
        let accepted_here = record.is_some_and(|record| record.accepted);
        let user = self.devices[device].user;
        let callees = self.devices.iter().filter(|other| other.user != user);
        // A device that began anew has forgotten what its user said.
        let accepted_there = callees
            .into_iter()
            .any(|other| other.life > 0 || other.record.calls.get(&call).is_some_and(|record| record.accepted));
        let sends = gate.send.audio || gate.send.video || gate.send.screen;
        let callee_is_guest = self.users[1 - user].key.is_none();
        // Forged words: a guest's are taken, and anybody's may open the ears.
        let may_be_forged = self.weather == Weather::Garbage && (callee_is_guest || !sends);
        let is_allowed = if is_caller { accepted_there || may_be_forged } else { accepted_here };
        if !is_allowed {
            self.break_rule("media before the callee accepted");
        }
        if self.devices[device].peers.get(&call).is_none_or(|peer| peer.partner.is_none()) {
            self.break_rule("media without a path");
        }
    }

    fn check_description(&mut self, device: usize, description: &UnsignedDescription) {
        let call = description.call;
        if !self.may_speak_freely(device, call) {
            self.break_rule("a description leaves for a stranger before the user accepted");
        }
        let Some(record) = self.devices[device].record.calls.get_mut(&call) else { return };
        let mut broken = None;
        match description.kind {
            DescriptionKind::Offer if description.n == record.next_n => record.next_n += 1,
            DescriptionKind::Offer if description.n < record.next_n => {}
            DescriptionKind::Offer => broken = Some("offers are not counted from 0 up"),
            DescriptionKind::Answer if !record.accepted => broken = Some("an answer before the user accepted"),
            DescriptionKind::Answer => {}
            DescriptionKind::Early => self.tally.early_answers += 1,
        }
        let fragments = description.sdp.lines().filter_map(|line| line.strip_prefix("a=ice-ufrag:"));
        record.fragments.extend(fragments.map(str::to_owned));
        // A caller answers what the callee offers later; it has accepted by dialling.
        if let Some(broken) = broken
            && !(record.dialled && description.kind == DescriptionKind::Answer)
        {
            self.break_rule(broken);
        }
    }

    fn check_signal(&mut self, device: usize, signal: &Signal) {
        match signal {
            Signal::Close(_) | Signal::Progress(_) => {}
            Signal::Candidate(message) => {
                let fragment = message.candidate.username_fragment.clone().unwrap_or_default();
                let record = self.devices[device].record.calls.get(&message.call);
                if !record.is_some_and(|record| record.fragments.contains(&fragment)) {
                    self.break_rule("a candidate leaves before its description");
                }
            }
            Signal::Offer(_) | Signal::Answer(_) | Signal::Restart(_) => {
                if !self.may_speak_freely(device, signal.call()) {
                    self.break_rule("something leaves for a stranger before the user accepted");
                }
            }
        }
    }

    /// Who dials waits for the servers that a sign-in brings; those of an earlier one may have expired.
    fn check_has_servers(&mut self, device: usize, call: CallId) {
        let is_signed_in = self.devices[device].core.view().link == LinkView::SignedIn;
        if self.devices[device].record.has_dialled(call) && !is_signed_in {
            self.break_rule("a dialled call opens its peer connection before the link is up");
        }
    }

    /// Whether more than `progress` and `close` may leave.
    fn may_speak_freely(&self, device: usize, call: CallId) -> bool {
        let record = self.devices[device].record.calls.get(&call);
        record.is_some_and(|record| record.dialled || record.accepted || record.trust == Some(Trust::Contact))
    }

    fn check_ring_limit(&mut self, device: usize, caller: &Username) {
        let now = self.now;
        let callee = &self.users[self.devices[device].user];
        let most = if callee.key.is_some() && callee.contacts.contains(caller) { 3 } else { 1 };
        let rings = &mut self.devices[device].record.rings;
        rings.retain(|(at, _)| now.since(*at) < Duration::from_mins(1));
        rings.push((now, caller.clone()));
        if rings.iter().filter(|(_, earlier)| earlier == caller).count() > most {
            self.break_rule(format!("rings too often for {caller}"));
        }
    }

    /// In calm histories nothing rings for long after its caller has ended or was answered.
    fn check_ghosts(&mut self) {
        let now = self.now;
        for index in 0..self.devices.len() {
            let Some(call) = self.devices[index].view().call.as_ref() else { continue };
            let (id, user) = (call.call, self.devices[index].user);
            if call.people != PeopleView::RingingHere {
                continue;
            }
            let is_wanted = self.devices.iter().filter(|other| other.user != user).any(|other| {
                let call = other.view().call.as_ref().filter(|call| call.call == id);
                call.is_some_and(|call| matches!(call.people, PeopleView::Dialling | PeopleView::RingingThere))
            });
            let mut is_ghost = false;
            self.with_record(index, id, |record| {
                let since = record.ghost_since.get_or_insert(now);
                is_ghost = !is_wanted && now.since(*since) > GHOST;
                if is_wanted {
                    record.ghost_since = None;
                }
            });
            if is_ghost {
                self.break_rule("a device rings for a call that is over");
            }
        }
    }

    fn check_not_over(&mut self, device: usize, call: CallId) {
        if self.devices[device].record.calls.get(&call).is_some_and(|record| record.over) {
            self.break_rule("something is said of a call that is over");
        }
    }

    fn set_up(&mut self, device: usize, call: CallId, up: bool) {
        let now = self.now;
        self.check_not_over(device, call);
        self.with_record(device, call, |record| (record.up, record.since) = (up, now));
    }

    fn with_record(&mut self, device: usize, call: CallId, change: impl FnOnce(&mut CallRecord)) {
        if let Some(record) = self.devices[device].record.calls.get_mut(&call) {
            change(record);
        }
    }
}

/// A trace line short enough to be read: no signatures, no repeated SDP.
pub(crate) fn brief(text: &str) -> String {
    let text = text.replace(crate::peer::FINGERPRINT, "…");
    text.chars().take(400).collect()
}
