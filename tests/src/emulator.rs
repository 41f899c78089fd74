//! The link emulator: two network namespaces, joined by a path whose delay, rate, queue and loss are given. Whatever runs in
//! them needs not know of it. `ahoy-link` is its program, [`crate::harness::lab`] what runs peers on it.

mod bottleneck;
mod carrier;
mod direction;
mod end;
mod interval;
mod loss;
mod profile;
mod schedule;
mod trace;

pub use bottleneck::Capacity;
pub use direction::{Direction, Way};
pub use end::End;
pub use interval::Interval;
pub use loss::Loss;
pub use profile::{PROFILES, Profile};
pub use schedule::{Schedule, Step};
pub use trace::Trace;

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// A running one. Ends when it is dropped.
pub struct Emulator {
    ends: [Arc<End>; 2],
    /// Tells each direction when the clock begins; without it, it ends.
    begin: Vec<SyncSender<Instant>>,
    threads: Vec<JoinHandle<()>>,
}

/// What one direction needs.
#[derive(Debug)]
pub struct Course {
    /// What it is like.
    pub way: Way,
    /// Decides what is lost.
    pub seed: u64,
    /// Where an [`Interval`] is written each 100 ms from the beginning of the clock.
    pub log: Option<File>,
}

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)];

impl Emulator {
    /// Starts it; the first course is that from the first end to the second. `failed` hears, on a thread of the emulator, why
    /// one of them has ended: from then on nothing goes that way.
    ///
    /// # Errors
    /// What this machine lacks for it.
    ///
    /// # Panics
    /// When there are no threads.
    pub fn start(courses: [Course; 2], failed: impl Fn(String) + Clone + Send + 'static) -> Result<Self, String> {
        let [first, second] = ADDRESSES.map(|address| End::open(address).map(Arc::new));
        let ends = [first?, second?];
        let mut emulator = Self { ends, begin: Vec::new(), threads: Vec::new() };
        for (course, (from, to)) in courses.into_iter().zip([(0, 1), (1, 0)]) {
            let [from, to] = [from, to].map(|end: usize| Arc::clone(&emulator.ends[end]));
            // Whoever says it waits until the direction has heard it.
            let (begin, begun) = sync_channel(0);
            let direction = Direction::new(course.way, course.seed, Instant::now());
            let failed = failed.clone();
            let carry = move || {
                let carried = catch_unwind(AssertUnwindSafe(|| {
                    carrier::carry(direction, &from.device, &to.device, course.log, begun)
                }));
                let why = match carried {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "a panic, which was printed".to_owned(),
                };
                failed(format!("from {} to {}: {why}", from.address, to.address));
            };
            let named = thread::Builder::new().name(format!("way-{}", emulator.threads.len()));
            emulator.threads.push(named.spawn(carry).expect("there are threads"));
            emulator.begin.push(begin);
        }
        Ok(emulator)
    }

    /// The two ends.
    #[must_use]
    pub fn ends(&self) -> [&End; 2] {
        [&self.ends[0], &self.ends[1]]
    }

    /// Starts the clock of both directions, anew. From the return on everything is counted.
    ///
    /// # Errors
    /// When one of them has failed; why, it says itself.
    pub fn begin(&self) -> io::Result<()> {
        let now = Instant::now();
        self.begin.iter().try_for_each(|begin| begin.send(now).map_err(io::Error::other))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.begin.clear();
        for thread in self.threads.drain(..) {
            // A panic in it was printed.
            let _ = thread.join();
        }
    }
}
