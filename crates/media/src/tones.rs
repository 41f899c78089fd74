//! What a person is told by sound: somebody calls, it rings over there, the call is over. Made of sines, so that there
//! are no files to ship; each note rises and dies away, so that nothing clicks.

use std::f64::consts::{PI, TAU};

use crate::audio::{AudioBlock, SAMPLE_RATE_HZ};

/// A sound that tells something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Somebody calls. Goes on.
    Ring,
    /// It rings over there: a second of every five (ITU-T E.180). Goes on.
    Ringback,
    /// The call is over.
    Ended,
    /// The other side is in another call: four times half a second of every one (ITU-T E.180).
    Busy,
    /// For somebody who looks whether the speaker works.
    Test,
}

/// A note, struck or blown.
struct Note {
    at_ms: u32,
    hz: f64,
    length_ms: u32,
    amplitude: f64,
    voice: Voice,
}

#[derive(Clone, Copy)]
enum Voice {
    /// Dies away from its beginning on, as of a marimba: the fourth harmonic is that of its bars.
    Struck,
    /// Stays as loud as it is.
    Held,
}

/// What a tone is made of.
struct Score {
    notes: &'static [Note],
    length_ms: u32,
    goes_on: bool,
}

const fn struck(at_ms: u32, hz: f64) -> Note {
    Note { at_ms, hz, length_ms: 900, amplitude: 0.28, voice: Voice::Struck }
}

const fn held(at_ms: u32, length_ms: u32) -> Note {
    // 425 Hz is what E.180 recommends for both.
    Note { at_ms, hz: 425.0, length_ms, amplitude: 0.12, voice: Voice::Held }
}

const C5: f64 = 523.25;
const E5: f64 = 659.26;
const G5: f64 = 783.99;
const A5: f64 = 880.0;
const C6: f64 = 1046.5;

/// Up and up again, then a pause in which to decide.
const RING: Score = Score {
    notes: &[struck(0, E5), struck(160, G5), struck(320, C6), struck(800, E5), struck(960, A5), struck(1120, C6)],
    length_ms: 3_200,
    goes_on: true,
};
const RINGBACK: Score = Score { notes: &[held(0, 1_000)], length_ms: 5_000, goes_on: true };
const ENDED: Score = Score { notes: &[struck(0, G5), struck(180, C5)], length_ms: 1_100, goes_on: false };
const BUSY: Score = Score {
    notes: &[held(0, 500), held(1_000, 500), held(2_000, 500), held(3_000, 500)],
    length_ms: 3_500,
    goes_on: false,
};
const TEST: Score = Score {
    notes: &[struck(0, C5), struck(250, E5), struck(500, G5), struck(750, C6)],
    length_ms: 1_700,
    goes_on: false,
};

/// How long a note rises, and how long it falls at its end.
const RISE_MS: f64 = 6.0;
const FALL_MS: f64 = 25.0;
/// In so long a struck note falls to a third, its overtone in a fifth of that.
const DECAY_MS: f64 = 220.0;

impl Tone {
    fn score(self) -> &'static Score {
        match self {
            Self::Ring => &RING,
            Self::Ringback => &RINGBACK,
            Self::Ended => &ENDED,
            Self::Busy => &BUSY,
            Self::Test => &TEST,
        }
    }
}

/// A tone while it sounds.
pub struct ToneSound {
    score: &'static Score,
    /// The next sample, counted from the beginning or, of one that goes on, from that of this round.
    next: u32,
}

impl ToneSound {
    /// From its beginning.
    pub fn new(tone: Tone) -> Self {
        Self { score: tone.score(), next: 0 }
    }

    /// Whether it has come to its end; from then on it is silence.
    pub fn is_over(&self) -> bool {
        !self.score.goes_on && self.next >= samples(self.score.length_ms)
    }

    /// Fills a block with the next 10 ms.
    pub fn read(&mut self, block: &mut AudioBlock) {
        for out in block {
            let length = samples(self.score.length_ms);
            let ms = f64::from(self.next) * 1e3 / f64::from(SAMPLE_RATE_HZ);
            *out = self.score.notes.iter().map(|note| note.amplitude_at(ms)).sum::<f64>() as f32;
            self.next = if self.score.goes_on { (self.next + 1) % length } else { (self.next + 1).min(length) };
        }
    }
}

impl Note {
    fn amplitude_at(&self, ms: f64) -> f64 {
        let (since, length) = (ms - f64::from(self.at_ms), f64::from(self.length_ms));
        if since <= 0.0 || since >= length {
            return 0.0;
        }
        let turns = since / 1e3 * self.hz;
        let sound = match self.voice {
            Voice::Struck => {
                let overtone = (4.0 * turns * TAU).sin() * 0.25 * (-since * 5.0 / DECAY_MS).exp();
                ((turns * TAU).sin() + overtone) * (-since / DECAY_MS).exp()
            }
            Voice::Held => (turns * TAU).sin(),
        };
        self.amplitude * sound * swell(since / RISE_MS) * swell((length - since) / FALL_MS)
    }
}

/// From silence (0) to all (1 and more), without corners.
fn swell(progress: f64) -> f64 {
    (1.0 - (PI * progress.clamp(0.0, 1.0)).cos()) / 2.0
}

fn samples(ms: u32) -> u32 {
    ms * (SAMPLE_RATE_HZ / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::BLOCK_SAMPLES;

    const ALL: [Tone; 5] = [Tone::Ring, Tone::Ringback, Tone::Ended, Tone::Busy, Tone::Test];

    fn sound(tone: Tone, seconds: usize) -> Vec<f32> {
        let mut sound = ToneSound::new(tone);
        let mut block = [0.0; BLOCK_SAMPLES];
        let blocks = (0..seconds * 100).flat_map(|_| {
            sound.read(&mut block);
            block
        });
        blocks.collect()
    }

    #[test]
    fn no_tone_clicks_or_clips() {
        for tone in ALL {
            let sound = sound(tone, 12);
            let peak = sound.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            assert!((0.1..0.8).contains(&peak), "{tone:?} reaches {peak}");
            // What bends the most in a sine of 4 kHz at this loudness; a click bends by its whole height.
            let bend = sound.windows(3).map(|three| (three[0] - 2.0 * three[1] + three[2]).abs()).fold(0.0, f32::max);
            assert!(bend < 0.06, "{tone:?} has a corner of {bend}");
        }
    }

    #[test]
    fn a_ring_and_a_ringback_go_on_and_the_others_end() {
        for tone in ALL {
            let goes_on = matches!(tone, Tone::Ring | Tone::Ringback);
            let mut running = ToneSound::new(tone);
            let sound = sound(tone, 30);
            (0..3_000).for_each(|_| running.read(&mut [0.0; BLOCK_SAMPLES]));
            assert_eq!(running.is_over(), !goes_on, "{tone:?}");
            let later = &sound[20 * 48_000..];
            assert_eq!(later.iter().any(|sample| *sample != 0.0), goes_on, "{tone:?}");
        }
    }

    #[test]
    fn a_ringback_sounds_for_a_second_of_every_five() {
        let sound = sound(Tone::Ringback, 10);
        let loud: Vec<bool> = sound.chunks(4_800).map(|tenth| tenth.iter().any(|sample| sample.abs() > 0.05)).collect();
        let expected: Vec<bool> = (0..100).map(|tenth| tenth % 50 < 10).collect();
        assert_eq!(loud, expected);
    }
}
