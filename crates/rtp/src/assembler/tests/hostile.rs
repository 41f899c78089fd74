//! What is no picture, or has no end: the decoder is kept from it, and it takes no more than a bounded room.

use super::*;

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
