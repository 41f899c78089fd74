//! How loud sound is, for a microphone's meter. A measure of one piece of sound; how a bar moves is the window's business.

/// What [`Level::of`] says of silence.
pub const SILENCE_DBFS: f32 = -120.0;

/// How loud a piece of sound is, in dBFS: 0 is full scale, [`SILENCE_DBFS`] the least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// The largest sample: at 0 the microphone clips.
    pub peak_dbfs: f32,
    /// The mean power; a sine of full scale has -3 (not 0 as in AES17). Speech at a good level lies around -20.
    pub rms_dbfs: f32,
}

impl Level {
    /// Measures `sound`, usually a block of 10 ms. Samples that are no numbers count as silence.
    pub fn of(sound: &[f32]) -> Self {
        let (mut peak, mut energy) = (0.0_f32, 0.0_f32);
        for sample in sound.iter().filter(|sample| sample.is_finite()) {
            peak = peak.max(sample.abs());
            energy += sample * sample;
        }
        Self { peak_dbfs: dbfs(peak), rms_dbfs: dbfs((energy / sound.len().max(1) as f32).sqrt()) }
    }
}

fn dbfs(amplitude: f32) -> f32 {
    (20.0 * amplitude.log10()).max(SILENCE_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::BLOCK_SAMPLES;

    fn sine(amplitude: f32) -> [f32; BLOCK_SAMPLES] {
        std::array::from_fn(|n| amplitude * (n as f32 / 480.0 * 10.0 * std::f32::consts::TAU).sin())
    }

    #[test]
    fn a_sine_shows_its_peak_and_three_decibels_less() {
        for (amplitude, peak_dbfs) in [(1.0, 0.0), (0.5, -6.02), (0.01, -40.0)] {
            let level = Level::of(&sine(amplitude));
            assert!((level.peak_dbfs - peak_dbfs).abs() < 0.05, "{level:?}");
            assert!((level.rms_dbfs - (peak_dbfs - 3.01)).abs() < 0.05, "{level:?}");
        }
    }

    #[test]
    fn silence_and_nonsense_show_the_least() {
        let silence = Level { peak_dbfs: SILENCE_DBFS, rms_dbfs: SILENCE_DBFS };
        for sound in [&[][..], &[0.0; 480], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], &[1e-30; 480]] {
            assert_eq!(Level::of(sound), silence);
        }
    }

    #[test]
    fn one_click_shows_in_the_peak_alone() {
        let mut click = [0.0; BLOCK_SAMPLES];
        click[100] = -1.0;
        let level = Level::of(&click);
        assert_eq!(level.peak_dbfs, 0.0);
        assert!((level.rms_dbfs - -26.8).abs() < 0.1, "{level:?}");
    }
}
