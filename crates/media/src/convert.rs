//! Pictures in another size or another colour layout.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvError, YuvPackedImage, YuvPlanarImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix,
};

use crate::Cause;
use crate::frame::{FrameError, FramePool, VideoFrame};

/// Why a picture could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The size asked for is no picture size.
    #[error("no picture of the size asked for can be made")]
    Size(#[from] FrameError),
    /// The scaler refused its input.
    #[error("the picture could not be scaled")]
    Scale(#[source] Cause),
    /// The colour converter refused its input.
    #[error("the colours could not be converted")]
    Colour(#[source] Cause),
    /// The bytes end before the picture does.
    #[error("a picture of {expected} bytes came with {actual}")]
    Short {
        /// What the size and the row length make.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
}

/// Scales pictures; keeps its buffers from one to the next.
#[derive(Default)]
pub struct Scaler {
    resizer: Resizer,
    frames: FramePool,
}

impl Scaler {
    /// A scaler with empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The picture in the given size, stretched if its shape differs. The same size costs nothing.
    ///
    /// # Errors
    /// If the size is odd, zero or too large.
    pub fn scale(&mut self, frame: &VideoFrame, width: u32, height: u32) -> Result<VideoFrame, ConvertError> {
        if (frame.width(), frame.height()) == (width, height) {
            return Ok(frame.clone());
        }
        let resizer = &mut self.resizer;
        self.frames.frame(width, height, |data| {
            let (y, u, v) = planes_mut(data, width, height);
            let chroma_from = (frame.chroma_width(), frame.chroma_height());
            let chroma_to = (width / 2, height / 2);
            scale_plane(resizer, frame.y(), (frame.width(), frame.height()), y, (width, height))?;
            scale_plane(resizer, frame.u(), chroma_from, u, chroma_to)?;
            scale_plane(resizer, frame.v(), chroma_from, v, chroma_to)
        })
    }
}

fn scale_plane(
    resizer: &mut Resizer,
    plane: &[u8],
    from: (u32, u32),
    out: &mut [u8],
    to: (u32, u32),
) -> Result<(), ConvertError> {
    let source = ImageRef::new(from.0, from.1, plane, PixelType::U8).map_err(scale_error)?;
    let mut target = Image::from_slice_u8(to.0, to.1, out, PixelType::U8).map_err(scale_error)?;
    // Convolution widens the filter when scaling down, so nothing flickers or moires.
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    resizer.resize(&source, &mut target, &options).map_err(scale_error)
}

/// Y, U and V of a picture of this size.
fn planes_mut(data: &mut [u8], width: u32, height: u32) -> (&mut [u8], &mut [u8], &mut [u8]) {
    let (y, chroma) = data.split_at_mut(width as usize * height as usize);
    let (u, v) = chroma.split_at_mut(chroma.len() / 2);
    (y, u, v)
}

/// The largest even size of the same shape that fits into the given one. Never enlarges; a side
/// never falls below 16, the smallest the encoder takes.
pub fn fit_within(width: u32, height: u32, max_width: u32, max_height: u32) -> (u32, u32) {
    let shrink =
        (f64::from(max_width) / f64::from(width.max(1))).min(f64::from(max_height) / f64::from(height.max(1))).min(1.0);
    let side = |length: u32| (((f64::from(length) * shrink / 2.0).round() as u32) * 2).max(16);
    (side(width), side(height))
}

/// Writes the picture as RGBA, rows packed, into `rgba`, which takes four bytes a pixel.
///
/// # Errors
/// If `rgba` is too short; a valid [`VideoFrame`] gives the converter no other reason.
pub fn to_rgba(frame: &VideoFrame, rgba: &mut [u8]) -> Result<(), ConvertError> {
    let (y, u, v) = frame.planes();
    let image = YuvPlanarImage {
        y_plane: y,
        y_stride: frame.width(),
        u_plane: u,
        u_stride: frame.chroma_width(),
        v_plane: v,
        v_stride: frame.chroma_width(),
        width: frame.width(),
        height: frame.height(),
    };
    let stride = frame.width() * 4;
    yuv::yuv420_to_rgba(&image, rgba, stride, YuvRange::Limited, YuvStandardMatrix::Bt601)
        .map_err(|error| ConvertError::Colour(error.into()))
}

/// A picture from YUYV (4:2:2, two pixels in four bytes), video range. Rows begin `row_bytes` apart; bytes behind the
/// last row do not matter. An odd last row or column is cut off.
///
/// # Errors
/// If the bytes are too few or the size is not allowed.
pub fn yuyv_to_i420(
    frames: &mut FramePool,
    bytes: &[u8],
    row_bytes: u32,
    width: u32,
    height: u32,
) -> Result<VideoFrame, ConvertError> {
    let (width, height) = (even(width), even(height));
    let rows = prefix(bytes, row_bytes as usize * height as usize)?;
    let packed = YuvPackedImage { yuy: rows, yuy_stride: row_bytes, width, height };
    fill_i420(frames, width, height, |planes| yuv::yuyv422_to_yuv420(planes, &packed))
}

/// A picture from NV12 (4:2:0, the colours in turn behind the brightness), video range. Rows of both planes begin
/// `row_bytes` apart, the colours' right behind `height` rows of brightness. An odd last row or column is cut off.
///
/// # Errors
/// If the bytes are too few or the size is not allowed.
pub fn nv12_to_i420(
    frames: &mut FramePool,
    bytes: &[u8],
    row_bytes: u32,
    width: u32,
    height: u32,
) -> Result<VideoFrame, ConvertError> {
    let (stride, rows) = (row_bytes as usize, height as usize);
    let (width, height) = (even(width), even(height));
    let length = VideoFrame::byte_len(width, height)?;
    if row_bytes < width {
        return Err(ConvertError::Short { expected: length, actual: stride * rows });
    }
    let brightness = prefix(bytes, stride * rows)?;
    let colours = prefix(&bytes[brightness.len()..], stride * height as usize / 2)?;
    let (width_bytes, half) = (width as usize, width as usize / 2);
    frames.frame(width, height, |data| {
        let (y, u, v) = planes_mut(data, width, height);
        for (row, y) in brightness.chunks_exact(stride).zip(y.chunks_exact_mut(width_bytes)) {
            y.copy_from_slice(&row[..width_bytes]);
        }
        let rows = colours.chunks_exact(stride).zip(u.chunks_exact_mut(half)).zip(v.chunks_exact_mut(half));
        for ((row, u), v) in rows {
            for ((pair, u), v) in row[..width_bytes].chunks_exact(2).zip(u).zip(v) {
                (*u, *v) = (pair[0], pair[1]);
            }
        }
        Ok(())
    })
}

/// A picture from RGB, full range, three bytes a pixel, rows packed. An odd last row or column is cut off.
///
/// # Errors
/// If the bytes are too few or the size is not allowed.
pub fn rgb_to_i420(frames: &mut FramePool, bytes: &[u8], width: u32, height: u32) -> Result<VideoFrame, ConvertError> {
    let row_bytes = width.saturating_mul(3);
    let (width, height) = (even(width), even(height));
    let rows = prefix(bytes, row_bytes as usize * height as usize)?;
    fill_i420(frames, width, height, |planes| {
        let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt601);
        yuv::rgb_to_yuv420(planes, rows, row_bytes, range, matrix, YuvConversionMode::Balanced)
    })
}

fn even(side: u32) -> u32 {
    side & !1
}

fn prefix(bytes: &[u8], length: usize) -> Result<&[u8], ConvertError> {
    bytes.get(..length).ok_or(ConvertError::Short { expected: length, actual: bytes.len() })
}

fn fill_i420(
    frames: &mut FramePool,
    width: u32,
    height: u32,
    fill: impl FnOnce(&mut YuvPlanarImageMut<u8>) -> Result<(), YuvError>,
) -> Result<VideoFrame, ConvertError> {
    frames.frame(width, height, |data| {
        let (y, u, v) = planes_mut(data, width, height);
        let mut planes = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(y),
            y_stride: width,
            u_plane: BufferStoreMut::Borrowed(u),
            u_stride: width / 2,
            v_plane: BufferStoreMut::Borrowed(v),
            v_stride: width / 2,
            width,
            height,
        };
        fill(&mut planes).map_err(|error| ConvertError::Colour(error.into()))
    })
}

fn scale_error(error: impl std::error::Error + Send + Sync + 'static) -> ConvertError {
    ConvertError::Scale(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::TestPattern;

    fn plain(width: u32, height: u32, (y, u, v): (u8, u8, u8)) -> VideoFrame {
        let luma = (width * height) as usize;
        let mut data = vec![y; luma];
        data.extend(vec![u; luma / 4]);
        data.extend(vec![v; luma / 4]);
        VideoFrame::new(width, height, data).unwrap()
    }

    #[test]
    fn a_plain_picture_keeps_its_colours_in_every_size() {
        let mut scaler = Scaler::new();
        for (width, height) in [(2, 2), (322, 242), (1280, 720), (4096, 16)] {
            let scaled = scaler.scale(&plain(640, 480, (90, 40, 200)), width, height).unwrap();
            assert_eq!(scaled, plain(width, height, (90, 40, 200)));
        }
    }

    #[test]
    fn a_picture_scaled_down_and_up_again_looks_the_same() {
        let mut scaler = Scaler::new();
        let whole = TestPattern::new().frame(7);
        let small = scaler.scale(&whole, 640, 360).unwrap();
        let again = scaler.scale(&small, 1280, 720).unwrap();
        // The colour bars, where only the edges may differ.
        let error: u64 = (whole.u().iter().zip(again.u())).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(error / (whole.u().len() as u64) < 2, "mean error of U: {error} in all");
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let frame = plain(16, 16, (16, 128, 128));
        for (width, height) in [(0, 0), (15, 16), (16, 5000)] {
            assert!(matches!(
                Scaler::new().scale(&frame, width, height),
                Err(ConvertError::Size(FrameError::Size { .. }))
            ));
        }
    }

    #[test]
    fn fitting_keeps_the_shape_and_never_enlarges() {
        assert_eq!(fit_within(1920, 1080, 1280, 720), (1280, 720));
        assert_eq!(fit_within(640, 480, 1280, 720), (640, 480));
        assert_eq!(fit_within(1080, 1920, 1280, 720), (406, 720));
        assert_eq!(fit_within(4096, 2, 1280, 720), (1280, 16));
    }

    /// A picture of which no two bytes near each other are alike; colours are alike in pairs of rows.
    fn varied(width: u32, height: u32) -> VideoFrame {
        let length = VideoFrame::byte_len(width, height).unwrap();
        VideoFrame::new(width, height, (0..length).map(|at| 16 + (at * 7 % 211) as u8).collect()).unwrap()
    }

    /// `frame` in `rows` of rows whose spare bytes are 0xee.
    fn padded(rows: impl Iterator<Item = Vec<u8>>, row_bytes: usize) -> Vec<u8> {
        rows.flat_map(|mut row| {
            row.resize(row_bytes, 0xee);
            row
        })
        .collect()
    }

    #[test]
    fn yuyv_comes_out_as_it_went_in_whatever_the_row_length() {
        for (width, height, row_bytes) in [(64, 48, 128), (66, 4, 132), (322, 242, 704), (2, 2, 4)] {
            let frame = varied(width, height);
            let row = |y: usize| {
                let (luma, chroma) = (y * width as usize, y / 2 * width as usize / 2);
                (0..width as usize / 2)
                    .flat_map(|x| {
                        let at = chroma + x;
                        [frame.y()[luma + 2 * x], frame.u()[at], frame.y()[luma + 2 * x + 1], frame.v()[at]]
                    })
                    .collect()
            };
            let mut bytes = padded((0..height as usize).map(row), row_bytes);
            assert_eq!(
                yuyv_to_i420(&mut FramePool::default(), &bytes, row_bytes as u32, width, height).unwrap(),
                frame,
                "{width}x{height}"
            );
            bytes.extend([0xee; 4096]);
            assert_eq!(
                yuyv_to_i420(&mut FramePool::default(), &bytes, row_bytes as u32, width, height).unwrap(),
                frame,
                "with a long buffer"
            );
            let short = &bytes[..row_bytes * height as usize - 1];
            assert!(matches!(
                yuyv_to_i420(&mut FramePool::default(), short, row_bytes as u32, width, height),
                Err(ConvertError::Short { .. })
            ));
        }
    }

    #[test]
    fn nv12_comes_out_as_it_went_in_whatever_the_row_length() {
        for (width, height, row_bytes) in [(64, 48, 64), (66, 4, 66), (322, 242, 384), (2, 2, 2)] {
            let frame = varied(width, height);
            let half = width as usize / 2;
            let luma = frame.y().chunks_exact(width as usize).map(<[u8]>::to_vec);
            let colours = frame.u().chunks_exact(half).zip(frame.v().chunks_exact(half));
            let colours = colours.map(|(u, v)| u.iter().zip(v).flat_map(|(u, v)| [*u, *v]).collect());
            let mut bytes = padded(luma.chain(colours), row_bytes);
            assert_eq!(
                nv12_to_i420(&mut FramePool::default(), &bytes, row_bytes as u32, width, height).unwrap(),
                frame,
                "{width}x{height}"
            );
            let whole = bytes.len();
            bytes.extend([0xee; 4096]);
            assert_eq!(
                nv12_to_i420(&mut FramePool::default(), &bytes, row_bytes as u32, width, height).unwrap(),
                frame,
                "with a long buffer"
            );
            let short = &bytes[..whole - 1];
            assert!(matches!(
                nv12_to_i420(&mut FramePool::default(), short, row_bytes as u32, width, height),
                Err(ConvertError::Short { .. })
            ));
        }
    }

    #[test]
    fn odd_sizes_lose_their_last_row_and_column() {
        // YUYV rows hold whole pairs; NV12 has a row and a column of colours for the odd ones.
        let yuyv = yuyv_to_i420(&mut FramePool::default(), &[90; 8 * 5], 8, 3, 5).unwrap();
        assert_eq!(yuyv, plain(2, 4, (90, 90, 90)));
        let nv12 = nv12_to_i420(&mut FramePool::default(), &[90; 4 * 5 + 4 * 3], 4, 3, 5).unwrap();
        assert_eq!(nv12, plain(2, 4, (90, 90, 90)));
        let rgb = rgb_to_i420(&mut FramePool::default(), &[255; 3 * 5 * 3], 3, 5).unwrap();
        assert_eq!(rgb, plain(2, 4, (235, 128, 128)));
    }

    #[test]
    fn sizes_and_lengths_that_cannot_be_are_refused() {
        for (width, height, row_bytes) in [(0, 0, 0), (1, 1, 2), (64, 0, 128), (64, 48, 2), (5000, 2, 10_000)] {
            let bytes = vec![0; 1 << 16];
            assert!(
                yuyv_to_i420(&mut FramePool::default(), &bytes, row_bytes, width, height).is_err(),
                "YUYV {width}x{height} {row_bytes}"
            );
            assert!(
                nv12_to_i420(&mut FramePool::default(), &bytes, row_bytes, width, height).is_err(),
                "NV12 {width}x{height} {row_bytes}"
            );
        }
        assert!(rgb_to_i420(&mut FramePool::default(), &[0; 10], 2, 2).is_err());
        assert!(rgb_to_i420(&mut FramePool::default(), &[0; 10], u32::MAX, u32::MAX).is_err());
    }

    #[test]
    fn white_black_and_red_come_out_as_such() {
        let mut rgba = vec![0; 322 * 6 * 4];
        let near = |rgba: &[u8], wanted: [u8; 4]| {
            rgba.chunks_exact(4).all(|pixel| pixel.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 2))
        };
        for (yuv, wanted) in [
            ((235, 128, 128), [255, 255, 255, 255]),
            ((16, 128, 128), [0, 0, 0, 255]),
            ((81, 90, 240), [255, 0, 0, 255]),
        ] {
            to_rgba(&plain(322, 6, yuv), &mut rgba).unwrap();
            assert!(near(&rgba, wanted), "{yuv:?} gave {:?}", &rgba[..4]);
        }
        assert!(to_rgba(&plain(322, 6, (81, 90, 240)), &mut rgba[1..]).is_err(), "a byte too few");
    }
}
