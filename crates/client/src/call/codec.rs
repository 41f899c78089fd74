//! What a negotiated codec is to those who make pictures and to those who pack them, neither of whom knows the other.

use ahoy_media::VideoCodec;
use ahoy_rtp::PictureFormat;
use ahoy_transport::Codec;

/// The codec and the payload format of pictures; nothing if it is not for pictures.
pub(crate) fn of_pictures(codec: Codec) -> Option<(VideoCodec, PictureFormat)> {
    match codec {
        Codec::H264 => Some((VideoCodec::H264, PictureFormat::H264)),
        Codec::Vp8 => Some((VideoCodec::Vp8, PictureFormat::Vp8)),
        Codec::Opus => None,
    }
}
