use super::*;
use crate::packetizer::OpusPacketizer;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const STEP: Duration = Duration::from_millis(20);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// An Opus packet of 20 ms that says which one it is.
fn payload(number: u8) -> Bytes {
    Bytes::from(vec![9 << 3, number])
}

fn packets(count: u8) -> Vec<RtpPacket> {
    // Both counters wrap within the first packets.
    let mut packetizer = OpusPacketizer::new(65_533, u32::MAX - 1_000);
    (0..count).map(|number| packetizer.packetize(payload(number), 960)).collect()
}

/// Pushes and pulls as a call does: packet `n` at 20 ms x n where `arrives` says so, a pull each 20 ms.
fn play(packets: &[RtpPacket], steps: u32, arrives: impl Fn(usize) -> Option<Duration>) -> (Vec<Playout>, JitterStats) {
    let mut arrivals: Vec<(Duration, &RtpPacket)> =
        packets.iter().enumerate().filter_map(|(index, packet)| Some((arrives(index)?, packet))).collect();
    arrivals.sort_by_key(|(at, _)| *at);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut buffer = JitterBuffer::new(DEFAULT_DEPTH);
    let mut played = Vec::new();
    for step in 0..steps {
        let now = STEP * step + ms(5);
        while let Some((at, packet)) = arrivals.next_if(|(at, _)| *at <= now) {
            buffer.push(at, packet.clone());
        }
        played.push(buffer.pull(now));
    }
    (played, buffer.stats())
}

fn on_time(index: usize) -> Option<Duration> {
    Some(STEP * index as u32)
}

#[test]
fn a_clean_stream_plays_in_order_one_packet_behind() {
    let (played, stats) = play(&packets(10), 11, on_time);
    let mut expected = vec![Playout::Silence];
    expected.extend((0..10).map(|number| Playout::Decode(payload(number))));
    assert_eq!(played, expected);
    assert_eq!(stats, JitterStats { played: 10, starts: 1, ..JitterStats::default() });
}

#[test]
fn jitter_within_the_depth_changes_nothing() {
    let jittered = |index: usize| Some(STEP * index as u32 + ms([0, 19, 3, 12, 20, 1][index % 6]));
    let (played, stats) = play(&packets(60), 62, jittered);
    let decoded: Vec<Playout> = played.into_iter().filter(|playout| *playout != Playout::Silence).collect();
    assert_eq!(decoded, (0..60).map(|number| Playout::Decode(payload(number))).collect::<Vec<_>>());
    assert_eq!((stats.concealed, stats.late), (0, 0));
}

#[test]
fn a_lost_packet_is_taken_from_the_one_after_it() {
    let (played, stats) = play(&packets(6), 7, |index| on_time(index).filter(|_| index != 3));
    assert_eq!(played[4], Playout::DecodeFec(payload(4)));
    assert_eq!(played[5], Playout::Decode(payload(4)));
    assert_eq!((stats.recovered, stats.concealed, stats.played), (1, 0, 5));
}

#[test]
fn two_lost_packets_are_concealed_and_recovered() {
    // Pulled one packet later than usual, so that the packet after the hole is there.
    let mut buffer = JitterBuffer::new(ms(80));
    for (index, packet) in packets(6).into_iter().enumerate() {
        if index != 1 && index != 2 {
            buffer.push(ms(0), packet);
        }
    }
    let played: Vec<Playout> = (0..6).map(|_| buffer.pull(ms(0))).collect();
    let expected = [
        Playout::Decode(payload(0)),
        Playout::Conceal,
        Playout::DecodeFec(payload(3)),
        Playout::Decode(payload(3)),
        Playout::Decode(payload(4)),
        Playout::Decode(payload(5)),
    ];
    assert_eq!(played, expected);
}

#[test]
fn a_late_packet_is_concealed_dropped_and_counted() {
    let (played, stats) = play(&packets(6), 7, |index| {
        on_time(index).map(|at| if index >= 3 { at + ms(if index == 3 { 45 } else { 25 }) } else { at })
    });
    assert!(played.contains(&Playout::Conceal), "{played:?}");
    assert!(stats.late >= 1, "{stats:?}");
}

#[test]
fn doubled_packets_are_dropped() {
    let mut doubled = packets(5);
    doubled.extend(packets(5));
    let (played, stats) = play(&doubled, 6, |index| on_time(index % 5));
    assert_eq!(played.iter().filter(|playout| matches!(playout, Playout::Decode(_))).count(), 5);
    assert_eq!(stats.duplicates + stats.late, 5);
}

#[test]
fn a_pause_that_the_sender_made_is_silence_and_no_loss() {
    let mut packetizer = OpusPacketizer::new(1, 1);
    let first = packetizer.packetize(payload(0), 960);
    packetizer.skip(2 * 960);
    let second = packetizer.packetize(payload(1), 960);
    let mut buffer = JitterBuffer::new(DEFAULT_DEPTH);
    buffer.push(ms(0), first);
    buffer.push(ms(0), second);
    let played: Vec<Playout> = (0..4).map(|_| buffer.pull(ms(0))).collect();
    assert_eq!(played, [Playout::Decode(payload(0)), Playout::Silence, Playout::Silence, Playout::Decode(payload(1))]);
}

#[test]
fn after_the_sound_stops_it_is_silent_and_the_next_talk_fills_up_anew() {
    let all = packets(40);
    let (played, stats) = play(&all, 45, |index| on_time(index).filter(|_| !(10..30).contains(&index)));
    assert_eq!(played[11..14], [Playout::Conceal, Playout::Conceal, Playout::Conceal]);
    assert_eq!(played[14], Playout::Silence);
    assert_eq!(played[30], Playout::Silence);
    assert_eq!(played[31], Playout::Decode(payload(30)));
    assert_eq!(stats.starts, 2);
}

#[test]
fn a_delay_that_grows_for_good_is_followed() {
    let (played, stats) =
        play(&packets(100), 110, |index| on_time(index).map(|at| if index >= 20 { at + ms(150) } else { at }));
    let last: Vec<&Playout> = played.iter().filter(|playout| matches!(playout, Playout::Decode(_))).collect();
    assert!(last.len() >= 95, "{} of 100 played: {stats:?}", last.len());
    assert_eq!(stats.starts, 2);
}

#[test]
fn a_burst_after_a_stall_is_cut_down_to_the_depth() {
    let mut buffer = JitterBuffer::new(DEFAULT_DEPTH);
    let all = packets(30);
    for packet in &all[..2] {
        buffer.push(ms(0), packet.clone());
    }
    assert_eq!(buffer.pull(ms(0)), Playout::Decode(payload(0)));
    for packet in &all[2..] {
        buffer.push(ms(500), packet.clone());
    }
    let Playout::Decode(next) = buffer.pull(ms(500)) else {
        panic!("a packet plays");
    };
    let behind = 29 - next[1];
    assert!((1..=5).contains(&behind), "{behind} packets behind");
    assert!(buffer.stats().discarded >= 20);
}

#[test]
fn a_jump_of_the_time_stamps_begins_anew() {
    let mut buffer = JitterBuffer::new(DEFAULT_DEPTH);
    for packet in packets(3) {
        buffer.push(ms(0), packet);
    }
    assert_eq!(buffer.pull(ms(0)), Playout::Decode(payload(0)));
    let mut packetizer = OpusPacketizer::new(9, 1_000_000_000);
    for number in 10..13 {
        buffer.push(ms(20), packetizer.packetize(payload(number), 960));
    }
    assert_eq!(buffer.pull(ms(20)), Playout::Decode(payload(10)));
    assert_eq!(buffer.stats().starts, 2);
}

#[test]
fn packets_of_other_lengths_play_for_as_long_as_they_say() {
    let mut buffer = JitterBuffer::new(DEFAULT_DEPTH);
    let mut packetizer = OpusPacketizer::new(0, 0);
    // 60 ms each.
    let long = |number: u8| Bytes::from(vec![11 << 3, number]);
    for number in 0..2 {
        buffer.push(ms(0), packetizer.packetize(long(number), 2_880));
    }
    assert_eq!(buffer.pull(ms(0)), Playout::Decode(long(0)));
    assert_eq!(buffer.pull(ms(60)), Playout::Decode(long(1)));
}

#[test]
fn garbage_never_panics_and_the_buffer_stays_bounded() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut buffer = JitterBuffer::new(DEFAULT_DEPTH);
    let mut timestamp: u32 = rng.random();
    let mut now = Duration::ZERO;
    for _ in 0..100_000 {
        now += Duration::from_micros(rng.random_range(0..30_000));
        timestamp = match rng.random_range(0..50) {
            0 => rng.random(),
            1..10 => timestamp.wrapping_sub(rng.random_range(0..10_000)),
            _ => timestamp.wrapping_add(rng.random_range(0..2_000)),
        };
        let payload: Vec<u8> = (0..rng.random_range(0..4)).map(|_| rng.random()).collect();
        let packet = RtpPacket { sequence: rng.random(), timestamp, marker: false, payload: payload.into() };
        buffer.push(now, packet);
        if rng.random_bool(0.3) {
            buffer.pull(now);
        }
        assert!(buffer.packets.len() <= MAX_PACKETS);
    }
}
