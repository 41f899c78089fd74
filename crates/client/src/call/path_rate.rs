//! What the path of a call usually carries: what is worth remembering for the next one. A moment's figure is not: the last
//! may be that of a network that is being left.

use std::collections::VecDeque;

use ahoy_transport::Network;

/// Readings that count, one a second.
const NEWEST: usize = 20;
/// Fewer say nothing.
const ENOUGH: usize = 4;

/// The newest readings on one network.
#[derive(Debug, Default)]
pub(super) struct PathRate {
    network: Option<Network>,
    readings: VecDeque<u64>,
}

impl PathRate {
    /// Takes a second's reading, as far as one is known. On another network everything begins anew.
    pub(super) fn take(&mut self, network: Option<Network>, bps: Option<u64>) {
        if self.network != network {
            *self = Self { network, readings: VecDeque::new() };
        }
        let Some(bps) = bps else { return };
        if self.readings.len() == NEWEST {
            self.readings.pop_front();
        }
        self.readings.push_back(bps);
    }

    /// The median, in bits a second, with the network that it was measured on.
    pub(super) fn usual(&self) -> Option<(Network, u64)> {
        let network = self.network.filter(|_| self.readings.len() >= ENOUGH)?;
        let mut sorted: Vec<u64> = self.readings.iter().copied().collect();
        sorted.sort_unstable();
        Some((network, *sorted.get(sorted.len() / 2)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: [u8; 4] = [192, 168, 1, 7];

    fn network(own: [u8; 4]) -> Option<Network> {
        Some(Network::new(own.into(), false))
    }

    #[test]
    fn a_moment_does_not_count_and_what_lasts_does() {
        let mut rate = PathRate::default();
        for bps in [900_000, 1_000_000, 1_100_000] {
            rate.take(network(HOME), Some(bps));
            assert_eq!(rate.usual(), None, "too few");
        }
        for bps in [1_000_000, 50_000_000, 30_000, 30_000] {
            rate.take(network(HOME), Some(bps));
        }
        assert_eq!(rate.usual(), network(HOME).map(|home| (home, 1_000_000)));
        for _ in 0..11 {
            rate.take(network(HOME), Some(400_000));
        }
        assert_eq!(rate.usual(), network(HOME).map(|home| (home, 400_000)));
    }

    #[test]
    fn seconds_without_a_reading_are_none_and_another_network_begins_anew() {
        let mut rate = PathRate::default();
        for _ in 0..5 {
            rate.take(network(HOME), Some(1_000_000));
            rate.take(network(HOME), None);
        }
        assert!(rate.usual().is_some());
        rate.take(network([10, 0, 0, 1]), Some(1_000_000));
        assert_eq!(rate.usual(), None);
        rate.take(None, Some(1_000_000));
        assert_eq!(rate.usual(), None);
    }
}
