//! What a link does to packets: it delays all of them and some more, so that they come out of order, and loses some.

use std::time::Duration;

use ahoy_rtp::RtpPacket;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What every packet takes at least.
const DELAY: Duration = Duration::from_millis(20);

/// From when a packet should have come until it comes at the second attempt, where it does.
const REPAIR: Duration = Duration::from_millis(60);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) name: &'static str,
    /// Packets come up to this much later than they could.
    pub(crate) jitter: Duration,
    /// The part that is lost, of 1.
    pub(crate) loss: f64,
    /// Whether what is lost comes again.
    pub(crate) repairs: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Duration,
    /// Whether at the second attempt.
    pub(crate) again: bool,
    pub(crate) packet: RtpPacket,
}

impl Link {
    pub(crate) const CLEAN: Self = Self { name: "in order", jitter: Duration::ZERO, loss: 0.0, repairs: false };

    /// In the order in which they come.
    pub(crate) fn carry(self, sent: &[(Duration, RtpPacket)]) -> Vec<Arrival> {
        let mut rng = StdRng::seed_from_u64(7);
        let mut arrivals: Vec<Arrival> = Vec::new();
        for (at, packet) in sent {
            let again = rng.random_bool(self.loss);
            if again && !self.repairs {
                continue;
            }
            let late = self.jitter.mul_f64(rng.random_range(0.0..=1.0)) + if again { REPAIR } else { Duration::ZERO };
            arrivals.push(Arrival { at: *at + DELAY + late, again, packet: packet.clone() });
        }
        arrivals.sort_by_key(|arrival| arrival.at);
        arrivals
    }
}
