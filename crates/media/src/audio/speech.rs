//! From a peer's Opus packets to sound that can be listened to whatever comes: losses fade out instead of droning, what
//! comes after them fades in, and packets full of noise are held to a bearable level. Which packet is due is the jitter
//! buffer's business.

use crate::audio::SAMPLE_RATE_HZ;
use crate::audio::opus::{FRAME_SAMPLES, MAX_PACKET_SAMPLES, OpusDecoder, OpusError};

/// Invented sound is left as it is for 40 ms and is gone after 120. What libopus makes of a loss fades as well, most
/// often by 6 dB in 40 ms and by 32 in 100; but of some vowels by 17 only, and then it goes on as a noise.
const HELD_SAMPLES: usize = 2 * FRAME_SAMPLES;
const FADED_SAMPLES: usize = 6 * FRAME_SAMPLES;

/// Real sound is back at full loudness after 5 ms, and what is cut off is silent after as long.
const RAMP_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 200;

/// The loudest that is played, as RMS: -8 dBFS. Speech lies around -20, its loudest 20 ms around -11; random bytes
/// taken for Opus reach 0.
const LOUDEST: f32 = 0.4;

/// Loudness is taken over about 5 ms where it rises and 20 ms where it falls.
const RISE_SAMPLES: f32 = 240.0;
const FALL_SAMPLES: f32 = 960.0;

/// Decodes one peer's speech. Call exactly one of its methods for each packet's place in the stream; each gives the
/// sound for that place. Belongs to one thread.
pub struct SpeechDecoder {
    opus: OpusDecoder,
    sound: Vec<f32>,
    /// Samples invented since the last real one.
    invented: usize,
    /// What the last sample was multiplied with for fading.
    gain: f32,
    /// Mean square of what was decoded, lately.
    power: f32,
}

impl SpeechDecoder {
    /// A decoder that has heard nothing yet.
    ///
    /// # Errors
    /// If libopus cannot be set up.
    pub fn new() -> Result<Self, OpusError> {
        let sound = Vec::with_capacity(MAX_PACKET_SAMPLES);
        Ok(Self { opus: OpusDecoder::new()?, sound, invented: FADED_SAMPLES, gain: 0.0, power: 0.0 })
    }

    /// The sound of a packet, 2.5 to 120 ms. One that is no Opus counts as lost.
    pub fn decode(&mut self, packet: &[u8]) -> &[f32] {
        self.sound.clear();
        match self.opus.decode(packet) {
            Ok(sound) => self.sound.extend_from_slice(sound),
            Err(error) => {
                tracing::debug!(%error, "a packet of sound could not be decoded");
                return self.conceal(FRAME_SAMPLES);
            }
        }
        self.fade_in()
    }

    /// So many samples while the sender rests: the noise of its background, which does not fade. At most
    /// [`FRAME_SAMPLES`], in steps of 2.5 ms.
    pub fn comfort_noise(&mut self, samples: usize) -> &[f32] {
        self.invent(samples);
        self.fade_in()
    }

    /// The 20 ms of the lost packet before `next_packet`, from the copy in that. Decode `next_packet` itself afterwards.
    pub fn decode_fec(&mut self, next_packet: &[u8]) -> &[f32] {
        self.sound.clear();
        match self.opus.decode_fec(next_packet) {
            Ok(sound) => self.sound.extend_from_slice(sound),
            Err(error) => {
                tracing::debug!(%error, "the copy of a lost packet could not be decoded");
                return self.conceal(FRAME_SAMPLES);
            }
        }
        self.fade_in()
    }

    /// So many samples in place of a lost packet: what was heard goes on, and fades out when packets stay away. At most
    /// [`FRAME_SAMPLES`], in steps of 2.5 ms.
    pub fn conceal(&mut self, samples: usize) -> &[f32] {
        self.invent(samples);
        for sample in &mut self.sound {
            let left = FADED_SAMPLES.saturating_sub(self.invented) as f32;
            self.invented += 1;
            let most = (left / (FADED_SAMPLES - HELD_SAMPLES) as f32).min(1.0);
            // Not louder than it was: packets may be lost while sound is still coming back.
            self.gain = self.gain.min(most);
            *sample *= self.gain;
        }
        self.limit()
    }

    /// 20 ms of silence: nobody speaks, or nothing may be heard. What was heard ends without a click.
    pub fn silence(&mut self) -> &[f32] {
        if self.gain > 0.0 {
            self.invent(FRAME_SAMPLES);
        } else {
            self.sound.clear();
            self.sound.resize(FRAME_SAMPLES, 0.0);
        }
        self.invented = FADED_SAMPLES;
        for sample in &mut self.sound {
            self.gain = (self.gain - 1.0 / RAMP_SAMPLES as f32).max(0.0);
            *sample *= self.gain;
        }
        self.limit()
    }

    fn invent(&mut self, samples: usize) {
        let samples = samples.min(FRAME_SAMPLES);
        self.sound.clear();
        match self.opus.conceal(samples) {
            Ok(sound) => self.sound.extend_from_slice(sound),
            Err(error) => {
                tracing::debug!(%error, "nothing could be invented for a lost packet");
                self.sound.resize(samples, 0.0);
            }
        }
    }

    fn fade_in(&mut self) -> &[f32] {
        self.invented = 0;
        for sample in &mut self.sound {
            self.gain = (self.gain + 1.0 / RAMP_SAMPLES as f32).min(1.0);
            *sample *= self.gain;
        }
        self.limit()
    }

    /// Turns down what is louder than speech ever is. Sets in within 3 ms and touches nothing else.
    fn limit(&mut self) -> &[f32] {
        for sample in &mut self.sound {
            let change = *sample * *sample - self.power;
            self.power += change / if change > 0.0 { RISE_SAMPLES } else { FALL_SAMPLES };
            let loudness = self.power.sqrt();
            if loudness > LOUDEST {
                *sample *= LOUDEST / loudness;
            }
        }
        &self.sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::opus::OpusEncoder;
    use crate::audio::testing::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn packets(sound: &[f32]) -> Vec<Vec<u8>> {
        let mut encoder = OpusEncoder::new().unwrap();
        let frames = sound.chunks_exact(FRAME_SAMPLES);
        frames.map(|frame| encoder.encode(frame).unwrap().to_vec()).collect()
    }

    fn tone(samples: usize) -> Vec<f32> {
        (0..samples).map(|n| 0.25 * (n as f32 / 48_000.0 * 440.0 * std::f32::consts::TAU).sin()).collect()
    }

    /// What is heard when `lost` of ten packets in a row, each time the same ones, never come.
    fn heard_with_losses(packets: &[Vec<u8>], lost: std::ops::Range<usize>) -> Vec<f32> {
        let mut decoder = SpeechDecoder::new().unwrap();
        let mut heard = Vec::new();
        for (place, packet) in packets.iter().enumerate() {
            match lost.contains(&(place % 20)) {
                true => heard.extend_from_slice(decoder.conceal(FRAME_SAMPLES)),
                false => heard.extend_from_slice(decoder.decode(packet)),
            }
        }
        heard
    }

    #[test]
    fn without_losses_speech_is_what_the_codec_makes_of_it() {
        let packets = packets(&speech(16_000));
        let heard = heard_with_losses(&packets, 0..0);
        let mut codec = OpusDecoder::new().unwrap();
        let decoded: Vec<f32> = packets.iter().flat_map(|packet| codec.decode(packet).unwrap().to_vec()).collect();
        assert_eq!(heard[RAMP_SAMPLES..], decoded[RAMP_SAMPLES..]);
    }

    #[test]
    fn a_lost_packet_is_bridged_and_a_long_loss_fades_to_silence() {
        for (name, sound) in [("speech", speech(16_000)), ("tone", tone(480_000))] {
            let mut decoder = SpeechDecoder::new().unwrap();
            let (mut bridged, mut before) = (Vec::new(), Vec::new());
            for packet in packets(&sound).chunks_exact(20) {
                let last = packet.iter().fold(-120.0, |_, packet| level_db(decoder.decode(packet)));
                let steps: Vec<f32> = (0..10).map(|_| level_db(decoder.conceal(FRAME_SAMPLES))).collect();
                assert!(steps[6..].iter().all(|level| *level < -100.0), "{name}: {steps:.1?}");
                if last < -30.0 {
                    continue;
                }
                println!("{name}: {last:.0} dBFS, then {steps:.0?}");
                assert!(
                    steps.iter().all(|level| *level < last + 2.0),
                    "{name}: it swells after {last:.1}: {steps:.1?}"
                );
                assert!(steps[3] < last - 10.0, "{name}: it drones after {last:.1}: {steps:.1?}");
                assert!(steps[5] < last - 20.0, "{name}: it drones after {last:.1}: {steps:.1?}");
                before.push(last);
                bridged.push(steps[0]);
            }
            let mean = |levels: &[f32]| levels.iter().sum::<f32>() / levels.len() as f32;
            assert!(before.len() > 5);
            assert!(mean(&bridged) > mean(&before) - 9.0, "{name}: {:.1} after {:.1}", mean(&bridged), mean(&before));
        }
    }

    #[test]
    fn who_rests_is_heard_as_the_noise_of_the_background_for_as_long_as_it_lasts() {
        let background = noise(96_000, 0.003, 4);
        let mut encoder = OpusEncoder::new().unwrap();
        encoder.set_resting(true).unwrap();
        let mut decoder = SpeechDecoder::new().unwrap();
        let mut levels = Vec::new();
        let (spoken, mut resting) = (speech(16_000)[..96_000].to_vec(), 0);
        for frame in [spoken, background].concat().chunks_exact(FRAME_SAMPLES) {
            let packet = encoder.encode(frame).unwrap();
            let is_resting = packet.len() <= crate::audio::opus::RESTING_BYTES;
            let sound =
                if is_resting && resting > 0 { decoder.comfort_noise(FRAME_SAMPLES) } else { decoder.decode(packet) };
            resting = if is_resting { resting + 1 } else { 0 };
            levels.push((is_resting, level_db(sound)));
        }
        let rested: Vec<f32> = levels[110..].iter().filter(|(rests, _)| *rests).map(|(_, level)| *level).collect();
        println!("{} of {} steps rested: {rested:.0?}", rested.len(), levels.len() - 110);
        assert!(rested.len() > 40);
        let mean = rested.iter().sum::<f32>() / rested.len() as f32;
        assert!(
            (-68.0..-40.0).contains(&mean),
            "the background is at {:.0}: {mean:.0}",
            level_db(&noise(9_600, 0.003, 4))
        );
    }

    #[test]
    fn sound_goes_and_comes_back_without_a_click() {
        let sound = tone(480_000);
        let smooth = largest_step(&sound);
        let packets = packets(&sound);
        for lost in [1..2, 1..3, 1..4, 1..9, 1..20] {
            let heard = heard_with_losses(&packets, lost.clone());
            let step = largest_step(&heard[9600..]);
            println!("{lost:?} of 20 lost: the largest step is {step:.4}, of the tone itself {smooth:.4}");
            assert!(step < 2.5 * smooth, "{lost:?}: {step} against {smooth}");
        }
    }

    #[test]
    fn silence_ends_what_was_heard_without_a_click_and_is_silent_from_then_on() {
        let packets = packets(&tone(48_000));
        let mut decoder = SpeechDecoder::new().unwrap();
        assert_eq!(decoder.silence(), [0.0; FRAME_SAMPLES]);
        let mut heard = Vec::new();
        for _ in 0..2 {
            packets[..20].iter().for_each(|packet| heard.extend_from_slice(decoder.decode(packet)));
            heard.extend_from_slice(decoder.silence());
            assert_eq!(decoder.silence(), [0.0; FRAME_SAMPLES]);
            heard.extend([0.0; FRAME_SAMPLES]);
        }
        let step = largest_step(&heard);
        assert!(step < 0.0361, "2.5 times the steepest of the tone: {step}");
    }

    #[test]
    fn garbage_is_never_louder_than_bearable_and_the_next_good_packets_are_heard() {
        let seed = 0x6761_7262;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let good = packets(&speech(16_000));
        let mut decoder = SpeechDecoder::new().unwrap();
        let mut loudest = -120.0_f32;
        for round in 0..6_000 {
            let mut packet = good[round % good.len()].clone();
            match round % 4 {
                0 => packet = (0..random.random_range(0..1500)).map(|_| random.random()).collect(),
                1 => packet.truncate(random.random_range(0..packet.len())),
                2 => (0..8).for_each(|_| {
                    let at = random.random_range(0..packet.len());
                    packet[at] ^= 1 << random.random_range(0..8);
                }),
                _ => packet[0] = random.random(),
            }
            let sound = match round % 7 {
                6 => decoder.decode_fec(&packet),
                _ => decoder.decode(&packet),
            };
            assert!(!sound.is_empty() && sound.len() <= MAX_PACKET_SAMPLES);
            assert!(sound.iter().all(|sample| (-1.0..=1.0).contains(sample)));
            for piece in sound.chunks_exact(FRAME_SAMPLES) {
                loudest = loudest.max(level_db(piece));
            }
        }
        println!("the loudest 20 ms: {loudest:.1} dBFS");
        assert!(loudest < -5.5, "{loudest}");
        let heard: Vec<f32> = good.iter().flat_map(|packet| decoder.decode(packet).to_vec()).collect();
        let mut clean = SpeechDecoder::new().unwrap();
        let meant: Vec<f32> = good.iter().flat_map(|packet| clean.decode(packet).to_vec()).collect();
        assert!(resemblance(&meant[48_000..], &heard[48_000..]) > 0.99);
    }
}
