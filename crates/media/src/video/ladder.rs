//! Which size and how many pictures a second a bit rate is worth: the ladder from 1280x720 at 30 down to 160x90 at 5. It has
//! no clock and touches no picture; who captures scales and leaves out by what it chose.
//!
//! Measured on the webcam clip of `tests/media`, 640x480, with `examples/video_quality`: SSIM in decibels of what is shown,
//! scaled to 640x480, to what was captured, at 30 pictures a second where nothing else is said. For VP8 only
//! 60 kb/s was measured: 0.5 dB more at 480x360, and at 640x480 it cannot be held to so little.
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

mod rungs;

use std::time::Duration;

pub use rungs::Rung;
use rungs::Rungs;

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

/// What a choice depends on beside the time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Circumstances {
    /// Width and height of what is captured, in pixels.
    pub captured: (u32, u32),
    /// Pictures a second that are captured.
    pub captured_fps: u32,
    /// What the path carries of pictures, in bits a second.
    pub bitrate_bps: u32,
    /// Width and height at which the other side shows the picture, in pixels, if it said so. 0 of either: nobody sees it.
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
        if standing.shown == rungs.lowest() {
            return rungs.at(rungs.lowest());
        }
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

#[cfg(test)]
mod tests;
