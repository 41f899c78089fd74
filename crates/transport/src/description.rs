//! Session descriptions at the border: what a peer sends is read, checked and written anew before the peer connection sees
//! any of it; what the peer connection says of itself is completed before it is sent. Pure.

mod local;
mod numbers;
mod remote;
mod rewrite;

pub(crate) use local::{BundleTag, DtlsRole, LocalDescription, SectionFate, publish};
pub(crate) use numbers::{Renumbering, renumber, renumberings};
pub(crate) use remote::{
    DescriptionKind, Direction, Media, RemoteDescription, Rtp, RtpCodec, Section, TRANSPORT_CC_EXTENSION, read,
};
pub(crate) use rewrite::write_anew;

use thiserror::Error;

/// The largest description that is looked at.
pub const MAX_BYTES: usize = 64 * 1024;

/// The most sections a description may have.
pub const MAX_SECTIONS: usize = 16;

/// Why a description is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DescriptionError {
    /// More than [`MAX_BYTES`].
    #[error("the description is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not SDP (RFC 8866).
    #[error("line {0} of the description is malformed")]
    Malformed(usize),
    /// More than [`MAX_SECTIONS`], or none.
    #[error("the description has {0} sections")]
    SectionCount(usize),
    /// A section of a kind or protocol other than DTLS-SRTP sound and pictures, and data channels.
    #[error("section {0} is neither DTLS-SRTP media nor a data channel")]
    Protocol(usize),
    /// A section without a sound, unique `a=mid`.
    #[error("section {0} has no sound mid of its own")]
    Mid(usize),
    /// BUNDLE is required (RFC 9143).
    #[error("section {0} is not in the BUNDLE group")]
    NotBundled(usize),
    /// Multiplexing of RTP and RTCP is required (RFC 5761).
    #[error("section {0} does not multiplex RTCP")]
    NoRtcpMux(usize),
    /// An attribute that must be there is not.
    #[error("the description has no {0}")]
    Missing(&'static str),
    /// An attribute is not what its standard allows.
    #[error("the description's {0} is malformed")]
    Attribute(&'static str),
    /// Sections that share one transport say different things about it.
    #[error("the sections disagree on the {0}")]
    Conflict(&'static str),
    /// The DTLS role is not one that the description may name (RFC 8842 §5.1).
    #[error("the setup attribute does not fit the description")]
    Setup,
    /// The answer does not repeat the sections of the offer.
    #[error("the answer does not fit the offer")]
    NotAnAnswer,
    /// Nothing in it can be used by both sides.
    #[error("no section of the description can be used")]
    NothingInCommon,
    /// A connection keeps its peer's certificate for its whole life.
    #[error("the certificate fingerprint is not the one that the connection began with")]
    FingerprintChanged,
}

/// The ICE username fragment of a description, which its candidates name.
pub fn ufrag(sdp: &str) -> Option<String> {
    let value = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"))?;
    Some(value.trim_end().to_owned())
}

/// The ICE password of a description, which the peer's checks are made with.
pub(crate) fn ice_password(sdp: &str) -> Option<String> {
    let value = sdp.lines().find_map(|line| line.strip_prefix("a=ice-pwd:"))?;
    Some(value.trim_end().to_owned())
}

/// Whether a description holds the section for data channels.
pub fn has_application(sdp: &str) -> bool {
    sdp.lines().any(|line| line.starts_with("m=application "))
}

#[cfg(test)]
mod tests;
