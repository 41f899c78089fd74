//! Sound to packets, and the jitter buffer between a link and a speaker that asks every 10 ms.

use std::hint::black_box;
use std::time::Duration;

use ahoy_rtp::jitter::{SILENCE_SAMPLES, STEP_SAMPLES};
use ahoy_rtp::{JitterBuffer, OpusPacketizer, Playout, RtpPacket};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};

use crate::link::{Arrival, Link};

/// Ten seconds, 20 ms each.
const PACKETS: u32 = 500;
const PERIOD: Duration = Duration::from_millis(20);
const FRAME_SAMPLES: u32 = 960;

/// What a speaker takes at a time.
const BLOCK: Duration = Duration::from_millis(10);
const BLOCK_SAMPLES: u32 = 480;

const LINKS: [Link; 3] = [
    Link::CLEAN,
    Link { name: "jitter of 60 ms", jitter: Duration::from_millis(60), ..Link::CLEAN },
    Link { name: "5 % lost", loss: 0.05, ..Link::CLEAN },
];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut packetizer = OpusPacketizer::new(1, 1);
    let payload = payload();
    let mut group = criterion.benchmark_group("packetize");
    group.throughput(Throughput::Elements(1));
    group.bench_function("Opus", |b| b.iter(|| packetizer.packetize(black_box(payload.clone()), FRAME_SAMPLES)));
    group.finish();

    let sent = packets();
    for link in LINKS {
        jitter(criterion, link.name, &link.carry(&sent));
    }
}

/// A packet's share of everything: it is pushed, and the speaker pulls on.
fn jitter(criterion: &mut Criterion, name: &str, arrivals: &[Arrival]) {
    let mut group = criterion.benchmark_group("jitter");
    group.throughput(Throughput::Elements(arrivals.len() as u64));
    group.bench_function(name, |b| {
        let begin = || (JitterBuffer::new(), arrivals.to_vec());
        let run = |(mut buffer, arrivals): (JitterBuffer, Vec<Arrival>)| {
            let mut arrivals = arrivals.into_iter().peekable();
            let (mut now, mut queued) = (Duration::ZERO, 0);
            while arrivals.peek().is_some() {
                while let Some(Arrival { packet, .. }) = arrivals.next_if(|arrival| arrival.at <= now) {
                    buffer.push(now, packet);
                }
                while queued < BLOCK_SAMPLES {
                    queued += samples(&black_box(buffer.pull(now, queued)).playout);
                }
                queued -= BLOCK_SAMPLES;
                now += BLOCK;
            }
            assert!(buffer.stats().played > 0, "something is heard");
            buffer
        };
        b.iter_batched(begin, run, BatchSize::SmallInput);
    });
    group.finish();
}

fn samples(playout: &Playout) -> u32 {
    match playout {
        Playout::Decode(_) => FRAME_SAMPLES,
        Playout::DecodeFec(_) => STEP_SAMPLES,
        Playout::Conceal(samples) | Playout::ComfortNoise(samples) => *samples,
        Playout::Silence => SILENCE_SAMPLES,
    }
}

fn packets() -> Vec<(Duration, RtpPacket)> {
    let mut packetizer = OpusPacketizer::new(1, 1);
    let payload = payload();
    (0..PACKETS).map(|number| (PERIOD * number, packetizer.packetize(payload.clone(), FRAME_SAMPLES))).collect()
}

/// As long as ours are. It says that it is of wideband SILK, 20 ms, with repair data (RFC 6716 §3.1, §4.2.3).
fn payload() -> Bytes {
    let mut payload = vec![0x55; 80];
    (payload[0], payload[1]) = (9 << 3, 0x40);
    payload.into()
}
