//! The packets of the jitter buffer, in the order of their time stamps. Bounded.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Packets held at most: a second of the shortest, 2.5 ms each; far more of ordinary ones than are let stay.
pub(super) const MAX_PACKETS: usize = 400;

#[derive(Debug)]
pub(super) struct Held {
    pub(super) sequence: i64,
    pub(super) samples: i64,
    pub(super) payload: Bytes,
    /// It came in a later packet.
    pub(super) is_copy: bool,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    packets: BTreeMap<i64, Held>,
}

impl Queue {
    /// Gives the packet back when there is one for that time stamp already.
    pub(super) fn insert(&mut self, timestamp: i64, held: Held) -> Result<(), Held> {
        if self.packets.contains_key(&timestamp) {
            return Err(held);
        }
        self.packets.insert(timestamp, held);
        Ok(())
    }

    pub(super) fn first(&self) -> Option<(i64, &Held)> {
        self.packets.first_key_value().map(|(timestamp, held)| (*timestamp, held))
    }

    pub(super) fn pop_first(&mut self) -> Option<(i64, Held)> {
        self.packets.pop_first()
    }

    /// From the beginning of the first to the end of the last packet.
    pub(super) fn span(&self) -> i64 {
        let (Some((first, _)), Some((last, held))) = (self.packets.first_key_value(), self.packets.last_key_value())
        else {
            return 0;
        };
        last + held.samples - first
    }

    /// Drops packets that begin before `timestamp`; says how many.
    pub(super) fn drop_before(&mut self, timestamp: i64) -> u64 {
        self.drop_while(|queue| queue.first().is_some_and(|(first, _)| first < timestamp))
    }

    /// Drops the oldest until no more than `samples` are held; says how many.
    pub(super) fn shorten_to(&mut self, samples: i64) -> u64 {
        self.drop_while(|queue| queue.span() > samples)
    }

    pub(super) fn enforce_limit(&mut self) -> u64 {
        self.drop_while(|queue| queue.packets.len() > MAX_PACKETS)
    }

    pub(super) fn clear(&mut self) -> u64 {
        self.drop_while(|_| true)
    }

    fn drop_while(&mut self, unwanted: impl Fn(&Self) -> bool) -> u64 {
        let mut dropped = 0;
        while unwanted(self) && self.packets.pop_first().is_some() {
            dropped += 1;
        }
        dropped
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }
}
