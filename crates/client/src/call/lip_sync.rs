//! Where the sound's thread and the picture's meet: what is heard when, and so when to show what. The reckoning is
//! `ahoy_rtp::LipSync`'s; a lock, held for a microsecond, keeps it in step with both.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahoy_rtp::SenderReport;

/// One call's lip sync. All times are of [`super::shared::Shared::now`].
#[derive(Debug, Default)]
pub(crate) struct LipSync(Mutex<ahoy_rtp::LipSync>);

impl LipSync {
    pub(crate) fn sound_reported(&self, report: SenderReport) {
        self.lock().sound_reported(report);
    }

    pub(crate) fn picture_reported(&self, report: SenderReport) {
        self.lock().picture_reported(report);
    }

    /// The sample of that time stamp is heard at `at`; it was `held` for so long in the jitter buffer.
    pub(crate) fn sound_heard(&self, rtp: u32, at: Duration, held: Duration) {
        self.lock().sound_heard(rtp, at, held);
    }

    /// When to show a picture that is decoded.
    pub(crate) fn picture_ready(&self, rtp: u32, now: Duration) -> Duration {
        self.lock().picture_ready(rtp, now)
    }

    /// How long sound should be held for its picture's sake.
    pub(crate) fn min_sound_delay(&self) -> Duration {
        self.lock().min_delay()
    }

    /// How much earlier sound is heard than its picture is shown.
    pub(crate) fn offset_ms(&self) -> Option<i64> {
        self.lock().offset_ms()
    }

    fn lock(&self) -> MutexGuard<'_, ahoy_rtp::LipSync> {
        // A thread that panicked has left numbers behind, none of them half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
