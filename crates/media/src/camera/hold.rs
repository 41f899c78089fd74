//! Which cameras this process has in its hands. A capture thread may be stuck in a driver for ever; this keeps it to one
//! a camera, and tells such a camera from one in proper use.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why a camera cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Its owner uses it.
    InUse,
    /// Its owner has let go, its thread hangs in the driver.
    LeftBehind,
}

static CAMERAS: Mutex<BTreeMap<String, Held>> = Mutex::new(BTreeMap::new());
static FREED: Condvar = Condvar::new();

/// A camera in the hands of a thread. The thread lets go by dropping it.
#[derive(Debug)]
pub(super) struct Hold(String);

impl Hold {
    /// Takes a camera, waiting until it is free for `within`.
    pub(super) fn take(id: &str, within: Duration) -> Result<Self, Held> {
        let mut cameras = wait(id, within);
        match cameras.get(id) {
            Some(held) => Err(*held),
            None => {
                cameras.insert(id.into(), Held::InUse);
                Ok(Self(id.into()))
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        cameras().remove(&self.0);
        FREED.notify_all();
    }
}

/// Waits until the camera is free, for `within`; a thread that still has it then is left behind.
pub(super) fn wait_until_free(id: &str, within: Duration) -> bool {
    let mut cameras = wait(id, within);
    let held = cameras.get_mut(id);
    let is_free = held.is_none();
    held.into_iter().for_each(|held| *held = Held::LeftBehind);
    is_free
}

fn wait(id: &str, within: Duration) -> MutexGuard<'static, BTreeMap<String, Held>> {
    let deadline = Instant::now() + within;
    let mut cameras = cameras();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if !cameras.contains_key(id) || left.is_zero() {
            return cameras;
        }
        cameras = FREED.wait_timeout(cameras, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

// Nothing panics while it is locked.
fn cameras() -> MutexGuard<'static, BTreeMap<String, Held>> {
    CAMERAS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_camera_is_held_by_one_at_a_time() {
        let hold = Hold::take("one", Duration::ZERO).unwrap();
        assert_eq!(Hold::take("one", Duration::ZERO).err(), Some(Held::InUse));
        assert!(Hold::take("another", Duration::ZERO).is_ok());
        let waiting = thread::spawn(|| Hold::take("one", LONG).map(drop));
        drop(hold);
        assert_eq!(waiting.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_thread_that_hangs_is_known_until_it_lets_go() {
        let hold = Hold::take("hanging", Duration::ZERO).unwrap();
        assert!(!wait_until_free("hanging", Duration::ZERO));
        assert_eq!(Hold::take("hanging", Duration::ZERO).err(), Some(Held::LeftBehind));
        drop(hold);
        assert!(wait_until_free("hanging", LONG));
        assert!(Hold::take("hanging", Duration::ZERO).is_ok());
    }
}
