//! What happens to packets one way: a queue of so many packets that drops what comes when it is full, the bottleneck, loss,
//! and a fixed delay. It reads no clock and moves no packet itself: time is an argument, so that it runs in virtual time too.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use super::bottleneck::{Bottleneck, Capacity};
use super::interval::Interval;
use super::loss::{Loss, Losses};

/// How many packets may be under way behind the bottleneck: 1.3 Gb/s at a delay of 150 ms, in 25 MB. More are dropped.
const MOST_UNDER_WAY: usize = 16_384;

/// What one way is like.
#[derive(Debug, Clone)]
pub struct Way {
    /// How many packets the queue holds, the one that passes the bottleneck among them.
    pub queue_packets: usize,
    /// What the bottleneck lets pass.
    pub capacity: Capacity,
    /// What is lost behind the bottleneck.
    pub loss: Loss,
    /// How long each packet takes from there on.
    pub delay: Duration,
}

/// One way, with what is on it.
#[derive(Debug)]
pub struct Direction {
    queue_packets: usize,
    delay: Duration,
    bottleneck: Bottleneck,
    losses: Losses,
    queue: VecDeque<Queued>,
    /// When the first of the queue is through the bottleneck. `None`: there is none, or it waits for ever.
    passed_at: Option<Instant>,
    under_way: VecDeque<UnderWay>,
    /// What happened since the last interval.
    interval: Interval,
}

#[derive(Debug)]
struct Queued {
    came_at: Instant,
    packet: Vec<u8>,
}

#[derive(Debug)]
struct UnderWay {
    arrives_at: Instant,
    packet: Vec<u8>,
}

impl Direction {
    /// An empty one. What is lost is decided by `seed`.
    #[must_use]
    pub fn new(way: Way, seed: u64, now: Instant) -> Self {
        Self {
            queue_packets: way.queue_packets,
            delay: way.delay,
            bottleneck: Bottleneck::new(way.capacity, now),
            losses: Losses::new(way.loss, seed),
            queue: VecDeque::new(),
            passed_at: None,
            under_way: VecDeque::new(),
            interval: Interval::default(),
        }
    }

    /// Starts the clock of the capacity, and the counting, anew. What is on the way stays there.
    pub fn begin(&mut self, now: Instant) {
        self.settle(now);
        self.bottleneck.begin(now);
        self.admit_next();
        self.interval = Interval::default();
    }

    /// A packet is sent.
    pub fn offer(&mut self, now: Instant, packet: Vec<u8>) {
        self.settle(now);
        self.interval.bytes_in += packet.len() as u64;
        if self.queue.len() >= self.queue_packets {
            self.interval.dropped += 1;
            return;
        }
        self.queue.push_back(Queued { came_at: now, packet });
        if self.queue.len() == 1 {
            self.admit_next();
            self.settle(now);
        }
    }

    /// When there may be something to take. `None`: not before something is offered.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let first = self.under_way.front().map(|first| first.arrives_at);
        first.or_else(|| Some(self.passed_at? + self.delay))
    }

    /// A packet that has arrived.
    pub fn take_due(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.settle(now);
        let first = self.under_way.pop_front_if(|first| first.arrives_at <= now)?;
        self.interval.bytes_out += first.packet.len() as u64;
        Some(first.packet)
    }

    /// What happened since this was asked last, with the queue as it is now.
    pub fn interval(&mut self, now: Instant) -> Interval {
        self.settle(now);
        let oldest = self.queue.front().map(|first| now.saturating_duration_since(first.came_at));
        let interval = mem::take(&mut self.interval);
        Interval { queued: self.queue.len(), oldest_ms: oldest.map_or(0.0, milliseconds), ..interval }
    }

    /// Brings behind the bottleneck what has passed it by now.
    fn settle(&mut self, now: Instant) {
        while let Some(passed_at) = self.passed_at.filter(|passed_at| *passed_at <= now) {
            let Queued { came_at, packet } = self.queue.pop_front().expect("what passes is the first of the queue");
            self.interval.queueing_ms.push(milliseconds(passed_at.saturating_duration_since(came_at)));
            if self.losses.next() {
                self.interval.lost += 1;
            } else if self.under_way.len() >= MOST_UNDER_WAY {
                self.interval.dropped += 1;
            } else {
                self.under_way.push_back(UnderWay { arrives_at: passed_at + self.delay, packet });
            }
            self.admit_next();
        }
    }

    /// Lets the first of the queue into the bottleneck.
    fn admit_next(&mut self) {
        let Self { queue, bottleneck, .. } = self;
        self.passed_at = queue.front().and_then(|first| bottleneck.pass(first.came_at, first.packet.len()));
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::emulator::{Profile, Schedule, Step, Trace};

    const DELAY: Duration = Duration::from_millis(20);

    /// A direction with virtual time in milliseconds.
    struct Run {
        start: Instant,
        direction: Direction,
    }

    impl Run {
        fn new(capacity: Capacity, queue_packets: usize) -> Self {
            let start = Instant::now();
            let way = Way { queue_packets, capacity, loss: Loss::None, delay: DELAY };
            Self { start, direction: Direction::new(way, 1, start) }
        }

        fn at(&self, ms: f64) -> Instant {
            self.start + Duration::from_secs_f64(ms / 1e3)
        }

        fn offer(&mut self, ms: f64, number: u8, bytes: usize) {
            self.direction.offer(self.at(ms), vec![number; bytes]);
        }

        /// Which packets arrive, and when.
        fn arrivals(&mut self) -> Vec<(u8, f64)> {
            let mut arrivals = Vec::new();
            while let Some(due) = self.direction.next_due() {
                if let Some(packet) = self.direction.take_due(due) {
                    let after_us = (due - self.start).as_secs_f64() * 1e6;
                    arrivals.push((packet[0], after_us.round() / 1e3));
                }
            }
            arrivals
        }
    }

    fn scheduled(steps: &[(u64, u64)]) -> Capacity {
        let steps = steps.iter().map(|(from_ms, bps)| Step { from: Duration::from_millis(*from_ms), bps: *bps });
        Capacity::Scheduled(Schedule::new(steps.collect(), None))
    }

    fn recorded(lines: &str) -> Capacity {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        Capacity::Recorded(Arc::new(Trace::read(file.path()).unwrap()))
    }

    #[test]
    fn without_a_bottleneck_each_packet_takes_the_delay() {
        let mut run = Run::new(Capacity::Unlimited, 1);
        (0..3).for_each(|number| run.offer(f64::from(number / 2), number, 1500));
        assert_eq!(run.arrivals(), [(0, 20.0), (1, 20.0), (2, 21.0)]);
    }

    #[test]
    fn a_packet_takes_the_time_of_its_bytes_behind_those_before_it() {
        let mut run = Run::new(scheduled(&[(0, 1_000_000)]), 256);
        run.offer(0.0, 1, 125);
        run.offer(0.0, 2, 1250);
        run.offer(50.0, 3, 250);
        assert_eq!(run.arrivals(), [(1, 21.0), (2, 31.0), (3, 72.0)]);
        let interval = run.direction.interval(run.at(100.0));
        assert_eq!((interval.bytes_in, interval.bytes_out, interval.queued), (1625, 1625, 0));
        assert_eq!(interval.queueing_ms.iter().map(|ms| ms.round()).collect::<Vec<_>>(), [1.0, 11.0, 2.0]);
    }

    #[test]
    fn a_full_queue_drops_what_comes_last() {
        let mut run = Run::new(scheduled(&[(0, 1_000_000)]), 4);
        (0..10).for_each(|number| run.offer(0.0, number, 1250));
        // One has passed, so one finds room.
        run.offer(10.0, 20, 1250);
        run.offer(10.0, 21, 1250);
        let interval = run.direction.interval(run.at(15.0));
        assert_eq!((interval.dropped, interval.queued, interval.oldest_ms.round()), (7, 4, 15.0));
        let numbers: Vec<u8> = run.arrivals().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 20]);
    }

    #[test]
    fn the_queue_stands_through_an_outage_and_the_clock_begins_when_told() {
        let mut run = Run::new(scheduled(&[(0, 1_000_000), (100, 0), (200, 1_000_000)]), 256);
        // Before the clock begins there is no outage.
        run.offer(150.0, 1, 1250);
        assert_eq!(run.arrivals(), [(1, 180.0)]);
        run.direction.begin(run.at(1000.0));
        run.offer(1095.0, 2, 1250);
        run.offer(1120.0, 3, 1250);
        // Half before the outage, half after it.
        assert_eq!(run.arrivals(), [(2, 1225.0), (3, 1235.0)]);
    }

    #[test]
    fn a_clock_that_begins_again_frees_what_an_outage_holds() {
        let mut run = Run::new(scheduled(&[(0, 1_000_000), (100, 0)]), 256);
        run.direction.begin(run.at(0.0));
        run.offer(150.0, 1, 1250);
        assert_eq!(run.direction.next_due(), None);
        run.direction.begin(run.at(300.0));
        assert_eq!(run.arrivals(), [(1, 330.0)]);
    }

    #[test]
    fn a_step_changes_the_rate_in_its_moment() {
        let mut run = Run::new(scheduled(&[(0, 1_000_000), (10, 100_000)]), 256);
        run.direction.begin(run.start);
        (0..3).for_each(|number| run.offer(0.0, number, 1000));
        // 8 ms; 2 ms and 60 ms for the rest of the second; 80 ms.
        assert_eq!(run.arrivals(), [(0, 28.0), (1, 90.0), (2, 170.0)]);
    }

    #[test]
    fn a_trace_is_replayed_byte_by_byte_and_keeps_nothing_for_later() {
        let mut run = Run::new(recorded("10\n20\n20\n50\n"), 256);
        // Two fit into the opportunity of 10 ms, the third takes what is left of it and some of the first of 20 ms; 1400
        // bytes of that are left for the fourth, which needs 100 of the next.
        run.offer(0.0, 1, 700);
        run.offer(0.0, 2, 700);
        run.offer(0.0, 3, 200);
        run.offer(0.0, 4, 1500);
        // Comes when that opportunity is over: the next is that of 50 ms.
        run.offer(21.0, 5, 100);
        // The trace starts over at 50 ms.
        run.offer(55.0, 6, 1500);
        run.offer(55.0, 7, 1);
        assert_eq!(run.arrivals(), [(1, 30.0), (2, 30.0), (3, 40.0), (4, 40.0), (5, 70.0), (6, 80.0), (7, 90.0)]);
    }

    #[test]
    fn a_trace_carries_all_of_its_bytes_and_starts_over_with_the_clock() {
        let mut run = Run::new(recorded("10\n20\n20\n50\n"), 1000);
        (0..100).for_each(|_| run.offer(0.0, 0, 900));
        run.direction.begin(run.at(0.5));
        let arrived = run.arrivals();
        for (at_ms, opportunities) in [(30.5, 1.0), (40.5, 3.0), (70.5, 4.0), (80.5, 5.0), (590.5, 47.0)] {
            let by_then = arrived.iter().filter(|(_, ms)| *ms <= at_ms).count() as f64;
            assert_eq!(by_then, f64::floor(opportunities * 1500.0 / 900.0), "at {at_ms} ms");
        }
    }

    #[test]
    fn every_profile_carries_what_it_says() {
        let carried = |name: &str, from_s: u64, to_s: u64| {
            let mut run = Run::new(Profile::named(name).unwrap().capacity(1), 1000);
            run.direction.begin(run.start);
            let mut bytes = 0;
            // 4 Mb/s.
            for ms in 0..to_s * 1000 {
                run.offer(ms as f64, 0, 500);
                while let Some(packet) = run.direction.take_due(run.at(ms as f64)) {
                    bytes += if ms >= from_s * 1000 { packet.len() } else { 0 };
                }
            }
            bytes as f64 * 8.0 / (to_s - from_s) as f64
        };
        let near =
            |measured: f64, nominal: f64| assert!((measured / nominal - 1.0).abs() < 0.01, "{measured} {nominal}");
        near(carried("slow-500k", 1, 5), 500_000.0);
        near(carried("step", 1, 20), 2_000_000.0);
        near(carried("step", 21, 40), 300_000.0);
        near(carried("step", 41, 50), 2_000_000.0);
        assert!(carried("outage", 21, 30) < 1.0);
        near(carried("outage", 31, 40), 2_000_000.0);
        near(carried("sawtooth", 10, 30), 1_650_000.0);
    }
}
