//! The sending side: encoded pictures and sound become RTP packets. Pacing and repair are not here.

mod h264;
mod opus;

pub use h264::H264Packetizer;
pub use opus::OpusPacketizer;

/// The most payload that is put into one packet.
///
/// What the smallest IPv6 path carries (1,280 bytes) less IPv6 and UDP (48), a TURN channel header (4), the RTP header (12) with
/// its extensions (12), the SRTP tag (16) and the two bytes that a retransmission adds (RFC 4588), rounded down.
pub const MAX_PAYLOAD_BYTES: usize = 1_180;
