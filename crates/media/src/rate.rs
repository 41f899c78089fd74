//! Pictures a second as an exact fraction, and the time slots it cuts time into.

use std::fmt;
use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Pictures a second, exact (NTSC is 30000/1001), from 1 to [`FrameRate::MAX_FPS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRate {
    numerator: u32,
    denominator: u32,
}

/// The fraction is no usable frame rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{numerator}:{denominator} pictures a second cannot be used: it must be from 1 to {}", FrameRate::MAX_FPS)]
pub struct FrameRateError {
    numerator: u32,
    denominator: u32,
}

impl FrameRate {
    /// The highest rate: twice what any webcam gives.
    pub const MAX_FPS: u32 = 120;

    /// 30 pictures a second.
    pub const THIRTY: Self = Self { numerator: 30, denominator: 1 };

    /// A rate of `numerator / denominator` pictures a second.
    ///
    /// # Errors
    /// If it is below 1 or above [`Self::MAX_FPS`].
    pub fn new(numerator: u32, denominator: u32) -> Result<Self, FrameRateError> {
        let fastest = u64::from(denominator) * u64::from(Self::MAX_FPS);
        if denominator == 0 || numerator < denominator || u64::from(numerator) > fastest {
            return Err(FrameRateError { numerator, denominator });
        }
        Ok(Self { numerator, denominator })
    }

    /// Upper part of the fraction.
    pub fn numerator(self) -> u32 {
        self.numerator
    }

    /// Lower part of the fraction.
    pub fn denominator(self) -> u32 {
        self.denominator
    }

    /// As a number, rounded.
    pub fn fps(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// When slot `number` begins, counted from the beginning of slot 0. Rounded up to a whole
    /// nanosecond, so that [`Self::slot_at`] of it is `number` again; errors do not add up.
    pub fn slot_start(self, number: u64) -> Duration {
        let nanos =
            (u128::from(number) * u128::from(self.denominator) * NANOS_PER_SECOND).div_ceil(u128::from(self.numerator));
        duration_from_nanos(nanos)
    }

    /// Which slot `time` lies in, counted from the beginning of slot 0.
    pub fn slot_at(self, time: Duration) -> u64 {
        let slot = time.as_nanos() * u128::from(self.numerator) / (u128::from(self.denominator) * NANOS_PER_SECOND);
        u64::try_from(slot).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.numerator, self.denominator)
    }
}

fn duration_from_nanos(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % NANOS_PER_SECOND) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_drift_over_a_day() {
        let ntsc = FrameRate::new(30_000, 1001).unwrap();
        assert_eq!(ntsc.slot_start(30_000), Duration::from_secs(1001));
        assert_eq!(ntsc.slot_start(30_000 * 86), Duration::from_secs(1001 * 86));
    }

    #[test]
    fn a_slot_begins_where_it_says() {
        for rate in [(30, 1), (30_000, 1001), (25, 1), (7, 3), (120, 1)] {
            let rate = FrameRate::new(rate.0, rate.1).unwrap();
            for number in [0, 1, 2, 3, 29, 30, 31, 1_000_003] {
                let start = rate.slot_start(number);
                assert_eq!(rate.slot_at(start), number, "{rate} {number}");
                assert_eq!(rate.slot_at(start + Duration::from_millis(1)), number);
            }
        }
    }

    #[test]
    fn senseless_rates_are_refused() {
        for (numerator, denominator) in [(0, 0), (30, 0), (0, 1), (1, 2), (121, 1), (u32::MAX, 1)] {
            assert!(FrameRate::new(numerator, denominator).is_err());
        }
        assert!(FrameRate::new(u32::MAX, u32::MAX).is_ok());
    }
}
