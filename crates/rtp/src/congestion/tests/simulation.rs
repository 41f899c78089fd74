//! A camera, an encoder that obeys, the pacer, a link with a queue, and a peer that reports, in virtual time.

use super::*;
use crate::pacer::{Pacer, Priority};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::VecDeque;

const PICTURES_A_SECOND: f64 = 30.0;
const MOST_BPS: f64 = 750_000.0;
/// What a picture that asks keeps to, and of so many packets.
const ASKING_BPS: f64 = 100_000.0;
const ASKING_PACKETS: usize = 4;
const PACKET_BYTES: f64 = 1_150.0;
const HEADER_BYTES: f64 = 60.0;
const QUEUE_PACKETS: usize = 256;
const MTU: f64 = 1_500.0;
/// A picture is left out where it would wait longer.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

pub(super) struct Link {
    /// From when on, in seconds, how many bits a second.
    rates: Vec<(f64, f64)>,
    /// Moments at which 1,500 bytes may pass, in ms, instead.
    chances: Vec<u64>,
    delay_s: f64,
    pub(super) loss: f64,
    /// So many in a row in the mean, reports too (Gilbert's model).
    pub(super) in_a_row: f64,
    /// Of the reports.
    pub(super) lost_reports: f64,
}

impl Link {
    pub(super) fn rates(rates: &[(f64, f64)], delay_ms: f64) -> Self {
        Self {
            rates: rates.to_vec(),
            chances: Vec::new(),
            delay_s: delay_ms / 1e3,
            loss: 0.0,
            in_a_row: 1.0,
            lost_reports: 0.0,
        }
    }

    pub(super) fn recorded(path: &str, delay_ms: f64) -> Self {
        let chances = std::fs::read_to_string(path).unwrap().lines().map(|line| line.parse().unwrap()).collect();
        Self { rates: Vec::new(), chances, delay_s: delay_ms / 1e3, loss: 0.0, in_a_row: 1.0, lost_reports: 0.0 }
    }

    /// Whether the next packet is lost, where the one before was or was not.
    fn loses(&self, rng: &mut StdRng, was_lost: &mut bool) -> bool {
        let recovers = 1.0 / self.in_a_row;
        let breaks = recovers * self.loss / (1.0 - self.loss);
        *was_lost = if self.in_a_row <= 1.0 {
            rng.random_bool(self.loss)
        } else {
            *was_lost ^ rng.random_bool(if *was_lost { recovers } else { breaks })
        };
        *was_lost
    }

    /// Bytes that may pass in the millisecond `ms`.
    fn bytes(&self, ms: u64, chance: &mut usize) -> f64 {
        if self.chances.is_empty() {
            let rate = self.rates.iter().rev().find(|(from, _)| *from <= ms as f64 / 1e3);
            return rate.map_or(0.0, |(_, bps)| bps / 8e3);
        }
        let mut bytes = 0.0;
        while self.chances.get(*chance).is_some_and(|at| *at <= ms) {
            *chance += 1;
            bytes += MTU;
        }
        bytes
    }
}

#[derive(Clone, Copy)]
struct Packet {
    number: u16,
    picture: usize,
    is_last: bool,
    bytes: f64,
    queued_at: f64,
}

pub(super) struct Run {
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) worst_ms: f64,
    pub(super) queue_p95_ms: f64,
    pub(super) pictures_a_second: f64,
    /// For each source picture: when it was taken, and how long until it or a later one was there, in ms.
    delays: Vec<(f64, f64)>,
    sent: Vec<(f64, f64)>,
}

impl Run {
    /// When the first picture was there.
    pub(super) fn first_ms(&self) -> f64 {
        self.delays.first().map_or(f64::INFINITY, |(_, delay)| *delay)
    }

    pub(super) fn mean_bps(&self, from: f64, to: f64) -> f64 {
        self.sent_between(from, to) as f64 * 8.0 / (to - from)
    }

    pub(super) fn sent_between(&self, from: f64, to: f64) -> u64 {
        self.sent.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, bytes)| *bytes).sum::<f64>() as u64
    }

    pub(super) fn worst_between(&self, from: f64, to: f64) -> f64 {
        self.delays.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, delay)| *delay).fold(0.0, f64::max)
    }
}

pub(super) fn simulate(name: &str, link: &Link, seconds: f64) -> Run {
    simulate_from(name, link, seconds, None)
}

/// The same, where the path is known from an earlier call.
pub(super) fn simulate_from(name: &str, link: &Link, seconds: f64, last_known_bps: Option<u64>) -> Run {
    let mut rng = StdRng::seed_from_u64(11);
    let mut was_lost = (false, false);
    let mut control = CongestionControl::new();
    last_known_bps.into_iter().for_each(|bps| control.start_from(bps));
    let mut pacer: Pacer<Packet> = Pacer::default();
    let (mut number, mut chance, mut credit, mut next_picture) = (0u16, 0, 0.0_f64, 0.0);
    let mut queue: VecDeque<Packet> = VecDeque::new();
    let mut on_way: VecDeque<(f64, Packet)> = VecDeque::new();
    let mut reports: VecDeque<(f64, Vec<PacketReport>)> = VecDeque::new();
    let mut unreported: Vec<PacketReport> = Vec::new();
    let (mut reported_until, mut reported_at) = (None::<u16>, -1.0);
    let mut taken: Vec<f64> = Vec::new();
    let mut sent_pictures = 0;
    let mut here: Vec<(usize, f64)> = Vec::new();
    let mut waits = Vec::new();
    let mut sent = Vec::new();
    for ms in 0..(seconds * 1e3) as u64 {
        let now = ms as f64 / 1e3;
        let at = Duration::from_millis(ms);
        while reports.front().is_some_and(|(due, _)| *due <= now) {
            let (_, report) = reports.pop_front().unwrap();
            control.reported(at, &report);
        }
        if next_picture <= now {
            next_picture += 1.0 / PICTURES_A_SECOND;
            taken.push(now);
            let waiting = Duration::from_secs_f64(pacer.bytes() as f64 * 8.0 / control.capacity_bps() as f64);
            if control.wait(at) + waiting <= LONGEST_WAIT {
                let most = if control.is_asking(at) { ASKING_BPS } else { MOST_BPS };
                let target = (control.target_bps() as f64).min(most);
                let share = if sent_pictures == 0 { 6.0 } else { rng.random_range(0.6..1.5) };
                let bytes = (target / 8.0 / PICTURES_A_SECOND * share).max(100.0);
                let packets = (bytes / PACKET_BYTES).ceil() as usize;
                let packets = if control.is_asking(at) { packets.max(ASKING_PACKETS) } else { packets };
                for part in 0..packets {
                    let bytes = bytes / packets as f64 + HEADER_BYTES;
                    let picture = taken.len() - 1;
                    let packet = Packet { number: 0, picture, is_last: part + 1 == packets, bytes, queued_at: 0.0 };
                    pacer.push(at, Priority::Picture, bytes as usize, packet);
                }
                sent_pictures += 1;
            }
        }
        while let Some(mut packet) = pacer.pop(at, control.pacing_bps()) {
            (packet.number, packet.queued_at) = (number, now);
            control.sent(at, number, packet.bytes as usize);
            number = number.wrapping_add(1);
            sent.push((now, packet.bytes));
            if queue.len() < QUEUE_PACKETS && !link.loses(&mut rng, &mut was_lost.0) {
                queue.push_back(packet);
            }
        }
        let room = link.bytes(ms, &mut chance);
        credit = if queue.is_empty() && !link.chances.is_empty() { 0.0 } else { credit + room };
        while let Some(packet) = queue.pop_front_if(|packet| packet.bytes <= credit) {
            credit -= packet.bytes;
            waits.push((now - packet.queued_at) * 1e3);
            on_way.push_back((now + link.delay_s, packet));
        }
        if queue.is_empty() {
            credit = credit.min(room);
        }
        while on_way.front().is_some_and(|(due, _)| *due <= now) {
            let (_, packet) = on_way.pop_front().unwrap();
            let mut missed = reported_until.map_or(packet.number, |until| until.wrapping_add(1));
            while missed != packet.number {
                unreported.push(PacketReport { number: missed, arrived: None });
                missed = missed.wrapping_add(1);
            }
            let arrived = Some(at + Duration::from_secs(1_000));
            unreported.push(PacketReport { number: packet.number, arrived });
            reported_until = Some(packet.number);
            if packet.is_last {
                here.push((packet.picture, now));
            }
        }
        if !unreported.is_empty() && now - reported_at >= 0.025 {
            reported_at = now;
            let report = std::mem::take(&mut unreported);
            let is_in_burst = link.in_a_row > 1.0 && link.loses(&mut rng, &mut was_lost.1);
            if !is_in_burst && !rng.random_bool(link.lost_reports) {
                reports.push_back((now + link.delay_s, report));
            }
        }
    }
    let mut delays = Vec::new();
    let mut next = 0;
    for (picture, at) in &taken.iter().copied().enumerate().collect::<Vec<_>>() {
        while here.get(next).is_some_and(|(shown, _)| shown < picture) {
            next += 1;
        }
        let shown = here.get(next).map_or(seconds, |(_, shown)| *shown);
        if *at < seconds - 1.0 {
            delays.push((*at, (shown - at) * 1e3));
        }
    }
    let percentile = |mut values: Vec<f64>, share: f64| {
        values.sort_by(f64::total_cmp);
        values.get(((values.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(0.0)
    };
    let all: Vec<f64> = delays.iter().map(|(_, delay)| *delay).collect();
    let run = Run {
        p50_ms: percentile(all.clone(), 0.5),
        p95_ms: percentile(all.clone(), 0.95),
        worst_ms: percentile(all, 1.0),
        queue_p95_ms: percentile(waits, 0.95),
        pictures_a_second: here.len() as f64 / seconds,
        delays,
        sent,
    };
    println!(
        "{name:20} p50 {:5.0} ms, p95 {:5.0} ms, worst {:6.0} ms, queue p95 {:5.0} ms, {:4.1} pictures/s, {:4.0} kb/s",
        run.p50_ms,
        run.p95_ms,
        run.worst_ms,
        run.queue_p95_ms,
        run.pictures_a_second,
        run.mean_bps(0.0, seconds) / 1e3
    );
    run
}
