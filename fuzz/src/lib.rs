//! What each fuzz target does with the bytes that libFuzzer makes up, a module a kind of input; for what no other crate may
//! see, the modules `fuzzing` in `ahoy-transport` and `ahoy-server`. Besides not panicking, what is read must keep what it
//! promises: the checks are of those promises, not of single results.
//!
//! `cargo xtask fuzz [SECONDS]` runs them all; the bytes that were worth keeping are in `corpus`, the first of them written
//! by `cargo run -p ahoy-fuzz --example seeds`.
#![forbid(unsafe_code)]

pub mod feedback;
pub mod messages;
pub mod pictures;
pub mod sound;
pub mod steps;
