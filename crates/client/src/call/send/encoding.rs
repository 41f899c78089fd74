//! The encoder's thread: newest picture in, packets out, in the codec that was agreed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ahoy_media::convert::{Scaler, fit_within};
use ahoy_media::video::encoder::default_bitrate_bps;
use ahoy_media::{EncodedFrame, FrameRate, Latest, VideoCodec, VideoEncoder};
use ahoy_rtp::{FramePacketizer, PictureFormat};
use ahoy_transport::MediaSender;
use tracing::{debug, trace};

use super::super::codec::of_pictures;
use super::super::in_words;
use super::super::shared::Shared;
use super::Captured;
use crate::worker::Stop;

/// How long the thread waits for a picture before it looks whether it should stop.
const IDLE: Duration = Duration::from_millis(100);

/// What the thread owns.
pub(super) struct Encoding {
    latest: Latest<Captured>,
    sender: MediaSender,
    shared: Arc<Shared>,
    key_frame_wanted: Arc<AtomicBool>,
    packetizer: FramePacketizer,
    scaler: Scaler,
    coder: Option<Coder>,
    /// A picture could not be encoded, and that was told.
    failed: bool,
}

/// An encoder and what it was made for.
struct Coder {
    codec: VideoCodec,
    rate: FrameRate,
    encoder: Box<dyn VideoEncoder>,
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
        Self { latest, sender, shared, key_frame_wanted, packetizer, scaler: Scaler::new(), coder: None, failed: false }
    }

    pub(super) fn run(mut self, stop: &Stop) {
        while !stop.is_requested() {
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
        let encoded = match self.encode(captured, codec) {
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
        for packet in self.packetizer.packetize(format, &encoded.data, captured.rtp) {
            if let Err(error) = self.sender.send(packet) {
                // The receiver sees the gap and asks for a key frame.
                trace!(%error, "a packet was not sent");
                all_sent = false;
            }
        }
        if all_sent {
            self.shared.meters.frames_sent.count();
        }
    }

    fn encode(&mut self, captured: &Captured, codec: VideoCodec) -> Result<Option<EncodedFrame>, String> {
        let (width, height) = largest_size(captured.frame.width(), captured.frame.height());
        let frame = self.scaler.scale(&captured.frame, width, height).map_err(|e| in_words(&e))?;
        let bitrate_bps = default_bitrate_bps(width, height);
        let force_key = self.key_frame_wanted.swap(false, Ordering::Relaxed);
        let coder = match self.coder.take() {
            Some(coder) if coder.rate == captured.rate && coder.codec == codec => self.coder.insert(coder),
            Some(_) | None => {
                let encoder = codec.encoder(bitrate_bps, captured.rate).map_err(|e| in_words(&e))?;
                self.coder.insert(Coder { codec, rate: captured.rate, encoder })
            }
        };
        coder.encoder.set_bitrate_bps(bitrate_bps);
        let encoded = coder.encoder.encode(&frame, force_key);
        if force_key && !matches!(&encoded, Ok(Some(encoded)) if encoded.key) {
            // Still owed.
            self.key_frame_wanted.store(true, Ordering::Relaxed);
        }
        encoded.map_err(|e| in_words(&e))
    }
}

/// The size to send a picture at: its own, or what level 3.1 carries (1280x720 in either orientation).
fn largest_size(width: u32, height: u32) -> (u32, u32) {
    if width >= height { fit_within(width, height, 1280, 720) } else { fit_within(width, height, 720, 1280) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_sent_at_their_size_up_to_720p_in_either_orientation() {
        assert_eq!(largest_size(640, 480), (640, 480));
        assert_eq!(largest_size(1920, 1080), (1280, 720));
        assert_eq!(largest_size(1080, 1920), (720, 1280));
        assert_eq!(largest_size(1024, 1024), (720, 720));
    }
}
