//! RTP clocks: from elapsed time to time stamps, and counters that wrap back to ones that do not.
//! Not a clock that can be read.

use std::time::Duration;

/// Ticks a second of every video payload format used here (RFC 6184 §8.2.1).
pub const VIDEO_CLOCK_HZ: u32 = 90_000;

/// Ticks a second of Opus, whatever it is sampled at (RFC 7587 §4.1).
pub const AUDIO_CLOCK_HZ: u32 = 48_000;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Turns the time since a stream began into its RTP time stamps.
#[derive(Clone, Copy, Debug)]
pub struct RtpClock {
    clock_hz: u32,
    start: u32,
}

impl RtpClock {
    /// A clock of `clock_hz` ticks a second whose first time stamp is `start`, which should be random
    /// (RFC 3550 §5.1).
    pub fn new(clock_hz: u32, start: u32) -> Self {
        Self { clock_hz, start }
    }

    /// The time stamp of the moment `elapsed` after the stream began, to the nearest tick.
    pub fn at(&self, elapsed: Duration) -> u32 {
        self.start.wrapping_add(ticks(elapsed, self.clock_hz) as u32)
    }
}

/// `duration` in ticks of a clock of `clock_hz`, to the nearest tick.
pub fn ticks(duration: Duration, clock_hz: u32) -> u64 {
    let exact = duration.as_nanos() * u128::from(clock_hz);
    // u64::MAX ns x u32::MAX Hz is below u128::MAX, and a real call is far below u64::MAX ticks.
    ((exact + NANOS_PER_SECOND / 2) / NANOS_PER_SECOND) as u64
}

/// How long `ticks` of a clock of `clock_hz` last; nothing for a clock that stands still.
pub fn duration(ticks: u64, clock_hz: u32) -> Duration {
    if clock_hz == 0 {
        return Duration::ZERO;
    }
    let nanos = u128::from(ticks) * NANOS_PER_SECOND / u128::from(clock_hz);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Counts on where a 16-bit sequence number wraps.
///
/// Each number is read as the one nearest to the newest seen, so that packets may come up to 32,767 early or late.
#[derive(Clone, Copy, Debug, Default)]
pub struct SequenceUnwrapper {
    newest: Option<i64>,
}

impl SequenceUnwrapper {
    /// The number that does not wrap. The first is taken as it is; one from before the first can be negative.
    pub fn unwrap(&mut self, sequence: u16) -> i64 {
        let Some(newest) = self.newest else {
            self.newest = Some(i64::from(sequence));
            return i64::from(sequence);
        };
        let distance = sequence.wrapping_sub(newest as u16) as i16;
        let unwrapped = newest + i64::from(distance);
        self.newest = Some(newest.max(unwrapped));
        unwrapped
    }
}

/// Counts on where a 32-bit time stamp wraps, as [`SequenceUnwrapper`] does.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimestampUnwrapper {
    newest: Option<i64>,
}

impl TimestampUnwrapper {
    /// The time stamp that does not wrap. The first is taken as it is; one from before the first can be negative.
    pub fn unwrap(&mut self, timestamp: u32) -> i64 {
        let Some(newest) = self.newest else {
            self.newest = Some(i64::from(timestamp));
            return i64::from(timestamp);
        };
        let distance = timestamp.wrapping_sub(newest as u32) as i32;
        let unwrapped = newest + i64::from(distance);
        self.newest = Some(newest.max(unwrapped));
        unwrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_go_on_counting_where_they_wrap_and_may_come_late() {
        let mut unwrapper = SequenceUnwrapper::default();
        let seen: Vec<i64> =
            [65_534, 65_535, 0, 2, 1, 65_533].into_iter().map(|sequence| unwrapper.unwrap(sequence)).collect();
        assert_eq!(seen, [65_534, 65_535, 65_536, 65_538, 65_537, 65_533]);
    }

    #[test]
    fn a_packet_from_before_the_first_gets_a_smaller_number() {
        let mut unwrapper = SequenceUnwrapper::default();
        assert_eq!(unwrapper.unwrap(0), 0);
        assert_eq!(unwrapper.unwrap(65_535), -1);
    }

    #[test]
    fn time_stamps_go_on_counting_where_they_wrap() {
        let mut unwrapper = TimestampUnwrapper::default();
        assert_eq!(unwrapper.unwrap(u32::MAX - 959), i64::from(u32::MAX) - 959);
        assert_eq!(unwrapper.unwrap(0), i64::from(u32::MAX) + 1);
        assert_eq!(unwrapper.unwrap(u32::MAX - 1919), i64::from(u32::MAX) - 1919);
    }

    #[test]
    fn a_clock_rounds_to_the_nearest_tick_and_wraps() {
        let clock = RtpClock::new(VIDEO_CLOCK_HZ, u32::MAX - 2_999);
        assert_eq!(clock.at(Duration::ZERO), u32::MAX - 2_999);
        // One picture of 30 a second is 3,000 ticks.
        assert_eq!(clock.at(Duration::from_nanos(33_333_333)), 0);
        assert_eq!(clock.at(Duration::from_nanos(66_666_667)), 3_000);
    }

    #[test]
    fn ticks_and_durations_agree() {
        assert_eq!(ticks(Duration::from_millis(20), AUDIO_CLOCK_HZ), 960);
        assert_eq!(duration(960, AUDIO_CLOCK_HZ), Duration::from_millis(20));
        assert_eq!(duration(1, 0), Duration::ZERO);
    }
}
