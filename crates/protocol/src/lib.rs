//! What client, server and peers say to each other: names, messages, descriptions and their proof.
//! The contract is `docs/signaling.md`; section numbers in this crate are that page's. No socket, no clock, no state.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod control;
pub mod description;
#[cfg(test)]
mod dice;
pub mod error;
pub mod id;
pub mod identity;
pub mod json;
pub mod message;
pub mod relay;
pub mod signal;
pub mod verification;

/// The protocol version that `hello` and `login` carry (section 3).
pub const VERSION: u32 = 1;
/// The longest text frame that a client may send, in bytes (section 1).
pub const CLIENT_FRAME_MAX: usize = 64 * 1024;
/// The longest text frame that a client accepts, in bytes: a relayed frame grows by what the server stamps (section 1).
pub const SERVER_FRAME_MAX: usize = 68 * 1024;
/// The longest contact list, in names (section 4).
pub const CONTACTS_MAX: usize = 1_000;

/// Most callers in a `missed` message (section 6).
pub const MISSED_CALLS_MAX: usize = 100;
/// The most devices that one user has signed in at a time (section 3).
pub const SESSIONS_MAX: usize = 8;
