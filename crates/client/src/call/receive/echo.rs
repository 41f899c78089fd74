//! Sends back what is shown, at the distances in which it was taken: decoding takes now longer, now shorter.

use std::time::Instant;

use ahoy_media::{FrameRate, VideoFrame};
use ahoy_rtp::clock::{TimestampUnwrapper, VIDEO_CLOCK_HZ, duration};

use super::super::send::PictureInput;

/// The other side's pictures on their way back.
pub(super) struct Echo {
    input: PictureInput,
    timestamps: TimestampUnwrapper,
    /// Time stamp and moment of the first picture.
    first: Option<(i64, Instant)>,
}

impl Echo {
    pub(super) fn new(input: PictureInput) -> Self {
        Self { input, timestamps: TimestampUnwrapper::default(), first: None }
    }

    pub(super) fn put(&mut self, frame: VideoFrame, rtp: u32) {
        let ticks = self.timestamps.unwrap(rtp);
        let (first, began) = *self.first.get_or_insert((ticks, Instant::now()));
        // A peer's time stamps may be anything; one from before the first, or beyond all time, counts as the first.
        let since_first = u64::try_from(ticks.saturating_sub(first)).unwrap_or(0);
        let taken_at = began.checked_add(duration(since_first, VIDEO_CLOCK_HZ)).unwrap_or(began);
        let _ = self.input.put(frame, taken_at, FrameRate::THIRTY);
    }
}
