//! Which of the machine's cores a thread, and what it starts, may run on. As Linux has it: a new process inherits the
//! cores of the thread that started it.

use std::panic::resume_unwind;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of a measurement: one for the server, all others for the load.
#[derive(Clone, Copy)]
pub(super) struct Cores {
    server: CpuSet,
    load: CpuSet,
}

impl Cores {
    /// The last core that this process may use, and the others. `None`: there is only one.
    pub(super) fn divide() -> Option<Self> {
        let allowed = sched_getaffinity(None).expect("a thread may ask for its own cores");
        let mut numbers = (0..CpuSet::MAX_CPU).rev().filter(|&number| allowed.is_set(number));
        let (mut server, mut load) = (CpuSet::new(), CpuSet::new());
        server.set(numbers.next()?);
        numbers.for_each(|number| load.set(number));
        (load.count() > 0).then_some(Self { server, load })
    }

    /// Does something on the server's core, such as starting the server.
    pub(super) fn on_the_servers<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        on(self.server, work)
    }

    /// Does something on the cores of the load, all of it on one thread.
    pub(super) fn run<T: Send, F: Future<Output = T>>(self, work: impl FnOnce() -> F + Send) -> T {
        on(self.load, || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
            runtime.block_on(work())
        })
    }
}

/// On a thread of its own: the caller's stays where it was.
fn on<T: Send>(cores: CpuSet, work: impl FnOnce() -> T + Send) -> T {
    let work = || {
        sched_setaffinity(None, &cores).expect("these are among the cores of this process");
        work()
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| resume_unwind(panic)))
}
