//! H.264 by openh264, one access unit in, one access unit out.

mod annex_b;
mod decoder;
mod encoder;
mod libopenh264;
mod sps;

pub(super) use decoder::H264Decoder;
pub(super) use encoder::H264Encoder;
