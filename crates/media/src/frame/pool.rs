//! Memory for pictures, used again once nobody looks at the picture in it any more: a picture is half a megabyte or more, and
//! new memory of that size has to be cleared by the system each time.

use std::sync::Arc;

use super::{FrameError, VideoFrame};

/// Pictures whose memory is kept: one on its way to whoever wants it, one with each of two who look at it, the one before it,
/// and some that wait for their sound. Those beyond are freed like any memory.
const MOST: usize = 6;

/// Makes pictures. Belongs to one thread; the pictures do not.
#[derive(Debug, Default)]
pub struct FramePool {
    /// All of one size.
    kept: Vec<Arc<Vec<u8>>>,
}

impl FramePool {
    /// A picture of this size. `write` is given the three planes, Y first, in which anything may stand, and fills all of them.
    ///
    /// # Errors
    /// If the size is not allowed, and as `write` does.
    pub(crate) fn frame<E: From<FrameError>>(
        &mut self,
        width: u32,
        height: u32,
        write: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<VideoFrame, E> {
        let mut data = self.take(VideoFrame::byte_len(width, height)?);
        write(Arc::get_mut(&mut data).expect("it was taken because nobody else has it"))?;
        if self.kept.len() < MOST {
            self.kept.push(Arc::clone(&data));
        }
        Ok(VideoFrame { width, height, data })
    }

    fn take(&mut self, length: usize) -> Arc<Vec<u8>> {
        self.kept.retain(|kept| kept.len() == length);
        let free = self.kept.iter_mut().position(|kept| Arc::get_mut(kept).is_some());
        free.map_or_else(|| Arc::new(vec![0; length]), |place| self.kept.swap_remove(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(pool: &mut FramePool, side: u32, value: u8) -> VideoFrame {
        let fill = |data: &mut [u8]| {
            data.fill(value);
            Ok::<(), FrameError>(())
        };
        pool.frame(side, side, fill).unwrap()
    }

    #[test]
    fn memory_is_used_again_but_not_while_somebody_looks() {
        let mut pool = FramePool::default();
        let held = plain(&mut pool, 16, 1);
        let places: Vec<_> = (2..20).map(|value| plain(&mut pool, 16, value).data().as_ptr()).collect();
        assert_eq!(held.data(), [1; 384]);
        assert!(places.iter().all(|place| *place == places[0] && *place != held.data().as_ptr()), "{places:?}");
    }

    #[test]
    fn pictures_held_by_others_and_those_of_other_sizes_are_not_kept() {
        let mut pool = FramePool::default();
        let held: Vec<VideoFrame> = (0..20).map(|value| plain(&mut pool, 16, value)).collect();
        assert!((0..20).zip(&held).all(|(value, frame)| frame.data() == [value; 384]));
        assert_eq!(pool.kept.len(), MOST);
        assert_eq!(plain(&mut pool, 32, 7).data().len(), 1_536);
        assert_eq!(pool.kept.len(), 1);
    }

    #[test]
    fn a_picture_that_could_not_be_written_is_none() {
        let refused = FramePool::default().frame(16, 16, |_| Err(FrameError::Size { width: 1, height: 1 }));
        assert!(refused.is_err());
        assert!(FramePool::default().frame(15, 16, |_| Ok::<(), FrameError>(())).is_err());
    }
}
