//! What goes into a stream: a queue that never makes its sender wait, as datagrams do not, and the writing out of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// What may wait to be sent: 0.4 s at 2 Mb/s. What is beyond it is lost, as on any link that is full.
const QUEUE: usize = 128;
pub(super) const QUEUE_BYTES: usize = 96 * 1024;

/// Who takes nothing for so long is gone.
const NO_PROGRESS: Duration = Duration::from_secs(10);
/// What is queued when the socket is closed, the words that end a connection among it, may still be sent for this long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The sender's end. When it is dropped, what is queued is still sent.
#[derive(Debug)]
pub(super) struct Inlet {
    out: mpsc::Sender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    lost: u64,
}

/// The end of the task that writes.
#[derive(Debug)]
pub(super) struct Outlet {
    out: mpsc::Receiver<Vec<u8>>,
    /// How many bytes wait in `out`, and what is being written.
    queued: Arc<AtomicUsize>,
}

pub(super) fn pipe() -> (Inlet, Outlet) {
    let ((sender, receiver), queued) = (mpsc::channel(QUEUE), Arc::<AtomicUsize>::default());
    (Inlet { out: sender, queued: Arc::clone(&queued), lost: 0 }, Outlet { out: receiver, queued })
}

impl Inlet {
    /// Queues a message whole, or drops it where the queue is full or its reader gone.
    pub(super) fn push(&mut self, message: Vec<u8>) {
        let bytes = message.len();
        let is_full = self.queued.fetch_add(bytes, Relaxed) + bytes > QUEUE_BYTES;
        if is_full || self.out.try_send(message).is_err() {
            self.queued.fetch_sub(bytes, Relaxed);
            self.lost += 1;
            tracing::trace!(lost = self.lost, "a stream is full");
        }
    }

    /// How many messages were dropped.
    #[cfg(test)]
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    #[cfg(test)]
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued.load(Relaxed)
    }
}

impl Outlet {
    /// Writes what is queued, as much as there is at once, until the other end is dropped; then the rest of it, for a moment
    /// beyond the end of `socket`.
    ///
    /// # Errors
    ///
    /// When the stream breaks, or takes nothing for 10 s.
    pub(super) async fn write_to(
        &mut self,
        stream: impl AsyncWrite,
        socket: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let mut stream = std::pin::pin!(stream);
        let deadline = async {
            socket.await;
            sleep(LAST_WORDS).await;
        };
        let writing = async {
            while let Some(mut batch) = self.out.recv().await {
                while let Ok(more) = self.out.try_recv() {
                    batch.extend(more);
                }
                let mut rest = batch.as_slice();
                while !rest.is_empty() {
                    let written =
                        timeout(NO_PROGRESS, stream.write(rest)).await.map_err(|_| io::ErrorKind::TimedOut)??;
                    if written == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    rest = rest.get(written..).unwrap_or_default();
                }
                timeout(NO_PROGRESS, stream.flush()).await.map_err(|_| io::ErrorKind::TimedOut)??;
                self.queued.fetch_sub(batch.len(), Relaxed);
            }
            stream.shutdown().await
        };
        tokio::select! {
            result = writing => result,
            () = deadline => Ok(()),
        }
    }
}
