//! One way of a path in virtual time: a drop-tail queue before a bottleneck, loss, a fixed delay.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;
use std::time::Duration;

/// Packets that the queue holds, the one that is being sent among them.
const QUEUE_PACKETS: usize = 256;

/// How packets are lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    None,
    /// Each by itself, with this probability.
    Random(f64),
    /// This share of all, so many in a row in the mean, by Gilbert's model. A step of the model is a packet, not a time.
    Bursts(f64, f64),
}

/// What a way is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) delay: Duration,
    pub(crate) rate_bps: Option<f64>,
    pub(crate) loss: Loss,
    /// A packet in ten takes up to this much longer than the others, and is overtaken.
    pub(crate) disorder: Duration,
}

/// A way, with what is on it.
pub(crate) struct Link {
    way: Way,
    rng: StdRng,
    is_bad: bool,
    /// When each packet of the queue has passed the bottleneck.
    passed: VecDeque<Duration>,
}

impl Link {
    pub(crate) fn new(way: Way, seed: u64) -> Self {
        Self { way, rng: StdRng::seed_from_u64(seed), is_bad: false, passed: VecDeque::new() }
    }

    /// When a packet of `bytes` that is sent now arrives; `None` if it is lost.
    pub(crate) fn send(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        let mut passes = now;
        if let Some(rate_bps) = self.way.rate_bps {
            while self.passed.pop_front_if(|passed| *passed <= now).is_some() {}
            if self.passed.len() >= QUEUE_PACKETS {
                return None;
            }
            let free = self.passed.back().map_or(now, |last| now.max(*last));
            passes = free + Duration::from_secs_f64(bytes as f64 * 8.0 / rate_bps);
            self.passed.push_back(passes);
        }
        if self.loses() {
            return None;
        }
        let is_held_up = !self.way.disorder.is_zero() && self.rng.random_bool(0.1);
        let later = if is_held_up { self.way.disorder.mul_f64(self.rng.random()) } else { Duration::ZERO };
        Some(passes + self.way.delay + later)
    }

    fn loses(&mut self) -> bool {
        match self.way.loss {
            Loss::None => false,
            Loss::Random(share) => self.rng.random_bool(share),
            Loss::Bursts(share, mean_packets) => {
                let recovers = 1.0 / mean_packets;
                let breaks = recovers * share / (1.0 - share);
                self.is_bad ^= self.rng.random_bool(if self.is_bad { recovers } else { breaks });
                self.is_bad
            }
        }
    }
}
