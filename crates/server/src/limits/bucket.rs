//! Token buckets: so many a second, and more after a rest. Pure: `now` is an argument.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::network::{Network, SITE_NETWORKS};
use super::{Rate, SWEEP_MIN};

/// A token bucket, full at first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    rate: Rate,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: f64::from(rate.burst), at: now }
    }

    /// How long until `cost` is there; zero if it is there now.
    pub(crate) fn wait(&mut self, cost: u32, now: Instant) -> Duration {
        let per_s = f64::from(self.rate.per_s);
        let rested_s = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + rested_s * per_s).min(f64::from(self.rate.burst));
        self.at = now;
        let missing = f64::from(cost) - self.tokens;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        // A rate of nothing never fills up; a day stands for never.
        Duration::try_from_secs_f64(missing / per_s).unwrap_or(Duration::MAX).min(Duration::from_secs(86_400))
    }

    pub(crate) fn spend(&mut self, cost: u32) {
        self.tokens -= f64::from(cost);
    }

    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.wait(self.rate.burst, now).is_zero()
    }
}

/// Who sends from a network. Each kind has an allowance of its own, so that those whom anybody can be use up nothing of
/// those who have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    Unsigned,
    Guest,
    User,
}

/// One bucket for each kind of sender in each network, as long as it is not full or somebody holds it.
#[derive(Debug)]
pub(crate) struct Buckets {
    signed_in: Rate,
    unsigned: Rate,
    buckets: HashMap<(Network, Sender), Arc<Mutex<Bucket>>>,
    sweep_at: usize,
}

impl Buckets {
    pub(crate) fn new(signed_in: Rate, unsigned: Rate) -> Self {
        Self { signed_in, unsigned, buckets: HashMap::new(), sweep_at: SWEEP_MIN }
    }

    /// The bucket of a network, and of the site it belongs to, for a connection to keep.
    pub(crate) fn of(&mut self, network: Network, sender: Sender, now: Instant) -> SharedBuckets {
        SharedBuckets(
            [(Some(network), 1), (network.site(), SITE_NETWORKS)]
                .map(|(network, many)| network.map(|network| self.one(network, sender, many, now))),
        )
    }

    fn one(&mut self, network: Network, sender: Sender, many: usize, now: Instant) -> Arc<Mutex<Bucket>> {
        if self.buckets.len() >= self.sweep_at {
            self.buckets.retain(|_, bucket| {
                let is_full = bucket.lock().unwrap_or_else(PoisonError::into_inner).is_full(now);
                Arc::strong_count(bucket) > 1 || !is_full
            });
            self.sweep_at = (self.buckets.len() * 2).max(SWEEP_MIN);
        }
        let rate = match sender {
            Sender::Unsigned => self.unsigned,
            Sender::Guest | Sender::User => self.signed_in,
        };
        let rate = rate.times(many);
        let bucket = self.buckets.entry((network, sender));
        Arc::clone(bucket.or_insert_with(|| Arc::new(Mutex::new(Bucket::new(rate, now)))))
    }
}

/// The buckets that a connection takes from, besides its own; none where it comes from nobody's address.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedBuckets([Option<Arc<Mutex<Bucket>>>; 2]);

impl SharedBuckets {
    /// Takes `cost` from each, or says how long it is to wait.
    pub(crate) fn spend(&self, cost: u32, now: Instant) -> Result<(), Duration> {
        let mut buckets: [_; 2] = std::array::from_fn(|at| {
            self.0[at].as_ref().map(|bucket| bucket.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let waits = buckets.iter_mut().flatten().map(|bucket| bucket.wait(cost, now));
        let wait = waits.max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(wait);
        }
        buckets.iter_mut().flatten().for_each(|bucket| bucket.spend(cost));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tests::{SECOND, start};

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let now = start();
        let mut bucket = Bucket::new(Rate { per_s: 100, burst: 300 }, now);
        for _ in 0..300 {
            assert_eq!(bucket.wait(1, now), Duration::ZERO);
            bucket.spend(1);
        }
        let wait = bucket.wait(1, now);
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(10), "{wait:?}");
        assert_eq!(bucket.wait(100, now + SECOND), Duration::ZERO);
        assert!(bucket.wait(101, now + SECOND) > Duration::ZERO);
        assert_eq!(bucket.wait(300, now + 100 * SECOND), Duration::ZERO);
        assert!(bucket.wait(301, now + 100 * SECOND) > Duration::ZERO, "never more than the burst");
        assert!(Bucket::new(Rate { per_s: 0, burst: 0 }, now).wait(1, now) > SECOND);
    }
}
