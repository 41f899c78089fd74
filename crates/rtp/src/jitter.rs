//! The adaptive audio buffer: which Opus packet plays next, or what to play instead of one that is not there, with as
//! little delay as the network allows. A decision only: decoding and stretching are the caller's.

mod arrival;
mod delay;
mod histogram;
mod loss;
mod pace;
mod playout;
mod queue;

use std::time::Duration;

use bytes::Bytes;

use crate::clock::{self, AUDIO_CLOCK_HZ, SequenceUnwrapper, TimestampUnwrapper};
use crate::opus;
use crate::packet::RtpPacket;
use crate::red;
use arrival::Seen;
use delay::DelayEstimate;
use loss::LossEstimate;
use pace::Pace;
use queue::{Held, Queue};

pub use playout::{JitterStats, Playout, Pull, Stretch};

/// What [`Playout::DecodeFec`] plays, and [`Playout::Conceal`] at most: 20 ms at 48 kHz.
pub const STEP_SAMPLES: u32 = 960;

/// What [`Playout::Silence`] plays: 10 ms, so that talk that begins need not wait for longer.
pub const SILENCE_SAMPLES: u32 = 480;

/// The most that [`JitterBuffer::set_min_delay`] can ask for.
pub const MAX_MIN_DELAY: Duration = Duration::from_millis(400);

const STEP: i64 = STEP_SAMPLES as i64;
const SAMPLES_PER_MS: i64 = AUDIO_CLOCK_HZ as i64 / 1_000;

/// What is concealed in a row before it is taken that the sound has stopped: 120 ms, by when Opus has faded out.
const MAX_CONCEALED: i64 = 6 * STEP;

/// Comfort noise in a row before the sender is taken for gone. One that rests says so every 400 ms (libopus).
const MAX_RESTING: i64 = 50 * STEP;

/// A packet with so few bytes says that the sender rests: nothing but a header (RFC 6716 §3.1, libopus in DTX).
const RESTING_BYTES: usize = 2;

/// Sound beyond the target that is cut rather than played faster, which at a quarter faster would take over two
/// seconds.
const MAX_SURPLUS: i64 = 400 * SAMPLES_PER_MS;

/// Time stamps this far ahead of or behind what plays belong to a stream that began anew.
const MAX_AHEAD: i64 = 5_000 * SAMPLES_PER_MS;
const MAX_BEHIND: i64 = 2_000 * SAMPLES_PER_MS;

/// An Opus frame is at most 1,275 bytes (RFC 6716 §3.4), and no sender here puts more than a datagram into a packet.
const MAX_PAYLOAD_BYTES: usize = 1_500;

/// Holds the packets of one Opus stream until they are due.
///
/// [`pull`](Self::pull) is called whenever the sound of the last call is used up; the caller's sound card is the clock.
/// `now` is the time since any fixed moment, the same in every call, and does not go back.
///
/// What is steered is the *lag*: how long after the earliest moment at which a sample could have been here it is
/// pulled. It is read off the time stamps alone, so that stretching, concealment and clocks that drift apart show
/// in it without being accounted for, as in newer NetEQ (`PacketArrivalHistory`, `DelayManager`, `DecisionLogic` of
/// libwebrtc).
#[derive(Debug, Default)]
pub struct JitterBuffer {
    sequences: SequenceUnwrapper,
    timestamps: TimestampUnwrapper,
    seen: Seen,
    queue: Queue,
    delay: DelayEstimate,
    loss: LossEstimate,
    pace: Pace,
    min_delay: i64,
    state: State,
    stats: JitterStats,
    /// Those of the packet that is taken in: its memory is used again.
    copies: Vec<red::Copy>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing plays; packets are gathered.
    Waiting(Option<Stopped>),
    Playing(Playing),
}

impl Default for State {
    fn default() -> Self {
        Self::Waiting(None)
    }
}

/// What was played before nothing was.
#[derive(Clone, Copy, Debug)]
struct Stopped {
    /// The time stamp at which it ended.
    played_until: i64,
    last_sequence: i64,
    /// Samples of silence since then.
    silent: i64,
}

#[derive(Clone, Copy, Debug)]
struct Playing {
    /// The time stamp that plays next.
    next: i64,
    last_sequence: i64,
    /// What is invented at a time: as long as the last packet, 10 or 20 ms.
    step: i64,
    /// Samples invented while nothing was here. Should the packet for `next` be late, they were inserted before it;
    /// should it be lost, they were in its place.
    bridged: i64,
    /// Samples invented in a row.
    concealed: i64,
    /// The sender said that it rests.
    resting: bool,
}

impl Playing {
    /// What is left of it where nothing is played any more.
    fn stopped(self) -> Stopped {
        // What was invented in place of a packet that may be only late: silence would do as well.
        Stopped { played_until: self.next, last_sequence: self.last_sequence, silent: 0 }
    }
}

/// The moment of a pull.
#[derive(Clone, Copy)]
struct Moment {
    now: i64,
    queued: i64,
}

impl JitterBuffer {
    /// A buffer that knows nothing of the network yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the [delay](JitterStats::delay) at no less than this, at most [`MAX_MIN_DELAY`], for the picture's sake.
    pub fn set_min_delay(&mut self, min_delay: Duration) {
        self.min_delay = samples(min_delay.min(MAX_MIN_DELAY));
    }

    /// Takes one packet in.
    pub fn push(&mut self, now: Duration, packet: RtpPacket) {
        self.take_in(now, packet, 0);
    }

    /// Takes one packet in that carries copies of earlier ones (RFC 2198).
    pub fn push_redundant(&mut self, now: Duration, packet: RtpPacket) {
        let mut copies = std::mem::take(&mut self.copies);
        match red::split(&packet.payload, &mut copies) {
            Some(payload) => self.take_with_copies(now, RtpPacket { payload, ..packet }, &copies),
            None => self.stats.discarded += 1,
        }
        copies.clear();
        self.copies = copies;
    }

    fn take_with_copies(&mut self, now: Duration, packet: RtpPacket, copies: &[red::Copy]) {
        let copied = copies.iter().map(|copy| i64::from(copy.back)).max().unwrap_or(0);
        let Some((sequence, timestamp)) = self.take_in(now, packet, copied) else { return };
        // Each packet is copied by those right behind it.
        for (before, copy) in (1..).zip(copies.iter().rev()) {
            self.take_copy(sequence - before, timestamp - i64::from(copy.back), copy.payload.clone());
        }
        self.stats.discarded += self.queue.enforce_limit();
    }

    /// Its numbers, if it is not late, doubled or no Opus. What came with it reaches back by `copied`.
    fn take_in(&mut self, now: Duration, packet: RtpPacket, copied: i64) -> Option<(i64, i64)> {
        let Some(length) = samples_of(&packet.payload) else {
            self.stats.discarded += 1;
            return None;
        };
        let mut timestamp = self.timestamps.unwrap(packet.timestamp);
        if self.jumped(timestamp) {
            self.begin_anew();
            timestamp = self.timestamps.unwrap(packet.timestamp);
        }
        let sequence = self.sequences.unwrap(packet.sequence);
        let Some(order) = self.seen.note(sequence) else {
            self.stats.duplicates += 1;
            return None;
        };
        self.delay.arrived(samples(now), timestamp, order);
        if self.played_until().is_some_and(|played_until| timestamp < played_until) {
            self.stats.late += 1;
            return None;
        }
        self.loss.note_repair(reach(&packet.payload, length, copied));
        let held = Held { sequence, samples: length, payload: packet.payload, is_copy: false };
        if self.queue.insert(timestamp, held).is_err() {
            self.stats.duplicates += 1;
        }
        self.stats.discarded += self.queue.enforce_limit();
        Some((sequence, timestamp))
    }

    /// Holds a copy where the packet itself is not here and not in its time yet. What was invented in its place is
    /// played: to play it as well would delay all that follows.
    fn take_copy(&mut self, sequence: i64, timestamp: i64, payload: Bytes) {
        let Some(length) = samples_of(&payload) else { return };
        let begins_in_time = match self.state {
            State::Waiting(stopped) => stopped.is_none_or(|stopped| timestamp >= stopped.played_until),
            State::Playing(playing) => timestamp >= playing.next + playing.bridged,
        };
        if begins_in_time && !self.seen.came(sequence) && !self.jumped(timestamp) {
            // One that is held already is as good.
            let _ = self.queue.insert(timestamp, Held { sequence, samples: length, payload, is_copy: true });
        }
    }

    /// Decides what plays next. `queued_samples` is what the caller has decoded and not played yet.
    pub fn pull(&mut self, now: Duration, queued_samples: u32) -> Pull {
        let moment = Moment { now: samples(now), queued: i64::from(queued_samples) };
        self.delay.settle(moment.now);
        self.cut_surplus();
        match self.state {
            State::Waiting(stopped) => self.pull_waiting(moment, stopped),
            State::Playing(playing) => self.pull_playing(moment, playing),
        }
    }

    /// The RTP time stamp of the first sample of the next step, where it is sure to be heard as soon as the queued
    /// sound has been: not in silence, nor while it is open whether the next packet is late or lost.
    pub fn playing(&self) -> Option<u32> {
        match self.state {
            State::Waiting(_) => None,
            State::Playing(playing) => (playing.bridged == 0).then_some(playing.next as u32),
        }
    }

    /// What happened so far, and how it stands.
    pub fn stats(&self) -> JitterStats {
        JitterStats { target: duration(self.needed().max(self.min_delay)), ..self.stats }
    }

    fn pull_waiting(&mut self, moment: Moment, stopped: Option<Stopped>) -> Pull {
        let first = self.queue.first().map(|(timestamp, held)| (timestamp, held.sequence, held.samples));
        let Some((timestamp, sequence, length)) = first.filter(|(timestamp, ..)| self.margin(moment, *timestamp) >= 0)
        else {
            let silent = |stopped: Stopped| stopped.silent.saturating_add(i64::from(SILENCE_SAMPLES));
            self.state = State::Waiting(stopped.map(|stopped| Stopped { silent: silent(stopped), ..stopped }));
            return Pull::plain(Playout::Silence);
        };
        if let Some(Stopped { played_until, last_sequence, silent }) = stopped {
            // Of the silence, what packets were missing for, or what was longer than the sender's own.
            let missing = (sequence - last_sequence - 1).max(0).saturating_mul(length);
            let own = timestamp - played_until;
            self.conceal_samples(silent.min(missing.max(silent - own)).max(0));
        }
        self.stats.starts += 1;
        self.play_first(moment, sequence - 1)
    }

    fn pull_playing(&mut self, moment: Moment, playing: Playing) -> Pull {
        let Some((timestamp, held)) = self.queue.first() else {
            return Pull::plain(self.bridge(playing));
        };
        let hole = timestamp - playing.next - playing.bridged;
        if timestamp - playing.next < playing.step / 2 {
            return self.play_first(moment, playing.last_sequence);
        }
        if held.sequence <= playing.last_sequence + 1 {
            return self.pull_pausing(moment, timestamp, playing);
        }
        if hole < playing.step / 2 {
            return self.play_first(moment, playing.last_sequence);
        }
        // The copy in a packet is of the frame just before it and as long as its own; libopus gives no part of it.
        if (STEP / 2..=STEP).contains(&hole) && held.samples == STEP && opus::carries_fec(&held.payload) {
            let payload = held.payload.clone();
            self.stats.recovered_samples += u64::from(STEP_SAMPLES);
            self.state = State::Playing(Playing { next: playing.next + STEP, concealed: 0, ..playing });
            return Pull::plain(Playout::DecodeFec(payload));
        }
        if playing.concealed >= MAX_CONCEALED {
            return self.pull_waiting(moment, Some(playing.stopped()));
        }
        let step = playing.step;
        self.conceal_samples(step);
        let concealed = playing.concealed + step;
        self.state = State::Playing(Playing { next: playing.next + step, concealed, ..playing });
        Pull::plain(Playout::Conceal(step as u32))
    }

    /// No packet is missing before the next one: the sender was silent up to it. The silence is made as long as brings
    /// the delay to where it should be, which nobody hears.
    fn pull_pausing(&mut self, moment: Moment, timestamp: i64, playing: Playing) -> Pull {
        let margin = self.margin(moment, timestamp);
        if margin >= 0 {
            return self.play_first(moment, playing.last_sequence);
        }
        if playing.resting {
            let samples = if -margin < playing.step { STEP / 2 } else { playing.step };
            return Pull::plain(Playout::ComfortNoise(samples as u32));
        }
        Pull::plain(Playout::Silence)
    }

    /// Nothing is held. For a little while it may only be late, or the sender rests; then the sound has stopped, and
    /// what comes next begins anew.
    fn bridge(&mut self, playing: Playing) -> Playout {
        let most = if playing.resting { MAX_RESTING } else { MAX_CONCEALED };
        if playing.concealed >= most {
            let silent = i64::from(SILENCE_SAMPLES);
            self.state = State::Waiting(Some(Stopped { silent, ..playing.stopped() }));
            return Playout::Silence;
        }
        let step = playing.step;
        if !playing.resting {
            self.conceal_samples(step);
        }
        let (bridged, concealed) = (playing.bridged + step, playing.concealed + step);
        self.state = State::Playing(Playing { bridged, concealed, ..playing });
        if playing.resting { Playout::ComfortNoise(step as u32) } else { Playout::Conceal(step as u32) }
    }

    fn conceal_samples(&mut self, samples: i64) {
        self.stats.concealed_samples += u64::try_from(samples).unwrap_or(0);
    }

    /// Hands out the first packet held.
    fn play_first(&mut self, moment: Moment, last_sequence: i64) -> Pull {
        let Some((timestamp, held)) = self.queue.pop_first() else {
            return Pull::plain(Playout::Silence);
        };
        let margin = self.margin(moment, timestamp);
        let lag = self.delay.lag(moment.now, timestamp);
        let next = timestamp + held.samples;
        self.stats.played += 1;
        if held.is_copy {
            self.stats.recovered_samples += u64::try_from(held.samples).unwrap_or(0);
        }
        self.stats.delay = duration(lag + moment.queued);
        let step = held.samples.clamp(STEP / 2, STEP);
        self.stats.discarded += self.queue.drop_before(next - step / 2);
        self.loss.note_played(held.sequence - last_sequence - 1, held.is_copy);
        self.state = State::Playing(Playing {
            next,
            last_sequence: held.sequence.max(last_sequence),
            step,
            bridged: 0,
            concealed: 0,
            resting: held.payload.len() <= RESTING_BYTES,
        });
        let idle = moment.queued.min(lag + moment.queued - self.min_delay).max(0);
        let stretch = self.pace.decide(moment.now, margin, self.needed(), idle);
        match stretch {
            Stretch::None => {}
            Stretch::Accelerate { .. } => self.stats.accelerated += 1,
            Stretch::Decelerate => self.stats.decelerated += 1,
        }
        Pull { playout: Playout::Decode(held.payload), stretch }
    }

    /// How much more than needed is held if `timestamp` is pulled now. A packet must be here when it is pulled,
    /// whatever is queued; the picture asks when it is heard.
    fn margin(&self, moment: Moment, timestamp: i64) -> i64 {
        let lag = self.delay.lag(moment.now, timestamp);
        (lag - self.needed()).min(lag + moment.queued - self.min_delay)
    }

    /// How long packets should be held. Where packets are lost and carry copies of those before them, long enough for
    /// the next one to be here, but for no more than a step: that much delay is worth a per cent of loss (NetEQ weighs
    /// it the same, 20 ms). The target is for the worst packet of half a second, and a copy is seldom in one of those:
    /// half of what they have in common will do.
    fn needed(&self) -> i64 {
        let (target, wait) = (self.delay.target(), self.loss.worthwhile_wait().min(STEP));
        target + wait - target.min(wait) / 2
    }

    /// Cuts sound away that came too early to be played soon, as after an outage.
    fn cut_surplus(&mut self) {
        let keep = self.needed().max(self.min_delay);
        if self.queue.span() <= keep + MAX_SURPLUS {
            return;
        }
        self.stats.discarded += self.queue.shorten_to(keep + STEP);
        if let (State::Playing(playing), Some((timestamp, held))) = (self.state, self.queue.first()) {
            self.state = State::Playing(Playing {
                next: timestamp,
                last_sequence: held.sequence - 1,
                bridged: 0,
                concealed: 0,
                ..playing
            });
        }
    }

    /// Whether `timestamp` is too far from what plays or is held to belong to the same stream.
    fn jumped(&self, timestamp: i64) -> bool {
        let reference = self.played_until().or_else(|| self.queue.first().map(|(first, _)| first));
        reference.is_some_and(|reference| !(-MAX_BEHIND..=MAX_AHEAD).contains(&(timestamp - reference)))
    }

    fn played_until(&self) -> Option<i64> {
        match self.state {
            State::Waiting(stopped) => stopped.map(|stopped| stopped.played_until),
            State::Playing(playing) => Some(playing.next),
        }
    }

    /// What is known of the network stays true.
    fn begin_anew(&mut self) {
        self.stats.discarded += self.queue.clear();
        self.sequences = SequenceUnwrapper::default();
        self.timestamps = TimestampUnwrapper::default();
        self.seen = Seen::default();
        self.delay.begin_anew();
        self.state = State::default();
    }
}

/// By how much the sound in a packet reaches back before its own, if it does: by the frame before it, or by its copies.
fn reach(payload: &Bytes, length: i64, copied: i64) -> i64 {
    copied.max(if opus::carries_fec(payload) { length } else { 0 })
}

/// How long a payload plays, if it is one of Opus that can be held.
fn samples_of(payload: &Bytes) -> Option<i64> {
    opus::samples(payload).filter(|_| payload.len() <= MAX_PAYLOAD_BYTES).map(i64::from)
}

fn samples(duration: Duration) -> i64 {
    // Half of what fits: such a time can be subtracted from any other.
    i64::try_from(clock::ticks(duration, AUDIO_CLOCK_HZ)).unwrap_or(i64::MAX).min(i64::MAX / 2)
}

fn duration(samples: i64) -> Duration {
    clock::duration(u64::try_from(samples).unwrap_or(0), AUDIO_CLOCK_HZ)
}

#[cfg(test)]
mod tests;
