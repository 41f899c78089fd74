//! A single slot between two threads where the newest value wins: pictures go through it and
//! never queue. Not for anything that must not be lost.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A cell that holds at most one value. Putting a second one before the first is taken
/// overwrites it. Clones are handles of the same cell; any thread may put, take or close.
pub struct Latest<T> {
    shared: Arc<Shared<T>>,
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// Nothing was put in time.
    #[error("nothing came in time")]
    TimedOut,
    /// The cell was closed: nothing will ever come again.
    #[error("the cell is closed")]
    Closed,
}

struct Shared<T> {
    slot: Mutex<Slot<T>>,
    changed: Condvar,
}

struct Slot<T> {
    value: Option<T>,
    closed: bool,
    overwritten: u64,
}

impl<T> Latest<T> {
    /// An empty, open cell.
    pub fn new() -> Self {
        let slot = Slot { value: None, closed: false, overwritten: 0 };
        Self { shared: Arc::new(Shared { slot: Mutex::new(slot), changed: Condvar::new() }) }
    }

    /// Puts the newest value, dropping one that nobody took. Does nothing once closed. Never waits.
    pub fn put(&self, value: T) {
        let mut slot = self.slot();
        if slot.closed {
            return;
        }
        if slot.value.replace(value).is_some() {
            slot.overwritten += 1;
        }
        drop(slot);
        self.shared.changed.notify_one();
    }

    /// Takes the value, waiting up to `timeout` for one.
    ///
    /// # Errors
    /// [`TakeError::TimedOut`] if none came, [`TakeError::Closed`] as soon as the cell is closed.
    pub fn take_timeout(&self, timeout: Duration) -> Result<T, TakeError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut slot = self.slot();
        loop {
            if slot.closed {
                return Err(TakeError::Closed);
            }
            if let Some(value) = slot.value.take() {
                return Ok(value);
            }
            let left = deadline.map_or(timeout, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(TakeError::TimedOut);
            }
            let waited = self.shared.changed.wait_timeout(slot, left);
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Closes the cell, drops what is in it and wakes whoever waits.
    pub fn close(&self) {
        let mut slot = self.slot();
        slot.closed = true;
        slot.value = None;
        drop(slot);
        self.shared.changed.notify_all();
    }

    /// How many values were overwritten before anyone took them.
    pub fn overwritten(&self) -> u64 {
        self.slot().overwritten
    }

    // A panic while the lock is held cannot leave the slot half changed, so poisoning means nothing.
    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        self.shared.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn the_newest_value_wins_and_the_loss_is_counted() {
        let cell = Latest::new();
        for value in 1..=3 {
            cell.put(value);
        }
        assert_eq!(cell.take_timeout(Duration::ZERO), Ok(3));
        assert_eq!(cell.take_timeout(Duration::ZERO), Err(TakeError::TimedOut));
        assert_eq!(cell.overwritten(), 2);
    }

    #[test]
    fn a_waiting_thread_gets_what_is_put() {
        let cell = Latest::new();
        let taker = thread::spawn({
            let cell = cell.clone();
            move || cell.take_timeout(LONG)
        });
        cell.put("picture");
        assert_eq!(taker.join().unwrap(), Ok("picture"));
    }

    #[test]
    fn closing_wakes_the_waiting_thread_and_refuses_later_values() {
        let cell = Latest::<u8>::new();
        let taker = thread::spawn({
            let cell = cell.clone();
            move || cell.take_timeout(LONG)
        });
        cell.close();
        assert_eq!(taker.join().unwrap(), Err(TakeError::Closed));
        cell.put(1);
        assert_eq!(cell.take_timeout(LONG), Err(TakeError::Closed));
    }
}
