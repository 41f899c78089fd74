//! The media of one call: what runs follows the gate. Nothing is opened for it before the gate allows it, and once this
//! side's pictures are not to be sent it wants no camera.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ahoy_call::Gate;
use ahoy_media::SinkSpec;
use ahoy_protocol::control::Shown;
use ahoy_transport::{Peer, ReceivedMedia, Track};

use super::audio::{Audio, Ends};
use super::receive::{Outlets, VideoReceive};
use super::send::VideoSend;
use super::shared::Shared;
use crate::config::MediaConfig;
use crate::frame_sink::PictureView;
use crate::media_devices::DevicesInCall;

/// The running parts of a call's media.
pub(crate) struct CallMedia {
    config: MediaConfig,
    shared: Arc<Shared>,
    /// Until the gate opens for the first time; what comes in waits in its bounded queues.
    waiting: Option<(ReceivedMedia, Arc<AtomicU32>)>,
    send: Option<VideoSend>,
    receive: Option<VideoReceive>,
    audio: Option<Audio>,
    /// Let go of when the rest is closed.
    devices: Arc<DevicesInCall>,
}

impl CallMedia {
    /// Nothing runs yet. `recordings` counts the calls whose gate opened.
    pub(crate) fn new(
        config: MediaConfig,
        recordings: Arc<AtomicU32>,
        received: ReceivedMedia,
        shared: Arc<Shared>,
    ) -> Self {
        let waiting = Some((received, recordings));
        let devices = Arc::new(config.devices.for_call(shared.call));
        Self { config, shared, waiting, send: None, receive: None, audio: None, devices }
    }

    /// Starts and stops what the gate says. What cannot be opened is told once; the call goes on without it.
    pub(crate) fn follow(&mut self, gate: Gate, peer: &Peer) {
        let wanted = gate.play || gate.send.audio || gate.send.video;
        if wanted && let Some((received, recordings)) = self.waiting.take() {
            let number = recordings.fetch_add(1, Ordering::Relaxed) + 1;
            self.start_pictures(received.camera, peer, number).unwrap_or_else(|why| self.shared.media_failed(why));
            self.start_sound(received.microphone, peer, number).unwrap_or_else(|why| self.shared.media_failed(why));
        }
        let sends = gate.send.audio || gate.send.video;
        let camera = self.send.as_ref().filter(|_| gate.send.video && !self.config.echo);
        self.devices.follow(sends, camera.map(VideoSend::input));
    }

    /// The other side cannot go on without a key frame.
    pub(crate) fn want_key_frame(&self) {
        if let Some(send) = &self.send {
            send.want_key_frame();
        }
    }

    /// How large the other side's picture is shown here, where it is known, once it may be shown.
    pub(crate) fn shown(&self) -> Option<Shown> {
        let sink = self.shared.gate().play.then(|| self.devices.sink())?;
        sink.shown(PictureView::Remote)
    }

    fn start_pictures(&mut self, packets: super::Packets, peer: &Peer, number: u32) -> Result<(), String> {
        let no_thread = |e: std::io::Error| format!("no thread for pictures: {e}");
        let shared = || Arc::clone(&self.shared);
        let send = VideoSend::start(peer.sender(Track::Camera), shared(), seed()?).map_err(no_thread)?;
        let outlets = Outlets {
            sink: self.devices.sink(),
            display: numbered(self.config.display.clone(), number),
            echo: self.config.echo.then(|| send.input()),
        };
        let receive = VideoReceive::start(packets, peer.clone(), outlets, shared());
        self.receive = Some(receive.map_err(no_thread)?);
        self.send = Some(send);
        Ok(())
    }

    fn start_sound(&mut self, packets: super::Packets, peer: &Peer, number: u32) -> Result<(), String> {
        let ends = Ends { devices: Arc::clone(&self.devices), number, echo: self.config.echo };
        let audio = Audio::start(ends, peer.sender(Track::Microphone), packets, Arc::clone(&self.shared), seed()?)?;
        self.audio = Some(audio);
        Ok(())
    }
}

impl Drop for CallMedia {
    /// Tells all threads before it waits for any: a camera that takes its time does not keep the microphone open.
    fn drop(&mut self) {
        if let Some(audio) = &self.audio {
            audio.request_stop();
        }
        if let Some(send) = &self.send {
            send.request_stop();
        }
        if let Some(receive) = &self.receive {
            receive.request_stop();
        }
    }
}

/// Where a stream's numbers begin (RFC 3550 §5.1: at random).
fn seed() -> Result<u64, String> {
    crate::random::number().map_err(|e| e.to_string())
}

/// The file of the first call as it was asked for; `name-2.wav` and so on for later ones.
pub(super) fn numbered(sink: SinkSpec, number: u32) -> SinkSpec {
    match sink {
        SinkSpec::File(path) if number > 1 => SinkSpec::File(numbered_path(&path, number)),
        SinkSpec::File(_) | SinkSpec::None | SinkSpec::Device(_) => sink,
    }
}

fn numbered_path(path: &Path, number: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{number}{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_calls_are_recorded_beside_the_first() {
        let file = |name: &str| SinkSpec::File(name.into());
        assert_eq!(numbered(file("a/heard.wav"), 1), file("a/heard.wav"));
        assert_eq!(numbered(file("a/heard.wav"), 2), file("a/heard-2.wav"));
        assert_eq!(numbered(file("heard"), 3), file("heard-3"));
        assert_eq!(numbered(SinkSpec::None, 2), SinkSpec::None);
    }
}
