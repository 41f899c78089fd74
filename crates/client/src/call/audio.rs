//! Sound, both ways, on one thread that is its own clock: every 10 ms a block to the speaker and one from the microphone.
//! With a sound card its callback will be the clock; with files the thread keeps to the time of day itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ahoy_media::audio::opus::{FRAME_SAMPLES, OpusError};
use ahoy_media::{AudioBlock, BLOCK_SAMPLES, OpusDecoder, OpusEncoder, SinkSpec, SoundSink, SoundSource, SourceSpec};
use ahoy_rtp::jitter::{SILENCE_SAMPLES, STEP_SAMPLES};
use ahoy_rtp::{JitterBuffer, OpusPacketizer, Playout};
use ahoy_transport::MediaSender;
use tracing::debug;

use super::shared::Shared;
use super::worker::{Stop, Worker};

/// One step of the thread.
const STEP: Duration = Duration::from_millis(10);
/// A thread that was kept from running for longer than this lets the time in between go.
const LONGEST_CATCH_UP: Duration = Duration::from_secs(1);
const STEP_MS: usize = STEP_SAMPLES as usize / 48;

/// Where sound comes from and goes to.
pub(crate) struct Ends {
    pub(crate) microphone: SourceSpec,
    pub(crate) speaker: SinkSpec,
    /// Send what is played instead of what the microphone hears.
    pub(crate) echo: bool,
}

/// The sound of a call, for its length.
pub(crate) struct Audio {
    _thread: Worker,
}

impl Audio {
    /// Opens both ends and starts the thread. An end that cannot be opened is told of; the other works without it.
    ///
    /// # Errors
    /// When there can be no sound at all, in words.
    pub(crate) fn start(
        ends: &Ends,
        sender: MediaSender,
        receiver: super::Packets,
        shared: Arc<Shared>,
        seed: u64,
    ) -> Result<Self, String> {
        let microphone = match ends.echo {
            true => None,
            false => SoundSource::open(&ends.microphone).unwrap_or_else(|error| {
                shared.media_failed(super::in_words(&error));
                None
            }),
        };
        let speaker = SoundSink::open(&ends.speaker).unwrap_or_else(|error| {
            shared.media_failed(super::in_words(&error));
            None
        });
        let talking = Talking {
            microphone,
            echo: ends.echo,
            encoder: OpusEncoder::new().map_err(|e| super::in_words(&e))?,
            packetizer: OpusPacketizer::new((seed >> 32) as u16, seed as u32),
            pending: Vec::with_capacity(FRAME_SAMPLES),
            sender,
        };
        let listening = Listening {
            receiver,
            jitter: JitterBuffer::new(),
            decoder: OpusDecoder::new().map_err(|e| super::in_words(&e))?,
            ready: VecDeque::new(),
            speaker,
        };
        let thread = Worker::start("audio", move |stop| run(talking, listening, &shared, &stop));
        Ok(Self { _thread: thread.map_err(|e| format!("no thread for the sound: {e}"))? })
    }
}

fn run(mut talking: Talking, mut listening: Listening, shared: &Shared, stop: &Stop) {
    let began = Instant::now();
    let mut next = began;
    while !stop.is_requested() {
        let heard = listening.step(began.elapsed(), shared);
        talking.step(&heard, shared);
        next += STEP;
        let now = Instant::now();
        if now.saturating_duration_since(next) > LONGEST_CATCH_UP {
            next = now;
        }
        sleep(next.saturating_duration_since(now));
    }
}

/// The way in.
struct Listening {
    receiver: super::Packets,
    jitter: JitterBuffer,
    decoder: OpusDecoder,
    /// Decoded and not played yet.
    ready: VecDeque<f32>,
    speaker: Option<SoundSink>,
}

impl Listening {
    fn step(&mut self, now: Duration, shared: &Shared) -> AudioBlock {
        while let Ok(packet) = self.receiver.try_recv() {
            self.jitter.push(now, packet);
        }
        let mut block = [0.0; BLOCK_SAMPLES];
        if !shared.gate().play {
            return block;
        }
        while self.ready.len() < BLOCK_SAMPLES {
            let playout = self.jitter.pull(now, self.ready.len() as u32).playout;
            if let Err(error) = self.decode(playout) {
                // Garbage from a peer: silence in its place.
                debug!(%error, "a packet of sound could not be decoded");
                self.ready.extend([0.0; BLOCK_SAMPLES]);
            }
        }
        for (sample, decoded) in block.iter_mut().zip(self.ready.drain(..BLOCK_SAMPLES)) {
            *sample = decoded;
        }
        let stats = self.jitter.stats();
        shared.meters.concealed_ms.set(stats.concealed * STEP_MS as u64);
        self.play(&block, shared);
        block
    }

    fn decode(&mut self, playout: Playout) -> Result<(), OpusError> {
        let sound = match &playout {
            Playout::Decode(packet) => self.decoder.decode(packet)?,
            Playout::DecodeFec(next) => self.decoder.decode_fec(next)?,
            Playout::Conceal => self.decoder.conceal()?,
            Playout::Silence => &[0.0; SILENCE_SAMPLES as usize],
        };
        self.ready.extend(sound);
        Ok(())
    }

    fn play(&mut self, block: &AudioBlock, shared: &Shared) {
        if let Some(speaker) = &mut self.speaker
            && let Err(error) = speaker.play(block)
        {
            shared.media_failed(format!("the speaker stopped: {}", super::in_words(&error)));
            self.speaker = None;
        }
    }
}

/// The way out.
struct Talking {
    microphone: Option<SoundSource>,
    echo: bool,
    encoder: OpusEncoder,
    packetizer: OpusPacketizer,
    /// Up to one Opus frame.
    pending: Vec<f32>,
    sender: MediaSender,
}

impl Talking {
    fn step(&mut self, heard: &AudioBlock, shared: &Shared) {
        let Some(block) = self.read(heard, shared) else {
            self.packetizer.skip(BLOCK_SAMPLES as u32);
            return;
        };
        self.pending.extend(block);
        let Ok(frame) = <&[f32; FRAME_SAMPLES]>::try_from(self.pending.as_slice()) else { return };
        // Asked for each packet: a muted microphone is silent from the next 20 ms on.
        if shared.gate().send.audio {
            match self.encoder.encode(frame) {
                Ok(payload) => {
                    let packet = self.packetizer.packetize(payload.into(), STEP_SAMPLES);
                    if let Err(error) = self.sender.send(packet) {
                        debug!(%error, "a packet of sound was not sent");
                    }
                }
                Err(error) => debug!(%error, "sound could not be encoded"),
            }
        } else {
            self.packetizer.skip(STEP_SAMPLES);
        }
        self.pending.clear();
    }

    fn read(&mut self, heard: &AudioBlock, shared: &Shared) -> Option<AudioBlock> {
        if self.echo {
            return Some(*heard);
        }
        // The source of a file begins with the call, not before anybody may hear it.
        if self.pending.is_empty() && !shared.gate().send.audio {
            return None;
        }
        let microphone = self.microphone.as_mut()?;
        let mut block = [0.0; BLOCK_SAMPLES];
        match microphone.read(&mut block) {
            Ok(()) => Some(block),
            Err(error) => {
                shared.media_failed(format!("the microphone stopped: {}", super::in_words(&error)));
                self.microphone = None;
                None
            }
        }
    }
}
