//! No packet and no picture costs an allocation once a call runs: memory is taken at its beginning and used again.
//! `cargo test -p ahoy-rtp --test allocations -- --nocapture` prints the figures.
#![allow(clippy::unwrap_used)]

mod counting;

use ahoy_rtp::{
    AssemblerConfig, AssemblerEvent, Came, CongestionControl, FrameAssembler, FramePacketizer, JitterBuffer, LipSync,
    NackGenerator, OpusPacketizer, Pacer, PacketReport, PictureFormat, Playout, Priority, RtpHeader, RtpPacket, Slabs,
    red,
};
use bytes::Bytes;
use counting::{allocations, in_steady_state};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::VecDeque;
use std::time::Duration;

const FORMATS: [PictureFormat; 2] = [PictureFormat::H264, PictureFormat::Vp8];
const PICTURE: Duration = Duration::from_micros(33_333);
const BLOCK: Duration = Duration::from_millis(10);
const MS: Duration = Duration::from_millis(1);

/// A minute of pictures, two of sound.
const PICTURES: u32 = 1_800;
const BLOCKS: u32 = 12_000;

/// What the transport keeps for sending again.
const KEPT_PACKETS: usize = 1_024;

/// Coded pictures of a call, the first a key picture, of which one is as long as any will be.
fn pictures(format: PictureFormat) -> Vec<Vec<u8>> {
    let mut rng = StdRng::seed_from_u64(1);
    (0..60)
        .map(|number| {
            let mut picture = match (format, number) {
                (PictureFormat::H264, 0) => vec![0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 0x88],
                (PictureFormat::H264, _) => vec![0, 0, 0, 1, 0x41, 0x9a],
                (PictureFormat::Vp8, 0) => vec![0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40],
                (PictureFormat::Vp8, _) => vec![0x11, 0, 0],
            };
            let bytes = if number == 0 { 30_000 } else { rng.random_range(200..9_000) };
            picture.extend((0..bytes).map(|_| rng.random_range(1..=255_u8)));
            picture
        })
        .collect()
}

/// A picture of a stream that begins with a key picture and has no other.
fn nth(pictures: &[Vec<u8>], number: u32) -> &[u8] {
    if number == 0 { &pictures[0] } else { &pictures[1 + number as usize % (pictures.len() - 1)] }
}

fn header(packet: &RtpPacket) -> RtpHeader {
    RtpHeader { sequence: packet.sequence, timestamp: packet.timestamp, marker: packet.marker }
}

/// A picture's way: packets, kept for sending again, and put together by the other side, whose order `shuffle` changes.
fn send_pictures(format: PictureFormat, shuffle: impl Fn(&mut Vec<RtpPacket>)) -> u64 {
    let pictures = pictures(format);
    let mut packetizer = FramePacketizer::new(1);
    let mut kept = VecDeque::with_capacity(KEPT_PACKETS + 64);
    let mut on_their_way = Vec::with_capacity(64);
    let mut nacks = NackGenerator::default();
    let mut assembler = FrameAssembler::new(format, AssemblerConfig::default());
    let mut seen = 0;
    let taken = in_steady_state(PICTURES, |number| {
        let now = PICTURE * number;
        on_their_way.extend(packetizer.packetize(format, nth(&pictures, number), number * 3_000));
        kept.extend(on_their_way.iter().cloned());
        kept.drain(..kept.len().saturating_sub(KEPT_PACKETS));
        shuffle(&mut on_their_way);
        for packet in on_their_way.drain(..) {
            nacks.push(now, header(&packet), Came::Itself);
            assembler.push(now, packet);
            while let Some(event) = assembler.poll_event() {
                let AssemblerEvent::Frame(frame) = event else { panic!("nothing was lost") };
                assert_eq!(frame.data.len(), nth(&pictures, number).len());
                assembler.give_back(frame.data);
                seen += 1;
            }
        }
        if nacks.poll_timeout().is_some_and(|due| due <= now) {
            assert!(nacks.poll(now).is_empty());
        }
        assembler.handle_timeout(now);
    });
    assert_eq!(seen, 2 * PICTURES);
    taken
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8; 100]))), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn a_picture_costs_nothing_from_packets_to_picture() {
    for format in FORMATS {
        assert_eq!(send_pictures(format, |_| {}), 0, "{format:?}");
    }
}

#[test]
fn packets_out_of_order_cost_nothing_either() {
    for format in FORMATS {
        let swap = |packets: &mut Vec<RtpPacket>| {
            if packets.len() > 3 {
                packets.swap(1, 2);
            }
        };
        assert_eq!(send_pictures(format, swap), 0, "{format:?}");
    }
}

#[test]
fn a_packet_that_is_sent_paced_and_reported_costs_nothing() {
    let (mut congestion, mut pacer) = (CongestionControl::new(), Pacer::default());
    // They come back 120 ms later, a picture's together.
    let mut reports: VecDeque<PacketReport> = VecDeque::with_capacity(64);
    let mut number = 0_u16;
    let payload = Bytes::from_static(&[7; 1_000]);
    let taken = in_steady_state(PICTURES, |picture| {
        for tick in 0..33 {
            let now = MS * (picture * 33 + tick);
            for _ in 0..if tick == 0 { 4 } else { 0 } {
                pacer.push(now, Priority::Picture, payload.len(), payload.clone());
            }
            while let Some(packet) = pacer.pop(now, congestion.pacing_bps()) {
                congestion.sent(now, number, packet.len());
                reports.push_back(PacketReport { number, arrived: Some(now + 20 * MS) });
                number = number.wrapping_add(1);
            }
            if tick == 30 && reports.len() > 12 {
                reports.make_contiguous();
                congestion.reported(now, &reports.as_slices().0[..4]);
                reports.drain(..4);
            }
        }
    });
    assert!((12..64).contains(&congestion.packets_in_flight()), "{}", congestion.packets_in_flight());
    assert_eq!(taken, 0);
}

/// Sends and plays the voice, with or without copies of the packets before.
fn talk(has_copies: bool) -> u64 {
    let mut packetizer = OpusPacketizer::new(1, 1);
    let (mut memory, mut copies) = (Slabs::default(), Vec::with_capacity(1));
    let mut jitter = JitterBuffer::new();
    let (mut played, mut queued) = (0, 0_u32);
    let taken = in_steady_state(BLOCKS / 2, |number| {
        let now = 2 * BLOCK * number;
        let mut coded = [7; 83];
        coded[0] = 31 << 3;
        coded[1] = number as u8;
        copies.extend(packetizer.copy().filter(|_| has_copies));
        let packet = packetizer.packetize(&coded[..60 + number as usize % 20], 960);
        if copies.is_empty() {
            jitter.push(now, packet);
        } else {
            let payload = red::join(111, &copies, &packet.payload, &mut memory).unwrap();
            jitter.push_redundant(now, RtpPacket { payload, ..packet });
        }
        copies.clear();
        for half in 0..2 {
            while queued < 480 {
                queued += match jitter.pull(now + BLOCK * half, queued).playout {
                    Playout::Decode(_) => {
                        played += 1;
                        960
                    }
                    Playout::DecodeFec(_) | Playout::Silence => 960,
                    Playout::Conceal(samples) | Playout::ComfortNoise(samples) => samples,
                };
            }
            queued -= 480;
        }
    });
    assert!(played > BLOCKS - 20, "{played}");
    taken
}

#[test]
fn the_voice_costs_nothing_from_packet_to_playing() {
    assert_eq!(talk(false), 0);
}

#[test]
fn copies_of_the_voice_cost_nothing_either() {
    assert_eq!(talk(true), 0);
}

#[test]
fn keeping_sound_and_picture_together_costs_nothing() {
    let mut sync = LipSync::new();
    let taken = in_steady_state(PICTURES, |number| {
        let now = PICTURE * number;
        sync.sound_heard(number * 1_600, now, 20 * MS);
        sync.picture_ready(number * 3_000, now);
    });
    assert_eq!(taken, 0);
}
