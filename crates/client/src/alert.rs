//! Sounds that tell a person something, outside of what is said in a call: through the speaker that was chosen, on a
//! thread of their own.

use std::thread::sleep;
use std::time::Duration;

pub use ahoy_media::tones::Tone;
use ahoy_media::tones::ToneSound;
use ahoy_media::{AudioBlock, BLOCK_SAMPLES, SinkSpec, SoundNotice, SoundSink};
use tokio::sync::watch;
use tracing::warn;

use crate::call::in_words;
use crate::worker::{Stop, Worker};

/// How often the thread looks whether a block is due.
const LOOK: Duration = Duration::from_millis(4);
/// A sound that is stopped dies away over so many blocks of 10 ms.
const FADE_BLOCKS: u32 = 4;
/// What a speaker has of it is played to its end, but for no longer than this.
const LONGEST_TAIL: Duration = Duration::from_millis(500);

/// A sound while it plays. Dropped, it dies away within some hundredths of a second, and nobody waits for that: who
/// stops a ring answers a call.
#[derive(Debug)]
pub struct Alert {
    problem: watch::Receiver<Option<String>>,
    player: Option<Worker>,
}

impl Alert {
    /// Plays `tone` on `speaker`, as loud as it is made at a `volume` of 1 and silent at 0. [`Tone`] says which go on
    /// until this is dropped.
    #[must_use]
    pub fn play(tone: Tone, speaker: SinkSpec, volume: f32) -> Self {
        let (told, problem) = watch::channel(None);
        let volume = if volume.is_finite() { volume.clamp(0.0, 1.0) } else { 0.0 };
        let fail = told.clone();
        let player = Worker::start("alert", move |stop| match SoundSink::open(&speaker) {
            Ok(speaker) => Playing { sound: ToneSound::new(tone), speaker, volume, told }.run(&stop),
            Err(error) => drop(told.send_replace(Some(in_words(&error)))),
        });
        if let Err(error) = &player {
            warn!(%error, "no thread for a sound");
            fail.send_replace(Some(format!("no thread for the sound: {error}")));
        }
        Self { problem, player: player.ok() }
    }

    /// Why nothing is heard, in words; nothing while all is well. A speaker that is missing is tried again each second.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }
}

impl Drop for Alert {
    fn drop(&mut self) {
        if let Some(player) = self.player.take() {
            player.let_go();
        }
    }
}

/// What the thread owns.
struct Playing {
    sound: ToneSound,
    speaker: SoundSink,
    volume: f32,
    told: watch::Sender<Option<String>>,
}

impl Playing {
    fn run(mut self, stop: &Stop) {
        // How many blocks are still to be heard, once it is stopped.
        let mut left = FADE_BLOCKS;
        while left > 0 && !self.sound.is_over() {
            self.listen_to_speaker();
            while left > 0 && self.speaker.is_due() {
                let from = loudness(left);
                if stop.is_requested() {
                    left -= 1;
                }
                let block = self.next_block(from, loudness(left));
                self.speaker.play(&block);
            }
            sleep(LOOK);
        }
        sleep(self.speaker.delay().min(LONGEST_TAIL));
    }

    fn listen_to_speaker(&mut self) {
        let Some(notice) = self.speaker.notice() else { return };
        self.told.send_replace(match notice {
            SoundNotice::Failed(why) => Some(why),
            SoundNotice::Replaced { .. } | SoundNotice::Recovered(_) => None,
        });
    }

    /// The next 10 ms, louder or quieter from the first sample to the last.
    fn next_block(&mut self, from: f32, to: f32) -> AudioBlock {
        let mut block = [0.0; BLOCK_SAMPLES];
        self.sound.read(&mut block);
        for (n, sample) in block.iter_mut().enumerate() {
            *sample *= self.volume * (from + (to - from) * n as f32 / BLOCK_SAMPLES as f32);
        }
        block
    }
}

fn loudness(left: u32) -> f32 {
    left as f32 / FADE_BLOCKS as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Instant;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// The sound that was recorded, once there are `enough` samples.
    fn recorded(path: &Path, enough: impl Fn(&[f32]) -> bool) -> Vec<f32> {
        let began = Instant::now();
        loop {
            let bytes = std::fs::read(path).unwrap_or_default();
            let samples: Vec<f32> = bytes
                .get(44..)
                .unwrap_or_default()
                .chunks_exact(2)
                .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0)
                .collect();
            if enough(&samples) {
                return samples;
            }
            assert!(began.elapsed() < DEADLINE, "{} samples were recorded", samples.len());
            sleep(Duration::from_millis(20));
        }
    }

    fn peak(samples: &[f32]) -> f32 {
        samples.iter().fold(0.0, |peak, sample| peak.max(sample.abs()))
    }

    #[test]
    fn a_sound_that_is_dropped_dies_away_without_a_click_and_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring.wav");
        let alert = Alert::play(Tone::Ringback, SinkSpec::File(path.clone()), 1.0);
        // A recording is flushed each second.
        let before = recorded(&path, |samples| samples.len() >= 40_000).len();
        let began = Instant::now();
        drop(alert);
        assert!(began.elapsed() < Duration::from_millis(20), "{:?}", began.elapsed());
        let mut last = before;
        let sound = loop {
            let samples = recorded(&path, |samples| samples.len() >= before);
            if samples.len() == last && began.elapsed() > Duration::from_secs(2) {
                break samples;
            }
            last = samples.len();
            sleep(Duration::from_millis(100));
        };
        assert!(peak(&sound[..before]) > 0.1);
        assert!(peak(&sound[sound.len() - 48..]) < 0.01, "it ends in silence");
        let bend = sound.windows(3).map(|three| (three[0] - 2.0 * three[1] + three[2]).abs()).fold(0.0, f32::max);
        assert!(bend < 0.01, "a corner of {bend}");
    }

    #[test]
    fn half_the_volume_is_half_as_loud_and_a_short_sound_ends_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let peaks = [1.0, 0.5].map(|volume| {
            let path = folder.path().join(format!("{volume}.wav"));
            let alert = Alert::play(Tone::Ended, SinkSpec::File(path.clone()), volume);
            let samples = recorded(&path, |samples| samples.len() >= 1_100 * 48);
            assert_eq!(alert.problem(), None);
            peak(&samples)
        });
        assert!((peaks[0] / peaks[1] - 2.0).abs() < 0.01, "{peaks:?}");
    }

    #[test]
    fn a_speaker_that_cannot_be_is_told() {
        let alert = Alert::play(Tone::Test, SinkSpec::File("/nowhere/at/all.wav".into()), 1.0);
        let began = Instant::now();
        while alert.problem().is_none() {
            assert!(began.elapsed() < DEADLINE);
            sleep(Duration::from_millis(5));
        }
        assert!(alert.problem().is_some_and(|why| why.contains("/nowhere/at/all.wav")));
    }
}
