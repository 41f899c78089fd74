//! Which cameras this process has in its hands. A capture thread may be stuck in a driver for ever; this keeps it to one
//! a camera, and tells such a camera from one in proper use.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
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

#[derive(Debug)]
struct Holder {
    held: Held,
    since: Instant,
    number: u64,
}

type Cameras = BTreeMap<String, Holder>;

static CAMERAS: Mutex<Cameras> = Mutex::new(BTreeMap::new());
static FREED: Condvar = Condvar::new();

/// A camera in the hands of a thread. The thread lets go by dropping it.
#[derive(Debug)]
pub(super) struct Hold(Ticket);

/// Names one hold among all that there ever were of a camera: the next may have begun when somebody asks about this one.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    id: String,
    number: u64,
}

impl Hold {
    /// Takes a camera, waiting until it is free for `within`.
    pub(super) fn take(id: &str, within: Duration) -> Result<Self, Held> {
        static TAKEN: AtomicU64 = AtomicU64::new(0);
        let mut cameras = wait(within, |cameras| !cameras.contains_key(id));
        match cameras.get(id) {
            Some(holder) => Err(holder.held),
            None => {
                let number = TAKEN.fetch_add(1, Ordering::Relaxed);
                cameras.insert(id.into(), Holder { held: Held::InUse, since: Instant::now(), number });
                Ok(Self(Ticket { id: id.into(), number }))
            }
        }
    }

    /// By which to ask about this hold once a thread has it.
    pub(super) fn ticket(&self) -> Ticket {
        self.0.clone()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        cameras().remove(&self.0.id);
        FREED.notify_all();
    }
}

impl Ticket {
    /// Waits until the thread has let go, for `within`; one that still has the camera then is left behind.
    pub(super) fn wait_until_free(&self, within: Duration) -> bool {
        let mut cameras = wait(within, |cameras| !self.is_held(cameras));
        let is_free = !self.is_held(&cameras);
        if let Some(holder) = cameras.get_mut(&self.id).filter(|_| !is_free) {
            holder.held = Held::LeftBehind;
        }
        is_free
    }

    fn is_held(&self, cameras: &Cameras) -> bool {
        cameras.get(&self.id).is_some_and(|holder| holder.number == self.number)
    }
}

/// How long ago the thread that is left behind with this camera took it.
pub(super) fn left_behind_for(id: &str) -> Option<Duration> {
    cameras().get(id).filter(|holder| holder.held == Held::LeftBehind).map(|holder| holder.since.elapsed())
}

fn wait(within: Duration, is_over: impl Fn(&Cameras) -> bool) -> MutexGuard<'static, Cameras> {
    let deadline = Instant::now() + within;
    let mut cameras = cameras();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if is_over(&cameras) || left.is_zero() {
            return cameras;
        }
        cameras = FREED.wait_timeout(cameras, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

// Nothing panics while it is locked.
fn cameras() -> MutexGuard<'static, Cameras> {
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
        let ticket = hold.ticket();
        assert_eq!(left_behind_for("hanging"), None);
        assert!(!ticket.wait_until_free(Duration::ZERO));
        assert!(left_behind_for("hanging").is_some());
        assert_eq!(Hold::take("hanging", Duration::ZERO).err(), Some(Held::LeftBehind));
        drop(hold);
        assert!(ticket.wait_until_free(LONG));
        assert!(Hold::take("hanging", Duration::ZERO).is_ok());
    }

    #[test]
    fn who_has_let_go_does_not_call_the_next_one_left_behind() {
        let first = Hold::take("wanted", Duration::ZERO).unwrap();
        let ticket = first.ticket();
        drop(first);
        let _second = Hold::take("wanted", Duration::ZERO).unwrap();
        assert!(ticket.wait_until_free(LONG));
        assert_eq!(Hold::take("wanted", Duration::ZERO).err(), Some(Held::InUse));
    }
}
