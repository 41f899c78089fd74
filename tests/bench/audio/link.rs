//! What is between the two who talk: an emulated link, or this machine alone where it cannot have one.

use std::net::SocketAddr;
use std::time::Duration;

use ahoy_tests::harness::lab::{End, Lab, LinkChoice};
use tempfile::TempDir;

/// Who speaks is on this end, who listens on the other.
pub(super) const CALLER: End = End::A;

/// Both ends of it, ready for calls.
#[derive(Debug)]
pub(super) struct Link(Option<Emulated>);

#[derive(Debug)]
struct Emulated {
    lab: Lab,
    // Where the log is.
    _folder: TempDir,
}

impl Link {
    /// An emulated one, unless this machine cannot have it: then, and after a word about it, there is nothing between
    /// the two.
    pub(super) fn open(choice: &LinkChoice) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let lab = Lab::start(choice, Some(&folder.path().join("log")));
        Self(lab.map(|lab| Emulated { lab, _folder: folder }))
    }

    pub(super) fn is_emulated(&self) -> bool {
        self.0.is_some()
    }

    /// What `f` starts is on that end.
    pub(super) fn enter<T>(&self, end: End, f: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(emulated) => emulated.lab.enter(end, f),
            None => f(),
        }
    }

    /// Where whoever is on that end finds what listens outside.
    pub(super) fn reach(&self, end: End, to: SocketAddr) -> SocketAddr {
        match &self.0 {
            Some(emulated) => emulated.lab.forward(end, to, Duration::ZERO),
            None => to,
        }
    }

    /// Counts anew what is sent.
    pub(super) fn begin(&mut self) {
        if let Some(emulated) = &mut self.0 {
            emulated.lab.begin();
        }
    }

    /// What the caller sent for so long after that, IP headers and all; where it can be known.
    pub(super) fn sent_bps(&self, within: Duration) -> Option<f64> {
        let intervals = self.0.as_ref()?.lab.intervals(CALLER);
        let in_time = intervals.iter().take_while(|interval| u128::from(interval.ends_ms) <= within.as_millis());
        let (bytes, ends_ms) = in_time.fold((0, 0), |(bytes, _), one| (bytes + one.bytes_in, one.ends_ms));
        (ends_ms > 0).then(|| bytes as f64 * 8_000.0 / ends_ms as f64)
    }
}
