//! What a negotiated codec is to those who make pictures and to those who pack them, neither of whom knows the other.

use ahoy_media::VideoCodec;
use ahoy_rtp::PictureFormat;
use ahoy_transport::Codec;

/// What those call a codec who agree on it.
pub(crate) fn agreed(codec: VideoCodec) -> ahoy_transport::VideoCodec {
    match codec {
        VideoCodec::H264 => ahoy_transport::VideoCodec::H264,
        VideoCodec::Vp8 => ahoy_transport::VideoCodec::Vp8,
    }
}

/// The codec and the payload format of pictures; nothing if it is not for pictures.
pub(crate) fn of_pictures(codec: Codec) -> Option<(VideoCodec, PictureFormat)> {
    match codec {
        Codec::H264 => Some((VideoCodec::H264, PictureFormat::H264)),
        Codec::Vp8 => Some((VideoCodec::Vp8, PictureFormat::Vp8)),
        Codec::Opus | Codec::Red => None,
    }
}
