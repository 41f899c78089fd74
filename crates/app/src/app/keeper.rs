//! Writes settings and people on a thread of its own: a slow disk holds up nobody. Of one file only the newest text
//! waits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tracing::warn;

use crate::files::{self, FileError};

/// How long a reader waits for what is still to be written.
const WRITTEN_DEADLINE: Duration = Duration::from_secs(2);

/// Owns the thread. Clones share it; the last thing to do with it is [`Keeper::finish`].
#[derive(Clone)]
pub(crate) struct Keeper {
    desk: Arc<Desk>,
}

/// The thread's end.
pub(crate) struct Writer(JoinHandle<()>);

#[derive(Default)]
struct Desk {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    texts: BTreeMap<PathBuf, Vec<u8>>,
    writing: bool,
    ended: bool,
}

impl Keeper {
    /// Starts the thread; it tells `failed` what could not be written.
    pub(crate) fn start(failed: impl Fn(FileError) + Send + 'static) -> std::io::Result<(Self, Writer)> {
        let desk = Arc::new(Desk::default());
        let keeper = Self { desk: Arc::clone(&desk) };
        let writer = thread::Builder::new().name("files".into()).spawn(move || desk.write_all(&failed))?;
        Ok((keeper, Writer(writer)))
    }

    /// Will write this soon.
    pub(crate) fn write(&self, path: PathBuf, text: Vec<u8>) {
        self.desk.lock().texts.insert(path, text);
        self.desk.changed.notify_all();
    }

    /// Reads what was written last. Blocks.
    pub(crate) fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, FileError> {
        let unwritten = |pending: &mut Pending| pending.writing || !pending.texts.is_empty();
        let lock = self.desk.lock();
        // A disk that is slower than this gives what it has.
        drop(self.desk.changed.wait_timeout_while(lock, WRITTEN_DEADLINE, unwritten));
        files::read(path)
    }

    /// Writes what waits, and ends the thread. Blocks.
    pub(crate) fn finish(&self, writer: Writer) {
        self.desk.lock().ended = true;
        self.desk.changed.notify_all();
        if writer.0.join().is_err() {
            warn!("the thread that writes files panicked");
        }
    }
}

impl Desk {
    fn write_all(&self, failed: &impl Fn(FileError)) {
        while let Some((path, text)) = self.next() {
            if let Err(error) = files::write(&path, &text) {
                warn!(%error, "not kept");
                failed(error);
            }
            self.lock().writing = false;
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<(PathBuf, Vec<u8>)> {
        let idle = |pending: &mut Pending| pending.texts.is_empty() && !pending.ended;
        let waited = self.changed.wait_while(self.lock(), idle);
        let mut pending = waited.unwrap_or_else(PoisonError::into_inner);
        let next = pending.texts.pop_first();
        pending.writing = next.is_some();
        next
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Each change of it is whole.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.json");
        let (keeper, writer) = Keeper::start(|error| panic!("{error}")).unwrap();
        for number in 0..50 {
            keeper.write(path.clone(), files::to_text(&number));
            assert_eq!(keeper.read::<u32>(&path).unwrap(), Some(number));
        }
        keeper.write(path.clone(), files::to_text(&99));
        keeper.finish(writer);
        assert_eq!(files::read::<u32>(&path).unwrap(), Some(99));
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("alice");
        std::fs::write(&in_the_way, "a file where a folder should be").unwrap();
        let (told, errors) = std::sync::mpsc::channel();
        let (keeper, writer) = Keeper::start(move |error| told.send(error.to_string()).unwrap()).unwrap();
        keeper.write(in_the_way.join("people.json"), b"[]".to_vec());
        keeper.finish(writer);
        assert!(errors.try_recv().unwrap().contains("people.json"));
    }
}
