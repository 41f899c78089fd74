use super::*;
use crate::packetizer::FramePacketizer;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

const FORMATS: [PictureFormat; 2] = [PictureFormat::H264, PictureFormat::Vp8];
const PICTURE: Duration = Duration::from_millis(33);
const TICKS: u32 = 3_000;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A seed of this run's own, printed so that a failing run can be repeated.
fn seeded() -> StdRng {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

fn assembler(format: PictureFormat) -> FrameAssembler {
    FrameAssembler::new(format, AssemblerConfig::default())
}

/// `head` and noise without zeros, so that no start code arises.
fn with_noise(head: &[u8], length: usize, rng: &mut StdRng) -> Vec<u8> {
    head.iter().copied().chain((0..length).map(|_| rng.random_range(1..=255u8))).collect()
}

fn key_picture(format: PictureFormat, length: usize, rng: &mut StdRng) -> Vec<u8> {
    let head: &[u8] = match format {
        PictureFormat::H264 => &[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 0, 1, 0x65, 0x88],
        PictureFormat::Vp8 => &[0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01],
    };
    with_noise(head, length, rng)
}

fn picture(format: PictureFormat, length: usize, rng: &mut StdRng) -> Vec<u8> {
    let head: &[u8] = match format {
        PictureFormat::H264 => &[0, 0, 0, 1, 0x41, 0x88],
        PictureFormat::Vp8 => &[0x31, 0x02, 0x00],
    };
    with_noise(head, length, rng)
}

/// `count` pictures, the first a key picture, and their packets.
fn stream(
    format: PictureFormat,
    count: usize,
    first_sequence: u16,
    rng: &mut StdRng,
) -> (Vec<Vec<u8>>, Vec<Vec<RtpPacket>>) {
    let mut packetizer = FramePacketizer::numbered_from(first_sequence);
    (0..count)
        .map(|index| {
            let length = rng.random_range(1..6_000);
            let unit = if index == 0 { key_picture(format, length, rng) } else { picture(format, length, rng) };
            let timestamp = (index as u32).wrapping_mul(TICKS).wrapping_sub(TICKS);
            let packets = packetizer.packetize(format, &unit, timestamp).collect();
            (unit, packets)
        })
        .unzip()
}

fn drain(assembler: &mut FrameAssembler) -> (Vec<AssembledFrame>, usize) {
    let mut frames = Vec::new();
    let mut requests = 0;
    while let Some(event) = assembler.poll_event() {
        match event {
            AssemblerEvent::Frame(frame) => frames.push(frame),
            AssemblerEvent::KeyFrameWanted => requests += 1,
        }
    }
    (frames, requests)
}

#[test]
fn reordered_and_doubled_packets_give_back_every_picture_in_order() {
    let mut rng = seeded();
    for format in FORMATS {
        for _ in 0..50 {
            let first_sequence = rng.random();
            let (units, packets) = stream(format, 20, first_sequence, &mut rng);
            let mut arrivals: Vec<RtpPacket> = packets.into_iter().flatten().collect();
            let doubled: Vec<RtpPacket> = arrivals.iter().filter(|_| rng.random_bool(0.2)).cloned().collect();
            arrivals.extend(doubled);
            for window in arrivals.chunks_mut(12) {
                window.shuffle(&mut rng);
            }
            let mut assembler = assembler(format);
            for packet in arrivals {
                assembler.push(ms(1), packet);
            }
            let (frames, requests) = drain(&mut assembler);
            assert_eq!(requests, 0);
            let data: Vec<&Vec<u8>> = frames.iter().map(|frame| &frame.data).collect();
            assert_eq!(data, units.iter().collect::<Vec<_>>());
            for (index, frame) in frames.iter().enumerate() {
                assert_eq!(frame.rtp, (index as u32).wrapping_mul(TICKS).wrapping_sub(TICKS));
                assert_eq!(frame.key, index == 0);
            }
        }
    }
}

#[test]
fn under_random_loss_every_picture_handed_out_is_whole_and_follows_a_key_picture_without_a_hole() {
    let mut rng = seeded();
    for format in FORMATS {
        for _ in 0..50 {
            let mut packetizer = FramePacketizer::numbered_from(rng.random());
            let mut assembler = assembler(format);
            let mut sent: Vec<(bool, Vec<u8>)> = Vec::new();
            let mut wanted = true;
            let mut last: Option<usize> = None;
            let mut handed_out = 0;
            for index in 0..300usize {
                let now = PICTURE * index as u32;
                let length = rng.random_range(1..4_000);
                let unit =
                    if wanted { key_picture(format, length, &mut rng) } else { picture(format, length, &mut rng) };
                sent.push((wanted, unit.clone()));
                wanted = false;
                let mut packets: Vec<RtpPacket> = packetizer.packetize(format, &unit, index as u32).collect();
                packets.retain(|_| !rng.random_bool(0.01));
                packets.shuffle(&mut rng);
                for packet in packets {
                    assembler.push(now, packet);
                }
                assembler.handle_timeout(now);
                let (frames, requests) = drain(&mut assembler);
                wanted |= requests > 0;
                for frame in frames {
                    let at = frame.rtp as usize;
                    let (key, data) = &sent[at];
                    assert_eq!(&frame.data, data);
                    assert_eq!(frame.key, *key);
                    assert!(*key || last == Some(at - 1), "picture {at} after {last:?}");
                    last = Some(at);
                    handed_out += 1;
                }
            }
            assert!(handed_out > 100, "{handed_out} of 300 pictures");
        }
    }
}

#[test]
fn a_lost_packet_that_is_sent_again_in_time_costs_no_picture() {
    let mut rng = seeded();
    for format in FORMATS {
        let (units, mut packets) = stream(format, 8, 65_530, &mut rng);
        let late = packets[2].remove(0);
        let mut assembler = assembler(format);
        for (index, packet) in
            packets.iter().enumerate().flat_map(|(index, unit)| unit.iter().map(move |packet| (index, packet)))
        {
            assembler.push(PICTURE * index as u32, packet.clone());
        }
        assert_eq!(drain(&mut assembler).0.len(), 2);
        assembler.push(PICTURE * 8, late);
        let (frames, requests) = drain(&mut assembler);
        assert_eq!(frames.len(), units.len() - 2);
        assert_eq!(requests, 0);
        assert_eq!(assembler.poll_timeout(), None);
    }
}

#[test]
fn an_unrepaired_gap_withholds_pictures_until_the_next_key_picture_and_asks_for_one_with_growing_pauses() {
    let mut rng = seeded();
    for format in FORMATS {
        let mut packetizer = FramePacketizer::numbered_from(7);
        let mut assembler = assembler(format);
        let key = key_picture(format, 10, &mut rng);
        for packet in packetizer.packetize(format, &key, 0) {
            assembler.push(ms(0), packet);
        }
        drop(packetizer.packetize(format, &picture(format, 10, &mut rng), 1));
        for packet in packetizer.packetize(format, &picture(format, 10, &mut rng), 2) {
            assembler.push(ms(1_000), packet);
        }
        let (frames, requests) = drain(&mut assembler);
        assert_eq!((frames.len(), requests), (1, 0));

        // Time passes only by the assembler's own wishes from here on.
        let mut asked = Vec::new();
        for _ in 0..7 {
            let due = assembler.poll_timeout().unwrap();
            assembler.handle_timeout(due);
            let (frames, requests) = drain(&mut assembler);
            assert_eq!((frames.len(), requests), (0, usize::from(due != ms(1_000) + LONGEST_REPAIR)));
            asked.extend((requests == 1).then_some(due.as_millis()));
        }
        assert_eq!(asked, [1_250, 1_550, 2_150, 3_350, 5_750, 9_750]);

        for packet in packetizer.packetize(format, &picture(format, 10, &mut rng), 3) {
            assembler.push(ms(9_800), packet);
        }
        for packet in packetizer.packetize(format, &key_picture(format, 5_000, &mut rng), 4) {
            assembler.push(ms(9_900), packet);
        }
        let (frames, requests) = drain(&mut assembler);
        assert_eq!(requests, 0);
        assert_eq!(frames.iter().map(|frame| (frame.rtp, frame.key)).collect::<Vec<_>>(), [(4, true)]);
        assert_eq!(assembler.poll_timeout(), None);
        assert_eq!(assembler.stats().breaks, 1);
    }
}

#[test]
fn a_stream_joined_in_its_middle_begins_at_a_key_picture() {
    let mut rng = seeded();
    for format in FORMATS {
        let mut packetizer = FramePacketizer::numbered_from(0);
        let mut assembler = assembler(format);
        for packet in packetizer.packetize(format, &picture(format, 3_000, &mut rng), 0) {
            assembler.push(ms(0), packet);
        }
        assert_eq!(drain(&mut assembler), (vec![], 0));
        assembler.handle_timeout(assembler.poll_timeout().unwrap());
        assert_eq!(drain(&mut assembler), (vec![], 1));
        for packet in packetizer.packetize(format, &key_picture(format, 3_000, &mut rng), 1) {
            assembler.push(ms(300), packet);
        }
        let (frames, _) = drain(&mut assembler);
        assert_eq!(frames.len(), 1);
        assert!(frames[0].key);
    }
}

#[test]
fn a_key_picture_whose_packets_come_in_reverse_is_found() {
    let mut rng = seeded();
    for format in FORMATS {
        let unit = key_picture(format, 5_000, &mut rng);
        let mut packets: Vec<RtpPacket> = FramePacketizer::numbered_from(65_534).packetize(format, &unit, 9).collect();
        packets.reverse();
        let mut assembler = assembler(format);
        for packet in packets {
            assembler.push(ms(0), packet);
        }
        let (frames, requests) = drain(&mut assembler);
        assert_eq!(requests, 0);
        assert_eq!(frames, [AssembledFrame { rtp: 9, data: unit, key: true }]);
    }
}

#[test]
fn a_picture_without_marker_ends_where_the_time_stamp_changes() {
    let mut rng = seeded();
    for format in FORMATS {
        let (units, mut packets) = stream(format, 2, 0, &mut rng);
        packets[0].last_mut().unwrap().marker = false;
        let mut assembler = assembler(format);
        for packet in packets.into_iter().flatten() {
            assembler.push(ms(0), packet);
        }
        let (frames, _) = drain(&mut assembler);
        assert_eq!(frames.len(), units.len());
    }
}

#[test]
fn a_vp8_frame_without_marker_ends_where_another_begins_at_the_same_time_stamp() {
    let mut rng = seeded();
    let (frames, packets) = stream(PictureFormat::Vp8, 3, 0, &mut rng);
    let mut assembler = assembler(PictureFormat::Vp8);
    for mut packet in packets.into_iter().flatten() {
        (packet.timestamp, packet.marker) = (7, packet.marker && packet.timestamp == TICKS);
        assembler.push(ms(0), packet);
    }
    let handed_out: Vec<Vec<u8>> = drain(&mut assembler).0.into_iter().map(|frame| frame.data).collect();
    assert_eq!(handed_out, frames);
}

#[test]
fn the_longer_the_round_trip_the_longer_a_packet_is_waited_for_within_bounds() {
    let mut rng = seeded();
    for format in FORMATS {
        for (round_trip_ms, waited_ms) in [(0, 100), (20, 100), (50, 190), (100, 340), (120, 400), (5_000, 400)] {
            let mut assembler = assembler(format);
            let (_, packets) = stream(format, 3, 0, &mut rng);
            assembler.set_round_trip(ms(round_trip_ms));
            for packet in [&packets[0][..], &packets[2]].concat() {
                assembler.push(ms(1_000), packet);
            }
            assert_eq!(assembler.poll_timeout(), Some(ms(1_000 + waited_ms)), "{round_trip_ms} ms");
            assembler.handle_timeout(ms(1_000 + waited_ms - 1));
            assert_eq!(drain(&mut assembler).1, 0);
            assembler.handle_timeout(ms(1_000 + waited_ms));
            assert_eq!(drain(&mut assembler).1, 1);
            // The answer to the request cannot come earlier than that.
            let pause_ms = (round_trip_ms + 100).clamp(300, 4_000);
            let given_up = ms(1_000) + LONGEST_REPAIR;
            let expected = ms(1_000 + waited_ms + pause_ms).min(given_up);
            assert_eq!(assembler.poll_timeout(), Some(expected), "{round_trip_ms} ms");
        }
    }
}

#[test]
fn padding_between_pictures_is_passed_over() {
    let mut rng = seeded();
    for format in FORMATS {
        let (units, packets) = stream(format, 2, 0, &mut rng);
        let mut assembler = assembler(format);
        let last = packets[0].last().unwrap();
        let padding = RtpPacket {
            sequence: last.sequence.wrapping_add(1),
            timestamp: last.timestamp,
            marker: false,
            payload: Bytes::new(),
        };
        for packet in packets[0].iter().cloned().chain([padding]) {
            assembler.push(ms(0), packet);
        }
        for mut packet in packets[1].iter().cloned() {
            packet.sequence = packet.sequence.wrapping_add(1);
            assembler.push(ms(0), packet);
        }
        let (frames, _) = drain(&mut assembler);
        assert_eq!(frames.len(), units.len());
    }
}

#[test]
fn a_failing_decoder_gets_nothing_until_a_key_picture_which_is_not_asked_for_in_a_storm() {
    let mut rng = seeded();
    for format in FORMATS {
        let mut packetizer = FramePacketizer::numbered_from(0);
        let mut assembler = assembler(format);
        let mut requests = 0;
        // Every picture is a key picture and fails, ten a second for ten seconds.
        for index in 0..100u32 {
            let now = ms(100) * index;
            for packet in packetizer.packetize(format, &key_picture(format, 10, &mut rng), index) {
                assembler.push(now, packet);
            }
            requests += drain(&mut assembler).1;
            assembler.decoder_failed(now);
            requests += drain(&mut assembler).1;
        }
        assert!((20..=34).contains(&requests), "{requests} requests in 10 s");
        for packet in packetizer.packetize(format, &picture(format, 10, &mut rng), 100) {
            assembler.push(ms(10_000), packet);
        }
        assert!(drain(&mut assembler).0.is_empty());
    }
}

#[test]
fn what_waits_behind_a_picture_that_failed_is_dropped_up_to_the_next_key_picture() {
    let mut rng = seeded();
    for format in FORMATS {
        let mut packetizer = FramePacketizer::numbered_from(0);
        let mut assembler = assembler(format);
        let push = |assembler: &mut FrameAssembler, packetizer: &mut FramePacketizer, unit: &[u8], timestamp| {
            for packet in packetizer.packetize(format, unit, timestamp) {
                assembler.push(ms(0), packet);
            }
        };
        let (key, other) = (key_picture(format, 10, &mut rng), picture(format, 10, &mut rng));
        for (timestamp, unit) in [&key, &other, &other, &key, &other].into_iter().enumerate() {
            push(&mut assembler, &mut packetizer, unit, timestamp as u32);
        }
        assert!(matches!(assembler.poll_event(), Some(AssemblerEvent::Frame(frame)) if frame.rtp == 0));
        assembler.decoder_failed(ms(0));
        let (frames, requests) = drain(&mut assembler);
        assert_eq!((frames.iter().map(|frame| frame.rtp).collect::<Vec<_>>(), requests), (vec![3, 4], 0));
        assert_eq!(assembler.stats().frames, 3);
        for timestamp in 5..8 {
            push(&mut assembler, &mut packetizer, &other, timestamp);
        }
        assert!(matches!(assembler.poll_event(), Some(AssemblerEvent::Frame(frame)) if frame.rtp == 5));
        assembler.decoder_failed(ms(0));
        assert_eq!(drain(&mut assembler), (Vec::new(), 1));
        assert_eq!(assembler.stats().frames, 4);
    }
}

#[test]
fn a_sender_that_begins_anew_with_other_numbers_is_followed() {
    let mut rng = seeded();
    for format in FORMATS {
        for jump in [40_000u16, 20_000] {
            let (_, first) = stream(format, 3, 100, &mut rng);
            let (units, second) = stream(format, 3, 100u16.wrapping_add(jump), &mut rng);
            let mut assembler = assembler(format);
            for packet in first.into_iter().flatten() {
                assembler.push(ms(0), packet);
            }
            assert_eq!(drain(&mut assembler).0.len(), 3);
            for packet in second.into_iter().flatten() {
                assembler.push(ms(100), packet);
            }
            // Backwards, the first packet only proves the jump; forwards, the way between is waited for.
            assembler.handle_timeout(ms(400));
            let (frames, requests) = drain(&mut assembler);
            let lost_first = usize::from(frames.is_empty());
            assert!(frames.len() == units.len() || requests == lost_first, "jump {jump}: {frames:?}");
            let mut packetizer = FramePacketizer::numbered_from(100u16.wrapping_add(jump).wrapping_add(500));
            for packet in packetizer.packetize(format, &key_picture(format, 100, &mut rng), 999) {
                assembler.push(ms(500), packet);
            }
            assembler.handle_timeout(ms(800));
            assert!(drain(&mut assembler).0.iter().any(|frame| frame.rtp == 999), "jump {jump}");
        }
    }
}

#[test]
fn a_picture_without_end_is_given_up_at_the_limits() {
    for format in FORMATS {
        let config = AssemblerConfig { max_packets: 100, max_bytes: 20_000, ..AssemblerConfig::default() };
        for payload_bytes in [3, 1_000] {
            let mut assembler = FrameAssembler::new(format, config);
            let mut rng = seeded();
            for packet in FramePacketizer::numbered_from(0).packetize(format, &key_picture(format, 10, &mut rng), 0) {
                assembler.push(ms(0), packet);
            }
            for sequence in 2..5_000u16 {
                let payload = Bytes::from(vec![0x41; payload_bytes]);
                assembler.push(ms(1), RtpPacket { sequence, timestamp: 1, marker: false, payload });
                assert!(assembler.packets.len() <= config.max_packets);
                assert!(assembler.held_bytes <= config.max_bytes);
            }
            assert!(assembler.stats().breaks > 0);
            assert_eq!(drain(&mut assembler).0.len(), 1);
        }
    }
}

#[test]
fn garbage_never_panics_and_memory_stays_bounded() {
    let mut rng = seeded();
    for format in FORMATS {
        for _ in 0..30 {
            let mut assembler = assembler(format);
            let mut now = Duration::ZERO;
            let mut sequence: u16 = rng.random();
            let mut timestamp: u32 = rng.random();
            for _ in 0..2_000 {
                now += Duration::from_micros(rng.random_range(0..20_000));
                sequence = match rng.random_range(0..20) {
                    0 => rng.random(),
                    1 => sequence,
                    2 => sequence.wrapping_sub(rng.random_range(0..50)),
                    _ => sequence.wrapping_add(1),
                };
                if rng.random_bool(0.3) {
                    timestamp = timestamp.wrapping_add(rng.random_range(0..9_000));
                }
                let length = rng.random_range(0..40);
                let mut payload: Vec<u8> = (0..length).map(|_| rng.random()).collect();
                if let Some(header) = payload.first_mut().filter(|_| rng.random_bool(0.8)) {
                    let headers = match format {
                        PictureFormat::H264 => [0x67, 0x65, 0x41, 0x78, 0x7c, 0x5c],
                        PictureFormat::Vp8 => [0x10, 0x00, 0x90, 0x80, 0x11, 0x50],
                    };
                    *header = headers[rng.random_range(0..6)];
                }
                let packet = RtpPacket { sequence, timestamp, marker: rng.random_bool(0.3), payload: payload.into() };
                assembler.push(now, packet);
                if rng.random_bool(0.05) {
                    assembler.decoder_failed(now);
                }
                if let Some(due) = assembler.poll_timeout().filter(|_| rng.random_bool(0.2)) {
                    now = now.max(due);
                    assembler.handle_timeout(now);
                }
                let held: usize = assembler.packets.starting_at(i64::MIN).map(|(_, held)| held.payload.len()).sum();
                assert_eq!(held, assembler.held_bytes);
                drain(&mut assembler);
            }
        }
    }
}

/// What a hostile or broken sender makes of a packet. Numbers stay in order.
fn damaged(mut packet: RtpPacket, rng: &mut StdRng) -> RtpPacket {
    let mut payload = packet.payload.to_vec();
    match rng.random_range(0..5) {
        0 => payload = (0..rng.random_range(0..1_180)).map(|_| rng.random()).collect(),
        1 => payload.truncate(rng.random_range(0..payload.len())),
        2 => {
            for _ in 0..rng.random_range(1..10) {
                let at = rng.random_range(0..payload.len());
                payload[at] ^= 1 << rng.random_range(0..8);
            }
        }
        3 => (packet.timestamp, packet.marker) = (rng.random(), rng.random()),
        _ => {}
    }
    packet.payload = payload.into();
    packet
}

/// Pushes packets at `now` after all that was due before, and sorts out what came of it: the decoder fails at every picture
/// that is not as it was sent. Gives the pictures that it did not fail at, and whether a key frame was asked for.
fn decode(
    assembler: &mut FrameAssembler,
    now: Duration,
    packets: Vec<RtpPacket>,
    sent: &BTreeMap<u32, Vec<u8>>,
) -> (Vec<AssembledFrame>, bool) {
    assembler.handle_timeout(now);
    for packet in packets {
        assembler.push(now, packet);
    }
    let (mut good, mut requests) = (Vec::new(), 0);
    while let Some(event) = assembler.poll_event() {
        match event {
            AssemblerEvent::Frame(frame) if sent.get(&frame.rtp) == Some(&frame.data) => good.push(frame),
            AssemblerEvent::Frame(_) => assembler.decoder_failed(now),
            AssemblerEvent::KeyFrameWanted => requests += 1,
        }
    }
    assert!(requests <= 1, "{requests} requests at once");
    assert!(assembler.packets.len() <= assembler.config.max_packets);
    assert!(assembler.held_bytes <= assembler.config.max_bytes);
    (good, requests == 1)
}

#[test]
fn garbage_costs_one_request_and_ever_rarer_repetitions_until_a_key_picture_heals() {
    let mut rng = seeded();
    for format in [FORMATS; 10].concat() {
        let mut packetizer = FramePacketizer::numbered_from(rng.random());
        let mut assembler = assembler(format);
        let (mut sent, mut shown, mut requests) = (BTreeMap::new(), Vec::new(), Vec::<Duration>::new());
        let mut requests_in_vain = 0;
        // Ten good pictures, eleven seconds of garbage, fifty good pictures.
        for index in 0..400u32 {
            let now = PICTURE * index;
            let length = rng.random_range(1..4_000);
            let unit = match index {
                0 | 350 => key_picture(format, length, &mut rng),
                _ => picture(format, length, &mut rng),
            };
            let mut packets: Vec<RtpPacket> = packetizer.packetize(format, &unit, index).collect();
            sent.insert(index, unit);
            if (10..350).contains(&index) {
                packets = packets.into_iter().map(|packet| damaged(packet, &mut rng)).collect();
                packets.retain(|_| !rng.random_bool(0.1));
            }
            let keys_before = assembler.stats().key_frames;
            let (good, requested) = decode(&mut assembler, now, packets, &sent);
            shown.extend(good.iter().map(|frame| frame.rtp).filter(|rtp| !(10..350).contains(rtp)));
            if assembler.stats().key_frames > keys_before {
                // What looks like a key picture, if only by accident, lets the pauses begin anew; none is left out.
                requests_in_vain = 0;
            }
            if requested {
                let pause = ms([300, 300, 600, 1_200, 2_400, 4_000, 4_000, 4_000][requests_in_vain]);
                let since_last = requests.last().map_or(pause, |last| now - *last);
                assert!(since_last >= pause, "{format:?}: {requests:?}, then {now:?}");
                requests_in_vain += 1;
                requests.push(now);
            }
        }
        assert_eq!(shown, (0..10).chain(350..400).collect::<Vec<_>>(), "{format:?}");
        assert!((4..=12).contains(&requests.len()), "{format:?}: {requests:?}");
        assert!(requests[0] >= PICTURE * 10, "{format:?}: {requests:?}");
    }
}

#[test]
fn a_packet_that_comes_after_a_key_frame_was_asked_for_goes_on_where_it_was() {
    let mut rng = seeded();
    for format in FORMATS {
        let (_, mut packets) = stream(format, 8, 65_530, &mut rng);
        let late = packets[2].remove(0);
        let mut assembler = assembler(format);
        for packet in packets.into_iter().flatten() {
            assembler.push(ms(0), packet);
        }
        let due = assembler.poll_timeout().unwrap();
        assembler.handle_timeout(due);
        assert_eq!((drain(&mut assembler).1, assembler.stats().breaks), (1, 1));
        assembler.push(due + ms(200), late);
        assert_eq!(
            drain(&mut assembler).0.iter().map(|frame| frame.rtp / TICKS).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6]
        );
        assert_eq!(assembler.poll_timeout(), None, "the request is closed");
    }
}

#[test]
fn a_key_frame_that_is_here_ends_the_wait_for_what_is_missing_before_it() {
    let mut rng = seeded();
    for format in FORMATS {
        let mut packetizer = FramePacketizer::numbered_from(7);
        let mut assembler = assembler(format);
        for (timestamp, is_key) in [(0, true), (1, false), (2, false), (3, true), (4, false)] {
            let unit = if is_key { key_picture(format, 3_000, &mut rng) } else { picture(format, 10, &mut rng) };
            for packet in packetizer.packetize(format, &unit, timestamp).filter(|_| timestamp != 1) {
                assembler.push(ms(0), packet);
            }
        }
        let (frames, requests) = drain(&mut assembler);
        assert_eq!(
            frames.iter().map(|frame| (frame.rtp, frame.key)).collect::<Vec<_>>(),
            [(0, true), (3, true), (4, false)]
        );
        assert_eq!((requests, assembler.poll_timeout()), (0, None));
    }
}

#[test]
fn while_a_key_frame_is_coming_in_no_other_is_asked_for() {
    let mut rng = seeded();
    for format in FORMATS {
        let mut packetizer = FramePacketizer::numbered_from(7);
        let mut assembler = assembler(format);
        for packet in packetizer.packetize(format, &key_picture(format, 10, &mut rng), 0) {
            assembler.push(ms(0), packet);
        }
        drop(packetizer.packetize(format, &picture(format, 10, &mut rng), 1));
        for packet in packetizer.packetize(format, &picture(format, 10, &mut rng), 2) {
            assembler.push(ms(10), packet);
        }
        let mut key: Vec<RtpPacket> = packetizer.packetize(format, &key_picture(format, 5_000, &mut rng), 3).collect();
        let late = key.remove(2);
        for packet in key {
            assembler.push(ms(200), packet);
        }
        assembler.handle_timeout(ms(449));
        assert_eq!((drain(&mut assembler).1, assembler.stats().breaks), (0, 1));
        assembler.push(ms(449), late);
        assert_eq!(drain(&mut assembler).0.len(), 1);
        assert_eq!(assembler.poll_timeout(), None);
    }
}

/// 40 pictures, every second one of which no other refers to, in three packets each, and a key picture before them.
fn layered(format: PictureFormat, rng: &mut StdRng) -> Vec<Vec<RtpPacket>> {
    let mut packetizer = FramePacketizer::numbered_from(65_500);
    (0..41)
        .map(|index| {
            let unit = match (index, format) {
                (0, _) => key_picture(format, 3_000, rng),
                (index, PictureFormat::H264) if index % 2 == 1 => with_noise(&[0, 0, 0, 1, 0x01, 0x9a], 3_000, rng),
                (_, PictureFormat::H264) => with_noise(&[0, 0, 0, 1, 0x41, 0x9a], 3_000, rng),
                (_, PictureFormat::Vp8) => picture(format, 3_000, rng),
            };
            let mut packets: Vec<RtpPacket> = packetizer.packetize(format, &unit, index * TICKS).collect();
            for packet in packets.iter_mut().filter(|_| format == PictureFormat::Vp8 && index % 2 == 1) {
                // The bit of the descriptor that says so (RFC 7741 §4.2).
                let mut payload = packet.payload.to_vec();
                payload[0] |= 0x20;
                packet.payload = payload.into();
            }
            packets
        })
        .collect()
}

/// What is handed out of `packets` without those for which `is_lost` (picture and index) says so, and the requests.
fn handed_out(format: PictureFormat, is_lost: impl Fn(u32, usize) -> bool) -> (Vec<u32>, usize) {
    let mut rng = seeded();
    let mut assembler = assembler(format);
    for packets in layered(format, &mut rng) {
        for (index, packet) in packets.into_iter().enumerate() {
            if !is_lost(packet.timestamp / TICKS, index) {
                assembler.push(ms(1), packet);
            }
        }
    }
    let (frames, requests) = drain(&mut assembler);
    (frames.iter().map(|frame| frame.rtp / TICKS).collect(), requests)
}

#[test]
fn an_incomplete_picture_that_no_other_refers_to_is_left_out_at_once() {
    for format in FORMATS {
        for lost in [&[0][..], &[1], &[2], &[0, 1], &[1, 2]] {
            let (shown, requests) = handed_out(format, |picture, index| picture == 39 && lost.contains(&index));
            let expected: Vec<u32> = (0..41).filter(|picture| *picture != 39).collect();
            assert_eq!((shown, requests), (expected, 0), "{format:?} without {lost:?}");
        }
    }
}

#[test]
fn a_picture_that_may_be_needed_is_waited_for() {
    for format in FORMATS {
        // A part of a needed one; a needed one as a whole, with and without the end of the one before it.
        for lost in [&[(38, 1)][..], &[(38, 0), (38, 1), (38, 2)], &[(37, 2), (38, 0), (38, 1), (38, 2)]] {
            let (shown, _) = handed_out(format, |picture, index| lost.contains(&(picture, index)));
            let last = if lost.contains(&(37, 2)) { 37 } else { 38 };
            assert_eq!(shown, (0..last).collect::<Vec<_>>(), "{format:?} without {lost:?}");
        }
    }
}
