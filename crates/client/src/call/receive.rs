//! Pictures on their way in: packets → assembler → decoder → the moment when their sound is heard → display, all on the
//! decoder's thread.

mod echo;
mod reports;
mod stream;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use ahoy_media::{SinkSpec, VideoFrame};
use ahoy_transport::{Codec, Peer, ReceivedPacket, Track};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::debug;

use super::recording::Recording;
use super::send::PictureInput;
use super::shared::Shared;
use super::worker::{Stop, Worker};
use crate::event::Event;
use echo::Echo;
use reports::Reports;
use stream::{Stream, StreamEvent};
use waiting::{Picture, Waiting};

/// How long the thread waits for a packet before it looks whether it should stop.
const IDLE: Duration = Duration::from_millis(100);

/// The receiving side of the camera's track, for the length of a call.
pub(crate) struct VideoReceive {
    decoder: Worker,
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
            reports: Reports::of(&peer),
            peer,
            runtime: Handle::current(),
            streams: Vec::new(),
            current: 0,
            waiting: Waiting::default(),
            recording: Recording::new(display.clone()),
            echo: echo.map(Echo::new),
            shared,
            shown_one: false,
        };
        Ok(Self { decoder: Worker::start("decoder", move |stop| decoding.run(&stop))? })
    }

    /// Ends soon, without waiting for it.
    pub(crate) fn request_stop(&self) {
        self.decoder.request_stop();
    }
}

/// What the decoder's thread owns.
struct Decoding {
    packets: super::Packets,
    reports: Reports,
    /// For key frames.
    peer: Peer,
    /// For waiting.
    runtime: Handle,
    /// One for each codec that came: a peer that changes back and forth finds each as it was.
    streams: Vec<Stream>,
    /// Which of them came last.
    current: usize,
    waiting: Waiting,
    recording: Recording,
    echo: Option<Echo>,
    shared: Arc<Shared>,
    shown_one: bool,
}

impl Decoding {
    fn run(mut self, stop: &Stop) {
        while !stop.is_requested() {
            let packet = {
                let wait = self.wait();
                self.runtime.block_on(async { timeout(wait, self.packets.recv()).await })
            };
            match packet {
                Ok(Some(packet)) => self.take(packet),
                // The peer connection is gone; the owner is about to stop this thread.
                Ok(None) => break,
                Err(_) => {
                    let now = self.shared.now();
                    if let Some(stream) = self.streams.get_mut(self.current) {
                        stream.handle_timeout(now);
                    }
                }
            }
            self.decode();
            while let Some(picture) = self.waiting.due(self.shared.now()) {
                self.show(&picture);
            }
        }
        if let Err(message) = self.recording.finish() {
            self.shared.media_failed(message);
        }
    }

    /// Until something is due, if no packet comes.
    fn wait(&self) -> Duration {
        let assembler = self.streams.get(self.current).and_then(Stream::poll_timeout);
        let next = assembler.into_iter().chain(self.waiting.next()).min();
        next.map_or(IDLE, |at| at.saturating_sub(self.shared.now()).min(IDLE))
    }

    fn take(&mut self, received: ReceivedPacket) {
        let ReceivedPacket { codec, packet } = received;
        let Some(index) = self.stream(codec) else { return };
        self.current = index;
        if let Some(stream) = self.streams.get_mut(index) {
            stream.push(self.shared.now(), self.shared.round_trip(), packet);
        }
    }

    fn stream(&mut self, codec: Codec) -> Option<usize> {
        if let Some(index) = self.streams.iter().position(|stream| stream.codec() == codec) {
            return Some(index);
        }
        match Stream::new(codec) {
            Ok(stream) => self.streams.push(stream),
            Err(error) => {
                // Only what was offered is let through, and only what can be decoded is offered.
                debug!(%error, "packets that nothing here decodes");
                return None;
            }
        }
        Some(self.streams.len() - 1)
    }

    fn decode(&mut self) {
        while let Some(stream) = self.streams.get_mut(self.current) {
            match stream.poll(self.shared.now()) {
                Some(StreamEvent::Picture { frame, rtp }) => {
                    self.reports.pass_on(&self.shared.lip_sync);
                    let at = self.shared.lip_sync.picture_ready(rtp, self.shared.now());
                    if let Some(crowded_out) = self.waiting.push(Picture { frame, rtp, at }) {
                        self.show(&crowded_out);
                    }
                }
                Some(StreamEvent::KeyFrameWanted) => {
                    self.shared.meters.key_frames_requested.count();
                    self.peer.request_key_frame(Track::Camera);
                }
                None => return,
            }
        }
    }

    fn show(&mut self, picture: &Picture) {
        let Picture { frame, rtp, at: _ } = picture;
        // Decoded so that the next picture has its reference, but not to be seen yet.
        if !self.shared.gate().play {
            return;
        }
        if let Err(message) = self.recording.show(frame, *rtp, self.shared.now()) {
            self.shared.media_failed(message);
        }
        self.tell_shown(frame, *rtp);
        if let Some(echo) = &mut self.echo {
            echo.put(frame.clone(), *rtp);
        }
    }

    fn tell_shown(&mut self, frame: &VideoFrame, rtp: u32) {
        let (width, height) = (frame.width(), frame.height());
        if !self.shown_one {
            self.shown_one = true;
            self.shared.tell(Event::FirstFrame { call: self.shared.call, rtp, width, height });
        }
        self.shared.meters.frames_shown.count();
        self.shared.tell_frame(Event::FrameShown { rtp, width, height });
    }
}
