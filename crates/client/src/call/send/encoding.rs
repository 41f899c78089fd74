//! The encoder's thread: newest picture in, packets out, in the codec that was agreed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ahoy_media::convert::Scaler;
use ahoy_media::video::ladder::{Circumstances, Ladder, Rung};
use ahoy_media::{EncodedFrame, FrameRate, Latest, VideoCodec, VideoEncoder};
use ahoy_rtp::{FramePacketizer, PictureFormat};
use ahoy_transport::MediaSender;
use tracing::{debug, trace};

use super::super::codec::of_pictures;
use super::super::fault::{self, Part};
use super::super::in_words;
use super::super::shared::Shared;
use super::Captured;
use crate::worker::Stop;

/// How long the thread waits for a picture before it looks whether it should stop.
const IDLE: Duration = Duration::from_millis(100);

/// A picture that would wait longer on its way is left out: the next one is newer.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// What a picture that asks whether the path answers keeps to, in bits a second, and of so many packets.
const ASKING_BPS: u32 = 100_000;
const ASKING_PACKETS: usize = 4;

/// How much the last picture counts in how long encoding takes: half a second's average.
const LOAD_AVERAGED: f64 = 1.0 / 15.0;

/// What the thread owns.
pub(super) struct Encoding {
    latest: Latest<Captured>,
    sender: MediaSender,
    shared: Arc<Shared>,
    key_frame_wanted: Arc<AtomicBool>,
    packetizer: FramePacketizer,
    scaler: Scaler,
    coder: Option<Coder>,
    ladder: Ladder,
    /// When the next picture is due at the chosen frame rate, since the call began.
    next_at: Duration,
    /// How long scaling and encoding take, in seconds, averaged.
    encoding_s: f64,
    /// A picture could not be encoded, and that was told.
    failed: bool,
}

/// An encoder and what it was made for.
struct Coder {
    codec: VideoCodec,
    encoder: Box<dyn VideoEncoder>,
}

/// Why a picture is not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LeftOut {
    /// It would wait on its way, and those behind it with it.
    WouldWait,
    /// The path carries fewer pictures a second.
    NotDue,
}

/// How a picture is to be sent.
#[derive(Clone, Copy)]
struct Plan {
    rung: Rung,
    rate: FrameRate,
    bitrate_bps: u32,
    /// Of so many packets at least, if it is not too short.
    packets: usize,
}

impl Encoding {
    pub(super) fn new(
        latest: Latest<Captured>,
        sender: MediaSender,
        shared: Arc<Shared>,
        key_frame_wanted: Arc<AtomicBool>,
        first_sequence: u16,
    ) -> Self {
        let packetizer = FramePacketizer::new(first_sequence);
        Self {
            latest,
            sender,
            shared,
            key_frame_wanted,
            packetizer,
            scaler: Scaler::new(),
            coder: None,
            ladder: Ladder::new(),
            next_at: Duration::ZERO,
            encoding_s: 0.0,
            failed: false,
        }
    }

    pub(super) fn run(mut self, stop: &Stop) {
        while !stop.is_requested() {
            fault::here(Part::Encoder);
            // The owner closes nothing: it stops the thread.
            let Ok(captured) = self.latest.take_timeout(IDLE) else { continue };
            // A peer that takes no pictures, or none in these codecs, costs no encoding.
            let codec = self.sender.codec().and_then(of_pictures);
            if let Some((codec, format)) = codec
                && self.shared.gate().send.video
            {
                self.send(&captured, codec, format);
            }
        }
    }

    fn send(&mut self, captured: &Captured, codec: VideoCodec, format: PictureFormat) {
        let plan = match self.plan(captured) {
            Ok(plan) => plan,
            // The encoder counts on this one.
            Err(LeftOut::WouldWait) => return self.coder.iter_mut().for_each(|coder| coder.encoder.skip()),
            Err(LeftOut::NotDue) => return,
        };
        let encoded = match self.encode(captured, codec, plan) {
            Ok(Some(encoded)) => encoded,
            Ok(None) => return,
            Err(message) => {
                debug!(message, "a picture could not be encoded");
                if !std::mem::replace(&mut self.failed, true) {
                    self.shared.media_failed(format!("your picture is not sent: {message}"));
                }
                return;
            }
        };
        self.sender.set_captured(captured.rtp, captured.taken_at);
        let mut all_sent = true;
        for packet in self.packetizer.packetize_into(plan.packets, format, &encoded.data, captured.rtp) {
            if let Err(error) = self.sender.send(packet) {
                // The receiver sees the gap and asks for a key frame.
                trace!(%error, "a packet was not sent");
                all_sent = false;
            }
        }
        if let Some(coder) = &mut self.coder {
            coder.encoder.give_back(encoded.data);
        }
        if all_sent {
            self.shared.meters.frames_sent.count();
        }
    }

    /// How to send this picture, if it is sent.
    fn plan(&mut self, captured: &Captured) -> Result<Plan, LeftOut> {
        let now = self.shared.now();
        let size = (captured.frame.width(), captured.frame.height());
        let budget = self.sender.picture_budget();
        let bitrate_bps = budget.map_or(u32::MAX, |budget| budget.bitrate_bps);
        if bitrate_bps == 0 || budget.is_some_and(|budget| budget.wait > LONGEST_WAIT) {
            return Err(LeftOut::WouldWait);
        }
        let captured_fps = captured.rate.fps().round() as u32;
        let load = self.encoding_s * captured.rate.fps();
        let circumstances =
            Circumstances { captured: size, captured_fps, bitrate_bps, shown: self.shared.shown(), load };
        let rung = self.ladder.choose(now, &circumstances);
        let rate = FrameRate::new(rung.fps.max(1), 1).unwrap_or(captured.rate);
        let rate = if rung.fps >= captured_fps { captured.rate } else { rate };
        // Half a picture's time of grace: cameras are not even.
        let interval = Duration::from_secs_f64(1.0 / rate.fps());
        if now + Duration::from_secs_f64(0.5 / captured.rate.fps()) < self.next_at {
            return Err(LeftOut::NotDue);
        }
        self.next_at = (self.next_at + interval).max(now);
        let is_asking = budget.is_some_and(|budget| budget.is_asking);
        let (most_bps, packets) = if is_asking { (ASKING_BPS, ASKING_PACKETS) } else { (rung.worth_bps(), 1) };
        Ok(Plan { rung, rate, bitrate_bps: bitrate_bps.min(most_bps), packets })
    }

    fn encode(&mut self, captured: &Captured, codec: VideoCodec, plan: Plan) -> Result<Option<EncodedFrame>, String> {
        let Plan { rung, rate, bitrate_bps, .. } = plan;
        let began = Instant::now();
        let frame = self.scaler.scale(&captured.frame, rung.width, rung.height).map_err(|e| in_words(&e))?;
        let force_key = self.key_frame_wanted.swap(false, Ordering::Relaxed);
        let coder = match self.coder.take() {
            Some(coder) if coder.codec == codec => self.coder.insert(coder),
            Some(_) | None => {
                let encoder = codec.encoder(bitrate_bps, rate).map_err(|e| in_words(&e))?;
                self.coder.insert(Coder { codec, encoder })
            }
        };
        coder.encoder.set_frame_rate(rate);
        coder.encoder.set_bitrate_bps(bitrate_bps);
        let encoded = coder.encoder.encode(&frame, force_key);
        if force_key && !matches!(&encoded, Ok(Some(encoded)) if encoded.key) {
            // Still owed.
            self.key_frame_wanted.store(true, Ordering::Relaxed);
        }
        self.encoding_s += (began.elapsed().as_secs_f64() - self.encoding_s) * LOAD_AVERAGED;
        encoded.map_err(|e| in_words(&e))
    }
}
