//! Which missing packets of one stream to ask the sender for again, and when (RFC 4585 §6.2.1). Pure: it neither reads nor
//! writes RTCP, and a packet counts as received however it came: in time, late or retransmitted (RFC 4588).

mod reordering;
mod rhythm;
mod round_trip;
mod tail;

use crate::clock::SequenceUnwrapper;
use reordering::Reordering;
use rhythm::Rhythm;
use round_trip::RoundTrip;
use std::collections::BTreeMap;
use std::time::Duration;
use tail::Tail;

/// How often a packet is asked for, repetitions to be sure not counted.
const MAX_TRIES: u32 = 12;

/// From this try on the distance to the next doubles: where so many failed in a row the round trip has grown unseen, or the
/// path is broken, and requests must not pile up.
const STEADY_TRIES: u32 = 5;

/// Each request is made again after this time, in case that it was lost: a request costs a hundred bytes, a lost one a round
/// trip. Senders do not send a packet twice within a round trip.
const COPY_AFTER: Duration = Duration::from_millis(10);

/// So far beyond the newest are packets asked for at most: a few lost pictures.
const MAX_PRESUMED: i64 = 32;

/// How often a packet is asked for that may never have been sent.
const MAX_PRESUMED_TRIES: u32 = 5;

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

/// What a packet's RTP header says of its place in the stream (RFC 3550 §5.1): the packet's own, or in a retransmission that
/// of the packet that is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Counts packets, wrapping at 65,536.
    pub sequence: u16,
    /// The same for all packets of a picture.
    pub timestamp: u32,
    /// It is the last packet of its picture.
    pub marker: bool,
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
    reordering: Reordering,
    tail: Tail,
    rhythm: Rhythm,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Duration,
    /// When it was asked for last, and the time before that.
    asked_at: Duration,
    asked_before: Duration,
    asked: u32,
    /// When the request is to be made again in case that it was lost.
    copy_due: Option<Duration>,
    /// When to ask next, or to give up.
    due: Duration,
    /// It may never have been sent: no packet after it came.
    is_presumed: bool,
}

impl Missing {
    fn new(now: Duration, due: Duration, is_presumed: bool) -> Self {
        Self { since: now, asked_at: now, asked_before: now, asked: 0, copy_due: None, due, is_presumed }
    }

    /// A packet after it came: it was sent. What was asked before may have been too soon, and tells nothing of the path.
    fn confirm(&mut self, now: Duration, repeat_after: Duration) {
        if !self.is_presumed {
            return;
        }
        (self.is_presumed, self.since) = (false, now);
        if self.asked > 0 {
            (self.asked, self.due) = (1, now.max(self.asked_at.saturating_add(repeat_after)));
        }
    }

    fn ask(&mut self, now: Duration, repeat_after: Duration) {
        self.asked += 1;
        (self.asked_before, self.asked_at) = (self.asked_at, now);
        self.copy_due = Some(now.saturating_add(COPY_AFTER));
        let give_up = self.since.saturating_add(MAX_AGE);
        let most = if self.is_presumed { MAX_PRESUMED_TRIES } else { MAX_TRIES };
        self.due = if self.asked < most {
            let doublings = self.asked.saturating_sub(STEADY_TRIES);
            now.saturating_add(repeat_after.saturating_mul(1 << doublings)).min(give_up)
        } else {
            give_up
        };
    }
}

impl NackGenerator {
    /// Takes note of a packet that came, be it the packet itself or a retransmission.
    pub fn push(&mut self, now: Duration, header: RtpHeader, came: Came) -> Arrival {
        let Some(newest) = self.newest else {
            self.restart(now, header);
            return Arrival::Newest;
        };
        // On trial: a number from far away must not move what others are measured by.
        let mut unwrapper = self.unwrapper;
        let number = unwrapper.unwrap(header.sequence);
        let was_missing = self.missing.remove(&number);
        if let Some(missing) = was_missing {
            self.learn(now, missing, came);
        }
        if was_missing.is_none() && !(-MAX_MISORDER..=MAX_GAP).contains(&(number - newest)) {
            return self.jump(now, header, came);
        }
        if came == Came::Itself {
            self.restart_at = None;
        }
        if number <= newest {
            return if was_missing.is_some() { Arrival::Filled } else { Arrival::Unneeded };
        }
        self.unwrapper = unwrapper;
        self.advance(now, newest, number);
        let begins_picture = self.tail.advance(now, number, header, came == Came::Itself);
        match came {
            Came::Itself if begins_picture => self.rhythm.picture(now, number == newest + 1),
            Came::Again if begins_picture => self.rhythm.repaired(now),
            Came::Itself | Came::Again => {}
        }
        if was_missing.is_some() && came == Came::Again { Arrival::Filled } else { Arrival::Newest }
    }

    /// Takes a round trip time that was measured elsewhere: by RTCP reports or by ICE.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip.sample(round_trip);
    }

    /// The packets to ask for now, in order. They count as asked for.
    pub fn poll(&mut self, now: Duration) -> Vec<u16> {
        self.presume(now);
        self.missing.retain(|_, missing| now.saturating_sub(missing.since) < MAX_AGE);
        let repeat_after = self.round_trip.longest();
        let mut asked_for = Vec::new();
        for (number, missing) in &mut self.missing {
            if missing.due <= now {
                missing.ask(now, repeat_after);
            } else if missing.copy_due.is_some_and(|due| due <= now) {
                missing.copy_due = None;
            } else {
                continue;
            }
            asked_for.push(*number as u16);
        }
        asked_for
    }

    /// When to call [`poll`](Self::poll) next, if no packet comes before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let missing =
            self.missing.values().map(|missing| missing.copy_due.map_or(missing.due, |due| due.min(missing.due)));
        missing.chain(self.tail.due()).chain(self.rhythm.due()).min()
    }

    /// Learns from how a missing packet came.
    fn learn(&mut self, now: Duration, missing: Missing, came: Came) {
        let since_asked = now.saturating_sub(missing.asked_at);
        let is_sooner_than_an_answer = since_asked < self.round_trip.longest() / 2;
        match came {
            // Without retransmissions agreed on, a peer may answer with the packet itself.
            Came::Itself if !missing.is_presumed && (missing.asked == 0 || is_sooner_than_an_answer) => {
                self.reordering.overtaken(now, now.saturating_sub(missing.since));
            }
            // Only an answer to a known request tells how long one takes (Karn's algorithm, RFC 6298 §3).
            Came::Again if missing.asked == 1 => self.round_trip.sample(since_asked),
            // It cannot be an answer to the last one: the repetition was too early.
            Came::Again if missing.asked > 1 && is_sooner_than_an_answer => {
                self.round_trip.sample(now.saturating_sub(missing.asked_before));
            }
            Came::Itself | Came::Again => {}
        }
    }

    /// Goes on to a packet beyond the newest; the ones between are missing.
    fn advance(&mut self, now: Duration, newest: i64, number: i64) {
        self.newest = Some(number);
        let due = now.saturating_add(self.reordering.wait(now));
        let missing = Missing::new(now, due, false);
        let repeat_after = self.round_trip.longest();
        for between in newest + 1..number {
            self.missing.entry(between).and_modify(|known| known.confirm(now, repeat_after)).or_insert(missing);
        }
        self.enforce_limit();
    }

    /// Takes the end of a picture that does not come for lost, or a picture that does not come at all.
    fn presume(&mut self, now: Duration) {
        let Some(newest) = self.newest else {
            return;
        };
        let mut after = newest;
        if let Some(packets) = self.tail.presume(now) {
            after = newest + packets;
        }
        if self.rhythm.presume(now) {
            // Beyond what is presumed lost already.
            let last = self.missing.last_key_value().map_or(newest, |(last, _)| newest.max(*last));
            after = after.max((last + self.tail.packets()).min(newest + MAX_PRESUMED));
        }
        let missing = Missing::new(now, now, true);
        for number in newest + 1..=after {
            self.missing.entry(number).or_insert(missing);
        }
        self.enforce_limit();
    }

    fn enforce_limit(&mut self) {
        while self.missing.len() > MAX_MISSING {
            self.missing.pop_first();
        }
    }

    /// Follows the stream to a number far away once a second packet confirms it. Retransmissions confirm nothing: they are
    /// of whatever the sender kept.
    fn jump(&mut self, now: Duration, header: RtpHeader, came: Came) -> Arrival {
        if came == Came::Again {
            return Arrival::Unneeded;
        }
        if self.restart_at != Some(header.sequence) {
            self.restart_at = Some(header.sequence.wrapping_add(1));
            return Arrival::Unneeded;
        }
        self.restart(now, header);
        Arrival::Newest
    }

    /// Begins anew at a packet.
    fn restart(&mut self, now: Duration, header: RtpHeader) {
        self.missing.clear();
        self.restart_at = None;
        self.unwrapper = SequenceUnwrapper::default();
        let number = self.unwrapper.unwrap(header.sequence);
        self.newest = Some(number);
        self.tail.restart();
        self.tail.advance(now, number, header, true);
        self.rhythm.restart();
    }
}

#[cfg(test)]
mod tests;
