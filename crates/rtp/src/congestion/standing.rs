//! The queue that stands: the shortest of late. What one picture leaves behind is gone before the next, and does not count.

/// The shortest is that of one to two of these.
const SPAN_US: i64 = 150_000;

/// Longer without a packet, and nothing is known of the queue.
const FORGOTTEN_US: i64 = 1_000_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    now: Option<i64>,
    before: Option<i64>,
    since: i64,
}

impl Standing {
    pub(super) fn sample(&mut self, now: i64, queue: i64) {
        if now - self.since > FORGOTTEN_US {
            *self = Self { now: None, before: None, since: now };
        } else if now - self.since > SPAN_US {
            (self.before, self.now, self.since) = (self.now, None, now);
        }
        self.now = Some(self.now.map_or(queue, |lowest| lowest.min(queue)));
    }

    pub(super) fn lowest(&self) -> i64 {
        self.now.into_iter().chain(self.before).min().unwrap_or(0)
    }
}
