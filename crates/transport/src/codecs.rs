//! The codecs as the peer connection is to know them.

use crate::track::{Track, VideoCodec};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use webrtc::error::Error;
use webrtc::peer_connection::MediaEngine;

/// The payload type that Opus is offered under.
pub(crate) const OPUS_PAYLOAD_TYPE: u8 = 111;
/// The payload type that H.264 is offered under.
pub(crate) const H264_PAYLOAD_TYPE: u8 = 102;
/// The payload type that retransmitted H.264 is offered under.
const H264_RTX_PAYLOAD_TYPE: u8 = 103;

/// The format parameters of Opus (RFC 7587 §6.1).
pub(crate) const OPUS_PARAMETERS: &str = "minptime=10;useinbandfec=1";
/// The format parameters of H.264 (RFC 6184 §8.1): constrained baseline at level 3.1, which is 1280x720 at 30 pictures a second.
pub(crate) const H264_PARAMETERS: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// The SSRCs that a peer sends under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ssrcs {
    pub(crate) media: [u32; Track::ALL.len()],
    rtx: [u32; Track::ALL.len()],
}

impl Ssrcs {
    /// Random ones, no two the same (RFC 3550 §8.1).
    pub(crate) fn random() -> Self {
        let mut chosen: Vec<u32> = Vec::new();
        while chosen.len() < 2 * Track::ALL.len() {
            let ssrc = rand::random();
            if ssrc != 0 && !chosen.contains(&ssrc) {
                chosen.push(ssrc);
            }
        }
        let at = |offset: usize| std::array::from_fn(|index| chosen[offset + index]);
        Self { media: at(0), rtx: at(Track::ALL.len()) }
    }
}

/// A media engine that knows Opus and `video`, in this order of preference, and what holds for every stream.
pub(crate) fn media_engine(video: &[VideoCodec]) -> Result<MediaEngine, Error> {
    let mut engine = MediaEngine::default();
    let opus = RTCRtpCodecParameters { rtp_codec: opus(), payload_type: OPUS_PAYLOAD_TYPE };
    engine.register_codec(opus, RtpCodecKind::Audio)?;
    for codec in video {
        match codec {
            VideoCodec::H264 => {
                let h264 = RTCRtpCodecParameters { rtp_codec: h264(), payload_type: H264_PAYLOAD_TYPE };
                engine.register_codec(h264, RtpCodecKind::Video)?;
                let rtx = RTCRtpCodecParameters { rtp_codec: h264_rtx(), payload_type: H264_RTX_PAYLOAD_TYPE };
                engine.register_codec(rtx, RtpCodecKind::Video)?;
            }
        }
    }
    let fir = RTCPFeedback { typ: "ccm".to_owned(), parameter: "fir".to_owned() };
    engine.register_feedback(fir, RtpCodecKind::Video);
    for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
        let mid = RTCRtpHeaderExtensionCapability { uri: MID_EXTENSION.to_owned() };
        engine.register_header_extension(mid, kind, None)?;
    }
    Ok(engine)
}

/// The outgoing track of a section.
pub(crate) fn outgoing_track(track: Track, ssrcs: &Ssrcs) -> MediaStreamTrack {
    let (kind, codec) = match track {
        Track::Microphone => (RtpCodecKind::Audio, opus()),
        Track::Camera | Track::Screen => (RtpCodecKind::Video, h264()),
    };
    let rtx = RTCRtpRtxParameters { ssrc: ssrcs.rtx[track.index()] };
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrcs.media[track.index()]),
            rtx: (kind == RtpCodecKind::Video).then_some(rtx),
            ..Default::default()
        },
        codec,
        ..Default::default()
    };
    // Speech and the user's picture belong together, the screen stands alone (RFC 8830).
    let stream = if track == Track::Screen { "screen" } else { "user" };
    MediaStreamTrack::new(stream.to_owned(), track.name().to_owned(), track.name().to_owned(), kind, vec![coding])
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "audio/opus".to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: OPUS_PARAMETERS.to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

fn h264() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "video/H264".to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: H264_PARAMETERS.to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

fn h264_rtx() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "video/rtx".to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: format!("apt={H264_PAYLOAD_TYPE}"),
        rtcp_feedback: Vec::new(),
    }
}
