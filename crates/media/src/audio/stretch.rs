//! Makes decoded speech a little shorter or longer at the same pitch, so that the delay of a call can follow the
//! network: a pitch period is left out or played twice where two in a row are alike (WSOLA, Verhelst and Roelands 1993),
//! in the manner of the accelerate and pre-emptive expand of WebRTC's NetEQ. When to do so is decided elsewhere.

use std::ops::Range;

/// What the delay of the call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stretch {
    /// Leave the sound as it is.
    #[default]
    None,
    /// Play in less time, to lower the delay: by so many samples at most.
    Accelerate(usize),
    /// Play in more time, to raise the delay.
    Decelerate,
}

/// Shifts that are tried, in samples: 2.5 to 15 ms, the pitch of voices from 400 down to 67 Hz, as NetEQ has them.
const SHIFTS: Range<usize> = 120..721;

/// How much sound two places must have in common, around and behind the joint: 10 ms.
const COMPARED: usize = 480;

/// One place fades into the other over 5 ms, or a quarter of a shorter frame.
const OVERLAP: usize = 240;

/// How alike they must be, 1 being the same up to loudness. NetEQ's limit, too.
const ALIKE: f32 = 0.9;

/// Rough search on every eighth sample, then an exact one around the best.
const STRIDE: usize = 8;

/// A longer frame is tried again every 20 ms until a joint is found.
const STEP: usize = 960;

/// Kept of what was played: what a joint at the very beginning of a frame is compared with.
const PAST: usize = SHIFTS.end + COMPARED;

/// Voice changes its speed by a fifth at most: after a change this many times its length stays as it is.
const REST: usize = 4;

/// RMS. Below -60 dBFS is silence; what is no louder than twice the background is a pause, up to -40 dBFS.
const SILENT: f32 = 0.001;
const LOUDEST_PAUSE: f32 = 0.01;
const ABOVE_BACKGROUND: f32 = 2.0;

/// Loudness is taken over 2.5 ms, so that a consonant's burst does not pass for a pause.
const GLANCE: usize = 120;

/// The background is the quietest heard, forgotten by 3 dB a second.
const FORGET_PER_SAMPLE: f32 = 0.35 / 48_000.0;

/// Stretches one stream of decoded sound, 48 kHz and one channel, without delaying it.
pub struct Stretcher {
    /// The last [`PAST`] samples played, then those of the call under way.
    line: Vec<f32>,
    /// Every [`STRIDE`] samples of `line` as one.
    rough: Vec<f32>,
    background: f32,
    /// Samples to pass before voice may be changed again.
    rest: usize,
}

/// From `at` the sound goes over to what is at `to`, during `overlap` samples. Places in the line.
#[derive(Debug, Clone, Copy)]
struct Joint {
    at: usize,
    to: usize,
    overlap: usize,
    alike: f32,
}

/// Where a joint at the first place leads to when shifted by the second: forwards or back.
type Direction = fn(usize, usize) -> usize;

impl Default for Stretcher {
    fn default() -> Self {
        Self { line: vec![0.0; PAST], rough: Vec::new(), background: SILENT / 2.0, rest: 0 }
    }
}

impl Stretcher {
    /// A stretcher that has heard silence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a decoded packet's `samples` to the end of `out`, longer or shorter as wished by 15 ms at most. All packet
    /// lengths of Opus will do, but from 10 ms down only higher voices and pauses can be shortened. Returns how many
    /// samples were added (above 0) or left out (below 0); 0 where it would be heard.
    pub fn stretch(&mut self, samples: &[f32], wish: Stretch, out: &mut impl Extend<f32>) -> i32 {
        self.line.extend_from_slice(samples);
        let pause = self.is_pause(samples);
        let joint = match wish {
            Stretch::None => None,
            Stretch::Accelerate(most) => self.joint(samples.len(), pause, most, |at, shift| at + shift),
            Stretch::Decelerate => self.joint(samples.len(), pause, SHIFTS.end, |at, shift| at - shift),
        };
        self.rest = self.rest.saturating_sub(samples.len());
        let change = match joint {
            None => {
                out.extend(samples.iter().copied());
                0
            }
            Some(joint) => {
                self.play(joint, out);
                if !pause {
                    self.rest = joint.at.abs_diff(joint.to) * REST;
                }
                joint.at as i32 - joint.to as i32
            }
        };
        self.line.drain(..samples.len());
        change
    }

    /// Whether nobody speaks in `samples`; also learns the background from it.
    fn is_pause(&mut self, samples: &[f32]) -> bool {
        let forgotten = self.background * (1.0 + FORGET_PER_SAMPLE * samples.len() as f32);
        self.background = rms(samples).min(forgotten).max(SILENT / ABOVE_BACKGROUND);
        let limit = (self.background * ABOVE_BACKGROUND).min(LOUDEST_PAUSE);
        samples.chunks(GLANCE).all(|glance| rms(glance) <= limit)
    }

    fn joint(&mut self, samples: usize, pause: bool, most: usize, direction: Direction) -> Option<Joint> {
        let overlap = OVERLAP.min(samples / 4);
        if pause {
            // Any place will do.
            let shift = SHIFTS.end.saturating_sub(1).min(samples - overlap).min(most);
            let to = direction(PAST, shift);
            let alike = likeness(&self.line, PAST, to, overlap, COMPARED).max(0.0);
            return Some(Joint { at: PAST, to, overlap, alike });
        }
        if self.rest > 0 || most < SHIFTS.start {
            return None;
        }
        self.rough.clear();
        self.rough.extend(self.line.chunks_exact(STRIDE).map(|chunk| chunk.iter().sum::<f32>()));
        (PAST..PAST + samples).step_by(STEP).find_map(|at| self.repetition(at, overlap, most, direction))
    }

    /// The shift after which the sound around `at` comes again, if it does.
    fn repetition(&self, at: usize, overlap: usize, most: usize, direction: Direction) -> Option<Joint> {
        let fits = |shift: &usize| *shift <= most && direction(at, *shift) + overlap <= self.line.len();
        let (rough, _) = best(SHIFTS.step_by(STRIDE).filter(fits), |shift| {
            let to = direction(at, shift) / STRIDE;
            likeness(&self.rough, at / STRIDE, to, overlap / STRIDE, COMPARED / STRIDE)
        })?;
        let around = (rough - STRIDE).max(SHIFTS.start)..(rough + STRIDE).min(SHIFTS.end);
        let (shift, alike) =
            best(around.filter(fits), |shift| likeness(&self.line, at, direction(at, shift), overlap, COMPARED))?;
        (alike >= ALIKE).then_some(Joint { at, to: direction(at, shift), overlap, alike })
    }

    fn play(&self, joint: Joint, out: &mut impl Extend<f32>) {
        let Joint { at, to, overlap, alike } = joint;
        out.extend(self.line[PAST..at].iter().copied());
        out.extend((0..overlap).map(|n| {
            let (from, into) = (self.line[at + n], self.line[to + n]);
            let weight = (n + 1) as f32 / (overlap + 1) as f32;
            // What is alike adds up in amplitude, what is not in power: keep the loudness either way.
            let power = weight * weight + (1.0 - weight) * (1.0 - weight) + 2.0 * weight * (1.0 - weight) * alike;
            (from * (1.0 - weight) + into * weight) / power.sqrt()
        }));
        out.extend(self.line[to + overlap..].iter().copied());
    }
}

fn best(shifts: impl Iterator<Item = usize>, alike: impl Fn(usize) -> f32) -> Option<(usize, f32)> {
    shifts.map(|shift| (shift, alike(shift))).max_by(|a, b| a.1.total_cmp(&b.1))
}

/// How alike the sound is at two places, from -1 to 1: normalised correlation over `length` samples that end
/// `overlap` samples behind each.
fn likeness(sound: &[f32], at: usize, to: usize, overlap: usize, length: usize) -> f32 {
    let around = |place: usize| &sound[place + overlap - length..place + overlap];
    let (mut product, mut here, mut there) = (0.0, 0.0, 0.0);
    for (a, b) in around(at).iter().zip(around(to)) {
        product += a * b;
        here += a * a;
        there += b * b;
    }
    if here * there > 0.0 { product / (here * there).sqrt() } else { 0.0 }
}

fn rms(sound: &[f32]) -> f32 {
    (sound.iter().map(|sample| sample * sample).sum::<f32>() / sound.len().max(1) as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::testing::{largest_step, level_db, noise, speech};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    const FRAME: usize = 960;

    fn sine(hz: f32, samples: usize) -> Vec<f32> {
        (0..samples).map(|n| 0.3 * (f64::from(hz) * n as f64 / 48_000.0 * std::f64::consts::TAU).sin() as f32).collect()
    }

    /// All of `sound` in frames of `frame` samples, each with the same wish, and by how many samples it changed.
    fn stretched(sound: &[f32], frame: usize, wish: Stretch) -> (Vec<f32>, i32) {
        let mut stretcher = Stretcher::new();
        let mut out = Vec::new();
        let change = sound.chunks(frame).map(|samples| stretcher.stretch(samples, wish, &mut out)).sum();
        (out, change)
    }

    /// The median pitch where somebody speaks: from the shift at which 30 ms are most like themselves.
    fn pitch_hz(sound: &[f32]) -> f32 {
        let mut periods: Vec<usize> = sound
            .windows(2 * 1440)
            .step_by(480)
            .filter(|window| rms(window) > 0.03)
            .filter_map(|window| {
                let (period, alike) = best(120..721, |shift| likeness(window, 0, shift, 1440, 1440))?;
                (alike > 0.9).then_some(period)
            })
            .collect();
        periods.sort_unstable();
        48_000.0 / periods[periods.len() / 2] as f32
    }

    /// The loudest change of slope: what a joint that does not fit makes large, and speech of 16 kHz does not have.
    fn sharpest_bend(sound: &[f32]) -> f32 {
        sound.windows(3).map(|three| (three[0] - 2.0 * three[1] + three[2]).abs()).fold(0.0, f32::max)
    }

    /// Levels in dB of the bands of an octave each from 125 Hz to 8 kHz.
    fn spectrum_db(sound: &[f32]) -> Vec<f32> {
        let power = |hz: f32| {
            let turn = std::f32::consts::TAU * hz / 48_000.0;
            let windows = sound.chunks_exact(1024).map(|window| {
                let (mut re, mut im) = (0.0, 0.0);
                for (n, sample) in window.iter().enumerate() {
                    let (sin, cos) = (turn * n as f32).sin_cos();
                    let hann = 0.5 - 0.5 * (n as f32 * std::f32::consts::TAU / 1024.0).cos();
                    re += sample * hann * cos;
                    im += sample * hann * sin;
                }
                re * re + im * im
            });
            windows.sum::<f32>() / (sound.len() / 1024) as f32
        };
        [125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0]
            .map(|low| 10.0 * (0..6).map(|k| power(low * 2.0_f32.powf((k as f32 + 0.5) / 6.0))).sum::<f32>().log10())
            .to_vec()
    }

    #[test]
    fn tones_keep_their_pitch_and_their_smoothness() {
        for hz in [90.0, 220.0, 440.0, 1000.0, 2730.0] {
            let sound = sine(hz, 4 * 48_000);
            for wish in [Stretch::Accelerate(usize::MAX), Stretch::Decelerate] {
                let (out, change) = stretched(&sound, FRAME, wish);
                let rises = out.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
                let heard_hz = rises as f32 * 48_000.0 / out.len() as f32;
                let share = change.unsigned_abs() as f32 / sound.len() as f32;
                println!("{hz} Hz {wish:?}: {heard_hz:.1} Hz, {:.1} %", share * 100.0);
                assert!((heard_hz / hz - 1.0).abs() < 0.005, "{hz} Hz became {heard_hz}");
                assert!((0.05..0.201).contains(&share), "{hz} Hz {wish:?}: changed by {share}");
                assert!(largest_step(&out) < 1.1 * largest_step(&sound), "{hz} Hz {wish:?}: a click");
            }
        }
    }

    #[test]
    fn speech_keeps_its_pitch_its_spectrum_and_its_smoothness() {
        for voice_hz in [16_000, 22_000] {
            let sound = speech(voice_hz);
            for wish in [Stretch::Accelerate(usize::MAX), Stretch::Decelerate] {
                let (out, change) = stretched(&sound, FRAME, wish);
                let share = change.unsigned_abs() as f32 / sound.len() as f32;
                let (pitch, heard) = (pitch_hz(&sound), pitch_hz(&out));
                println!("{wish:?}: {:.1} %, pitch {pitch:.1} and then {heard:.1} Hz", share * 100.0);
                assert!((0.08..0.25).contains(&share), "{wish:?}: changed by {share}");
                assert!((heard / pitch - 1.0).abs() < 0.03, "{wish:?}: {pitch} Hz became {heard}");
                for (before, after) in spectrum_db(&sound).iter().zip(spectrum_db(&out)) {
                    assert!((after - before).abs() < 1.5, "{wish:?}: {before:.1} dB became {after:.1}");
                }
                let (before, after) = (sharpest_bend(&sound), sharpest_bend(&out));
                assert!(after < 1.2 * before, "{wish:?}: a click of {after}, {before} before");
            }
        }
    }

    #[test]
    fn a_pause_is_shortened_fast_and_lengthened_fast() {
        for level in [0.0001, 0.0008] {
            let pause = noise(48_000, level, 1);
            let (short, _) = stretched(&pause, FRAME, Stretch::Accelerate(usize::MAX));
            let (long, _) = stretched(&pause, FRAME, Stretch::Decelerate);
            assert!(short.len() < 16_000, "{}", short.len());
            assert!(long.len() > 80_000, "{}", long.len());
            for out in [short, long] {
                assert!((level_db(&out) - level_db(&pause)).abs() < 1.0, "{}", level_db(&out));
            }
        }
    }

    #[test]
    fn a_noisy_room_is_learnt_and_its_pauses_are_shortened_too() {
        let room = noise(20 * 48_000, 0.004, 2);
        let mut stretcher = Stretcher::new();
        let mut out = Vec::new();
        let changes: Vec<i32> = room
            .chunks(FRAME)
            .map(|samples| stretcher.stretch(samples, Stretch::Accelerate(usize::MAX), &mut out))
            .collect();
        assert_eq!(changes[..100].iter().sum::<i32>(), 0, "noise might be a whisper");
        assert!(changes[900..].iter().sum::<i32>() < -50_000, "{:?}", &changes[900..]);
    }

    #[test]
    fn a_short_sound_in_silence_is_not_swallowed() {
        let mut sound = noise(10 * 48_000, 0.0001, 3);
        for start in (0..sound.len() - 4800).step_by(4871) {
            let burst = noise(144, 0.1, start as u64);
            sound[start..start + 144].copy_from_slice(&burst);
        }
        let energy = |sound: &[f32]| f64::from(rms(sound)).powi(2) * sound.len() as f64;
        let (out, change) = stretched(&sound, FRAME, Stretch::Accelerate(usize::MAX));
        assert!(change < -100_000, "{change}");
        assert!((energy(&out) / energy(&sound) - 1.0).abs() < 0.05, "{} of {}", energy(&out), energy(&sound));
    }

    #[test]
    fn what_does_not_repeat_itself_is_left_alone() {
        let hiss = noise(48_000, 0.1, 4);
        for wish in [Stretch::Accelerate(usize::MAX), Stretch::Decelerate] {
            let (out, change) = stretched(&hiss, FRAME, wish);
            assert_eq!(change, 0);
            assert_eq!(out, hiss);
        }
    }

    #[test]
    fn every_packet_length_is_taken_and_the_count_is_exact() {
        let seed = 0x7374_7265;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let sound = speech(16_000);
        let mut stretcher = Stretcher::new();
        let mut rest = sound.as_slice();
        while !rest.is_empty() {
            let length = [0, 1, 120, 240, 480, 960, 1920, 2880, 5760][random.random_range(0..9)];
            let (samples, after) = rest.split_at(rest.len().min(length));
            rest = after;
            let wish = [Stretch::None, Stretch::Accelerate(usize::MAX), Stretch::Decelerate][random.random_range(0..3)];
            let mut out = Vec::new();
            let change = stretcher.stretch(samples, wish, &mut out);
            assert_eq!(out.len() as i32, samples.len() as i32 + change);
            match wish {
                Stretch::None => assert_eq!(out, samples),
                Stretch::Accelerate(_) => assert!((-720..=0).contains(&change), "{change}"),
                Stretch::Decelerate => assert!((0..=720).contains(&change), "{change}"),
            }
        }
    }

    #[test]
    fn long_and_short_packets_of_a_voice_are_stretched_too() {
        let sound = speech(16_000);
        for (frame, least) in [(240, 0.01), (480, 0.02), (1920, 0.05), (2880, 0.05), (5760, 0.03)] {
            for wish in [Stretch::Accelerate(usize::MAX), Stretch::Decelerate] {
                let share = stretched(&sound, frame, wish).1.unsigned_abs() as f32 / sound.len() as f32;
                println!("{frame} {wish:?}: {:.1} %", share * 100.0);
                assert!(share > least, "{frame} {wish:?}: {share}");
            }
        }
    }
}
