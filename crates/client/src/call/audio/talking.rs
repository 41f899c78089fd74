//! Sound on its way out: microphone → voice (echo, noise, level) → Opus → packets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_media::audio::meter::Level;
use ahoy_media::audio::opus::{FRAME_SAMPLES, OpusError, RESTING_BYTES};
use ahoy_media::audio::voice::{Voice, VoiceConfig};
use ahoy_media::source::SourceError;
use ahoy_media::{AudioBlock, BLOCK_SAMPLES, OpusEncoder, SAMPLE_RATE_HZ, SoundNotice, SoundSource, SourceSpec};
use ahoy_rtp::OpusPacketizer;
use ahoy_transport::MediaSender;
use tracing::{debug, trace};

use super::super::shared::Shared;
use super::protection::Protection;
use crate::media_devices::{DevicesInCall, LevelMeter};

/// Blocks that are sent in one go: a machine that is too slow for its microphone still plays.
const MOST_BLOCKS: usize = 10;

/// Packets in a row that say that nobody talks, before no more are sent: enough for one to come through. Without any the
/// other side takes the pause for loss.
const RESTS_TOLD: u32 = 3;

/// Who is quieter than this for so long listens, and is not sent. Shorter pauses are part of speech: left out, they cost
/// a hundredth or two of ESTOI.
const QUIET_DBFS: f32 = -40.0;
const QUIET_SAMPLES: usize = 3 * SAMPLE_RATE_HZ as usize / 2;

/// The way out.
pub(super) struct Talking {
    devices: Arc<DevicesInCall>,
    microphone: Microphone,
    /// Which it is, open or not.
    spec: SourceSpec,
    voice: Voice,
    encoder: OpusEncoder,
    packetizer: OpusPacketizer,
    /// Up to one Opus frame.
    pending: Vec<f32>,
    sender: MediaSender,
    protection: Protection,
    may_rest: bool,
    /// Samples since somebody spoke.
    quiet: usize,
    /// Frames in a row in which nobody talked.
    rested: u32,
    /// Since when sound may be sent. What was said before is not, however late it comes.
    open_since: Option<Instant>,
}

enum Microphone {
    /// Not opened before anybody may hear it.
    Shut,
    Open(SoundSource),
    /// What is played is what is sent.
    Echo,
    /// Nothing, by choice or because it could not be opened.
    Absent,
}

impl Talking {
    pub(super) fn new(
        spec: SourceSpec,
        echo: bool,
        sender: MediaSender,
        devices: Arc<DevicesInCall>,
        seed: u64,
    ) -> Result<Self, OpusError> {
        // An echo is to arrive as it is.
        let voice = if echo { VoiceConfig::OFF } else { devices.voice_of(&spec) };
        Ok(Self {
            devices,
            microphone: if echo { Microphone::Echo } else { Microphone::Shut },
            spec,
            voice: Voice::new(voice),
            encoder: OpusEncoder::new()?,
            // What is no voice, from a file, is to arrive as it is.
            may_rest: voice != VoiceConfig::OFF,
            quiet: 0,
            packetizer: OpusPacketizer::new((seed >> 32) as u16, seed as u32),
            pending: Vec::with_capacity(FRAME_SAMPLES),
            protection: Protection::new(&sender),
            sender,
            rested: 0,
            open_since: None,
        })
    }

    /// Hears by another microphone, as soon as anybody may hear it, and gives back the one before.
    pub(super) fn use_microphone(&mut self, spec: SourceSpec) -> Option<SoundSource> {
        let voice = self.devices.voice_of(&spec);
        self.spec = spec;
        self.voice = Voice::new(voice);
        self.may_rest = voice != VoiceConfig::OFF;
        match std::mem::replace(&mut self.microphone, Microphone::Shut) {
            Microphone::Open(before) => Some(before),
            Microphone::Shut | Microphone::Echo | Microphone::Absent => None,
        }
    }

    /// What is played is heard otherwise from now on.
    pub(super) fn forget_echo(&mut self) {
        self.voice.forget();
    }

    /// What the microphone has to say.
    pub(super) fn notice(&mut self) -> Option<SoundNotice> {
        match &mut self.microphone {
            Microphone::Open(source) => source.notice(),
            Microphone::Shut | Microphone::Echo | Microphone::Absent => None,
        }
    }

    /// Takes note of a block that was handed to the speaker: its echo is to be known in the microphone.
    pub(super) fn hear(&mut self, played: &AudioBlock, shared: &Shared) {
        match &self.microphone {
            Microphone::Echo => self.send(played, Duration::ZERO, shared),
            Microphone::Open(_) => self.voice.render(played),
            Microphone::Shut | Microphone::Absent => {}
        }
    }

    /// Opens the microphone, once anybody may hear it.
    ///
    /// # Errors
    /// If it cannot even be tried; told once.
    pub(super) fn open(&mut self, shared: &Shared) -> Result<(), SourceError> {
        let Microphone::Shut = &self.microphone else { return Ok(()) };
        if !shared.gate().send.audio {
            return Ok(());
        }
        let opened = self.devices.open_microphone(&self.spec);
        self.microphone = Microphone::Absent;
        if let Some(source) = opened? {
            self.microphone = Microphone::Open(source);
        }
        Ok(())
    }

    /// Sends what the microphone has heard since.
    pub(super) fn speak(&mut self, shared: &Shared, meter: &mut LevelMeter) {
        let mut block = [0.0; BLOCK_SAMPLES];
        if let Microphone::Open(_) = self.microphone {
            // The person may have switched noise suppression.
            self.voice.configure(self.devices.voice_of(&self.spec));
        }
        for _ in 0..MOST_BLOCKS {
            let Microphone::Open(source) = &mut self.microphone else { return };
            if !source.read(&mut block) {
                return;
            }
            // How long ago its last sample was heard.
            let age = source.delay();
            self.voice.capture(&mut block);
            meter.hear(&block, !shared.gate().send.audio);
            self.send(&block, age + self.voice.delay(), shared);
        }
    }

    fn send(&mut self, block: &AudioBlock, age: Duration, shared: &Shared) {
        self.pending.extend(block);
        // Decided at the beginning of a frame and kept to its end.
        if self.pending.len() < self.protection.frame_samples() {
            return;
        }
        // The time stamp is that of the first sample.
        let captured_at = Instant::now().checked_sub(age + lasting(self.pending.len()));
        if self.may_be_sent(captured_at, shared) {
            self.send_frame(captured_at);
        } else {
            self.packetizer.skip(self.pending.len() as u32);
        }
        self.pending.clear();
        self.protection.follow(&self.sender, &mut self.encoder, shared);
    }

    fn send_frame(&mut self, captured_at: Option<Instant>) {
        let samples = self.pending.len() as u32;
        self.rest_if_quiet();
        let payload = match self.encoder.encode(&self.pending) {
            Ok(payload) => payload,
            Err(error) => {
                self.packetizer.skip(samples);
                return debug!(%error, "sound could not be encoded");
            }
        };
        self.rested = if payload.len() <= RESTING_BYTES { self.rested.saturating_add(1) } else { 0 };
        if self.rested > RESTS_TOLD {
            self.packetizer.skip(samples);
            return;
        }
        let copy = self.packetizer.copy().filter(|_| self.protection.copies());
        let packet = self.packetizer.packetize(payload, samples);
        if let Some(captured_at) = captured_at {
            self.sender.set_captured(packet.timestamp, captured_at);
        }
        if let Err(error) = self.sender.send_with_copies(packet, copy.as_slice()) {
            trace!(%error, "a packet of sound was not sent");
        }
    }

    /// Lets the encoder rest once nobody has spoken for a while.
    fn rest_if_quiet(&mut self) {
        let is_quiet = Level::of(&self.pending).rms_dbfs < QUIET_DBFS;
        let before = self.quiet;
        self.quiet = if is_quiet { before.saturating_add(self.pending.len()) } else { 0 };
        let rests = |quiet: usize| quiet >= QUIET_SAMPLES;
        if rests(before) != rests(self.quiet)
            && let Err(error) = self.encoder.set_resting(self.may_rest && rests(self.quiet))
        {
            debug!(%error, "the encoder goes on as it did");
        }
    }

    /// Asked for each packet: a muted microphone is silent from the next 20 ms on. A peer that takes no sound costs no
    /// encoding.
    fn may_be_sent(&mut self, captured_at: Option<Instant>, shared: &Shared) -> bool {
        if !shared.gate().send.audio {
            self.open_since = None;
            return false;
        }
        let open_since = *self.open_since.get_or_insert_with(Instant::now);
        let is_echo = matches!(self.microphone, Microphone::Echo);
        self.sender.codec().is_some() && (is_echo || captured_at.is_some_and(|captured_at| captured_at >= open_since))
    }
}

fn lasting(samples: usize) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE_HZ))
}
