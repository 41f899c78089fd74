//! How sound is held everywhere inside: 48 kHz, one channel, 32-bit floats from -1 to 1, in
//! blocks of 10 ms. What is done to it is in the modules below.

pub mod meter;
pub mod opus;
pub mod speech;
pub mod stretch;
#[cfg(test)]
pub(crate) mod testing;
pub mod voice;

/// Samples a second, everywhere inside. What Opus and WebRTC run at (RFC 7587 §4.1).
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// Samples in a block.
pub const BLOCK_SAMPLES: usize = 480;

/// How long a block is.
pub const BLOCK_MS: u32 = 10;

/// 10 ms of sound, each sample from -1 to 1.
pub type AudioBlock = [f32; BLOCK_SAMPLES];
