//! What the tests of sound share: recorded speech, noise, and how loud something is.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::audio::{AudioBlock, BLOCK_SAMPLES};
use crate::resample::Resampler;

/// The repository's recorded speech, played as though it were of `rate_hz`: 16,000 gives it as it is, a higher
/// one another, higher voice. Whole blocks at 48 kHz.
pub(crate) fn speech(rate_hz: u32) -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/media/speech-16k.wav");
    let samples: Vec<f32> =
        hound::WavReader::open(path).unwrap().samples::<i16>().map(|s| f32::from(s.unwrap()) / 32_768.0).collect();
    let mut resampler = Resampler::new(rate_hz).unwrap();
    let mut rest = samples.as_slice();
    let mut sound = Vec::new();
    while let Some((input, after)) = rest.split_at_checked(resampler.needed()) {
        let mut block = [0.0; BLOCK_SAMPLES];
        resampler.process(input, &mut block).unwrap();
        sound.extend(block);
        rest = after;
    }
    sound
}

/// White noise of this level.
pub(crate) fn noise(samples: usize, rms: f32, seed: u64) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(seed);
    // An even spread from -a to a has an RMS of a / √3.
    let most = rms * 3.0_f32.sqrt();
    (0..samples).map(|_| random.random_range(-most..most)).collect()
}

/// The level in dBFS, 0 being a square wave of full scale; -180 at least.
pub(crate) fn level_db(sound: &[f32]) -> f32 {
    let energy: f64 = sound.iter().map(|s| f64::from(*s).powi(2)).sum();
    10.0 * (energy / sound.len().max(1) as f64).max(1e-18).log10() as f32
}

pub(crate) fn scaled(sound: &[f32], factor: f32) -> Vec<f32> {
    sound.iter().map(|s| s * factor).collect()
}

pub(crate) fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

pub(crate) fn blocks(sound: &[f32]) -> Vec<AudioBlock> {
    sound.chunks_exact(BLOCK_SAMPLES).map(|chunk| chunk.try_into().unwrap()).collect()
}

pub(crate) fn largest_step(sound: &[f32]) -> f32 {
    sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

/// How alike two sounds are, from 0 to 1, where `late` comes up to 30 ms after `early`.
pub(crate) fn resemblance(early: &[f32], late: &[f32]) -> f64 {
    let length = early.len().min(late.len()) - 1440;
    let like = |shift: usize, stride: usize| {
        let (mut product, mut a, mut b) = (0.0, 0.0, 0.0);
        for (early, late) in early[..length].iter().zip(&late[shift..]).step_by(stride) {
            let (early, late) = (f64::from(*early), f64::from(*late));
            product += early * late;
            a += early * early;
            b += late * late;
        }
        product / (a * b).sqrt().max(1e-12)
    };
    let shift = (0..1440).max_by(|a, b| like(*a, 16).total_cmp(&like(*b, 16))).unwrap();
    like(shift, 1)
}
