//! The audio buffer of fixed depth: which Opus packet plays next, or what to play instead of one that is not there.
//! A decision only; decoding is not done here, nor is the depth adapted.

use crate::clock::{self, AUDIO_CLOCK_HZ, SequenceUnwrapper, TimestampUnwrapper};
use crate::opus;
use crate::packet::RtpPacket;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much sound is held back where nothing else is known: two packets of 20 ms.
pub const DEFAULT_DEPTH: Duration = Duration::from_millis(40);

/// What [`Playout::DecodeFec`], [`Playout::Conceal`] and [`Playout::Silence`] play: 20 ms at 48 kHz.
pub const STEP_SAMPLES: u32 = 960;

/// Concealed steps in a row before it is taken that the sound has stopped: what concealment can hide.
const MAX_CONCEALED_STEPS: u32 = 3;

/// Sound beyond the depth that is let pass before it is cut: ordinary jitter.
const SLACK: i64 = 2_880;

/// A time stamp this far from what plays (5 s) belongs to a stream that began anew.
const MAX_JUMP: i64 = 5 * AUDIO_CLOCK_HZ as i64;

/// Packets held at most: two seconds of 10 ms packets.
const MAX_PACKETS: usize = 200;

/// An Opus frame is at most 1,275 bytes (RFC 6716 §3.4), and no sender here puts more than a datagram into a packet.
const MAX_PAYLOAD_BYTES: usize = 1_500;

/// What to play next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playout {
    /// Decode this packet and play what it holds, usually 20 ms.
    Decode(Bytes),
    /// A packet is lost and the one after it is here: play the [`STEP_SAMPLES`] that this one carries of the lost one.
    /// It comes again as [`Playout::Decode`].
    DecodeFec(Bytes),
    /// A packet is missing: let the decoder invent [`STEP_SAMPLES`].
    Conceal,
    /// Nothing is being said: play [`STEP_SAMPLES`] of silence.
    Silence,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Packets handed out for decoding.
    pub played: u64,
    /// Steps recovered from the packet after.
    pub recovered: u64,
    /// Steps invented by the decoder.
    pub concealed: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that were there already.
    pub duplicates: u64,
    /// Packets thrown away: no Opus, or the buffer held too much.
    pub discarded: u64,
    /// Times that playing began anew: at first, after a pause, after a jump of the time stamps.
    pub starts: u64,
}

/// Holds the packets of one Opus stream until they are due.
///
/// [`pull`](Self::pull) is called whenever the sound of the last call is used up; the caller's sound card is the clock.
/// `now` is the time since any fixed moment, the same in every call, and does not go back.
#[derive(Debug)]
pub struct JitterBuffer {
    depth: Duration,
    sequences: SequenceUnwrapper,
    timestamps: TimestampUnwrapper,
    packets: BTreeMap<i64, Held>,
    state: State,
    stats: JitterStats,
}

#[derive(Debug)]
struct Held {
    sequence: i64,
    samples: u32,
    payload: Bytes,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing has come since the sound stopped.
    Idle,
    /// Packets are gathered up to the depth.
    Filling { since: Duration },
    /// The sound at the time stamp `next` plays next.
    Playing { next: i64, last_sequence: i64, concealed_steps: u32 },
}

impl JitterBuffer {
    /// A buffer that holds back `depth` of sound.
    pub fn new(depth: Duration) -> Self {
        Self {
            depth,
            sequences: SequenceUnwrapper::default(),
            timestamps: TimestampUnwrapper::default(),
            packets: BTreeMap::new(),
            state: State::Idle,
            stats: JitterStats::default(),
        }
    }

    /// Takes one packet in.
    pub fn push(&mut self, now: Duration, packet: RtpPacket) {
        let Some(samples) = opus::samples(&packet.payload).filter(|_| packet.payload.len() <= MAX_PAYLOAD_BYTES) else {
            self.stats.discarded += 1;
            return;
        };
        let mut timestamp = self.timestamps.unwrap(packet.timestamp);
        if self.jumped(timestamp) {
            self.begin_anew();
            timestamp = self.timestamps.unwrap(packet.timestamp);
        }
        let sequence = self.sequences.unwrap(packet.sequence);
        if let State::Playing { next, .. } = self.state
            && timestamp < next
        {
            self.stats.late += 1;
            return;
        }
        if self.packets.contains_key(&timestamp) {
            self.stats.duplicates += 1;
            return;
        }
        let payload = packet.payload;
        self.packets.insert(timestamp, Held { sequence, samples, payload });
        if let State::Idle = self.state {
            self.state = State::Filling { since: now };
        }
        self.cut_surplus();
    }

    /// Decides what plays next.
    pub fn pull(&mut self, now: Duration) -> Playout {
        match self.state {
            State::Idle => Playout::Silence,
            State::Filling { since } => self.pull_filling(now, since),
            State::Playing { next, last_sequence, concealed_steps } => {
                self.pull_playing(next, last_sequence, concealed_steps)
            }
        }
    }

    /// What happened so far.
    pub fn stats(&self) -> JitterStats {
        self.stats
    }

    fn pull_filling(&mut self, now: Duration, since: Duration) -> Playout {
        let filled = self.held_samples() >= self.depth_samples() || since + self.depth <= now;
        let Some((first, held)) = self.packets.first_key_value().filter(|_| filled) else {
            return Playout::Silence;
        };
        self.stats.starts += 1;
        self.pull_playing(*first, held.sequence - 1, 0)
    }

    fn pull_playing(&mut self, next: i64, last_sequence: i64, concealed_steps: u32) -> Playout {
        let Some((timestamp, held)) = self.packets.first_key_value() else {
            return self.bridge(next, last_sequence, concealed_steps);
        };
        let gap = timestamp - next;
        if gap < i64::from(STEP_SAMPLES) / 2 {
            return self.play_first(last_sequence);
        }
        if held.sequence <= last_sequence + 1 {
            // No packet is missing before this one: the sender was silent up to it.
            return self.step(next, last_sequence, 0, Playout::Silence);
        }
        if gap <= i64::from(STEP_SAMPLES) {
            let payload = held.payload.clone();
            self.stats.recovered += 1;
            return self.step(next, last_sequence, 0, Playout::DecodeFec(payload));
        }
        self.stats.concealed += 1;
        self.step(next, last_sequence, concealed_steps, Playout::Conceal)
    }

    /// Hands out the first packet held.
    fn play_first(&mut self, last_sequence: i64) -> Playout {
        let Some((timestamp, held)) = self.packets.pop_first() else {
            return Playout::Silence;
        };
        self.state = State::Playing {
            next: timestamp + i64::from(held.samples),
            last_sequence: held.sequence.max(last_sequence),
            concealed_steps: 0,
        };
        self.stats.played += 1;
        Playout::Decode(held.payload)
    }

    /// Nothing is held. For a little while it may only be late; then the sound has stopped, and what comes next begins anew.
    fn bridge(&mut self, next: i64, last_sequence: i64, concealed_steps: u32) -> Playout {
        if concealed_steps >= MAX_CONCEALED_STEPS {
            self.state = State::Idle;
            return Playout::Silence;
        }
        self.stats.concealed += 1;
        self.step(next, last_sequence, concealed_steps + 1, Playout::Conceal)
    }

    fn step(&mut self, next: i64, last_sequence: i64, concealed_steps: u32, playout: Playout) -> Playout {
        self.state = State::Playing { next: next + i64::from(STEP_SAMPLES), last_sequence, concealed_steps };
        playout
    }

    /// Whether `timestamp` is too far from what plays or is held to belong to the same stream.
    fn jumped(&self, timestamp: i64) -> bool {
        let reference = match self.state {
            State::Playing { next, .. } => Some(next),
            State::Idle | State::Filling { .. } => self.packets.first_key_value().map(|(first, _)| *first),
        };
        reference.is_some_and(|reference| (timestamp - reference).abs() > MAX_JUMP)
    }

    fn begin_anew(&mut self) {
        self.stats.discarded += self.packets.len() as u64;
        self.packets.clear();
        self.sequences = SequenceUnwrapper::default();
        self.timestamps = TimestampUnwrapper::default();
        self.state = State::Idle;
    }

    /// Cuts sound away that came too early to be played soon, so that the delay stays near the depth.
    fn cut_surplus(&mut self) {
        let State::Playing { next, last_sequence, concealed_steps } = self.state else {
            self.enforce_limit();
            return;
        };
        let depth = self.depth_samples();
        if self.held_samples() <= depth + SLACK {
            self.enforce_limit();
            return;
        }
        while self.held_samples() > depth {
            self.packets.pop_first();
            self.stats.discarded += 1;
        }
        let (next, last_sequence) =
            self.packets.first_key_value().map_or((next, last_sequence), |(first, held)| (*first, held.sequence - 1));
        self.state = State::Playing { next, last_sequence, concealed_steps };
    }

    fn enforce_limit(&mut self) {
        while self.packets.len() > MAX_PACKETS {
            self.packets.pop_first();
            self.stats.discarded += 1;
        }
    }

    /// From the beginning of the first to the end of the last packet held.
    fn held_samples(&self) -> i64 {
        let (Some((first, _)), Some((last, held))) = (self.packets.first_key_value(), self.packets.last_key_value())
        else {
            return 0;
        };
        last + i64::from(held.samples) - first
    }

    fn depth_samples(&self) -> i64 {
        i64::try_from(clock::ticks(self.depth, AUDIO_CLOCK_HZ)).unwrap_or(MAX_JUMP)
    }
}

#[cfg(test)]
mod tests;
