//! A rate that changes with time, and when the last bit of a packet is through.

use std::time::Duration;

/// A rate from some time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When, since the clock began.
    pub from: Duration,
    /// How much passes; 0 is an outage.
    pub bps: u64,
}

/// Rates that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// In order, the first from 0 on.
    steps: Vec<Step>,
    /// When it starts over. `None`: the last rate stays.
    repeats_after: Option<Duration>,
}

impl Schedule {
    /// # Panics
    /// When the steps do not begin at 0, are out of order or let nothing pass, ever.
    pub(super) fn new(steps: Vec<Step>, repeats_after: Option<Duration>) -> Self {
        assert!(steps.first().is_some_and(|first| first.from.is_zero()), "there is a rate from the start");
        assert!(steps.is_sorted_by(|one, next| one.from < next.from), "the steps are in order");
        assert!(steps.iter().any(|step| step.bps > 0), "something passes some time");
        assert!(
            repeats_after.is_none_or(|end| steps.iter().all(|step| step.from < end)),
            "the steps repeat as a whole"
        );
        Self { steps, repeats_after }
    }

    /// The rate before the clock begins.
    pub(super) fn at_start(&self) -> Self {
        let bps = self.steps[0].bps;
        Self { steps: vec![Step { from: Duration::ZERO, bps }], repeats_after: None }
    }

    /// When the last of so many bytes has passed whose first is sent at `from`. `None`: never.
    pub(super) fn passed_at(&self, from: Duration, bytes: usize) -> Option<Duration> {
        // In bits times nanoseconds a second, so that nothing is rounded before the end.
        let mut left = bytes as u128 * 8 * 1_000_000_000;
        let mut at = from;
        loop {
            let (bps, until) = self.rate_at(at);
            let possible = until.map(|until| u128::from(bps) * (until - at).as_nanos());
            match until {
                Some(until) if possible < Some(left) => {
                    left -= possible.unwrap_or(0);
                    at = until;
                }
                Some(_) | None => {
                    let takes = left.checked_div(u128::from(bps))?;
                    return Some(at + Duration::from_nanos(u64::try_from(takes).ok()?));
                }
            }
        }
    }

    /// The rate at that time, and how long it stays so; `None` is for ever.
    fn rate_at(&self, at: Duration) -> (u64, Option<Duration>) {
        let repetition = self.repeats_after.map_or(0, |every| at.as_nanos() / every.as_nanos());
        let begun_at = self.repeats_after.unwrap_or_default() * u32::try_from(repetition).unwrap_or(u32::MAX);
        let into = at - begun_at;
        let next = self.steps.partition_point(|step| step.from <= into);
        let until = self.steps.get(next).map(|step| step.from).or(self.repeats_after);
        (self.steps[next - 1].bps, until.map(|until| begun_at + until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn steps() -> Vec<Step> {
        [(0.0, 8_000), (1.0, 0), (2.0, 80_000)].map(|(from, bps)| Step { from: seconds(from), bps }).to_vec()
    }

    #[test]
    fn a_packet_passes_across_steps_and_waits_through_outages() {
        let schedule = Schedule::new(steps(), None);
        assert_eq!(schedule.passed_at(seconds(0.0), 500), Some(seconds(0.5)));
        assert_eq!(schedule.passed_at(seconds(0.0), 1_000), Some(seconds(1.0)));
        // 500 bytes before the outage, 500 after it at ten times the rate.
        assert_eq!(schedule.passed_at(seconds(0.5), 1_000), Some(seconds(2.05)));
        assert_eq!(schedule.passed_at(seconds(90.0), 1_000), Some(seconds(90.1)));
        assert_eq!(schedule.at_start().passed_at(seconds(90.0), 1_000), Some(seconds(91.0)));
    }

    #[test]
    fn a_schedule_repeats() {
        let schedule = Schedule::new(steps(), Some(seconds(3.0)));
        assert_eq!(schedule.passed_at(seconds(3.0), 500), Some(seconds(3.5)));
        assert_eq!(schedule.passed_at(seconds(30.5), 1_000), Some(seconds(32.05)));
        // 500 bytes in the last 50 ms, then at the first rate again.
        assert_eq!(schedule.passed_at(seconds(2.95), 1_000), Some(seconds(3.5)));
    }

    #[test]
    fn after_a_last_outage_nothing_passes() {
        let schedule = Schedule::new(steps()[..2].to_vec(), None);
        assert_eq!(schedule.passed_at(seconds(0.5), 1_000), None);
    }
}
