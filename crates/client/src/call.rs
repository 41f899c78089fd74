//! One call's peer connection and media, in a task and threads of their own. It does what it is told; what to do is
//! decided by `ahoy-call`.

mod audio;
mod codec;
pub(crate) mod fault;
mod guarded;
mod lip_sync;
mod media;
mod meters;
mod path_rate;
mod receive;
mod recording;
mod send;
mod shared;
mod shown;
mod task;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use ahoy_call::{Gate, PathState, PeerCommand, PeerInput};
use ahoy_media::{PictureSource, SinkSpec, SoundSource, SourceSpec};
use ahoy_protocol::id::{CallId, Username};
use ahoy_transport::{IceServer, Network, PeerConfig, ReceivedPacket, VideoCodec};
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tracing::{Instrument as _, error, info_span};

use crate::config::MediaConfig;
use crate::event::{Event, Stamped};
use crate::network::Addresses;
pub(crate) use send::PictureInput;

/// Commands waiting for a call's task. A call takes some tens in all, and 64 candidates.
const COMMANDS: usize = 256;

/// What comes in on one track.
pub(crate) type Packets = mpsc::Receiver<ReceivedPacket>;

/// What a call's task tells the driver.
#[derive(Debug)]
pub(crate) enum PeerReport {
    /// For the core.
    Input(CallId, PeerInput),
    /// For the owner of the client.
    Event(Event),
    /// For the next call with the same person: what the path carries, in bits a second.
    Rate { with: Username, network: Network, bps: u64 },
}

/// What a call is started with.
pub(crate) struct Surroundings {
    pub(crate) call: CallId,
    /// With whom, where what the path carries is to be remembered.
    pub(crate) with: Option<Username>,
    /// How many calls of this client were recorded, so that a second recording does not overwrite the first.
    pub(crate) recordings: Arc<AtomicU32>,
    pub(crate) media: MediaConfig,
    pub(crate) peer: PeerConfig,
    /// The addresses of this machine, as they change.
    pub(crate) addresses: Addresses,
    /// The driver. The task waits for room.
    pub(crate) reports: mpsc::Sender<PeerReport>,
    /// Where pictures' events go, if anywhere.
    pub(crate) frames: Option<mpsc::Sender<Stamped>>,
}

/// The driver's end of a call's task. The task ends after [`PeerCommand::Close`], or when this is dropped.
pub(crate) struct CallTask {
    commands: mpsc::Sender<PeerCommand>,
    gate: watch::Sender<Gate>,
    ice_servers: watch::Sender<Vec<IceServer>>,
}

impl CallTask {
    /// A call with everything shut, and the work to be spawned for it.
    pub(crate) fn new(surroundings: Surroundings) -> (Self, impl Future<Output = ()> + Send) {
        let (commands, queue) = mpsc::channel(COMMANDS);
        let (gate, gate_reader) = watch::channel(Gate::SHUT);
        let (ice_servers, server_reader) = watch::channel(surroundings.peer.ice_servers.clone());
        let (call, reports) = (surroundings.call, surroundings.reports.clone());
        let work = AssertUnwindSafe(task::run(surroundings, queue, gate_reader, server_reader)).catch_unwind();
        let work = async move {
            if work.await.is_err() {
                // A bug of ours or of a library's ends this call in words, and nothing else.
                error!("a call's task panicked");
                let _ = reports.send(PeerReport::Input(call, PeerInput::Path(PathState::Failed))).await;
            }
        };
        (Self { commands, gate, ice_servers }, work.instrument(info_span!("call", %call)))
    }

    /// Queues a command; `false` when the task is stuck or gone.
    #[must_use]
    pub(crate) fn command(&self, command: PeerCommand) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// The STUN and TURN servers that descriptions made from this moment on are to use.
    pub(crate) fn set_ice_servers(&self, servers: Vec<IceServer>) {
        self.ice_servers.send_replace(servers);
    }

    /// What may be sent, played and shown from this moment on: overtakes every queued command.
    pub(crate) fn set_gate(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }
}

/// Whether the sources and sinks of a configuration can be used at all, before anybody is called with them. Devices are
/// not turned on for that, and one that is not plugged in may be by then: the call tells what is wrong with them.
///
/// # Errors
/// What cannot be used, why, and what can, in words.
pub(crate) fn check_media(media: &MediaConfig) -> Result<(), String> {
    let is_device = |spec: &SourceSpec| matches!(spec, SourceSpec::Device(_));
    let chosen = media.devices.chosen();
    if !media.echo && !is_device(&chosen.camera) {
        PictureSource::open(&chosen.camera).map_err(|e| in_words(&e))?;
    }
    if !media.echo && !is_device(&chosen.microphone) {
        SoundSource::open(&chosen.microphone).map_err(|e| in_words(&e))?;
    }
    if let SinkSpec::Device(_) = media.display {
        ahoy_media::PictureSink::open(&media.display, ahoy_media::FrameRate::THIRTY).map_err(|e| in_words(&e))?;
    }
    Ok(())
}

/// The codecs of pictures that this build has, the preferred first.
#[must_use]
pub fn video_codecs() -> Vec<VideoCodec> {
    ahoy_media::VideoCodec::available().iter().copied().map(codec::agreed).collect()
}

/// An error and its causes in one line.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
