//! A test tone: a quiet sine that never ends.

use std::f64::consts::TAU;

use crate::audio::{AudioBlock, SAMPLE_RATE_HZ};

/// Concert pitch, well inside what speech codecs carry.
pub const TONE_HZ: u32 = 440;

/// Loud enough to hear, quiet enough (-14 dBFS) not to startle.
const AMPLITUDE: f32 = 0.2;

/// A sine of [`TONE_HZ`] without steps between blocks.
#[derive(Debug, Default)]
pub struct Tone {
    // Counted modulo one second, which holds a whole number of periods: the phase stays exact.
    sample: u32,
}

impl Tone {
    /// Fills a block with the next 10 ms.
    pub fn read(&mut self, block: &mut AudioBlock) {
        for out in block {
            let turns = f64::from(self.sample) * f64::from(TONE_HZ) / f64::from(SAMPLE_RATE_HZ);
            *out = (turns * TAU).sin() as f32 * AMPLITUDE;
            self.sample = (self.sample + 1) % SAMPLE_RATE_HZ;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tone_has_its_pitch_and_no_steps() {
        let mut tone = Tone::default();
        let mut sound = Vec::new();
        for _ in 0..300 {
            let mut block = [0.0; 480];
            tone.read(&mut block);
            sound.extend(block);
        }
        let rises = sound.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        assert!((rises as i64 - 3 * i64::from(TONE_HZ)).abs() <= 1, "{rises} periods in 3 s");
        let step = sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(step < 0.0116, "the steepest step of this sine is 0.0115, not {step}");
        assert!(sound.iter().all(|sample| sample.abs() <= AMPLITUDE));
    }
}
