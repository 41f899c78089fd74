//! Pictures on their way out: camera thread → latest → encoder thread → packets. Pictures never queue: the encoder
//! takes the newest.

mod camera;
mod encoding;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ahoy_media::{FrameRate, Latest, SourceSpec, VideoFrame};
use ahoy_rtp::RtpClock;
use ahoy_rtp::clock::VIDEO_CLOCK_HZ;
use ahoy_transport::MediaSender;

use super::shared::Shared;
use super::worker::Worker;
use crate::event::Event;
use encoding::Encoding;

/// A picture waiting for the encoder.
struct Captured {
    rtp: u32,
    taken_at: Instant,
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
        self.latest.put(Captured { rtp, taken_at, rate, frame });
    }
}

/// The sending side of the camera's track, for the length of a call.
pub(crate) struct VideoSend {
    input: PictureInput,
    key_frame_wanted: Arc<AtomicBool>,
    camera: Option<Worker>,
    /// The one before, which may still be letting go of the device.
    closing: Option<Worker>,
    encoder: Worker,
}

impl VideoSend {
    /// Starts the encoder; the camera stays off.
    pub(crate) fn start(sender: MediaSender, shared: Arc<Shared>, seed: u64) -> std::io::Result<Self> {
        let latest = Latest::new();
        let clock = RtpClock::new(VIDEO_CLOCK_HZ, seed as u32);
        let input = PictureInput { latest: latest.clone(), clock, began: Instant::now(), shared: Arc::clone(&shared) };
        let key_frame_wanted = Arc::new(AtomicBool::new(true));
        let wanted = Arc::clone(&key_frame_wanted);
        let encoder = Encoding::new(latest, sender, shared, wanted, (seed >> 32) as u16);
        let worker = Worker::start("encoder", move |stop| encoder.run(&stop))?;
        Ok(Self { input, key_frame_wanted, camera: None, closing: None, encoder: worker })
    }

    /// Where an echo puts the other side's pictures.
    pub(crate) fn input(&self) -> PictureInput {
        self.input.clone()
    }

    /// The other side cannot go on without a key frame.
    pub(crate) fn want_key_frame(&self) {
        self.key_frame_wanted.store(true, Ordering::Relaxed);
    }

    /// Turns the camera on where it is not. Its thread opens it and tells what goes wrong.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn open_camera(&mut self, spec: &SourceSpec) -> std::io::Result<()> {
        if self.camera.is_none() {
            self.camera = Some(camera::start(spec.clone(), self.input.clone(), self.closing.take())?);
        }
        Ok(())
    }

    /// Closes the camera, without waiting for it.
    pub(crate) fn close_camera(&mut self) {
        if let Some(camera) = self.camera.take() {
            camera.request_stop();
            self.closing = Some(camera);
        }
    }

    /// Camera and encoder end soon, without waiting for it.
    pub(crate) fn request_stop(&self) {
        if let Some(camera) = &self.camera {
            camera.request_stop();
        }
        self.encoder.request_stop();
    }
}
