//! Bugs on purpose, in builds for tests: what a call does when a part of it panics can only be seen when one does.

/// A part of a call that runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// The task that owns the peer connection.
    Task = 1,
    /// The thread that compresses pictures.
    Encoder,
    /// The thread that decompresses and shows them.
    Decoder,
    /// The thread of all sound.
    Audio,
}

#[cfg(debug_assertions)]
mod on_purpose {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Part;

    /// Which part is to panic; 0 is none.
    static NEXT: AtomicU8 = AtomicU8::new(0);

    /// Lets that part of the running call panic, once.
    pub fn panic_in(part: Part) {
        NEXT.store(part as u8, Ordering::Relaxed);
    }

    /// Where a part may panic.
    pub(crate) fn here(part: Part) {
        if NEXT.load(Ordering::Relaxed) == part as u8 && NEXT.swap(0, Ordering::Relaxed) == part as u8 {
            panic!("on purpose: {part:?}");
        }
    }
}

#[cfg(debug_assertions)]
pub(crate) use on_purpose::here;
#[cfg(debug_assertions)]
pub use on_purpose::panic_in;

/// Where a part may panic in builds for tests.
#[cfg(not(debug_assertions))]
pub(crate) fn here(_: Part) {}
