//! Pictures to packets, packets to pictures, and which packets to ask for again. The payload formats are part of both ways
//! and have no benchmark of their own.

use std::hint::black_box;
use std::time::Duration;

use ahoy_rtp::{
    AssemblerConfig, AssemblerEvent, Came, FrameAssembler, FramePacketizer, NackGenerator, PictureFormat, RtpHeader,
    RtpPacket,
};
use criterion::{BatchSize, Criterion, Throughput};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::link::{Arrival, Link};

/// Three seconds at 30 a second.
const PICTURES: u32 = 90;
const PERIOD: Duration = Duration::from_micros(33_333);
const TICKS: u32 = 3_000;

/// What an encoder makes of 640x480 at 700 kb/s: the key picture at the beginning, and the others.
const KEY_BYTES: usize = 20_000;
const BYTES: std::ops::Range<usize> = 1_500..4_300;

const FORMATS: [(PictureFormat, &str); 2] = [(PictureFormat::H264, "H.264"), (PictureFormat::Vp8, "VP8")];

const LINKS: [Link; 3] = [
    Link::CLEAN,
    Link { name: "out of order", jitter: Duration::from_millis(20), ..Link::CLEAN },
    Link { name: "5 % come again", loss: 0.05, repairs: true, ..Link::CLEAN },
];

pub(crate) fn bench(criterion: &mut Criterion) {
    for (format, name) in FORMATS {
        let pictures = pictures(format);
        let sent = packets(format, &pictures);
        packetize(criterion, format, name, &pictures, sent.len());
        for link in LINKS {
            assemble(criterion, format, &format!("{name} {}", link.name), &link.carry(&sent));
        }
    }
    let sent = packets(PictureFormat::Vp8, &pictures(PictureFormat::Vp8));
    for link in LINKS {
        nack(criterion, link.name, &link.carry(&sent));
    }
}

fn packetize(criterion: &mut Criterion, format: PictureFormat, name: &str, pictures: &[Vec<u8>], packets: usize) {
    let mut packetizer = FramePacketizer::new(1);
    let mut group = criterion.benchmark_group("packetize");
    group.throughput(Throughput::Elements(packets as u64));
    group.bench_function(name, |b| {
        b.iter(|| {
            for picture in pictures {
                packetizer.packetize(format, black_box(picture), 0).for_each(|packet| drop(black_box(packet)));
            }
        });
    });
    group.finish();
}

fn assemble(criterion: &mut Criterion, format: PictureFormat, name: &str, arrivals: &[Arrival]) {
    let mut group = criterion.benchmark_group("assembler");
    group.throughput(Throughput::Elements(arrivals.len() as u64));
    group.bench_function(name, |b| {
        let begin = || (FrameAssembler::new(format, AssemblerConfig::default()), arrivals.to_vec());
        let run = |(mut assembler, arrivals): (FrameAssembler, Vec<Arrival>)| {
            let mut frames = 0;
            for Arrival { at, packet, .. } in arrivals {
                assembler.push(at, packet);
                while let Some(event) = assembler.poll_event() {
                    frames += u32::from(matches!(black_box(event), AssemblerEvent::Frame(_)));
                }
            }
            assert_eq!(frames, PICTURES, "every picture is whole in the end");
            assembler
        };
        b.iter_batched(begin, run, BatchSize::SmallInput);
    });
    group.finish();
}

/// Every packet is noted and, when that is due, asked after, as the receiving side of a call does.
fn nack(criterion: &mut Criterion, name: &str, arrivals: &[Arrival]) {
    let mut group = criterion.benchmark_group("nack");
    group.throughput(Throughput::Elements(arrivals.len() as u64));
    group.bench_function(name, |b| {
        b.iter(|| {
            let mut generator = NackGenerator::default();
            for Arrival { at, again, packet } in black_box(arrivals) {
                let came = if *again { Came::Again } else { Came::Itself };
                let RtpPacket { sequence, timestamp, marker, .. } = *packet;
                black_box(generator.push(*at, RtpHeader { sequence, timestamp, marker }, came));
                if generator.poll_timeout().is_some_and(|due| due <= *at) {
                    black_box(generator.poll(*at));
                }
            }
            generator
        });
    });
    group.finish();
}

/// Made up: what a format's packets need to begin with, and noise without zeros, so that no start code arises.
fn pictures(format: PictureFormat) -> Vec<Vec<u8>> {
    let (key_head, head): (&[u8], &[u8]) = match format {
        PictureFormat::H264 => (
            &[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 0, 1, 0x65, 0x88],
            &[0, 0, 0, 1, 0x41, 0x88],
        ),
        PictureFormat::Vp8 => (&[0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01], &[0x31, 0x02, 0x00]),
    };
    let mut rng = StdRng::seed_from_u64(7);
    let mut noise = |head: &[u8], length: usize| -> Vec<u8> {
        head.iter().copied().chain((0..length).map(|_| rng.random_range(1..=255))).collect()
    };
    let mut lengths = StdRng::seed_from_u64(8);
    let mut pictures = vec![noise(key_head, KEY_BYTES)];
    pictures.extend((1..PICTURES).map(|_| noise(head, lengths.random_range(BYTES))));
    pictures
}

/// When each packet is sent: all of a picture at once.
fn packets(format: PictureFormat, pictures: &[Vec<u8>]) -> Vec<(Duration, RtpPacket)> {
    let mut packetizer = FramePacketizer::new(1);
    (0..)
        .zip(pictures)
        .flat_map(|(number, picture)| {
            let packets: Vec<RtpPacket> = packetizer.packetize(format, picture, number * TICKS).collect();
            packets.into_iter().map(move |packet| (PERIOD * number, packet))
        })
        .collect()
}
