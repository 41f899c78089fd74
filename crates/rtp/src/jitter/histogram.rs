//! How often which delay was seen, the longer ago the less it counts.

use super::SAMPLES_PER_MS;

/// What one entry covers.
const STEP: i64 = 5 * SAMPLES_PER_MS;

const ENTRIES: usize = 101;

/// The longest delay that is told apart from longer ones: 500 ms.
pub(super) const MAX_DELAY: i64 = (ENTRIES as i64 - 1) * STEP;

/// What is left of an entry's weight when another comes. NetEQ's number: half of it is gone after 40.
const KEPT: f32 = 0.983;

#[derive(Debug)]
pub(super) struct Histogram {
    /// Entry `n` counts delays over `n - 1` and up to `n` steps.
    weights: [f32; ENTRIES],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { weights: [0.0; ENTRIES] }
    }
}

impl Histogram {
    pub(super) fn note(&mut self, delay: i64) {
        for weight in &mut self.weights {
            *weight *= KEPT;
        }
        let entry = usize::try_from(round_up(delay) / STEP).unwrap_or(0).min(ENTRIES - 1);
        if let Some(weight) = self.weights.get_mut(entry) {
            *weight += 1.0;
        }
    }

    /// A delay that the share `quantile` of those seen did not exceed; `None` when none was seen.
    pub(super) fn quantile(&self, quantile: f32) -> Option<i64> {
        let total: f32 = self.weights.iter().sum();
        if total <= 0.0 {
            return None;
        }
        let mut below = 0.0;
        let entry = self.weights.iter().position(|weight| {
            below += weight;
            below >= total * quantile
        });
        Some(entry.map_or(MAX_DELAY, |entry| entry as i64 * STEP))
    }
}

/// `delay` as the histogram gives it back, neither negative nor more than [`MAX_DELAY`].
pub(super) fn round_up(delay: i64) -> i64 {
    let delay = delay.clamp(0, MAX_DELAY);
    (delay + STEP - 1) / STEP * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_is_that_of_what_was_seen_and_old_ones_fade() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for delay_ms in 1..=100 {
            histogram.note(delay_ms * SAMPLES_PER_MS);
        }
        assert_eq!(histogram.quantile(1.0), Some(100 * SAMPLES_PER_MS));
        let middle = histogram.quantile(0.5).unwrap();
        assert!((65 * SAMPLES_PER_MS..=75 * SAMPLES_PER_MS).contains(&middle), "{middle}: newer ones count more");
        for _ in 0..200 {
            histogram.note(0);
        }
        assert_eq!(histogram.quantile(0.95), Some(0));
    }

    #[test]
    fn delays_without_end_count_as_the_longest() {
        let mut histogram = Histogram::default();
        histogram.note(i64::MAX / 2);
        assert_eq!(histogram.quantile(0.97), Some(MAX_DELAY));
        histogram.note(i64::MIN / 2);
        assert_eq!(histogram.quantile(0.2), Some(0));
    }
}
