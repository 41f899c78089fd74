//! What a recording at the speaker tells beside one at the microphone: how late each chirp was, and where each piece of
//! speech is.

use std::path::Path;
use std::time::Instant;

use ahoy_tests::harness::ear::{self, Heard};
use ahoy_tests::harness::speech::{self, RATE_HZ};

use super::fit::{Fit, best_fit};
use super::sound::{Kind, Sound};

/// How long after it was begun what is played may come to the microphone.
const LATEST_START: usize = 4 * RATE_HZ;

/// By how much a piece may be late at the microphone, beside the others: the player may have stumbled.
const STUMBLE: usize = RATE_HZ / 2;

/// Whoever hears a chirp later has not heard it: after two seconds the next such one is said.
const LATEST_CHIRP: usize = RATE_HZ * 18 / 10;

/// Speech is not looked for later than that.
const LATEST_SPEECH: usize = 2 * RATE_HZ;

/// A chirp that went through Opus is like itself by 0.9 and more; with a packet of 20 ms concealed by 0.75; speech and
/// noise are like a chirp by less than 0.3.
const IS_CHIRP: f32 = 0.5;

/// What was found in two recordings of one call.
#[derive(Debug)]
pub(super) struct Found {
    /// For each chirp that was said, how long it was under way; `None`: it was not heard.
    pub(super) chirp_delays_ms: Vec<Option<f64>>,
    /// Where each piece of speech is.
    pub(super) speech: Vec<SpeechAt>,
}

/// Where a piece of speech is in the two recordings, in samples of [`ear::RATE_HZ`].
#[derive(Debug)]
pub(super) struct SpeechAt {
    pub(super) said: usize,
    pub(super) heard: usize,
    pub(super) length: usize,
}

/// A recording in the band of the telephone.
struct Recording {
    began: Instant,
    samples: Vec<f32>,
}

/// Looks for what `sound` consists of, in what was heard at the microphone and at the speaker, and writes both to these
/// WAV files.
///
/// # Panics
/// When it was not even said.
pub(super) fn find(sound: &Sound, heard: [&Heard; 2], files: [&Path; 2]) -> Found {
    let [said, heard] = [0, 1].map(|which| Recording::of(heard[which], files[which]));
    compare(sound, &speech::read_wav(&sound.file), &said, &heard)
}

fn compare(sound: &Sound, source: &[f32], said: &Recording, heard: &Recording) -> Found {
    // All that comes before the first piece, and that: no other part is like it.
    let opening = sound.pieces.first().map_or(0, |first| first.at + first.length);
    let begin = said.search(&source[..opening], 0, LATEST_START).filter(|fit| fit.likeness > 0.4);
    let begin = begin.expect("what is played comes to the microphone").at;
    // Where the recording of the speaker is when that of the microphone begins.
    let ahead = heard.place_of(said.began);
    let mut found = Found { chirp_delays_ms: Vec::new(), speech: Vec::new() };
    for piece in &sound.pieces {
        let original = &source[piece.at..][..piece.length];
        let said_at = said.search(original, begin + piece.at, STUMBLE).expect("it was listened to the end").at;
        let as_said = &said.samples[said_at..][..piece.length];
        let soonest = said_at.saturating_add_signed(ahead);
        match piece.kind {
            Kind::Chirp => {
                let fit = heard.search(as_said, soonest, LATEST_CHIRP).filter(|fit| fit.likeness > IS_CHIRP);
                let delay_ms = |fit: Fit| (fit.at as f64 - said_at as f64 - ahead as f64) / RATE_HZ as f64 * 1e3;
                found.chirp_delays_ms.push(fit.map(delay_ms));
            }
            Kind::Speech => {
                let fit = heard.search(as_said, soonest, LATEST_SPEECH).expect("it was listened to the end");
                let [said, heard, length] = [said_at, fit.at, piece.length].map(|at| at * (ear::RATE_HZ / RATE_HZ));
                found.speech.push(SpeechAt { said, heard, length });
            }
        }
    }
    found
}

impl Recording {
    fn of(heard: &Heard, file: &Path) -> Self {
        heard.write(file);
        Self { began: heard.began, samples: speech::read_wav(file) }
    }

    /// The sample of that moment; negative if it is before the first.
    fn place_of(&self, moment: Instant) -> isize {
        let since = moment.saturating_duration_since(self.began).as_secs_f64();
        let until = self.began.saturating_duration_since(moment).as_secs_f64();
        ((since - until) * RATE_HZ as f64).round() as isize
    }

    /// Where `sound` fits best from `from` on, so many samples later at most. `None` where the recording has no room
    /// for it.
    fn search(&self, sound: &[f32], from: usize, latest: usize) -> Option<Fit> {
        let until = (from + latest + sound.len()).min(self.samples.len());
        let fit = best_fit(sound, self.samples.get(from..until)?)?;
        Some(Fit { at: from + fit.at, ..fit })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_chirp_is_as_late_as_it_is_and_a_lost_one_is_not_heard() {
        let folder = tempfile::tempdir().unwrap();
        let sound = Sound::write_short(folder.path());
        let source = speech::read_wav(&sound.file);
        let silence = |length: usize| vec![0.0; length];
        let began = Instant::now();
        let said = Recording { began, samples: [silence(RATE_HZ), source.clone(), silence(4 * RATE_HZ)].concat() };
        let mut late = source.clone();
        late[sound.pieces[1].at..][..sound.pieces[1].length].fill(0.0);
        // It listens from half a second before, and hears everything 150 ms later.
        let samples = [silence(RATE_HZ * 165 / 100), late, silence(4 * RATE_HZ)].concat();
        let heard = Recording { began: began.checked_sub(Duration::from_millis(500)).unwrap(), samples };

        let found = compare(&sound, &source, &said, &heard);
        let delays_ms: Vec<Option<f64>> = found.chirp_delays_ms.iter().map(|delay| delay.map(f64::round)).collect();
        assert_eq!(delays_ms, [Some(150.0), None]);
        let places: Vec<(usize, usize)> = found.speech.iter().map(|speech| (speech.said, speech.heard)).collect();
        assert_eq!(places, [(192_000, 223_200), (249_600, 280_800)]);
    }
}
