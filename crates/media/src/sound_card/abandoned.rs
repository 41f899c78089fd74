//! Threads that do not come back from the sound system, counted for the whole process: calls come and go, and such a
//! thread stays.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::SoundEnd;

/// With so many of one kind no further one is started.
const MOST: usize = 2;

/// Those of one kind. Each has its own, since a microphone that hangs must not silence the speaker.
#[derive(Debug)]
pub(super) struct Abandoned {
    threads: Mutex<Vec<JoinHandle<()>>>,
}

static MICROPHONES: Abandoned = Abandoned::new();
static SPEAKERS: Abandoned = Abandoned::new();

/// Those that were to list the devices.
pub(super) static LISTERS: Abandoned = Abandoned::new();

/// Those that hold a stream of this kind.
pub(super) fn streams_of(end: SoundEnd) -> &'static Abandoned {
    match end {
        SoundEnd::Microphone => &MICROPHONES,
        SoundEnd::Speaker => &SPEAKERS,
    }
}

impl Abandoned {
    const fn new() -> Self {
        Self { threads: Mutex::new(Vec::new()) }
    }

    /// Nobody waits for this one any more.
    pub(super) fn add(&self, thread: JoinHandle<()>) {
        self.threads().push(thread);
    }

    /// Whether one more would be too many. Those that came back after all do not count.
    pub(super) fn is_full(&self) -> bool {
        let mut threads = self.threads();
        threads.retain(|thread| !thread.is_finished());
        threads.len() >= MOST
    }

    // A panic while the lock is held cannot leave the list half changed.
    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use std::thread;
    use std::time::{Duration, Instant};

    #[test]
    fn a_thread_counts_until_it_comes_back() {
        let abandoned = Abandoned::new();
        let (let_go, hangs) = sync_channel::<()>(1);
        abandoned.add(thread::spawn(move || {
            let _ = hangs.recv();
        }));
        assert!(!abandoned.is_full());
        let (_let_go_second, hangs) = sync_channel::<()>(1);
        abandoned.add(thread::spawn(move || {
            let _ = hangs.recv();
        }));
        assert!(abandoned.is_full());
        drop(let_go);
        let began = Instant::now();
        while abandoned.is_full() {
            assert!(began.elapsed() < Duration::from_secs(20), "the thread that came back still counts");
            thread::yield_now();
        }
    }
}
