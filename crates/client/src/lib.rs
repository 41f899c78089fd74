//! The driver that joins signaling, the rules of a call, the transport and media. A window, a command line and tests sit
//! on the same [`Client`]. What is decided, `ahoy-call` decides; here it is carried out.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod call;
mod client;
mod clock;
mod config;
pub mod devices;
mod driver;
mod event;
mod random;
mod signaling;
mod storage;

pub use ahoy_call::{Timers, View};
pub use ahoy_media::{SinkSpec, SourceSpec};
pub use ahoy_protocol::control::Sending;
pub use ahoy_protocol::id::{CallId, DeviceAddress, SessionId, Username};
pub use ahoy_transport::{IceServer, VideoCodec};
pub use call::video_codecs;
pub use client::{Client, StartError};
pub use config::{Account, AccountError, Config, MediaConfig, ServerUrl, ServerUrlError};
pub use event::{Event, Stamped, Stats};
pub use random::RandomError;
pub use storage::{StorageError, default_data_dir};
