//! What a client tells its owner, and when it happened. As JSON (`event` names the kind) it is what `--events` writes.

use ahoy_call::{EndReason, RefusedReason};
use ahoy_protocol::id::{CallId, DeviceAddress, SessionId, Username};
use ahoy_protocol::identity::PublicKey;
use ahoy_protocol::verification::Code;
use serde::Serialize;
use tracing::{info, trace};

/// Something that happened, with the time.
#[derive(Debug, Clone, Serialize)]
pub struct Stamped {
    /// Nanoseconds of the system's monotonic clock (CLOCK_MONOTONIC where there is one), the same in every process of a machine.
    pub t_ns: u64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

impl Stamped {
    /// Something that happened just now.
    pub(crate) fn now(event: Event) -> Self {
        Self { t_ns: monotonic_ns(), event }
    }
}

/// Something that happened. Names and devices are made safe to show.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The server took the sign-in.
    SignedIn {
        /// As whom.
        username: Username,
        /// On which device.
        session: SessionId,
    },
    /// The server refused the sign-in, for good until something changes.
    SignInFailed {
        /// Why, and what to do.
        message: String,
    },
    /// The link to the server is down; it is tried again without end.
    LinkLost {
        /// Why.
        message: String,
    },
    /// A contact came or went.
    Presence {
        /// Who.
        username: Username,
        /// Whether a device of theirs is signed in.
        online: bool,
    },
    /// A call goes out.
    Dialling {
        /// Which.
        call: CallId,
        /// To whom.
        to: Username,
    },
    /// A device of the callee is alerting its user.
    Ringing {
        /// Which call.
        call: CallId,
        /// Which device, where it says so.
        device: Option<String>,
    },
    /// Somebody calls; this device should alert its user.
    Incoming {
        /// Which call.
        call: CallId,
        /// Who, and from which device.
        from: DeviceAddress,
        /// The caller's free-text name.
        name: Option<String>,
        /// With picture.
        video: bool,
        /// Whether the caller proved to own the name; guests cannot.
        proven: bool,
    },
    /// Somebody called while this device could not ring for it in time.
    Missed {
        /// Which call.
        call: CallId,
        /// Who.
        from: Username,
        /// With picture.
        video: bool,
    },
    /// People called while no device of this user was signed in.
    MissedWhileAway {
        /// One entry a caller.
        calls: Vec<MissedCall>,
    },
    /// A call was refused without ringing.
    Refused {
        /// Which call.
        call: CallId,
        /// Who called.
        from: Username,
        /// Why, in one sentence.
        message: String,
        /// The same as data.
        #[serde(skip)]
        why: RefusedReason,
    },
    /// Both dialled at once: the dialled call goes on as the other's. `Ended` never comes for `dialled`.
    GaveWay {
        /// The id that the user's dialling had.
        dialled: CallId,
        /// The call that goes on.
        to: CallId,
    },
    /// The callee's user said yes.
    Accepted {
        /// Which call.
        call: CallId,
        /// On which device.
        by: DeviceAddress,
        /// With picture, where it is said.
        video: Option<bool>,
    },
    /// There is a path: media can flow.
    Connected {
        /// Which call.
        call: CallId,
        /// How: host, srflx, prflx or relay, the less direct of the two ends (RFC 8445 §4).
        path: &'static str,
    },
    /// The verification code of a call: both screens show the same, unless somebody sits between them.
    Code {
        /// Which call.
        call: CallId,
        /// Six digits.
        code: Code,
        /// Whether it was compared in an earlier call under the same key.
        verified: bool,
    },
    /// Somebody known signed with another key than the known one; what was signed was refused.
    KeyChanged {
        /// Who.
        username: Username,
        /// What they are known by.
        known: PublicKey,
        /// What they signed with.
        shown: PublicKey,
    },
    /// Nothing comes through any more; it may come back.
    PathLost {
        /// Which call.
        call: CallId,
    },
    /// The first picture of the other side was shown: decoded, or given to the sink's decoder when it was due.
    FirstFrame {
        /// Which call.
        call: CallId,
        /// Its RTP time stamp.
        rtp: u32,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// What the other side says it sends now.
    RemoteSending {
        /// Which call.
        call: CallId,
        /// Sound.
        audio: bool,
        /// Picture.
        video: bool,
    },
    /// How the call does; each second.
    Stats(Stats),
    /// A call is over.
    Ended {
        /// Which.
        call: CallId,
        /// Why, as a short stable word.
        reason: &'static str,
        /// Why in one sentence, and what to do.
        message: String,
        /// Whether it had connected.
        connected: bool,
        /// The reason as data.
        #[serde(skip)]
        why: EndReason,
    },
    /// Something in the media failed; the call goes on without it.
    MediaFailed {
        /// Which call.
        call: CallId,
        /// What, why, and what to do.
        message: String,
    },
    /// A camera, microphone or speaker took the place of another, or works again.
    DeviceChanged {
        /// Which call.
        call: CallId,
        /// What, in one sentence.
        message: String,
    },
    /// A picture came from the camera.
    FrameCaptured {
        /// Counts the call's pictures from 0.
        number: u64,
        /// The RTP time stamp that it is sent with.
        rtp: u32,
    },
    /// A picture of the other side was shown: decoded, or given to the sink's decoder when it was due.
    FrameShown {
        /// The RTP time stamp that it was sent with.
        rtp: u32,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
}

impl Event {
    /// One line for a change of state, without names, addresses or anybody's words.
    pub(crate) fn log(&self) {
        match self {
            Self::SignedIn { .. } => info!("signed in"),
            Self::SignInFailed { .. } => info!("sign-in failed"),
            Self::LinkLost { .. } => info!("link lost"),
            Self::Dialling { call, .. } => info!(%call, "dialling"),
            Self::Ringing { call, .. } => info!(%call, "ringing"),
            Self::Incoming { call, proven, .. } => info!(%call, proven, "incoming"),
            Self::Missed { call, .. } => info!(%call, "missed"),
            Self::MissedWhileAway { calls } => info!(callers = calls.len(), "missed while away"),
            Self::Refused { call, .. } => info!(%call, "refused"),
            Self::GaveWay { dialled, to } => info!(call = %dialled, %to, "gave way"),
            Self::Accepted { call, .. } => info!(%call, "accepted"),
            Self::Connected { call, path } => info!(%call, path, "connected"),
            // The code is the people's: a log that is passed on must not help whoever sits between them.
            Self::Code { call, verified, .. } => info!(%call, verified, "verification code"),
            Self::KeyChanged { .. } => info!("key changed"),
            Self::PathLost { call } => info!(%call, "path lost"),
            Self::FirstFrame { call, width, height, .. } => info!(%call, width, height, "first picture"),
            Self::MediaFailed { call, .. } => info!(%call, "media failed"),
            Self::DeviceChanged { call, .. } => info!(%call, "device changed"),
            Self::Ended { call, reason, connected, .. } => info!(%call, reason, connected, "ended"),
            Self::Presence { .. } | Self::RemoteSending { .. } | Self::Stats(_) => {}
            Self::FrameCaptured { number, rtp } => trace!(number, rtp, "captured"),
            Self::FrameShown { rtp, .. } => trace!(rtp, "shown"),
        }
    }
}

/// What was missed from one caller, as the server tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissedCall {
    /// Who.
    pub from: Username,
    /// When last, in milliseconds since 1970 by the server's clock; `None` where it says no time.
    pub at_ms: Option<u64>,
    /// Whether the last one was with picture.
    pub video: bool,
    /// How many times, 1 or more.
    pub count: u32,
}

/// Figures of a call, counted from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stats {
    /// Which call.
    pub call: CallId,
    /// From here to the other side and back, where known: of media (RFC 3550 §6.4.1), else of the path's checks.
    pub rtt_ms: Option<f64>,
    /// How much the path carries from here, by what the other side reports; where known.
    pub available_send_bps: Option<u64>,
    /// Bytes sent, everything above UDP.
    pub sent_bytes: u64,
    /// Bytes received, everything above UDP.
    pub received_bytes: u64,
    /// Packets received, those that were sent again in a stream of their own left out.
    pub packets_received: u64,
    /// Packets that the path lost on the way in; negative where more came twice than were missing.
    pub packets_lost: i64,
    /// Of those, how many came when they were asked for again.
    pub packets_recovered: u64,
    /// Packets asked for again; each time counts.
    pub packets_nacked: u64,
    /// Packets that the path lost on the way out, as the other side reports.
    pub packets_lost_by_peer: u64,
    /// Packets sent again because the other side asked; each time counts.
    pub packets_resent: u64,
    /// Which part of the sound was lost on the way out of late, from 0 to 1.
    pub sound_lost_by_peer: f32,
    /// Which part of the picture was lost on the way out of late, from 0 to 1.
    pub picture_lost_by_peer: f32,
    /// Packets that did not find room in a queue of this machine, either way.
    pub packets_dropped_here: u64,
    /// Pictures captured.
    pub frames_captured: u64,
    /// Pictures sent.
    pub frames_sent: u64,
    /// Pictures shown.
    pub frames_shown: u64,
    /// Key frames asked for.
    pub key_frames_requested: u64,
    /// Sound that was invented, or silent, because packets were lost or late. Silence is counted when the sound is back.
    pub concealed_ms: u64,
    /// Sound taken from the packet after a lost one.
    pub recovered_ms: u64,
    /// How long sound that has come waits until it is heard: jitter buffer, queue and speaker.
    pub sound_delay_ms: f64,
    /// How much earlier sound is heard than its picture is shown, negative if later; where known.
    pub sound_early_ms: Option<i64>,
}

/// The clock of [`Stamped::t_ns`], for others who write in the same file.
#[cfg(unix)]
#[must_use]
pub fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The clock of [`Stamped::t_ns`], for others who write in the same file.
#[cfg(not(unix))]
#[must_use]
pub fn monotonic_ns() -> u64 {
    // No portable reading of the system's counter: since the first event, which is enough within one process.
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let elapsed = START.get_or_init(std::time::Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}
