//! Whether a recording is the speech that was sent. A recording is cut into windows, each window is looked for
//! in the whole of what was sent (normalised cross-correlation at every place), and its best place and likeness are told.
//! So it does not matter how long the sound was under way, and what is lost, repeated or out of place shows.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

/// Samples a second of everything compared here.
pub const RATE_HZ: usize = 16_000;

/// What is compared: the band of the telephone (ITU-T G.712), in which speech is understood. Outside of it a voice codec
/// keeps the sound, not the waveform: Opus for speech turns the phases below (a high-pass against hum), and above it
/// models noise. In the band, speech that went through our Opus once correlates with itself by 0.96 to 0.99, twice by 0.92
/// to 0.97, in each second; with other speech by 0.15 to 0.50, the median being 0.24.
const TELEPHONE_BAND_HZ: RangeInclusive<usize> = 300..=3400;

/// One second: long enough to be unlike any other.
const WINDOW: usize = RATE_HZ;

/// Where a window of the recording was found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Where the window begins in the recording, in samples.
    pub recorded: usize,
    /// Where it fits best in what was sent, in samples.
    pub sent: usize,
    /// How well: the correlation coefficient, 1 for the same waveform, whatever its loudness.
    pub correlation: f32,
}

/// Looks for each second of `recorded` in `sent`, which is played in a loop. Seconds with hardly any sound are left out.
#[must_use]
pub fn find(recorded: &[f32], sent: &[f32]) -> Vec<Found> {
    let loudness = rms(recorded);
    let transformed = transform(sent, sent.len());
    let energies = window_energies(sent);
    recorded
        .chunks_exact(WINDOW)
        .enumerate()
        .filter(|(_, window)| rms(window) > 0.25 * loudness)
        .map(|(number, window)| {
            let (sent, correlation) = best_place(window, &transformed, &energies);
            Found { recorded: number * WINDOW, sent, correlation }
        })
        .collect()
}

/// By how many samples `found` lies off the place where it should be if `first` is right, in a loop of `length`.
#[must_use]
pub fn displacement(first: Found, found: Found, length: usize) -> usize {
    let expected = (first.sent + (found.recorded - first.recorded)) % length;
    let off = found.sent.abs_diff(expected);
    off.min(length - off)
}

/// The telephone band of a mono WAV file, brought to [`RATE_HZ`].
///
/// # Panics
/// When the file is none, or its rate is no multiple of that.
#[must_use]
#[track_caller]
pub fn read_wav(path: &Path) -> Vec<f32> {
    let wav = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let spec = wav.spec();
    let rate_hz = spec.sample_rate as usize;
    assert_eq!((spec.channels, spec.bits_per_sample, rate_hz % RATE_HZ), (1, 16, 0), "{}", path.display());
    let samples = wav.into_samples::<i16>().map(|sample| f32::from(sample.expect("a whole file")) / 32768.0).collect();
    telephone_band(samples, rate_hz).into_iter().step_by(rate_hz / RATE_HZ).collect()
}

/// Writes sound as WAV: mono, 16 bit.
///
/// # Panics
/// When there is no room.
pub fn write_wav(path: &Path, rate_hz: u32, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).expect("the folder is writable");
    for sample in samples {
        wav.write_sample(*sample).expect("there is room");
    }
    wav.finalize().expect("there is room");
}

/// Writes the same speech over and over.
///
/// # Panics
/// When `from` is no WAV file or there is no room.
pub fn repeat(from: &Path, to: &Path, length: Duration) {
    let mut wav = hound::WavReader::open(from).expect("the speech is there");
    let spec = wav.spec();
    let speech: Vec<i16> = wav.samples().map(|sample| sample.expect("the speech is whole")).collect();
    let mut long = hound::WavWriter::create(to, spec).expect("the folder is writable");
    for sample in speech.iter().cycle().take(length.as_secs() as usize * spec.sample_rate as usize) {
        long.write_sample(*sample).expect("there is room");
    }
    long.finalize().expect("there is room");
}

/// The root of the mean square.
#[must_use]
pub fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

/// In a recording there is silence that is longer than a pause of the speech, with sound before and after.
///
/// # Panics
/// When there is not.
#[track_caller]
pub fn assert_fell_silent(recorded: &Path) {
    let heard = read_wav(recorded);
    let tenths = heard.chunks(RATE_HZ / 10).map(|tenth| if rms(tenth) > 0.003 { '#' } else { '.' });
    let shown: String = tenths.collect();
    println!("{shown}");
    let silence = shown.find(&".".repeat(15)).unwrap_or_else(|| panic!("no second and a half of silence: {shown}"));
    assert!(shown[..silence].matches('#').count() > 10, "sound before: {shown}");
    assert!(shown[silence..].matches('#').count() > 10, "sound after: {shown}");
}

fn telephone_band(samples: Vec<f32>, rate_hz: usize) -> Vec<f32> {
    let length = samples.len();
    let mut spectrum = transform(&samples, length);
    for (number, value) in spectrum.iter_mut().enumerate() {
        // The second half of a spectrum mirrors the first.
        let frequency_hz = number.min(length - number) * rate_hz / length;
        if !TELEPHONE_BAND_HZ.contains(&frequency_hz) {
            *value = Complex32::default();
        }
    }
    FftPlanner::new().plan_fft_inverse(length).process(&mut spectrum);
    // The transform and its inverse multiply by the length.
    spectrum.iter().map(|value| value.re / length as f32).collect()
}

fn transform(samples: &[f32], length: usize) -> Vec<Complex32> {
    let mut values: Vec<Complex32> = samples.iter().map(|&sample| sample.into()).collect();
    values.resize(length, Complex32::default());
    FftPlanner::new().plan_fft_forward(length).process(&mut values);
    values
}

/// The energy of the window that begins at each place of a loop.
fn window_energies(sent: &[f32]) -> Vec<f32> {
    let square = |at: usize| f64::from(sent[at % sent.len()]).powi(2);
    let mut energy: f64 = (0..WINDOW).map(square).sum();
    let slide = |at: usize| {
        let now = energy;
        energy += square(at + WINDOW) - square(at);
        now as f32
    };
    (0..sent.len()).map(slide).collect()
}

/// The correlation of a window with every place of the loop is one product of their spectra.
fn best_place(window: &[f32], sent: &[Complex32], energies: &[f32]) -> (usize, f32) {
    let mut product = transform(window, sent.len());
    product.iter_mut().zip(sent).for_each(|(window, sent)| *window = window.conj() * sent);
    FftPlanner::new().plan_fft_inverse(sent.len()).process(&mut product);
    let energy: f32 = window.iter().map(|sample| sample * sample).sum();
    // The transform and its inverse multiply by the length.
    let scale = sent.len() as f32;
    let correlations =
        product.iter().zip(energies).map(|(sum, there)| sum.re / scale / (energy * there).sqrt().max(1e-6));
    correlations.enumerate().max_by(|(_, left), (_, right)| left.total_cmp(right)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speech() -> Vec<f32> {
        read_wav(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/media/speech-16k.wav")))
    }

    #[test]
    fn speech_is_found_where_it_was_whatever_its_loudness() {
        let sent = speech();
        let from = 5_000;
        let recorded: Vec<f32> = sent.iter().cycle().skip(from).take(sent.len()).map(|sample| sample * 0.4).collect();
        let found = find(&recorded, &sent);
        assert!(found.len() >= 6, "{found:?}");
        for window in &found {
            assert_eq!(window.sent, (window.recorded + from) % sent.len());
            assert!(window.correlation > 0.99, "{window:?}");
            assert_eq!(displacement(found[0], *window, sent.len()), 0);
        }
    }

    #[test]
    fn other_speech_is_not_found() {
        let sent = speech();
        let backwards: Vec<f32> = sent.iter().rev().copied().collect();
        for window in find(&backwards, &sent) {
            assert!(window.correlation < 0.6, "{window:?}");
        }
    }

    #[test]
    fn a_missing_piece_shows() {
        let sent = speech();
        let gap = RATE_HZ / 5;
        let recorded = [&sent[..3 * RATE_HZ], &sent[3 * RATE_HZ + gap..]].concat();
        let found = find(&recorded, &sent);
        let last = found.last().unwrap();
        assert_eq!(displacement(found[0], *last, sent.len()), gap);
    }
}
