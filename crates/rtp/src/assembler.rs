//! The receiving side of pictures: packets in any order, some twice, some never, become coded pictures in decoding order.
//! It asks for a key frame when there is no other way on; asking for single packets again is not done here.

mod disposable;
mod events;
mod key_requests;
mod spacing;

use crate::clock::SequenceUnwrapper;
use crate::depacketizer::{Finished, Malformed, assemble, begins_key_picture, begins_picture, picture_id};
use crate::format::PictureFormat;
use crate::numbered::Numbered;
use crate::packet::RtpPacket;
use bytes::Bytes;
use key_requests::KeyRequests;
use spacing::Spacing;
use std::collections::VecDeque;
use std::time::Duration;

pub use events::{AssembledFrame, AssemblerEvent, AssemblerStats};

/// A packet that is missing for this long does not come any more: nobody asks for it longer than a second, and the answer
/// takes its time.
const LONGEST_REPAIR: Duration = Duration::from_millis(1_500);

/// A packet this much older than what was already used is not late but of a stream that began anew (RFC 3550 A.1).
const MAX_MISORDER: i64 = 1_000;

/// Limits and patience of a [`FrameAssembler`].
#[derive(Clone, Copy, Debug)]
pub struct AssemblerConfig {
    /// How long a missing packet is waited for before a key frame is asked for, until the round trip is known
    /// ([`FrameAssembler::set_round_trip`]).
    pub repair_wait: Duration,
    /// The first pause between two requests for a key frame; it doubles with each request. Longer where the round trip is.
    pub first_request_pause: Duration,
    /// The longest pause between two requests.
    pub longest_request_pause: Duration,
    /// Packets held at most.
    pub max_packets: usize,
    /// Payload bytes held at most.
    pub max_bytes: usize,
}

impl Default for AssemblerConfig {
    fn default() -> Self {
        Self {
            // Three round trips of 70 ms, which is a bad path within a continent, and a bit.
            repair_wait: Duration::from_millis(250),
            first_request_pause: Duration::from_millis(300),
            longest_request_pause: Duration::from_secs(4),
            // Ten times the packets of a large 720p key frame.
            max_packets: 2_048,
            max_bytes: 2_500_000,
        }
    }
}

/// Puts the packets of one stream of pictures together.
///
/// `now` is the time since any fixed moment, the same in every call, and does not go back.
#[derive(Debug)]
pub struct FrameAssembler {
    format: PictureFormat,
    config: AssemblerConfig,
    round_trip: Option<Duration>,
    unwrapper: SequenceUnwrapper,
    packets: Numbered<Held>,
    held_bytes: usize,
    position: Position,
    /// Packets before this one are used or given up.
    floor: Option<i64>,
    /// Where a stream that began anew would go on.
    restart_at: Option<i64>,
    requests: KeyRequests,
    spacing: Spacing,
    /// The id of the last picture that was used, where pictures have one.
    last_id: Option<u16>,
    events: VecDeque<AssemblerEvent>,
    stats: AssemblerStats,
    /// Where the next picture is put together.
    spare: Vec<u8>,
}

#[derive(Debug)]
struct Held {
    arrived: Duration,
    timestamp: u32,
    marker: bool,
    /// A key frame begins here.
    begins_key: bool,
    payload: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Any packet that begins a key frame will do, next.
    Searching,
    /// The packet with this number comes next.
    Following {
        next: i64,
        missing: Option<Gap>,
        /// Whether the picture that begins here must be a key frame.
        must_be_key: bool,
    },
}

/// Packets that have followers already and are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    /// When it was first seen.
    since: Duration,
    /// It lasts so long that a key frame is wanted. Whichever comes first, the packets or that, shows the way on.
    is_break: bool,
}

impl FrameAssembler {
    /// An assembler for one stream.
    pub fn new(format: PictureFormat, config: AssemblerConfig) -> Self {
        Self {
            format,
            config,
            round_trip: None,
            unwrapper: SequenceUnwrapper::default(),
            packets: Numbered::default(),
            held_bytes: 0,
            position: Position::Searching,
            floor: None,
            restart_at: None,
            requests: KeyRequests::default(),
            spacing: Spacing::default(),
            last_id: None,
            events: VecDeque::new(),
            stats: AssemblerStats::default(),
            spare: Vec::new(),
        }
    }

    /// Takes one packet in.
    pub fn push(&mut self, now: Duration, packet: RtpPacket) {
        let sequence = self.unwrapper.unwrap(packet.sequence);
        if self.floor.is_some_and(|floor| sequence < floor) && !self.begins_anew(packet.sequence, sequence) {
            self.stats.duplicates += 1;
            return;
        }
        let sequence = self.unwrapper.unwrap(packet.sequence);
        if self.packets.contains(sequence) {
            self.stats.duplicates += 1;
            return;
        }
        self.restart_at = None;
        self.held_bytes += packet.payload.len();
        let RtpPacket { timestamp, marker, payload, .. } = packet;
        let begins_key = begins_key_picture(self.format, &payload);
        let held = Held { arrived: now, timestamp, marker, begins_key, payload };
        self.packets.insert(sequence, held);
        self.advance(now);
        self.enforce_limits(now);
    }

    /// The next thing to say, if any. To be called until `None` after every other call.
    pub fn poll_event(&mut self) -> Option<AssemblerEvent> {
        self.events.pop_front()
    }

    /// Takes the bytes of a picture back that was handed out, so that the next one is put together in their memory.
    pub fn give_back(&mut self, data: Vec<u8>) {
        self.spare = data;
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let repair = match self.position {
            Position::Searching => None,
            Position::Following { missing, .. } => missing.map(|gap| match gap.is_break {
                false => gap.since + self.repair_wait(),
                true => gap.since + LONGEST_REPAIR,
            }),
        };
        repair.into_iter().chain(self.requests.due()).min()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.advance(now);
        if self.requests.due().is_some_and(|due| due <= now) {
            self.request_key_frame(now);
        }
    }

    /// Says how long the way to the sender and back takes, now that it is known, or known better.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
    }

    /// The decoder could not use what it got: nothing more until the next key frame, which is asked for.
    pub fn decoder_failed(&mut self, now: Duration) {
        let is_key = |event: &AssemblerEvent| matches!(event, AssemblerEvent::Frame(frame) if frame.key);
        if let Some(key) = self.events.iter().position(is_key) {
            // It was here before the decoder failed: what waits behind it can be decoded, and nothing has to be asked for.
            let dropped = self.events.drain(..key).filter(|event| matches!(event, AssemblerEvent::Frame(_))).count();
            self.stats.frames -= dropped as u64;
            return;
        }
        // What waits depends on what failed.
        let waiting = self.events.len();
        self.events.retain(|event| *event == AssemblerEvent::KeyFrameWanted);
        self.stats.frames -= (waiting - self.events.len()) as u64;
        self.stats.breaks += 1;
        self.lose_way(now);
        self.advance(now);
    }

    /// What happened so far.
    pub fn stats(&self) -> AssemblerStats {
        self.stats
    }

    /// A missing packet is asked for by NACK as soon as it is missed, and again after a round trip: three round trips are
    /// enough for three attempts, which fail together in 1 of 10,000 cases under 5 % loss, and the rest is for timers and
    /// jitter. Not less than 100 ms, for packets that are merely out of order; not more than 400 ms, because on so long a
    /// path a key frame gets the picture going sooner than the next attempt.
    fn repair_wait(&self) -> Duration {
        let Some(round_trip) = self.round_trip else {
            return self.config.repair_wait;
        };
        let attempts = round_trip.saturating_mul(3).saturating_add(Duration::from_millis(40));
        attempts.clamp(Duration::from_millis(100), Duration::from_millis(400))
    }

    /// A key frame takes the round trip to come, and some time to be sent: before that, a second one is not asked for.
    fn first_request_pause(&self) -> Duration {
        let answer = self.round_trip.map_or(Duration::ZERO, |time| time.saturating_add(Duration::from_millis(100)));
        self.config.first_request_pause.max(answer.min(self.config.longest_request_pause))
    }

    /// Whether a packet far in the past is the second in a row of a stream that began anew; if so, everything before is forgotten.
    fn begins_anew(&mut self, raw: u16, sequence: i64) -> bool {
        if self.floor.is_some_and(|floor| sequence >= floor - MAX_MISORDER) {
            return false;
        }
        if self.restart_at != Some(sequence) {
            self.restart_at = Some(sequence + 1);
            return false;
        }
        self.unwrapper = SequenceUnwrapper::default();
        self.unwrapper.unwrap(raw);
        self.stats.discarded += self.packets.len() as u64;
        self.packets.clear();
        self.held_bytes = 0;
        self.floor = None;
        self.restart_at = None;
        self.position = Position::Searching;
        true
    }

    /// Hands out everything that is complete and in order.
    fn advance(&mut self, now: Duration) {
        loop {
            let moved = match self.position {
                Position::Searching => self.search(now),
                Position::Following { next, missing, must_be_key } => self.follow(now, next, missing, must_be_key),
            };
            if !moved {
                return;
            }
        }
    }

    /// Looks for the first packet that begins a key frame.
    fn search(&mut self, now: Duration) -> bool {
        let found = self.packets.starting_at(i64::MIN).find(|(_, held)| held.begins_key).map(|(sequence, _)| sequence);
        if let Some(next) = found {
            self.go_to_key(next);
            return true;
        }
        // Nothing of use may still be overtaken by the beginning that it belongs to, for a while.
        let patience = self.repair_wait();
        let outdated = |held: &Held| held.arrived + patience <= now;
        while let Some((sequence, _)) = self.packets.first().filter(|(_, held)| outdated(held)) {
            self.discard_before(sequence + 1);
            self.request_key_frame(now);
        }
        if let Some((_, oldest)) = self.packets.first() {
            let due = oldest.arrived + patience;
            self.requests.plan(due, self.first_request_pause());
        }
        false
    }

    /// Hands out the picture that begins at `next`, once it is complete, or finds a way past it.
    fn follow(&mut self, now: Duration, next: i64, missing: Option<Gap>, must_be_key: bool) -> bool {
        match self.extent(next) {
            Extent::Complete { end } => {
                self.hand_out(now, end, must_be_key);
                true
            }
            Extent::Growing => {
                self.position = Position::Following { next, missing: None, must_be_key };
                false
            }
            Extent::Missing => {
                if let Some(key) = self.complete_key_after(next) {
                    self.go_to_key(key);
                    return true;
                }
                if let Some(end) = self.disposable(next).filter(|_| !must_be_key) {
                    self.leave_out(end);
                    return true;
                }
                let mut gap = missing.unwrap_or(Gap { since: now, is_break: false });
                if gap.since + LONGEST_REPAIR <= now {
                    self.give_up(now, next);
                    return true;
                }
                let breaks = !gap.is_break && gap.since + self.repair_wait() <= now;
                gap.is_break |= breaks;
                self.position = Position::Following { next, missing: Some(gap), must_be_key };
                if breaks {
                    self.stats.breaks += 1;
                    self.request_key_frame(now);
                }
                false
            }
        }
    }

    /// Goes on at the key frame that begins there.
    fn go_to_key(&mut self, key: i64) {
        self.discard_before(key);
        self.spacing.interrupt();
        self.position = Position::Following { next: key, missing: None, must_be_key: true };
    }

    /// The first key frame after `next` that is complete.
    fn complete_key_after(&self, next: i64) -> Option<i64> {
        let begins =
            self.packets.starting_at(next + 1).filter(|(_, held)| held.begins_key).map(|(sequence, _)| sequence);
        // A hostile stream may have a beginning in each packet; then looking at a few is enough.
        begins.take(4).find(|begin| matches!(self.extent(*begin), Extent::Complete { .. }))
    }

    /// How far the picture that begins at `next` is there.
    fn extent(&self, next: i64) -> Extent {
        let mut timestamp = None;
        for (expected, (sequence, held)) in (next..).zip(self.packets.starting_at(next)) {
            if sequence != expected {
                return Extent::Missing;
            }
            // Another time stamp, or where one can tell another beginning, ends a picture whose last packet had no marker.
            let another = expected > next && begins_picture(self.format, &held.payload);
            if another || *timestamp.get_or_insert(held.timestamp) != held.timestamp {
                return Extent::Complete { end: expected };
            }
            if held.marker {
                return Extent::Complete { end: expected + 1 };
            }
        }
        Extent::Growing
    }

    /// Takes the packets before `end` out, which are those of a picture, and hands that out if it is sound.
    fn hand_out(&mut self, now: Duration, end: i64, must_be_key: bool) {
        let rtp = self.packets.first().map_or(0, |(_, held)| held.timestamp);
        let id = self.packets.before(end).find_map(|(_, held)| picture_id(self.format, &held.payload));
        let payloads = self.packets.before(end).map(|(_, held)| held.payload.as_ref());
        let assembled = assemble(self.format, payloads, std::mem::take(&mut self.spare));
        let packets = self.take_out(end);
        self.floor = Some(end);
        self.position = Position::Following { next: end, missing: None, must_be_key };
        match assembled {
            Ok(Finished { data, .. }) if data.is_empty() => self.spare = data,
            Ok(Finished { data, key }) => {
                if must_be_key && !key {
                    self.stats.discarded += packets;
                    self.position = Position::Searching;
                    return;
                }
                self.spacing.used(rtp);
                self.last_id = id;
                self.emit(AssembledFrame { rtp, data, key });
                self.position = Position::Following { next: end, missing: None, must_be_key: false };
            }
            Err(Malformed) => {
                self.stats.discarded += packets;
                self.stats.breaks += 1;
                self.lose_way(now);
            }
        }
    }

    /// Goes on at `end`: nothing needs the incomplete picture before it.
    fn leave_out(&mut self, end: i64) {
        if let Some((_, left_out)) = self.packets.first() {
            self.last_id = picture_id(self.format, &left_out.payload);
            self.spacing.used(left_out.timestamp);
        }
        self.discard_before(end);
        self.stats.left_out += 1;
        self.position = Position::Following { next: end, missing: None, must_be_key: false };
    }

    fn emit(&mut self, frame: AssembledFrame) {
        self.stats.frames += 1;
        self.stats.key_frames += u64::from(frame.key);
        // Also where what was missing came after all.
        self.requests.close();
        self.events.push_back(AssemblerEvent::Frame(frame));
    }

    /// Gives up the picture that begins at `next`: its missing packet is not coming.
    fn give_up(&mut self, now: Duration, next: i64) {
        let Some((first, timestamp)) =
            self.packets.starting_at(next).next().map(|(first, held)| (first, held.timestamp))
        else {
            return;
        };
        let keep_from = if first == next {
            // Its beginning is there: what else is there of it goes as well.
            let rest = self.packets.starting_at(first).find(|(_, held)| held.timestamp != timestamp);
            let after_all = self.packets.last().map_or(next, |(last, _)| last + 1);
            rest.map_or(after_all, |(sequence, _)| sequence)
        } else {
            first
        };
        self.discard_before(keep_from);
        let is_counted = matches!(self.position, Position::Following { missing: Some(Gap { is_break: true, .. }), .. });
        self.stats.breaks += u64::from(!is_counted);
        self.lose_way(now);
    }

    fn lose_way(&mut self, now: Duration) {
        self.spacing.interrupt();
        self.position = Position::Searching;
        self.request_key_frame(now);
    }

    /// Asks for a key frame, unless one is coming in, or a request is out and its pause is not over.
    fn request_key_frame(&mut self, now: Duration) {
        let (patience, pause) = (self.repair_wait(), self.first_request_pause());
        let from = match self.position {
            Position::Searching => i64::MIN,
            Position::Following { next, .. } => next + 1,
        };
        let coming =
            self.packets.starting_at(from).filter(|(_, held)| held.begins_key).map(|(_, held)| held.arrived).max();
        if let Some(until) = coming.map(|arrived| arrived + patience).filter(|until| *until > now) {
            self.requests.postpone(until, pause);
        } else if self.requests.need(now, (pause, self.config.longest_request_pause)) {
            self.events.push_back(AssemblerEvent::KeyFrameWanted);
        }
    }

    fn enforce_limits(&mut self, now: Duration) {
        while self.packets.len() > self.config.max_packets || self.held_bytes > self.config.max_bytes {
            match self.position {
                Position::Following { next, .. } => self.give_up(now, next),
                Position::Searching => {
                    let Some((oldest, _)) = self.packets.first() else {
                        return;
                    };
                    self.discard_before(oldest + 1);
                }
            }
            self.advance(now);
        }
    }

    fn discard_before(&mut self, sequence: i64) {
        self.stats.discarded += self.take_out(sequence);
        self.floor = Some(self.floor.map_or(sequence, |floor| floor.max(sequence)));
    }

    /// Takes the packets before `end` out, and says how many there were.
    fn take_out(&mut self, end: i64) -> u64 {
        let mut packets = 0;
        for (_, held) in self.packets.drain_before(end) {
            packets += 1;
            self.held_bytes = self.held_bytes.saturating_sub(held.payload.len());
        }
        packets
    }
}

enum Extent {
    /// All packets up to but not including `end` are there.
    Complete { end: i64 },
    /// More packets have to come, none is known to be missing.
    Growing,
    /// A later packet is there, an earlier one is not.
    Missing,
}

#[cfg(test)]
mod tests;
