//! How many bits a second pass, over about half a second.

use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct ByteRate {
    since: Option<Instant>,
    bytes: usize,
    bps: f64,
}

impl ByteRate {
    pub(super) fn add(&mut self, now: Instant, bytes: usize) {
        let since = *self.since.get_or_insert(now);
        self.bytes += bytes;
        let passed = now.saturating_duration_since(since);
        if passed >= WINDOW {
            self.bps = self.bytes as f64 * 8.0 / passed.as_secs_f64();
            (self.since, self.bytes) = (Some(now), 0);
        }
    }

    /// Before the first window is over as many as pass in a call with a good picture.
    pub(super) fn bps(&self) -> f64 {
        if self.bps > 0.0 { self.bps } else { 1_000_000.0 }
    }
}
