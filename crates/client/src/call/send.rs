//! Pictures on their way out: camera thread → latest → encoder thread → packets. Pictures never queue: the encoder
//! takes the newest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ahoy_media::convert::{Scaler, fit_within};
use ahoy_media::video::encoder::{EncodeError, default_bitrate_bps};
use ahoy_media::{EncodedFrame, FrameRate, H264Encoder, Latest, PictureSource, SourceSpec, VideoFrame};
use ahoy_rtp::clock::VIDEO_CLOCK_HZ;
use ahoy_rtp::{H264Packetizer, RtpClock};
use ahoy_transport::{Codec, MediaSender};
use tracing::{debug, trace};

use super::shared::Shared;
use super::worker::{Stop, Worker};
use crate::event::Event;

/// How long the encoder thread waits for a picture before it looks whether it should stop.
const IDLE: Duration = Duration::from_millis(100);

/// A picture waiting for the encoder.
struct Captured {
    rtp: u32,
    rate: FrameRate,
    frame: VideoFrame,
}

/// Where pictures enter: the camera's thread, or the other side's pictures in an echo.
#[derive(Clone)]
pub(crate) struct PictureInput {
    latest: Latest<Captured>,
    clock: RtpClock,
    began: Instant,
    shared: Arc<Shared>,
}

impl PictureInput {
    /// Hands a picture to the encoder, in place of one that it has not taken yet, if the camera may be seen now.
    pub(crate) fn put(&self, frame: VideoFrame, taken_at: Instant, rate: FrameRate) {
        if !self.shared.gate().send.video {
            return;
        }
        let rtp = self.clock.at(taken_at.saturating_duration_since(self.began));
        let number = self.shared.meters.frames_captured.count();
        self.shared.tell_frame(Event::FrameCaptured { number, rtp });
        self.latest.put(Captured { rtp, rate, frame });
    }
}

/// The sending side of the camera's track, for the length of a call.
pub(crate) struct VideoSend {
    input: PictureInput,
    key_frame_wanted: Arc<AtomicBool>,
    camera: Option<Worker>,
    _encoder: Worker,
}

impl VideoSend {
    /// Starts the encoder; the camera stays off.
    pub(crate) fn start(sender: MediaSender, shared: Arc<Shared>, seed: u64) -> std::io::Result<Self> {
        let latest = Latest::new();
        let clock = RtpClock::new(VIDEO_CLOCK_HZ, seed as u32);
        let input = PictureInput { latest: latest.clone(), clock, began: Instant::now(), shared: Arc::clone(&shared) };
        let key_frame_wanted = Arc::new(AtomicBool::new(true));
        let encoder = Encoding {
            latest,
            sender,
            shared,
            key_frame_wanted: Arc::clone(&key_frame_wanted),
            packetizer: H264Packetizer::new((seed >> 32) as u16),
            scaler: Scaler::new(),
            encoder: None,
        };
        let worker = Worker::start("encoder", move |stop| encoder.run(&stop))?;
        Ok(Self { input, key_frame_wanted, camera: None, _encoder: worker })
    }

    /// Where an echo puts the other side's pictures.
    pub(crate) fn input(&self) -> PictureInput {
        self.input.clone()
    }

    /// The other side cannot go on without a key frame.
    pub(crate) fn want_key_frame(&self) {
        self.key_frame_wanted.store(true, Ordering::Relaxed);
    }

    /// Opens the camera where it is not open yet.
    pub(crate) fn open_camera(&mut self, spec: &SourceSpec) -> Result<(), String> {
        if self.camera.is_some() {
            return Ok(());
        }
        let Some(source) = PictureSource::open(spec).map_err(|e| super::in_words(&e))? else { return Ok(()) };
        let input = self.input.clone();
        let worker = Worker::start("camera", move |stop| capture(source, &input, &stop));
        self.camera = Some(worker.map_err(|e| format!("no thread for the camera: {e}"))?);
        Ok(())
    }

    /// Closes the camera. Its thread ends within a picture's time; it is joined elsewhere, so that nobody waits.
    pub(crate) fn close_camera(&mut self) {
        if let Some(camera) = self.camera.take() {
            camera.request_stop();
            tokio::task::spawn_blocking(move || drop(camera));
        }
    }
}

fn capture(mut source: PictureSource, input: &PictureInput, stop: &Stop) {
    let rate = source.rate();
    while !stop.is_requested() {
        match source.next_frame() {
            Ok(captured) => input.put(captured.frame, captured.captured_at, rate),
            Err(error) => {
                input.shared.media_failed(format!("the camera stopped: {}", super::in_words(&error)));
                return;
            }
        }
    }
}

/// What the encoder's thread owns.
struct Encoding {
    latest: Latest<Captured>,
    sender: MediaSender,
    shared: Arc<Shared>,
    key_frame_wanted: Arc<AtomicBool>,
    packetizer: H264Packetizer,
    scaler: Scaler,
    encoder: Option<(H264Encoder, FrameRate)>,
}

impl Encoding {
    fn run(mut self, stop: &Stop) {
        while !stop.is_requested() {
            // The owner closes nothing: it stops the thread.
            let Ok(captured) = self.latest.take_timeout(IDLE) else { continue };
            // A peer that takes no pictures, or none in this codec, costs no encoding.
            if self.shared.gate().send.video && self.sender.codec() == Some(Codec::H264) {
                self.send(&captured);
            }
        }
    }

    fn send(&mut self, captured: &Captured) {
        let encoded = match self.encode(captured) {
            Ok(Some(encoded)) => encoded,
            Ok(None) => return,
            Err(message) => {
                debug!(message, "a picture could not be encoded");
                return;
            }
        };
        let mut all_sent = true;
        for packet in self.packetizer.packetize(&encoded.data, captured.rtp) {
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

    fn encode(&mut self, captured: &Captured) -> Result<Option<EncodedFrame>, String> {
        let (width, height) = largest_size(captured.frame.width(), captured.frame.height());
        let frame = self.scaler.scale(&captured.frame, width, height).map_err(|e| super::in_words(&e))?;
        let bitrate_bps = default_bitrate_bps(width, height);
        let (encoder, _) = match self.encoder.take() {
            Some((encoder, rate)) if rate == captured.rate => self.encoder.insert((encoder, rate)),
            Some(_) | None => self.encoder.insert((H264Encoder::new(bitrate_bps, captured.rate), captured.rate)),
        };
        encoder.set_bitrate_bps(bitrate_bps);
        let force_key = self.key_frame_wanted.swap(false, Ordering::Relaxed);
        encoder.encode(&frame, force_key).map_err(|e: EncodeError| super::in_words(&e))
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
