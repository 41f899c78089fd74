//! What comes in another order, doubled or without its ends is put together all the same.

use super::*;

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
