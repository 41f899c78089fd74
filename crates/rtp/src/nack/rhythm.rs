//! A picture that does not come at all. Pictures mostly come at even distances; where one of such a row is overdue, all its
//! packets may be lost, and the next picture would show that only a thirtieth of a second later, or in a burst of losses
//! much later. A sender that leaves a picture out is asked in vain, and if that happens more often not any more.

use std::time::Duration;

/// Pictures that are presumed lost in a row at most: beyond, the sender or the path stands still.
const MOST_PICTURES: u32 = 8;

/// Beyond the mean distance and four times its deviation: threads are late by that.
const MARGIN: Duration = Duration::from_millis(10);

/// So often in vain, and a picture that is overdue means nothing.
const MOST_IN_VAIN: u32 = 2;

/// So many pictures at even distances forgive one in vain.
const FORGIVEN_AFTER: u32 = 300;

/// Pictures further apart than this have no rhythm.
const LONGEST_DISTANCE: Duration = Duration::from_secs(1);

/// Distances between the pictures of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rhythm {
    /// When the newest picture began to come.
    last: Option<Duration>,
    mean: Duration,
    deviation: Duration,
    /// Pictures presumed lost since.
    presumed: u32,
    in_vain: u32,
    forgiving: u32,
}

impl Rhythm {
    /// A picture begins to come; `follows` if nothing is missing before it.
    pub(super) fn picture(&mut self, now: Duration, follows: bool) {
        let before = self.last.replace(now);
        let presumed = std::mem::take(&mut self.presumed);
        // After a pause the pictures may come as before.
        let distance = before.map(|before| now.saturating_sub(before)).filter(|distance| *distance < LONGEST_DISTANCE);
        let Some(distance) = distance.filter(|_| follows) else {
            return;
        };
        if presumed > 0 {
            self.in_vain = (self.in_vain + 1).min(MOST_IN_VAIN + 1);
        }
        self.forgiving += 1;
        if self.forgiving >= FORGIVEN_AFTER {
            (self.forgiving, self.in_vain) = (0, self.in_vain.saturating_sub(1));
        }
        if self.mean.is_zero() {
            (self.mean, self.deviation) = (distance, distance / 2);
            return;
        }
        self.deviation = self.deviation - self.deviation / 8 + self.mean.abs_diff(distance) / 8;
        self.mean = self.mean - self.mean / 8 + distance / 8;
    }

    /// A picture that did not come by itself begins to come again. When it would have come stays what counts.
    pub(super) fn repaired(&mut self, now: Duration) {
        self.last = self.last.map(|last| last.saturating_add(self.mean).min(now));
        self.presumed = self.presumed.saturating_sub(1);
    }

    /// Forgets the picture that came last, not how they come.
    pub(super) fn restart(&mut self) {
        (self.last, self.presumed) = (None, 0);
    }

    /// When the next picture is overdue.
    pub(super) fn due(&self) -> Option<Duration> {
        let is_even = !self.mean.is_zero() && self.deviation < self.mean / 3;
        let last = self.last.filter(|_| is_even && self.presumed < MOST_PICTURES && self.in_vain <= MOST_IN_VAIN)?;
        Some(last.saturating_add(self.mean * (self.presumed + 1) + self.deviation * 4 + MARGIN))
    }

    /// Whether one more picture is presumed lost now.
    pub(super) fn presume(&mut self, now: Duration) -> bool {
        let is_due = self.due().is_some_and(|due| due <= now);
        self.presumed += u32::from(is_due);
        is_due
    }
}
