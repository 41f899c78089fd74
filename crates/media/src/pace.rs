//! The clock of sound that no device paces: a block is due every 10 ms.

use std::time::{Duration, Instant};

use crate::audio::BLOCK_MS;

/// How long a block lasts.
pub(crate) const BLOCK: Duration = Duration::from_millis(BLOCK_MS as u64);

/// Who was kept from running for longer than this lets the time in between go.
const LONGEST_CATCH_UP: Duration = Duration::from_secs(1);

/// When the next block is due. Begins when it is first asked.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    next: Option<Instant>,
}

impl Pace {
    /// Whether a block is due. Late ones stay due one after the other, so that nothing is lost to a short stall.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let next = *self.next.get_or_insert(now);
        if now.saturating_duration_since(next) > LONGEST_CATCH_UP {
            self.next = Some(now);
        }
        now >= next
    }

    /// The due block was taken.
    pub(crate) fn step(&mut self) {
        self.next = self.next.map(|next| next + BLOCK);
    }

    /// A block came from elsewhere just now; the next is due one block later.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.next = Some(now + BLOCK);
    }

    /// By how much the next block is late.
    pub(crate) fn lateness(&self, now: Instant) -> Duration {
        self.next.map_or(Duration::ZERO, |next| now.saturating_duration_since(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pace: &mut Pace, now: Instant) -> usize {
        let mut blocks = 0;
        while pace.is_due(now) {
            pace.step();
            blocks += 1;
        }
        blocks
    }

    #[test]
    fn a_block_is_due_every_ten_milliseconds_from_the_first_question_on() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let blocks: Vec<usize> = [0, 5, 9, 10, 25, 30, 31].map(|ms| taken(&mut pace, at(ms))).into();
        assert_eq!(blocks, [1, 0, 0, 1, 1, 1, 0]);
    }

    #[test]
    fn a_short_stall_is_caught_up_and_a_long_one_is_let_go() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(taken(&mut pace, start), 1);
        assert_eq!(taken(&mut pace, start + Duration::from_millis(900)), 90);
        assert_eq!(taken(&mut pace, start + Duration::from_millis(60_000)), 1);
        assert_eq!(taken(&mut pace, start + Duration::from_millis(60_010)), 1);
    }
}
