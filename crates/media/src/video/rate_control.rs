//! How coarse a picture has to be quantized to take the bits that it may: the rate control of an encoder, the same for all
//! codecs. It has no clock and touches no picture; codecs know their own quantizers, this knows steps.
//!
//! A picture coded with a step twice as large takes about half the bits ([`Kind::slope`]); so each coded picture tells how
//! hard pictures are to code now, and the next one's step follows from its budget. It obeys with the next picture, which is
//! what a path that changes asks for, and does so alike for all codecs.

use crate::frame::VideoFrame;

/// Key pictures may take as much as this many ordinary ones at first try.
const KEY_SHARE: f64 = 5.0;

/// A key picture that takes more ordinary pictures' bits than this is made again, coarser.
const KEY_LIMIT: f64 = 7.0;

/// So often at most.
const TRIES: u32 = 3;

/// What was spent too much or too little is made up for within this time, in seconds.
const REPAY_S: f64 = 0.5;

/// What is owed after a key picture counts no further than this, in seconds of the bit rate: the pictures behind it are
/// made coarser for a while, not ruined.
const MAX_DEBT_S: f64 = 0.4;

/// What was not spent is kept for later no longer than this, in seconds of the bit rate.
const MAX_CREDIT_S: f64 = 0.15;

/// No picture aims at less or more than these shares of its part of the bit rate.
const SHARES: (f64, f64) = (0.4, 1.15);

/// The finest steps come back this slowly, in octaves a picture: what is easy now may be hard in the next picture.
const FINER_OCTAVES: f64 = 0.4;

/// How much of what the last picture told replaces what was known before.
const LEARNING: f64 = 0.4;

/// The two kinds of pictures, which take bits by different rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Decodable without anything before it.
    Key,
    /// What changed since the picture before.
    Delta,
}

impl Kind {
    /// How many octaves of bits an octave of the step saves.
    fn slope(self) -> f64 {
        match self {
            Self::Key => 1.0,
            Self::Delta => 1.3,
        }
    }
}

/// The rate control of one encoder for pictures of one size.
#[derive(Debug, Clone)]
pub(crate) struct RateControl {
    bitrate_bps: f64,
    fps: f64,
    /// Bits spent too much (positive) or too little.
    debt_bits: f64,
    key: Hardness,
    delta: Hardness,
    /// The step of the last picture, in octaves.
    last: Option<f64>,
    /// How much the last pictures changed from one to the next.
    usual_change: Option<f64>,
}

/// How hard pictures of one kind are to code.
#[derive(Debug, Clone, Copy)]
struct Hardness {
    /// The bits that a step of 1 would take, in octaves.
    octaves: f64,
    /// It comes from a picture, and is not a guess.
    known: bool,
}

impl RateControl {
    /// For pictures of `pixels`, `fps` of which a second take `bitrate_bps` together.
    pub(crate) fn new(pixels: u32, bitrate_bps: u32, fps: f64) -> Self {
        // Half a bit a pixel at a step of 8; the first picture corrects it.
        let guess = f64::from(pixels.max(1)).log2() + 2.0;
        Self {
            bitrate_bps: f64::from(bitrate_bps),
            fps,
            debt_bits: 0.0,
            key: Hardness { octaves: guess, known: false },
            delta: Hardness { octaves: guess - 2.0, known: false },
            last: None,
            usual_change: None,
        }
    }

    /// Sets the bit rate and how many pictures a second share it, from the next picture on. What was owed stays.
    pub(crate) fn set_rates(&mut self, bitrate_bps: u32, fps: f64) {
        (self.bitrate_bps, self.fps) = (f64::from(bitrate_bps), fps);
    }

    /// A picture of the sequence was not coded: its bits pay what is owed.
    pub(crate) fn skip(&mut self) {
        self.owe(0.0);
    }

    /// One picture's part of the bit rate, in bits.
    fn part(&self) -> f64 {
        self.bitrate_bps / self.fps
    }

    /// The step between two levels of the next picture, in octaves: 0 is a step of 1. `change` says how much it differs from
    /// the one before ([`change`]).
    fn step_octaves(&self, kind: Kind, change: Option<f64>) -> f64 {
        let target = match kind {
            Kind::Key => self.part() * KEY_SHARE,
            Kind::Delta => {
                let repaid = self.part() - self.debt_bits / (REPAY_S * self.fps).max(1.0);
                repaid.clamp(self.part() * SHARES.0, self.part() * SHARES.1)
            }
        };
        let step = (self.hardness(kind, change) - target.log2()) / kind.slope();
        let finest = match (kind, self.last) {
            (Kind::Delta, Some(last)) => last - FINER_OCTAVES,
            (Kind::Delta, None) | (Kind::Key, _) => f64::NEG_INFINITY,
        };
        step.max(finest)
    }

    /// The bits of the next picture at a step of 1, in octaves.
    fn hardness(&self, kind: Kind, change: Option<f64>) -> f64 {
        match kind {
            Kind::Key => self.key.octaves,
            Kind::Delta => self.delta.octaves + change.map_or(0.0, |change| self.surprise(change)),
        }
    }

    /// How much harder than those before it a picture is that changes this much, in octaves.
    fn surprise(&self, change: f64) -> f64 {
        // Below this it is noise of the camera, most of which is not coded.
        const NOISE: f64 = 1.0;
        self.usual_change.map_or(0.0, |usual| (0.8 * ((change + NOISE) / (usual + NOISE)).log2()).clamp(-0.5, 3.0))
    }

    /// Encodes a picture that changes by [`change`] with the quantizer that it should have, out of those of a `scale`.
    /// `code` encodes it with one of them and says how many bytes it took; it is called again, with a coarser one, for a key
    /// picture that came out too long: nothing before a key picture is needed, so that the first one can be forgotten.
    ///
    /// # Errors
    /// As `code` does.
    pub(crate) fn encode<E>(
        &mut self,
        kind: Kind,
        change: Option<f64>,
        scale: &[f64],
        mut code: impl FnMut(u8) -> Result<usize, E>,
    ) -> Result<(), E> {
        for tries in 1.. {
            let quantizer = nearest(scale, self.step_octaves(kind, change));
            let bits = code(quantizer as u8)? as f64 * 8.0;
            let again = kind == Kind::Key && bits > self.part() * KEY_LIMIT && quantizer + 1 < scale.len();
            if again && tries < TRIES {
                self.learn(kind, scale[quantizer], bits, change);
            } else {
                self.coded(kind, scale[quantizer], bits, change);
                break;
            }
        }
        Ok(())
    }

    /// A picture took `bits` with this step, but is not sent: it only tells how hard it is.
    fn learn(&mut self, kind: Kind, step_octaves: f64, bits: f64, change: Option<f64>) {
        let surprise = change.map_or(0.0, |change| self.surprise(change));
        let told = bits.max(1.0).log2() + kind.slope() * step_octaves;
        match kind {
            // Of the next key picture little more is known than what this one took.
            Kind::Key => {
                self.key = Hardness { octaves: told, known: true };
                if !self.delta.known {
                    self.delta.octaves = told - 2.0 + (Kind::Delta.slope() - Kind::Key.slope()) * step_octaves;
                }
            }
            Kind::Delta => {
                let share = if self.delta.known { LEARNING } else { 1.0 };
                self.delta.octaves += (told - surprise - self.delta.octaves) * share;
                self.delta.known = true;
            }
        }
    }

    /// A picture took `bits` with this step and is sent.
    fn coded(&mut self, kind: Kind, step_octaves: f64, bits: f64, change: Option<f64>) {
        self.learn(kind, step_octaves, bits, change);
        self.last = Some(step_octaves);
        if let Some(change) = change {
            let usual = self.usual_change.get_or_insert(change);
            *usual += (change - *usual) * LEARNING;
        }
        self.owe(bits);
    }

    fn owe(&mut self, bits: f64) {
        let debt = self.debt_bits + bits - self.part();
        self.debt_bits = debt.clamp(-MAX_CREDIT_S * self.bitrate_bps, MAX_DEBT_S * self.bitrate_bps);
    }
}

/// The place of a scale, which rises, that is nearest to `octaves`.
fn nearest(scale: &[f64], octaves: f64) -> usize {
    let above = scale.partition_point(|step| *step < octaves).min(scale.len() - 1);
    let below = above.saturating_sub(1);
    if octaves - scale[below] < scale[above] - octaves { below } else { above }
}

/// How much one picture differs from another of its size: the mean difference of the brightness of their pixels, of which
/// one row in four is looked at.
pub(crate) fn change(before: &VideoFrame, after: &VideoFrame) -> f64 {
    let width = after.width() as usize;
    let rows = before.y().chunks_exact(width).zip(after.y().chunks_exact(width)).step_by(4);
    let (mut sum, mut count) = (0_u64, 0_u64);
    for (before, after) in rows {
        let row: u32 = before.iter().zip(after).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        sum += u64::from(row);
        count += width as u64;
    }
    sum as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    const PIXELS: u32 = 640 * 480;

    /// Quantizers as H.264 has them.
    fn scale() -> Vec<f64> {
        (0..40).map(|place| f64::from(place) / 6.0 + 1.0).collect()
    }

    /// A codec of which a step of 1 takes `octaves` of bits, and an octave of the step saves `slope` of them.
    fn bytes(scale: &[f64], quantizer: u8, octaves: f64, slope: f64) -> usize {
        ((octaves - slope * scale[usize::from(quantizer)]).exp2() / 8.0) as usize
    }

    #[test]
    fn a_codec_is_held_to_its_bit_rate_whatever_its_slope_and_the_noise() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let scale = scale();
        for _ in 0..200 {
            let bitrate_bps = random.random_range(100_000..1_000_000);
            // A quantizer that keeps to the rate is there, with some on both sides for the noise.
            let slope = random.random_range(0.9..1.8);
            let hardness = (f64::from(bitrate_bps) / 30.0).log2() + slope * scale[random.random_range(6..34)];
            let mut control = RateControl::new(PIXELS, bitrate_bps, 30.0);
            let mut sum = 0;
            for number in 0..330 {
                let kind = if number == 0 { Kind::Key } else { Kind::Delta };
                let octaves = hardness + random.random_range(-0.5..0.5) + if number == 0 { 2.0 } else { 0.0 };
                let mut took = 0;
                let code = |quantizer| {
                    took = bytes(&scale, quantizer, octaves, slope);
                    Ok::<usize, ()>(took)
                };
                control.encode(kind, None, &scale, code).unwrap();
                sum += if number < 30 { 0 } else { took };
            }
            let share = sum as f64 * 8.0 / 10.0 / f64::from(bitrate_bps);
            assert!((0.93..1.07).contains(&share), "{share} of {bitrate_bps}, slope {slope}, hardness {hardness}");
        }
    }

    #[test]
    fn a_key_frame_too_long_is_made_again_and_not_more_often_than_it_may() {
        let scale = scale();
        let mut control = RateControl::new(PIXELS, 200_000, 30.0);
        let mut took = Vec::new();
        let code = |quantizer| {
            took.push(bytes(&scale, quantizer, 23.0, 1.0));
            Ok::<usize, ()>(*took.last().unwrap())
        };
        control.encode(Kind::Key, None, &scale, code).unwrap();
        assert!((2..=TRIES as usize).contains(&took.len()), "{took:?}");
        assert!(*took.last().unwrap() as f64 * 8.0 < KEY_LIMIT * 200_000.0 / 30.0, "{took:?}");

        // One that nothing makes shorter.
        let mut tries = 0;
        let code = |_| {
            tries += 1;
            Ok::<usize, ()>(1_000_000)
        };
        control.encode(Kind::Key, None, &scale, code).unwrap();
        assert!(tries <= TRIES);
    }

    #[test]
    fn what_changes_much_is_made_coarser_beforehand() {
        let mut control = RateControl::new(PIXELS, 300_000, 30.0);
        for number in 0..10 {
            control.coded(if number == 0 { Kind::Key } else { Kind::Delta }, 3.0, 10_000.0, Some(2.0));
        }
        let usual = control.step_octaves(Kind::Delta, Some(2.0));
        assert!(control.step_octaves(Kind::Delta, Some(20.0)) > usual + 1.0);
        assert!(control.step_octaves(Kind::Delta, Some(2.2)) < usual + 0.2);
    }

    #[test]
    fn change_is_the_mean_difference_of_the_brightness() {
        let grey = |level: u8| VideoFrame::new(16, 16, vec![level; 16 * 16 * 3 / 2]).unwrap();
        assert_eq!(change(&grey(100), &grey(100)), 0.0);
        assert_eq!(change(&grey(100), &grey(90)), 10.0);
    }
}
