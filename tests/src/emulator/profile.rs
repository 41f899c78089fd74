//! The committed links, each by its name. All are synthetic, and the same both ways.

use std::f64::consts::LN_2;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::bottleneck::Capacity;
use super::loss::Loss;
use super::schedule::{Schedule, Step};

/// The names, with what they are. Besides these: `delay-MS` (one way), `loss-PERCENT` and `burst-PERCENT` (20 ms one way),
/// each of the unlimited ones with `-2m`, and `slow-KBPSk` (20 ms).
pub const PROFILES: [(&str, &str); 13] = [
    ("clean-20ms", "20 ms one way, unlimited"),
    ("clean-75ms", "75 ms one way, unlimited"),
    ("loss-5", "5 % of the packets lost, each by itself; 20 ms, unlimited"),
    ("burst-5", "5 % of the packets lost, 4 in a row in the mean; 20 ms, unlimited"),
    ("clean-20ms-2m", "the same on 2 Mb/s"),
    ("clean-75ms-2m", "the same on 2 Mb/s"),
    ("loss-5-2m", "the same on 2 Mb/s"),
    ("burst-5-2m", "the same on 2 Mb/s"),
    ("slow-500k", "0.5 Mb/s, 20 ms"),
    ("step", "2 Mb/s, from 20 s on 0.3 Mb/s, from 40 s on 2 Mb/s again; 20 ms"),
    ("outage", "2 Mb/s, from 20 s to 30 s nothing; 20 ms"),
    ("sawtooth", "from 0.3 Mb/s up to 3 Mb/s in 10 s and down at once, again and again; 20 ms"),
    ("cellular", "a random walk between 0.1 and 8 Mb/s with short stalls, from the seed; 40 ms"),
];

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// How long a packet takes one way, besides queueing and its own sending.
    pub delay: Duration,
    /// What is lost.
    pub loss: Loss,
    rate: Rate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    Unlimited,
    Constant(u64),
    StepDownAndUp,
    Outage,
    Sawtooth,
    Cellular,
}

const DELAY: Duration = Duration::from_millis(20);
const CELLULAR_DELAY: Duration = Duration::from_millis(40);
const BURST_PACKETS: f64 = 4.0;

const NARROW_BPS: u64 = 2_000_000;
const SLOWEST_BPS: u64 = 10_000;
const STEP_DOWN_BPS: u64 = 300_000;
const SAWTOOTH_BPS: (u64, u64) = (300_000, 3_000_000);
const CELLULAR_BPS: (f64, f64) = (100_000.0, 8_000_000.0);

/// How long a rate lasts where it changes all the time.
const TICK: Duration = Duration::from_millis(100);
const SAWTOOTH_TICKS: u32 = 100;
const CELLULAR_TICKS: u32 = 600;
/// The most that the walk goes in a tick, as the logarithm of a factor.
const CELLULAR_STRIDE: f64 = LN_2 / 2.5;
/// How probable a stall is in each tick: one in 15 s.
const STALL: f64 = 1.0 / 150.0;

impl Profile {
    /// The one of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, String> {
        let unlimited = |name: &str| {
            let (kind, value) = name.split_once('-')?;
            let value = value.strip_suffix("ms").filter(|_| kind == "clean").unwrap_or(value);
            let value: u16 = value.parse().ok()?;
            let share = f64::from(value) / 100.0;
            let (delay, loss) = match kind {
                "clean" | "delay" if value <= 10_000 => (Duration::from_millis(value.into()), Loss::None),
                "loss" if value <= 100 => (DELAY, Loss::Random { share }),
                "burst" if value <= 75 => (DELAY, Loss::Bursts { share, mean_packets: BURST_PACKETS }),
                _ => return None,
            };
            Some(Self { delay, loss, rate: Rate::Unlimited })
        };
        let clean = |delay, rate| Some(Self { delay, loss: Loss::None, rate });
        let slow = |name: &str| {
            let kbps: u64 = name.strip_prefix("slow-")?.strip_suffix('k')?.parse().ok()?;
            let bps = kbps.checked_mul(1_000).filter(|bps| *bps >= SLOWEST_BPS)?;
            clean(DELAY, Rate::Constant(bps))
        };
        let found = match name {
            "step" => clean(DELAY, Rate::StepDownAndUp),
            "outage" => clean(DELAY, Rate::Outage),
            "sawtooth" => clean(DELAY, Rate::Sawtooth),
            "cellular" => clean(CELLULAR_DELAY, Rate::Cellular),
            _ => match name.strip_suffix("-2m") {
                Some(name) => unlimited(name).map(|profile| Self { rate: Rate::Constant(NARROW_BPS), ..profile }),
                None => unlimited(name).or_else(|| slow(name)),
            },
        };
        found.ok_or_else(|| format!("there is no profile {name:?}: --list shows all"))
    }

    /// What its bottleneck lets pass; `seed` is for `cellular`.
    #[must_use]
    pub fn capacity(&self, seed: u64) -> Capacity {
        let (steps, repeats_after) = match self.rate {
            Rate::Unlimited => return Capacity::Unlimited,
            Rate::Constant(_) | Rate::StepDownAndUp | Rate::Outage => (self.steps(), None),
            Rate::Sawtooth => (sawtooth(), Some(TICK * SAWTOOTH_TICKS)),
            Rate::Cellular => (cellular(seed), Some(TICK * CELLULAR_TICKS)),
        };
        Capacity::Scheduled(Schedule::new(steps, repeats_after))
    }

    /// How long it takes to see all of it, with time to recover in the end. `None`: it is the same all the time.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        match self.rate {
            Rate::Unlimited | Rate::Constant(_) => None,
            Rate::StepDownAndUp => Some(Duration::from_secs(70)),
            Rate::Outage => Some(Duration::from_secs(50)),
            Rate::Sawtooth => Some(TICK * SAWTOOTH_TICKS * 4),
            Rate::Cellular => Some(TICK * CELLULAR_TICKS),
        }
    }

    /// When the rate changes at once, and to what, the rate of the start first. Empty: it is unlimited or changes all the
    /// time.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let step = |at_s, bps| Step { from: Duration::from_secs(at_s), bps };
        match self.rate {
            Rate::Unlimited | Rate::Sawtooth | Rate::Cellular => Vec::new(),
            Rate::Constant(bps) => vec![step(0, bps)],
            Rate::StepDownAndUp => vec![step(0, NARROW_BPS), step(20, STEP_DOWN_BPS), step(40, NARROW_BPS)],
            Rate::Outage => vec![step(0, NARROW_BPS), step(20, 0), step(30, NARROW_BPS)],
        }
    }
}

/// One tooth.
fn sawtooth() -> Vec<Step> {
    let (low, high) = SAWTOOTH_BPS;
    let rate = |tick| low + (high - low) * u64::from(tick) / u64::from(SAWTOOTH_TICKS - 1);
    (0..SAWTOOTH_TICKS).map(|tick| Step { from: TICK * tick, bps: rate(tick) }).collect()
}

/// A walk with steps in the logarithm of the rate, which turns at its bounds. Now and then the link stands still for 0.3 to
/// 1 s and goes on where it was.
fn cellular(seed: u64) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    let (low, high) = (CELLULAR_BPS.0.ln(), CELLULAR_BPS.1.ln());
    // A call can be set up at that, before the clock begins.
    let mut rate = (NARROW_BPS as f64).ln();
    let mut stalled_ticks = 0;
    let mut steps = Vec::new();
    for tick in 0..CELLULAR_TICKS {
        let bps = if stalled_ticks > 0 { 0 } else { rate.exp().round() as u64 };
        steps.push(Step { from: TICK * tick, bps });
        let next = rate + random.random_range(-CELLULAR_STRIDE..=CELLULAR_STRIDE);
        rate = if next < low {
            2.0 * low - next
        } else if next > high {
            2.0 * high - next
        } else {
            next
        };
        stalled_ticks = match stalled_ticks {
            0 if random.random_bool(STALL) => random.random_range(3..=10),
            0 => 0,
            more => more - 1,
        };
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_name_is_a_profile_and_no_other() {
        for (name, _) in PROFILES {
            let profile = Profile::named(name).unwrap();
            let _ = profile.capacity(1);
        }
        let profile = Profile::named("burst-20-2m").unwrap();
        assert_eq!(profile.loss, Loss::Bursts { share: 0.2, mean_packets: 4.0 });
        assert_eq!(profile.steps(), [Step { from: Duration::ZERO, bps: 2_000_000 }]);
        assert_eq!(Profile::named("delay-150").unwrap().delay, Duration::from_millis(150));
        for name in [
            "",
            "-",
            "loss",
            "loss-",
            "loss-101",
            "burst-99",
            "delay-99999",
            "step-2m",
            "loss-5ms",
            "no-5",
            "slow-k",
            "slow-9k",
        ] {
            assert!(Profile::named(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_walk_keeps_its_bounds_stalls_at_times_and_comes_from_the_seed() {
        let mut stalls = 0;
        for seed in 0..10 {
            let steps = cellular(seed);
            assert_eq!(steps, cellular(seed));
            assert_ne!(steps, cellular(seed + 1));
            assert_eq!(steps[0].bps, 2_000_000);
            assert!(steps.iter().all(|step| step.bps == 0 || (99_999..=8_000_001).contains(&step.bps)), "seed {seed}");
            stalls +=
                steps.chunk_by(|one, next| (one.bps == 0) == (next.bps == 0)).filter(|run| run[0].bps == 0).count();
        }
        assert!((20..70).contains(&stalls), "{stalls} stalls in ten minutes");
    }
}
