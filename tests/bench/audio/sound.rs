//! What is said in a call that is measured: speech to settle by, then over and over chirps, whose delay can be told to
//! a fraction of a millisecond, and speech.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ahoy_tests::harness::media;
use ahoy_tests::harness::speech::{RATE_HZ, write_wav};

/// A second of each chirp: it sounds at the beginning, the rest is silence.
const CHIRP_EVERY: usize = RATE_HZ;

/// Long enough to span several packets, short enough for the next to be far away.
const CHIRP: usize = RATE_HZ * 15 / 100;

/// The band in which speech is understood, and codecs keep the waveform.
const SWEEP_HZ: [f64; 2] = [350.0, 3300.0];

/// As loud as the speech.
const LOUDNESS: f64 = 0.25;

/// Speech is compared in pieces of so much: long enough for ESTOI (0.4 s), too short for the delay to change often.
const SPEECH: usize = RATE_HZ * 12 / 10;

/// How many chirps and pieces of speech follow each other, again and again.
const CYCLE: [usize; 2] = [10, 8];

/// Something said, in samples of [`RATE_HZ`] since the beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) length: usize,
}

/// What a piece is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To measure the delay.
    Chirp,
    /// To measure how well it is understood.
    Speech,
}

/// What is said, from the beginning of the call on.
#[derive(Debug)]
pub(super) struct Sound {
    /// A WAV file.
    pub(super) file: PathBuf,
    /// How much of it comes before anything is measured: buffers fill, echo cancellers learn, delays settle.
    pub(super) settling: Duration,
    /// How long the rest is.
    pub(super) measured: Duration,
    /// What is in the rest.
    pub(super) pieces: Vec<Piece>,
}

impl Sound {
    /// Writes it into `folder`, long enough to measure for about `length`.
    pub(super) fn write(folder: &Path, length: Duration) -> Self {
        let cycle_s = (CYCLE[0] * CHIRP_EVERY + CYCLE[1] * SPEECH) as f64 / RATE_HZ as f64;
        let cycles = (length.as_secs_f64() / cycle_s).round().max(1.0) as usize;
        Self::compose(folder, 6 * RATE_HZ, CYCLE, cycles)
    }

    /// A little of everything.
    pub(super) fn write_short(folder: &Path) -> Self {
        Self::compose(folder, RATE_HZ, [2, 2], 1)
    }

    fn compose(folder: &Path, settling: usize, [chirps, speeches]: [usize; 2], cycles: usize) -> Self {
        let speech = read_speech();
        let mut samples = speech[..settling].to_vec();
        let mut pieces = Vec::new();
        let mut say = |kind: Kind, sound: &[i16], silence: usize| {
            pieces.push(Piece { kind, at: samples.len(), length: sound.len() });
            samples.extend_from_slice(sound);
            samples.resize(samples.len() + silence, 0);
        };
        for _ in 0..cycles {
            (0..chirps).for_each(|number| say(Kind::Chirp, &chirp(number), CHIRP_EVERY - CHIRP));
            speech.chunks_exact(SPEECH).take(speeches).for_each(|part| say(Kind::Speech, part, 0));
        }
        let file = folder.join("said-by-caller.wav");
        write_wav(&file, RATE_HZ as u32, &samples);
        let duration = |samples: usize| Duration::from_secs_f64(samples as f64 / RATE_HZ as f64);
        let (settling, measured) = (duration(settling), duration(samples.len() - settling));
        Self { file, settling, measured, pieces }
    }
}

/// A tone that climbs or falls, at a steady pace, and begins and ends softly. The next is unlike it, so that nobody takes
/// one for the other when a call is late by a second.
fn chirp(number: usize) -> Vec<i16> {
    let [low_hz, high_hz] = SWEEP_HZ;
    let (from_hz, to_hz) = if number.is_multiple_of(2) { (low_hz, high_hz) } else { (high_hz, low_hz) };
    let length_s = CHIRP as f64 / RATE_HZ as f64;
    let sample = |number: usize| {
        let at_s = number as f64 / RATE_HZ as f64;
        let turns = from_hz * at_s + (to_hz - from_hz) * at_s * at_s / (2.0 * length_s);
        let fade = (at_s.min(length_s - at_s) / 0.01).min(1.0);
        ((TAU * turns).sin() * fade * LOUDNESS * 32767.0) as i16
    };
    (0..CHIRP).map(sample).collect()
}

fn read_speech() -> Vec<i16> {
    let wav = hound::WavReader::open(media::speech()).expect("the speech is there");
    assert_eq!(wav.spec().sample_rate as usize, RATE_HZ);
    wav.into_samples().map(|sample| sample.expect("the speech is whole")).collect()
}
