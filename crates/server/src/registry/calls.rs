//! Whom a message reaches, and the opening offers that wait for an answer (section 5).

use std::time::Instant;

use ahoy_protocol::id::{Address, CallId, DeviceAddress, Username};
use ahoy_protocol::signal::{CloseReason, ProgressState, Signal};

use super::opening::{Leg, Opening};
use super::{News, Notice, Registry, SignedIn};

impl<L: Clone> Registry<L> {
    /// Whom an opening offer to `callee` reaches, remembered until one of them answers.
    pub(crate) fn open(
        &mut self,
        who: &SignedIn,
        callee: &Username,
        call: CallId,
        now: Instant,
    ) -> Vec<(DeviceAddress, L)> {
        if !self.is_current(who) {
            return Vec::new();
        }
        let Some(user) = self.users.get_mut(callee) else { return Vec::new() };
        let waiting = user.sessions.iter().map(|session| session.id).collect();
        user.openings.remember(Opening::new(who.clone(), call, waiting, now));
        let reached = user.sessions.iter();
        reached
            .map(|session| {
                let address = DeviceAddress { username: callee.clone(), session: session.id };
                (address, session.link.clone())
            })
            .collect()
    }

    /// Whom a message to `to` reaches.
    pub(crate) fn reach(&self, to: &Address) -> Vec<L> {
        let sessions = self.users.get(to.username()).map_or(&[][..], |user| &user.sessions);
        let meant = sessions.iter().filter(|session| match to {
            Address::User(_) => true,
            Address::Device(device) => device.session == session.id,
        });
        meant.map(|session| session.link.clone()).collect()
    }

    /// What a relayed message does to the openings that wait: a callee's answer or a caller's cancelling ends one, a
    /// callee's `busy` or `timeout` ends that device's leg. All that is asked of the message is what it is called.
    pub(crate) fn relayed(&mut self, who: &SignedIn, to: &Address, signal: &Signal) -> Option<Notice<L>> {
        match signal {
            // Early, it says that a path is being prepared, not that somebody answered (section 5, "answer").
            Signal::Answer(answer) if answer.early => None,
            Signal::Answer(answer) => self.answered(who, to, answer.call),
            Signal::Progress(progress) => match progress.state {
                ProgressState::Accepted => self.answered(who, to, progress.call),
                ProgressState::Ringing | ProgressState::Unknown => None,
            },
            Signal::Close(close) => {
                let leg = match close.reason {
                    CloseReason::Busy | CloseReason::Timeout => Leg::This,
                    CloseReason::Hangup
                    | CloseReason::Declined
                    | CloseReason::Cancelled
                    | CloseReason::AnsweredElsewhere
                    | CloseReason::Glare
                    | CloseReason::Failed
                    | CloseReason::Unknown => Leg::All,
                };
                self.closed(who, to, close.call, leg)
            }
            Signal::Offer(_) | Signal::Candidate(_) | Signal::Restart(_) => None,
        }
    }

    /// Somebody answered: nobody waits for the others any more.
    fn answered(&mut self, who: &SignedIn, to: &Address, call: CallId) -> Option<Notice<L>> {
        let openings = &mut self.users.get_mut(&who.address.username)?.openings;
        openings.end(call, who.address.session, |opening| opening.caller_is(to), Leg::All);
        None
    }

    fn closed(&mut self, who: &SignedIn, to: &Address, call: CallId, leg: Leg) -> Option<Notice<L>> {
        // By a callee: one of its own openings.
        let me = &who.address.username;
        if let Some(user) = self.users.get_mut(me)
            && let Some(lost) = user.openings.end(call, who.address.session, |opening| opening.caller_is(to), leg)
        {
            return self.offline(me, &lost);
        }
        // By the caller: it knows, and is told nothing, unless this was the last leg but for those that are gone.
        let callee = to.username();
        let openings = &mut self.users.get_mut(callee)?.openings;
        let lost = match to {
            Address::User(_) => {
                openings.forget(who, call);
                None
            }
            Address::Device(device) => openings.end(call, device.session, |opening| opening.caller == *who, Leg::This),
        };
        self.offline(callee, &lost?)
    }

    /// Tells the caller of `opening`, if it is still there.
    pub(super) fn offline(&self, callee: &Username, opening: &Opening) -> Option<Notice<L>> {
        let caller = self.session(&opening.caller)?;
        let news = News::Offline { username: callee.clone(), call: opening.call };
        Some(Notice { to: caller.link.clone(), news })
    }
}
