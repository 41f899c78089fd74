//! Pictures in another size or another colour layout.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

use crate::Cause;
use crate::frame::{FrameError, VideoFrame};

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
}

/// Scales pictures; keeps its buffers from one to the next.
#[derive(Default)]
pub struct Scaler {
    resizer: Resizer,
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
        let mut data = vec![0; VideoFrame::byte_len(width, height)?];
        let (y, chroma) = data.split_at_mut(width as usize * height as usize);
        let (u, v) = chroma.split_at_mut(chroma.len() / 2);
        let chroma_from = (frame.chroma_width(), frame.chroma_height());
        let chroma_to = (width / 2, height / 2);
        self.scale_plane(frame.y(), (frame.width(), frame.height()), y, (width, height))?;
        self.scale_plane(frame.u(), chroma_from, u, chroma_to)?;
        self.scale_plane(frame.v(), chroma_from, v, chroma_to)?;
        Ok(VideoFrame::new(width, height, data)?)
    }

    fn scale_plane(
        &mut self,
        plane: &[u8],
        from: (u32, u32),
        out: &mut [u8],
        to: (u32, u32),
    ) -> Result<(), ConvertError> {
        let source = ImageRef::new(from.0, from.1, plane, PixelType::U8).map_err(scale_error)?;
        let mut target = Image::from_slice_u8(to.0, to.1, out, PixelType::U8).map_err(scale_error)?;
        // Convolution widens the filter when scaling down, so nothing flickers or moires.
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize(&source, &mut target, &options).map_err(scale_error)
    }
}

/// The largest even size of the same shape that fits into the given one. Never enlarges; a side
/// never falls below 16, the smallest the encoder takes.
pub fn fit_within(width: u32, height: u32, max_width: u32, max_height: u32) -> (u32, u32) {
    let shrink =
        (f64::from(max_width) / f64::from(width.max(1))).min(f64::from(max_height) / f64::from(height.max(1))).min(1.0);
    let side = |length: u32| (((f64::from(length) * shrink / 2.0).round() as u32) * 2).max(16);
    (side(width), side(height))
}

/// Writes the picture as RGBA, rows packed, into `rgba`, which takes its length from it.
///
/// # Errors
/// If the converter refuses; a valid [`VideoFrame`] gives it no reason to.
pub fn to_rgba(frame: &VideoFrame, rgba: &mut Vec<u8>) -> Result<(), ConvertError> {
    let (y, u, v) = frame.planes();
    rgba.resize(frame.width() as usize * frame.height() as usize * 4, 0);
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

    #[test]
    fn white_black_and_red_come_out_as_such() {
        let mut rgba = Vec::new();
        let near = |rgba: &[u8], wanted: [u8; 4]| {
            rgba.chunks_exact(4).all(|pixel| pixel.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 2))
        };
        for (yuv, wanted) in [
            ((235, 128, 128), [255, 255, 255, 255]),
            ((16, 128, 128), [0, 0, 0, 255]),
            ((81, 90, 240), [255, 0, 0, 255]),
        ] {
            to_rgba(&plain(322, 6, yuv), &mut rgba).unwrap();
            assert_eq!(rgba.len(), 322 * 6 * 4);
            assert!(near(&rgba, wanted), "{yuv:?} gave {:?}", &rgba[..4]);
        }
    }
}
