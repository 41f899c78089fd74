//! The rungs of the ladder for one captured size: which there are, what each needs, and what is worth spending on it.

use crate::video::encoder::{MAX_MACROBLOCKS, clamp_bitrate, default_bitrate_bps};

/// Sides of the rungs in parts of 48 of the captured ones.
const PARTS: [u32; 7] = [48, 36, 24, 18, 12, 9, 6];
const WHOLE: u32 = 48;

/// No more pictures a second are sent.
pub(super) const MAX_FPS: u32 = 30;

/// Pictures a second of the rungs with at least so many pixels, from the highest.
const FRAME_RATES: [(u32, &[u32]); 5] =
    [(200_000, &[MAX_FPS]), (100_000, &[MAX_FPS, 20]), (50_000, &[20, 15]), (30_000, &[15, 10]), (0, &[10, 5])];

/// No rung has fewer pixels than 160x90, unless what is captured has.
const MIN_PIXELS: u32 = 160 * 90;

/// No side is shorter: H.264's encoder takes no less.
pub(super) const MIN_SIDE_PX: u32 = 16;

/// So many rungs at most.
const MAX_RUNGS: usize = 2 * PARTS.len() + 1;

/// A rung with less than this share of what is worth spending on it looks worse than the next lower one.
const NEEDED: f64 = 0.2;

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

    pub(super) fn pixels(&self) -> u32 {
        self.width * self.height
    }
}

/// The rungs for one captured size, the highest first. At least one.
pub(super) struct Rungs {
    rungs: [Rung; MAX_RUNGS],
    count: usize,
}

impl Rungs {
    pub(super) fn of(captured: (u32, u32), captured_fps: u32) -> Self {
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

    pub(super) fn at(&self, rung: usize) -> Rung {
        self.rungs[rung.min(self.lowest())]
    }

    pub(super) fn lowest(&self) -> usize {
        self.count - 1
    }

    pub(super) fn needed_bps(&self, rung: usize) -> f64 {
        self.at(rung).needed_bps()
    }

    /// The highest rung that a bit rate is enough for; the lowest if it is enough for none.
    pub(super) fn affordable(&self, bitrate_bps: f64) -> usize {
        (0..self.count).find(|rung| bitrate_bps >= self.needed_bps(*rung)).unwrap_or(self.lowest())
    }

    /// The highest rung of the smallest size that is as large as what is shown; the lowest where nobody sees it.
    pub(super) fn shown(&self, shown: Option<(u32, u32)>) -> usize {
        let Some((width, height)) = shown else { return 0 };
        if width == 0 || height == 0 {
            return self.lowest();
        }
        let large = |rung: &Rung| rung.width >= width && rung.height >= height;
        let Some(smallest) = self.rungs[..self.count].iter().rfind(|rung| large(rung)) else { return 0 };
        let same_size = |rung: &Rung| (rung.width, rung.height) == (smallest.width, smallest.height);
        self.rungs[..self.count].iter().position(same_size).unwrap_or(0)
    }

    pub(super) fn pixel_rate(&self, rung: usize) -> f64 {
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
