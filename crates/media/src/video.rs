//! Coded pictures: H.264 by openh264, one access unit in, one access unit out. Cutting them into
//! packets is not done here.

mod annex_b;
pub mod decoder;
pub mod encoder;
mod sps;
