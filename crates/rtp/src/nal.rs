//! The bits of a NAL unit's first bytes, as H.264 (§7.3.1, table 7-1) and its payload format (RFC 6184 §5.2, §5.8) have
//! them: what packetizer and depacketizer must agree on.

/// Mask of the type in the first byte.
pub(crate) const NAL_TYPE: u8 = 0x1f;
/// Mask of the importance in the first byte.
pub(crate) const NAL_REF_IDC: u8 = 0x60;
/// Mask of everything but the type in the first byte.
pub(crate) const FORBIDDEN_AND_REF_IDC: u8 = 0xe0;

/// Type of a slice of a picture that needs others before it.
pub(crate) const SLICE: u8 = 1;
/// Type of a slice of a picture that needs none before it.
pub(crate) const IDR: u8 = 5;
/// Type of a sequence parameter set.
pub(crate) const SPS: u8 = 7;
/// Type of a picture parameter set.
pub(crate) const PPS: u8 = 8;
/// Type of several NAL units in one packet.
pub(crate) const STAP_A: u8 = 24;
/// Type of a piece of a NAL unit.
pub(crate) const FU_A: u8 = 28;

/// In the second byte of an FU-A: the first piece.
pub(crate) const FU_START: u8 = 0x80;
/// In the second byte of an FU-A: the last piece.
pub(crate) const FU_END: u8 = 0x40;
