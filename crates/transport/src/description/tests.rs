use super::remote::{Rtp, RtpCodec};
use super::*;
use crate::track::{Codec, Track, VideoCodec};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const DIGEST: &str = "6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08";
const VIDEO: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::Vp8];
const OTHER_DIGEST: &str =
    "00:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08";

/// An offer of a browser, shortened: sound, picture and data.
fn browser_offer() -> String {
    let session = [
        "v=0",
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1 2",
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS stream",
    ];
    let transport = [
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        "a=ice-ufrag:EsAw",
        "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
        "a=ice-options:trickle",
        &format!("a=fingerprint:sha-256 {DIGEST}"),
        "a=setup:actpass",
    ];
    let audio = [
        "a=mid:0",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=sendrecv",
        "a=msid:stream audio-track",
        "a=rtcp-mux",
        "a=rtpmap:63 red/48000/2",
        "a=fmtp:63 111/111",
        "a=rtpmap:111 opus/48000/2",
        "a=rtcp-fb:111 transport-cc",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:9 G722/8000",
        "a=ssrc:3570614608 cname:4TOk42mSjXCkVIa6",
    ];
    let video = [
        "a=mid:1",
        "a=sendrecv",
        "a=msid:stream video-track",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rtpmap:103 H264/90000",
        "a=rtcp-fb:103 goog-remb",
        "a=rtcp-fb:103 nack",
        "a=rtcp-fb:103 nack pli",
        "a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
        "a=rtpmap:107 H264/90000",
        "a=rtcp-fb:107 goog-remb",
        "a=rtcp-fb:107 transport-cc",
        "a=rtcp-fb:107 ccm fir",
        "a=rtcp-fb:107 nack",
        "a=rtcp-fb:107 nack pli",
        "a=fmtp:107 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "a=rtpmap:108 rtx/90000",
        "a=fmtp:108 apt=107",
        "a=ssrc-group:FID 2231627014 632943048",
        "a=ssrc:2231627014 cname:4TOk42mSjXCkVIa6",
        "a=ssrc:2231627014 msid:stream video-track",
        "a=ssrc:632943048 cname:4TOk42mSjXCkVIa6",
    ];
    let data = ["a=mid:2", "a=sctp-port:5000", "a=max-message-size:262144"];
    let mut lines: Vec<&str> = session.to_vec();
    lines.push("m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9");
    lines.extend(transport);
    lines.extend(audio);
    lines.push("m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 107 108");
    lines.extend(transport);
    lines.extend(video);
    lines.push("m=application 9 UDP/DTLS/SCTP webrtc-datachannel");
    lines.extend(transport);
    lines.extend(data);
    lines.join("\r\n") + "\r\n"
}

fn read_offer(sdp: &str) -> Result<RemoteDescription, DescriptionError> {
    read(sdp, DescriptionKind::Offer, &VIDEO, false)
}

fn anew(description: &RemoteDescription) -> String {
    write_anew(description, &VIDEO)
}

fn rtp(section: &Section) -> &Rtp {
    match &section.media {
        Media::Rtp(rtp) => rtp,
        Media::Application { .. } => panic!("a media section"),
    }
}

#[test]
fn a_browsers_offer_is_understood_as_far_as_it_matters() {
    let offer = read_offer(&browser_offer()).unwrap();
    assert_eq!(offer.ufrag, "EsAw");
    assert_eq!(offer.fingerprint, DIGEST);
    let [audio, video, data] = &offer.sections[..] else {
        panic!("three sections");
    };
    assert_eq!(rtp(audio).track, Some(Track::Microphone));
    let opus = RtpCodec {
        codec: Codec::Opus,
        payload_type: 111,
        rtx_payload_type: None,
        red_payload_type: Some(63),
        feedback: vec!["transport-cc"],
    };
    assert_eq!(rtp(audio).codecs, [opus]);
    assert_eq!(rtp(audio).extensions.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(rtp(audio).ssrc, Some((3_570_614_608, None)));
    assert_eq!(rtp(video).track, Some(Track::Camera));
    let h264 = RtpCodec {
        codec: Codec::H264,
        payload_type: 107,
        rtx_payload_type: Some(108),
        red_payload_type: None,
        feedback: vec!["nack", "nack pli", "ccm fir", "transport-cc"],
    };
    let vp8 = RtpCodec {
        codec: Codec::Vp8,
        payload_type: 96,
        rtx_payload_type: Some(97),
        red_payload_type: None,
        feedback: Vec::new(),
    };
    assert_eq!(rtp(video).codecs, [vp8, h264]);
    assert_eq!(rtp(video).ssrc, Some((2_231_627_014, Some(632_943_048))));
    assert_eq!(data.media, Media::Application { sctp_port: 5_000, max_message_bytes: 262_144 });
    assert!(offer.sections.iter().all(|section| !section.refused && section.direction == Direction::SendRecv));
    assert_eq!(ufrag(&browser_offer()).as_deref(), Some("EsAw"));
    assert!(has_application(&browser_offer()));
}

#[test]
fn what_is_written_anew_says_the_same_and_nothing_else() {
    let offer = read_offer(&browser_offer()).unwrap();
    let written = anew(&offer);
    assert_eq!(read_offer(&written).unwrap(), offer);
    for stranger in ["G722", "goog-remb", "4TOk42mSjXCkVIa6", "video-track", "ssrc-audio-level"] {
        assert!(!written.contains(stranger), "{stranger}");
    }
    assert!(written.contains("a=msid:peer camera"));
}

#[test]
fn unsound_descriptions_are_refused_with_the_reason() {
    use DescriptionError::*;
    let offer = browser_offer();
    let with = |from: &str, to: &str| offer.replace(from, to);
    let fingerprint = format!("a=fingerprint:sha-256 {DIGEST}");
    let once = |from: &str, to: &str| offer.replacen(from, to, 1);
    let cases: Vec<(&str, String, DescriptionError)> = vec![
        ("nothing", String::new(), SectionCount(0)),
        ("no sections", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned(), SectionCount(0)),
        ("too large", format!("v=0\r\ns={}\r\n", "x".repeat(MAX_BYTES)), TooLarge),
        ("a megabyte", format!("{offer}{}", "a=x\r\n".repeat(200_000)), TooLarge),
        ("no SDP", "hello".to_owned(), Malformed(1)),
        ("another version", once("v=0", "v=1"), Malformed(1)),
        ("a version within", once("s=-", "v=0"), Malformed(3)),
        ("an empty line", once("s=-", ""), Malformed(3)),
        ("a zero byte", once("s=-", "s=\0"), Malformed(3)),
        ("a carriage return within", once("s=-", "s=a\rb"), Malformed(3)),
        ("a strange line", once("s=-", "session=x"), Malformed(3)),
        ("too many sections", format!("{offer}{}", "m=audio 9 RTP/AVP 0\r\n".repeat(14)), SectionCount(17)),
        ("a thousand sections", format!("{offer}{}", "m=audio 9 RTP/AVP 0\r\n".repeat(1_000)), SectionCount(1_003)),
        ("no encryption", with("UDP/TLS/RTP/SAVPF 111", "RTP/AVP 111"), Protocol(0)),
        ("SDES", with("UDP/TLS/RTP/SAVPF 111", "RTP/SAVPF 111"), Protocol(0)),
        ("another medium", with("m=audio", "m=text"), Protocol(0)),
        ("another application", with("webrtc-datachannel", "t38"), Protocol(2)),
        ("a bare media line", with("m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9", "m=audio"), Protocol(0)),
        ("no mid", with("a=mid:0\r\n", ""), Mid(0)),
        ("an empty mid", with("a=mid:0\r\n", "a=mid:\r\n"), Mid(0)),
        ("a mid twice", with("a=mid:1\r\n", "a=mid:0\r\n"), Mid(1)),
        ("a mid with a space", with("a=mid:1\r\n", "a=mid:1 2\r\n"), Mid(1)),
        ("no BUNDLE", with("a=group:BUNDLE 0 1 2\r\n", ""), NotBundled(0)),
        ("a section outside", with("BUNDLE 0 1 2", "BUNDLE 0 2"), NotBundled(1)),
        ("no rtcp-mux", once("a=rtcp-mux\r\n", ""), NoRtcpMux(0)),
        ("no fingerprint", with(&format!("{fingerprint}\r\n"), ""), Missing("sha-256 fingerprint")),
        ("only another hash", with("sha-256", "sha-1"), Missing("sha-256 fingerprint")),
        ("another hash in one section", once("sha-256", "sha-512"), Missing("sha-256 fingerprint")),
        ("two certificates", once(DIGEST, OTHER_DIGEST), Conflict("fingerprint")),
        ("a short fingerprint", with(DIGEST, "6B:8B"), Attribute("fingerprint")),
        ("no fingerprint value", with(&fingerprint, "a=fingerprint:"), Attribute("fingerprint")),
        ("a fingerprint of letters", with("6B:8B", "XX:8B"), Attribute("fingerprint")),
        ("no fragment", with("a=ice-ufrag:EsAw\r\n", ""), Missing("ice-ufrag")),
        ("two fragments", once("EsAw", "EsAx"), Conflict("ice-ufrag")),
        ("a short fragment", with("EsAw", "Es"), Attribute("ice-ufrag")),
        ("a fragment with a quote", with("EsAw", "Es\"w"), Attribute("ice-ufrag")),
        ("two passwords", once("P2uYro", "P2uYrp"), Conflict("ice-pwd")),
        ("a short password", with("P2uYro0UCOQ4zxjKXaWCBui1", "P2uYro"), Attribute("ice-pwd")),
        ("no setup", with("a=setup:actpass\r\n", ""), Missing("setup")),
        ("a role chosen", with("setup:actpass", "setup:active"), Setup),
        ("a held connection", with("setup:actpass", "setup:holdconn"), Setup),
        ("roles that differ", once("setup:actpass", "setup:active"), Conflict("setup")),
        ("all closed", with(" 9 UDP", " 0 UDP"), NothingInCommon),
    ];
    for (name, sdp, reason) in cases {
        assert_eq!(read_offer(&sdp).map(|_| ()), Err(reason), "{name}");
    }
    assert_eq!(read(&offer, DescriptionKind::Answer, &VIDEO, false).map(|_| ()), Err(Setup));
    for role in ["setup:active", "setup:passive"] {
        assert!(read(&with("setup:actpass", role), DescriptionKind::Answer, &VIDEO, false).is_ok());
    }
}

#[test]
fn fingerprints_of_other_hashes_beside_the_right_one_do_not_count() {
    let fingerprint = format!("a=fingerprint:sha-256 {DIGEST}");
    let two = format!("a=fingerprint:sha-1 {}\r\n{}", &OTHER_DIGEST[..59], fingerprint.to_lowercase());
    let offer = read_offer(&browser_offer().replace(&fingerprint, &two)).unwrap();
    assert_eq!(offer.fingerprint, DIGEST);
    assert!(!anew(&offer).contains("sha-1"));
}

#[test]
fn sections_that_cannot_be_used_are_refused_and_the_rest_goes_on() {
    let no_codec = browser_offer().replace("H264/90000", "H265/90000").replace("VP8/90000", "VP9/90000");
    let closed = browser_offer().replace("m=video 9", "m=video 0");
    for sdp in [no_codec, closed] {
        let offer = read_offer(&sdp).unwrap();
        let refused: Vec<bool> = offer.sections.iter().map(|section| section.refused).collect();
        assert_eq!(refused, [false, true, false]);
        assert!(anew(&offer).contains("m=video 9"));
    }
    let waiting = browser_offer().replace("m=video 9", "m=video 0").replace("a=mid:1", "a=bundle-only\r\na=mid:1");
    assert!(read_offer(&waiting).unwrap().sections.iter().all(|section| !section.refused));
}

#[test]
fn the_second_picture_is_the_screen_and_the_third_is_one_too_many() {
    let offer = browser_offer();
    let video = offer.split("m=video").nth(1).unwrap().split("m=application").next().unwrap();
    let more: String =
        ["3", "4"].iter().map(|mid| format!("m=video{}", video.replace("mid:1", &format!("mid:{mid}")))).collect();
    let offer = read_offer(&(offer.replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3 4") + &more)).unwrap();
    let tracks: Vec<Option<Track>> = [1, 3, 4].iter().map(|index| rtp(&offer.sections[*index]).track).collect();
    assert_eq!(tracks, [Some(Track::Camera), Some(Track::Screen), None]);
    assert!(offer.sections[4].refused);
}

#[test]
fn absurd_candidates_are_left_out_and_sound_ones_kept() {
    let candidates = "a=candidate:1 1 udp 2130706431 192.168.1.4 5000 typ host\r\n\
        a=candidate:2 1 udp 2130706431 127.0.0.1 5000 typ host\r\n\
        a=candidate:3 1 tcp 1518280447 192.168.1.4 9 typ host tcptype active\r\n\
        a=candidate:nonsense\r\n";
    let sdp = browser_offer().replacen("a=mid:0\r\n", &format!("{candidates}a=mid:0\r\n"), 1);
    let offer = read_offer(&sdp).unwrap();
    assert_eq!((offer.candidates.len(), offer.tcp_candidates.len()), (1, 1));
    assert!(!anew(&offer).contains("tcptype"), "the peer connection would connect to wherever the peer says");
    assert!(anew(&offer).contains("a=candidate:1 1 udp 2130706431 192.168.1.4 5000 typ host\r\n"));
    assert_eq!(read(&sdp, DescriptionKind::Offer, &VIDEO, true).unwrap().candidates.len(), 2);
}

#[test]
fn directions_are_read_from_the_section_or_else_from_the_session() {
    let sdp = browser_offer().replacen("a=sendrecv", "a=recvonly", 1).replace("a=sendrecv\r\n", "");
    let sdp = sdp.replace("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n");
    let offer = read_offer(&sdp).unwrap();
    assert_eq!(offer.sections[0].direction, Direction::RecvOnly);
    assert_eq!(offer.sections[1].direction, Direction::SendOnly);
    // The peer connection is told otherwise, and our answer is set right on its way out.
    assert_eq!(anew(&offer).matches("a=sendrecv").count(), 3);
}

#[test]
fn our_own_description_is_completed_and_refused_sections_are_closed() {
    let sdp = "v=0\r\ns=-\r\na=group:BUNDLE 0 1 2\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendrecv\r\n\
        a=candidate:1 1 udp 1 192.168.1.4 5000 typ host\r\na=candidate:1 2 udp 1 192.168.1.4 5000 typ host\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\na=sendrecv\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sendrecv\r\n";
    let published = publish(sdp, false, None, |mid| match mid {
        "0" => Some(SectionFate::Open(Direction::RecvOnly)),
        "1" => Some(SectionFate::Refused),
        _ => None,
    });
    let expected = "v=0\r\ns=-\r\na=group:BUNDLE 0 2\r\na=ice-options:trickle\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n\
        a=candidate:1 1 udp 1 192.168.1.4 5000 typ host\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\na=sendrecv\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sendrecv\r\n";
    assert_eq!(published.sdp, expected);
    let sections: Vec<(&str, &str)> =
        published.sections.iter().map(|(media, mid)| (media.as_str(), mid.as_str())).collect();
    assert_eq!(sections, [("audio", "0"), ("video", "1"), ("application", "2")]);
    assert_eq!(published.bundle_tag, BundleTag { mid: "0".to_owned(), line_index: 0 });
    let first_closed = publish(sdp, false, None, |mid| (mid == "0").then_some(SectionFate::Refused));
    assert_eq!(first_closed.bundle_tag, BundleTag { mid: "1".to_owned(), line_index: 1 });
}

#[test]
fn our_own_description_tells_a_relay_and_not_what_lies_behind_it() {
    let sdp = "v=0\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
        a=candidate:1 1 udp 1 203.0.113.9 49152 typ relay raddr 192.168.1.4 rport 5000\r\n";
    let published = publish(sdp, false, None, |_| None).sdp;
    assert!(published.contains("a=candidate:1 1 udp 1 203.0.113.9 49152 typ relay raddr 0.0.0.0 rport 0\r\n"));
}

#[test]
fn mangled_descriptions_never_panic_and_what_passes_can_be_written_anew() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let offer = browser_offer();
    let lines: Vec<&str> = offer.split_inclusive("\r\n").collect();
    for _ in 0..3_000 {
        let mut mangled: Vec<u8> = Vec::new();
        for line in &lines {
            match rng.random_range(0..60) {
                0 => continue,
                1 => mangled.extend(line.bytes().chain(line.bytes())),
                2 => mangled.extend(lines[rng.random_range(0..lines.len())].bytes()),
                3 => mangled.extend(line.bytes().take(rng.random_range(0..line.len()))),
                _ => mangled.extend(line.bytes()),
            }
        }
        for _ in 0..rng.random_range(0..4) {
            let at = rng.random_range(0..mangled.len());
            mangled[at] = rng.random();
        }
        let Ok(text) = String::from_utf8(mangled) else {
            continue;
        };
        if let Ok(description) = read_offer(&text) {
            let written = anew(&description);
            let again = read_offer(&written).unwrap();
            assert_eq!(again.sections.len(), description.sections.len());
            webrtc::peer_connection::RTCSessionDescription::offer(written).unwrap();
        }
        ufrag(&text);
    }
}
