//! The adaptive audio buffer: which Opus packet plays next, or what to play instead of one that is not there, with as
//! little delay as the network allows. A decision only: decoding and stretching are the caller's.

mod arrival;
mod delay;
mod histogram;
mod loss;
mod pace;
mod queue;

use std::time::Duration;

use bytes::Bytes;

use crate::clock::{self, AUDIO_CLOCK_HZ, SequenceUnwrapper, TimestampUnwrapper};
use crate::opus;
use crate::packet::RtpPacket;
use arrival::Seen;
use delay::DelayEstimate;
use loss::LossEstimate;
use pace::Pace;
use queue::{Held, Queue};

/// What [`Playout::DecodeFec`] and [`Playout::Conceal`] play: 20 ms at 48 kHz.
pub const STEP_SAMPLES: u32 = 960;

/// What [`Playout::Silence`] plays: 10 ms, so that talk that begins need not wait for longer.
pub const SILENCE_SAMPLES: u32 = 480;

/// The most that [`JitterBuffer::set_min_delay`] can ask for.
pub const MAX_MIN_DELAY: Duration = Duration::from_millis(400);

const STEP: i64 = STEP_SAMPLES as i64;
const SAMPLES_PER_MS: i64 = AUDIO_CLOCK_HZ as i64 / 1_000;

/// Concealed steps in a row before it is taken that the sound has stopped: 120 ms, by when Opus has faded out.
const MAX_CONCEALED_STEPS: u32 = 6;

/// Comfort noise in a row before the sender is taken for gone. One that rests says so every 400 ms (libopus).
const MAX_RESTING_STEPS: u32 = 50;

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

/// What to play next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playout {
    /// Decode this packet and play what it holds, usually 20 ms.
    Decode(Bytes),
    /// A packet is lost and the one after it is here: play the [`STEP_SAMPLES`] that this one carries of the lost one.
    /// It comes again as [`Playout::Decode`].
    DecodeFec(Bytes),
    /// A packet is missing, or the sender rests: let the decoder invent [`STEP_SAMPLES`].
    Conceal,
    /// Nothing is being said: play [`SILENCE_SAMPLES`] of silence.
    Silence,
}

/// How the decoded sound of a step should be changed in length, by a pitch period or so, if the caller can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Play it as it is.
    None,
    /// Make it shorter: more sound is held than is needed.
    Accelerate,
    /// Make it longer: too little is held.
    Decelerate,
}

/// One step of playing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// What to play.
    pub playout: Playout,
    /// How to play it. A wish: what came of it shows in when the next step is pulled.
    pub stretch: Stretch,
}

/// What happened so far, and how it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Packets handed out for decoding.
    pub played: u64,
    /// Steps recovered from the packet after.
    pub recovered: u64,
    /// Steps invented by the decoder because a packet was missing.
    pub concealed: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that had come already.
    pub duplicates: u64,
    /// Packets thrown away: no Opus, or the buffer held too much.
    pub discarded: u64,
    /// Times that playing began anew: at first, after a pause, after a jump of the time stamps.
    pub starts: u64,
    /// Steps that were to be made shorter.
    pub accelerated: u64,
    /// Steps that were to be made longer.
    pub decelerated: u64,
    /// How long the sound waits from when a packet comes that the network did not hold up until it leaves the
    /// caller's queue: held and queued together. As of the last packet played.
    pub delay: Duration,
    /// How long a packet should be held.
    pub target: Duration,
}

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
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing plays; packets are gathered. What was played before ended at `played_until`.
    Waiting {
        played_until: Option<i64>,
    },
    Playing(Playing),
}

impl Default for State {
    fn default() -> Self {
        Self::Waiting { played_until: None }
    }
}

#[derive(Clone, Copy, Debug)]
struct Playing {
    /// The time stamp that plays next.
    next: i64,
    last_sequence: i64,
    /// Samples invented while nothing was here. Should the packet for `next` be late, they were inserted before it;
    /// should it be lost, they were in its place.
    bridged: i64,
    /// Steps invented in a row.
    concealed_steps: u32,
    /// The sender said that it rests.
    resting: bool,
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
        let Some(length) = opus::samples(&packet.payload).filter(|_| packet.payload.len() <= MAX_PAYLOAD_BYTES) else {
            self.stats.discarded += 1;
            return;
        };
        let mut timestamp = self.timestamps.unwrap(packet.timestamp);
        if self.jumped(timestamp) {
            self.begin_anew();
            timestamp = self.timestamps.unwrap(packet.timestamp);
        }
        let sequence = self.sequences.unwrap(packet.sequence);
        let Some(order) = self.seen.note(sequence) else {
            self.stats.duplicates += 1;
            return;
        };
        self.delay.arrived(samples(now), timestamp, order);
        if self.played_until().is_some_and(|played_until| timestamp < played_until) {
            self.stats.late += 1;
            return;
        }
        self.loss.note_repair(opus::carries_fec(&packet.payload));
        let held = Held { sequence, samples: i64::from(length), payload: packet.payload };
        if self.queue.insert(timestamp, held).is_err() {
            self.stats.duplicates += 1;
        }
        self.stats.discarded += self.queue.enforce_limit();
    }

    /// Decides what plays next. `queued_samples` is what the caller has decoded and not played yet.
    pub fn pull(&mut self, now: Duration, queued_samples: u32) -> Pull {
        let moment = Moment { now: samples(now), queued: i64::from(queued_samples) };
        self.delay.settle(moment.now);
        self.cut_surplus();
        match self.state {
            State::Waiting { .. } => self.pull_waiting(moment),
            State::Playing(playing) => self.pull_playing(moment, playing),
        }
    }

    /// The RTP time stamp of the first sample of the next step, where it is sure to be heard as soon as the queued
    /// sound has been: not in silence, nor while it is open whether the next packet is late or lost.
    pub fn playing(&self) -> Option<u32> {
        match self.state {
            State::Waiting { .. } => None,
            State::Playing(playing) => (playing.bridged == 0).then_some(playing.next as u32),
        }
    }

    /// What happened so far, and how it stands.
    pub fn stats(&self) -> JitterStats {
        JitterStats { target: duration(self.needed().max(self.min_delay)), ..self.stats }
    }

    fn pull_waiting(&mut self, moment: Moment) -> Pull {
        let Some((timestamp, sequence)) = self.queue.first().map(|(timestamp, held)| (timestamp, held.sequence)) else {
            return plain(Playout::Silence);
        };
        if self.margin(moment, timestamp) < 0 {
            return plain(Playout::Silence);
        }
        self.stats.starts += 1;
        self.play_first(moment, sequence - 1)
    }

    fn pull_playing(&mut self, moment: Moment, playing: Playing) -> Pull {
        let Some((timestamp, held)) = self.queue.first() else {
            return plain(self.bridge(playing));
        };
        let hole = timestamp - playing.next - playing.bridged;
        if timestamp - playing.next < STEP / 2 {
            return self.play_first(moment, playing.last_sequence);
        }
        if held.sequence <= playing.last_sequence + 1 {
            return self.pull_pausing(moment, timestamp, playing);
        }
        if hole < STEP / 2 {
            return self.play_first(moment, playing.last_sequence);
        }
        // The copy in a packet is of the frame just before it and as long as its own; libopus gives no part of it.
        if hole <= STEP && held.samples == STEP && opus::carries_fec(&held.payload) {
            let payload = held.payload.clone();
            self.stats.recovered += 1;
            self.state = State::Playing(Playing { next: playing.next + STEP, concealed_steps: 0, ..playing });
            return plain(Playout::DecodeFec(payload));
        }
        if playing.concealed_steps >= MAX_CONCEALED_STEPS {
            self.state = State::Waiting { played_until: Some(playing.next) };
            return self.pull_waiting(moment);
        }
        self.stats.concealed += 1;
        let concealed_steps = playing.concealed_steps + 1;
        self.state = State::Playing(Playing { next: playing.next + STEP, concealed_steps, ..playing });
        plain(Playout::Conceal)
    }

    /// No packet is missing before the next one: the sender was silent up to it. The silence is made as long as brings
    /// the delay to where it should be, which nobody hears.
    fn pull_pausing(&mut self, moment: Moment, timestamp: i64, playing: Playing) -> Pull {
        let margin = self.margin(moment, timestamp);
        if margin >= 0 {
            return self.play_first(moment, playing.last_sequence);
        }
        if playing.resting && -margin > i64::from(SILENCE_SAMPLES) {
            return plain(Playout::Conceal);
        }
        plain(Playout::Silence)
    }

    /// Nothing is held. For a little while it may only be late, or the sender rests; then the sound has stopped, and
    /// what comes next begins anew.
    fn bridge(&mut self, playing: Playing) -> Playout {
        let most = if playing.resting { MAX_RESTING_STEPS } else { MAX_CONCEALED_STEPS };
        if playing.concealed_steps >= most {
            self.state = State::Waiting { played_until: Some(playing.next) };
            return Playout::Silence;
        }
        if !playing.resting {
            self.stats.concealed += 1;
        }
        self.state = State::Playing(Playing {
            bridged: playing.bridged + STEP,
            concealed_steps: playing.concealed_steps + 1,
            ..playing
        });
        Playout::Conceal
    }

    /// Hands out the first packet held.
    fn play_first(&mut self, moment: Moment, last_sequence: i64) -> Pull {
        let Some((timestamp, held)) = self.queue.pop_first() else {
            return plain(Playout::Silence);
        };
        let margin = self.margin(moment, timestamp);
        let lag = self.delay.lag(moment.now, timestamp);
        let next = timestamp + held.samples;
        self.stats.played += 1;
        self.stats.delay = duration(lag + moment.queued);
        self.stats.discarded += self.queue.drop_before(next - STEP / 2);
        self.loss.note_played(held.sequence - last_sequence - 1);
        self.state = State::Playing(Playing {
            next,
            last_sequence: held.sequence.max(last_sequence),
            bridged: 0,
            concealed_steps: 0,
            resting: held.payload.len() <= RESTING_BYTES,
        });
        let stretch = self.pace.decide(moment.now, margin, self.queue.span());
        match stretch {
            Stretch::None => {}
            Stretch::Accelerate => self.stats.accelerated += 1,
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
    /// the next one to be here: a step of delay is worth a per cent of loss (NetEQ weighs it the same, 20 ms).
    fn needed(&self) -> i64 {
        self.delay.target() + if self.loss.is_repair_worthwhile() { STEP } else { 0 }
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
                concealed_steps: 0,
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
            State::Waiting { played_until } => played_until,
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

fn plain(playout: Playout) -> Pull {
    Pull { playout, stretch: Stretch::None }
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
