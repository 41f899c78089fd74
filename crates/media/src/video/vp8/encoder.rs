//! The VP8 encoder: one thread, no frames reordered or dropped.

use std::array::from_fn;
use std::sync::LazyLock;

use super::libvpx::EncoderContext;
use crate::Cause;
use crate::frame::VideoFrame;
use crate::video::controlled::{ControlledEncoder, QuantizedCodec};

/// Turns pictures into VP8 frames.
pub(crate) type Vp8Encoder = ControlledEncoder<EncoderContext>;

/// The finest of libvpx's quantizers that is used: what a finer one would still improve nobody sees.
const FINEST: u8 = 2;

/// The coarsest that it has.
const COARSEST: u8 = 63;

/// What each quantizer's step is, in octaves.
static STEPS: LazyLock<[f64; (COARSEST - FINEST + 1) as usize]> =
    LazyLock::new(|| from_fn(|place| step(index(place + usize::from(FINEST))).log2()));

impl QuantizedCodec for EncoderContext {
    fn open(width: u32, height: u32) -> Result<Self, Cause> {
        Ok(Self::new(width, height)?)
    }

    fn steps() -> &'static [f64] {
        &*STEPS
    }

    fn encode(
        &mut self,
        frame: &VideoFrame,
        quantizer: u8,
        key: bool,
        data: &mut Vec<u8>,
    ) -> Result<Option<bool>, Cause> {
        Ok(self.frame(frame, FINEST + quantizer, key, data)?)
    }
}

/// The index into VP8's own quantizers, of which libvpx offers half.
fn index(quantizer: usize) -> usize {
    match quantizer {
        0..27 => quantizer + quantizer / 5,
        27..42 => 2 * quantizer - 21,
        42..63 => 3 * quantizer - 62,
        _ => 127,
    }
}

/// The step between two levels of a frame's details at an index (RFC 6386 section 14.1).
fn step(index: usize) -> f64 {
    let step = match index {
        0..55 => index + 4,
        55..84 => 60 + 2 * (index - 55),
        84..103 => 119 + 3 * (index - 84),
        103..117 => 177 + 4 * (index - 103),
        _ => 234 + 5 * (index - 117),
    };
    step as f64
}
