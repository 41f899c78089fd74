//! What a microphone's sound goes through before it is sent: the speaker's echo is taken out, noise lowered, the voice
//! brought to a good level. It knows no devices: it is told what they play and hear.

mod stages;

use std::collections::VecDeque;
use std::time::Duration;

use crate::audio::{AudioBlock, BLOCK_SAMPLES};
use stages::Stages;
pub use stages::VoiceConfig;

/// Blocks played since the microphone gave its last one (200 ms). Beyond any burst: the microphone has stopped.
const MOST_AHEAD: usize = 20;

/// Of all stages together; measured as the place of a click's peak.
const STAGES_DELAY: Duration = Duration::from_millis(15);

/// For so long stages that were switched on or off learn beside those in use, before they take their place: a second of
/// speech is enough to find an echo, to know the noise and the voice's level.
const LEARNING_BLOCKS: usize = 100;

/// Cleans the sound of one microphone. Belongs to the thread that also plays.
///
/// [`render`](Self::render) and [`capture`](Self::capture) may come in bursts and at rates that differ as clocks do.
/// The echo's delay need not be told: from 2 to 400 ms it is found within half a second of speech, and again within two
/// seconds if it jumps. Since it is counted in blocks, one that the microphone lost should be given as silence.
///
/// All stages together delay the sound by 15 ms and take 0.2 ms a block on a laptop, twice that for a second after a
/// switch.
pub struct Voice {
    config: VoiceConfig,
    /// Nothing where all is off.
    stages: Option<Stages>,
    /// Those that were switched to, while they learn.
    learning: Option<Learning>,
    /// Played since the last block of the microphone.
    played: VecDeque<AudioBlock>,
    /// Some of that was forgotten.
    stopped: bool,
}

/// Stages that hear all and are not heard yet.
struct Learning {
    stages: Stages,
    /// What they have heard.
    blocks: usize,
}

impl Voice {
    /// With these stages, having learnt nothing yet.
    pub fn new(config: VoiceConfig) -> Self {
        Self { config, stages: Stages::of(config), learning: None, played: VecDeque::new(), stopped: false }
    }

    /// Switches stages. Those that go on must not forget the echo and the level that they know: `sonora` lets them all
    /// learn anew. So they do beside those in use, and are heard a second later. From or to [`VoiceConfig::OFF`] it is
    /// at once.
    pub fn configure(&mut self, config: VoiceConfig) {
        if config == self.config {
            return;
        }
        self.config = config;
        match (&self.stages, Stages::of(config)) {
            // Switched back before it was heard.
            (Some(in_use), _) if in_use.config() == config => self.learning = None,
            (Some(_), Some(stages)) => self.learning = Some(Learning { stages, blocks: 0 }),
            (None, _) | (_, None) => *self = Self::new(config),
        }
    }

    /// Learns anew, for another room: a speaker elsewhere, for one.
    pub fn forget(&mut self) {
        *self = Self::new(self.config);
    }

    /// By how much the stages delay the sound.
    pub fn delay(&self) -> Duration {
        if self.stages.is_some() { STAGES_DELAY } else { Duration::ZERO }
    }

    /// The block that the speaker was just given, before the microphone's that may hear it. To be called for each,
    /// silence included.
    pub fn render(&mut self, played: &AudioBlock) {
        let in_use = self.stages.as_ref().is_some_and(|stages| stages.config().echo_cancellation);
        if !in_use && !self.config.echo_cancellation {
            return;
        }
        if self.played.len() == MOST_AHEAD {
            self.played.pop_front();
            self.stopped = true;
        }
        self.played.push_back(finite(played));
    }

    /// Cleans a block of the microphone in place.
    pub fn capture(&mut self, block: &mut AudioBlock) {
        let Some(stages) = &mut self.stages else { return };
        if self.stopped {
            // Echo is searched for by counting blocks on both sides: cut from both what the microphone missed.
            self.played.drain(..MOST_AHEAD - 1);
            self.stopped = false;
        }
        let heard = finite(block);
        for played in &self.played {
            stages.render(played);
        }
        stages.capture(&heard, block);
        if let Some(Learning { stages, blocks }) = &mut self.learning {
            let mut cleaned = [0.0; BLOCK_SAMPLES];
            for played in &self.played {
                stages.render(played);
            }
            stages.capture(&heard, &mut cleaned);
            *blocks += 1;
            if *blocks == LEARNING_BLOCKS {
                fade(block, &cleaned);
                self.stages = self.learning.take().map(|learning| learning.stages);
            }
        }
        self.played.clear();
    }
}

/// From one sound to another that is as old, over the length of a block: neither a click nor a gap.
fn fade(from: &mut AudioBlock, to: &AudioBlock) {
    for (n, (from, to)) in from.iter_mut().zip(to).enumerate() {
        *from += (to - *from) * (n + 1) as f32 / BLOCK_SAMPLES as f32;
    }
}

/// A single NaN would stay in the filters for good.
fn finite(block: &AudioBlock) -> AudioBlock {
    block.map(|sample| if sample.is_finite() { sample } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::testing::*;

    const ECHO: VoiceConfig = VoiceConfig { echo_cancellation: true, ..VoiceConfig::OFF };
    const NOISE: VoiceConfig = VoiceConfig { noise_suppression: true, ..VoiceConfig::OFF };
    const GAIN: VoiceConfig = VoiceConfig { auto_gain_control: true, ..VoiceConfig::OFF };
    const HIGH_PASS: VoiceConfig = VoiceConfig { high_pass: true, ..VoiceConfig::OFF };

    const SECOND: usize = 48_000;

    /// The hiss of a microphone, -70 dBFS.
    const HISS: f32 = 0.0003;

    /// A room with a speaker and a microphone: what is played is heard after a delay, and then from the walls, dying
    /// down by 30 dB until `tail_ms`.
    fn room(played: &[f32], loudness: f32, delay_ms: usize, tail_ms: usize) -> Vec<f32> {
        sum(&echo(played, loudness, delay_ms, tail_ms), &noise(played.len(), HISS, 9))
    }

    fn echo(played: &[f32], loudness: f32, delay_ms: usize, tail_ms: usize) -> Vec<f32> {
        let (delay, tail) = (delay_ms * 48, tail_ms * 48);
        let walls = noise(80, 0.577, 7).into_iter().zip(noise(80, 0.577, 8)).map(|(place, strength)| {
            let at = 48 + ((place + 1.0) / 2.0 * tail as f32) as usize;
            (at, 0.3 * strength * 10.0_f32.powf(-1.5 * at as f32 / tail as f32))
        });
        let mut heard = vec![0.0; played.len()];
        for (at, strength) in std::iter::once((0, 1.0)).chain(walls) {
            for (heard, played) in heard[delay + at..].iter_mut().zip(played) {
                *heard += loudness * strength * played;
            }
        }
        heard
    }

    fn far(seconds: usize) -> Vec<f32> {
        speech(16_000).into_iter().cycle().take(seconds * SECOND).collect()
    }

    /// Somebody else, who says other things.
    fn near(seconds: usize) -> Vec<f32> {
        speech(18_500).into_iter().cycle().skip(3 * SECOND).take(seconds * SECOND).collect()
    }

    /// One block played, one heard, and so on.
    fn through(voice: &mut Voice, played: &[f32], heard: &[f32]) -> Vec<f32> {
        let blocks = blocks(played).into_iter().zip(blocks(heard));
        blocks
            .flat_map(|(played, mut heard)| {
                voice.render(&played);
                voice.capture(&mut heard);
                heard
            })
            .collect()
    }

    fn quietly(voice: &mut Voice, heard: &[f32]) -> Vec<f32> {
        through(voice, &vec![0.0; heard.len()], heard)
    }

    /// By how many dB the echo is weaker than it was, second by second.
    fn enhancement_db(heard: &[f32], sent: &[f32]) -> Vec<f32> {
        heard.chunks_exact(SECOND).zip(sent.chunks_exact(SECOND)).map(|(h, s)| level_db(h) - level_db(s)).collect()
    }

    fn least(values: &[f32]) -> f32 {
        values.iter().copied().fold(f32::MAX, f32::min)
    }

    #[test]
    fn echo_is_gone_after_a_second_whatever_delay_and_room() {
        let far = far(8);
        let rooms = [(2, 60, 0.5), (20, 50, 1.0), (80, 100, 0.5), (200, 200, 0.5), (400, 50, 0.3)];
        for (delay_ms, tail_ms, loudness) in rooms {
            let heard = room(&far, loudness, delay_ms, tail_ms);
            let enhancement = enhancement_db(&heard, &through(&mut Voice::new(ECHO), &far, &heard));
            println!("{delay_ms} ms, walls until {tail_ms} ms, at {loudness}: {enhancement:.0?}");
            assert!(least(&enhancement[1..]) > 25.0, "{enhancement:?}");
            assert!(enhancement[6..].iter().sum::<f32>() > 2.0 * 35.0, "{enhancement:?}");
        }
    }

    #[test]
    fn an_echo_that_moves_is_found_again_within_two_seconds() {
        let far = far(16);
        for (before_ms, after_ms) in [(20, 80), (80, 20), (20, 200), (200, 20)] {
            let mut heard = room(&far, 0.5, before_ms, 80);
            heard[8 * SECOND..].copy_from_slice(&room(&far, 0.5, after_ms, 80)[8 * SECOND..]);
            let enhancement = enhancement_db(&heard, &through(&mut Voice::new(ECHO), &far, &heard));
            println!("{before_ms} ms, then {after_ms}: {enhancement:.0?}");
            assert!(least(&enhancement[10..]) > 30.0, "{enhancement:?}");
        }
    }

    #[test]
    fn clocks_that_differ_leave_no_echo() {
        let far = far(24);
        for drift in [-300e-6, 300e-6] {
            // The speaker is ahead by 7 ms at the end, so one block more or less is played.
            let rate = 1.0 + drift;
            let echo = room(&far, 0.5, 40, 80);
            let heard: Vec<f32> = (0..20 * SECOND).map(|n| at(&echo, n as f64 * rate)).collect();
            let sent = with_drift(&far, &heard, rate);
            let enhancement = enhancement_db(&heard, &sent);
            println!("drift of {drift}: {enhancement:.0?}");
            assert!(least(&enhancement[2..]) > 20.0, "{enhancement:?}");
        }
    }

    /// Two seconds to find the echo and learn the room; then all that is left of ten seconds of speech.
    #[test]
    fn forty_decibels_of_echo_are_gone_after_two_seconds_though_the_clocks_differ() {
        let far = far(13);
        for (drift, delay_ms, tail_ms) in [(100e-6, 40, 80), (-100e-6, 40, 80), (100e-6, 120, 200), (-100e-6, 20, 120)]
        {
            let rate = 1.0 + drift;
            let echo = echo(&far, 0.5, delay_ms, tail_ms);
            // A quiet room: what hisses is no echo, and would be all that is left of it.
            let hiss = noise(12 * SECOND, HISS / 10.0, 9);
            let echo: Vec<f32> = (0..12 * SECOND).map(|n| at(&echo, n as f64 * rate)).collect();
            let heard = sum(&echo, &hiss);
            let sent = with_drift(&far, &heard, rate);
            let enhancement = enhancement_db(&heard, &sent);
            let overall = level_db(&heard[2 * SECOND..]) - level_db(&sent[2 * SECOND..]);
            println!(
                "{:+.0} ppm, {delay_ms} ms, walls until {tail_ms} ms: {overall:.1} dB; {enhancement:.0?}",
                drift * 1e6
            );
            assert!(overall >= 40.0, "{overall}: {enhancement:?}");
        }
    }

    /// The speaker's blocks come by a clock that is faster than the microphone's.
    fn with_drift(far: &[f32], heard: &[f32], rate: f64) -> Vec<f32> {
        let (mut voice, mut played, mut sent) = (Voice::new(ECHO), blocks(far).into_iter(), Vec::new());
        let mut asked = 0.35;
        for mut block in blocks(heard) {
            asked += rate;
            while asked >= 1.0 {
                asked -= 1.0;
                voice.render(&played.next().unwrap());
            }
            voice.capture(&mut block);
            sent.extend(block);
        }
        sent
    }

    /// The sound between two samples, by a cubic through four.
    fn at(sound: &[f32], place: f64) -> f32 {
        let (whole, part) = (place as usize, place.fract() as f32);
        if whole == 0 {
            return sound[0];
        }
        let [a, b, c, d] = [sound[whole - 1], sound[whole], sound[whole + 1], sound[whole + 2]];
        b + 0.5 * part * (c - a + part * (2.0 * a - 5.0 * b + 4.0 * c - d + part * (3.0 * (b - c) + d - a)))
    }

    #[test]
    fn lost_blocks_and_bursts_let_no_echo_through() {
        let far = far(14);
        let heard = room(&far, 0.5, 40, 80);
        let third = |place: usize| place % 300 == 299;
        let mut sent = [Vec::new(), Vec::new(), Vec::new()];
        let mut voices = [(); 3].map(|()| Voice::new(ECHO));
        let played = blocks(&far);
        for (place, block) in blocks(&heard).into_iter().enumerate() {
            let mut out = [block; 3];
            if !third(place) {
                voices[0].render(&played[place]);
            }
            voices[1].render(&played[place]);
            if third(place) {
                out[1] = [0.0; BLOCK_SAMPLES];
            }
            if place.is_multiple_of(4) {
                played[place..].iter().take(4).for_each(|played| voices[2].render(played));
            }
            for ((voice, out), sent) in voices.iter_mut().zip(&mut out).zip(&mut sent) {
                voice.capture(out);
                sent.extend(out.iter());
            }
        }
        let cases = ["a block in 3 s not rendered", "a block in 3 s not heard", "four blocks rendered at once"];
        for (case, sent) in cases.iter().zip(&sent) {
            let enhancement = enhancement_db(&heard, sent);
            println!("{case}: {enhancement:.0?}");
            assert!(least(&enhancement[2..]) > 20.0, "{case}: {enhancement:?}");
        }
    }

    #[test]
    fn a_microphone_that_stops_for_seconds_brings_no_echo_when_it_comes_back() {
        let far = far(16);
        let heard = room(&far, 0.5, 40, 80);
        let mut voice = Voice::new(ECHO);
        let mut sent = Vec::new();
        for (place, (played, mut block)) in blocks(&far).iter().zip(blocks(&heard)).enumerate() {
            voice.render(played);
            if !(800..1100).contains(&place) {
                voice.capture(&mut block);
            }
            sent.extend(block);
        }
        let enhancement = enhancement_db(&heard, &sent);
        println!("{enhancement:.0?}");
        assert!(least(&enhancement[11..]) > 20.0, "{enhancement:?}");
    }

    #[test]
    fn who_speaks_at_the_same_time_is_heard() {
        let (far, mut near) = (far(20), near(20));
        near[..8 * SECOND].fill(0.0);
        let untouched = quietly(&mut Voice::new(HIGH_PASS), &near);
        // A headset, a laptop, and a loud one.
        for (loudness, least_likeness) in [(0.0, 0.95), (0.1, 0.85), (0.5, 0.75)] {
            let heard = sum(&room(&far, loudness, 40, 80), &near);
            let sent = through(&mut Voice::new(ECHO), &far, &heard);
            let likeness = resemblance(&untouched[8 * SECOND..], &sent[8 * SECOND..]);
            let change = level_db(&sent[8 * SECOND..]) - level_db(&untouched[8 * SECOND..]);
            println!("echo of {loudness}: near speech {change:+.1} dB, likeness {likeness:.3}");
            assert!((-4.0..1.0).contains(&change), "{change}");
            assert!(likeness > least_likeness, "{likeness}");
        }
    }

    #[test]
    fn noise_is_lowered_and_speech_is_not() {
        let clean = far(12);
        let untouched = quietly(&mut Voice::new(HIGH_PASS), &clean);
        for level in [0.003, 0.01] {
            let hiss = noise(clean.len(), level, 5);
            let sent = quietly(&mut Voice::new(NOISE), &hiss);
            let lowered = level_db(&hiss[2 * SECOND..]) - level_db(&sent[2 * SECOND..]);
            let sent = quietly(&mut Voice::new(NOISE), &sum(&clean, &hiss));
            let likeness = resemblance(&untouched[2 * SECOND..], &sent[2 * SECOND..]);
            let change = level_db(&sent[2 * SECOND..]) - level_db(&untouched[2 * SECOND..]);
            println!("noise {lowered:.1} dB lower, speech {change:+.1} dB, likeness {likeness:.3}");
            assert!(lowered > 14.0, "{lowered}");
            assert!(change.abs() < 1.5 && likeness > 0.97, "{change} {likeness}");
        }
    }

    #[test]
    fn quiet_speech_becomes_loud_enough_and_loud_speech_does_not_clip() {
        let speech = far(20);
        let own = level_db(&speech);
        for wanted in [-50.0, -40.0, -30.0, -23.0, -16.0] {
            let spoken = scaled(&speech, 10.0_f32.powf((wanted - own) / 20.0));
            let heard = sum(&spoken, &noise(spoken.len(), HISS / 3.0, 6));
            let sent = quietly(&mut Voice::new(VoiceConfig { noise_suppression: true, ..GAIN }), &heard);
            let level = level_db(&sent[10 * SECOND..]);
            let clipped = sent.iter().filter(|sample| sample.abs() > 0.999).count();
            println!("{wanted} dBFS became {level:.1}; {clipped} samples at full scale");
            assert!((-28.0..-14.0).contains(&level), "{wanted} became {level}");
            assert!(clipped < 20, "{clipped} samples clipped");
        }
    }

    #[test]
    fn with_all_stages_nothing_is_heard_of_the_echo_and_all_of_the_voice() {
        let (far, near) = (far(16), near(16));
        let mut heard = room(&far, 0.5, 60, 100);
        // First the one speaks, then the other.
        let played: Vec<f32> = far.iter().enumerate().map(|(n, s)| if n < 8 * SECOND { *s } else { 0.0 }).collect();
        heard[..8 * SECOND].copy_from_slice(&room(&played, 0.5, 60, 100)[..8 * SECOND]);
        heard[8 * SECOND..].copy_from_slice(&near[8 * SECOND..]);
        let sent = through(&mut Voice::new(VoiceConfig::default()), &played, &heard);
        let (echo, voice) = (level_db(&sent[5 * SECOND..8 * SECOND]), level_db(&sent[10 * SECOND..]));
        println!("echo {echo:.1} dBFS, voice {voice:.1} dBFS");
        assert!(echo < -55.0 && voice > -28.0, "echo {echo}, voice {voice}");
    }

    #[test]
    fn with_all_stages_off_sound_goes_through_bit_by_bit() {
        let heard = sum(&far(2), &noise(2 * SECOND, 0.5, 1));
        assert_eq!(through(&mut Voice::new(VoiceConfig::OFF), &far(2), &heard), heard);
    }

    #[test]
    fn stages_can_be_switched_during_a_call() {
        let heard = blocks(&noise(6 * SECOND, 0.01, 2));
        let mut voice = Voice::new(NOISE);
        let mut levels = Vec::new();
        for (place, mut block) in heard.into_iter().enumerate() {
            if place % 200 == 0 {
                voice.configure([NOISE, VoiceConfig::OFF, NOISE][place / 200]);
            }
            voice.render(&[0.0; BLOCK_SAMPLES]);
            voice.capture(&mut block);
            levels.push(level_db(&block));
        }
        let [first, off, last] = [150..200, 350..400, 550..600].map(|range| levels[range].iter().sum::<f32>() / 50.0);
        assert!(first < -50.0 && (off + 40.0).abs() < 1.0 && last < -50.0, "{first} {off} {last}");
    }

    #[test]
    fn noise_suppression_is_switched_without_letting_the_echo_through() {
        let far = far(12);
        let heard = room(&far, 0.5, 40, 80);
        let with = |noise_suppression| VoiceConfig { noise_suppression, ..ECHO };
        let mut voice = Voice::new(with(false));
        let mut sent = Vec::new();
        for (second, (played, heard)) in far.chunks_exact(SECOND).zip(heard.chunks_exact(SECOND)).enumerate() {
            // On after four seconds, off again after eight.
            voice.configure(with((4..8).contains(&second)));
            sent.extend(through(&mut voice, played, heard));
        }
        let enhancement = enhancement_db(&heard, &sent);
        println!("{enhancement:.0?}");
        assert!(least(&enhancement[2..]) > 25.0, "{enhancement:?}");
        let steps = sent.windows(2).map(|pair| (pair[1] - pair[0]).abs()).skip(2 * SECOND);
        let loudest = steps.fold(0.0, f32::max);
        assert!(loudest < 0.05, "a click of {loudest}");
    }

    #[test]
    fn a_switch_that_is_taken_back_at_once_changes_nothing() {
        let heard = noise(4 * SECOND, 0.01, 2);
        let (mut steady, mut switched) = (Voice::new(NOISE), Voice::new(NOISE));
        let wanted = quietly(&mut steady, &heard);
        let mut sent = quietly(&mut switched, &heard[..2 * SECOND]);
        switched.configure(VoiceConfig { auto_gain_control: true, ..NOISE });
        sent.extend(quietly(&mut switched, &heard[2 * SECOND..2 * SECOND + SECOND / 2]));
        switched.configure(NOISE);
        sent.extend(quietly(&mut switched, &heard[2 * SECOND + SECOND / 2..]));
        assert_eq!(sent, wanted);
    }

    #[test]
    fn samples_that_are_no_numbers_are_forgotten_at_once() {
        let far = far(6);
        let heard = room(&far, 0.5, 40, 80);
        let mut voice = Voice::new(VoiceConfig::default());
        for nonsense in [f32::NAN, f32::INFINITY, -1e30] {
            voice.render(&[nonsense; BLOCK_SAMPLES]);
            let mut block = [nonsense; BLOCK_SAMPLES];
            voice.capture(&mut block);
            assert!(block.iter().all(|sample| (-1.0..=1.0).contains(sample)));
        }
        let enhancement = enhancement_db(&heard, &through(&mut voice, &far, &heard));
        assert!(least(&enhancement[2..]) > 25.0, "{enhancement:?}");
    }
}
