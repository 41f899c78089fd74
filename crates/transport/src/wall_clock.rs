//! This machine's wall clock in the form that RTCP carries. It is read once and then goes on with the steady clock, so that
//! a clock that is set in the middle of a call tears nothing apart.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds from 1900, where NTP begins to count, to 1970 (RFC 5905 §6).
const NTP_BEFORE_UNIX: u64 = 2_208_988_800;

/// Tells NTP times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    read_at: Instant,
    /// Since 1970.
    read: Duration,
}

impl WallClock {
    /// Reads the wall clock.
    pub(crate) fn new(now: Instant) -> Self {
        Self { read_at: now, read: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// Seconds since 1900 in the upper 32 bits, 2^-32 seconds in the lower (RFC 3550 §4).
    pub(crate) fn ntp(&self, now: Instant) -> u64 {
        let since_1970 = self.read + now.saturating_duration_since(self.read_at);
        // Seconds wrap in 2036, as they are meant to (RFC 5905 §6).
        let seconds = since_1970.as_secs().wrapping_add(NTP_BEFORE_UNIX);
        let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
        (seconds << 32) | fraction
    }

    /// The middle 32 bits of [`ntp`](Self::ntp), in which reports tell of each other: units of 2^-16 seconds.
    pub(crate) fn short_ntp(&self, now: Instant) -> u32 {
        (self.ntp(now) >> 16) as u32
    }
}

/// A duration in units of 2^-16 seconds.
pub(crate) fn short_units(duration: Duration) -> u32 {
    (duration.as_nanos() * 65_536 / 1_000_000_000) as u32
}

/// The duration of so many units of 2^-16 seconds.
pub(crate) fn from_short_units(units: u32) -> Duration {
    Duration::from_nanos(u64::from(units) * 1_000_000_000 / 65_536)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_wall_and_go_on_with_the_steady_clock() {
        let now = Instant::now();
        let clock = WallClock { read_at: now, read: Duration::from_secs(1_800_000_000) };
        assert_eq!(clock.ntp(now), (1_800_000_000 + NTP_BEFORE_UNIX) << 32);
        assert_eq!(clock.ntp(now + Duration::from_millis(250)) - clock.ntp(now), 1 << 30);
        assert_eq!(clock.short_ntp(now + Duration::from_secs(2)).wrapping_sub(clock.short_ntp(now)), 2 << 16);
        let read = WallClock::new(now);
        let seconds = (read.ntp(now) >> 32) - NTP_BEFORE_UNIX;
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(real - seconds <= 1, "{seconds} of {real}");
    }

    #[test]
    fn short_units_are_65536ths_of_a_second() {
        assert_eq!(short_units(Duration::from_millis(1_500)), 98_304);
        assert_eq!(from_short_units(98_304), Duration::from_millis(1_500));
    }
}
