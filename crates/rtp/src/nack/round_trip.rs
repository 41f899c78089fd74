//! How long a request and its answer take, estimated as TCP does (RFC 6298 §2). Not the time that a packet is waited for.

use std::time::Duration;

/// Before anything is known: what libraries for calls commonly assume, between a city's and an ocean's.
const UNKNOWN: Duration = Duration::from_millis(100);

/// Beyond the variation: timers and threads are late by a few milliseconds where the path is not.
const GRANULARITY: Duration = Duration::from_millis(10);

/// A smoothed round trip time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    known: Option<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    smoothed: Duration,
    variation: Duration,
}

impl RoundTrip {
    pub(super) fn sample(&mut self, sample: Duration) {
        // Nobody can talk over a longer one; it also keeps what a hostile peer reports within bounds.
        let sample = sample.min(Duration::from_secs(1));
        self.known = Some(match self.known {
            // RFC 6298 takes half of the first sample, which would make the first repetitions of a call very late.
            None => Known { smoothed: sample, variation: sample / 8 },
            Some(Known { smoothed, variation }) => Known {
                smoothed: smoothed - smoothed / 8 + sample / 8,
                variation: variation - variation / 4 + smoothed.abs_diff(sample) / 4,
            },
        });
    }

    /// By when an answer should be there: the mean and two variations. RFC 6298 waits for four, because TCP pays for what is
    /// repeated too early by slowing down; here it costs a hundred bytes, and waiting may cost the picture.
    pub(super) fn longest(&self) -> Duration {
        self.known.map_or(UNKNOWN, |known| known.smoothed + (known.variation * 2).max(GRANULARITY))
    }
}
