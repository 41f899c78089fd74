//! Brings sound of any usual sample rate to ours, and ours to any, block by block without seams.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler as _, SincInterpolationParameters, WindowFunction};

use crate::Cause;
use crate::audio::{AudioBlock, BLOCK_SAMPLES, SAMPLE_RATE_HZ};

/// Length of the filter in samples of the slower side: flat to about 0.9 of the band, and a delay of
/// some 1.5 ms at 44.1 kHz.
const FILTER_SAMPLES: usize = 128;

/// The sound could not be resampled.
#[derive(Debug, thiserror::Error)]
pub enum ResampleError {
    /// The rate cannot be brought to ours, or ours to it.
    #[error("sound of {rate_hz} samples a second cannot be brought to {SAMPLE_RATE_HZ} or back")]
    Rate {
        /// The rate asked for.
        rate_hz: u32,
        /// What the resampler says.
        #[source]
        source: Cause,
    },
    /// Another number of samples than [`Resampler::needed`].
    #[error("the sound could not be resampled")]
    Process(#[source] Cause),
}

/// One channel, from a fixed rate to 48 kHz.
pub struct Resampler {
    inner: Async<f32>,
}

impl Resampler {
    /// From sound of `from_hz` samples a second.
    ///
    /// # Errors
    /// If the rate is senseless.
    pub fn new(from_hz: u32) -> Result<Self, ResampleError> {
        let ratio = f64::from(SAMPLE_RATE_HZ) / f64::from(from_hz);
        Ok(Self { inner: sinc(ratio, FixedAsync::Output, from_hz)? })
    }

    /// How many samples the next [`Self::process`] takes; varies by one or two from block to block.
    pub fn needed(&self) -> usize {
        self.inner.input_frames_next()
    }

    /// Makes the next block from exactly [`Self::needed`] samples.
    ///
    /// # Errors
    /// If `input` has another length.
    pub fn process(&mut self, input: &[f32], block: &mut AudioBlock) -> Result<(), ResampleError> {
        let source = InterleavedSlice::new(input, 1, input.len()).map_err(|e| ResampleError::Process(e.into()))?;
        let mut target = InterleavedSlice::new_mut(&mut block[..], 1, BLOCK_SAMPLES)
            .map_err(|e| ResampleError::Process(e.into()))?;
        self.inner.process_into_buffer(&source, &mut target, None).map_err(|e| ResampleError::Process(e.into()))?;
        // Between samples the filter may swing a little above the loudest one.
        for sample in block {
            *sample = sample.clamp(-1.0, 1.0);
        }
        Ok(())
    }
}

/// One channel, from blocks of 48 kHz to a fixed rate.
pub struct BlockResampler {
    inner: Async<f32>,
    output: Vec<f32>,
}

impl BlockResampler {
    /// To sound of `to_hz` samples a second.
    ///
    /// # Errors
    /// If the rate is senseless.
    pub fn new(to_hz: u32) -> Result<Self, ResampleError> {
        let ratio = f64::from(to_hz) / f64::from(SAMPLE_RATE_HZ);
        let inner = sinc(ratio, FixedAsync::Input, to_hz)?;
        let output = vec![0.0; inner.output_frames_max()];
        Ok(Self { inner, output })
    }

    /// Gives the block's 10 ms at the other rate; their number varies by one or two from block to block.
    ///
    /// # Errors
    /// Never, as a block always has the right length.
    pub fn process(&mut self, block: &AudioBlock) -> Result<&[f32], ResampleError> {
        let source =
            InterleavedSlice::new(&block[..], 1, BLOCK_SAMPLES).map_err(|e| ResampleError::Process(e.into()))?;
        let room = self.output.len();
        let mut target =
            InterleavedSlice::new_mut(&mut self.output, 1, room).map_err(|e| ResampleError::Process(e.into()))?;
        let (_, written) =
            self.inner.process_into_buffer(&source, &mut target, None).map_err(|e| ResampleError::Process(e.into()))?;
        Ok(self.output.get(..written).unwrap_or_default())
    }
}

fn sinc(ratio: f64, fixed: FixedAsync, rate_hz: u32) -> Result<Async<f32>, ResampleError> {
    let filter = SincInterpolationParameters::new(FILTER_SAMPLES, WindowFunction::BlackmanHarris2);
    Async::new_sinc(ratio, 1.0, &filter, BLOCK_SAMPLES, 1, fixed)
        .map_err(|error| ResampleError::Rate { rate_hz, source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn resampled_sine(from_hz: u32, sine_hz: f64, blocks: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(from_hz).unwrap();
        let mut time = 0_u32;
        let mut sound = Vec::new();
        for _ in 0..blocks {
            let input: Vec<f32> = (0..resampler.needed())
                .map(|_| {
                    time += 1;
                    (f64::from(time) / f64::from(from_hz) * sine_hz * TAU).sin() as f32 * 0.5
                })
                .collect();
            let mut block = [0.0; BLOCK_SAMPLES];
            resampler.process(&input, &mut block).unwrap();
            sound.extend(block);
        }
        sound
    }

    // How much of the sound's energy is not the sine, after the filter has filled: 0 is perfect.
    fn impurity(sound: &[f32], sine_hz: f64) -> f64 {
        impurity_at(sound, sine_hz, SAMPLE_RATE_HZ)
    }

    fn impurity_at(sound: &[f32], sine_hz: f64, rate_hz: u32) -> f64 {
        let (mut sin, mut cos, mut energy) = (0.0, 0.0, 0.0);
        for (n, sample) in sound.iter().enumerate() {
            let (s, c) = (n as f64 / f64::from(rate_hz) * sine_hz * TAU).sin_cos();
            sin += f64::from(*sample) * s;
            cos += f64::from(*sample) * c;
            energy += f64::from(*sample).powi(2);
        }
        1.0 - 2.0 * (sin * sin + cos * cos) / sound.len() as f64 / energy
    }

    #[test]
    fn a_sine_stays_a_sine_of_its_pitch_from_every_rate() {
        for from_hz in [8_000, 11_025, 16_000, 22_050, 44_100, 44_101, 96_000, 192_000] {
            let sound = resampled_sine(from_hz, 1000.0, 102);
            let steady = &sound[2 * BLOCK_SAMPLES..];
            let impurity = impurity(steady, 1000.0);
            assert!(impurity.abs() < 1e-4, "from {from_hz}: {impurity}");
            let loudest = steady.iter().copied().fold(0.0, f32::max);
            assert!((loudest - 0.5).abs() < 0.01, "from {from_hz}: {loudest}");
        }
    }

    #[test]
    fn a_sine_stays_a_sine_of_its_pitch_to_every_rate() {
        for to_hz in [8_000, 11_025, 16_000, 22_050, 44_100, 44_101, 96_000, 192_000] {
            let mut resampler = BlockResampler::new(to_hz).unwrap();
            let mut sound = Vec::new();
            for block in 0..102 {
                let sine = |n: usize| (f64::from(block * 480 + n as u32) / 48_000.0 * 1000.0 * TAU).sin() as f32 * 0.5;
                sound.extend_from_slice(resampler.process(&std::array::from_fn(sine)).unwrap());
            }
            let expected = 102 * to_hz / 100;
            assert!((sound.len() as i64 - i64::from(expected)).abs() < 40, "to {to_hz}: {} samples", sound.len());
            let second = to_hz as usize;
            let impurity = impurity_at(&sound[sound.len() - second..], 1000.0, to_hz);
            assert!(impurity.abs() < 1e-4, "to {to_hz}: {impurity}");
        }
    }

    #[test]
    fn what_we_cannot_hold_is_removed_and_not_folded_down() {
        let sound = resampled_sine(96_000, 40_000.0, 20);
        let loudest = sound[2 * BLOCK_SAMPLES..].iter().fold(0.0_f32, |most, s| most.max(s.abs()));
        assert!(loudest < 0.001, "{loudest}");
    }

    #[test]
    fn another_number_of_samples_is_an_error() {
        let mut resampler = Resampler::new(44_100).unwrap();
        let short = vec![0.0; resampler.needed() - 1];
        assert!(resampler.process(&short, &mut [0.0; BLOCK_SAMPLES]).is_err());
        assert!(Resampler::new(0).is_err());
    }
}
