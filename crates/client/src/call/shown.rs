//! When the other side is told how large its picture is shown here: at once when that changes, but not again within a second,
//! after which the last size counts; and that nobody sees it only when that lasts. No clock: times are those of the call.

use std::time::Duration;

use ahoy_protocol::control::Shown;

/// A window that is being resized does not need each of its sizes told.
const PAUSE: Duration = Duration::from_secs(1);
/// A picture that is gone for less may only be changing its place on the screen, or be about to come.
const UNSEEN_FOR: Duration = Duration::from_secs(2);

/// What the other side was told.
#[derive(Debug, Default)]
pub(super) struct ShownSize {
    is_open: bool,
    told: Option<Shown>,
    told_at: Option<Duration>,
    unseen_since: Option<Duration>,
}

impl ShownSize {
    /// Whether the control channel is there.
    pub(super) fn set_open(&mut self, is_open: bool) {
        self.is_open = is_open;
    }

    /// What to tell at `now`, where `seen` is how large the picture is shown, if anything. It counts as told.
    pub(super) fn due(&mut self, now: Duration, seen: Option<Shown>) -> Option<Shown> {
        let seen = seen.filter(|_| self.is_open)?;
        let seen = if seen.is_seen() {
            self.unseen_since = None;
            seen
        } else {
            let since = *self.unseen_since.get_or_insert(now);
            (now.saturating_sub(since) >= UNSEEN_FOR).then_some(Shown::NOT_AT_ALL)?
        };
        if self.told == Some(seen) || self.told_at.is_some_and(|at| now.saturating_sub(at) < PAUSE) {
            return None;
        }
        (self.told, self.told_at) = (Some(seen), Some(now));
        Some(seen)
    }

    /// What was due could not be sent; it is due again after a pause.
    pub(super) fn was_not_told(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Shown = Shown { width: 320, height: 180 };
    const LARGE: Shown = Shown { width: 1280, height: 720 };

    fn open() -> ShownSize {
        let mut size = ShownSize::default();
        size.set_open(true);
        size
    }

    /// What is told, and when, if it is looked each 250 ms at what is shown then.
    fn told(size: &mut ShownSize, until_ms: u64, shown: impl Fn(u64) -> Option<Shown>) -> Vec<(u64, Shown)> {
        let looks = (0..until_ms).step_by(250);
        looks.filter_map(|ms| size.due(Duration::from_millis(ms), shown(ms)).map(|shown| (ms, shown))).collect()
    }

    #[test]
    fn a_size_is_told_once_and_a_new_one_at_once() {
        let shown = |ms| Some(if ms < 5_000 { SMALL } else { LARGE });
        assert_eq!(told(&mut open(), 10_000, shown), [(0, SMALL), (5_000, LARGE)]);
    }

    #[test]
    fn of_a_window_on_its_way_a_size_a_second_is_told_and_then_the_last() {
        let at = |ms: u64| Shown { width: 640 + ms.min(3_250) as u16, height: 480 };
        let expected = [0, 1_000, 2_000, 3_000, 4_000].map(|ms| (ms, at(ms)));
        assert_eq!(told(&mut open(), 20_000, |ms| Some(at(ms))), expected);
    }

    #[test]
    fn that_nobody_sees_it_is_told_when_it_lasts_and_that_somebody_does_at_once() {
        let hidden = Shown { width: 0, height: 720 };
        let shown =
            |ms| Some(if (2_000..3_750).contains(&ms) || (5_000..9_000).contains(&ms) { hidden } else { LARGE });
        let expected = [(0, LARGE), (7_000, Shown::NOT_AT_ALL), (9_000, LARGE)];
        assert_eq!(told(&mut open(), 20_000, shown), expected);
    }

    #[test]
    fn what_could_not_be_sent_is_told_again_and_nothing_without_a_channel_or_a_size() {
        let mut size = open();
        assert_eq!(size.due(Duration::ZERO, Some(SMALL)), Some(SMALL));
        size.was_not_told();
        assert_eq!(size.due(PAUSE / 2, Some(SMALL)), None);
        assert_eq!(size.due(PAUSE, Some(SMALL)), Some(SMALL));
        assert!(told(&mut open(), 10_000, |_| None).is_empty());
        assert!(told(&mut ShownSize::default(), 10_000, |_| Some(SMALL)).is_empty());
    }
}
