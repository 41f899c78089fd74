//! How much is allowed (section 7 of `docs/signaling.md`), and the counters that say so. What is counted, and for whom, is
//! decided where it happens.

mod bucket;
mod network;
mod window;

use std::time::Duration;

pub(crate) use bucket::{Bucket, Buckets, Sender, SharedBuckets};
pub(crate) use network::{Network, SITE_NETWORKS};
pub(crate) use window::{Counter, Window};

/// A counter, or a set of buckets, holds this many keys before it looks for idle ones to forget.
const SWEEP_MIN: usize = 1_024;

/// What one client may do. The default is the contract's.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sign-ins refused for their key, signature, host or name, from one network.
    pub failed_logins: Allowance,
    /// Names bound for the first time, from one network.
    pub new_names: Allowance,
    /// Sessions that guests from one address, not loopback, begin.
    pub new_guests: Allowance,
    /// Sessions that guests from one address, not loopback, have at a time, those that linger included.
    pub guests: usize,
    /// Opening offers of one user, or of all guests from one address together, as are the next two.
    pub offers: Allowance,
    /// Opening offers of one user to one other.
    pub offers_to_one: Allowance,
    /// Opening offers of one user that reached nobody.
    pub unanswerable: Allowance,
    /// Messages of one connection that are no messages; the last one allowed is answered and closes it.
    pub bad_messages: Allowance,
    /// Messages of one session, over all its connections.
    pub messages: Rate,
    /// Of `ping` messages of one connection, those that are answered though the session sends too much.
    pub pings: Rate,
    /// Of one connection's messages that were refused as too many, those after which it is heard on at once. Beyond it the
    /// connection is read no faster than these come back.
    pub refusals: Rate,
    /// Bytes of the messages of one session.
    pub bytes: Rate,
    /// Messages from one address, over all sessions of users there, and once more over all those of guests. Not of
    /// loopback, here and in the next: a reverse proxy may stand there.
    pub network_messages: Rate,
    /// Messages from one address, over all its connections that have not signed in.
    pub unsigned_messages: Rate,
    /// Connections from one address, not loopback, that have not signed in; the oldest makes room for one more.
    pub unsigned: usize,
    /// How many bytes may wait for a slow reader, or unacknowledged.
    pub waiting_bytes: usize,
    /// How many bytes all who read slowly, acknowledge nothing or are away may have waiting together. Beyond it, those of whom
    /// most waits lose it.
    pub held_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            failed_logins: Allowance { count: 5, span: MINUTE },
            new_names: Allowance { count: 10, span: Duration::from_secs(3_600) },
            new_guests: Allowance { count: 30, span: MINUTE },
            guests: 64,
            offers: Allowance { count: 30, span: MINUTE },
            offers_to_one: Allowance { count: 6, span: MINUTE },
            unanswerable: Allowance { count: 10, span: MINUTE },
            bad_messages: Allowance { count: 3, span: MINUTE },
            messages: Rate { per_s: 100, burst: 300 },
            pings: Rate { per_s: 1, burst: 10 },
            refusals: Rate { per_s: 100, burst: 300 },
            bytes: Rate { per_s: 256 * 1024, burst: 1024 * 1024 },
            // 40 busy sessions: an office behind one address.
            network_messages: Rate { per_s: 4_000, burst: 12_000 },
            unsigned_messages: Rate { per_s: 200, burst: 1_000 },
            unsigned: 256,
            waiting_bytes: 256 * 1024,
            // 1,000 times the above, and some 13 KiB for each of 20,000.
            held_bytes: 256 * 1024 * 1024,
        }
    }
}

/// So many in any time of this length.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// How many.
    pub count: usize,
    /// In how long a time.
    pub span: Duration,
}

impl Allowance {
    /// What so many may together.
    pub(crate) fn times(self, many: usize) -> Self {
        Self { count: self.count.saturating_mul(many), ..self }
    }
}

/// So many a second, and so many at once after a rest.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// In the long run.
    pub per_s: u32,
    /// At once.
    pub burst: u32,
}

impl Rate {
    /// What so many may together.
    pub(crate) fn times(self, many: usize) -> Self {
        let many = u32::try_from(many).unwrap_or(u32::MAX);
        Self { per_s: self.per_s.saturating_mul(many), burst: self.burst.saturating_mul(many) }
    }
}

/// Whole seconds for `retry_s`, rounded up so that trying then succeeds.
pub(crate) fn retry_s(wait: Duration) -> u32 {
    let whole_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(whole_s).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    pub(super) const SECOND: Duration = Duration::from_secs(1);

    pub(super) fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn seconds_to_wait_are_rounded_up() {
        assert_eq!([0, 1, 1_000, 1_001].map(|ms| retry_s(Duration::from_millis(ms))), [0, 1, 1, 2]);
    }
}
