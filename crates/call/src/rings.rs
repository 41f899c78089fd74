//! How often one caller may make this device ring (section 7): three times a minute, once for one that is no contact. Calls
//! that were accepted, and those before them, do not count.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_protocol::id::Username;

use crate::time::Time;

const MINUTE: Duration = Duration::from_mins(1);
const CONTACT_MAX: usize = 3;
const STRANGER_MAX: usize = 1;
/// Callers that are remembered: more within a minute are no longer people who call.
const REMEMBERED_MAX: usize = 256;

/// Who made this device ring within the last minute.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    recent: VecDeque<(Time, Username)>,
}

impl Rings {
    /// Whether this caller may ring now.
    pub(crate) fn allows(&mut self, now: Time, caller: &Username, is_contact: bool) -> bool {
        while self.recent.front().is_some_and(|(at, _)| now.since(*at) >= MINUTE) {
            self.recent.pop_front();
        }
        let rung = self.recent.iter().filter(|(_, earlier)| earlier == caller).count();
        rung < if is_contact { CONTACT_MAX } else { STRANGER_MAX }
    }

    /// Takes note that this caller rings.
    pub(crate) fn insert(&mut self, now: Time, caller: Username) {
        if self.recent.len() >= REMEMBERED_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((now, caller));
    }

    /// The user accepted a call of this caller's, who is therefore no nuisance.
    pub(crate) fn forget(&mut self, caller: &Username) {
        self.recent.retain(|(_, earlier)| earlier != caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_rings_three_times_a_minute_and_a_stranger_once() {
        let at = |seconds| Time::from_start(Duration::from_secs(seconds));
        let (bob, carol): (Username, Username) = ("bob".parse().unwrap(), "carol".parse().unwrap());
        let mut rings = Rings::default();
        for second in 0..3 {
            assert!(rings.allows(at(second), &bob, true));
            rings.insert(at(second), bob.clone());
        }
        assert!(!rings.allows(at(59), &bob, true));
        assert!(rings.allows(at(60), &bob, true));
        assert!(rings.allows(at(60), &carol, false), "each caller has a count of its own");
        rings.insert(at(60), carol.clone());
        assert!(!rings.allows(at(119), &carol, false));
        assert!(rings.allows(at(120), &carol, false));
        rings.insert(at(120), carol.clone());
        rings.insert(at(121), bob.clone());
        rings.forget(&carol);
        assert!(rings.allows(at(122), &carol, false) && !rings.allows(at(122), &bob, false));
    }
}
