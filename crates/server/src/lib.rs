//! The signaling server as a library: [`serve`] on a listener. It knows who is signed in and whom a message is for, and
//! relays; it reads no SDP and keeps no call. The contract is `docs/signaling.md`; section numbers in this crate are
//! that page's. The program around it is `main.rs`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod accounts;
pub mod config;
mod connection;
mod dialogue;
mod gate;
pub mod hosts;
mod http;
pub mod ice;
pub mod limits;
mod mailbox;
mod metrics;
mod receipt;
mod registry;
mod serve;
mod shared;
pub mod turn;
mod websocket;

pub use accounts::Accounts;
pub use config::{Config, Registration, Timing};
pub use limits::Limits;
pub use serve::serve;
pub use turn::Turn;
