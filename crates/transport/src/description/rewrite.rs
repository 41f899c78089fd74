//! Writing a peer's description anew for the peer connection, from nothing but what was understood of it.
//!
//! Every section is written as open and in both directions: the peer connection stops a transceiver for good when it reads
//! `inactive`, and takes another one than the next for `sendonly`. What really holds is kept beside it, in [`Section`].

use super::remote::{Rtp, RtpCodec};
use super::{Media, RemoteDescription, Section};
use crate::codecs::{H264_PARAMETERS, OPUS_PARAMETERS, payload_type};
use crate::track::{Codec, VideoCodec};
use std::fmt::Write;

/// The description for the peer connection, which knows the video codecs in `video`.
pub(crate) fn write_anew(remote: &RemoteDescription, video: &[VideoCodec]) -> String {
    let picture = video.first().map_or(Codec::H264, |codec| codec.codec());
    let mut sdp = String::from("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
    let mids: Vec<&str> = remote.sections.iter().map(|section| section.mid.as_str()).collect();
    line(&mut sdp, format_args!("a=group:BUNDLE {}", mids.join(" ")));
    if remote.ice_lite {
        line(&mut sdp, format_args!("a=ice-lite"));
    }
    line(&mut sdp, format_args!("a=ice-options:trickle"));
    line(&mut sdp, format_args!("a=ice-ufrag:{}", remote.ufrag));
    line(&mut sdp, format_args!("a=ice-pwd:{}", remote.pwd));
    line(&mut sdp, format_args!("a=fingerprint:sha-256 {}", remote.fingerprint));
    for (index, section) in remote.sections.iter().enumerate() {
        match &section.media {
            Media::Rtp(rtp) => write_rtp(&mut sdp, index, section, rtp, remote, picture),
            Media::Application { sctp_port, max_message_bytes } => {
                line(&mut sdp, format_args!("m=application 9 UDP/DTLS/SCTP webrtc-datachannel"));
                write_common(&mut sdp, section, remote);
                line(&mut sdp, format_args!("a=sctp-port:{sctp_port}"));
                line(&mut sdp, format_args!("a=max-message-size:{max_message_bytes}"));
            }
        }
        if index == 0 {
            for candidate in &remote.candidates {
                line(&mut sdp, format_args!("a={}", candidate.attribute));
            }
        }
    }
    sdp
}

fn line(sdp: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = sdp.write_fmt(text);
    sdp.push_str("\r\n");
}

fn write_common(sdp: &mut String, section: &Section, remote: &RemoteDescription) {
    line(sdp, format_args!("c=IN IP4 0.0.0.0"));
    line(sdp, format_args!("a=setup:{}", remote.setup));
    line(sdp, format_args!("a=mid:{}", section.mid));
    line(sdp, format_args!("a=sendrecv"));
}

fn write_rtp(sdp: &mut String, index: usize, section: &Section, rtp: &Rtp, remote: &RemoteDescription, picture: Codec) {
    let stand_in = stand_in(if rtp.audio { Codec::Opus } else { picture });
    let codecs = if rtp.codecs.is_empty() { borrowed(remote, rtp.audio).unwrap_or(&stand_in) } else { &rtp.codecs };
    let media = if rtp.audio { "audio" } else { "video" };
    let formats: Vec<String> = codecs
        .iter()
        .flat_map(|codec| [Some(codec.payload_type), codec.red_payload_type, codec.rtx_payload_type])
        .flatten()
        .map(|payload_type| payload_type.to_string())
        .collect();
    line(sdp, format_args!("m={media} 9 UDP/TLS/RTP/SAVPF {}", formats.join(" ")));
    write_common(sdp, section, remote);
    line(sdp, format_args!("a=rtcp-mux"));
    line(sdp, format_args!("a=rtcp-rsize"));
    for codec in codecs {
        write_codec(sdp, codec);
    }
    for (id, uri) in &rtp.extensions {
        line(sdp, format_args!("a=extmap:{id} {uri}"));
    }
    // Without a declared SSRC nothing is expected: the peer connection fails on a track that it cannot tell from others.
    let Some((ssrc, rtx_ssrc)) = rtp.ssrc.filter(|_| !section.refused) else {
        return;
    };
    // The name by which what comes in is known: made here, so that no two sections share it.
    match rtp.track {
        Some(track) => line(sdp, format_args!("a=msid:peer {}", track.name())),
        None => line(sdp, format_args!("a=msid:peer section-{index}")),
    }
    if let Some(rtx_ssrc) = rtx_ssrc {
        line(sdp, format_args!("a=ssrc-group:FID {ssrc} {rtx_ssrc}"));
        line(sdp, format_args!("a=ssrc:{ssrc} cname:peer"));
        line(sdp, format_args!("a=ssrc:{rtx_ssrc} cname:peer"));
    } else {
        line(sdp, format_args!("a=ssrc:{ssrc} cname:peer"));
    }
}

fn write_codec(sdp: &mut String, codec: &RtpCodec) {
    let payload_type = codec.payload_type;
    let (map, parameters) = match codec.codec {
        Codec::Opus | Codec::Red => ("opus/48000/2", Some(OPUS_PARAMETERS)),
        Codec::H264 => ("H264/90000", Some(H264_PARAMETERS)),
        Codec::Vp8 => ("VP8/90000", None),
    };
    line(sdp, format_args!("a=rtpmap:{payload_type} {map}"));
    if let Some(parameters) = parameters {
        line(sdp, format_args!("a=fmtp:{payload_type} {parameters}"));
    }
    for feedback in &codec.feedback {
        line(sdp, format_args!("a=rtcp-fb:{payload_type} {feedback}"));
    }
    if let Some(red) = codec.red_payload_type {
        line(sdp, format_args!("a=rtpmap:{red} red/48000/2"));
        line(sdp, format_args!("a=fmtp:{red} {payload_type}/{payload_type}"));
    }
    if let Some(rtx) = codec.rtx_payload_type {
        line(sdp, format_args!("a=rtpmap:{rtx} rtx/90000"));
        line(sdp, format_args!("a=fmtp:{rtx} apt={payload_type}"));
    }
}

/// The codecs of a section of the same kind that has any, for one that has none and is answered as closed.
fn borrowed(remote: &RemoteDescription, audio: bool) -> Option<&Vec<RtpCodec>> {
    remote.sections.iter().find_map(|section| match &section.media {
        Media::Rtp(rtp) if rtp.audio == audio && !rtp.codecs.is_empty() => Some(&rtp.codecs),
        Media::Rtp(_) | Media::Application { .. } => None,
    })
}

/// A codec for a closed section where no section of its kind has one: a section must name some.
fn stand_in(codec: Codec) -> Vec<RtpCodec> {
    let payload_type = payload_type(codec);
    vec![RtpCodec { codec, payload_type, rtx_payload_type: None, red_payload_type: None, feedback: Vec::new() }]
}
