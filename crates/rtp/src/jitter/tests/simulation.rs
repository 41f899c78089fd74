//! A sender, a link, a sound card and a stretcher, each as bad as asked for, around one jitter buffer in virtual time.

use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What every packet takes at least.
const PATH_MS: f64 = 30.0;
const PACKET_MS: f64 = 20.0;
const BLOCK_MS: f64 = 10.0;
/// How often the thread that plays looks.
const LOOK_MS: f64 = 3.0;
const FIXED_DEPTH_MS: f64 = 40.0;

/// What is not perfect besides the link.
#[derive(Clone, Copy, Default)]
struct Clocks {
    /// How much too fast the sender's sound card runs.
    sender_ppm: f64,
    /// How much too fast the player's runs.
    player_ppm: f64,
}

/// What makes up for lost packets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repair {
    /// Opus' own data in the next packet.
    Fec,
    /// A copy in the next packet (RFC 2198).
    Copy,
}

/// What came of it.
#[derive(Debug)]
struct Report {
    /// From when a packet can be here at the earliest to when its first sample leaves the queue.
    mean_delay_ms: f64,
    /// The same over the last tenth of the time.
    last_delay_ms: f64,
    worst_delay_ms: f64,
    /// Invented, or silent in the middle of talk.
    gaps_ms: f64,
    recovered_ms: f64,
    /// What a buffer that stays at 40 ms would have had to invent.
    fixed_gaps_ms: f64,
    accelerated_per_minute: f64,
    decelerated_per_minute: f64,
}

struct Simulation {
    rng: StdRng,
    clocks: Clocks,
    repair: Repair,
    buffer: JitterBuffer,
    /// Arrival and number of each packet that arrives, latest first.
    arrivals: Vec<(f64, usize)>,
    queued: i64,
    blocks: f64,
    delays: Vec<f64>,
    silent_ms: f64,
    invented_ms: f64,
    last_played: Option<u32>,
}

/// Runs a call of `seconds` over a link that holds packet `n` up by `held_up(n)` ms, or loses it.
fn simulate(
    name: &str,
    seconds: u32,
    clocks: Clocks,
    held_up: impl FnMut(usize, &mut StdRng) -> Option<f64>,
) -> Report {
    simulate_with(Repair::Fec, name, seconds, clocks, held_up)
}

fn simulate_with(
    repair: Repair,
    name: &str,
    seconds: u32,
    clocks: Clocks,
    mut held_up: impl FnMut(usize, &mut StdRng) -> Option<f64>,
) -> Report {
    let mut rng = StdRng::seed_from_u64(7);
    let count = (f64::from(seconds) * 1_000.0 / PACKET_MS) as usize;
    // The sender goes on for a while after the end.
    let held: Vec<Option<f64>> = (0..count + 100).map(|number| held_up(number, &mut rng)).collect();
    let fixed_losses = held[..count].iter().filter(|held| held.is_none_or(|held| held > FIXED_DEPTH_MS)).count();
    let sent = |number: usize| number as f64 * PACKET_MS / (1.0 + clocks.sender_ppm / 1e6);
    let mut arrivals: Vec<(f64, usize)> = held
        .iter()
        .enumerate()
        .filter_map(|(number, held)| Some((sent(number) + PATH_MS + (*held)?, number)))
        .collect();
    arrivals.sort_by(|left, right| right.0.total_cmp(&left.0).then(right.1.cmp(&left.1)));
    let mut simulation = Simulation {
        rng,
        clocks,
        repair,
        buffer: JitterBuffer::new(),
        arrivals,
        queued: 0,
        blocks: 0.0,
        delays: Vec::new(),
        silent_ms: 0.0,
        invented_ms: 0.0,
        last_played: None,
    };
    let steps = (f64::from(seconds) * 1_000.0 / LOOK_MS) as usize;
    for step in 0..steps {
        simulation.step(step as f64 * LOOK_MS);
    }
    let report = simulation.report(f64::from(seconds), fixed_losses as f64 * PACKET_MS);
    println!("{name:32} {report}");
    report
}

impl Simulation {
    /// The thread that plays looks, up to 2 ms late.
    fn step(&mut self, at_ms: f64) {
        let now_ms = at_ms + self.rng.random_range(0.0..2.0);
        let now = Duration::from_secs_f64(now_ms / 1_000.0);
        while let Some((_, number)) = self.arrivals.pop_if(|(arrival, _)| *arrival <= now_ms) {
            let timestamp = 4_000_000_000u32.wrapping_add(number as u32 * 960);
            let packet = |payload| RtpPacket { sequence: number as u16, timestamp, marker: false, payload };
            // Configuration 9 (20 ms), with repair data or without; the number goes along.
            let payload = |flags: u8, number: usize| {
                let [high, low] = (number as u16).to_be_bytes();
                Bytes::from(vec![9 << 3, flags, high, low])
            };
            match self.repair {
                Repair::Fec => self.buffer.push(now, packet(payload(0x40, number))),
                Repair::Copy => {
                    let before =
                        number.checked_sub(1).map(|before| red::Copy { back: 960, payload: payload(0, before) });
                    let joined = red::join(111, before.as_slice(), &payload(0, number), &mut Slabs::default());
                    self.buffer.push_redundant(now, packet(joined.unwrap()));
                }
            }
        }
        let due = (now_ms * (1.0 + self.clocks.player_ppm / 1e6) / BLOCK_MS).floor();
        while self.blocks < due {
            while self.queued < 480 {
                let pull = self.buffer.pull(now, self.queued as u32);
                self.play(now_ms, pull);
            }
            self.queued -= 480;
            self.blocks += 1.0;
        }
    }

    fn play(&mut self, now_ms: f64, pull: Pull) {
        let length = match &pull.playout {
            Playout::Decode(payload) => {
                let number = u32::from(u16::from_be_bytes([payload[2], payload[3]]));
                assert!(
                    self.last_played.is_none_or(|last| number > last),
                    "{number} plays after {:?}",
                    self.last_played
                );
                self.last_played = Some(number);
                let earliest = f64::from(number) * PACKET_MS / (1.0 + self.clocks.sender_ppm / 1e6) + PATH_MS;
                self.delays.push(now_ms + self.queued as f64 / 48.0 - earliest);
                960 + self.stretched(pull.stretch)
            }
            Playout::DecodeFec(_) => 960,
            Playout::ComfortNoise(samples) => i64::from(*samples),
            Playout::Conceal(samples) => {
                self.invented_ms += f64::from(*samples) / 48.0;
                i64::from(*samples)
            }
            Playout::Silence => {
                if self.last_played.is_some() {
                    self.silent_ms += 10.0;
                }
                480
            }
        };
        self.queued += length;
    }

    /// A pitch period where one is found, anything in a pause.
    fn stretched(&mut self, stretch: Stretch) -> i64 {
        let period = if self.rng.random_bool(0.8) { self.rng.random_range(120..600) } else { 0 };
        let is_pause = self.rng.random_bool(0.3);
        match stretch {
            Stretch::None => 0,
            Stretch::Accelerate { at_most } if is_pause => -i64::from(at_most.min(720)),
            Stretch::Accelerate { at_most } if period <= i64::from(at_most) => -period,
            Stretch::Accelerate { .. } => 0,
            Stretch::Decelerate => period,
        }
    }

    fn report(&self, seconds: f64, fixed_gaps_ms: f64) -> Report {
        let stats = self.buffer.stats();
        let mean = |delays: &[f64]| delays.iter().sum::<f64>() / delays.len().max(1) as f64;
        Report {
            mean_delay_ms: mean(&self.delays),
            last_delay_ms: mean(&self.delays[self.delays.len() * 9 / 10..]),
            worst_delay_ms: self.delays.iter().copied().fold(0.0, f64::max),
            gaps_ms: (stats.concealed_samples as f64 / 48.0).max(self.invented_ms + self.silent_ms),
            recovered_ms: stats.recovered_samples as f64 / 48.0,
            fixed_gaps_ms,
            accelerated_per_minute: stats.accelerated as f64 * 60.0 / seconds,
            decelerated_per_minute: stats.decelerated as f64 * 60.0 / seconds,
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "delay {:5.1} (last {:5.1}, worst {:5.1}) ms, gaps {:6.0} ms (fixed {:6.0}), recovered {:6.0} ms, \
             faster {:5.1} slower {:5.1} a minute",
            self.mean_delay_ms,
            self.last_delay_ms,
            self.worst_delay_ms,
            self.gaps_ms,
            self.fixed_gaps_ms,
            self.recovered_ms,
            self.accelerated_per_minute,
            self.decelerated_per_minute
        )
    }
}

/// Wi-Fi that stands still for 150 to 300 ms every 3 to 6 s, and then delivers all at once.
fn stalls() -> impl FnMut(usize, &mut StdRng) -> Option<f64> {
    let mut stalled_from = 100.0;
    let mut stalled_until = 250.0;
    move |number, rng| {
        let sent = number as f64 * PACKET_MS;
        if sent > stalled_until {
            stalled_from = sent + rng.random_range(3_000.0..6_000.0);
            stalled_until = stalled_from + rng.random_range(150.0..300.0);
        }
        let held_up = if sent >= stalled_from { stalled_until - sent } else { rng.random_range(0.0..3.0) };
        Some(held_up)
    }
}

fn jitter_of(most_ms: f64) -> impl FnMut(usize, &mut StdRng) -> Option<f64> {
    move |_, rng| Some(rng.random_range(0.0..most_ms))
}

fn losing(share: f64, most_ms: f64) -> impl FnMut(usize, &mut StdRng) -> Option<f64> {
    move |_, rng| (!rng.random_bool(share)).then(|| rng.random_range(0.0..most_ms))
}

#[test]
fn on_a_clean_link_next_to_nothing_is_held() {
    let report = simulate("clean", 60, Clocks::default(), jitter_of(1.0));
    assert!(report.mean_delay_ms < 20.0 && report.last_delay_ms < 18.0, "{report}");
    assert_eq!(report.gaps_ms, 0.0, "{report}");
    assert!(report.accelerated_per_minute + report.decelerated_per_minute < 12.0, "{report}");
}

#[test]
fn jitter_is_covered_and_not_by_more_than_it_takes() {
    let report = simulate("jitter 0-60 ms", 120, Clocks::default(), jitter_of(60.0));
    assert!(report.fixed_gaps_ms > 20_000.0, "{report}");
    assert!(report.gaps_ms <= 100.0, "{report}");
    assert!(report.mean_delay_ms < 95.0, "{report}");
    assert!(report.accelerated_per_minute + report.decelerated_per_minute < 30.0, "{report}");
}

#[test]
fn stalls_of_wifi_are_learnt() {
    let report = simulate("stalls of 150-300 ms", 180, Clocks::default(), stalls());
    assert!(report.fixed_gaps_ms > 5_000.0, "{report}");
    assert!(report.gaps_ms < report.fixed_gaps_ms / 10.0, "{report}");
    assert!(report.mean_delay_ms < 300.0, "{report}");
    assert!(report.accelerated_per_minute + report.decelerated_per_minute < 30.0, "{report}");
}

#[test]
fn lost_packets_are_mostly_recovered_where_they_are_common() {
    for (share, most_ms) in [(0.03, 1.0), (0.10, 1.0), (0.03, 60.0), (0.10, 60.0)] {
        let name = format!("loss {:.0} %, jitter 0-{most_ms} ms", share * 100.0);
        let report = simulate(&name, 120, Clocks::default(), losing(share, most_ms));
        let lost_ms = share * 120_000.0;
        assert!(report.recovered_ms > lost_ms * 0.75, "{name}: {report}");
        assert!(report.gaps_ms < lost_ms * 0.3, "{name}: {report}");
        assert!(report.mean_delay_ms < most_ms + 60.0, "{name}: {report}");
    }
}

#[test]
fn with_copies_only_what_is_lost_together_with_its_copy_is_invented() {
    for share in [0.05, 0.10, 0.20] {
        let name = format!("copies, loss {:.0} %", share * 100.0);
        let report = simulate_with(Repair::Copy, &name, 300, Clocks::default(), losing(share, 1.0));
        // Both of two packets.
        let expected_ms = share * share * 300_000.0;
        assert!(report.gaps_ms < expected_ms * 1.3 + 200.0, "{name}: {report}");
        assert!(report.recovered_ms > (share - share * share) * 300_000.0 * 0.9, "{name}: {report}");
        assert!(report.mean_delay_ms < 40.0, "{name}: {report}");
    }
}

#[test]
fn clocks_that_drift_apart_add_no_delay_in_ten_minutes() {
    for (sender_ppm, player_ppm) in [(300.0, 0.0), (-300.0, 0.0), (0.0, 300.0), (0.0, -300.0), (300.0, -300.0)] {
        let name = format!("drift {sender_ppm:+} / {player_ppm:+} ppm");
        let report = simulate(&name, 600, Clocks { sender_ppm, player_ppm }, jitter_of(5.0));
        assert!(report.last_delay_ms < 30.0, "{name}: {report}");
        assert!(report.gaps_ms <= 20.0, "{name}: {report}");
        // 600 ppm of ten minutes are 360 ms, in pieces of 4 ms on average; not each that is asked for is found.
        assert!(report.accelerated_per_minute + report.decelerated_per_minute < 40.0, "{name}: {report}");
    }
}

#[test]
fn packets_that_overtake_each_other_play_in_order() {
    // One in ten comes 25 to 45 ms late, after the one or two behind it.
    let report = simulate("reordering", 120, Clocks::default(), |_, rng| {
        Some(if rng.random_bool(0.1) { rng.random_range(25.0..45.0) } else { rng.random_range(0.0..2.0) })
    });
    assert!(report.gaps_ms < 300.0, "{report}");
    assert!(report.mean_delay_ms < 80.0, "{report}");
}

#[test]
fn the_delay_comes_back_down_after_an_outage() {
    // Three seconds of nothing, then all of it at once.
    let report = simulate("outage of 3 s", 60, Clocks::default(), |number, rng| {
        let sent = number as f64 * PACKET_MS;
        Some(if (20_000.0..23_000.0).contains(&sent) { 23_000.0 - sent } else { rng.random_range(0.0..2.0) })
    });
    assert!(report.last_delay_ms < 40.0, "{report}");
    assert!(report.mean_delay_ms < 45.0, "{report}");
    assert!((2_900.0..=3_100.0).contains(&report.gaps_ms), "{report}");
}

#[test]
fn a_longer_path_is_followed_both_ways() {
    // A laptop changes to another network for twenty seconds: everything takes 150 ms longer.
    let report = simulate("path of 150 ms more for 20 s", 90, Clocks::default(), |number, rng| {
        let is_longer = (1_000..2_000).contains(&number);
        Some(rng.random_range(0.0..2.0) + if is_longer { 150.0 } else { 0.0 })
    });
    assert!(report.gaps_ms <= 180.0, "{report}");
    // The path itself counts as delay here: 33 ms of the mean.
    assert!(report.mean_delay_ms < 85.0 && report.last_delay_ms < 40.0, "{report}");
}

#[test]
fn a_single_stall_loses_nothing_and_costs_its_delay_for_seconds_only() {
    let report = simulate("one stall of 250 ms", 60, Clocks::default(), |number, rng| {
        let sent = number as f64 * PACKET_MS;
        Some(if (20_000.0..20_250.0).contains(&sent) { 20_250.0 - sent } else { rng.random_range(0.0..2.0) })
    });
    assert!(report.gaps_ms <= 280.0, "{report}");
    assert!(report.mean_delay_ms < 70.0 && report.last_delay_ms < 40.0, "{report}");
}
