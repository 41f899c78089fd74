//! A named thread that belongs to somebody: told to stop and joined when its owner lets go.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use tracing::error;

/// A running thread. Dropping it waits for the thread to end: within its longest wait, a second or two, some
/// more for a camera that does not answer.
#[derive(Debug)]
pub(crate) struct Worker {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

/// What a thread asks between two pieces of work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether the owner has let go.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Worker {
    /// Starts a thread; `body` returns soon after [`Stop::is_requested`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(name: &str, body: impl FnOnce(Stop) + Send + 'static) -> io::Result<Self> {
        let stop = Stop::default();
        let for_thread = stop.clone();
        let thread = Builder::new().name(name.to_owned()).spawn(move || body(for_thread))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Whether it has ended, so that dropping it takes no time.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks the thread to end, without waiting for it.
    pub(crate) fn request_stop(&self) {
        self.stop.0.store(true, Ordering::Relaxed);
    }

    /// Asks the thread to end and never waits for it: for one that is known to do so soon and owns all that it uses.
    pub(crate) fn let_go(mut self) {
        self.request_stop();
        self.thread = None;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.request_stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("a media thread panicked; all goes on without it");
        }
    }
}
