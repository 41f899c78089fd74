//! The H.264 decoder: looks at each access unit before openh264 does, and passes on only what an
//! ordinary stream has.

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig};
use openh264::formats::YUVSource;

use super::annex_b::{self, IDR_SLICE, PPS, SLICE, SPS, START_CODE};
use super::sps;
use crate::frame::{FramePool, VideoFrame};
use crate::video::decoder::{DecodeError, DecodedPlanes, MAX_CODED_BYTES, ScreenedPicture, VideoDecoder, allowed_size};

/// Turns access units into pictures.
#[derive(Default)]
pub(crate) struct H264Decoder {
    /// Made at a key frame, dropped at an error.
    decoder: Option<Decoder>,
    frames: FramePool,
    /// Where the next access unit is put together that the decoder may see.
    spare: Vec<u8>,
}

impl VideoDecoder for H264Decoder {
    fn decode(&mut self, access_unit: &[u8]) -> Result<Option<VideoFrame>, DecodeError> {
        let decoded = self.try_decode(access_unit);
        if decoded.is_err() {
            self.reset();
        }
        decoded
    }

    fn screen(&self, access_unit: &[u8]) -> Result<Option<ScreenedPicture>, DecodeError> {
        let Screened { stream, picture, size, .. } = Screened::new(access_unit, Vec::new())?;
        Ok(picture.then_some(ScreenedPicture { data: stream, size }))
    }

    fn reset(&mut self) {
        self.decoder = None;
    }
}

impl H264Decoder {
    fn try_decode(&mut self, access_unit: &[u8]) -> Result<Option<VideoFrame>, DecodeError> {
        let screened = Screened::new(access_unit, std::mem::take(&mut self.spare))?;
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            None if screened.key => {
                let api = OpenH264API::from_source();
                self.decoder.insert(Decoder::with_api_config(api, DecoderConfig::new()).map_err(codec_error)?)
            }
            None => return Err(DecodeError::AwaitingKeyFrame),
        };
        if !screened.picture {
            // Parameter sets alone come again with the key frame they belong to.
            return Ok(None);
        }
        // Every picture of a call is shown at once, so one that does not come has parts missing.
        let picture = decoder.decode(&screened.stream).map_err(codec_error)?;
        let frame = planes(&picture.ok_or(DecodeError::Incomplete)?).to_frame(&mut self.frames)?;
        self.spare = screened.stream;
        Ok(Some(frame))
    }
}

/// An access unit as the decoder may see it: slices and parameter sets only. Leaves out hints
/// (SEI), delimiters, filling, and the scalable extensions, which nobody negotiates and which
/// would be that much more code for a hostile stream to try.
struct Screened {
    stream: Vec<u8>,
    picture: bool,
    key: bool,
    /// By the last parameter set.
    size: Option<(u32, u32)>,
}

impl Screened {
    /// In the memory of `stream`.
    fn new(access_unit: &[u8], mut stream: Vec<u8>) -> Result<Self, DecodeError> {
        if access_unit.len() > MAX_CODED_BYTES {
            return Err(DecodeError::TooLong(access_unit.len()));
        }
        stream.clear();
        stream.reserve(access_unit.len());
        let mut screened = Self { stream, picture: false, key: false, size: None };
        for unit in annex_b::nal_units(access_unit) {
            match annex_b::unit_type(unit) {
                SLICE => screened.picture = true,
                IDR_SLICE => (screened.picture, screened.key) = (true, true),
                SPS => screened.size = Some(allowed_pixels(unit).ok_or(DecodeError::Format)?),
                PPS => {}
                _ => continue,
            }
            screened.stream.extend(START_CODE);
            screened.stream.extend_from_slice(unit);
        }
        Ok(screened)
    }
}

/// Width and height that a parameter set asks for, if pictures may be so large.
fn allowed_pixels(sps: &[u8]) -> Option<(u32, u32)> {
    let size = sps::coded_size(sps).filter(|size| allowed_size(size.width_mbs, size.height_mbs))?;
    Some((size.width_px, size.height_px))
}

fn planes<'a>(picture: &'a DecodedYUV<'_>) -> DecodedPlanes<'a> {
    let (width, height) = picture.dimensions();
    let (y_stride, u_stride, v_stride) = picture.strides();
    DecodedPlanes { width, height, planes: [(picture.y(), y_stride), (picture.u(), u_stride), (picture.v(), v_stride)] }
}

fn codec_error(error: openh264::Error) -> DecodeError {
    DecodeError::Codec(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::VideoCodec;
    use crate::video::encoder::EncodedFrame;
    use crate::video::h264::sps::tests::baseline;
    use crate::video::tests::{encode, noisy_pictures, psnr};

    fn encoded(pictures: &[VideoFrame], bitrate_bps: u32, key_every: usize) -> Vec<EncodedFrame> {
        encode(VideoCodec::H264, pictures, bitrate_bps, key_every)
    }

    fn without_unit(access_unit: &[u8], left_out: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        for (n, unit) in annex_b::nal_units(access_unit).enumerate() {
            if n != left_out {
                stream.extend(START_CODE);
                stream.extend_from_slice(unit);
            }
        }
        stream
    }

    #[test]
    fn a_picture_that_lacks_a_slice_is_not_shown_and_the_next_key_frame_heals() {
        let pictures = noisy_pictures(640, 480, 9);
        let frames = encoded(&pictures, 3_000_000, 4);
        let mut decoder = H264Decoder::default();
        for frame in &frames[..2] {
            decoder.decode(&frame.data).unwrap().unwrap();
        }
        let units = annex_b::nal_units(&frames[2].data).count();
        assert!(units > 3, "{units} slices");
        assert!(decoder.decode(&without_unit(&frames[2].data, 1)).is_err());
        assert!(matches!(decoder.decode(&frames[3].data), Err(DecodeError::AwaitingKeyFrame)));
        assert!(psnr(&pictures[4], &decoder.decode(&frames[4].data).unwrap().unwrap()) > 30.0);
        assert!(psnr(&pictures[5], &decoder.decode(&frames[5].data).unwrap().unwrap()) > 30.0);
    }

    #[test]
    fn a_picture_whose_predecessor_was_lost_is_an_error() {
        let frames = encoded(&noisy_pictures(640, 480, 5), 1_000_000, 100);
        let mut decoder = H264Decoder::default();
        decoder.decode(&frames[0].data).unwrap().unwrap();
        decoder.decode(&frames[1].data).unwrap().unwrap();
        assert!(decoder.decode(&frames[3].data).is_err());
    }

    #[test]
    fn hints_and_unknown_units_are_passed_over() {
        let frames = encoded(&noisy_pictures(320, 240, 1), 500_000, 100);
        let mut stream = vec![0, 0, 0, 1, 0x09, 0x10, 0, 0, 1, 0x06, 5, 1, 2, 3, 0x80];
        stream.extend(&frames[0].data);
        stream.extend([0, 0, 1, 0x6f, 0x42, 0, 0, 1, 0x74, 0xff, 0, 0, 1, 0x0c, 0xff, 0xff]);
        assert!(H264Decoder::default().decode(&stream).unwrap().is_some());
    }

    #[test]
    fn parameter_sets_alone_give_no_picture() {
        let frames = encoded(&noisy_pictures(320, 240, 2), 500_000, 100);
        let sets: Vec<u8> =
            annex_b::nal_units(&frames[0].data).take(2).flat_map(|unit| [&START_CODE[..], unit].concat()).collect();
        let mut decoder = H264Decoder::default();
        assert!(matches!(decoder.decode(&sets), Err(DecodeError::AwaitingKeyFrame)));
        decoder.decode(&frames[0].data).unwrap().unwrap();
        assert!(decoder.decode(&sets).unwrap().is_none());
        assert!(decoder.decode(&frames[1].data).unwrap().is_some());
    }

    #[test]
    fn a_stream_of_huge_pictures_is_refused_before_it_costs_memory() {
        let frames = encoded(&noisy_pictures(320, 240, 1), 500_000, 100);
        for (width_mbs, height_mbs) in [(257, 1), (1, 257), (120, 69), (1 << 16, 1 << 16)] {
            let mut stream = START_CODE.to_vec();
            stream.extend(baseline(width_mbs, height_mbs));
            stream.extend(without_unit(&frames[0].data, 0));
            let refused = H264Decoder::default().decode(&stream);
            assert!(matches!(refused, Err(DecodeError::Format)), "{width_mbs}x{height_mbs}");
        }
    }
}
