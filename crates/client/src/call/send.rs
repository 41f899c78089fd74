//! Pictures on their way out: camera thread → latest → encoder thread → packets. Pictures never queue: the encoder
//! takes the newest. The camera belongs to [`crate::MediaDevices`].

mod encoding;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ahoy_media::{FrameRate, Latest, VideoFrame};
use ahoy_rtp::RtpClock;
use ahoy_rtp::clock::VIDEO_CLOCK_HZ;
use ahoy_transport::MediaSender;

use super::fault::Part;
use super::guarded;
use super::shared::Shared;
use crate::event::Event;
use crate::worker::Worker;
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
    /// Hands a picture to the encoder, in place of one that it has not taken yet, if the camera may be seen now. The
    /// time stamp that it is sent with, if it is.
    pub(crate) fn put(&self, frame: VideoFrame, taken_at: Instant, rate: FrameRate) -> Option<u32> {
        if !self.shared.gate().send.video {
            return None;
        }
        let rtp = self.clock.at(taken_at.saturating_duration_since(self.began));
        let number = self.shared.meters.frames_captured.count();
        self.shared.tell_frame(Event::FrameCaptured { number, rtp });
        self.latest.put(Captured { rtp, taken_at, rate, frame });
        Some(rtp)
    }

    /// Tells the call that no pictures come.
    pub(crate) fn tell_failed(&self, message: String) {
        self.shared.media_failed(message);
    }

    /// Tells the call that they come again, or from another camera.
    pub(crate) fn tell_changed(&self, message: String) {
        self.shared.tell(Event::DeviceChanged { call: self.shared.call, message });
    }
}

#[cfg(test)]
impl PictureInput {
    /// Of a call with this gate, without anybody who takes the pictures.
    pub(crate) fn behind(gate: tokio::sync::watch::Receiver<ahoy_call::Gate>, call: ahoy_protocol::id::CallId) -> Self {
        let (reports, _) = tokio::sync::mpsc::channel(1);
        let shared = Arc::new(Shared::new(call, gate, reports, None));
        Self { latest: Latest::new(), clock: RtpClock::new(VIDEO_CLOCK_HZ, 7), began: Instant::now(), shared }
    }

    /// How many pictures were let in.
    pub(crate) fn captured(&self) -> u64 {
        self.shared.meters.frames_captured.read()
    }
}

/// The sending side of the camera's track, for the length of a call.
pub(crate) struct VideoSend {
    input: PictureInput,
    key_frame_wanted: Arc<AtomicBool>,
    encoder: Worker,
}

impl VideoSend {
    /// Starts the encoder.
    pub(crate) fn start(sender: MediaSender, shared: Arc<Shared>, seed: u64) -> std::io::Result<Self> {
        let latest = Latest::new();
        let clock = RtpClock::new(VIDEO_CLOCK_HZ, seed as u32);
        let input = PictureInput { latest: latest.clone(), clock, began: Instant::now(), shared: Arc::clone(&shared) };
        let key_frame_wanted = Arc::new(AtomicBool::new(true));
        let wanted = Arc::clone(&key_frame_wanted);
        let encoder = Encoding::new(latest, sender, Arc::clone(&shared), wanted, (seed >> 32) as u16);
        let worker = guarded::start(Part::Encoder, &shared, move |stop| encoder.run(stop))?;
        Ok(Self { input, key_frame_wanted, encoder: worker })
    }

    /// Where the camera, or an echo, puts pictures.
    pub(crate) fn input(&self) -> PictureInput {
        self.input.clone()
    }

    /// The other side cannot go on without a key frame.
    pub(crate) fn want_key_frame(&self) {
        self.key_frame_wanted.store(true, Ordering::Relaxed);
    }

    /// The encoder ends soon, without waiting for it.
    pub(crate) fn request_stop(&self) {
        self.encoder.request_stop();
    }
}
