//! Where one sound is in another: normalised cross-correlation at every place.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

/// Where a sound was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// In samples.
    pub(super) at: usize,
    /// The correlation coefficient: 1 for the same waveform, whatever its loudness.
    pub(super) likeness: f32,
}

/// The energy of silence, beside that of a sound: 40 dB less.
const SILENCE: f64 = 1e-4;

/// The place in `within` where `sound` fits best. `None` where there is no room for it.
pub(super) fn best_fit(sound: &[f32], within: &[f32]) -> Option<Fit> {
    let places = (within.len() + 1).checked_sub(sound.len())?;
    // At places where all of the sound fits in, nothing wraps around.
    let size = within.len().next_power_of_two();
    let (mut product, spectrum) = (transform(sound, size), transform(within, size));
    product.iter_mut().zip(spectrum).for_each(|(sound, within)| *sound = sound.conj() * within);
    FftPlanner::new().plan_fft_inverse(size).process(&mut product);
    let energy: f64 = sound.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let energies = energies(within, sound.len());
    // Where there is next to nothing, the transform's rounding is like anything.
    let least = (energy * SILENCE).max(f64::MIN_POSITIVE);
    // The transform and its inverse multiply by the size.
    let likeness = |sum: &Complex32, there: f64| sum.re / size as f32 / (energy * there.max(least)).sqrt() as f32;
    let likenesses = product.iter().zip(energies).take(places).map(|(sum, there)| likeness(sum, there));
    let (at, likeness) = likenesses.enumerate().max_by(|(_, left), (_, right)| left.total_cmp(right))?;
    Some(Fit { at, likeness })
}

fn transform(samples: &[f32], size: usize) -> Vec<Complex32> {
    let mut values: Vec<Complex32> = samples.iter().map(|&sample| sample.into()).collect();
    values.resize(size, Complex32::default());
    FftPlanner::new().plan_fft_forward(size).process(&mut values);
    values
}

/// The energy of each window of so many samples.
fn energies(samples: &[f32], window: usize) -> Vec<f64> {
    let mut sums = vec![0.0];
    let mut sum = 0.0;
    sums.extend(samples.iter().map(|sample| {
        sum += f64::from(*sample).powi(2);
        sum
    }));
    sums.iter().zip(&sums[window..]).map(|(before, after)| after - before).collect()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    fn noise(length: usize) -> Vec<f32> {
        let mut random = StdRng::seed_from_u64(7);
        (0..length).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn a_sound_is_found_where_it_is_whatever_its_loudness() {
        let within = noise(5_000);
        for at in [0, 1_234, 4_000] {
            let sound: Vec<f32> = within[at..][..1_000].iter().map(|sample| sample * 0.1).collect();
            let fit = best_fit(&sound, &within).unwrap();
            assert_eq!(fit.at, at);
            assert!(fit.likeness > 0.999, "{fit:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_unlike_and_what_has_no_room_is_nowhere() {
        let sounds = noise(6_000);
        assert!(best_fit(&sounds[..1_000], &sounds[1_000..]).unwrap().likeness < 0.3);
        assert!(best_fit(&sounds[..1_000], &sounds[..999]).is_none());
        let half_silent = [&sounds[1_000..4_000], &[0.0; 3_000]].concat();
        assert!(best_fit(&sounds[..1_000], &half_silent).unwrap().likeness < 0.3);
    }
}
