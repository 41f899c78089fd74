//! The H.264 decoder. What it is given comes from the network: it looks at each access unit
//! before openh264 does, passes on only what an ordinary stream has, and starts afresh at the next
//! key frame after any damage.

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig};
use openh264::formats::YUVSource;

use crate::Cause;
use crate::frame::{FrameError, MAX_SIDE_PX, VideoFrame};
use crate::video::annex_b::{self, IDR_SLICE, PPS, SLICE, SPS, START_CODE};
use crate::video::sps;

/// The largest picture in macroblocks: level 4, 1920x1080, above what any call negotiates
/// (H.264 table A-1). Bounds what a hostile peer makes us allocate.
const MAX_MACROBLOCKS: u32 = 8192;

/// Far above any picture of that size at the rates of a call.
const MAX_ACCESS_UNIT_BYTES: usize = 2 << 20;

/// Why an access unit gave no picture. After any of these the stream goes on with the next key
/// frame, which the caller should ask the sender for.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Nothing can be decoded before a key frame.
    #[error("a key frame has to come first")]
    AwaitingKeyFrame,
    /// Longer than any picture.
    #[error("an access unit of {0} bytes is too long")]
    TooLong(usize),
    /// Larger pictures than anyone may send.
    #[error("the stream announces pictures that are too large or not 8-bit 4:2:0")]
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

/// Turns access units into pictures. Belongs to one thread.
#[derive(Default)]
pub struct H264Decoder {
    /// Made at a key frame, dropped at an error.
    decoder: Option<Decoder>,
}

impl H264Decoder {
    /// A decoder that waits for a key frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one access unit, an Annex B stream. Nothing if it held no picture.
    ///
    /// # Errors
    /// If the access unit is damaged, or needs a key frame that has not come.
    pub fn decode(&mut self, access_unit: &[u8]) -> Result<Option<VideoFrame>, DecodeError> {
        let decoded = self.try_decode(access_unit);
        if decoded.is_err() {
            self.reset();
        }
        decoded
    }

    /// Forgets everything; the next picture comes out of the next key frame.
    pub fn reset(&mut self) {
        self.decoder = None;
    }

    fn try_decode(&mut self, access_unit: &[u8]) -> Result<Option<VideoFrame>, DecodeError> {
        let screened = Screened::new(access_unit)?;
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
        copy(&picture.ok_or(DecodeError::Incomplete)?).map(Some)
    }
}

/// An access unit as the decoder may see it: slices and parameter sets only. Leaves out hints
/// (SEI), delimiters, filling, and the scalable extensions, which nobody negotiates and which
/// would be that much more code for a hostile stream to try.
struct Screened {
    stream: Vec<u8>,
    picture: bool,
    key: bool,
}

impl Screened {
    fn new(access_unit: &[u8]) -> Result<Self, DecodeError> {
        if access_unit.len() > MAX_ACCESS_UNIT_BYTES {
            return Err(DecodeError::TooLong(access_unit.len()));
        }
        let mut screened = Self { stream: Vec::with_capacity(access_unit.len()), picture: false, key: false };
        for unit in annex_b::nal_units(access_unit) {
            match annex_b::unit_type(unit) {
                SLICE => screened.picture = true,
                IDR_SLICE => (screened.picture, screened.key) = (true, true),
                SPS if !allowed(unit) => return Err(DecodeError::Format),
                SPS | PPS => {}
                _ => continue,
            }
            screened.stream.extend(START_CODE);
            screened.stream.extend_from_slice(unit);
        }
        Ok(screened)
    }
}

fn allowed(sps: &[u8]) -> bool {
    let max_side_mbs = MAX_SIDE_PX / 16;
    sps::coded_size(sps).is_some_and(|size| {
        size.width_mbs <= max_side_mbs
            && size.height_mbs <= max_side_mbs
            && size.width_mbs * size.height_mbs <= MAX_MACROBLOCKS
    })
}

fn copy(picture: &DecodedYUV<'_>) -> Result<VideoFrame, DecodeError> {
    let (width, height) = picture.dimensions();
    let (y_stride, u_stride, v_stride) = picture.strides();
    let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let mut data = Vec::with_capacity(VideoFrame::byte_len(side(width), side(height))?);
    append_plane(&mut data, picture.y(), y_stride, width, height)?;
    append_plane(&mut data, picture.u(), u_stride, width / 2, height / 2)?;
    append_plane(&mut data, picture.v(), v_stride, width / 2, height / 2)?;
    Ok(VideoFrame::new(side(width), side(height), data)?)
}

fn append_plane(
    data: &mut Vec<u8>,
    plane: &[u8],
    stride: usize,
    width: usize,
    height: usize,
) -> Result<(), DecodeError> {
    for row in 0..height {
        let start = row * stride;
        data.extend_from_slice(plane.get(start..start + width).ok_or(DecodeError::Incomplete)?);
    }
    Ok(())
}

fn codec_error(error: openh264::Error) -> DecodeError {
    DecodeError::Codec(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::FrameRate;
    use crate::video::encoder::tests::noisy_pictures;
    use crate::video::encoder::{EncodedFrame, H264Encoder};
    use crate::video::sps::tests::baseline;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Encodes with a key frame at every `key_every`th picture.
    fn encode(pictures: &[VideoFrame], bitrate_bps: u32, key_every: usize) -> Vec<EncodedFrame> {
        let mut encoder = H264Encoder::new(bitrate_bps, FrameRate::THIRTY);
        (pictures.iter().enumerate())
            .map(|(n, picture)| encoder.encode(picture, n % key_every == 0).unwrap().unwrap())
            .collect()
    }

    /// Peak signal to noise ratio of the brightness, in dB.
    fn psnr(a: &VideoFrame, b: &VideoFrame) -> f64 {
        assert_eq!((a.width(), a.height()), (b.width(), b.height()));
        let error: u64 = a.y().iter().zip(b.y()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
        10.0 * (255.0 * 255.0 * a.y().len() as f64 / error.max(1) as f64).log10()
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
    fn every_picture_comes_back_at_once_and_looks_like_itself() {
        for (width, height) in [(640, 480), (322, 242), (16, 16)] {
            let pictures = noisy_pictures(width, height, 20);
            let mut decoder = H264Decoder::new();
            for (sent, frame) in pictures.iter().zip(encode(&pictures, 3_000_000, 100)) {
                let shown = decoder.decode(&frame.data).unwrap().unwrap();
                let psnr = psnr(sent, &shown);
                assert!(psnr > 30.0, "{psnr} dB at {width}x{height}");
            }
        }
    }

    #[test]
    fn pictures_may_change_their_size() {
        let mut decoder = H264Decoder::new();
        for (width, height) in [(640, 480), (320, 240), (1280, 720), (320, 240)] {
            for frame in encode(&noisy_pictures(width, height, 3), 1_000_000, 100) {
                let shown = decoder.decode(&frame.data).unwrap().unwrap();
                assert_eq!((shown.width(), shown.height()), (width, height));
            }
        }
    }

    #[test]
    fn nothing_is_shown_before_a_key_frame() {
        let frames = encode(&noisy_pictures(320, 240, 4), 500_000, 3);
        let mut decoder = H264Decoder::new();
        for frame in &frames[1..3] {
            assert!(matches!(decoder.decode(&frame.data), Err(DecodeError::AwaitingKeyFrame)));
        }
        assert!(decoder.decode(&frames[3].data).unwrap().is_some());
    }

    #[test]
    fn a_picture_that_lacks_a_slice_is_not_shown_and_the_next_key_frame_heals() {
        let pictures = noisy_pictures(640, 480, 9);
        let frames = encode(&pictures, 3_000_000, 4);
        let mut decoder = H264Decoder::new();
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
        let frames = encode(&noisy_pictures(640, 480, 5), 1_000_000, 100);
        let mut decoder = H264Decoder::new();
        decoder.decode(&frames[0].data).unwrap().unwrap();
        decoder.decode(&frames[1].data).unwrap().unwrap();
        assert!(decoder.decode(&frames[3].data).is_err());
    }

    #[test]
    fn hints_and_unknown_units_are_passed_over() {
        let frames = encode(&noisy_pictures(320, 240, 1), 500_000, 100);
        let mut stream = vec![0, 0, 0, 1, 0x09, 0x10, 0, 0, 1, 0x06, 5, 1, 2, 3, 0x80];
        stream.extend(&frames[0].data);
        stream.extend([0, 0, 1, 0x6f, 0x42, 0, 0, 1, 0x74, 0xff, 0, 0, 1, 0x0c, 0xff, 0xff]);
        assert!(H264Decoder::new().decode(&stream).unwrap().is_some());
    }

    #[test]
    fn parameter_sets_alone_give_no_picture() {
        let frames = encode(&noisy_pictures(320, 240, 2), 500_000, 100);
        let sets: Vec<u8> =
            annex_b::nal_units(&frames[0].data).take(2).flat_map(|unit| [&START_CODE[..], unit].concat()).collect();
        let mut decoder = H264Decoder::new();
        assert!(matches!(decoder.decode(&sets), Err(DecodeError::AwaitingKeyFrame)));
        decoder.decode(&frames[0].data).unwrap().unwrap();
        assert!(decoder.decode(&sets).unwrap().is_none());
        assert!(decoder.decode(&frames[1].data).unwrap().is_some());
    }

    #[test]
    fn a_stream_of_huge_pictures_is_refused_before_it_costs_memory() {
        let frames = encode(&noisy_pictures(320, 240, 1), 500_000, 100);
        for (width_mbs, height_mbs) in [(257, 1), (1, 257), (120, 69), (1 << 16, 1 << 16)] {
            let mut stream = START_CODE.to_vec();
            stream.extend(baseline(width_mbs, height_mbs));
            stream.extend(without_unit(&frames[0].data, 0));
            let refused = H264Decoder::new().decode(&stream);
            assert!(matches!(refused, Err(DecodeError::Format)), "{width_mbs}x{height_mbs}");
        }
        let long = vec![0; MAX_ACCESS_UNIT_BYTES + 1];
        assert!(matches!(H264Decoder::new().decode(&long), Err(DecodeError::TooLong(_))));
    }

    #[test]
    fn damaged_streams_never_crash_and_never_outlast_a_key_frame() {
        let seed = 0x3264_2648;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let pictures = noisy_pictures(160, 128, 12);
        let frames = encode(&pictures, 400_000, 6);
        let mut decoder = H264Decoder::new();
        let mut errors = 0;
        for round in 0..3000 {
            let mut data = frames[round % frames.len()].data.clone();
            match random.random_range(0..4) {
                0 => data.truncate(random.random_range(0..data.len())),
                1 => data.extend((0..random.random_range(0..600)).map(|_| random.random::<u8>())),
                2 => data.iter_mut().skip(4).for_each(|byte| *byte = random.random()),
                _ => {}
            }
            for _ in 0..random.random_range(1..12) {
                if let Some(last) = data.len().checked_sub(1) {
                    let at = random.random_range(0..=last);
                    data[at] ^= 1 << random.random_range(0..8);
                }
            }
            errors += usize::from(decoder.decode(&data).is_err());
            if round % 50 == 49 {
                let healed = decoder.decode(&frames[6].data);
                let healed = match healed {
                    Ok(Some(picture)) => picture,
                    // The damage may show only now; then the one after is whole.
                    Ok(None) | Err(_) => decoder.decode(&frames[6].data).unwrap().unwrap(),
                };
                assert!(psnr(&pictures[6], &healed) > 25.0);
            }
        }
        assert!(errors > 1000, "{errors}");
    }
}
