//! The driver that joins signaling, the rules of a call, the transport and media. A window, a command line and tests sit
//! on the same [`Client`]. What is decided, `ahoy-call` decides; here it is carried out.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod alert;
mod call;
mod client;
mod clock;
mod config;
pub mod devices;
mod driver;
mod event;
mod frame_sink;
pub mod identity;
mod kept;
mod keyring;
mod known_rates;
mod media_devices;
mod moment;
mod network;
mod random;
mod signaling;
mod storage;
mod worker;

pub use ahoy_call::{EndReason, Failure, Obstacle, RefusedReason, Side, Timers, View};
pub use ahoy_media::convert::{ConvertError, Scaler, fit_within, to_rgba};
pub use ahoy_media::{SinkSpec, SourceSpec, VideoFrame};
pub use ahoy_protocol::control::{Sending, Shown};
pub use ahoy_protocol::description::ProofError;
pub use ahoy_protocol::id::{CallId, DeviceAddress, SessionId, Username};
pub use ahoy_protocol::identity::PublicKey;
pub use ahoy_protocol::verification::{Code, Party};
pub use ahoy_transport::{IceServer, VideoCodec};
pub use call::fault::Part;
#[cfg(debug_assertions)]
pub use call::fault::panic_in;
pub use call::video_codecs;
pub use client::{Client, StartError};
pub use config::{Account, AccountError, Config, HideAddress, KeyPlace, MediaConfig, ServerUrl, ServerUrlError};
pub use event::{Event, MissedCall, Stamped, Stats, monotonic_ns};
pub use frame_sink::{FrameSink, NoFrames, Picture, PictureForm, PictureView, ShownPicture};
pub use keyring::KeyringError;
pub use media_devices::{ChosenDevices, DeviceKind, DeviceProblem, Levels, MediaDevices};
pub use random::RandomError;
pub use storage::{StorageError, default_data_dir};

/// What a call without a path tried.
pub mod tried {
    pub use ahoy_call::{Help, Outcome, Tried, TriedServer};
}

/// What a [`View`] is made of.
pub mod view {
    pub use ahoy_call::{CallView, ContactView, Counters, Gate, LinkView, PathKind, PathState, PeopleView, Trust};
}
