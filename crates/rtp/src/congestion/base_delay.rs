//! How long the path takes without any queue: the lowest that was seen of late. The clocks of both sides are compared
//! nowhere; only differences of such times mean anything.

/// The lowest is forgotten after one to two of these: clocks drift apart, and paths change.
const SPAN_US: i64 = 15_000_000;

/// From leaving here to coming there, with an unknown offset between the clocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BaseDelay {
    now: Option<i64>,
    before: Option<i64>,
    since: i64,
}

impl BaseDelay {
    /// Takes note of a packet, and says how much longer it took than the quickest.
    pub(super) fn sample(&mut self, now: i64, delay: i64) -> i64 {
        if now - self.since > SPAN_US {
            (self.before, self.now, self.since) = (self.now, None, now);
        }
        self.now = Some(self.now.map_or(delay, |lowest| lowest.min(delay)));
        delay - self.lowest().unwrap_or(delay)
    }

    pub(super) fn lowest(&self) -> Option<i64> {
        self.now.into_iter().chain(self.before).min()
    }
}
