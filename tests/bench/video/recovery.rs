//! How soon a call is well again after the link's rate has changed at once.

use ahoy_tests::emulator::{Interval, Step};
use serde_json::{Value, json};

use crate::calls::Seen;
use crate::figures::rounded;

/// A viewer calls it smooth when for this long…
const SMOOTH_FOR_MS: f64 = 1000.0;
/// … every picture was on the screen this soon: what people talk over each other with (ITU-T G.114 bears 400 ms one way).
const SMOOTH_WITHIN_MS: f64 = 400.0;
/// A sender is back when it sends so much of what it sent before the first change, or of the link's rate if that is less, for
/// a second.
const BACK: f64 = 0.8;
const INTERVALS_A_SECOND: usize = 10;

/// After one change of the rate.
#[derive(Debug, Clone)]
pub(super) struct Recovery {
    /// What changed.
    pub(super) change: String,
    /// After how many seconds the picture was smooth; `None`: not before the end or the next change.
    pub(super) smooth_s: Option<f64>,
    /// After how many seconds it sent as much as before, where the rate rose.
    pub(super) back_s: Option<f64>,
    /// The longest signal delay of what was captured from then on to the next change, after an outage from its beginning on,
    /// in seconds.
    pub(super) worst_s: f64,
}

/// After each change to a rate that is not nothing, of the caller's picture.
pub(super) fn recoveries(seen: &Seen, steps: &[Step]) -> Vec<Recovery> {
    let timeline = &seen.ways[0].timeline;
    let at_ms = |step: &Step| seen.from_ms + step.from.as_secs_f64() * 1000.0;
    let changes = (1..steps.len()).filter(|&at| steps[at].bps > 0);
    let recovery = |at: usize| {
        let (before, step) = (steps[at - 1], steps[at]);
        let end_ms = steps.get(at + 1).map_or(seen.to_ms, at_ms);
        // What was captured while nothing passed belongs to the return.
        let begin_ms = if before.bps == 0 { at_ms(&before) } else { at_ms(&step) };
        let delays = timeline.view(begin_ms, end_ms).signal_delays_ms;
        let smooth_ms = timeline.smooth_from(at_ms(&step), end_ms, SMOOTH_WITHIN_MS, SMOOTH_FOR_MS);
        let intervals = &seen.link[0];
        Recovery {
            change: format!("at {} s to {} Mb/s", step.from.as_secs(), step.bps as f64 / 1e6),
            smooth_s: smooth_ms.map(|smooth_ms| (smooth_ms - at_ms(&step)) / 1000.0),
            back_s: (step.bps > before.bps).then(|| back_after_s(intervals, steps[1], step)).flatten(),
            worst_s: delays.into_iter().fold(0.0, f64::max) / 1000.0,
        }
    };
    changes.map(recovery).collect()
}

impl Recovery {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "change": self.change,
            "smooth_after_s": self.smooth_s.map(rounded),
            "sends_as_before_after_s": self.back_s.map(rounded),
            "worst_signal_delay_s": rounded(self.worst_s),
        })
    }
}

/// When the first second ended in which it sent as much as before the first change. What it sent counts, not what arrived:
/// a queue of stale packets that drains is no recovery.
fn back_after_s(intervals: &[Interval], first: Step, step: Step) -> Option<f64> {
    let [first_ms, from_ms] = [first, step].map(|step| step.from.as_millis() as u64);
    let before_bytes: u64 = intervals.iter().filter(|one| one.ends_ms <= first_ms).map(|one| one.bytes_in).sum();
    let before_bps = before_bytes as f64 * 8_000.0 / first_ms as f64;
    let wanted_bytes = before_bps.min(step.bps as f64) * BACK / 8.0;
    let after: Vec<&Interval> = intervals.iter().filter(|one| one.ends_ms > from_ms).collect();
    let is_full = |second: &&[&Interval]| second.iter().map(|one| one.bytes_in).sum::<u64>() as f64 >= wanted_bytes;
    let second = after.windows(INTERVALS_A_SECOND).find(is_full)?;
    second.last().map(|last| (last.ends_ms - from_ms) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sender_is_back_when_a_second_is_as_full_as_before() {
        // 10 kB a tenth of a second (800 kb/s) but from the second to the fourth second.
        let interval = |tenth: u64| Interval {
            ends_ms: tenth * 100,
            bytes_in: if (11..=40).contains(&tenth) { 1_000 } else { 10_000 },
            ..Interval::default()
        };
        let intervals: Vec<Interval> = (1..=60).map(interval).collect();
        let step = |seconds, bps| Step { from: Duration::from_secs(seconds), bps };
        let first = step(1, 100_000);
        // Eight full tenths and two poor ones make 82 %.
        assert_eq!(back_after_s(&intervals, first, step(3, 2_000_000)), Some(1.8));
        // Half of it is all that passes.
        assert_eq!(back_after_s(&intervals, first, step(3, 400_000)), Some(1.4));
        assert_eq!(back_after_s(&intervals[..40], first, step(3, 2_000_000)), None);
    }
}
