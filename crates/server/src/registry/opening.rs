//! The opening offers to one user that nobody answered yet: whom each reached, so that its caller learns when the last
//! of them is gone (section 5, "Opening"). The only thing that the server knows about a call.

use std::time::{Duration, Instant};

use ahoy_protocol::id::{Address, CallId, SessionId};

use super::SignedIn;

/// A caller gives up after 65 s (section 5, "Timers"); what is older has been forgotten by everybody.
const OPENING_MAX: Duration = Duration::from_secs(120);
/// More offers than these wait for one user only under attack; then the oldest callers learn nothing.
const OPENINGS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Openings(Vec<Opening>);

#[derive(Debug)]
pub(super) struct Opening {
    pub(super) caller: SignedIn,
    pub(super) call: CallId,
    /// The devices that it reached, are still here and said nothing final.
    waiting: Vec<SessionId>,
    /// Whether a device that it reached ended without a word: the caller still counts on that one.
    lost: bool,
    since: Instant,
}

/// What a word of one device ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    /// Only its own leg.
    This,
    /// The waiting for all of them.
    All,
}

impl Opening {
    pub(super) fn new(caller: SignedIn, call: CallId, waiting: Vec<SessionId>, now: Instant) -> Self {
        Self { caller, call, waiting, lost: false, since: now }
    }

    pub(super) fn caller_is(&self, address: &Address) -> bool {
        match address {
            Address::User(username) => self.caller.address.username == *username,
            Address::Device(device) => self.caller.address == *device,
        }
    }
}

impl Openings {
    /// Remembers one. The same call offered again by the same session takes the place of the first time: everybody
    /// here was handed it again. The same call by another is another: a call's name alone proves nothing.
    pub(super) fn remember(&mut self, opening: Opening) {
        let now = opening.since;
        self.0.retain(|old| now.saturating_duration_since(old.since) < OPENING_MAX && !old.is_same(&opening));
        if self.0.len() >= OPENINGS_MAX {
            self.0.remove(0);
        }
        self.0.push(opening);
    }

    /// The caller is done with its call.
    pub(super) fn forget(&mut self, caller: &SignedIn, call: CallId) {
        self.0.retain(|opening| opening.call != call || opening.caller != *caller);
    }

    /// Device `session` said its last word about `call`, in the opening that `picked` picks among those that reached
    /// it. Returned is an opening that nobody is left to answer and of which somebody went without a word.
    pub(super) fn end(
        &mut self,
        call: CallId,
        session: SessionId,
        picked: impl Fn(&Opening) -> bool,
        leg: Leg,
    ) -> Option<Opening> {
        let meant = |o: &Opening| o.call == call && o.waiting.contains(&session) && picked(o);
        let place = self.0.iter().position(meant)?;
        let opening = self.0.get_mut(place)?;
        match leg {
            Leg::This => opening.waiting.retain(|waiting| *waiting != session),
            Leg::All => opening.waiting.clear(),
        }
        if !opening.waiting.is_empty() {
            return None;
        }
        let opening = self.0.remove(place);
        (leg == Leg::This && opening.lost).then_some(opening)
    }

    /// Device `session` is gone. Returned are the openings that nobody is left to answer.
    pub(super) fn session_ended(&mut self, session: SessionId) -> Vec<Opening> {
        for opening in self.0.iter_mut().filter(|opening| opening.waiting.contains(&session)) {
            opening.waiting.retain(|waiting| *waiting != session);
            opening.lost = true;
        }
        self.0.extract_if(.., |opening| opening.waiting.is_empty()).collect()
    }
}

impl Opening {
    fn is_same(&self, other: &Self) -> bool {
        self.call == other.call && self.caller == other.caller
    }
}
