//! Packets on their way out: each waits for its turn, leaves under a number, and is reported on.

use std::hint::black_box;
use std::time::Duration;

use ahoy_rtp::{CongestionControl, Pacer, PacketReport, Priority};
use criterion::{Criterion, Throughput};

/// Three seconds of pictures, of three packets each, 30 a second.
const PICTURES: u16 = 90;
const PACKETS: u16 = 3;
const BYTES: usize = 1_100;
const INTERVAL: Duration = Duration::from_millis(33);

/// What the narrowest link takes for a packet (5 Mb/s), and the way there and back.
const TRANSMISSION: Duration = Duration::from_micros(1_760);
const ROUND_TRIP: Duration = Duration::from_millis(40);

pub(crate) fn bench(criterion: &mut Criterion) {
    pacer(criterion);
    congestion(criterion);
}

fn pacer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pacer");
    group.throughput(Throughput::Elements(u64::from(PICTURES * PACKETS)));
    let (mut pacer, mut now) = (Pacer::default(), Duration::ZERO);
    group.bench_function("in and out", |b| {
        b.iter(|| {
            for _ in 0..PICTURES {
                for number in 0..PACKETS {
                    pacer.push(now, Priority::Picture, BYTES, number);
                }
                while let Some(at) = pacer.poll_timeout() {
                    now = now.max(at);
                    black_box(pacer.pop(now, 10_000_000));
                }
                now += INTERVAL;
            }
        });
    });
    group.finish();
}

/// A packet's share of leaving, of its part of a report, and of what is asked before each picture.
fn congestion(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("congestion");
    group.throughput(Throughput::Elements(u64::from(PICTURES * PACKETS)));
    let (mut control, mut now, mut number) = (CongestionControl::new(), Duration::ZERO, 0_u16);
    group.bench_function("sent and reported", |b| {
        b.iter(|| {
            for _ in 0..PICTURES {
                black_box((control.wait(now), control.target_bps(), control.is_asking(now)));
                let mut reports = [PacketReport { number: 0, arrived: None }; PACKETS as usize];
                let mut arrives = now + ROUND_TRIP / 2;
                for report in &mut reports {
                    control.sent(now, number, BYTES);
                    arrives += TRANSMISSION;
                    *report = PacketReport { number, arrived: Some(arrives) };
                    number = number.wrapping_add(1);
                }
                control.reported(now + ROUND_TRIP, &reports);
                now += ROUND_TRIP.max(INTERVAL);
            }
        });
    });
    assert!(control.is_known(), "the reports tell something");
    group.finish();
}
