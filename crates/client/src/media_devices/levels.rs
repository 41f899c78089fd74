//! How loud it is, for meters: what microphone and speaker did in the last moment, and whether somebody talks into a
//! muted microphone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_media::AudioBlock;
use ahoy_media::audio::meter::Level;
use tokio::sync::watch;

/// How often it is told: 15 times a second.
const INTERVAL: Duration = Duration::from_millis(66);

/// What is louder than this may be a voice; the voice processing brings one to about -25 dBFS, and noise below -50,
/// unless its suppression is switched off.
const VOICE_DBFS: f32 = -38.0;
/// A voice is so much louder than the pauses between its words; steady noise is not louder than itself.
const ABOVE_FLOOR_DB: f32 = 9.0;
/// So much the floor rises with each block of 10 ms that is louder: by 3 dB a second, so that it comes up to noise that
/// begins, and falls back to the first pause of whoever speaks.
const FLOOR_RISE_DB: f32 = 0.03;
/// The floor of a quiet room.
const FLOOR_DBFS: f32 = -60.0;
/// So many blocks of 10 ms more of voice than of silence are somebody talking. A cough, a door or a key is shorter.
const TALKING_BLOCKS: u32 = 40;
/// Silence is counted from so many blocks on, whoever talked for longer: the pauses of speech are shorter than that.
const MOST_BLOCKS: u32 = 100;

/// How loud it is now. Amplitudes are the RMS of the loudest 10 ms since the last time, from 0 to 1 for full scale:
/// speech at a good level is around 0.1, so a meter wants decibels.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Levels {
    /// The microphone, as it is sent when it is not muted: without echo and noise.
    pub microphone: f32,
    /// What the other side's sound is played at.
    pub speaker: f32,
    /// Somebody talks into a microphone that is muted.
    pub talking_while_muted: bool,
}

/// The watch on the levels; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct LevelWatch(Arc<watch::Sender<Levels>>);

impl LevelWatch {
    pub(crate) fn subscribe(&self) -> watch::Receiver<Levels> {
        self.0.subscribe()
    }

    /// For a thread that hears or plays. Once it is dropped all is silent.
    pub(crate) fn meter(&self) -> LevelMeter {
        LevelMeter {
            watch: self.clone(),
            loudest: Levels::default(),
            talking: Talking::default(),
            floor: NoiseFloor::default(),
            told: None,
        }
    }
}

/// Measures and tells.
pub(crate) struct LevelMeter {
    watch: LevelWatch,
    loudest: Levels,
    talking: Talking,
    floor: NoiseFloor,
    told: Option<Instant>,
}

impl LevelMeter {
    /// The microphone heard this.
    pub(crate) fn hear(&mut self, block: &AudioBlock, muted: bool) {
        let rms_dbfs = Level::of(block).rms_dbfs;
        self.loudest.microphone = self.loudest.microphone.max(amplitude(rms_dbfs));
        self.talking.hear(self.floor.is_voice(rms_dbfs), muted);
    }

    /// The speaker plays this.
    pub(crate) fn play(&mut self, block: &AudioBlock) {
        self.loudest.speaker = self.loudest.speaker.max(amplitude(Level::of(block).rms_dbfs));
    }

    /// Tells how loud it was, when it is time to.
    pub(crate) fn tell(&mut self, now: Instant) {
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < INTERVAL) {
            return;
        }
        self.told = Some(now);
        let talking_while_muted = self.talking.is_noticed;
        self.watch.0.send_replace(Levels { talking_while_muted, ..std::mem::take(&mut self.loudest) });
    }
}

impl Drop for LevelMeter {
    fn drop(&mut self) {
        self.watch.0.send_replace(Levels::default());
    }
}

fn amplitude(dbfs: f32) -> f32 {
    10.0_f32.powf(dbfs / 20.0).min(1.0)
}

/// How loud it is between words: what a voice must be louder than.
#[derive(Debug)]
struct NoiseFloor {
    dbfs: f32,
}

impl Default for NoiseFloor {
    fn default() -> Self {
        Self { dbfs: FLOOR_DBFS }
    }
}

impl NoiseFloor {
    /// Takes in the level of a block, in dB of full scale, and says whether a voice may be in it.
    fn is_voice(&mut self, rms_dbfs: f32) -> bool {
        self.dbfs = rms_dbfs.min(self.dbfs + FLOOR_RISE_DB).max(FLOOR_DBFS);
        rms_dbfs > VOICE_DBFS.max(self.dbfs + ABOVE_FLOOR_DB)
    }
}

/// Whether somebody talks into a muted microphone.
#[derive(Debug, Default)]
struct Talking {
    /// Blocks with a voice, less those without.
    voiced: u32,
    is_noticed: bool,
}

impl Talking {
    fn hear(&mut self, voice: bool, muted: bool) {
        if !muted {
            *self = Self::default();
            return;
        }
        self.voiced = if voice { (self.voiced + 1).min(MOST_BLOCKS) } else { self.voiced.saturating_sub(1) };
        self.is_noticed = if self.is_noticed { self.voiced > 0 } else { self.voiced >= TALKING_BLOCKS };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(amplitude: f32) -> AudioBlock {
        std::array::from_fn(|n| if n % 2 == 0 { amplitude } else { -amplitude })
    }

    #[test]
    fn the_loudest_moment_since_the_last_time_is_told_fifteen_times_a_second() {
        let watch = LevelWatch::default();
        let (seen, mut meter, start) = (watch.subscribe(), watch.meter(), Instant::now());
        let near = |found: f32, wanted: f32| assert!((found - wanted).abs() < 0.001, "{found} is not {wanted}");
        meter.hear(&block(0.25), false);
        meter.tell(start);
        meter.hear(&block(0.5), false);
        meter.hear(&block(0.1), false);
        meter.play(&block(0.3));
        meter.tell(start + Duration::from_millis(65));
        near(seen.borrow().microphone, 0.25);
        meter.tell(start + INTERVAL);
        near(seen.borrow().microphone, 0.5);
        near(seen.borrow().speaker, 0.3);
        drop(meter);
        assert_eq!(*seen.borrow(), Levels::default());
    }

    #[test]
    fn talking_while_muted_is_noticed_after_a_word_and_over_after_a_pause() {
        let mut talking = Talking::default();
        let hear = |talking: &mut Talking, voice, muted, blocks| {
            (0..blocks).for_each(|_| talking.hear(voice, muted));
            talking.is_noticed
        };
        assert!(!hear(&mut talking, true, true, 39), "a cough");
        assert!(!hear(&mut talking, false, true, 39));
        assert!(hear(&mut talking, true, true, 60));
        assert!(hear(&mut talking, false, true, 30), "between two words");
        assert!(hear(&mut talking, true, true, 500));
        assert!(!hear(&mut talking, false, true, 100), "no more");
        assert!(hear(&mut talking, true, true, 60));
        assert!(!hear(&mut talking, true, false, 1), "not muted any more");
    }
    #[test]
    fn steady_noise_is_no_voice_and_a_voice_above_it_is() {
        let mut floor = NoiseFloor::default();
        let mut voiced = |levels: &[f32], blocks: usize| {
            let heard = levels.iter().cycle().take(blocks);
            heard.filter(|rms_dbfs| floor.is_voice(**rms_dbfs)).count()
        };
        // Syllables, and a pause every second.
        let speech = |loud: f32, pause: f32| [vec![loud; 80], vec![pause; 20]].concat();
        assert_eq!(voiced(&speech(-25.0, -60.0), 3000), 2400, "a voice in a quiet room");
        voiced(&[-30.0], 1000);
        assert_eq!(voiced(&[-30.0, -29.0, -31.0], 3000), 0, "a fan, once it has run for ten seconds");
        assert_eq!(voiced(&speech(-18.0, -30.0), 3000), 2400, "a voice beside it");
        assert_eq!(voiced(&[f32::NEG_INFINITY], 10), 0);
        assert_eq!(voiced(&speech(-25.0, -60.0), 3000), 2400, "the fan is off");
    }
}
