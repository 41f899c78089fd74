//! Sound on its way in: packets → jitter buffer → decoder → stretcher → speaker, a block of 10 ms whenever one is due.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_media::audio::opus::OpusError;
use ahoy_media::audio::speech::SpeechDecoder;
use ahoy_media::audio::stretch::{self, Stretcher};
use ahoy_media::{AudioBlock, BLOCK_SAMPLES, SAMPLE_RATE_HZ, SoundNotice, SoundSink};
use ahoy_rtp::{JitterBuffer, Playout, Pull, Stretch};
use ahoy_transport::Codec;

use super::super::shared::Shared;

const SAMPLES_PER_MS: u64 = SAMPLE_RATE_HZ as u64 / 1000;

/// The way in.
pub(super) struct Listening {
    packets: super::super::Packets,
    jitter: JitterBuffer,
    decoder: SpeechDecoder,
    stretcher: Stretcher,
    /// Decoded and not played yet: less than a block after each step, but for packets longer than that.
    ready: VecDeque<f32>,
    speaker: SoundSink,
}

impl Listening {
    pub(super) fn new(speaker: SoundSink, packets: super::super::Packets) -> Result<Self, OpusError> {
        Ok(Self {
            packets,
            jitter: JitterBuffer::new(),
            decoder: SpeechDecoder::new()?,
            stretcher: Stretcher::new(),
            ready: VecDeque::new(),
            speaker,
        })
    }

    /// Plays on this one from now on, and gives back the one before.
    pub(super) fn use_speaker(&mut self, speaker: SoundSink) -> SoundSink {
        std::mem::replace(&mut self.speaker, speaker)
    }

    /// What the speaker has to say.
    pub(super) fn notice(&mut self) -> Option<SoundNotice> {
        self.speaker.notice()
    }

    /// Plays a block if one is due, and returns it.
    pub(super) fn step(&mut self, shared: &Shared) -> Option<AudioBlock> {
        let now = shared.now();
        while let Ok(received) = self.packets.try_recv() {
            match received.codec {
                Codec::Red => self.jitter.push_redundant(now, received.packet),
                Codec::Opus => self.jitter.push(now, received.packet),
                // No track of sound is in them.
                Codec::H264 | Codec::Vp8 => {}
            }
        }
        if !self.speaker.is_due() {
            return None;
        }
        let mut block = [0.0; BLOCK_SAMPLES];
        if shared.gate().play {
            self.jitter.set_min_delay(shared.lip_sync.min_sound_delay());
            self.fill(&mut block, now);
            self.report(now, shared);
        }
        self.speaker.play(&block);
        Some(block)
    }

    fn fill(&mut self, block: &mut AudioBlock, now: Duration) {
        while self.ready.len() < BLOCK_SAMPLES {
            let pull = self.jitter.pull(now, self.ready.len() as u32);
            self.decode(&pull);
        }
        for (sample, decoded) in block.iter_mut().zip(self.ready.drain(..BLOCK_SAMPLES)) {
            *sample = decoded;
        }
    }

    fn decode(&mut self, pull: &Pull) {
        let sound = match &pull.playout {
            Playout::Decode(packet) => self.decoder.decode(packet),
            Playout::DecodeFec(next) => self.decoder.decode_fec(next),
            Playout::Conceal(samples) => self.decoder.conceal(*samples as usize),
            Playout::ComfortNoise(samples) => self.decoder.comfort_noise(*samples as usize),
            Playout::Silence => self.decoder.silence(),
        };
        let wish = match pull.stretch {
            Stretch::None => stretch::Stretch::None,
            Stretch::Accelerate { at_most } => stretch::Stretch::Accelerate(at_most as usize),
            Stretch::Decelerate => stretch::Stretch::Decelerate,
        };
        self.stretcher.stretch(sound, wish, &mut self.ready);
    }

    /// For the picture, which is to be seen when this is heard, and for the statistics.
    fn report(&self, now: Duration, shared: &Shared) {
        let queued = Duration::from_secs_f64(self.ready.len() as f64 / f64::from(SAMPLE_RATE_HZ));
        let block = Duration::from_millis(10);
        let stats = self.jitter.stats();
        if let Some(rtp) = self.jitter.playing() {
            // The block that goes to the speaker next comes before what is queued and what is still to be decoded.
            shared.lip_sync.sound_heard(rtp, now + block + queued + self.speaker.delay(), stats.delay);
        }
        let meters = &shared.meters;
        meters.concealed_ms.set(stats.concealed_samples / SAMPLES_PER_MS);
        meters.recovered_ms.set(stats.recovered_samples / SAMPLES_PER_MS);
        meters.sound_delay_us.set((stats.delay + self.speaker.delay()).as_micros() as u64);
    }
}
