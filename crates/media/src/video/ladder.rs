//! Which size and how many pictures a second a bit rate is worth: the ladder from 1280x720 at 30 down to 160x90 at 5. It has
//! no clock and touches no picture; who captures scales and leaves out by what it chose.
//!
//! Measured on the webcam clip of `tests/media`, 640x480, with `examples/video_quality`: SSIM in decibels of what is shown,
//! scaled to 640x480, to what was captured.
//!
//! | H.264, kb/s | 640x480 | 480x360 | 320x240 | 240x180 | 160x120 | 640x480 at 15 | 320x240 at 15 |
//! |---|---|---|---|---|---|---|---|
//! | 40 | 9.1 | 9.5 | 10.4 | 10.3 | 9.5 | 9.8 | 10.9 |
//! | 60 | 10.3 | 10.7 | 11.4 | 11.0 | 9.8 | 11.2 | 11.9 |
//! | 100 | 12.2 | 12.7 | 12.4 | 11.7 | 10.1 | 13.4 | 12.7 |
//! | 150 | 14.2 | 14.0 | 13.0 | 12.0 | 10.3 | 15.2 | 13.3 |
//! | 200 | 15.4 | 14.7 | 13.3 | 12.3 | 10.4 | 16.4 | 13.6 |
//! | 300 | 17.0 | 15.6 | 13.8 | 12.5 | 10.4 | 17.8 | 14.0 |
//! | 500 | 18.8 | 16.5 | 14.1 | 12.7 | 10.4 | 19.8 | 14.2 |
//! | 700 | 19.9 | 17.0 | 14.2 | 12.7 | 10.4 | 20.7 | 14.3 |
//!
//! A large picture with few bits is more like the captured one than a small one with as many, down to about a fifth of what is
//! worth spending on it; so a rung is left there and not before. Going from 30 to 20 pictures a second gains about as much as
//! the next smaller size, and saves headers of packets that count where a picture is one packet: it comes below 480x360.

use std::time::Duration;

use super::encoder::{MAX_MACROBLOCKS, clamp_bitrate, default_bitrate_bps};

/// Sides of the rungs in parts of 48 of the captured ones.
const PARTS: [u32; 7] = [48, 36, 24, 18, 12, 9, 6];
const WHOLE: u32 = 48;

/// No more pictures a second are sent.
const MAX_FPS: u32 = 30;

/// Pictures a second of the rungs with at least so many pixels, from the highest.
const FRAME_RATES: [(u32, &[u32]); 5] =
    [(200_000, &[MAX_FPS]), (100_000, &[MAX_FPS, 20]), (50_000, &[20, 15]), (30_000, &[15, 10]), (0, &[10, 5])];

/// No rung has fewer pixels than 160x90, unless what is captured has.
const MIN_PIXELS: u32 = 160 * 90;

/// No side is shorter: H.264's encoder takes no less.
const MIN_SIDE_PX: u32 = 16;

/// So many rungs at most.
const MAX_RUNGS: usize = 2 * PARTS.len() + 1;

/// A rung with less than this share of what is worth spending on it looks worse than the next lower one.
const NEEDED: f64 = 0.2;

/// A bit rate below this share of what a rung needs takes it away at once.
const FAR_BELOW: f64 = 0.6;

/// A bit rate below this share of what a rung needs takes it away after [`SHORT`].
const BELOW: f64 = 0.85;

/// A higher rung comes when this share of what it needs was there all the time for [`ENOUGH`].
const ABOVE: f64 = 1.15;

const SHORT: Duration = Duration::from_millis(700);
const ENOUGH: Duration = Duration::from_millis(2500);

/// A higher rung that was lost again so soon was a mistake: the next one has to be affordable for twice as long, up to
/// [`ENOUGH_AT_MOST`].
const MISTAKE: Duration = Duration::from_secs(10);
const ENOUGH_AT_MOST: Duration = Duration::from_secs(20);

/// A window that is made smaller has to stay so for this long.
const SHOWN_SMALLER: Duration = Duration::from_secs(2);

/// Encoding may take this share of the time between two pictures; more costs a rung.
const BUSY: f64 = 0.7;

/// How long a load above [`BUSY`] lasts before it counts, and between two rungs that it costs.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// A rung lost to a busy processor is tried again when encoding would take no more than this share at it.
const IDLE: f64 = 0.45;
const IDLE_FOR: Duration = Duration::from_secs(15);

/// What to send: a size, and how many pictures a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// Width in pixels: even, 16 or more.
    pub width: u32,
    /// Height in pixels: even, 16 or more.
    pub height: u32,
    /// Pictures a second, 1 to 30.
    pub fps: u32,
}

impl Rung {
    /// The most that is worth spending at this rung, in bits a second: more is not seen.
    pub fn worth_bps(&self) -> u32 {
        let at_30 = f64::from(default_bitrate_bps(self.width, self.height));
        clamp_bitrate((at_30 * (f64::from(self.fps) / f64::from(MAX_FPS)).powf(0.6)) as u32)
    }

    /// The bits a second below which the next lower rung looks better.
    fn needed_bps(&self) -> f64 {
        f64::from(self.worth_bps()) * NEEDED
    }

    fn pixels(&self) -> u32 {
        self.width * self.height
    }
}

/// What a choice depends on beside the time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Circumstances {
    /// Width and height of what is captured, in pixels.
    pub captured: (u32, u32),
    /// Pictures a second that are captured.
    pub captured_fps: u32,
    /// What the path carries of pictures, in bits a second.
    pub bitrate_bps: u32,
    /// Width and height at which the other side shows the picture, in pixels, if it said so.
    pub shown: Option<(u32, u32)>,
    /// The share of the time between two pictures that encoding one takes now, averaged over a second or so; 1 is all.
    pub load: f64,
}

/// Chooses rungs, one call after the other.
#[derive(Debug, Default)]
pub struct Ladder {
    standing: Option<Standing>,
}

/// Where the ladder stands, for one captured size.
#[derive(Debug)]
struct Standing {
    captured: (u32, u32),
    captured_fps: u32,
    /// Which of the rungs, 0 the highest.
    rung: usize,
    /// Since when the bit rate is below what the rung needs.
    short_since: Option<Duration>,
    /// Since when the bit rate is enough for a higher rung, and for which at least.
    enough_since: Option<(Duration, usize)>,
    /// How long it has to be.
    enough_for: Duration,
    climbed_at: Option<Duration>,
    /// The highest rung that the shown size asks for, and the one that it asked for since when.
    shown: usize,
    shown_smaller: Option<(Duration, usize)>,
    /// The highest rung that the processor can do.
    affordable: usize,
    busy_since: Option<Duration>,
    idle_since: Option<Duration>,
}

impl Ladder {
    /// A ladder that begins with the first choice at what the bit rate then affords.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to send from `now` on, a time since any fixed moment that does not go back. To be asked before each picture.
    /// Lower at once when the bit rate is far too low, within a second when it is too low; higher when it was enough for
    /// 2.5 s, and more slowly after it climbed too soon.
    pub fn choose(&mut self, now: Duration, seen: &Circumstances) -> Rung {
        let rungs = Rungs::of(seen.captured, seen.captured_fps);
        let same =
            |standing: &&mut Standing| (standing.captured, standing.captured_fps) == (seen.captured, seen.captured_fps);
        let standing = match self.standing.as_mut().filter(same) {
            Some(standing) => {
                standing.follow_shown(now, &rungs, seen.shown);
                standing.follow_load(now, &rungs, seen.load);
                standing.follow_bitrate(now, &rungs, f64::from(seen.bitrate_bps));
                standing
            }
            None => self.standing.insert(Standing::new(&rungs, seen)),
        };
        let by_bits = rungs.at(standing.rung.max(standing.affordable));
        let large_enough = rungs.at(standing.shown);
        // A small window is no reason to show fewer pictures.
        if large_enough.pixels() < by_bits.pixels() { Rung { fps: by_bits.fps, ..large_enough } } else { by_bits }
    }
}

impl Standing {
    fn new(rungs: &Rungs, seen: &Circumstances) -> Self {
        Self {
            captured: seen.captured,
            captured_fps: seen.captured_fps,
            rung: rungs.affordable(f64::from(seen.bitrate_bps)),
            short_since: None,
            enough_since: None,
            enough_for: ENOUGH,
            climbed_at: None,
            shown: rungs.shown(seen.shown),
            shown_smaller: None,
            affordable: 0,
            busy_since: None,
            idle_since: None,
        }
    }

    fn follow_bitrate(&mut self, now: Duration, rungs: &Rungs, bitrate_bps: f64) {
        let needed = rungs.needed_bps(self.rung);
        let fits = rungs.affordable(bitrate_bps);
        if bitrate_bps < needed * FAR_BELOW && fits > self.rung {
            return self.fall(now, fits);
        }
        if bitrate_bps < needed * BELOW && fits > self.rung {
            let since = *self.short_since.get_or_insert(now);
            if now.saturating_sub(since) >= SHORT {
                self.fall(now, fits);
            }
            self.enough_since = None;
            return;
        }
        self.short_since = None;
        let higher = rungs.affordable(bitrate_bps / ABOVE);
        if higher >= self.rung {
            self.enough_since = None;
            return;
        }
        // As high as the bit rate was enough for all the time.
        let (since, rung) = self.enough_since.map_or((now, higher), |(since, rung)| (since, rung.max(higher)));
        self.enough_since = Some((since, rung));
        if now.saturating_sub(since) >= self.enough_for {
            self.rung = rung;
            self.enough_since = None;
            self.climbed_at = Some(now);
        }
    }

    fn fall(&mut self, now: Duration, rung: usize) {
        self.rung = rung;
        (self.short_since, self.enough_since) = (None, None);
        if let Some(climbed_at) = self.climbed_at.take() {
            let mistaken = now.saturating_sub(climbed_at) < MISTAKE;
            self.enough_for = if mistaken { (self.enough_for * 2).min(ENOUGH_AT_MOST) } else { ENOUGH };
        }
    }

    fn follow_shown(&mut self, now: Duration, rungs: &Rungs, shown: Option<(u32, u32)>) {
        let asked = rungs.shown(shown);
        if asked <= self.shown {
            (self.shown, self.shown_smaller) = (asked, None);
            return;
        }
        // A window on its way passes many sizes; the largest of them is enough for all.
        let (since, rung) = self.shown_smaller.map_or((now, asked), |(since, rung)| (since, rung.min(asked)));
        self.shown_smaller = Some((since, rung));
        if now.saturating_sub(since) >= SHOWN_SMALLER {
            (self.shown, self.shown_smaller) = (rung, None);
        }
    }

    fn follow_load(&mut self, now: Duration, rungs: &Rungs, load: f64) {
        let current = self.rung.max(self.shown).max(self.affordable);
        if load > BUSY {
            self.idle_since = None;
            let since = *self.busy_since.get_or_insert(now);
            if now.saturating_sub(since) >= BUSY_FOR {
                self.affordable = (current + 1).min(rungs.lowest());
                self.busy_since = None;
            }
            return;
        }
        self.busy_since = None;
        // What the next higher rung would take goes by its pixels.
        let higher = self.affordable.saturating_sub(1);
        let growth = rungs.pixel_rate(higher) / rungs.pixel_rate(current);
        if self.affordable == 0 || load * growth > IDLE {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now);
        if now.saturating_sub(since) >= IDLE_FOR {
            (self.affordable, self.idle_since) = (higher, None);
        }
    }
}

/// The rungs for one captured size, the highest first. At least one.
struct Rungs {
    rungs: [Rung; MAX_RUNGS],
    count: usize,
}

impl Rungs {
    fn of(captured: (u32, u32), captured_fps: u32) -> Self {
        let fps = captured_fps.clamp(1, MAX_FPS);
        let (width, height) = largest_allowed(captured);
        let largest = Rung { width, height, fps };
        let mut all = Self { rungs: [largest; MAX_RUNGS], count: 0 };
        for part in PARTS {
            let size = (scaled(width, part), scaled(height, part));
            let pixels = size.0 * size.1;
            if all.count > 0 && pixels < MIN_PIXELS {
                break;
            }
            // A camera that is small itself is shown in full motion as long as bits are there.
            let at_most = if all.count == 0 { &[MAX_FPS][..] } else { &[] };
            let usual = FRAME_RATES.iter().find(|(least, _)| pixels >= *least).map_or(&[][..], |(_, rates)| *rates);
            for &rate in at_most.iter().chain(usual) {
                all.push(Rung { width: size.0, height: size.1, fps: rate.min(fps) });
            }
        }
        all
    }

    /// Adds a rung, unless it is the last one again because the camera is slow.
    fn push(&mut self, rung: Rung) {
        if self.count == 0 || self.at(self.lowest()) != rung {
            self.rungs[self.count] = rung;
            self.count += 1;
        }
    }

    fn at(&self, rung: usize) -> Rung {
        self.rungs[rung.min(self.lowest())]
    }

    fn lowest(&self) -> usize {
        self.count - 1
    }

    fn needed_bps(&self, rung: usize) -> f64 {
        self.at(rung).needed_bps()
    }

    /// The highest rung that a bit rate is enough for; the lowest if it is enough for none.
    fn affordable(&self, bitrate_bps: f64) -> usize {
        (0..self.count).find(|rung| bitrate_bps >= self.needed_bps(*rung)).unwrap_or(self.lowest())
    }

    /// The highest rung of the smallest size that is as large as what is shown.
    fn shown(&self, shown: Option<(u32, u32)>) -> usize {
        let Some((width, height)) = shown else { return 0 };
        let large = |rung: &Rung| rung.width >= width && rung.height >= height;
        let Some(smallest) = self.rungs[..self.count].iter().rfind(|rung| large(rung)) else { return 0 };
        let same_size = |rung: &Rung| (rung.width, rung.height) == (smallest.width, smallest.height);
        self.rungs[..self.count].iter().position(same_size).unwrap_or(0)
    }

    fn pixel_rate(&self, rung: usize) -> f64 {
        let rung = self.at(rung);
        f64::from(rung.pixels()) * f64::from(rung.fps)
    }
}

/// The captured size, or the largest one of its shape that level 3.1 of H.264 carries, with even sides.
fn largest_allowed((width, height): (u32, u32)) -> (u32, u32) {
    let fits = |width: u32, height: u32| width.div_ceil(16) * height.div_ceil(16) <= MAX_MACROBLOCKS;
    let (long, short) = (width.max(height).max(1), width.min(height));
    // 1280x720 in either orientation.
    let share = (1280.0 / f64::from(long)).min(720.0 / f64::from(short.max(1))).min(1.0);
    let side = |side: u32| (((f64::from(side) * share) as u32) & !1).max(MIN_SIDE_PX);
    let (width, height) = (side(width), side(height));
    debug_assert!(fits(width, height), "1280x720 is the most, so that no shape within it has more");
    (width, height)
}

/// A part of a side, even and not too short.
fn scaled(side: u32, part: u32) -> u32 {
    ((side * part / WHOLE + 1) & !1).max(MIN_SIDE_PX)
}

#[cfg(test)]
mod tests {
    use super::*;
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
                assert!(
                    rung.width.min(rung.height) >= MIN_SIDE_PX && macroblocks <= MAX_MACROBLOCKS,
                    "{seen:?} {rung:?}"
                );
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
}
