//! The codecs as the peer connection is to know them.

use crate::description::Renumbering;
use crate::track::{Codec, Track, VideoCodec};
use ahoy_rtp::clock::VIDEO_CLOCK_HZ;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use webrtc::error::Error;
use webrtc::peer_connection::MediaEngine;

/// The payload type that Opus is offered under.
const OPUS_PAYLOAD_TYPE: u8 = 111;
/// The payload type that Opus with copies of earlier packets is offered under: one below 64, as in browsers, which need
/// those above for pictures.
const RED_PAYLOAD_TYPE: u8 = 63;
/// The payload type that H.264 is offered under; its retransmissions have the next one.
const H264_PAYLOAD_TYPE: u8 = 102;
/// The payload type that VP8 is offered under; its retransmissions have the next one.
const VP8_PAYLOAD_TYPE: u8 = 96;

/// The format parameters of Opus (RFC 7587 §6.1).
pub(crate) const OPUS_PARAMETERS: &str = "minptime=10;useinbandfec=1";
/// The format parameters of H.264 (RFC 6184 §8.1): constrained baseline at level 3.1, which is 1280x720 at 30 pictures a second.
pub(crate) const H264_PARAMETERS: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// The payload type that a codec is offered under.
pub(crate) fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::Opus => OPUS_PAYLOAD_TYPE,
        Codec::Red => RED_PAYLOAD_TYPE,
        Codec::H264 => H264_PAYLOAD_TYPE,
        Codec::Vp8 => VP8_PAYLOAD_TYPE,
    }
}

/// The SSRCs that a peer sends under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ssrcs {
    pub(crate) media: [u32; Track::ALL.len()],
    pub(crate) rtx: [u32; Track::ALL.len()],
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

    /// The one that feedback is given under.
    pub(crate) fn feedback(&self) -> u32 {
        self.media[Track::Camera.index()]
    }

    /// The track whose packets are sent under `ssrc`.
    pub(crate) fn track(&self, ssrc: u32) -> Option<Track> {
        Track::ALL.into_iter().find(|track| self.media[track.index()] == ssrc)
    }

    /// The track whose packets or retransmissions are sent under `ssrc`.
    pub(crate) fn track_with_retransmissions(&self, ssrc: u32) -> Option<Track> {
        self.track(ssrc).or_else(|| Track::ALL.into_iter().find(|track| self.rtx[track.index()] == ssrc))
    }
}

/// A media engine that knows Opus and `video`, in this order of preference, and what holds for every stream.
pub(crate) fn media_engine(video: &[VideoCodec]) -> Result<MediaEngine, Error> {
    let mut engine = MediaEngine::default();
    let opus = RTCRtpCodecParameters { rtp_codec: opus(), payload_type: OPUS_PAYLOAD_TYPE };
    engine.register_codec(opus, RtpCodecKind::Audio)?;
    // Behind Opus: a browser sends copies all the time where they are preferred, needed or not.
    let red = RTCRtpCodecParameters { rtp_codec: red(OPUS_PAYLOAD_TYPE), payload_type: RED_PAYLOAD_TYPE };
    engine.register_codec(red, RtpCodecKind::Audio)?;
    for codec in video {
        let payload_type = payload_type(codec.codec());
        let media = RTCRtpCodecParameters { rtp_codec: picture(*codec), payload_type };
        engine.register_codec(media, RtpCodecKind::Video)?;
        let rtx = RTCRtpCodecParameters { rtp_codec: rtx(payload_type), payload_type: payload_type + 1 };
        engine.register_codec(rtx, RtpCodecKind::Video)?;
    }
    for (typ, parameter) in [("nack", ""), ("nack", "pli"), ("ccm", "fir")] {
        let feedback = RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
        engine.register_feedback(feedback, RtpCodecKind::Video);
    }
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
        // Any that is negotiated: which one is decided packet by packet.
        Track::Camera | Track::Screen => (RtpCodecKind::Video, RTCRtpCodec::default()),
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

/// The codecs of a section under the peer's numbers, as the preferences of its transceiver.
pub(crate) fn renumbered(renumbering: &Renumbering) -> Vec<RTCRtpCodecParameters> {
    let mut preferences = Vec::new();
    for codec in &renumbering.codecs {
        let (own, peers) = (&codec.own, &codec.peers);
        let mut media = match peers.codec {
            Codec::Opus | Codec::Red => opus(),
            Codec::H264 => picture(VideoCodec::H264),
            Codec::Vp8 => picture(VideoCodec::Vp8),
        };
        let feedback = peers.feedback.iter().map(|feedback| feedback.split_once(' ').unwrap_or((feedback, "")));
        media.rtcp_feedback = feedback
            .map(|(typ, parameter)| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() })
            .collect();
        preferences.push(RTCRtpCodecParameters { rtp_codec: media, payload_type: peers.payload_type });
        if let (Some(payload_type), Some(_)) = (peers.red_payload_type, own.red_payload_type) {
            preferences.push(RTCRtpCodecParameters { rtp_codec: red(peers.payload_type), payload_type });
        }
        if let (Some(payload_type), Some(_)) = (peers.rtx_payload_type, own.rtx_payload_type) {
            let mut rtp_codec = rtx(peers.payload_type);
            // The peer connection reads the first one where packets come in. Where it writes an offer it looks for the codec
            // among its own by the last one, and would take those of another codec for one that it does not find.
            rtp_codec.sdp_fmtp_line = format!("apt={};apt={}", peers.payload_type, own.payload_type);
            preferences.push(RTCRtpCodecParameters { rtp_codec, payload_type });
        }
    }
    preferences
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

/// Copies of what has `payload_type` (RFC 2198 §5).
fn red(payload_type: u8) -> RTCRtpCodec {
    let sdp_fmtp_line = format!("{payload_type}/{payload_type}");
    RTCRtpCodec { mime_type: "audio/red".to_owned(), sdp_fmtp_line, ..opus() }
}

fn picture(codec: VideoCodec) -> RTCRtpCodec {
    let (mime_type, parameters) = match codec {
        VideoCodec::H264 => ("video/H264", H264_PARAMETERS),
        VideoCodec::Vp8 => ("video/VP8", ""),
    };
    RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate: VIDEO_CLOCK_HZ,
        channels: 0,
        sdp_fmtp_line: parameters.to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

/// Retransmissions of what has `payload_type` (RFC 4588 §8.6).
fn rtx(payload_type: u8) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "video/rtx".to_owned(),
        clock_rate: VIDEO_CLOCK_HZ,
        channels: 0,
        sdp_fmtp_line: format!("apt={payload_type}"),
        rtcp_feedback: Vec::new(),
    }
}
