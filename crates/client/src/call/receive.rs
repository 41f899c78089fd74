//! Pictures on their way in: packets → assembler → decoder, here or behind the sink → the moment when their sound is
//! heard → sink, all on the decoder's thread.

mod echo;
mod reports;
mod stream;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use ahoy_media::SinkSpec;
use ahoy_transport::{Codec, Peer, ReceivedPacket, Track};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::debug;

use super::fault::{self, Part};
use super::guarded;
use super::recording::Recording;
use super::send::PictureInput;
use super::shared::Shared;
use crate::event::Event;
use crate::frame_sink::{FrameSink, Picture, PictureForm, PictureView, ShownPicture};
use crate::worker::{Stop, Worker};
use echo::Echo;
use reports::Reports;
use stream::{Stream, StreamEvent};
use waiting::{Waiter, Waiting};

/// How long the thread waits for a packet before it looks whether it should stop.
const IDLE: Duration = Duration::from_millis(100);

/// Where pictures go.
pub(crate) struct Outlets {
    /// To be seen.
    pub(crate) sink: Arc<dyn FrameSink>,
    /// To be recorded.
    pub(crate) display: SinkSpec,
    /// Back to where they came from.
    pub(crate) echo: Option<PictureInput>,
}

/// The receiving side of the camera's track, for the length of a call.
pub(crate) struct VideoReceive {
    decoder: Worker,
}

impl VideoReceive {
    /// Starts to decode and show, on `outlets`.
    pub(crate) fn start(
        packets: super::Packets,
        peer: Peer,
        outlets: Outlets,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        let for_thread = Arc::clone(&shared);
        let decoding = Decoding {
            packets,
            reports: Reports::of(&peer),
            peer,
            runtime: Handle::current(),
            streams: Vec::new(),
            current: 0,
            waiting: Waiting::default(),
            sink: outlets.sink,
            recording: Recording::new(outlets.display),
            echo: outlets.echo.map(Echo::new),
            shared,
            shown_one: false,
        };
        Ok(Self { decoder: guarded::start(Part::Decoder, &for_thread, move |stop| decoding.run(stop))? })
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
    sink: Arc<dyn FrameSink>,
    recording: Recording,
    echo: Option<Echo>,
    shared: Arc<Shared>,
    shown_one: bool,
}

impl Decoding {
    fn run(mut self, stop: &Stop) {
        while !stop.is_requested() {
            fault::here(Part::Decoder);
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
            while let Some(waiter) = self.waiting.due(self.shared.now()) {
                self.show(waiter);
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
        if self.current != index
            && let Some(before) = self.streams.get_mut(self.current)
        {
            before.lose_sink();
        }
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
        let is_needed_here = self.recording.is_on() || self.echo.is_some();
        while let Some(stream) = self.streams.get_mut(self.current) {
            let mut is_seen = false;
            let codec = (!is_needed_here).then_some(stream.video());
            let event = stream.poll(self.shared.now(), || {
                let form = self.sink.form(PictureView::Remote, codec);
                is_seen = form != PictureForm::Nothing;
                if is_needed_here { PictureForm::Raw } else { form }
            });
            match event {
                Some(StreamEvent::Picture { picture, size, rtp }) => {
                    self.reports.pass_on(&self.shared.lip_sync);
                    let at = self.shared.lip_sync.picture_ready(rtp, self.shared.now());
                    if let Some(crowded_out) = self.waiting.push(Waiter { picture, size, rtp, is_seen, at }) {
                        self.show(crowded_out);
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

    fn show(&mut self, waiter: Waiter) {
        let Waiter { picture, size, rtp, is_seen, at: _ } = waiter;
        // Decoded so that the next picture has its reference, but not to be seen yet.
        if !self.shared.gate().play {
            // What a decoder elsewhere does not get it will miss.
            if let Some(stream) = self.streams.get_mut(self.current) {
                stream.lose_sink();
            }
            return;
        }
        if let Picture::Raw(frame) = &picture {
            if let Err(message) = self.recording.show(frame, rtp, self.shared.now()) {
                self.shared.media_failed(message);
            }
            if let Some(echo) = &mut self.echo {
                echo.put(frame.clone(), rtp);
            }
        }
        if is_seen {
            self.sink.show(ShownPicture { view: PictureView::Remote, rtp, captured_at: None, picture });
        }
        self.tell_shown(size, rtp);
    }

    fn tell_shown(&mut self, (width, height): (u32, u32), rtp: u32) {
        if !self.shown_one {
            self.shown_one = true;
            self.shared.tell(Event::FirstFrame { call: self.shared.call, rtp, width, height });
        }
        self.shared.meters.frames_shown.count();
        self.shared.tell_frame(Event::FrameShown { rtp, width, height });
    }
}
