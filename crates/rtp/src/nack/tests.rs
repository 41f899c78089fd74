use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;

const MS: Duration = Duration::from_millis(1);

/// A packet that is a picture of its own.
fn single(sequence: u16) -> RtpHeader {
    RtpHeader { sequence, timestamp: u32::from(sequence) * 3_000, marker: true }
}

/// The packet `sequence` of the picture `picture`, not its last one.
fn part(sequence: u16, picture: u32) -> RtpHeader {
    RtpHeader { sequence, timestamp: picture * 3_000, marker: false }
}

fn last(sequence: u16, picture: u32) -> RtpHeader {
    RtpHeader { marker: true, ..part(sequence, picture) }
}

fn pushed(sequences: impl IntoIterator<Item = u16>) -> NackGenerator {
    let mut generator = NackGenerator::default();
    for sequence in sequences {
        generator.push(Duration::ZERO, single(sequence), Came::Itself);
    }
    generator
}

/// Three packets to a picture, 1 ms apart, pictures each 33 ms, all of which come.
fn steady(pictures: u32) -> (NackGenerator, Duration, u16) {
    let mut generator = NackGenerator::default();
    generator.set_round_trip(40 * MS);
    let mut sequence = 0;
    for picture in 0..pictures {
        for index in 0..3 {
            let now = 33 * MS * picture + index * MS;
            let header = if index == 2 { last(sequence, picture) } else { part(sequence, picture) };
            generator.push(now, header, Came::Itself);
            assert_eq!(generator.poll(now), []);
            sequence += 1;
        }
    }
    (generator, 33 * MS * pictures, sequence)
}

#[test]
fn a_gap_is_asked_for_at_once_twice_and_not_again_within_the_round_trip() {
    let mut generator = pushed([65_533, 2]);
    generator.set_round_trip(40 * MS);
    assert_eq!(generator.poll(Duration::ZERO), [65_534, 65_535, 0, 1]);
    assert_eq!(generator.poll(COPY_AFTER), [65_534, 65_535, 0, 1], "in case that the request was lost");
    assert_eq!(generator.poll(41 * MS), []);
    // 40 ms, and twice the eighth of it that is the first guess of its variation.
    assert_eq!(generator.poll_timeout(), Some(50 * MS));
    assert_eq!(generator.poll(50 * MS), [65_534, 65_535, 0, 1]);
}

#[test]
fn where_packets_overtake_each_other_a_gap_gets_the_time_that_took() {
    let mut generator = pushed([1, 3]);
    assert_eq!(generator.poll(Duration::ZERO), [2], "nothing is known yet");
    assert_eq!(generator.push(4 * MS, single(2), Came::Itself), Arrival::Filled);
    generator.push(10 * MS, single(5), Came::Itself);
    assert_eq!(generator.poll(10 * MS), []);
    assert_eq!(generator.push(13 * MS, single(4), Came::Itself), Arrival::Filled);
    generator.push(20 * MS, single(7), Came::Itself);
    assert_eq!(generator.poll_timeout(), Some(25 * MS), "4 ms and a quarter");
    assert_eq!(generator.poll(25 * MS), [6]);
    // After ten seconds without, it is forgotten.
    let later = Duration::from_secs(11);
    generator.push(later, single(8), Came::Itself);
    generator.push(later, single(10), Came::Itself);
    assert_eq!(generator.poll(later), [9]);
}

#[test]
fn packets_that_only_changed_places_are_seldom_asked_for() {
    let (mut rng, mut generator) = (StdRng::seed_from_u64(3), NackGenerator::default());
    let mut arrivals: Vec<(Duration, u16)> = (0..20_000)
        .map(|number| {
            (number * 10 * MS + rng.random_range(0..15) * MS * u32::from(rng.random_bool(0.1)), number as u16)
        })
        .collect();
    arrivals.sort();
    let mut in_vain = 0;
    for (now, sequence) in arrivals {
        if generator.poll_timeout().is_some_and(|due| due <= now) {
            in_vain += generator.poll(now).len();
        }
        generator.push(now, single(sequence), Came::Itself);
        in_vain += generator.poll(now).len();
    }
    assert!(in_vain < 400, "{in_vain} requests for 2,000 that came late");
}

#[test]
fn the_end_of_a_picture_is_asked_for_after_a_moment_of_silence() {
    for here in [1, 2] {
        let (mut generator, now, sequence) = steady(20);
        for index in 0..here {
            generator.push(now, part(sequence + index, 20), Came::Itself);
        }
        let due = generator.poll_timeout().unwrap();
        assert!((now + 4 * MS..now + 8 * MS).contains(&due), "{:?}", due - now);
        assert_eq!(generator.poll(due), (sequence + here..sequence + 3).collect::<Vec<_>>());
        // They come, and are not asked for again.
        generator.push(due + 20 * MS, part(sequence + 1, 20), Came::Again);
        assert_eq!(generator.push(due + 20 * MS, last(sequence + 2, 20), Came::Again), Arrival::Filled);
        assert_eq!(generator.poll(due + 21 * MS), []);
        assert!((21..2_000).all(|after| generator.poll(due + after * MS).iter().all(|asked| *asked > sequence + 2)));
    }
}

#[test]
fn a_picture_that_is_overdue_is_asked_for_and_the_next_ones_until_it_is_clear_that_nothing_comes() {
    let (mut generator, now, sequence) = steady(60);
    let due = generator.poll_timeout().unwrap();
    // A picture begins at `now`; none of them was ever late.
    assert!((now + 9 * MS..now + 14 * MS).contains(&due), "{:?}", due - now);
    assert_eq!(generator.poll(due), [sequence, sequence + 1, sequence + 2]);
    let (mut most, mut requests, mut last_asked) = (0, 0, due);
    for at in (0..5_000).map(|after| due + after * MS) {
        let asked = generator.poll(at);
        if let Some(number) = asked.last() {
            (most, requests, last_asked) = (most.max(*number), requests + 1, at);
        }
    }
    assert_eq!(most, sequence + 23, "eight pictures");
    assert!(requests <= 100 && last_asked < due + Duration::from_secs(1), "{requests} until {last_asked:?}");
    assert_eq!(generator.poll_timeout(), None);
    // What comes then tells what is really missing.
    let now = now + Duration::from_secs(6);
    generator.push(now, part(sequence + 2, 61), Came::Itself);
    assert_eq!(generator.poll(now), [sequence, sequence + 1]);
}

#[test]
fn a_sender_that_leaves_pictures_out_is_soon_not_asked_for_them() {
    let (mut generator, mut now, mut sequence) = steady(60);
    let mut asked = Vec::new();
    for picture in 60..160 {
        // Each fifth picture is left out.
        let until = now + if picture % 4 == 0 { 66 * MS } else { 33 * MS };
        for index in 0..3 {
            let header = if index == 2 { last(sequence, picture) } else { part(sequence, picture) };
            generator.push(now, header, Came::Itself);
            sequence += 1;
        }
        while now < until {
            now += MS;
            asked.extend((!generator.poll(now).is_empty()).then_some(picture));
        }
    }
    assert!(!asked.is_empty() && asked.len() < 30 && asked.iter().all(|picture| *picture < 90), "{asked:?}");
}

#[test]
fn an_end_that_does_not_come_is_asked_for_as_any_other_once_something_follows() {
    let (mut generator, now, sequence) = steady(20);
    generator.push(now, part(sequence, 20), Came::Itself);
    let asked = (0..2_000).filter(|after| generator.poll(now + *after * MS).contains(&(sequence + 1))).count();
    assert_eq!((asked, generator.poll_timeout()), (2 * MAX_PRESUMED_TRIES as usize, None));
    let now = now + MAX_AGE * 2;
    generator.push(now, part(sequence + 3, 21), Came::Itself);
    assert_eq!(generator.poll(now), [sequence + 1, sequence + 2]);
}

#[test]
fn pictures_that_are_over_and_senders_without_markers_are_not_asked_for_more() {
    let (generator, now, _) = steady(20);
    assert!(generator.poll_timeout() > Some(now + 4 * MS), "not before the next one is overdue");
    let mut generator = NackGenerator::default();
    let mut asked = 0;
    for number in 0..50_u16 {
        let now = 33 * MS * u32::from(number);
        generator.push(now, part(number, u32::from(number)), Came::Itself);
        asked += (0..33).filter(|after| !generator.poll(now + *after * MS).is_empty()).count();
    }
    assert!(asked <= 4, "{asked}");
}

#[test]
fn padding_after_a_picture_is_no_picture_without_an_end() {
    let (mut generator, now, sequence) = steady(20);
    let due = generator.poll_timeout();
    generator.push(now - 20 * MS, part(sequence, 19), Came::Itself);
    assert_eq!(generator.poll_timeout(), due);
}

#[test]
fn packets_far_apart_move_the_moment_of_silence() {
    let mut generator = NackGenerator::default();
    for number in 0..60_u16 {
        let now = 12 * MS * u32::from(number);
        assert!(generator.poll(now).is_empty() || number < 3, "{number}");
        let header =
            if number % 3 == 2 { last(number, u32::from(number / 3)) } else { part(number, u32::from(number / 3)) };
        generator.push(now, header, Came::Itself);
    }
}

#[test]
fn what_came_again_is_not_asked_for_any_more() {
    let mut generator = pushed([1, 3, 4, 5]);
    assert_eq!(generator.poll(Duration::ZERO), [2]);
    assert_eq!(generator.push(40 * MS, single(2), Came::Again), Arrival::Filled);
    assert_eq!(generator.push(41 * MS, single(2), Came::Again), Arrival::Unneeded);
    assert_eq!(generator.poll_timeout(), None);
    assert_eq!(generator.poll(MAX_AGE), []);
    // The answer told how long one takes: 40 ms, and twice an eighth of that.
    generator.push(MAX_AGE, single(7), Came::Itself);
    assert_eq!(generator.poll(MAX_AGE), [6]);
    assert_eq!(generator.poll(MAX_AGE + COPY_AFTER), [6]);
    assert_eq!(generator.poll_timeout(), Some(MAX_AGE + 50 * MS));
}

#[test]
fn an_answer_that_comes_right_after_a_repetition_lengthens_the_round_trip() {
    let mut generator = pushed([1, 3]);
    generator.set_round_trip(40 * MS);
    assert_eq!((generator.poll(Duration::ZERO), generator.poll(60 * MS)), (vec![2], vec![2]));
    generator.push(70 * MS, single(2), Came::Again);
    generator.push(100 * MS, single(5), Came::Itself);
    assert_eq!((generator.poll(100 * MS), generator.poll(110 * MS)), (vec![4], vec![4]));
    assert!(generator.poll_timeout() > Some(160 * MS), "{:?}", generator.poll_timeout());
}

#[test]
fn a_packet_that_never_comes_is_asked_for_each_round_trip_then_more_rarely_and_for_a_second() {
    let mut generator = pushed([1, 3, 4, 5]);
    generator.set_round_trip(20 * MS);
    let mut asked_at = Vec::new();
    for now in (0..2_000).map(Duration::from_millis) {
        if generator.poll(now) == [2] {
            asked_at.push(now.as_millis());
        }
    }
    assert_eq!(asked_at, [0, 30, 60, 90, 120, 150, 210, 330, 570].map(|at| [at, at + 10]).concat());
    assert_eq!(generator.poll_timeout(), None);
}

#[test]
fn an_outage_is_not_asked_for_packet_by_packet() {
    let mut generator = pushed([1, 2, 4, 300, 301, 302]);
    assert_eq!(generator.poll(MAX_AGE / 2), []);
    generator.push(MAX_AGE / 2, single(304), Came::Itself);
    assert_eq!(generator.poll(MAX_AGE / 2), [303]);
}

#[test]
fn a_stream_that_counts_anew_is_followed() {
    let mut generator = pushed([5_000, 5_002, 100, 101, 103]);
    assert_eq!(generator.poll(MS), [102]);
    // A packet that is merely old changes nothing.
    assert_eq!(generator.push(MS, single(60), Came::Itself), Arrival::Unneeded);
    assert_eq!(generator.push(MS, single(102), Came::Itself), Arrival::Filled);
}

#[test]
fn a_single_packet_from_far_away_or_an_old_retransmission_does_not_end_the_repair() {
    let mut generator = pushed([5_000, 5_002]);
    for stray in [100, 30_000, 5_400] {
        assert_eq!(generator.push(MS, single(stray), Came::Itself), Arrival::Unneeded);
    }
    for old in [4_700, 100, 101, 102, 9_000, 9_001] {
        assert_eq!(generator.push(MS, single(old), Came::Again), Arrival::Unneeded);
    }
    // Late, but not from far away: nothing to follow, even in a row.
    for late in [4_500, 4_501, 4_502] {
        assert_eq!(generator.push(MS, single(late), Came::Itself), Arrival::Unneeded);
    }
    assert_eq!(generator.push(2 * MS, single(5_003), Came::Itself), Arrival::Newest);
    assert_eq!(generator.poll(2 * MS), [5_001]);
}

#[test]
fn a_packet_that_was_only_late_tells_nothing_of_the_round_trip() {
    let mut generator = pushed([1, 3]);
    assert_eq!(generator.poll(Duration::ZERO), [2]);
    assert_eq!(generator.push(MS, single(2), Came::Itself), Arrival::Filled);
    generator.push(MS, single(5), Came::Itself);
    assert_eq!(generator.poll(10 * MS), [4]);
    assert_eq!(generator.poll(10 * MS + COPY_AFTER), [4]);
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
        let (timestamp, marker) = (rng.random_range(0..3), rng.random_bool(0.3));
        let came = if rng.random_bool(0.8) { Came::Itself } else { Came::Again };
        generator.push(now, RtpHeader { sequence, timestamp, marker }, came);
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
    let (mut lost_at, mut repaired_in, mut resent_at) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
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
            // As senders have it: not twice within the round trip.
            if resent_at.insert(sequence, now).is_some_and(|before| now - before < 35 * MS) {
                continue;
            }
            retransmissions += 1;
            path.send(now, sequence, Came::Again);
        }
        while let Some((at, sequence, came)) = path.arrivals.pop_front_if(|(at, ..)| *at <= now) {
            let (timestamp, marker) = (u32::from(sequence / 5), sequence % 5 == 4);
            if generator.push(at, RtpHeader { sequence, timestamp, marker }, came) == Arrival::Filled
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
