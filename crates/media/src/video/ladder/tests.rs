//! The ladder in virtual time.

use super::rungs::{MAX_FPS, MIN_SIDE_PX};
use super::*;
use crate::video::encoder::MAX_MACROBLOCKS;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const VGA: Circumstances =
    Circumstances { captured: (640, 480), captured_fps: 30, bitrate_bps: 700_000, shown: None, load: 0.1 };

/// A ladder in virtual time, asked 30 times a second.
struct Run {
    ladder: Ladder,
    now: Duration,
    seen: Circumstances,
}

impl Run {
    fn new(seen: Circumstances) -> Self {
        Self { ladder: Ladder::new(), now: Duration::from_secs(1000), seen }
    }

    fn ask(&mut self) -> Rung {
        self.now += Duration::from_nanos(33_333_333);
        self.ladder.choose(self.now, &self.seen)
    }

    /// Asks for so long, and gives the last answer.
    fn ask_for(&mut self, ms: u64) -> Rung {
        let end = self.now + Duration::from_millis(ms);
        let mut last = self.ask();
        while self.now < end {
            last = self.ask();
        }
        last
    }
}

fn size(rung: Rung) -> (u32, u32) {
    (rung.width, rung.height)
}

#[test]
fn the_first_choice_fits_the_bit_rate() {
    let choose = |captured, bitrate_bps| Run::new(Circumstances { captured, bitrate_bps, ..VGA }).ask();
    assert_eq!(choose((640, 480), 700_000), Rung { width: 640, height: 480, fps: 30 });
    assert_eq!(choose((640, 480), 200_000), Rung { width: 640, height: 480, fps: 30 });
    assert_eq!(choose((640, 480), 100_000), Rung { width: 480, height: 360, fps: 30 });
    assert_eq!(choose((640, 480), 80_000), Rung { width: 480, height: 360, fps: 20 });
    assert_eq!(choose((640, 480), 40_000), Rung { width: 320, height: 240, fps: 20 });
    assert_eq!(choose((640, 480), 0), Rung { width: 160, height: 120, fps: 5 });
    assert_eq!(choose((1280, 720), 2_000_000), Rung { width: 1280, height: 720, fps: 30 });
    assert_eq!(choose((1920, 1080), 2_000_000), Rung { width: 1280, height: 720, fps: 30 });
    assert_eq!(choose((1280, 720), 0), Rung { width: 160, height: 90, fps: 5 });
    assert_eq!(choose((720, 1280), 0), Rung { width: 90, height: 160, fps: 5 });
}

#[test]
fn a_bit_rate_far_too_low_takes_the_size_at_once_and_one_too_low_within_a_second() {
    let mut run = Run::new(VGA);
    run.ask_for(5000);
    run.seen.bitrate_bps = 60_000;
    assert_eq!(size(run.ask()), (320, 240));

    let mut run = Run::new(VGA);
    run.ask_for(5000);
    run.seen.bitrate_bps = 110_000;
    assert_eq!(size(run.ask()), (640, 480));
    assert_eq!(size(run.ask_for(1000)), (480, 360));
}

#[test]
fn a_higher_bit_rate_has_to_last() {
    let mut run = Run::new(Circumstances { bitrate_bps: 60_000, ..VGA });
    assert_eq!(size(run.ask()), (320, 240));
    run.seen.bitrate_bps = 700_000;
    assert_eq!(size(run.ask_for(2000)), (320, 240));
    // Back to the highest in one, since it was enough for that all the time.
    assert_eq!(size(run.ask_for(1000)), (640, 480));
}

#[test]
fn who_climbed_too_soon_waits_longer() {
    let mut run = Run::new(Circumstances { bitrate_bps: 60_000, ..VGA });
    run.ask();
    let mut climbs = Vec::new();
    for _ in 0..4 {
        run.seen.bitrate_bps = 700_000;
        let began = run.now;
        while size(run.ask()) != (640, 480) {
            assert!(run.now - began < Duration::from_secs(30));
        }
        climbs.push(run.now - began);
        run.seen.bitrate_bps = 60_000;
        run.ask_for(1000);
    }
    assert!(climbs.windows(2).all(|pair| pair[1] > pair[0] || pair[0] >= ENOUGH_AT_MOST), "{climbs:?}");
    assert!(climbs[3] >= ENOUGH_AT_MOST, "{climbs:?}");
}

#[test]
fn noise_never_makes_it_flap() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..100 {
        let captured = [(640, 480), (1280, 720), (480, 640)][random.random_range(0..3)];
        let mean = 20_000.0 * 100_f64.powf(random.random_range(0.0..1.0));
        let mut run = Run::new(Circumstances { captured, bitrate_bps: mean as u32, ..VGA });
        let (mut last, mut changes) = (run.ask(), 0);
        for _ in 0..60 * 30 {
            run.seen.bitrate_bps = (mean * random.random_range(0.8..1.2)) as u32;
            let rung = run.ask();
            changes += usize::from(rung != last);
            last = rung;
        }
        assert!(changes <= 4, "{changes} changes in a minute at {mean} bit/s of {captured:?}");
    }
}

#[test]
fn any_circumstances_give_a_picture_that_can_be_encoded() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut ladder = Ladder::new();
    let mut now = Duration::ZERO;
    for _ in 0..20_000 {
        let side = |random: &mut StdRng| match random.random_range(0..3) {
            0 => random.random_range(0..20),
            1 => random.random_range(0..5000),
            _ => random.random(),
        };
        let seen = Circumstances {
            captured: (side(&mut random), side(&mut random)),
            captured_fps: random.random_range(0..200),
            bitrate_bps: random.random_range(0..3_000_000),
            shown: random.random::<bool>().then(|| (side(&mut random), side(&mut random))),
            load: [0.0, 0.5, 5.0, f64::NAN][random.random_range(0..4)],
        };
        for _ in 0..random.random_range(1..4) {
            now += Duration::from_millis(random.random_range(0..3000));
            let rung = ladder.choose(now, &seen);
            let macroblocks = rung.width.div_ceil(16) * rung.height.div_ceil(16);
            assert!(rung.width.min(rung.height) >= MIN_SIDE_PX && macroblocks <= MAX_MACROBLOCKS, "{seen:?} {rung:?}");
            assert!(rung.width.is_multiple_of(2) && rung.height.is_multiple_of(2), "{seen:?} {rung:?}");
            assert!((1..=MAX_FPS).contains(&rung.fps) && rung.worth_bps() > 0, "{seen:?} {rung:?}");
        }
    }
}

#[test]
fn what_is_shown_small_is_sent_small_in_full_motion() {
    let mut run = Run::new(Circumstances { shown: Some((320, 240)), ..VGA });
    assert_eq!(run.ask(), Rung { width: 320, height: 240, fps: 30 });
    run.seen.shown = Some((330, 240));
    assert_eq!(size(run.ask()), (480, 360));
    run.seen.shown = Some((10, 10));
    assert_eq!(size(run.ask_for(1500)), (480, 360));
    assert_eq!(size(run.ask_for(1000)), (160, 120));
    run.seen.shown = None;
    assert_eq!(size(run.ask()), (640, 480));
}

#[test]
fn what_nobody_sees_is_sent_at_the_lowest_rung_until_somebody_does() {
    let mut run = Run::new(VGA);
    assert_eq!(size(run.ask_for(1000)), (640, 480));
    run.seen.shown = Some((0, 0));
    assert_eq!(size(run.ask_for(1500)), (640, 480));
    assert_eq!(run.ask_for(1000), Rung { width: 160, height: 120, fps: 5 });
    run.seen.shown = Some((640, 480));
    assert_eq!(run.ask(), Rung { width: 640, height: 480, fps: 30 });
}

#[test]
fn a_busy_processor_costs_size_and_an_idle_one_brings_it_back() {
    let mut run = Run::new(Circumstances { bitrate_bps: 2_000_000, captured: (1280, 720), load: 0.9, ..VGA });
    assert_eq!(size(run.ask_for(500)), (1280, 720));
    assert_eq!(size(run.ask_for(1000)), (960, 540));
    run.seen.load = 0.5;
    // At 1280x720 it would be 0.9 again.
    assert_eq!(size(run.ask_for(60_000)), (960, 540));
    run.seen.load = 0.2;
    assert_eq!(size(run.ask_for(10_000)), (960, 540));
    assert_eq!(size(run.ask_for(10_000)), (1280, 720));
}
