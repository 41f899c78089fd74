//! The time since the start, on a clock that also counts while the machine sleeps, where the system has one: a call must
//! know that it was away.

use std::time::Duration;

/// A clock that began when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BootClock {
    began: Reading,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
type Reading = Duration;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
type Reading = std::time::Instant;

impl BootClock {
    pub(crate) fn start() -> Self {
        Self { began: read() }
    }

    /// How long ago it was made.
    pub(crate) fn elapsed(&self) -> Duration {
        elapsed_since(self.began)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read() -> Reading {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn elapsed_since(began: Reading) -> Duration {
    read().saturating_sub(began)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn read() -> Reading {
    std::time::Instant::now()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn elapsed_since(began: Reading) -> Duration {
    began.elapsed()
}
