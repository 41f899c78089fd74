//! The sessions that have no connection, in the order in which they lost it. Guests apart: anybody can have any number of
//! guests' sessions, so theirs are the first to end where there are too many.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::SignedIn;

#[derive(Debug, Default)]
pub(super) struct Lingering {
    guests: Queue,
    owners: Queue,
}

/// By since when, and by serial where that is the same.
type Queue = BTreeMap<(Instant, u64), SignedIn>;

impl Lingering {
    pub(super) fn insert(&mut self, since: Instant, who: SignedIn) {
        self.queue(&who).insert((since, who.serial), who);
    }

    /// It has a connection again, or has ended.
    pub(super) fn remove(&mut self, since: Instant, who: &SignedIn) {
        self.queue(who).remove(&(since, who.serial));
    }

    pub(super) fn len(&self) -> usize {
        self.guests.len() + self.owners.len()
    }

    /// Takes out one that has lingered for `linger`, or one too many where there are more than `most`.
    pub(super) fn take_due(&mut self, now: Instant, linger: Duration, most: usize) -> Option<SignedIn> {
        let is_over = |queue: &Queue| {
            let oldest = queue.first_key_value();
            oldest.is_some_and(|((since, _), _)| now.saturating_duration_since(*since) >= linger)
        };
        let are_too_many = self.len() > most;
        let queue = if is_over(&self.owners) || (are_too_many && self.guests.is_empty()) {
            &mut self.owners
        } else if is_over(&self.guests) || are_too_many {
            &mut self.guests
        } else {
            return None;
        };
        queue.pop_first().map(|(_, who)| who)
    }

    fn queue(&mut self, who: &SignedIn) -> &mut Queue {
        if who.address.username.is_guest() { &mut self.guests } else { &mut self.owners }
    }
}
