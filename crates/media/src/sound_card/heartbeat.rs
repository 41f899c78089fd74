//! What a callback leaves for other threads to see: that it runs, how fast, and how far its sound is from the air.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Signs of life of one stream. Each value stands alone, so relaxed ordering will do.
#[derive(Debug)]
pub(super) struct Heartbeat {
    origin: Instant,
    /// Microseconds since `origin` of the last callback; 0 before the first.
    last_us: AtomicU64,
    /// Frames in all callbacks so far.
    frames: AtomicU64,
    /// The most frames that one callback had since that was last asked.
    longest: AtomicU64,
    /// When the end of the last callback's sound is in the air: was, for a microphone; will be, for a speaker.
    end_us: AtomicU64,
    /// Times that sound was lost because the ring was full (microphone) or empty (speaker).
    lapses: AtomicU64,
}

impl Heartbeat {
    /// No callback came yet.
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            last_us: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            end_us: AtomicU64::new(0),
            lapses: AtomicU64::new(0),
        }
    }

    /// A callback came whose last frame was captured this long ago.
    pub(super) fn captured(&self, frames: usize, age: Duration) {
        self.beat(frames, |now| now.saturating_sub(micros(age)));
    }

    /// A callback came whose last frame will be heard after this long.
    pub(super) fn played(&self, frames: usize, ahead: Duration) {
        self.beat(frames, |now| now.saturating_add(micros(ahead)));
    }

    fn beat(&self, frames: usize, end: impl FnOnce(u64) -> u64) {
        let now = micros(self.origin.elapsed()).max(1);
        self.frames.fetch_add(frames as u64, Relaxed);
        self.longest.fetch_max(frames as u64, Relaxed);
        self.end_us.store(end(now), Relaxed);
        self.last_us.store(now, Relaxed);
    }

    /// The ring was full or empty.
    pub(super) fn lapse(&self) {
        self.lapses.fetch_add(1, Relaxed);
    }

    pub(super) fn lapses(&self) -> u64 {
        self.lapses.load(Relaxed)
    }

    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// The most frames that one callback had since the last call; 0 if none came.
    pub(super) fn take_longest(&self) -> u64 {
        self.longest.swap(0, Relaxed)
    }

    /// How long ago the last callback was; nothing before the first.
    pub(super) fn idle(&self) -> Option<Duration> {
        let last = self.last_us.load(Relaxed);
        (last > 0).then(|| self.origin.elapsed().saturating_sub(Duration::from_micros(last)))
    }

    /// How long ago the newest sound was captured.
    pub(super) fn age(&self) -> Duration {
        self.origin.elapsed().saturating_sub(Duration::from_micros(self.end_us.load(Relaxed)))
    }

    /// How long until all sound that was taken has been heard.
    pub(super) fn ahead(&self) -> Duration {
        Duration::from_micros(self.end_us.load(Relaxed)).saturating_sub(self.origin.elapsed())
    }
}

/// A delay without the jitter of single callbacks.
#[derive(Debug, Default)]
pub(super) struct SmoothDelay {
    ms: Option<f32>,
}

/// What one measurement adds: settled after a good second of blocks.
const WEIGHT: f32 = 1.0 / 32.0;

/// More is a wrong report: no device has it.
const LONGEST_DELAY_MS: f32 = 2_000.0;

impl SmoothDelay {
    pub(super) fn add(&mut self, delay: Duration) {
        let new = (delay.as_secs_f32() * 1000.0).min(LONGEST_DELAY_MS);
        self.ms = Some(self.ms.map_or(new, |ms| ms + (new - ms) * WEIGHT));
    }

    /// The stream is another one.
    pub(super) fn reset(&mut self) {
        self.ms = None;
    }

    pub(super) fn value(&self) -> Duration {
        Duration::from_secs_f32(self.ms.unwrap_or(0.0) / 1000.0)
    }
}

/// How long so many frames last.
pub(super) fn lasting(frames: usize, rate_hz: u32) -> Duration {
    Duration::from_micros((frames as u64).saturating_mul(1_000_000) / u64::from(rate_hz.max(1)))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
