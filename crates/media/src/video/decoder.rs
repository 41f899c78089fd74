//! What every decoder is, and what they have in common: the bounds that keep a hostile stream cheap, and the way from a
//! codec's picture to ours.

use crate::Cause;
use crate::frame::{FrameError, FramePool, MAX_SIDE_PX, VideoFrame};

/// The largest picture in macroblocks: level 4 of H.264, 1920x1080, above what any call negotiates (H.264 table A-1).
/// Bounds what a hostile peer makes us allocate.
const MAX_MACROBLOCKS: u32 = 8192;

/// Far above any picture of that size at the rates of a call.
pub(crate) const MAX_CODED_BYTES: usize = 2 << 20;

/// Turns coded pictures into pictures. What it is given comes from the network: each coded picture is looked at before the
/// codec sees it, and after any damage everything starts afresh at the next key frame. Belongs to one thread.
pub trait VideoDecoder: Send {
    /// Decodes one coded picture: an access unit as an Annex B stream (H.264), a frame (VP8). Nothing if it held no picture
    /// to show.
    ///
    /// # Errors
    /// If it is damaged, or needs a key frame that has not come.
    fn decode(&mut self, coded: &[u8]) -> Result<Option<VideoFrame>, DecodeError>;

    /// Looks at a coded picture for a decoder elsewhere, as this one does before the codec sees it, and decodes nothing.
    /// Nothing if it held no picture.
    ///
    /// # Errors
    /// If no decoder should have it.
    fn screen(&self, coded: &[u8]) -> Result<Option<ScreenedPicture>, DecodeError>;

    /// Forgets everything; the next picture comes out of the next key frame.
    fn reset(&mut self);
}

/// A coded picture that a decoder elsewhere may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenedPicture {
    /// The picture, without what no picture needs.
    pub data: Vec<u8>,
    /// Width and height of a key frame, in pixels.
    pub size: Option<(u32, u32)>,
}

/// Why there is no picture. After any of these the stream goes on with the next key frame, which the caller should ask the
/// sender for.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Nothing can be decoded before a key frame.
    #[error("a key frame has to come first")]
    AwaitingKeyFrame,
    /// Longer than any picture.
    #[error("a coded picture of {0} bytes is too long")]
    TooLong(usize),
    /// Larger pictures than anyone may send.
    #[error("the stream announces pictures that are too large or of another kind than 8-bit 4:2:0")]
    Format,
    /// The stream is damaged.
    #[error("the picture cannot be decoded")]
    Codec(#[source] Cause),
    /// The decoder gave what is no picture.
    #[error("the decoded picture cannot be used")]
    Frame(#[from] FrameError),
    /// Parts of the picture are missing.
    #[error("the picture is incomplete")]
    Incomplete,
}

/// Whether pictures of so many macroblocks may be decoded.
pub(crate) fn allowed_size(width_mbs: u32, height_mbs: u32) -> bool {
    let max_side_mbs = MAX_SIDE_PX / 16;
    width_mbs <= max_side_mbs && height_mbs <= max_side_mbs && width_mbs * height_mbs <= MAX_MACROBLOCKS
}

/// A picture in a codec's memory: I420 planes with a distance from row to row of their own.
pub(crate) struct DecodedPlanes<'a> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Y, U and V, each with its bytes from one row to the next.
    pub(crate) planes: [(&'a [u8], usize); 3],
}

impl DecodedPlanes<'_> {
    /// The picture as ours, without the last column or row where there is an odd number of them. The codec writes over its own
    /// with the next one, so it has to be copied.
    pub(crate) fn to_frame(&self, frames: &mut FramePool) -> Result<VideoFrame, DecodeError> {
        let side = |length: usize| u32::try_from(length & !1).unwrap_or(u32::MAX);
        let (width, height) = (side(self.width), side(self.height));
        frames.frame(width, height, |data| {
            let mut rest = data;
            for (index, (plane, stride)) in self.planes.iter().enumerate() {
                let halving = if index == 0 { 1 } else { 2 };
                let (width, height) = (width as usize / halving, height as usize / halving);
                let (out, behind) = rest.split_at_mut(width * height);
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    let start = row * stride;
                    out.copy_from_slice(plane.get(start..start + width).ok_or(DecodeError::Incomplete)?);
                }
                rest = behind;
            }
            Ok(())
        })
    }
}
