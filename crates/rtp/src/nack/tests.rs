use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;

const MS: Duration = Duration::from_millis(1);

fn pushed(sequences: impl IntoIterator<Item = u16>) -> NackGenerator {
    let mut generator = NackGenerator::default();
    for sequence in sequences {
        generator.push(Duration::ZERO, sequence, Came::Itself);
    }
    generator
}

#[test]
fn a_gap_is_asked_for_once_two_more_packets_came_and_not_again_within_the_round_trip() {
    let mut generator = pushed([65_533, 2]);
    generator.set_round_trip(40 * MS);
    assert_eq!(generator.poll(Duration::ZERO), []);
    assert_eq!(generator.push(MS, 3, Came::Itself), Arrival::Newest);
    assert_eq!(generator.poll(MS), []);
    assert_eq!(generator.push(2 * MS, 4, Came::Itself), Arrival::Newest);
    assert_eq!(generator.poll(2 * MS), [65_534, 65_535, 0, 1]);
    assert_eq!(generator.poll(41 * MS), []);
    // 40 ms, and four times the eighth of it that is the first guess of its variation.
    assert_eq!(generator.poll_timeout(), Some(62 * MS));
    assert_eq!(generator.poll(62 * MS), [65_534, 65_535, 0, 1]);
}

#[test]
fn a_gap_without_followers_is_asked_for_after_a_moment() {
    let mut generator = pushed([7, 9]);
    assert_eq!(generator.poll_timeout(), Some(REORDER_WAIT));
    assert_eq!(generator.poll(REORDER_WAIT - MS), []);
    assert_eq!(generator.poll(REORDER_WAIT), [8]);
}

#[test]
fn packets_that_only_changed_places_are_never_asked_for() {
    let mut generator = pushed([1, 3]);
    generator.push(MS, 4, Came::Itself);
    assert_eq!(generator.push(2 * MS, 2, Came::Itself), Arrival::Filled);
    generator.push(2 * MS, 6, Came::Itself);
    assert_eq!(generator.push(3 * MS, 5, Came::Itself), Arrival::Filled);
    assert_eq!(generator.poll_timeout(), None);
    assert_eq!(generator.poll(MAX_AGE), []);
}

#[test]
fn what_came_again_is_not_asked_for_any_more() {
    let mut generator = pushed([1, 3, 4, 5]);
    assert_eq!(generator.poll(Duration::ZERO), [2]);
    assert_eq!(generator.push(40 * MS, 2, Came::Again), Arrival::Filled);
    assert_eq!(generator.push(41 * MS, 2, Came::Again), Arrival::Unneeded);
    assert_eq!(generator.poll_timeout(), None);
    assert_eq!(generator.poll(MAX_AGE), []);
    // The answer told how long one takes: 40 ms, and four times an eighth of that.
    generator.push(MAX_AGE, 7, Came::Itself);
    generator.push(MAX_AGE, 9, Came::Itself);
    assert_eq!(generator.poll(MAX_AGE), [6]);
    assert_eq!(generator.poll_timeout(), Some(MAX_AGE + REORDER_WAIT), "of packet 8");
    generator.push(MAX_AGE, 8, Came::Itself);
    assert_eq!(generator.poll_timeout(), Some(MAX_AGE + 60 * MS));
}

#[test]
fn a_packet_that_never_comes_is_asked_for_five_times_at_growing_distances() {
    let mut generator = pushed([1, 3, 4, 5]);
    generator.set_round_trip(20 * MS);
    let mut asked_at = Vec::new();
    for now in (0..2_000).map(Duration::from_millis) {
        if generator.poll(now) == [2] {
            asked_at.push(now.as_millis());
        }
    }
    assert_eq!(asked_at, [0, 30, 90, 210, 450]);
    assert_eq!(generator.poll_timeout(), None);
}

#[test]
fn an_outage_is_not_asked_for_packet_by_packet() {
    let mut generator = pushed([1, 2, 4, 300, 301, 302]);
    assert_eq!(generator.poll(MAX_AGE / 2), []);
    generator.push(MAX_AGE / 2, 304, Came::Itself);
    assert_eq!(generator.poll(MAX_AGE / 2 + REORDER_WAIT), [303]);
}

#[test]
fn a_stream_that_counts_anew_is_followed() {
    let mut generator = pushed([5_000, 5_002, 100, 101, 103]);
    assert_eq!(generator.poll(REORDER_WAIT), [102]);
    // A packet that is merely old changes nothing.
    assert_eq!(generator.push(REORDER_WAIT, 60, Came::Itself), Arrival::Unneeded);
    assert_eq!(generator.push(REORDER_WAIT, 102, Came::Itself), Arrival::Filled);
}

#[test]
fn a_single_packet_from_far_away_or_an_old_retransmission_does_not_end_the_repair() {
    let mut generator = pushed([5_000, 5_002]);
    for stray in [100, 30_000, 5_400] {
        assert_eq!(generator.push(MS, stray, Came::Itself), Arrival::Unneeded);
    }
    for old in [4_700, 100, 101, 102, 9_000, 9_001] {
        assert_eq!(generator.push(MS, old, Came::Again), Arrival::Unneeded);
    }
    // Late, but not from far away: nothing to follow, even in a row.
    for late in [4_500, 4_501, 4_502] {
        assert_eq!(generator.push(MS, late, Came::Itself), Arrival::Unneeded);
    }
    assert_eq!(generator.push(2 * MS, 5_003, Came::Itself), Arrival::Newest);
    assert_eq!(generator.poll(REORDER_WAIT), [5_001]);
}

#[test]
fn a_packet_that_was_only_late_tells_nothing_of_the_round_trip() {
    let mut generator = pushed([1, 3, 4, 5]);
    assert_eq!(generator.poll(Duration::ZERO), [2]);
    assert_eq!(generator.push(MS, 2, Came::Itself), Arrival::Filled);
    generator.push(MS, 7, Came::Itself);
    assert_eq!(generator.poll(10 * MS), [6]);
    // What is assumed while nothing is known.
    assert_eq!(generator.poll_timeout(), Some(110 * MS));
}

#[test]
fn whatever_numbers_come_requests_and_memory_stay_bounded_and_time_goes_on() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut generator = NackGenerator::default();
    let mut now = Duration::ZERO;
    let mut sequence = 0_u16;
    for _ in 0..50_000 {
        now += Duration::from_micros(rng.random_range(0..3_000));
        sequence = match rng.random_range(0..10) {
            0 => rng.random(),
            1 => sequence.wrapping_sub(rng.random_range(0..600)),
            _ => sequence.wrapping_add(rng.random_range(0..300)),
        };
        generator.push(now, sequence, if rng.random_bool(0.8) { Came::Itself } else { Came::Again });
        if rng.random_bool(0.1) {
            generator.set_round_trip(Duration::from_millis(rng.random_range(0..100_000)));
        }
        assert!(generator.missing.len() <= MAX_MISSING);
        assert!(generator.poll(now).len() <= MAX_MISSING);
        assert!(generator.poll_timeout().is_none_or(|due| due > now));
    }
}

/// A path of 20 ms each way that loses packets, requests and answers alike, and delays them by up to 4 ms more. It keeps
/// them in order, as a queue does.
struct Path {
    rng: StdRng,
    arrivals: VecDeque<(Duration, u16, Came)>,
    last: Duration,
}

impl Path {
    /// Whether the packet gets through.
    fn send(&mut self, at: Duration, sequence: u16, came: Came) -> bool {
        let arrives_at = at + Duration::from_micros(self.rng.random_range(20_000..24_000));
        self.last = self.last.max(arrives_at);
        let arrives = !self.loses();
        if arrives {
            self.arrivals.push_back((self.last, sequence, came));
        }
        arrives
    }

    fn loses(&mut self) -> bool {
        self.rng.random_bool(0.03)
    }
}

#[test]
fn three_percent_of_loss_cost_hardly_more_than_one_retransmission_each() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut path = Path { rng: StdRng::seed_from_u64(seed), arrivals: VecDeque::new(), last: Duration::ZERO };
    let mut generator = NackGenerator::default();
    let mut requests: VecDeque<(Duration, u16)> = VecDeque::new();
    let (mut lost_at, mut repaired_in) = (BTreeMap::new(), Vec::new());
    let (mut lost, mut retransmissions) = (0, 0);
    for millis in 0..120_000 {
        let now = Duration::from_millis(millis);
        // A picture of 5 packets each 33 ms: 1.5 Mb/s.
        for index in (0..5).filter(|_| millis % 33 == 0) {
            let sequence = (millis / 33 * 5 + index) as u16;
            if !path.send(now, sequence, Came::Itself) {
                lost += 1;
                lost_at.insert(sequence, now);
            }
        }
        while let Some((_, sequence)) = requests.pop_front_if(|(at, _)| *at <= now) {
            retransmissions += 1;
            path.send(now, sequence, Came::Again);
        }
        while let Some((at, sequence, came)) = path.arrivals.pop_front_if(|(at, ..)| *at <= now) {
            if generator.push(at, sequence, came) == Arrival::Filled
                && let Some(lost_at) = lost_at.remove(&sequence)
            {
                repaired_in.push(at.saturating_sub(lost_at));
            }
        }
        let asked_for = generator.poll(now);
        requests.extend(asked_for.into_iter().filter(|_| !path.loses()).map(|sequence| (now + 20 * MS, sequence)));
    }
    let quick = repaired_in.iter().filter(|taken| **taken < 140 * MS).count();
    println!(
        "{lost} lost, {retransmissions} retransmissions, {} repaired, {quick} in 3 round trips",
        repaired_in.len()
    );
    assert!(retransmissions * 100 <= lost * 115, "{retransmissions} for {lost}");
    assert!(repaired_in.len() * 100 >= lost * 98, "{} of {lost}", repaired_in.len());
    assert!(quick * 100 >= repaired_in.len() * 95, "{quick} of {}", repaired_in.len());
}
