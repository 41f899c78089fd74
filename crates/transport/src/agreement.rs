//! What a negotiation came to, as far as packets are concerned. Written by the negotiation, read by whoever sends, receives
//! or repairs.

use crate::track::{Codec, Track};

/// What was agreed on, for each track.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreement {
    tracks: [TrackAgreement; Track::ALL.len()],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrackAgreement {
    /// How the track is sent; `None` while the peer does not take it.
    pub(crate) sending: Option<Sending>,
    /// How it comes in.
    pub(crate) receiving: Receiving,
}

/// How a track is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sending {
    pub(crate) codec: Codec,
    pub(crate) payload_type: u8,
    /// The payload type of retransmissions (RFC 4588).
    pub(crate) rtx_payload_type: Option<u8>,
    /// The payload type of packets with copies of earlier ones (RFC 2198).
    pub(crate) red_payload_type: Option<u8>,
    /// Whether the peer may ask for packets again (RFC 4585 §6.2.1).
    pub(crate) nack: bool,
    /// The header extension that carries transport-wide sequence numbers, if the peer reports on them.
    pub(crate) transport_cc: Option<u8>,
}

/// How a track comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receiving {
    pub(crate) ssrc: Option<u32>,
    pub(crate) rtx_ssrc: Option<u32>,
    /// Whether packets may be asked for again.
    pub(crate) nack: bool,
    /// Which payload type means what.
    pub(crate) codecs: Vec<(u8, Codec)>,
}

/// What the packets under an SSRC of the peer's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Media,
    Retransmissions,
}

impl Agreement {
    pub(crate) fn new(track: impl FnMut(Track) -> TrackAgreement) -> Self {
        Self { tracks: Track::ALL.map(track) }
    }

    pub(crate) fn track(&self, track: Track) -> &TrackAgreement {
        &self.tracks[track.index()]
    }

    /// What comes in under `ssrc`.
    pub(crate) fn incoming(&self, ssrc: u32) -> Option<(Track, Stream)> {
        Track::ALL.into_iter().find_map(|track| {
            let receiving = &self.track(track).receiving;
            if receiving.ssrc == Some(ssrc) {
                Some((track, Stream::Media))
            } else {
                (receiving.rtx_ssrc == Some(ssrc)).then_some((track, Stream::Retransmissions))
            }
        })
    }
}

impl Receiving {
    /// The codec of a packet with this payload type.
    pub(crate) fn codec(&self, payload_type: u8) -> Option<Codec> {
        self.codecs.iter().find(|(known, _)| *known == payload_type).map(|(_, codec)| *codec)
    }
}
