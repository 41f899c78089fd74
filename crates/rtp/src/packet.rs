//! One RTP packet as this crate sees it (RFC 3550 §5.1). Payload type and SSRC are left out: they belong to
//! the negotiation, and the transport fills them in.

use bytes::Bytes;

/// One RTP packet without the fields that negotiation decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpPacket {
    /// Counts packets, wrapping at 65,536.
    pub sequence: u16,
    /// Sampling instant in the ticks of the media's clock, wrapping at 2^32.
    pub timestamp: u32,
    /// Video: the last packet of a picture. Audio: the first packet after silence.
    pub marker: bool,
    /// The media, in the form of its payload format.
    pub payload: Bytes,
}
