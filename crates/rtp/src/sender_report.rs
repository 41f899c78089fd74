//! What a sender says of its clocks: the one thing that ties its sound to its picture.

/// The same moment on a sender's wall clock and on one stream's RTP clock (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// The sender's wall clock: seconds since 1900 in the upper 32 bits, 2^-32 seconds in the lower.
    pub ntp: u64,
    /// The stream's RTP time stamp at that moment.
    pub rtp: u32,
}
