//! What a peer connection reports on its own. Received media are not among it.

use crate::candidate::{Candidate, CandidateKind};
use crate::feedback::Feedback;
use crate::track::Track;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// A candidate of ours, to be sent to the peer after the description whose `ufrag` it names.
    Candidate(Candidate),
    /// There are no more candidates for the description with this `ufrag`. Comes once for each.
    EndOfCandidates {
        /// The section that the candidates were for.
        mid: String,
        /// The fragment that the candidates named.
        ufrag: String,
    },
    /// The path to the peer changed. A state that was over before it could be told is left out.
    Path(PathState),
    /// The peer wants a key frame of a track. Requests that are not fetched become one.
    KeyFrameWanted(Track),
    /// The control channel is open.
    ControlOpen,
    /// A text from the peer's control channel, at most [`MAX_CONTROL_BYTES`](crate::MAX_CONTROL_BYTES).
    Control(String),
    /// The control channel is closed and does not open again.
    ControlClosed,
}

/// Whether there is a way for media to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    /// Nothing was negotiated yet.
    New,
    /// A way is looked for.
    Connecting,
    /// ICE and DTLS are up: media can flow, and the peer has the certificate that its description names.
    Connected {
        /// The kind of the way: that of its more roundabout end.
        path: CandidateKind,
    },
    /// Nothing was heard from the peer for a moment. It may heal by itself.
    Disconnected,
    /// No way was found, or it was lost for good. An ICE restart can help.
    Failed,
    /// The connection was closed on this side.
    Closed,
}

/// The events of one peer connection.
#[derive(Debug)]
pub struct PeerEvents {
    pub(crate) local: mpsc::Receiver<PeerEvent>,
    pub(crate) control: mpsc::Receiver<PeerEvent>,
    pub(crate) path: watch::Receiver<PathState>,
    pub(crate) feedback: Arc<Feedback>,
}

enum Ready {
    Event(PeerEvent),
    Path,
    Ended,
    KeyFrameWanted(Track),
}

impl PeerEvents {
    /// Waits for the next event. `None` once the connection is closed, after `Path(Closed)`.
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<PeerEvent> {
        let ready = tokio::select! {
            changed = self.path.changed() => if changed.is_ok() { Ready::Path } else { Ready::Ended },
            Some(event) = self.control.recv() => Ready::Event(event),
            Some(event) = self.local.recv() => Ready::Event(event),
            track = self.feedback.key_frame_wanted() => Ready::KeyFrameWanted(track),
        };
        match ready {
            Ready::Event(event) => Some(event),
            Ready::Path => Some(PeerEvent::Path(*self.path.borrow_and_update())),
            Ready::KeyFrameWanted(track) => Some(PeerEvent::KeyFrameWanted(track)),
            Ready::Ended => None,
        }
    }
}
