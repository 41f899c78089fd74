//! What every encoder is, and what they have in common: the sizes they take and the bit rates they are given. They decide
//! no bit rate; they follow the one they are told.

use crate::Cause;
use crate::frame::VideoFrame;
use crate::rate::FrameRate;

/// The most macroblocks a picture may have: level 3.1 of H.264, which is what calls negotiate, 1280x720 in either
/// orientation (H.264 table A-1).
pub const MAX_MACROBLOCKS: u32 = 3600;

/// openh264 takes no less.
const MIN_SIDE_PX: u32 = 16;

/// Below this nothing recognisable is left; openh264 would refuse a rate of zero.
pub(crate) const MIN_BITRATE_BPS: u32 = 20_000;

/// Level 3.1 allows no more (H.264 table A-1).
pub(crate) const MAX_BITRATE_BPS: u32 = 14_000_000;

/// Turns pictures into coded pictures. Belongs to one thread. Pictures may change their size at any time; the first of a
/// new size is a key frame, and so is the first of all. No other picture is, unless asked.
pub trait VideoEncoder: Send {
    /// Encodes a picture, as a key frame if asked. Nothing if the encoder left the picture out, which it does only when it
    /// is made to.
    ///
    /// # Errors
    /// If the size cannot be encoded or the codec fails; the next picture then is a key frame.
    fn encode(&mut self, frame: &VideoFrame, force_key: bool) -> Result<Option<EncodedFrame>, EncodeError>;

    /// Takes the bytes of a coded picture back, so that the next one is written to their memory.
    fn give_back(&mut self, data: Vec<u8>);

    /// Says that a picture of the sequence is not encoded. Its part of the bit rate pays for what those before took too much,
    /// a key frame above all; little of it is kept for those behind. Where pictures are left out all the time, the frame rate
    /// is another ([`Self::set_frame_rate`]).
    fn skip(&mut self);

    /// Sets the bit rate for the next picture on, brought to what encoders can do. Costs no key frame. It may be set before
    /// each picture and is obeyed by the next one: that takes its part, the bit rate by the frame rate, as well as it can be
    /// told beforehand, less what those before took too much. A key frame takes five parts, at most about seven where the
    /// codec can make it that coarse.
    fn set_bitrate_bps(&mut self, bitrate_bps: u32);

    /// Sets how many pictures a second share the bit rate from the next picture on, those given to [`Self::skip`] among
    /// them. Costs no key frame.
    fn set_frame_rate(&mut self, rate: FrameRate);

    /// The bit rate in force.
    fn bitrate_bps(&self) -> u32;
}

/// A coded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// H.264: one access unit as an Annex B stream, a key frame with its parameter sets. VP8: one frame (RFC 6386 §9).
    pub data: Vec<u8>,
    /// Decodable without anything before it.
    pub key: bool,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Why a picture was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The picture's size is outside of what calls negotiate.
    #[error("a picture of {width}x{height} cannot be encoded: scale it to at most 1280x720 and at least 16x16")]
    Size {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The codec failed.
    #[error("the picture cannot be encoded")]
    Codec(#[source] Cause),
}

/// The bit rate at which 30 pictures a second of this size look good: 700 kb/s at 640x480, 1.6 Mb/s at 1280x720. Larger
/// pictures need less for each pixel. Measured with `examples/video_quality.rs` on a webcam clip of 640x480: SSIM 0.991 in
/// H.264, 0.989 in VP8, near enough to spend the same.
pub fn default_bitrate_bps(width: u32, height: u32) -> u32 {
    let pixels = f64::from(width) * f64::from(height);
    clamp_bitrate((700_000.0 * (pixels / (640.0 * 480.0)).powf(0.75)) as u32)
}

/// Brings a bit rate to what encoders can do.
pub(crate) fn clamp_bitrate(bitrate_bps: u32) -> u32 {
    bitrate_bps.clamp(MIN_BITRATE_BPS, MAX_BITRATE_BPS)
}

/// The size of a picture, if it may be encoded. The same for all codecs: which one is used is decided later than the size.
pub(crate) fn checked_size(frame: &VideoFrame) -> Result<(u32, u32), EncodeError> {
    let (width, height) = (frame.width(), frame.height());
    let macroblocks = width.div_ceil(16) * height.div_ceil(16);
    if width.min(height) < MIN_SIDE_PX || macroblocks > MAX_MACROBLOCKS {
        return Err(EncodeError::Size { width, height });
    }
    Ok((width, height))
}
