//! Which missing packets of one stream to ask the sender for again, and when (RFC 4585 §6.2.1). Pure: it neither reads nor
//! writes RTCP, and a packet counts as received however it came: in time, late or retransmitted (RFC 4588).

mod round_trip;

use crate::clock::SequenceUnwrapper;
use round_trip::RoundTrip;
use std::collections::BTreeMap;
use std::time::Duration;

/// A gap is real once this many packets came after the one that showed it: networks swap neighbours, seldom more.
const REORDER_PACKETS: i64 = 2;

/// Or once it lasted this long, where no more packets come: the last packets of a picture have no followers for a while.
const REORDER_WAIT: Duration = Duration::from_millis(5);

/// How often a packet is asked for. By then a request, its answer or a repetition of either was lost five times.
const MAX_TRIES: u32 = 5;

/// A packet that came later would not be waited for any more.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A jump over more packets than this is no loss that can be repaired but an outage, or a stream that began anew. Asking for
/// all of them would fill a path that just broke down; the assembler sees the break too and asks for a key frame. Two packets
/// in a row prove it (RFC 3550 A.1): a single one is a stray, and must not end the repair of what is missing.
const MAX_GAP: i64 = 256;

/// A packet further back than this is not late but of a stream that began anew, if another follows it (RFC 3550 A.1).
const MAX_MISORDER: i64 = 1_000;

/// Packets that are asked for at the same time, all gaps together: half a second of a 4 Mb/s picture lost.
const MAX_MISSING: usize = 256;

/// What a packet that came was to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Newer than all before.
    Newest,
    /// It was missing.
    Filled,
    /// It was there already, had been given up, or is from too far away.
    Unneeded,
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// In its own stream.
    Itself,
    /// As a retransmission, in the stream of those.
    Again,
}

/// Watches the sequence numbers of one stream and tells which to ask for.
///
/// `now` is the time since any fixed moment, the same in every call, and does not go back.
#[derive(Debug, Default)]
pub struct NackGenerator {
    unwrapper: SequenceUnwrapper,
    newest: Option<i64>,
    /// What the sequence number after one from far away would be.
    restart_at: Option<u16>,
    missing: BTreeMap<i64, Missing>,
    round_trip: RoundTrip,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    /// The number of the packet that showed the gap.
    shown_by: i64,
    since: Duration,
    asked_at: Duration,
    asked: u32,
    /// When to ask next, or to give up.
    due: Duration,
}

impl NackGenerator {
    /// Takes note of a packet that came with its original sequence number, be it the packet itself or a retransmission.
    pub fn push(&mut self, now: Duration, sequence: u16, came: Came) -> Arrival {
        let Some(newest) = self.newest else {
            self.restart(sequence);
            return Arrival::Newest;
        };
        // On trial: a number from far away must not move what others are measured by.
        let mut unwrapper = self.unwrapper;
        let number = unwrapper.unwrap(sequence);
        if let Some(missing) = self.missing.remove(&number) {
            // Only an answer to a single request tells how long one takes (Karn's algorithm, RFC 6298 §3). A packet that
            // came itself was only late.
            if came == Came::Again && missing.asked == 1 {
                self.round_trip.sample(now.saturating_sub(missing.asked_at));
            }
            return Arrival::Filled;
        }
        if !(-MAX_MISORDER..=MAX_GAP).contains(&(number - newest)) {
            return self.jump(sequence, came);
        }
        if came == Came::Itself {
            self.restart_at = None;
        }
        if number <= newest {
            return Arrival::Unneeded;
        }
        self.unwrapper = unwrapper;
        self.advance(now, newest, number);
        Arrival::Newest
    }

    /// Takes a round trip time that was measured elsewhere: by RTCP reports or by ICE.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip.sample(round_trip);
    }

    /// The packets to ask for now, in order. They count as asked for.
    pub fn poll(&mut self, now: Duration) -> Vec<u16> {
        self.missing.retain(|_, missing| now.saturating_sub(missing.since) < MAX_AGE);
        let repeat_after = self.round_trip.longest();
        let mut asked_for = Vec::new();
        for (number, missing) in self.missing.iter_mut().filter(|(_, missing)| missing.due <= now) {
            missing.asked += 1;
            missing.asked_at = now;
            let give_up = missing.since.saturating_add(MAX_AGE);
            missing.due = if missing.asked < MAX_TRIES {
                // Doubled each time: where the round trip has grown unseen, requests must not pile up.
                now.saturating_add(repeat_after.saturating_mul(1 << (missing.asked - 1))).min(give_up)
            } else {
                give_up
            };
            asked_for.push(*number as u16);
        }
        asked_for
    }

    /// When to call [`poll`](Self::poll) next, if no packet comes before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.missing.values().map(|missing| missing.due).min()
    }

    /// Goes on to a packet beyond the newest; the ones between are missing.
    fn advance(&mut self, now: Duration, newest: i64, number: i64) {
        self.newest = Some(number);
        for missing in self.missing.values_mut() {
            if missing.asked == 0 && number - missing.shown_by >= REORDER_PACKETS {
                missing.due = missing.due.min(now);
            }
        }
        let shown =
            Missing { shown_by: number, since: now, asked_at: now, asked: 0, due: now.saturating_add(REORDER_WAIT) };
        self.missing.extend((newest + 1..number).map(|number| (number, shown)));
        while self.missing.len() > MAX_MISSING {
            self.missing.pop_first();
        }
    }

    /// Follows the stream to a number far away once a second packet confirms it. Retransmissions confirm nothing: they are
    /// of whatever the sender kept.
    fn jump(&mut self, sequence: u16, came: Came) -> Arrival {
        if came == Came::Again {
            return Arrival::Unneeded;
        }
        if self.restart_at != Some(sequence) {
            self.restart_at = Some(sequence.wrapping_add(1));
            return Arrival::Unneeded;
        }
        self.restart(sequence);
        Arrival::Newest
    }

    /// Begins anew at `sequence`.
    fn restart(&mut self, sequence: u16) {
        self.missing.clear();
        self.restart_at = None;
        self.unwrapper = SequenceUnwrapper::default();
        self.newest = Some(self.unwrapper.unwrap(sequence));
    }
}

#[cfg(test)]
mod tests;
