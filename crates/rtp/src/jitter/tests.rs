mod simulation;

use super::queue::MAX_PACKETS;
use super::*;
use crate::packetizer::OpusPacketizer;
use crate::slabs::Slabs;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const STEP_TIME: Duration = Duration::from_millis(20);

const CONCEAL: Playout = Playout::Conceal(STEP_SAMPLES);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// An Opus packet of 20 ms, with repair data, that says which one it is.
fn payload(number: u8) -> Bytes {
    Bytes::from(vec![9 << 3, 0x40, number])
}

fn packets(count: u8) -> Vec<RtpPacket> {
    // Both counters wrap within the first packets.
    let mut packetizer = OpusPacketizer::numbered_from(65_533, u32::MAX - 1_000);
    (0..count).map(|number| packetizer.packetize(payload(number), 960)).collect()
}

/// Pushes and pulls as a call does: packet `n` at 20 ms x n where `arrives` says so, a pull whenever the last is used
/// up.
fn play(packets: &[RtpPacket], until: Duration, arrives: impl Fn(usize) -> Option<Duration>) -> Vec<Playout> {
    play_with(&mut JitterBuffer::new(), packets, until, arrives)
}

fn play_with(
    buffer: &mut JitterBuffer,
    packets: &[RtpPacket],
    until: Duration,
    arrives: impl Fn(usize) -> Option<Duration>,
) -> Vec<Playout> {
    let mut arrivals: Vec<(Duration, &RtpPacket)> =
        packets.iter().enumerate().filter_map(|(index, packet)| Some((arrives(index)?, packet))).collect();
    arrivals.sort_by_key(|(at, _)| *at);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut played = Vec::new();
    let mut now = ms(0);
    while now < until {
        while let Some((at, packet)) = arrivals.next_if(|(at, _)| *at <= now) {
            buffer.push(at, packet.clone());
        }
        let playout = buffer.pull(now, 0).playout;
        now += if playout == Playout::Silence { ms(10) } else { STEP_TIME };
        played.push(playout);
    }
    played
}

fn on_time(index: usize) -> Option<Duration> {
    Some(STEP_TIME * index as u32)
}

fn decoded(played: &[Playout]) -> Vec<u8> {
    let number = |playout: &Playout| match playout {
        Playout::Decode(payload) => Some(payload[2]),
        Playout::DecodeFec(_) | Playout::Conceal(_) | Playout::ComfortNoise(_) | Playout::Silence => None,
    };
    played.iter().filter_map(number).collect()
}

/// A buffer that plays packet 0 of `all` at 40 ms, the others up to the last not yet given.
fn started(all: &[RtpPacket]) -> JitterBuffer {
    let mut buffer = JitterBuffer::new();
    buffer.push(ms(0), all[0].clone());
    assert_eq!(buffer.pull(ms(30), 0).playout, Playout::Silence);
    assert_eq!(buffer.pull(ms(40), 0).playout, Playout::Decode(payload(0)));
    buffer
}

#[test]
fn the_first_packet_waits_until_something_is_known_of_the_network() {
    let played = play(&packets(10), ms(240), on_time);
    let mut expected = vec![Playout::Silence; 4];
    expected.extend((0..10).map(|number| Playout::Decode(payload(number))));
    assert_eq!(played, expected);
}

#[test]
fn a_lost_packet_is_taken_from_the_one_after_it() {
    let mut buffer = JitterBuffer::new();
    let played = play_with(&mut buffer, &packets(6), ms(160), |index| on_time(index).filter(|_| index != 3));
    assert_eq!(played[7], Playout::DecodeFec(payload(4)));
    assert_eq!(played[8], Playout::Decode(payload(4)));
    let stats = buffer.stats();
    assert_eq!((stats.recovered_samples, stats.concealed_samples, stats.played), (960, 0, 5));
}

#[test]
fn a_lost_packet_is_concealed_where_the_next_one_holds_no_copy() {
    let mut all = packets(6);
    for packet in &mut all {
        let number = packet.payload[2];
        packet.payload = Bytes::from(vec![9 << 3, 0, number]);
    }
    let played = play(&all, ms(160), |index| on_time(index).filter(|_| index != 3));
    assert_eq!(played[7], CONCEAL);
    assert_eq!(decoded(&played), [0, 1, 2, 4, 5]);
}

/// Each packet with copies of so many before it, and no repair data of Opus' own.
fn redundant(count: u8, copies: u32) -> Vec<RtpPacket> {
    let mut packets = packets(count);
    for packet in &mut packets {
        let number = u32::from(packet.payload[2]);
        let payload = |number: u32| Bytes::from(vec![9 << 3, 0, number as u8]);
        let copies: Vec<red::Copy> = (1..=copies.min(number))
            .rev()
            .map(|back| red::Copy { back: back * 960, payload: payload(number - back) })
            .collect();
        packet.payload = red::join(111, &copies, &payload(number), &mut Slabs::default()).unwrap();
    }
    packets
}

#[test]
fn lost_packets_are_played_from_the_copies_in_later_ones() {
    for (copies, lost) in [(1, 3..4), (2, 3..5)] {
        let all = redundant(10, copies);
        let mut buffer = JitterBuffer::new();
        for packet in &all[..3] {
            buffer.push_redundant(ms(0), packet.clone());
        }
        for packet in &all[lost.end..] {
            buffer.push_redundant(ms(40), packet.clone());
        }
        let played: Vec<Playout> = (0..10).map(|step| buffer.pull(ms(40) + STEP_TIME * step, 0).playout).collect();
        assert_eq!(decoded(&played), (0..10).collect::<Vec<u8>>());
        let stats = buffer.stats();
        assert_eq!((stats.recovered_samples, stats.concealed_samples), (960 * lost.len() as u64, 0));
    }
}

#[test]
fn copies_of_what_came_or_was_invented_are_not_played() {
    let all = redundant(4, 1);
    let mut buffer = JitterBuffer::new();
    buffer.push_redundant(ms(0), all[0].clone());
    assert_eq!(decoded(&[buffer.pull(ms(40), 0).playout]), [0]);
    assert_eq!(buffer.pull(ms(60), 0).playout, CONCEAL);
    buffer.push_redundant(ms(70), all[2].clone());
    buffer.push_redundant(ms(71), all[3].clone());
    let played = [80, 100].map(|at| buffer.pull(ms(at), 0).playout);
    assert_eq!(decoded(&played), [2, 3]);
    let stats = buffer.stats();
    assert_eq!((stats.recovered_samples, stats.concealed_samples, stats.duplicates), (0, 960, 0));
    // The packet itself may still come after its copy was held.
    let all = redundant(2, 1);
    let mut buffer = JitterBuffer::new();
    buffer.push_redundant(ms(0), all[1].clone());
    buffer.push_redundant(ms(1), all[0].clone());
    let played = [40, 60].map(|at| buffer.pull(ms(at), 0).playout);
    assert_eq!(decoded(&played), [0, 1]);
}

#[test]
fn frames_of_ten_milliseconds_are_concealed_one_by_one() {
    let mut packetizer = OpusPacketizer::numbered_from(0, 0);
    let short = |number: u8| Bytes::from(vec![8 << 3, 0, number]);
    let all: Vec<RtpPacket> = (0..8).map(|number| packetizer.packetize(short(number), 480)).collect();
    let mut buffer = JitterBuffer::new();
    buffer.push(ms(0), all[0].clone());
    for packet in &all[2..] {
        buffer.push(ms(30), packet.clone());
    }
    let played: Vec<Playout> = (4..12).map(|step| buffer.pull(ms(10) * step, 0).playout).collect();
    assert_eq!(played[1], Playout::Conceal(480));
    assert_eq!(decoded(&played), [0, 2, 3, 4, 5, 6, 7]);
    assert_eq!(buffer.stats().concealed_samples, 480);
}

#[test]
fn silence_where_packets_were_lost_counts_as_concealed_and_the_senders_own_does_not() {
    for (lost, skipped_ms, concealed_ms) in [(50, 0, 1_000), (0, 1_000, 120), (1, 1_000, 140)] {
        let mut packetizer = OpusPacketizer::numbered_from(1, 1);
        let mut buffer = JitterBuffer::new();
        let mut now = ms(0);
        let mut talk = |buffer: &mut JitterBuffer, packetizer: &mut OpusPacketizer, packets: u32, lost: u32| {
            for number in 0..packets {
                let packet = packetizer.packetize(payload(0), 960);
                if number >= lost {
                    buffer.push(now, packet);
                }
                // A step lasts 20 ms, silence half of that.
                if buffer.pull(now, 0).playout == Playout::Silence {
                    buffer.pull(now + ms(10), 0);
                }
                now += STEP_TIME;
            }
        };
        talk(&mut buffer, &mut packetizer, 50, 0);
        if skipped_ms > 0 {
            // Muted: time goes on and packets are not counted.
            let mut muted = OpusPacketizer::numbered_from(0, 0);
            std::mem::swap(&mut packetizer, &mut muted);
            let first = muted.packetize(payload(0), 960);
            packetizer = OpusPacketizer::numbered_from(first.sequence, first.timestamp.wrapping_add(skipped_ms * 48));
            for _ in 0..skipped_ms / 20 {
                talk(&mut buffer, &mut OpusPacketizer::numbered_from(0, 0), 1, 1);
            }
        }
        talk(&mut buffer, &mut packetizer, 50 + lost, lost);
        let counted_ms = buffer.stats().concealed_samples / 48;
        assert!(counted_ms.abs_diff(concealed_ms) <= 40, "{lost} lost, {skipped_ms} ms muted: {counted_ms} ms");
    }
}

#[test]
fn two_lost_packets_are_concealed_and_recovered() {
    let all = packets(6);
    let mut buffer = started(&all);
    for packet in &all[3..] {
        buffer.push(ms(60), packet.clone());
    }
    let played: Vec<Playout> = (3..8).map(|step| buffer.pull(STEP_TIME * step, 0).playout).collect();
    let expected = [
        CONCEAL,
        Playout::DecodeFec(payload(3)),
        Playout::Decode(payload(3)),
        Playout::Decode(payload(4)),
        Playout::Decode(payload(5)),
    ];
    assert_eq!(played, expected);
}

#[test]
fn a_packet_that_is_late_is_played_late_and_more_is_held_from_then_on() {
    let all = packets(3);
    let mut buffer = started(&all);
    let target = buffer.stats().target;
    assert_eq!(buffer.pull(ms(60), 0).playout, CONCEAL);
    buffer.push(ms(75), all[1].clone());
    buffer.push(ms(75), all[2].clone());
    assert!(buffer.stats().target > target);
    assert_eq!(buffer.pull(ms(80), 0).playout, Playout::Decode(payload(1)));
    assert_eq!(buffer.pull(ms(100), 0).playout, Playout::Decode(payload(2)));
}

#[test]
fn what_was_concealed_in_place_of_a_lost_packet_does_not_delay_the_next() {
    let all = packets(3);
    let mut buffer = started(&all);
    assert_eq!(buffer.pull(ms(60), 0).playout, CONCEAL);
    buffer.push(ms(75), all[2].clone());
    assert_eq!(buffer.pull(ms(80), 0).playout, Playout::Decode(payload(2)));
    buffer.push(ms(90), all[1].clone());
    assert_eq!(buffer.stats().late, 1);
}

#[test]
fn doubled_packets_are_dropped_and_do_not_pass_for_late_ones() {
    let mut doubled = packets(5);
    doubled.extend(packets(5));
    let mut buffer = JitterBuffer::new();
    let played =
        play_with(&mut buffer, &doubled, ms(300), |index| Some(on_time(index % 5)? + ms(index as u64 / 5 * 150)));
    assert_eq!(decoded(&played), [0, 1, 2, 3, 4]);
    let stats = buffer.stats();
    assert_eq!((stats.duplicates, stats.late), (5, 0));
    assert_eq!(stats.target, ms(40));
}

#[test]
fn a_pause_that_the_sender_made_is_silence_and_no_loss() {
    let mut packetizer = OpusPacketizer::numbered_from(1, 1);
    let first = packetizer.packetize(payload(0), 960);
    packetizer.skip(2 * 960);
    let second = packetizer.packetize(payload(1), 960);
    let played = play(&[first, second], ms(120), |index| Some(ms(60) * index as u32));
    let heard: Vec<&Playout> = played.iter().skip_while(|playout| **playout == Playout::Silence).collect();
    // The sender may only be late at first, which is why it is bridged.
    assert_eq!(heard[..3], [&Playout::Decode(payload(0)), &Playout::Silence, &Playout::Silence]);
    assert_eq!(heard.last(), Some(&&Playout::Decode(payload(1))));
}

#[test]
fn a_sender_that_rests_is_heard_as_comfort_noise_and_not_as_loss() {
    let mut packetizer = OpusPacketizer::numbered_from(1, 1);
    let mut all = vec![packetizer.packetize(payload(0), 960)];
    // A packet with nothing but a header, then nothing for 400 ms.
    all.push(packetizer.packetize(Bytes::from_static(&[9 << 3]), 960));
    packetizer.skip(19 * 960);
    all.push(packetizer.packetize(payload(1), 960));
    let mut buffer = JitterBuffer::new();
    let played = play_with(&mut buffer, &all, ms(480), |index| Some(ms([0, 20, 420][index])));
    let comfort = played.iter().filter(|playout| **playout == Playout::ComfortNoise(STEP_SAMPLES)).count();
    assert_eq!(comfort, 19);
    assert_eq!(played.last(), Some(&Playout::Decode(payload(1))));
    assert_eq!(buffer.stats().concealed_samples, 0);
}

#[test]
fn a_sender_that_rests_for_ever_is_silent_in_the_end() {
    let mut buffer = JitterBuffer::new();
    let resting = OpusPacketizer::numbered_from(1, 1).packetize(Bytes::from_static(&[9 << 3]), 960);
    let played = play_with(&mut buffer, &[resting], ms(2_000), on_time);
    assert_eq!(played.last(), Some(&Playout::Silence));
}

#[test]
fn after_the_sound_stops_it_is_silent_and_the_next_talk_begins_anew() {
    let mut buffer = JitterBuffer::new();
    let played =
        play_with(&mut buffer, &packets(40), ms(830), |index| on_time(index).filter(|_| !(10..30).contains(&index)));
    let concealed = played.iter().filter(|playout| **playout == CONCEAL).count();
    assert_eq!(concealed as i64 * STEP, MAX_CONCEALED);
    let expected: Vec<u8> = (0..10).chain(30..40).collect();
    assert_eq!(decoded(&played), expected);
    assert_eq!(buffer.stats().starts, 2);
}

#[test]
fn a_burst_after_an_outage_is_cut_down_to_what_is_needed() {
    let all = packets(100);
    let mut buffer = started(&all);
    for packet in &all[1..] {
        buffer.push(ms(1_980), packet.clone());
    }
    let playout = buffer.pull(ms(1_980), 0).playout;
    let [number] = decoded(&[playout])[..] else { panic!("a packet plays") };
    assert!((96..=99).contains(&number), "packet {number} of 0 to 99");
    assert!(buffer.stats().discarded >= 90, "{:?}", buffer.stats());
}

#[test]
fn a_jump_of_the_time_stamps_begins_anew_either_way() {
    for timestamp in [1_000_000_000, u32::MAX - 1_000 - 3 * 48_000] {
        let all = packets(3);
        let mut buffer = started(&all);
        buffer.push(ms(45), all[1].clone());
        let mut packetizer = OpusPacketizer::numbered_from(9, timestamp);
        for number in 10..15 {
            buffer.push(ms(50), packetizer.packetize(payload(number), 960));
        }
        assert_eq!(buffer.pull(ms(60), 0).playout, Playout::Decode(payload(10)));
        assert_eq!(buffer.stats().starts, 2);
        assert_eq!(buffer.playing(), Some(timestamp.wrapping_add(960)));
    }
}

#[test]
fn packets_of_other_lengths_play_for_as_long_as_they_say() {
    let mut buffer = JitterBuffer::new();
    let mut packetizer = OpusPacketizer::numbered_from(0, 0);
    // 60 ms each.
    let long = |number: u8| Bytes::from(vec![11 << 3, 0, number]);
    for number in 0..2 {
        buffer.push(ms(60) * u32::from(number), packetizer.packetize(long(number), 2_880));
    }
    assert_eq!(buffer.pull(ms(60), 0).playout, Playout::Decode(long(0)));
    assert_eq!(buffer.playing(), Some(2_880));
    assert_eq!(buffer.pull(ms(120), 0).playout, Playout::Decode(long(1)));
}

#[test]
fn it_is_known_what_plays_next_unless_that_is_open() {
    let all = packets(3);
    assert_eq!(JitterBuffer::new().playing(), None);
    let mut buffer = started(&all);
    assert_eq!(buffer.playing(), Some(all[1].timestamp));
    assert_eq!(buffer.pull(ms(60), 0).playout, CONCEAL);
    assert_eq!(buffer.playing(), None);
    buffer.push(ms(75), all[1].clone());
    buffer.pull(ms(80), 0);
    assert_eq!(buffer.playing(), Some(all[2].timestamp));
}

#[test]
fn a_least_delay_is_kept_and_given_up_again() {
    let mut buffer = JitterBuffer::new();
    let mut packetizer = OpusPacketizer::numbered_from(0, 0);
    let mut queued = 0;
    let mut delay_after = |buffer: &mut JitterBuffer, blocks: std::ops::Range<u32>| {
        for block in blocks {
            let now = ms(10) * block;
            if block % 2 == 0 {
                buffer.push(now, packetizer.packetize(payload(0), 960));
            }
            while queued < 480 {
                let pull = buffer.pull(now, queued);
                queued += match (pull.playout, pull.stretch) {
                    (Playout::Silence, _) => SILENCE_SAMPLES,
                    (_, Stretch::Accelerate { at_most }) => STEP_SAMPLES - at_most.min(240),
                    (_, Stretch::Decelerate) => STEP_SAMPLES + 240,
                    (_, Stretch::None) => STEP_SAMPLES,
                };
            }
            queued -= 480;
        }
        buffer.stats().delay
    };
    assert!(delay_after(&mut buffer, 0..600) < ms(40));
    buffer.set_min_delay(ms(150));
    let raised = delay_after(&mut buffer, 600..900);
    assert!((ms(150)..ms(170)).contains(&raised), "{raised:?}");
    assert_eq!(buffer.stats().target, ms(150));
    buffer.set_min_delay(Duration::ZERO);
    assert!(delay_after(&mut buffer, 900..1_500) < ms(40));
    buffer.set_min_delay(Duration::MAX);
    assert_eq!(buffer.stats().target, MAX_MIN_DELAY);
    assert_eq!(buffer.stats().concealed_samples, 0);
}

#[test]
fn garbage_never_panics_and_the_buffer_stays_bounded() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut buffer = JitterBuffer::new();
    let mut timestamp: u32 = rng.random();
    let mut sequence: u16 = rng.random();
    let mut now = Duration::ZERO;
    for _ in 0..100_000 {
        now += match rng.random_range(0..10_000) {
            0 => Duration::from_secs(rng.random_range(0..100_000_000)),
            _ => Duration::from_micros(rng.random_range(0..30_000)),
        };
        timestamp = match rng.random_range(0..50) {
            0 => rng.random(),
            1..10 => timestamp.wrapping_sub(rng.random_range(0..10_000)),
            10..12 => timestamp,
            12..40 => timestamp.wrapping_add(rng.random_range(0..2_000)),
            _ => timestamp.wrapping_add(rng.random_range(0..300_000)),
        };
        sequence = if rng.random_bool(0.1) { rng.random() } else { sequence.wrapping_add(1) };
        let payload: Vec<u8> = (0..rng.random_range(0..12)).map(|_| rng.random()).collect();
        let packet = RtpPacket { sequence, timestamp, marker: false, payload: payload.into() };
        match rng.random_bool(0.3) {
            true => buffer.push_redundant(now, packet),
            false => buffer.push(now, packet),
        }
        if rng.random_bool(0.3) {
            buffer.pull(now, rng.random_range(0..480));
            buffer.set_min_delay(Duration::from_millis(rng.random_range(0..1_000)));
        }
        assert!(buffer.queue.len() <= MAX_PACKETS);
        assert!(buffer.stats().target <= ms(520), "{:?}", buffer.stats());
    }
    // Whatever came before, a proper stream is heard again.
    let mut packetizer = OpusPacketizer::numbered_from(rng.random(), rng.random());
    let proper: Vec<RtpPacket> = (0..200).map(|number| packetizer.packetize(self::payload(number), 960)).collect();
    let started = now + ms(10);
    for (index, packet) in proper.into_iter().enumerate() {
        let now = started + STEP_TIME * index as u32;
        buffer.push(now, packet);
        for _ in 0..2 {
            buffer.pull(now, 0);
        }
    }
    assert!(matches!(buffer.state, State::Playing(_)), "{:?}", buffer.state);
}
