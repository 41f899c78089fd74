//! The server over real sockets: every sentence of the contract about it, and everything malformed, with the answer
//! that it must get. One binary, a file a section.

#![allow(clippy::unwrap_used)]

mod accounts;
mod calls;
mod harness;
mod hostile;
mod limits;
mod metrics;
mod missed;
mod presence;
mod program;
mod resume;
mod sign_in;
#[cfg(target_os = "linux")]
mod slow;
mod soak;
mod transport;
