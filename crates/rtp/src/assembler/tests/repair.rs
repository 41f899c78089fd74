//! What is lost: waited for as long as it pays, asked for, left out where nothing refers to it.

use super::*;

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
