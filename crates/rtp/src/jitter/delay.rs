//! How long packets have to be held so that nearly all are here when they are due, from how long the network held them
//! up.

use std::collections::VecDeque;

use super::SAMPLES_PER_MS;
use super::arrival::{Fastest, Order, WINDOW};
use super::histogram::{Histogram, MAX_DELAY, round_up};

/// Before anything is known: two packets. It is gone within four seconds where the network is steady.
const FIRST_TARGET: i64 = 40 * SAMPLES_PER_MS;

/// A thread that looks every 3 ms finds a packet that much late, however steady the network is, and is itself woken late
/// by one or two.
const LEAST_TARGET: i64 = 5 * SAMPLES_PER_MS;

/// The histogram takes the worst packet of each such interval (NetEQ's `resample_interval_ms`): loss is not heard by
/// its share of packets but by how often it happens, and one stall holds up many packets.
const INTERVAL: i64 = 500 * SAMPLES_PER_MS;

/// The share of those intervals that should pass without a packet too late.
const QUANTILE: f32 = 0.97;

/// A packet held up for longer than this was held up by an outage. To be ready for the next one would make talking
/// impossible, so that nothing is learnt from it.
const OUTAGE: i64 = 1_000 * SAMPLES_PER_MS;

/// How long the target stays after it rose: until the histogram has learnt of what made it rise.
const STAY: i64 = WINDOW + INTERVAL;

/// How fast it falls then: 40 ms in a second.
const FALL_PER_SECOND: i64 = 40 * SAMPLES_PER_MS;
const SECOND: i64 = 1_000 * SAMPLES_PER_MS;

#[derive(Debug)]
pub(super) struct DelayEstimate {
    fastest: Fastest,
    histogram: Histogram,
    interval: Option<Interval>,
    judged_later: VecDeque<Closed>,
    /// How long the newest packet was held up.
    newest_held_up: i64,
    target: i64,
    rose_at: Option<i64>,
    settled_at: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Interval {
    ends: i64,
    zero_before: i64,
    /// The greatest `arrival - time stamp`.
    worst: i64,
}

/// An interval that is over. Whether its packets were held up, or just came by a longer path than before or than after,
/// is seen by the fastest packet at its beginning and the fastest one since.
#[derive(Clone, Copy, Debug)]
struct Closed {
    interval: Interval,
    judged_at: i64,
}

impl Default for DelayEstimate {
    fn default() -> Self {
        Self {
            fastest: Fastest::default(),
            histogram: Histogram::default(),
            interval: None,
            judged_later: VecDeque::new(),
            newest_held_up: 0,
            target: FIRST_TARGET,
            rose_at: None,
            settled_at: None,
        }
    }
}

impl DelayEstimate {
    /// A packet came. How long it was held up is measured against the fastest one of late.
    pub(super) fn arrived(&mut self, now: i64, timestamp: i64, order: Order) {
        let zero_before = self.fastest.zero();
        let zero = self.fastest.note(now, timestamp);
        // What was taken for packets held up was a longer path: that is no reason to hold them on top of it.
        self.target -= zero_before.map_or(0, |before| (zero - before).max(0));
        let held_up = now - timestamp - zero;
        self.judge(now, zero);
        self.note_interval(now, now - timestamp, zero);
        if order == Order::Overtaken {
            // One packet went astray; the others are on time. Whether that is worth waiting for, the histogram says.
            return;
        }
        // Those behind it in the burst that ends a stall are held up less and less: they are part of it, not news.
        if held_up > self.newest_held_up && (self.target..=OUTAGE).contains(&held_up) {
            self.target = round_up(held_up).max(self.target);
            self.rose_at = Some(now);
        }
        self.newest_held_up = held_up;
    }

    /// How long after the earliest moment at which it could have been here the sample `timestamp` is looked at now.
    pub(super) fn lag(&self, now: i64, timestamp: i64) -> i64 {
        self.fastest.zero().map_or(0, |zero| now - timestamp - zero)
    }

    pub(super) fn target(&self) -> i64 {
        self.target
    }

    /// Lets the target fall slowly to what the histogram says.
    pub(super) fn settle(&mut self, now: i64) {
        let since = self.settled_at.max(self.rose_at.map(|rose_at| rose_at + STAY));
        self.settled_at = Some(now);
        let passed = now - since.unwrap_or(now);
        let fallen = self.target - passed.clamp(0, SECOND) * FALL_PER_SECOND / SECOND;
        self.target = fallen.max(self.learnt());
    }

    /// Other time stamps: what was measured against the old ones is worth nothing, what was learnt of the network is.
    pub(super) fn begin_anew(&mut self) {
        self.fastest = Fastest::default();
        self.interval = None;
        self.judged_later.clear();
        self.newest_held_up = 0;
    }

    fn learnt(&self) -> i64 {
        self.histogram.quantile(QUANTILE).unwrap_or(FIRST_TARGET).clamp(LEAST_TARGET, MAX_DELAY)
    }

    fn judge(&mut self, now: i64, zero: i64) {
        while let Some(closed) = self.judged_later.pop_front_if(|closed| closed.judged_at <= now) {
            let held_up = closed.interval.worst - closed.interval.zero_before.max(zero);
            if held_up <= OUTAGE {
                self.histogram.note(held_up);
            }
        }
    }

    fn note_interval(&mut self, now: i64, arrival: i64, zero: i64) {
        match &mut self.interval {
            Some(interval) if now < interval.ends => interval.worst = interval.worst.max(arrival),
            Some(_) | None => {
                if let Some(interval) = self.interval {
                    self.judged_later.push_back(Closed { interval, judged_at: now + WINDOW });
                }
                self.interval = Some(Interval { ends: now + INTERVAL, zero_before: zero, worst: arrival });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 20 ms, each held up as `held_up_ms` says, looked at as they come. Gives the targets, in ms.
    fn targets(estimate: &mut DelayEstimate, from: i64, held_up_ms: &[i64]) -> Vec<i64> {
        let after = |(index, held_up_ms): (usize, &i64)| {
            let timestamp = (from + index as i64) * 20 * SAMPLES_PER_MS;
            let now = timestamp + held_up_ms * SAMPLES_PER_MS;
            estimate.arrived(now, timestamp, Order::Newest);
            estimate.settle(now);
            estimate.target() / SAMPLES_PER_MS
        };
        held_up_ms.iter().enumerate().map(after).collect()
    }

    #[test]
    fn a_steady_network_needs_next_to_nothing_after_four_seconds() {
        let mut estimate = DelayEstimate::default();
        let targets = targets(&mut estimate, 0, &[30; 200]);
        assert_eq!(targets[0], 40);
        assert_eq!(targets[199], 5);
    }

    #[test]
    fn one_stall_is_met_at_once_and_forgotten_slowly() {
        let mut estimate = DelayEstimate::default();
        targets(&mut estimate, 0, &[0; 3_000]);
        let stall: Vec<i64> = (0..10).rev().map(|behind| 20 * behind).collect();
        let during = targets(&mut estimate, 3_000, &stall);
        assert!((170..=180).contains(&during[0]), "{during:?}");
        let after = targets(&mut estimate, 3_010, &[0; 500]);
        assert_eq!(after[99], during[0], "after two seconds");
        assert!((80..=130).contains(&after[199]), "after four: {}", after[199]);
        assert_eq!(after[499], 5);
    }

    #[test]
    fn stalls_that_come_again_and_again_are_prepared_for() {
        let mut estimate = DelayEstimate::default();
        let mut from = 0;
        for _ in 0..10 {
            let stall: Vec<i64> = (0..10).rev().map(|behind| 20 * behind).chain([0; 240]).collect();
            targets(&mut estimate, from, &stall);
            from += 250;
        }
        assert!(estimate.target() >= 180 * SAMPLES_PER_MS, "five seconds after a stall: {}", estimate.target());
    }

    #[test]
    fn a_longer_path_is_no_jitter_nor_is_a_shorter_one() {
        let mut estimate = DelayEstimate::default();
        targets(&mut estimate, 0, &[0; 500]);
        let longer = targets(&mut estimate, 500, &[150; 500]);
        assert!(longer[0] >= 140, "nobody can know yet: {}", longer[0]);
        assert_eq!(longer[499], 5);
        let shorter = targets(&mut estimate, 1_000, &[0; 500]);
        assert_eq!(shorter.iter().max(), Some(&5), "{shorter:?}");
    }

    #[test]
    fn nothing_is_learnt_from_an_outage_or_one_packet_astray() {
        let mut estimate = DelayEstimate::default();
        targets(&mut estimate, 0, &[0; 500]);
        let outage: Vec<i64> = (0..150).rev().map(|behind| 20 * behind).collect();
        assert_eq!(targets(&mut estimate, 500, &outage)[149], 5);
        let timestamp = 650 * 20 * SAMPLES_PER_MS;
        estimate.arrived(timestamp + 300 * SAMPLES_PER_MS, timestamp, Order::Overtaken);
        assert_eq!(estimate.target(), LEAST_TARGET);
    }
}
