//! Two peer connections over real sockets on loopback.
#![allow(clippy::unwrap_used)]

mod bench;
mod closing;
mod codecs;
mod control;
mod gathering;
mod media;
mod negotiation;
mod tcp;
mod unsound;
