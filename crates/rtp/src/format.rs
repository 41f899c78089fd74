//! The payload formats of pictures. Not their codecs: nothing here looks further into a picture than its first bytes.

/// How coded pictures are put into packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PictureFormat {
    /// H.264, packetization mode 1 (RFC 6184 §6.3). A picture is an access unit in Annex B form.
    H264,
    /// VP8 (RFC 7741). A picture is a frame (RFC 6386 §9).
    Vp8,
}
