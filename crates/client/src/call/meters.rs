//! What a call's threads count, for the statistics of each second. Atomics: written by many, read by one, never in step.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one call, from its beginning, and a few latest values.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    pub(crate) frames_captured: Meter,
    pub(crate) frames_sent: Meter,
    pub(crate) frames_shown: Meter,
    pub(crate) key_frames_requested: Meter,
    pub(crate) concealed_ms: Meter,
    pub(crate) recovered_ms: Meter,
    /// The latest, in microseconds: from when sound could be here to when it is heard.
    pub(crate) sound_delay_us: Meter,
}

/// One count.
#[derive(Debug, Default)]
pub(crate) struct Meter(AtomicU64);

impl Meter {
    /// Adds one and tells how many there were before.
    pub(crate) fn count(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
