//! Which packets are lost: each by itself with the same probability, or several in a row.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How packets are lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// None is.
    None,
    /// Each with this probability.
    Random {
        /// Which part of all, from 0 to 1.
        share: f64,
    },
    /// In bursts, by the model of Gilbert: in its bad state every packet is lost, in its good one none.
    Bursts {
        /// Which part of all, from 0 to 1.
        share: f64,
        /// How many in a row, in the mean; at least 1.
        mean_packets: f64,
    },
}

/// The fate of one packet after the other.
#[derive(Debug)]
pub(super) struct Losses {
    loss: Loss,
    random: StdRng,
    is_bad: bool,
}

impl Losses {
    pub(super) fn new(loss: Loss, seed: u64) -> Self {
        Self { loss, random: StdRng::seed_from_u64(seed), is_bad: false }
    }

    /// Whether the next packet is lost.
    pub(super) fn next(&mut self) -> bool {
        match self.loss {
            Loss::None => false,
            Loss::Random { share } => self.random.random_bool(share.clamp(0.0, 1.0)),
            Loss::Bursts { share, mean_packets } => {
                let recovers = 1.0 / mean_packets.max(1.0);
                // So that the bad state holds that share of all packets.
                let breaks = (recovers * share / (1.0 - share)).clamp(0.0, 1.0);
                let changes = self.random.random_bool(if self.is_bad { recovers } else { breaks });
                self.is_bad ^= changes;
                self.is_bad
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of a hundred thousand packets that is lost, and how many in a row.
    fn measured(loss: Loss, seed: u64) -> (f64, f64) {
        let mut losses = Losses::new(loss, seed);
        let lost: Vec<bool> = (0..100_000).map(|_| losses.next()).collect();
        let count = lost.iter().filter(|lost| **lost).count() as f64;
        let bursts = lost.chunk_by(|one, next| one == next).filter(|chunk| chunk[0]).count() as f64;
        (count / 100_000.0, count / bursts)
    }

    #[test]
    fn as_many_are_lost_as_asked_for_and_in_bursts_as_long() {
        for seed in 0..4 {
            let (share, burst) = measured(Loss::Random { share: 0.05 }, seed);
            assert!((0.045..0.055).contains(&share) && (1.03..1.08).contains(&burst), "{share} {burst} of seed {seed}");
            let (share, burst) = measured(Loss::Bursts { share: 0.05, mean_packets: 4.0 }, seed);
            assert!((0.043..0.057).contains(&share) && (3.7..4.3).contains(&burst), "{share} {burst} of seed {seed}");
        }
        assert!(measured(Loss::None, 0).0 == 0.0);
    }

    #[test]
    fn a_seed_repeats_a_run() {
        let loss = Loss::Bursts { share: 0.2, mean_packets: 4.0 };
        assert_eq!(measured(loss, 7), measured(loss, 7));
        assert_ne!(measured(loss, 7), measured(loss, 8));
    }
}
