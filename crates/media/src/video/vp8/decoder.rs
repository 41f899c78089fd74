//! The VP8 decoder: looks at each frame's header before libvpx does, and takes no picture that has damage.

use super::header::{self, Header};
use super::libvpx::{DecoderContext, VpxError};
use crate::frame::{FramePool, VideoFrame};
use crate::video::decoder::{DecodeError, MAX_CODED_BYTES, ScreenedPicture, VideoDecoder, allowed_size};

/// Turns VP8 frames into pictures.
#[derive(Default)]
pub(crate) struct Vp8Decoder {
    /// Made at a key frame, dropped at an error.
    context: Option<DecoderContext>,
    frames: FramePool,
}

impl VideoDecoder for Vp8Decoder {
    fn decode(&mut self, frame: &[u8]) -> Result<Option<VideoFrame>, DecodeError> {
        let decoded = self.try_decode(frame);
        if decoded.is_err() {
            self.reset();
        }
        decoded
    }

    fn screen(&self, frame: &[u8]) -> Result<Option<ScreenedPicture>, DecodeError> {
        let size = match screened(frame)? {
            Header::Key { width, height } => Some((u32::from(width), u32::from(height))),
            Header::Inter => None,
        };
        Ok(Some(ScreenedPicture { data: frame.to_vec(), size }))
    }

    fn reset(&mut self) {
        self.context = None;
    }
}

/// The header of a frame that libvpx may see.
fn screened(frame: &[u8]) -> Result<Header, DecodeError> {
    if frame.len() > MAX_CODED_BYTES {
        return Err(DecodeError::TooLong(frame.len()));
    }
    let header = header::parse(frame).ok_or(DecodeError::Format)?;
    match header {
        Header::Key { width, height }
            if !allowed_size(u32::from(width.div_ceil(16)), u32::from(height.div_ceil(16))) =>
        {
            Err(DecodeError::Format)
        }
        Header::Key { .. } | Header::Inter => Ok(header),
    }
}

impl Vp8Decoder {
    fn try_decode(&mut self, frame: &[u8]) -> Result<Option<VideoFrame>, DecodeError> {
        let context = match (screened(frame)?, &mut self.context) {
            (_, Some(context)) => context,
            (Header::Key { .. }, context) => context.insert(DecoderContext::new().map_err(codec_error)?),
            (Header::Inter, None) => return Err(DecodeError::AwaitingKeyFrame),
        };
        context.decode(frame).map_err(codec_error)?;
        if context.is_corrupted() {
            return Err(DecodeError::Incomplete);
        }
        // A frame need not be shown: it may only be there for later ones to refer to.
        context.picture().map(|planes| planes.to_frame(&mut self.frames)).transpose()
    }
}

fn codec_error(error: VpxError) -> DecodeError {
    DecodeError::Codec(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::VideoCodec;
    use crate::video::tests::{encode, noisy_pictures, psnr};

    /// In the first byte of a frame: it is shown (RFC 6386 §9.1).
    const SHOWN: u8 = 0x10;

    fn encoded(width: u32, height: u32, count: u64) -> Vec<Vec<u8>> {
        let frames = encode(VideoCodec::Vp8, &noisy_pictures(width, height, count), 800_000, 100);
        frames.into_iter().map(|frame| frame.data).collect()
    }

    /// A key frame that claims another size.
    fn with_size(key: &[u8], width: u16, height: u16) -> Vec<u8> {
        [&key[..6], &width.to_le_bytes(), &height.to_le_bytes(), &key[10..]].concat()
    }

    #[test]
    fn a_stream_of_huge_pictures_is_refused_before_it_costs_memory() {
        let key = &encoded(320, 240, 1)[0];
        for (width, height) in [(4097, 16), (16, 4097), (1920, 1104), (16383, 16383)] {
            let refused = Vp8Decoder::default().decode(&with_size(key, width, height));
            assert!(matches!(refused, Err(DecodeError::Format)), "{width}x{height}");
        }
        let mut decoder = Vp8Decoder::default();
        decoder.decode(key).unwrap();
        assert!(matches!(decoder.decode(&with_size(key, 16383, 16383)), Err(DecodeError::Format)));
    }

    #[test]
    fn pictures_without_pixels_are_refused() {
        let key = &encoded(320, 240, 1)[0];
        for (width, height) in [(0, 240), (320, 0), (0, 0), (1, 240), (320, 1)] {
            assert!(Vp8Decoder::default().decode(&with_size(key, width, height)).is_err(), "{width}x{height}");
        }
    }

    #[test]
    fn a_picture_of_odd_size_loses_its_last_column_and_row() {
        let frames = encoded(322, 242, 2);
        let whole = Vp8Decoder::default().decode(&frames[0]).unwrap().unwrap();
        let mut decoder = Vp8Decoder::default();
        // As many macroblocks as before, so the rest of the frame still fits.
        let odd = decoder.decode(&with_size(&frames[0], 321, 241)).unwrap().unwrap();
        assert_eq!((odd.width(), odd.height()), (320, 240));
        let row = |frame: &VideoFrame, row: usize| frame.y()[row * frame.width() as usize..][..320].to_vec();
        assert_eq!(row(&odd, 100), row(&whole, 100));
        assert!(decoder.decode(&frames[1]).unwrap().is_some());
    }

    #[test]
    fn a_frame_that_is_not_to_be_shown_gives_no_picture_but_serves_the_next() {
        let pictures = noisy_pictures(320, 240, 3);
        let mut frames = encode(VideoCodec::Vp8, &pictures, 800_000, 100);
        assert_eq!(frames[1].data[0] & SHOWN, SHOWN);
        frames[1].data[0] &= !SHOWN;
        let mut decoder = Vp8Decoder::default();
        assert!(decoder.decode(&frames[0].data).unwrap().is_some());
        assert!(decoder.decode(&frames[1].data).unwrap().is_none());
        assert!(psnr(&pictures[2], &decoder.decode(&frames[2].data).unwrap().unwrap()) > 30.0);
    }

    #[test]
    fn a_frame_cut_short_is_an_error_and_the_next_key_frame_heals() {
        let pictures = noisy_pictures(640, 480, 4);
        let frames = encode(VideoCodec::Vp8, &pictures, 3_000_000, 3);
        let mut decoder = Vp8Decoder::default();
        for part in [0, 2, 5, 20, 50, 80, 95] {
            decoder.decode(&frames[0].data).unwrap().unwrap();
            let length = frames[1].data.len() * part / 100;
            assert!(decoder.decode(&frames[1].data[..length]).is_err(), "{part} percent");
            assert!(matches!(decoder.decode(&frames[2].data), Err(DecodeError::AwaitingKeyFrame)));
            assert!(psnr(&pictures[3], &decoder.decode(&frames[3].data).unwrap().unwrap()) > 30.0);
        }
    }
}
