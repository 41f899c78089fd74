//! What every user has of the relay: so many allocations, and so many bytes a second over all of them. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::limits::{Bucket, Rate};
use crate::turn::metrics::Way;

/// What a datagram costs beside its payload, in bytes: about its headers on both sides of the relay, so that small ones and
/// empty ones are not free.
pub(super) const DATAGRAM: usize = 64;

/// Those who have allocations, or had them and have not rested since.
#[derive(Debug, Default)]
pub(super) struct Users(HashMap<Arc<str>, User>);

#[derive(Debug)]
struct User {
    allocations: usize,
    to_peer: Bucket,
    to_client: Bucket,
}

impl Users {
    pub(super) fn allocations(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, |user| user.allocations)
    }

    /// One more allocation. The rate is that of the first.
    pub(super) fn begin(&mut self, name: &Arc<str>, bytes_per_s: u32, now: Instant) {
        let bucket = Bucket::new(Rate { per_s: bytes_per_s, burst: bytes_per_s }, now);
        let new = || User { allocations: 0, to_peer: bucket, to_client: bucket };
        self.0.entry(Arc::clone(name)).or_insert_with(new).allocations += 1;
    }

    /// One fewer. What was carried stays counted, so that nobody gets a new allowance by beginning anew.
    pub(super) fn end(&mut self, name: &str) {
        if let Some(user) = self.0.get_mut(name) {
            user.allocations = user.allocations.saturating_sub(1);
        }
    }

    /// Whether a payload of so many bytes is within the allowance, which it then uses.
    pub(super) fn may_carry(&mut self, name: &str, way: Way, payload: usize, now: Instant) -> bool {
        let Some(user) = self.0.get_mut(name) else { return false };
        let bucket = match way {
            Way::ToPeer => &mut user.to_peer,
            Way::ToClient => &mut user.to_client,
        };
        let cost = u32::try_from(payload + DATAGRAM).unwrap_or(u32::MAX);
        let may = bucket.wait(cost, now).is_zero();
        if may {
            bucket.spend(cost);
        }
        may
    }

    /// Forgets those without allocations who have rested: a second is enough.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.0.retain(|_, user| user.allocations > 0 || !user.to_peer.is_full(now) || !user.to_client.is_full(now));
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
