//! The packets on their way: sent, and not reported on.

use crate::clock::SequenceUnwrapper;
use crate::numbered::Numbered;

/// Packets kept at most: two seconds at 20 Mb/s. A peer that never reports must not make this grow for ever.
const MAX_PACKETS: usize = 4_096;

#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: i64,
    pub(super) bytes: usize,
    /// How long it is thought to wait behind others.
    pub(super) wait: i64,
}

#[derive(Debug, Default)]
pub(super) struct InFlight {
    numbers: SequenceUnwrapper,
    packets: Numbered<Sent>,
}

impl InFlight {
    pub(super) fn insert(&mut self, number: u16, sent: Sent) {
        let number = self.numbers.unwrap(number);
        self.packets.insert(number, sent);
        if self.packets.len() > MAX_PACKETS {
            self.packets.pop_first();
        }
    }

    /// Takes a packet out that was reported on, with its number counted on.
    pub(super) fn take(&mut self, number: u16) -> Option<(i64, Sent)> {
        let number = self.read(number);
        Some((number, self.packets.remove(number)?))
    }

    pub(super) fn get(&self, number: u16) -> Option<&Sent> {
        self.packets.get(self.read(number))
    }

    /// What comes before the first packet of a report will not be reported on any more: its report was lost.
    pub(super) fn forget_before(&mut self, number: u16) {
        let number = self.read(number);
        self.packets.drain_before(number);
    }

    /// Gives up what was sent before a moment.
    pub(super) fn expire(&mut self, before: i64) {
        while self.oldest().is_some_and(|oldest| oldest.at < before) {
            self.packets.pop_first();
        }
    }

    pub(super) fn oldest(&self) -> Option<&Sent> {
        self.packets.first().map(|(_, sent)| sent)
    }

    /// The packets after one, in their order.
    pub(super) fn after(&mut self, number: i64) -> impl Iterator<Item = &mut Sent> {
        self.packets.starting_at_mut(number + 1).map(|(_, sent)| sent)
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// A number from a report never moves what others are read by: it may be anything.
    fn read(&self, number: u16) -> i64 {
        let mut numbers = self.numbers;
        numbers.unwrap(number)
    }
}
