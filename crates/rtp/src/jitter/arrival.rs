//! Which packets came already, and when the fastest ones did.

use std::collections::VecDeque;

use super::SAMPLES_PER_MS;

/// How far back the fastest packet is looked for: long enough to meet one that nothing held up, short enough that a new
/// path of the network and drifting clocks are followed. NetEQ's is as long.
pub(super) const WINDOW: i64 = 2_000 * SAMPLES_PER_MS;

/// The window moves by this much at a time, which bounds what is kept.
const SLOT: i64 = 100 * SAMPLES_PER_MS;

/// Where a packet stands among those that came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Newer than all that came.
    Newest,
    /// Overtaken by another.
    Overtaken,
}

/// Remembers the newest sequence numbers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    newest: Option<i64>,
    /// Bit `n`: the packet `n` before the newest came.
    came: u128,
}

impl Seen {
    /// `None` for a packet that came already. One from before what is remembered passes for new.
    pub(super) fn note(&mut self, sequence: i64) -> Option<Order> {
        let Some(newest) = self.newest.filter(|newest| sequence <= *newest) else {
            let ahead = self.newest.map_or(0, |newest| sequence - newest);
            self.came = u32::try_from(ahead).ok().and_then(|ahead| self.came.checked_shl(ahead)).unwrap_or(0) | 1;
            self.newest = Some(sequence);
            return Some(Order::Newest);
        };
        let bit = u32::try_from(newest - sequence).ok().and_then(|behind| 1u128.checked_shl(behind)).unwrap_or(0);
        if self.came & bit != 0 {
            return None;
        }
        self.came |= bit;
        Some(Order::Overtaken)
    }

    /// Whether that packet came already, as far back as is remembered.
    pub(super) fn came(&self, sequence: i64) -> bool {
        let behind = self.newest.and_then(|newest| u32::try_from(newest - sequence).ok());
        behind.and_then(|behind| 1u128.checked_shl(behind)).is_some_and(|bit| self.came & bit != 0)
    }
}

/// The least of `arrival - time stamp` over the last two seconds of arrivals. That is a moment: when the sample with
/// the time stamp zero would have come if the network had held it up as little as it does.
#[derive(Debug, Default)]
pub(super) struct Fastest {
    /// The least of each slot, oldest first.
    slots: VecDeque<(i64, i64)>,
}

impl Fastest {
    /// Old packets are forgotten as new ones come, so that something is known for as long as nothing comes.
    /// Gives [`Self::zero`] as it is now.
    pub(super) fn note(&mut self, arrival: i64, timestamp: i64) -> i64 {
        let slot = arrival / SLOT;
        while self.slots.front().is_some_and(|(oldest, _)| *oldest <= slot - WINDOW / SLOT) {
            self.slots.pop_front();
        }
        let zero = arrival - timestamp;
        match self.slots.back_mut() {
            Some((newest, least)) if *newest >= slot => *least = zero.min(*least),
            Some(_) | None => self.slots.push_back((slot, zero)),
        }
        self.zero().unwrap_or(zero)
    }

    pub(super) fn zero(&self) -> Option<i64> {
        self.slots.iter().map(|(_, least)| *least).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_that_came_already_is_known_however_it_was_ordered() {
        let mut seen = Seen::default();
        assert_eq!(seen.note(10), Some(Order::Newest));
        assert_eq!(seen.note(13), Some(Order::Newest));
        assert_eq!(seen.note(12), Some(Order::Overtaken));
        assert_eq!(seen.note(12), None);
        assert_eq!(seen.note(13), None);
        assert_eq!(seen.note(10), None);
        assert_eq!(seen.note(13 + 200), Some(Order::Newest), "farther than what is remembered");
        assert_eq!(seen.note(13), Some(Order::Overtaken), "forgotten");
        assert_eq!(seen.note(212), Some(Order::Overtaken));
        assert_eq!(seen.note(212), None);
        assert!(seen.came(213) && seen.came(212) && !seen.came(211) && !seen.came(214) && !seen.came(13));
    }

    #[test]
    fn the_fastest_packet_counts_for_two_seconds() {
        let mut fastest = Fastest::default();
        let ms = SAMPLES_PER_MS;
        assert_eq!(fastest.zero(), None);
        fastest.note(1_000 * ms, 0);
        fastest.note(1_050 * ms, 20 * ms);
        assert_eq!(fastest.zero(), Some(1_000 * ms));
        for step in 2..97 {
            fastest.note((1_030 + 20 * step) * ms, 20 * step * ms);
            assert_eq!(fastest.zero(), Some(1_000 * ms), "step {step}");
        }
        for step in 97..110 {
            fastest.note((1_030 + 20 * step) * ms, 20 * step * ms);
        }
        assert_eq!(fastest.zero(), Some(1_030 * ms));
        assert!(fastest.slots.len() <= (WINDOW / SLOT) as usize);
    }
}
