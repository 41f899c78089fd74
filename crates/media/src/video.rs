//! Coded pictures: one face for the codecs of a call. A picture in, a coded picture out, and back. Cutting coded pictures
//! into packets is not done here.

pub mod decoder;
pub mod encoder;
pub mod ladder;

mod controlled;
mod h264;
mod rate_control;
#[cfg(all(feature = "vp8", target_os = "linux"))]
mod vp8;

use std::fmt;

use crate::rate::FrameRate;
use decoder::VideoDecoder;
use encoder::VideoEncoder;

/// The codecs that a call may agree on (RFC 7742 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264, constrained baseline profile up to level 3.1. In every build.
    H264,
    /// VP8. In builds for Linux, by the system's libvpx, unless the cargo feature `vp8` is off.
    Vp8,
}

/// This build lacks a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this build has no {0}: use another codec, or build for Linux with the cargo feature of its name")]
pub struct CodecUnavailable(pub VideoCodec);

impl VideoCodec {
    /// What this build has, the preferred first.
    pub fn available() -> &'static [Self] {
        if cfg!(all(feature = "vp8", target_os = "linux")) { &[Self::H264, Self::Vp8] } else { &[Self::H264] }
    }

    /// An encoder that spends `bitrate_bps` on `rate` pictures a second. It costs nothing before the first picture.
    ///
    /// # Errors
    /// If this build lacks the codec.
    pub fn encoder(self, bitrate_bps: u32, rate: FrameRate) -> Result<Box<dyn VideoEncoder>, CodecUnavailable> {
        match self {
            Self::H264 => Ok(Box::new(h264::H264Encoder::new(bitrate_bps, rate))),
            #[cfg(all(feature = "vp8", target_os = "linux"))]
            Self::Vp8 => Ok(Box::new(vp8::Vp8Encoder::new(bitrate_bps, rate))),
            #[cfg(not(all(feature = "vp8", target_os = "linux")))]
            Self::Vp8 => Err(CodecUnavailable(self)),
        }
    }

    /// A decoder that waits for a key frame. It costs nothing before that.
    ///
    /// # Errors
    /// If this build lacks the codec.
    pub fn decoder(self) -> Result<Box<dyn VideoDecoder>, CodecUnavailable> {
        match self {
            Self::H264 => Ok(Box::new(h264::H264Decoder::default())),
            #[cfg(all(feature = "vp8", target_os = "linux"))]
            Self::Vp8 => Ok(Box::new(vp8::Vp8Decoder::default())),
            #[cfg(not(all(feature = "vp8", target_os = "linux")))]
            Self::Vp8 => Err(CodecUnavailable(self)),
        }
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::Vp8 => "VP8",
        })
    }
}

#[cfg(test)]
mod tests;
