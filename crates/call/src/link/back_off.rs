//! How long to wait before the next attempt: exponential, with full jitter, so that a server's restart does not bring
//! all its clients back in one moment.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct BackOff {
    min: Duration,
    max: Duration,
    failures: u32,
    random: u64,
}

impl BackOff {
    pub(crate) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self { min, max, failures: 0, random: seed }
    }

    /// Somewhere between nothing and the limit, which doubles with each failure from `min` to `max`.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let limit = self.min.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        // 24 random bits are exact in an f32 and finer than any timer.
        let share = (self.next_random() >> 40) as f32 / (1_u32 << 24) as f32;
        limit.mul_f32(share)
    }

    /// The next failure is a first one again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): to spread out, not to keep secrets.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_from_a_quarter_second_to_five_and_begins_anew_after_success() {
        let (min, max) = (Duration::from_millis(250), Duration::from_secs(5));
        let mut longest = [Duration::ZERO; 10];
        for seed in 0..500 {
            let mut back_off = BackOff::new(min, max, seed);
            for (failures, longest) in (0..).zip(&mut longest) {
                let delay = back_off.next_delay();
                assert!(delay <= (min * (1 << failures)).min(max), "seed {seed}");
                *longest = delay.max(*longest);
            }
            back_off.reset();
            assert!(back_off.next_delay() <= min);
        }
        assert!(longest[0] > min * 9 / 10, "the first waits use their whole range");
        assert!(longest[9] > max * 9 / 10, "the last waits use their whole range");
    }
}
