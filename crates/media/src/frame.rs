//! A raw picture as everything inside the app passes it: I420, 8 bits, video range (BT.601).

mod pool;

use std::fmt;
use std::sync::Arc;

pub use pool::FramePool;

/// The longest side a picture may have. Bounds the memory an outside file or peer can ask for.
pub const MAX_SIDE_PX: u32 = 4096;

/// A picture in I420: the planes Y, U, V packed in one buffer without padding, U and V at half
/// width and half height. Width and height are even, from 2 to [`MAX_SIDE_PX`]. Clones share
/// the buffer.
#[derive(Clone, PartialEq, Eq)]
pub struct VideoFrame {
    width: u32,
    height: u32,
    data: Arc<Vec<u8>>,
}

/// Why a buffer is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A side is odd, zero or too long.
    #[error("a picture of {width}x{height} cannot be used: both sides must be even and at most {MAX_SIDE_PX}")]
    Size {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// The buffer does not hold exactly the three planes.
    #[error("a picture of {width}x{height} takes {expected} bytes, not {actual}")]
    Length {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
        /// Bytes the three planes take.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
}

impl VideoFrame {
    /// Wraps a packed I420 buffer.
    ///
    /// # Errors
    /// If the size is not allowed or the buffer has another length than [`Self::byte_len`].
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Result<Self, FrameError> {
        let expected = Self::byte_len(width, height)?;
        if data.len() != expected {
            let actual = data.len();
            return Err(FrameError::Length { width, height, expected, actual });
        }
        Ok(Self { width, height, data: Arc::new(data) })
    }

    /// How many bytes a picture of this size takes.
    ///
    /// # Errors
    /// If the size is not allowed.
    pub fn byte_len(width: u32, height: u32) -> Result<usize, FrameError> {
        let allowed = |side: u32| (2..=MAX_SIDE_PX).contains(&side) && side.is_multiple_of(2);
        if !allowed(width) || !allowed(height) {
            return Err(FrameError::Size { width, height });
        }
        Ok(width as usize * height as usize / 2 * 3)
    }

    /// Width in pixels, also the bytes from one row of Y to the next.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Width of U and V, also the bytes from one of their rows to the next.
    pub fn chroma_width(&self) -> u32 {
        self.width / 2
    }

    /// Height of U and V.
    pub fn chroma_height(&self) -> u32 {
        self.height / 2
    }

    /// The three planes in one buffer, Y first.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The brightness plane.
    pub fn y(&self) -> &[u8] {
        self.planes().0
    }

    /// The blue-difference plane.
    pub fn u(&self) -> &[u8] {
        self.planes().1
    }

    /// The red-difference plane.
    pub fn v(&self) -> &[u8] {
        self.planes().2
    }

    /// Y, U and V.
    pub fn planes(&self) -> (&[u8], &[u8], &[u8]) {
        let (y, chroma) = self.data.split_at(self.data.len() / 3 * 2);
        let (u, v) = chroma.split_at(chroma.len() / 2);
        (y, u, v)
    }
}

impl fmt::Debug for VideoFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VideoFrame({}x{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_cut_at_the_right_places() {
        let mut data = vec![1; 4 * 6];
        data.extend([2; 2 * 3]);
        data.extend([3; 2 * 3]);
        let frame = VideoFrame::new(4, 6, data).unwrap();
        assert_eq!(frame.y(), [1; 24]);
        assert_eq!(frame.u(), [2; 6]);
        assert_eq!(frame.v(), [3; 6]);
    }

    #[test]
    fn odd_empty_and_huge_sizes_are_refused() {
        for (width, height) in [(3, 2), (2, 3), (0, 2), (2, 0), (4098, 2), (2, u32::MAX)] {
            let refused = VideoFrame::new(width, height, Vec::new());
            assert_eq!(refused, Err(FrameError::Size { width, height }));
        }
    }

    #[test]
    fn a_buffer_of_the_wrong_length_is_refused() {
        for length in [0, 5, 7] {
            assert!(matches!(VideoFrame::new(2, 2, vec![0; length]), Err(FrameError::Length { expected: 6, .. })));
        }
    }
}
