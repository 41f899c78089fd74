//! The way for bytes to one page's view: a socket here, a channel of the window system in the shell. It knows no picture.

use bytes::Bytes;

/// One page's end for the pictures of one view. Dropped, it hangs up.
pub trait Line: Send + Sync {
    /// Gives the page a message. Must not block; how many are on their way at once is bounded by the page's answers.
    ///
    /// # Errors
    /// If the page is gone, or so slow that it may as well be.
    fn send(&self, message: Bytes) -> Result<(), LineClosed>;
}

/// There is no page at the other end any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the page does not take pictures any more")]
pub struct LineClosed;
