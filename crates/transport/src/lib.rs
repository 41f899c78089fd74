//! One peer connection: signaling descriptions in and out, candidates, three media tracks as RTP packets, and the control
//! channel. It is built on the `webrtc` and `rtc` crates, none of whose types leave here.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agreement;
mod candidate;
mod certificate;
mod codecs;
mod congestion;
mod control;
pub mod description;
mod event;
mod feedback;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod interceptor;
mod network;
mod peer;
mod receive;
mod reception;
mod send;
mod sockets;
mod stats;
mod track;
mod wall_clock;

pub use candidate::{Candidate, CandidateError, CandidateKind};
pub use certificate::Certificate;
pub use congestion::PictureBudget;
pub use control::MAX_CONTROL_BYTES;
pub use event::{PathState, PeerEvent, PeerEvents};
pub use network::{Network, NotANetwork};
pub use peer::{IceServer, Peer, PeerConfig, TransportError};
pub use receive::{ReceivedMedia, ReceivedPacket};
pub use send::{MediaSender, Reported, SendError};
pub use sockets::{Attempt, Help, Outcome};
pub use stats::{PeerStats, TrackStats};
pub use track::{Codec, Track, VideoCodec};
