//! Offers and answers of one call: current and pending descriptions, perfect negotiation with explicit rollback, and
//! numbers (section 5, "Renegotiation"; webrtc-pc §10.7). It says what is to be done; the call does it.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_protocol::description::{Hash, ProvenDescription, hash};

use crate::config::Timers;
use crate::end::Failure;
use crate::input::Serial;
use crate::output::PeerCommand;
use crate::time::Time;

/// An offer comes over the server and over the control channel: copies within this time of the answer are those.
const COPIES: Duration = Duration::from_secs(2);

/// Which side of the call this device is: the caller is impolite, the callee polite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Caller,
    Callee,
}

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Tell the peer connection.
    Peer(PeerCommand),
    /// Send this offer.
    SendOffer { n: u32, sdp: String },
    /// Send this answer.
    SendAnswer { n: u32, sdp: String, offer: Hash },
    /// The peer connection is being given this remote description: its candidates may follow.
    RemotePending { sdp: String },
    /// It has it.
    RemoteApplied,
    /// It could not take it.
    RemoteFailed,
    /// The call cannot go on.
    Fail(Failure),
}

/// The negotiation of one call.
#[derive(Debug)]
pub(crate) struct Negotiation {
    role: Role,
    timers: Timers,
    state: State,
    last_serial: u64,
    /// The number of the next own offer.
    next_n: u32,
    /// The number of the last offer seen from the other side.
    seen_n: Option<u32>,
    /// Whether an offer was ever answered, and the answer applied.
    settled: bool,
    /// An offer to be made as soon as nothing is pending.
    wanted: Option<Wanted>,
    /// Whether own offers beyond the opening one may be made yet.
    may_offer: bool,
    /// The newest own offer that was answered: the callee has seen it.
    answered_n: Option<u32>,
    /// The last answer that was made, for an offer that is said again.
    answer: Option<MadeAnswer>,
    steps: VecDeque<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    ice_restart: bool,
}

#[derive(Debug)]
struct MadeAnswer {
    n: u32,
    sdp: String,
    /// What it answers.
    offer: Hash,
    /// When it was said last.
    said_at: Time,
}

#[derive(Debug)]
enum State {
    /// Nothing is pending.
    Stable,
    /// The peer connection makes an offer; it is to be taken back for `yield_to`.
    Offering { serial: Serial, until: Time, wanted: Wanted, yield_to: Option<ProvenDescription> },
    /// The offer was sent. The opening one waits as long as its call, and so does one that restarts ICE.
    Offered { n: u32, sdp: String, until: Option<Time>, wanted: Wanted },
    /// The peer connection applies the answer; `next` is the offer to answer then.
    Applying { serial: Serial, until: Time, next: Option<ProvenDescription> },
    /// The peer connection takes back its offer; `next` is the offer to answer then.
    RollingBack { serial: Serial, until: Time, next: Option<ProvenDescription> },
    /// The peer connection makes an answer; `next` is the offer to answer then.
    Answering { serial: Serial, until: Time, n: u32, offer: Hash, next: Option<ProvenDescription> },
}

impl Negotiation {
    pub(crate) fn new(role: Role, timers: Timers) -> Self {
        Self {
            role,
            timers,
            state: State::Stable,
            last_serial: 0,
            next_n: 0,
            seen_n: None,
            settled: false,
            wanted: None,
            may_offer: false,
            answered_n: None,
            answer: None,
            steps: VecDeque::new(),
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Whether an offer was ever answered, and the answer applied.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether an answer came that is applied, or will be.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered_n.is_some()
    }

    /// Whether the opening offer has left.
    pub(crate) fn has_offered(&self) -> bool {
        self.next_n > 0
    }

    pub(crate) fn next_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Stable => None,
            State::Offered { until, .. } => until,
            State::Offering { until, .. }
            | State::Applying { until, .. }
            | State::RollingBack { until, .. }
            | State::Answering { until, .. } => Some(until),
        }
    }

    /// Makes the opening offer.
    pub(crate) fn open(&mut self, now: Time) {
        self.make_offer(now, Wanted { ice_restart: false });
    }

    /// Answers the opening offer.
    pub(crate) fn answer_opening(&mut self, now: Time, offer: ProvenDescription) {
        self.seen_n = Some(offer.n());
        self.answer(now, offer);
    }

    /// From now on own offers beyond the opening one may be made.
    pub(crate) fn allow_offers(&mut self, now: Time) {
        self.may_offer = true;
        self.proceed(now);
    }

    /// A new offer is needed; it is made as soon as nothing is pending.
    pub(crate) fn want_offer(&mut self, now: Time, ice_restart: bool) {
        let earlier = self.wanted.is_some_and(|wanted| wanted.ice_restart);
        self.wanted = Some(Wanted { ice_restart: earlier || ice_restart });
        self.proceed(now);
    }

    /// Whether it is news that the callee, who has seen the own offers up to `n`, asks for an ICE restart. It is not while one
    /// is under way, nor when it was asked before the last answer, for then it was asked before the last restart.
    pub(crate) fn is_restart_asked(&self, n: u32) -> bool {
        let is_current = n < self.next_n && self.answered_n.is_none_or(|answered| n >= answered);
        self.role == Role::Caller && is_current && !self.restarts()
    }

    /// Whether an own offer that restarts ICE is wanted, in the making, or unanswered.
    fn restarts(&self) -> bool {
        let pending = match self.state {
            State::Offering { wanted, .. } | State::Offered { wanted, .. } => Some(wanted),
            State::Stable | State::Applying { .. } | State::RollingBack { .. } | State::Answering { .. } => None,
        };
        [self.wanted, pending].into_iter().flatten().any(|wanted| wanted.ice_restart)
    }

    /// The own offer that restarts ICE and was sent, but not answered, with its number.
    pub(crate) fn unanswered_restart(&self) -> Option<(u32, String)> {
        match &self.state {
            State::Offered { n, sdp, wanted: Wanted { ice_restart: true }, .. } => Some((*n, sdp.clone())),
            State::Offered { .. }
            | State::Stable
            | State::Offering { .. }
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Answering { .. } => None,
        }
    }

    /// The number that a `restart` carries; `None` before an offer came.
    pub(crate) fn restart_n(&self) -> Option<u32> {
        self.seen_n
    }

    /// Whether an offer with this number is news.
    pub(crate) fn is_new_offer(&self, n: u32) -> bool {
        self.seen_n.is_none_or(|seen| n > seen)
    }

    /// An offer within the call with a number that is no news. Its maker says it again until it hears an answer, so the answer is said again,
    /// too, where it still holds and was made for this very offer. Returns whether it is.
    pub(crate) fn handle_offer_again(&mut self, now: Time, n: u32, sdp: &str) -> bool {
        let Some(answer) = &mut self.answer else { return false };
        let is_stable = matches!(self.state, State::Stable);
        if !is_stable || n == 0 || answer.n != n || now.since(answer.said_at) < COPIES || answer.offer != hash(sdp) {
            return false;
        }
        answer.said_at = now;
        self.steps.push_back(Step::SendAnswer { n, sdp: answer.sdp.clone(), offer: answer.offer });
        true
    }

    /// The hash of the offer that an answer with this number would answer; `None` when none is awaited.
    pub(crate) fn awaited_answer(&self, n: u32) -> Option<Hash> {
        match &self.state {
            State::Offered { n: offered, sdp, .. } if *offered == n => Some(hash(sdp)),
            State::Offered { .. }
            | State::Stable
            | State::Offering { .. }
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Answering { .. } => None,
        }
    }

    /// A proven offer within the call, with a number that is news.
    pub(crate) fn handle_offer(&mut self, now: Time, offer: ProvenDescription) {
        self.seen_n = Some(offer.n());
        match &mut self.state {
            State::Stable => self.answer(now, offer),
            State::Applying { next, .. } | State::RollingBack { next, .. } | State::Answering { next, .. } => {
                *next = Some(offer);
            }
            // Both made an offer at once: the caller's stands, the callee takes its own back (webrtc-pc §10.7).
            State::Offering { yield_to, .. } => match self.role {
                Role::Caller => {}
                Role::Callee => *yield_to = Some(offer),
            },
            State::Offered { wanted, .. } => match self.role {
                Role::Caller => {}
                Role::Callee => {
                    self.wanted = Some(*wanted);
                    self.roll_back(now, Some(offer));
                }
            },
        }
    }

    /// A proven answer to the offer that [`Self::awaited_answer`] named.
    pub(crate) fn handle_answer(&mut self, now: Time, answer: ProvenDescription) {
        self.answered_n = Some(answer.n());
        let serial = self.next_serial();
        self.state = State::Applying { serial, until: now + self.timers.work, next: None };
        let sdp = answer.sdp().to_owned();
        self.steps.push_back(Step::Peer(PeerCommand::ApplyAnswer { serial, answer }));
        self.steps.push_back(Step::RemotePending { sdp });
    }

    /// `MakeOffer` or `Answer` is done. Returns false for a stale report.
    pub(crate) fn handle_made(&mut self, now: Time, serial: Serial, result: Result<String, String>) -> bool {
        match &mut self.state {
            State::Offering { serial: expected, wanted, yield_to, .. } if *expected == serial => {
                let (wanted, yield_to) = (*wanted, yield_to.take());
                self.offer_made(now, wanted, yield_to, result);
                true
            }
            State::Answering { serial: expected, n, offer, next, .. } if *expected == serial => {
                let (n, offer, next) = (*n, *offer, next.take());
                self.answer_made(now, n, offer, next, result);
                true
            }
            State::Stable
            | State::Offering { .. }
            | State::Offered { .. }
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Answering { .. } => false,
        }
    }

    /// `ApplyAnswer` or `Rollback` is done. Returns false for a stale report.
    pub(crate) fn handle_applied(&mut self, now: Time, serial: Serial, result: Result<(), String>) -> bool {
        match &mut self.state {
            State::Applying { serial: expected, next, .. } if *expected == serial => {
                let next = next.take();
                self.answer_applied(now, next, result);
                true
            }
            State::RollingBack { serial: expected, next, .. } if *expected == serial => {
                let next = next.take();
                match result {
                    Ok(()) => self.become_stable(now, next),
                    // Neither the old description nor a new one: nothing can be agreed on any more.
                    Err(detail) => self.steps.push_back(Step::Fail(Failure::Transport(detail))),
                }
                true
            }
            State::Stable
            | State::Offering { .. }
            | State::Offered { .. }
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Answering { .. } => false,
        }
    }

    /// Acts on a deadline that has come.
    pub(crate) fn handle_deadline(&mut self, now: Time) {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        match self.state {
            State::Stable => {}
            // A failed renegotiation leaves the call as it was.
            State::Offered { .. } => self.roll_back(now, None),
            State::Offering { .. } | State::Applying { .. } | State::RollingBack { .. } | State::Answering { .. } => {
                self.steps.push_back(Step::Fail(Failure::TransportSilent));
            }
        }
    }

    fn next_serial(&mut self) -> Serial {
        self.last_serial += 1;
        Serial(self.last_serial)
    }

    fn make_offer(&mut self, now: Time, wanted: Wanted) {
        let serial = self.next_serial();
        self.state = State::Offering { serial, until: now + self.timers.work, wanted, yield_to: None };
        let ice_restart = wanted.ice_restart;
        self.steps.push_back(Step::Peer(PeerCommand::MakeOffer { serial, ice_restart }));
    }

    fn answer(&mut self, now: Time, offer: ProvenDescription) {
        let serial = self.next_serial();
        let (n, hash, sdp) = (offer.n(), hash(offer.sdp()), offer.sdp().to_owned());
        self.state = State::Answering { serial, until: now + self.timers.work, n, offer: hash, next: None };
        self.steps.push_back(Step::Peer(PeerCommand::Answer { serial, offer }));
        self.steps.push_back(Step::RemotePending { sdp });
    }

    fn roll_back(&mut self, now: Time, next: Option<ProvenDescription>) {
        let serial = self.next_serial();
        self.state = State::RollingBack { serial, until: now + self.timers.work, next };
        self.steps.push_back(Step::Peer(PeerCommand::Rollback { serial }));
    }

    fn offer_made(
        &mut self,
        now: Time,
        wanted: Wanted,
        yield_to: Option<ProvenDescription>,
        result: Result<String, String>,
    ) {
        match (result, yield_to) {
            (Ok(_), Some(offer)) => {
                self.wanted = Some(wanted);
                self.roll_back(now, Some(offer));
            }
            (Ok(sdp), None) => {
                // What the offer of a restart took away, no rollback brings back; so it stands.
                let until = (self.settled && !wanted.ice_restart).then(|| now + self.timers.negotiation);
                let n = self.next_n;
                self.next_n = n.saturating_add(1);
                self.state = State::Offered { n, sdp: sdp.clone(), until, wanted };
                self.steps.push_back(Step::SendOffer { n, sdp });
            }
            (Err(detail), None) if !self.settled => self.steps.push_back(Step::Fail(Failure::Transport(detail))),
            (Err(_), next) => self.become_stable(now, next),
        }
    }

    fn answer_made(
        &mut self,
        now: Time,
        n: u32,
        offer: Hash,
        next: Option<ProvenDescription>,
        result: Result<String, String>,
    ) {
        match result {
            Ok(sdp) => {
                self.settled = true;
                self.steps.push_back(Step::RemoteApplied);
                self.answer = Some(MadeAnswer { n, sdp: sdp.clone(), offer, said_at: now });
                self.steps.push_back(Step::SendAnswer { n, sdp, offer });
                self.become_stable(now, next);
            }
            Err(detail) if !self.settled => self.steps.push_back(Step::Fail(Failure::Transport(detail))),
            Err(_) => {
                self.steps.push_back(Step::RemoteFailed);
                self.become_stable(now, next);
            }
        }
    }

    fn answer_applied(&mut self, now: Time, next: Option<ProvenDescription>, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.settled = true;
                self.steps.push_back(Step::RemoteApplied);
                self.become_stable(now, next);
            }
            Err(detail) if !self.settled => self.steps.push_back(Step::Fail(Failure::Transport(detail))),
            Err(_) => {
                self.steps.push_back(Step::RemoteFailed);
                self.roll_back(now, next);
            }
        }
    }

    fn become_stable(&mut self, now: Time, next: Option<ProvenDescription>) {
        self.state = State::Stable;
        match next {
            Some(offer) => self.answer(now, offer),
            None => self.proceed(now),
        }
    }

    /// Makes the offer that is wanted, if it can be made now.
    fn proceed(&mut self, now: Time) {
        if matches!(self.state, State::Stable)
            && self.settled
            && self.may_offer
            && let Some(wanted) = self.wanted.take()
        {
            self.make_offer(now, wanted);
        }
    }
}

#[cfg(test)]
mod tests;
