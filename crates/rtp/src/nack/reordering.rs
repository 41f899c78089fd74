//! How long packets of this stream really were overtaken, and so how long a gap may be nothing but that. Most paths never
//! change the order, and there a wait would only make each repair later.

use std::time::Duration;

/// One that was overtaken is remembered for this long: routes and radio links change.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Beyond this a request in vain, some hundred bytes, is cheaper than the wait.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// The most overtaken packet of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reordering {
    seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// How long after the first packet that overtook it the packet came.
    late: Duration,
    at: Duration,
}

impl Reordering {
    /// A packet came `late` after the first that overtook it, by itself.
    pub(super) fn overtaken(&mut self, now: Duration, late: Duration) {
        if self.seen.is_none_or(|seen| late >= seen.late || is_over(seen, now)) {
            self.seen = Some(Seen { late, at: now });
        }
    }

    /// How long a gap is given to close by itself.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        // A quarter more, since the next may be overtaken by more.
        let seen = self.seen.filter(|seen| !is_over(*seen, now));
        seen.map_or(Duration::ZERO, |seen| seen.late.saturating_add(seen.late / 4).min(LONGEST_WAIT))
    }
}

fn is_over(seen: Seen, now: Duration) -> bool {
    now.saturating_sub(seen.at) > REMEMBERED
}
