//! How often an address that proved nothing is answered: addresses can be forged, so who is told much gets it unasked.
//! Memory is bounded whatever comes. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::limits::Network;

/// Addresses that are told apart; strangers beyond them share one allowance.
const NETWORKS_MAX: usize = 8_192;
/// How much more all of them together may do than one.
const SHARE: f64 = 50.0;
/// Between two looks for addresses that are quiet again.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// One allowance an address, refilled all the time.
#[derive(Debug)]
pub(crate) struct Floods {
    per_s: f64,
    burst: f64,
    spent: HashMap<Network, Spent>,
    others: Spent,
    swept: Option<Instant>,
}

/// What of an allowance is used up, at a moment.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    amount: f64,
    at: Option<Instant>,
}

impl Floods {
    pub(crate) fn new(per_s: f64, burst: f64) -> Self {
        Self { per_s, burst, spent: HashMap::new(), others: Spent::default(), swept: None }
    }

    /// Uses one up; `false` when there was none.
    pub(crate) fn take(&mut self, network: Network, now: Instant) -> bool {
        self.sweep(now);
        let (per_s, burst) = (self.per_s, self.burst);
        if self.spent.len() < NETWORKS_MAX || self.spent.contains_key(&network) {
            self.spent.entry(network).or_default().take(now, per_s, burst)
        } else {
            self.others.take(now, per_s * SHARE, burst * SHARE)
        }
    }

    /// Forgets who is quiet, when there are many.
    fn sweep(&mut self, now: Instant) {
        let is_due = self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_PAUSE);
        if self.spent.len() >= NETWORKS_MAX / 2 && is_due {
            self.swept = Some(now);
            let per_s = self.per_s;
            self.spent.retain(|_, spent| spent.left(now, per_s) > 0.0);
        }
    }
}

impl Spent {
    /// What is still used up now.
    fn left(&mut self, now: Instant, per_s: f64) -> f64 {
        let rested = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.amount = (self.amount - rested.as_secs_f64() * per_s).max(0.0);
        self.amount
    }

    fn take(&mut self, now: Instant, per_s: f64, burst: f64) -> bool {
        let may = self.left(now, per_s) + 1.0 <= burst;
        if may {
            self.amount += 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn network(number: u32) -> Network {
        IpAddr::V4(Ipv4Addr::from_bits(number)).into()
    }

    #[test]
    fn one_address_gets_its_burst_then_its_rate_and_others_are_not_touched() {
        let now = tokio::time::Instant::now().into_std();
        let mut floods = Floods::new(20.0, 100.0);
        assert_eq!((0..200).filter(|_| floods.take(network(1), now)).count(), 100);
        assert!(floods.take(network(2), now));
        let later = now + Duration::from_secs(2);
        assert_eq!((0..200).filter(|_| floods.take(network(1), later)).count(), 40);
    }

    #[test]
    fn a_hundred_thousand_addresses_fill_no_memory_and_are_forgotten() {
        let now = tokio::time::Instant::now().into_std();
        let mut floods = Floods::new(20.0, 100.0);
        let answered = (0..100_000).filter(|number| floods.take(network(*number), now)).count();
        assert_eq!(answered, NETWORKS_MAX + 5_000);
        assert_eq!(floods.spent.len(), NETWORKS_MAX);
        assert!(floods.spent.capacity() < 4 * NETWORKS_MAX);
        let later = now + Duration::from_secs(2);
        assert!(floods.take(network(200_000), later));
        assert_eq!(floods.spent.len(), 1);
    }
}
