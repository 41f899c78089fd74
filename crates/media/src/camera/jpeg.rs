//! The JPEGs of a camera: where one ends in a buffer that is longer, and what it shows. It comes from a device that may
//! be broken, so that anything may be in it.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::Cause;
use crate::convert::{ConvertError, rgb_to_i420};
use crate::frame::{FramePool, MAX_SIDE_PX, VideoFrame};

/// Why a buffer gave no picture.
#[derive(Debug, thiserror::Error)]
pub(super) enum JpegError {
    /// Not a JPEG, or one whose end is missing.
    #[error("it is no whole JPEG")]
    Incomplete,
    /// Its data make no sense, or it is too large.
    #[error("the JPEG cannot be decoded")]
    Codec(#[source] Cause),
    /// The picture cannot be used.
    #[error(transparent)]
    Convert(#[from] ConvertError),
}

/// Reads the JPEGs of one camera. Keeps its buffers from one to the next.
#[derive(Default)]
pub(super) struct JpegReader {
    rgb: Vec<u8>,
    marked: Vec<u8>,
}

impl JpegReader {
    /// Decodes the JPEG at the beginning of `buffer`; what lies behind its end is what was there before.
    pub(super) fn read(&mut self, frames: &mut FramePool, buffer: &[u8]) -> Result<VideoFrame, JpegError> {
        let Whole { jpeg, has_tables } = whole_jpeg(buffer).ok_or(JpegError::Incomplete)?;
        let jpeg = if has_tables { jpeg } else { mark_as_without_tables(jpeg, &mut self.marked) };
        let mut decoder = JpegDecoder::new_with_options(Cursor::new(jpeg), options());
        decoder.decode_headers().map_err(codec_error)?;
        let (width, height) = decoder.dimensions().ok_or(JpegError::Incomplete)?;
        // JFIF has full range and 4:2:2, 4:2:0 or grey, the rest of the app video range and 4:2:0. Through RGB the
        // libraries do all of it, in vector code.
        self.rgb.resize(decoder.output_buffer_size().ok_or(JpegError::Incomplete)?, 0);
        decoder.decode_into(&mut self.rgb).map_err(codec_error)?;
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Ok(rgb_to_i420(frames, &self.rgb, side(width), side(height))?)
    }
}

fn options() -> DecoderOptions {
    DecoderOptions::default()
        .set_max_width(MAX_SIDE_PX as usize)
        .set_max_height(MAX_SIDE_PX as usize)
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(ColorSpace::RGB)
}

fn codec_error(error: DecodeErrors) -> JpegError {
    JpegError::Codec(format!("{error:?}").into())
}

/// Many cameras leave out the Huffman tables and mean the standard's (ITU-T T.81 §K.3), as in AVI files. The decoder has
/// those, for JPEGs that bear the mark of such files.
fn mark_as_without_tables<'a>(jpeg: &[u8], marked: &'a mut Vec<u8>) -> &'a [u8] {
    const MARK: &[u8] = b"\xff\xe0\x00\x07AVI1\0";
    let (start, rest) = jpeg.split_at(SOI_BYTES.len());
    marked.clear();
    [start, MARK, rest].into_iter().for_each(|part| marked.extend_from_slice(part));
    marked
}

const SOI_BYTES: [u8; 2] = [0xff, 0xd8];

/// A JPEG with its end.
#[derive(Debug, PartialEq, Eq)]
struct Whole<'a> {
    jpeg: &'a [u8],
    /// Whether there are Huffman tables before the first scan.
    has_tables: bool,
}

/// The JPEG that `buffer` begins with, to the end of its EOI marker (ITU-T T.81 annex B). Walks from marker to marker:
/// a thumbnail inside a segment has an EOI of its own.
fn whole_jpeg(buffer: &[u8]) -> Option<Whole<'_>> {
    const SOI: u8 = 0xd8;
    const EOI: u8 = 0xd9;
    const DHT: u8 = 0xc4;
    const SOS: u8 = 0xda;
    const TEM: u8 = 0x01;
    if !buffer.starts_with(&SOI_BYTES) {
        return None;
    }
    let mut at = SOI_BYTES.len();
    let (mut has_tables, mut has_scan) = (false, false);
    loop {
        if *buffer.get(at)? != 0xff {
            return None;
        }
        // A marker may have any number of fill bytes before it (§B.1.1.2).
        while *buffer.get(at)? == 0xff {
            at += 1;
        }
        let marker = *buffer.get(at)?;
        at += 1;
        match marker {
            EOI => return Some(Whole { jpeg: buffer.get(..at)?, has_tables }),
            TEM | 0xd0..=SOI => {}
            _ => {
                let length = u16::from_be_bytes([*buffer.get(at)?, *buffer.get(at + 1)?]);
                at += usize::from(length);
                has_tables |= marker == DHT && !has_scan;
                if marker == SOS {
                    has_scan = true;
                    at += entropy_coded_len(buffer.get(at..)?)?;
                }
            }
        }
    }
}

/// How long the entropy-coded data are: to the first marker that is no restart. A zero marks an 0xff of the data
/// themselves (§B.1.1.5).
fn entropy_coded_len(data: &[u8]) -> Option<usize> {
    data.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
    use rand::{RngExt as _, SeedableRng as _};

    fn decode(buffer: &[u8]) -> Result<VideoFrame, JpegError> {
        JpegReader::default().read(&mut FramePool::default(), buffer)
    }

    /// A picture of slow waves, full range, interleaved, as JPEG.
    fn jpeg(width: u16, height: u16, sampling: SamplingFactor, colour: ColorType, progressive: bool) -> Vec<u8> {
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let wave = |period: f32| ((f32::from(x) + f32::from(y) * 2.0) / period).sin() * 60.0 + 128.0;
                let pixel = [wave(40.0) as u8, wave(90.0) as u8, wave(120.0) as u8];
                pixels.extend(if colour == ColorType::Luma { &pixel[..1] } else { &pixel[..] });
            }
        }
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, 95);
        encoder.set_sampling_factor(sampling);
        encoder.set_progressive(progressive);
        encoder.set_restart_interval(7);
        encoder.encode(&pixels, width, height, colour).unwrap();
        out
    }

    fn usual() -> Vec<u8> {
        jpeg(64, 48, SamplingFactor::R_4_2_2, ColorType::Ycbcr, false)
    }

    #[test]
    fn every_kind_that_cameras_send_is_read() {
        let wave = |x: f32, y: f32, period: f32| ((x + y * 2.0) / period).sin() * 60.0 + 128.0;
        for (sampling, colour, progressive) in [
            (SamplingFactor::R_4_2_2, ColorType::Ycbcr, false),
            (SamplingFactor::R_4_2_0, ColorType::Ycbcr, false),
            (SamplingFactor::R_4_4_4, ColorType::Ycbcr, false),
            (SamplingFactor::R_4_2_0, ColorType::Ycbcr, true),
            (SamplingFactor::R_4_4_4, ColorType::Luma, false),
        ] {
            // Odd sizes lose their last row and column.
            let frame = decode(&jpeg(131, 77, sampling, colour, progressive)).unwrap();
            assert_eq!((frame.width(), frame.height()), (130, 76));
            let colourless = colour == ColorType::Luma;
            for (at, y) in frame.y().iter().enumerate() {
                // From full to video range (BT.601).
                let wanted = 16.0 + wave((at % 130) as f32, (at / 130) as f32, 40.0) * 219.0 / 255.0;
                assert!((f32::from(*y) - wanted).abs() < 6.0, "{sampling:?} {colour:?}: {y} at {at}, not {wanted}");
            }
            for (plane, period) in [(frame.u(), 90.0), (frame.v(), 120.0)] {
                for (at, colour) in plane.iter().enumerate() {
                    let (x, y) = ((at % 65) as f32 * 2.0 + 0.5, (at / 65) as f32 * 2.0 + 0.5);
                    let wanted = if colourless { 128.0 } else { 128.0 + (wave(x, y, period) - 128.0) * 224.0 / 255.0 };
                    assert!((f32::from(*colour) - wanted).abs() < 6.0, "{sampling:?}: {colour} at {at}, not {wanted}");
                }
            }
        }
    }

    #[test]
    fn a_jpeg_ends_at_its_own_end() {
        let jpeg = usual();
        let whole = decode(&jpeg).unwrap();
        // What the picture before left in the buffer: another end among it.
        let mut padded = jpeg.clone();
        padded.extend([0x17, 0xff, 0x00, 0xff, 0xd9, 0x80]);
        padded.resize(1 << 16, 0);
        assert_eq!(whole_jpeg(&padded), Some(Whole { jpeg: &jpeg, has_tables: true }));
        assert_eq!(decode(&padded).unwrap(), whole);
        // A thumbnail in a segment, with fill bytes before the marker.
        let thumbnail = [&[0xff, 0xff, 0xe1, 0, 8, 0xff, 0xd8, 0xff, 0xd9, 0, 0][..]].concat();
        let with_thumbnail = [&jpeg[..2], &thumbnail[..], &jpeg[2..]].concat();
        assert_eq!(whole_jpeg(&with_thumbnail).map(|whole| whole.jpeg.len()), Some(jpeg.len() + thumbnail.len()));
    }

    #[test]
    fn without_huffman_tables_the_standard_ones_are_meant() {
        for sampling in [SamplingFactor::R_4_2_2, SamplingFactor::R_4_2_0] {
            let jpeg = jpeg(131, 77, sampling, ColorType::Ycbcr, false);
            let mut stripped = jpeg.clone();
            while let Some(at) = stripped.windows(2).position(|pair| pair == [0xff, 0xc4]) {
                let length = usize::from(u16::from_be_bytes([stripped[at + 2], stripped[at + 3]]));
                stripped.drain(at..at + 2 + length);
            }
            assert!(stripped.len() < jpeg.len() - 400, "there were tables");
            assert_eq!(whole_jpeg(&stripped), Some(Whole { jpeg: &stripped, has_tables: false }));
            assert_eq!(decode(&stripped).unwrap(), decode(&jpeg).unwrap());
        }
    }

    #[test]
    fn half_a_jpeg_is_none() {
        let jpeg = usual();
        for length in 0..jpeg.len() {
            let half = &jpeg[..length];
            assert!(matches!(decode(half), Err(JpegError::Incomplete)), "{length} of {} bytes", jpeg.len());
        }
    }

    #[test]
    fn a_jpeg_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
        let mut jpeg = usual();
        let frame_header = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[frame_header + 5..frame_header + 9].copy_from_slice(&[0xff; 4]);
        assert!(matches!(decode(&jpeg), Err(JpegError::Codec(_))));
    }

    #[test]
    fn no_damage_makes_it_panic() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let jpegs = [usual(), jpeg(33, 17, SamplingFactor::R_4_2_0, ColorType::Ycbcr, true)];
        let mut refused = 0;
        for round in 0..2_000 {
            let mut damaged = jpegs[round % 2].clone();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(2..damaged.len());
                damaged[at] = random.random();
            }
            refused += usize::from(decode(&damaged).is_err());
        }
        println!("{refused} of 2000 refused");
        assert!(refused > 200);
    }
}
