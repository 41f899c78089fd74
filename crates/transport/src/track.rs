//! What a call carries: its three tracks, and the codecs they may be in.

use ahoy_rtp::clock::{AUDIO_CLOCK_HZ, VIDEO_CLOCK_HZ};

/// One of the media that a side can send, in the order of their sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// Speech.
    Microphone,
    /// The user's picture.
    Camera,
    /// The user's screen.
    Screen,
}

impl Track {
    /// All tracks, in the order of their sections.
    pub const ALL: [Self; 3] = [Self::Microphone, Self::Camera, Self::Screen];

    /// The place in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Microphone => 0,
            Self::Camera => 1,
            Self::Screen => 2,
        }
    }

    /// The clock of its time stamps (RFC 7587 §4.1, RFC 6184 §8.2.1, RFC 7741 §4.1).
    pub(crate) fn clock_hz(self) -> u32 {
        match self {
            Self::Microphone => AUDIO_CLOCK_HZ,
            Self::Camera | Self::Screen => VIDEO_CLOCK_HZ,
        }
    }

    /// The track's name in our own descriptions, and in theirs as we hand them on.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Microphone => "microphone",
            Self::Camera => "camera",
            Self::Screen => "screen",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|track| track.name() == name)
    }
}

/// A video codec that can be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264 constrained baseline, packetization mode 1 (RFC 6184).
    H264,
    /// VP8 (RFC 7741).
    Vp8,
}

impl VideoCodec {
    /// The same among all codecs.
    pub(crate) fn codec(self) -> Codec {
        match self {
            Self::H264 => Codec::H264,
            Self::Vp8 => Codec::Vp8,
        }
    }
}

/// What the packets of a track are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Opus with in-band forward error correction (RFC 7587).
    Opus,
    /// The same with copies of earlier packets (RFC 2198). Agreed on beside Opus, never alone.
    Red,
    /// H.264 constrained baseline, packetization mode 1 (RFC 6184).
    H264,
    /// VP8 (RFC 7741).
    Vp8,
}
