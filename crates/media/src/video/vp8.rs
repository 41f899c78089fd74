//! VP8 by the system's libvpx, one frame in, one frame out (RFC 6386).

mod bindings;
mod decoder;
mod encoder;
mod header;
mod libvpx;

pub(super) use decoder::Vp8Decoder;
pub(super) use encoder::Vp8Encoder;
