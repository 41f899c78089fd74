//! When to ask for a key frame, and when again: after a pause in which the one asked for can come, then ever more rarely.

use std::time::Duration;

/// The request for a key frame that is open, if one is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyRequests {
    open: Option<Open>,
    last: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    due: Duration,
    pause: Duration,
}

impl KeyRequests {
    /// A key frame is needed. Whether to ask for it now; else it is to be asked for when [`due`](Self::due) says so.
    /// `pauses` are the first one between two requests, which doubles with each, and the longest.
    pub(super) fn need(&mut self, now: Duration, pauses: (Duration, Duration)) -> bool {
        let (first, longest) = pauses;
        // A decoder that fails at every key frame must not ask for the next one at once.
        let open = self.open.unwrap_or(Open { due: self.last.map_or(now, |last| last + first), pause: first });
        if open.due > now {
            self.open = Some(open);
            return false;
        }
        self.last = Some(now);
        self.open = Some(Open { due: now + open.pause, pause: (open.pause * 2).min(longest) });
        true
    }

    /// A key frame will be needed from `due` on, if nothing better happens.
    pub(super) fn plan(&mut self, due: Duration, first_pause: Duration) {
        self.open.get_or_insert(Open { due, pause: first_pause });
    }

    /// One is coming: nothing is asked for before `due`.
    pub(super) fn postpone(&mut self, due: Duration, first_pause: Duration) {
        let open = self.open.get_or_insert(Open { due, pause: first_pause });
        open.due = open.due.max(due);
    }

    /// None is needed any more.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// When to ask, if nothing comes before.
    pub(super) fn due(&self) -> Option<Duration> {
        self.open.map(|open| open.due)
    }
}
