//! What the jitter buffer says: what to play, how, and what came of it so far.

use std::time::Duration;

use bytes::Bytes;

/// What to play next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playout {
    /// Decode this packet and play what it holds, usually 10 or 20 ms.
    Decode(Bytes),
    /// A packet is lost and the one after it is here: play the [`STEP_SAMPLES`](super::STEP_SAMPLES) that this one
    /// carries of the lost one. It comes again as [`Playout::Decode`].
    DecodeFec(Bytes),
    /// A packet is missing: let the decoder invent so many samples, [`STEP_SAMPLES`](super::STEP_SAMPLES) or half of
    /// them.
    Conceal(u32),
    /// The sender rests: the same, but it is its silence that is to be heard.
    ComfortNoise(u32),
    /// Nothing is being said: play [`SILENCE_SAMPLES`](super::SILENCE_SAMPLES) of silence.
    Silence,
}

/// How the decoded sound of a step should be changed in length, by a pitch period or so, if the caller can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Play it as it is.
    None,
    /// Make it shorter: more sound is held than is needed.
    Accelerate {
        /// By so many samples and no more, or there would be too little.
        at_most: u32,
    },
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

impl Pull {
    pub(super) fn plain(playout: Playout) -> Self {
        Self { playout, stretch: Stretch::None }
    }
}

/// What happened so far, and how it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Packets handed out for decoding, copies (RFC 2198) among them.
    pub played: u64,
    /// Samples recovered from a copy in a later packet.
    pub recovered_samples: u64,
    /// Samples that should have been there and were not, because packets were lost or late: invented by the decoder, or
    /// silent where that had faded out. Silence is counted when the sound comes back, since only then is it known
    /// whether it was the sender's own.
    pub concealed_samples: u64,
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
