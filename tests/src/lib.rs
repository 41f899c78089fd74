//! What the tests of whole calls share. Every failure in here is a failure of the test that uses it, so it panics, with
//! what the processes said attached.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod emulator;
pub mod foreign;
pub mod harness;
