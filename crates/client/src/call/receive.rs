//! Pictures on their way in: packets → assembler → decoder → display, all on the decoder's thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_media::{FrameRate, H264Decoder, SinkSpec, VideoFrame};
use ahoy_rtp::clock::{TimestampUnwrapper, VIDEO_CLOCK_HZ, duration};
use ahoy_rtp::{AssembledFrame, AssemblerConfig, AssemblerEvent, H264Assembler};
use ahoy_transport::{Peer, Track};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::debug;

use super::recording::Recording;
use super::send::PictureInput;
use super::shared::Shared;
use super::worker::{Stop, Worker};
use crate::event::Event;

/// How long the thread waits for a packet before it looks whether it should stop.
const IDLE: Duration = Duration::from_millis(100);

/// The receiving side of the camera's track, for the length of a call.
pub(crate) struct VideoReceive {
    _decoder: Worker,
}

impl VideoReceive {
    /// Starts to decode and show. `echo` gets each picture too.
    pub(crate) fn start(
        packets: super::Packets,
        peer: Peer,
        display: &SinkSpec,
        echo: Option<PictureInput>,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        let decoding = Decoding {
            packets,
            peer,
            runtime: Handle::current(),
            assembler: H264Assembler::new(AssemblerConfig::default()),
            decoder: H264Decoder::new(),
            recording: Recording::new(display.clone()),
            echo: echo.map(Echo::new),
            shared,
            began: Instant::now(),
            shown_one: false,
        };
        Ok(Self { _decoder: Worker::start("decoder", move |stop| decoding.run(&stop))? })
    }
}

/// What the decoder's thread owns.
struct Decoding {
    packets: super::Packets,
    /// For key frames.
    peer: Peer,
    /// For waiting.
    runtime: Handle,
    assembler: H264Assembler,
    decoder: H264Decoder,
    recording: Recording,
    echo: Option<Echo>,
    shared: Arc<Shared>,
    began: Instant,
    shown_one: bool,
}

/// Sends back what is shown, at the distances in which it was taken: decoding takes now longer, now shorter.
struct Echo {
    input: PictureInput,
    timestamps: TimestampUnwrapper,
    /// Time stamp and moment of the first picture.
    first: Option<(i64, Instant)>,
}

impl Echo {
    fn new(input: PictureInput) -> Self {
        Self { input, timestamps: TimestampUnwrapper::default(), first: None }
    }

    fn put(&mut self, frame: VideoFrame, rtp: u32) {
        let ticks = self.timestamps.unwrap(rtp);
        let (first, began) = *self.first.get_or_insert((ticks, Instant::now()));
        // A peer's time stamps may be anything; one from before the first, or beyond all time, counts as the first.
        let since_first = u64::try_from(ticks.saturating_sub(first)).unwrap_or(0);
        let taken_at = began.checked_add(duration(since_first, VIDEO_CLOCK_HZ)).unwrap_or(began);
        self.input.put(frame, taken_at, FrameRate::THIRTY);
    }
}

impl Decoding {
    fn run(mut self, stop: &Stop) {
        while !stop.is_requested() {
            let now = self.began.elapsed();
            let wait = self.assembler.poll_timeout().map_or(IDLE, |at| at.saturating_sub(now).min(IDLE));
            let packet = self.runtime.block_on(async { timeout(wait, self.packets.recv()).await });
            let now = self.began.elapsed();
            match packet {
                Ok(Some(packet)) => self.assembler.push(now, packet),
                // The peer connection is gone; the owner is about to stop this thread.
                Ok(None) => break,
                Err(_) => self.assembler.handle_timeout(now),
            }
            while let Some(event) = self.assembler.poll_event() {
                match event {
                    AssemblerEvent::Frame(frame) => self.decode(&frame),
                    AssemblerEvent::KeyFrameWanted => self.request_key_frame(),
                }
            }
        }
        if let Err(message) = self.recording.finish() {
            self.shared.media_failed(message);
        }
    }

    fn request_key_frame(&self) {
        self.shared.meters.key_frames_requested.count();
        self.peer.request_key_frame(Track::Camera);
    }

    fn decode(&mut self, assembled: &AssembledFrame) {
        match self.decoder.decode(&assembled.data) {
            Ok(Some(frame)) if self.shared.gate().play => self.show(&frame, assembled.rtp),
            // Decoded so that the next picture has its reference, but not to be seen yet.
            Ok(Some(_) | None) => {}
            Err(error) => {
                debug!(%error, "a picture could not be decoded");
                self.assembler.decoder_failed(self.began.elapsed());
            }
        }
    }

    fn show(&mut self, frame: &VideoFrame, rtp: u32) {
        if let Err(message) = self.recording.show(frame, rtp, self.began.elapsed()) {
            self.shared.media_failed(message);
        }
        let (width, height) = (frame.width(), frame.height());
        if !self.shown_one {
            self.shown_one = true;
            self.shared.tell(Event::FirstFrame { call: self.shared.call, rtp, width, height });
        }
        self.shared.meters.frames_shown.count();
        self.shared.tell_frame(Event::FrameShown { rtp, width, height });
        if let Some(echo) = &mut self.echo {
            echo.put(frame.clone(), rtp);
        }
    }
}
