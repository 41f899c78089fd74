//! Opus by libopus: speech at 48 kHz, one channel, frames of 20 ms, with in-band forward error
//! correction. Packets are bare Opus packets, as RFC 7587 puts them into RTP.

use ::opus as libopus;
use libopus::{Application, Bitrate, Channels, Decoder, Encoder, Signal};

use crate::Cause;
use crate::audio::SAMPLE_RATE_HZ;

/// Samples in an ordinary frame: 20 ms, the usual length (RFC 7587 §4.2).
pub const FRAME_SAMPLES: usize = 960;

/// Samples in a short one: 10 ms, the shortest that speech is coded well in (RFC 6716 §2.1.4).
pub const SHORT_FRAME_SAMPLES: usize = 480;

/// An encoder that rests makes packets no longer than this, which need not be sent: their sound is comfort noise.
pub const RESTING_BYTES: usize = 2;

/// The most a packet can hold: 120 ms (RFC 6716 §3.2.5).
pub const MAX_PACKET_SAMPLES: usize = 5760;

/// Full-band speech, transparent to most ears (RFC 7587 §3.1.1 says 28 to 40 kb/s).
pub const DEFAULT_BITRATE_BPS: u32 = 32_000;

/// The lowest and highest Opus knows (RFC 7587 §6.1).
const BITRATES_BPS: (u32, u32) = (6_000, 510_000);

/// Fits into any network packet; at our rates a packet has about 80 bytes.
const MAX_PACKET_BYTES: usize = 1000;

/// The encoder's search effort, 0 to 10. 8 takes 0.2 ms a frame on a laptop.
const COMPLEXITY: i32 = 8;

/// What libopus refused.
#[derive(Debug, thiserror::Error)]
pub enum OpusError {
    /// The codec could not be set up.
    #[error("the Opus codec cannot be set up")]
    SetUp(#[source] Cause),
    /// A frame could not be encoded.
    #[error("the sound cannot be encoded")]
    Encode(#[source] Cause),
    /// The packet is no Opus packet.
    #[error("the packet is no Opus packet")]
    Decode(#[source] Cause),
    /// A packet without a single byte.
    #[error("the packet is empty")]
    EmptyPacket,
}

/// Turns sound into packets. Belongs to one thread.
pub struct OpusEncoder {
    inner: Encoder,
    packet: [u8; MAX_PACKET_BYTES],
}

impl OpusEncoder {
    /// An encoder at [`DEFAULT_BITRATE_BPS`] that expects no loss and does not rest.
    ///
    /// # Errors
    /// If libopus cannot be set up.
    pub fn new() -> Result<Self, OpusError> {
        // Tuned for voice, but not the `Voip` application: that one also filters the low notes
        // away, which is the microphone's business and makes recordings differ from what was sent.
        let set_up = || {
            let mut inner = Encoder::new(SAMPLE_RATE_HZ, Channels::Mono, Application::Audio)?;
            inner.set_signal(Signal::Voice)?;
            inner.set_complexity(COMPLEXITY)?;
            Ok(Self { inner, packet: [0; MAX_PACKET_BYTES] })
        };
        let mut encoder = set_up().map_err(set_up_error)?;
        encoder.set_bitrate_bps(DEFAULT_BITRATE_BPS)?;
        Ok(encoder)
    }

    /// Encodes a frame of [`FRAME_SAMPLES`] or [`SHORT_FRAME_SAMPLES`] into one packet. The length may change from frame
    /// to frame.
    ///
    /// # Errors
    /// If libopus refuses; any length that is none of Opus' it does.
    pub fn encode(&mut self, frame: &[f32]) -> Result<&[u8], OpusError> {
        let encoded = self.inner.encode_float(frame, &mut self.packet);
        let bytes = encoded.map_err(|error| OpusError::Encode(error.into()))?;
        Ok(self.packet.get(..bytes).unwrap_or_default())
    }

    /// Sets the bit rate, brought to what Opus can do, for the next frame on.
    ///
    /// # Errors
    /// If libopus refuses.
    pub fn set_bitrate_bps(&mut self, bitrate_bps: u32) -> Result<(), OpusError> {
        let bits = bitrate_bps.clamp(BITRATES_BPS.0, BITRATES_BPS.1) as i32;
        self.inner.set_bitrate(Bitrate::Bits(bits)).map_err(set_up_error)
    }

    /// How many packets of a hundred the network loses. The more, the more of each frame is
    /// repeated in the next packet, out of the same bit rate; at 32 kb/s something of it from about 10 on. Nothing is at 0.
    ///
    /// # Errors
    /// If libopus refuses.
    pub fn set_expected_loss_percent(&mut self, percent: u32) -> Result<(), OpusError> {
        let set = self.inner.set_inband_fec(percent > 0);
        set.and_then(|()| self.inner.set_packet_loss_perc(percent.min(100) as i32)).map_err(set_up_error)
    }

    /// Whether it rests where nobody has spoken for 0.2 s: packets are of [`RESTING_BYTES`] then, but for one each 0.4 s
    /// that says what the silence sounds like (RFC 6716 §2.1.9).
    ///
    /// # Errors
    /// If libopus refuses.
    pub fn set_resting(&mut self, rests: bool) -> Result<(), OpusError> {
        self.inner.set_dtx(rests).map_err(set_up_error)
    }
}

/// Turns packets into sound, and invents sound for packets that are missing. Call exactly one of
/// its methods for each packet's place in the stream. Belongs to one thread.
pub struct OpusDecoder {
    inner: Decoder,
    sound: Vec<f32>,
}

impl OpusDecoder {
    /// A decoder that has heard nothing yet.
    ///
    /// # Errors
    /// If libopus cannot be set up.
    pub fn new() -> Result<Self, OpusError> {
        let inner = Decoder::new(SAMPLE_RATE_HZ, Channels::Mono).map_err(set_up_error)?;
        Ok(Self { inner, sound: vec![0.0; MAX_PACKET_SAMPLES] })
    }

    /// The sound of a packet: 2.5 to 120 ms, as many samples as it holds. Stereo is mixed down.
    ///
    /// # Errors
    /// If the packet is malformed. The decoder stays usable.
    pub fn decode(&mut self, packet: &[u8]) -> Result<&[f32], OpusError> {
        self.run(packet, MAX_PACKET_SAMPLES, false)
    }

    /// The sound of the lost packet before `next_packet`, from the copy in it; where it has
    /// none, invented as by [`Self::conceal`]. Decode `next_packet` itself afterwards.
    ///
    /// # Errors
    /// If the packet is malformed.
    pub fn decode_fec(&mut self, next_packet: &[u8]) -> Result<&[f32], OpusError> {
        self.run(next_packet, FRAME_SAMPLES, true)
    }

    /// So many samples that continue what was heard, fading out when called again and again; after the packet of an
    /// encoder that rests, noise as it was in the background. A multiple of 2.5 ms, at most [`FRAME_SAMPLES`].
    ///
    /// # Errors
    /// If libopus refuses.
    pub fn conceal(&mut self, samples: usize) -> Result<&[f32], OpusError> {
        self.decode_into(&[], samples.min(FRAME_SAMPLES), false)
    }

    // libopus takes an empty packet for a lost one, which a peer must not be able to ask for.
    fn run(&mut self, packet: &[u8], room: usize, fec: bool) -> Result<&[f32], OpusError> {
        if packet.is_empty() {
            return Err(OpusError::EmptyPacket);
        }
        self.decode_into(packet, room, fec)
    }

    fn decode_into(&mut self, packet: &[u8], room: usize, fec: bool) -> Result<&[f32], OpusError> {
        let room = room.min(self.sound.len());
        let out = &mut self.sound[..room];
        let samples = self.inner.decode_float(packet, out, fec).map_err(|error| OpusError::Decode(error.into()))?;
        let sound = &mut self.sound[..samples.min(room)];
        // Loud passages may exceed full scale after coding.
        for sample in sound.iter_mut() {
            *sample = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
        }
        Ok(sound)
    }
}

fn set_up_error(error: libopus::Error) -> OpusError {
    OpusError::SetUp(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// A voice-like hum: harmonics of 150 Hz that swell and fall.
    fn voice(frames: usize) -> Vec<[f32; FRAME_SAMPLES]> {
        let sample = |n: usize| {
            let time = n as f32 / 48_000.0;
            let swell = 0.6 + 0.4 * (time * 20.0).sin();
            let hum: f32 = (1..12).map(|k| (time * 150.0 * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum();
            hum * swell * 0.15
        };
        (0..frames).map(|frame| std::array::from_fn(|n| sample(frame * FRAME_SAMPLES + n))).collect()
    }

    fn packets(frames: &[[f32; FRAME_SAMPLES]]) -> Vec<Vec<u8>> {
        let mut encoder = OpusEncoder::new().unwrap();
        encoder.set_expected_loss_percent(20).unwrap();
        frames.iter().map(|frame| encoder.encode(frame).unwrap().to_vec()).collect()
    }

    /// The best correlation of two sounds over a shift of up to 20 ms, which covers the codec's delay.
    fn likeness(sent: &[f32], heard: &[f32]) -> f32 {
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let length = sent.len().min(heard.len()) - FRAME_SAMPLES;
        (0..FRAME_SAMPLES)
            .map(|shift| {
                let (sent, heard) = (&sent[..length], &heard[shift..shift + length]);
                product(sent, heard) / (product(sent, sent) * product(heard, heard)).sqrt()
            })
            .fold(0.0, f32::max)
    }

    #[test]
    fn speech_comes_back_as_it_was() {
        let frames = voice(50);
        let mut decoder = OpusDecoder::new().unwrap();
        let mut heard = Vec::new();
        for packet in packets(&frames) {
            assert!(packet.len() < 200, "{} bytes", packet.len());
            heard.extend_from_slice(decoder.decode(&packet).unwrap());
        }
        assert_eq!(heard.len(), 50 * FRAME_SAMPLES);
        let likeness = likeness(&frames[10..].concat(), &heard[10 * FRAME_SAMPLES..]);
        assert!(likeness > 0.95, "{likeness}");
    }

    #[test]
    fn a_lost_packet_is_restored_from_the_next_better_than_invented() {
        let frames = voice(60);
        let packets = packets(&frames);
        let hear = |restore: bool| {
            let mut decoder = OpusDecoder::new().unwrap();
            let mut heard = Vec::new();
            for (place, packet) in packets.iter().enumerate() {
                let lost = |place: usize| place % 5 == 4 && place + 1 < packets.len();
                let sound = match (lost(place), restore) {
                    (false, _) => decoder.decode(packet),
                    (true, true) => decoder.decode_fec(&packets[place + 1]),
                    (true, false) => decoder.conceal(FRAME_SAMPLES),
                };
                let sound = sound.unwrap();
                assert_eq!(sound.len(), FRAME_SAMPLES);
                heard.extend_from_slice(sound);
            }
            likeness(&frames[10..].concat(), &heard[10 * FRAME_SAMPLES..])
        };
        let (restored, invented) = (hear(true), hear(false));
        assert!(restored > 0.9, "restored {restored}, invented {invented}");
        assert!(restored > invented, "restored {restored}, invented {invented}");
    }

    #[test]
    fn concealment_fades_out() {
        let mut decoder = OpusDecoder::new().unwrap();
        for packet in packets(&voice(20)) {
            decoder.decode(&packet).unwrap();
        }
        let loudness = |sound: &[f32]| sound.iter().map(|sample| sample.abs()).fold(0.0, f32::max);
        let first = loudness(decoder.conceal(FRAME_SAMPLES).unwrap());
        for _ in 0..50 {
            decoder.conceal(FRAME_SAMPLES).unwrap();
        }
        let last = loudness(decoder.conceal(FRAME_SAMPLES).unwrap());
        assert!(first > 0.02 && last < first / 4.0, "{first} then {last}");
    }

    #[test]
    fn a_decoder_that_has_heard_nothing_conceals_with_silence() {
        let mut decoder = OpusDecoder::new().unwrap();
        assert_eq!(decoder.conceal(FRAME_SAMPLES).unwrap(), [0.0; FRAME_SAMPLES]);
    }

    #[test]
    fn packets_of_other_lengths_and_stereo_are_understood() {
        for (channels, samples) in [(Channels::Mono, 480), (Channels::Stereo, 960), (Channels::Mono, 2880)] {
            let mut encoder = Encoder::new(SAMPLE_RATE_HZ, channels, Application::Voip).unwrap();
            let packet = encoder.encode_vec_float(&vec![0.1; samples * channels as usize], 1000).unwrap();
            let mut decoder = OpusDecoder::new().unwrap();
            assert_eq!(decoder.decode(&packet).unwrap().len(), samples);
            assert_eq!(decoder.decode_fec(&packet).unwrap().len(), FRAME_SAMPLES);
        }
    }

    #[test]
    fn short_frames_come_back_too_and_the_length_may_change() {
        let frames = voice(40).concat();
        let (mut encoder, mut decoder) = (OpusEncoder::new().unwrap(), OpusDecoder::new().unwrap());
        let (mut heard, mut at) = (Vec::new(), 0);
        while at < frames.len() {
            let length = if at < 20 * FRAME_SAMPLES { SHORT_FRAME_SAMPLES } else { FRAME_SAMPLES };
            let sound = decoder.decode(encoder.encode(&frames[at..][..length]).unwrap()).unwrap().to_vec();
            assert_eq!(sound.len(), length);
            heard.extend(sound);
            at += length;
        }
        let likeness = likeness(&frames[9_600..], &heard[9_600..]);
        assert!(likeness > 0.95, "{likeness}");
    }

    #[test]
    fn who_does_not_talk_rests_and_talk_wakes_at_once() {
        use crate::audio::testing::noise;
        for length in [SHORT_FRAME_SAMPLES, FRAME_SAMPLES] {
            let talk = voice(25).concat();
            let sound = [talk.clone(), noise(96_000, 0.0005, 3), talk].concat();
            let mut encoder = OpusEncoder::new().unwrap();
            encoder.set_resting(true).unwrap();
            let sizes: Vec<usize> =
                sound.chunks_exact(length).map(|frame| encoder.encode(frame).unwrap().len()).collect();
            let at = |samples: usize| samples / length;
            let sent =
                |range: std::ops::Range<usize>| sizes[range].iter().filter(|bytes| **bytes > RESTING_BYTES).count();
            // It takes 0.6 s to be sure that the talk is over.
            let silence = sent(at(24_000 + 36_000)..at(24_000 + 96_000));
            assert!(silence <= 6, "{silence} packets in 1.25 s of silence of {length}: {sizes:?}");
            let begun = sent(at(120_000)..at(120_000) + 4);
            assert!(begun >= 3, "{length}: {sizes:?}");
        }
    }

    #[test]
    fn the_bit_rate_follows_what_is_asked() {
        let frames = voice(100);
        let bits_per_second = |bitrate_bps| {
            let mut encoder = OpusEncoder::new().unwrap();
            encoder.set_bitrate_bps(bitrate_bps).unwrap();
            let bytes: usize = frames.iter().map(|frame| encoder.encode(frame).unwrap().len()).sum();
            bytes * 8 / 2
        };
        assert!(bits_per_second(12_000) < 16_000);
        assert!((18_000..40_000).contains(&bits_per_second(32_000)), "{}", bits_per_second(32_000));
        assert!(bits_per_second(0) < 12_000);
    }

    #[test]
    fn hostile_packets_never_panic_and_never_exceed_their_room() {
        let seed = 0x4f70_7573;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let good = packets(&voice(10));
        let mut decoder = OpusDecoder::new().unwrap();
        assert!(matches!(decoder.decode(&[]), Err(OpusError::EmptyPacket)));
        assert!(matches!(decoder.decode_fec(&[]), Err(OpusError::EmptyPacket)));
        for round in 0..20_000 {
            let packet: Vec<u8> = if round % 2 == 0 {
                let length = random.random_range(1..1500);
                (0..length).map(|_| random.random()).collect()
            } else {
                let mut packet = good[round % good.len()].clone();
                let at = random.random_range(0..packet.len());
                packet[at] ^= 1 << random.random_range(0..8);
                packet
            };
            let sound = match round % 3 {
                0 => decoder.decode_fec(&packet),
                1 => decoder.conceal(FRAME_SAMPLES),
                _ => decoder.decode(&packet),
            };
            if let Ok(sound) = sound {
                assert!(sound.len() <= MAX_PACKET_SAMPLES);
                assert!(sound.iter().all(|sample| (-1.0..=1.0).contains(sample)));
            }
        }
    }
}
