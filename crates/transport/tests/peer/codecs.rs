//! Which codecs are sent, and under which numbers.

use crate::bench::{DEADLINE, Side, negotiate};
use ahoy_rtp::RtpPacket;
use ahoy_transport::{Codec, ReceivedPacket, Track, VideoCodec};
use bytes::Bytes;
use tokio::time::timeout;

#[tokio::test]
async fn each_side_sends_the_codec_that_it_prefers_among_those_that_the_other_takes() {
    use VideoCodec::{H264, Vp8};
    let cases: [(&[VideoCodec], &[VideoCodec], Codec, Codec); 4] = [
        (&[H264, Vp8], &[H264, Vp8], Codec::H264, Codec::H264),
        (&[H264, Vp8], &[Vp8, H264], Codec::H264, Codec::Vp8),
        (&[H264, Vp8], &[Vp8], Codec::Vp8, Codec::Vp8),
        (&[Vp8], &[H264, Vp8], Codec::Vp8, Codec::Vp8),
    ];
    for (alices, bobs, from_alice, from_bob) in cases {
        let (mut alice, mut bob) = (Side::open_with(alices).await, Side::open_with(bobs).await);
        negotiate(&alice.peer, &bob.peer).await;
        let (to_bob, to_alice) = (bob.peer.clone(), alice.peer.clone());
        tokio::join!(alice.wait_connected(&to_bob), bob.wait_connected(&to_alice));
        for (from, to, codec) in [(&to_alice, &mut bob, from_alice), (&to_bob, &mut alice, from_bob)] {
            for track in [Track::Camera, Track::Screen] {
                let sender = from.sender(track);
                assert_eq!(sender.codec(), Some(codec), "{alices:?} {bobs:?}");
                let packet = RtpPacket { sequence: 7, timestamp: 9, marker: true, payload: Bytes::from_static(b"p") };
                sender.send(packet.clone()).unwrap();
                let incoming = if track == Track::Camera { &mut to.media.camera } else { &mut to.media.screen };
                let received = timeout(DEADLINE, incoming.recv()).await.expect("it comes in time");
                assert_eq!(received, Some(ReceivedPacket { codec, packet }), "{alices:?} {bobs:?}");
            }
        }
        alice.peer.close().await;
        bob.peer.close().await;
    }
}

/// `sdp` with the payload types of its pictures numbered otherwise.
fn with_numbers(sdp: &str, numbers: &[(&str, &str)]) -> String {
    let other = |field: &str| numbers.iter().find(|(from, _)| *from == field).map_or(field, |(_, to)| to).to_owned();
    let line = |line: &str| {
        if let Some(media) = line.strip_prefix("m=video ") {
            return format!("m=video {}\r\n", media.split(' ').map(other).collect::<Vec<_>>().join(" "));
        }
        let Some((key, (number, rest))) = line.split_once(':').and_then(|(key, it)| Some((key, it.split_once(' ')?)))
        else {
            return format!("{line}\r\n");
        };
        if !["a=rtpmap", "a=rtcp-fb", "a=fmtp"].contains(&key) {
            return format!("{line}\r\n");
        }
        let rest = rest.strip_prefix("apt=").map_or(rest.to_owned(), |repaired| format!("apt={}", other(repaired)));
        format!("{key}:{} {rest}\r\n", other(number))
    };
    sdp.lines().map(line).collect()
}

/// What the payload types of `sdp` mean, and which of them each section names, whatever their order.
fn numbering(sdp: &str) -> Vec<String> {
    let section = |block: &str| {
        let says = |line: &&str| ["a=rtpmap:", "a=fmtp:"].iter().any(|key| line.starts_with(key));
        let fields = block.lines().next().unwrap_or_default().split(' ');
        let mut all: Vec<&str> = fields.chain(block.lines().filter(says)).collect();
        all.sort_unstable();
        all.join(" ")
    };
    sdp.split("\r\nm=").skip(1).map(section).collect()
}

#[tokio::test]
async fn pictures_go_on_both_ways_when_an_offer_of_the_peers_numbers_their_codecs_anew() {
    use VideoCodec::{H264, Vp8};
    let codecs = [Vp8, H264];
    let (mut alice, mut bob) = (Side::open_with(&codecs).await, Side::open_with(&codecs).await);
    // Firefox answers with the numbers of an offer, but has its own in every offer that it makes. Here it is Alice who learns
    // others than Bob at first.
    let anew = [("96", "120"), ("97", "124"), ("102", "126"), ("103", "127")];
    let back = anew.map(|(from, to)| (to, from));
    let bobs = bob.peer.make_offer(false).await.unwrap();
    let answer = alice.peer.answer(&with_numbers(&bobs, &anew)).await.unwrap();
    bob.peer.apply_answer(&with_numbers(&answer, &back)).await.unwrap();
    let (to_bob, to_alice) = (bob.peer.clone(), alice.peer.clone());
    tokio::join!(alice.wait_connected(&to_bob), bob.wait_connected(&to_alice));

    for (round, alice_offers) in [(1, true), (2, true), (3, false), (4, true)] {
        let (from, to) = if alice_offers { (&to_alice, &to_bob) } else { (&to_bob, &to_alice) };
        let offer = from.make_offer(false).await.unwrap();
        let expected = if alice_offers { with_numbers(&bobs, &anew) } else { bobs.clone() };
        assert_eq!(numbering(&offer), numbering(&expected), "round {round}");
        let answer = to.answer(&offer).await.unwrap();
        assert_eq!(numbering(&answer), numbering(&offer), "round {round}");
        from.apply_answer(&answer).await.unwrap();
        for (from, to) in [(&to_alice, &mut bob.media), (&to_bob, &mut alice.media)] {
            for (track, incoming) in [(Track::Camera, &mut to.camera), (Track::Screen, &mut to.screen)] {
                let packet =
                    RtpPacket { sequence: round, timestamp: 9, marker: true, payload: Bytes::from_static(b"p") };
                from.sender(track).send(packet.clone()).unwrap();
                let received = timeout(DEADLINE, incoming.recv()).await.expect("it comes in time");
                assert_eq!(received, Some(ReceivedPacket { codec: Codec::Vp8, packet }), "round {round}");
            }
        }
    }
    alice.peer.close().await;
    bob.peer.close().await;
}

#[tokio::test]
async fn every_picture_codec_is_offered_in_order_with_what_repairs_it() {
    let alice = Side::open_with(&[VideoCodec::Vp8, VideoCodec::H264]).await;
    let offer = alice.peer.make_offer(false).await.unwrap();
    let videos: Vec<&str> = offer.split("m=").filter(|section| section.starts_with("video")).collect();
    assert_eq!(videos.len(), 2);
    for video in videos {
        assert!(video.starts_with("video 9 UDP/TLS/RTP/SAVPF 96 97 102 103\r\n"), "{video}");
        let has = |line: &str| assert!(video.lines().any(|other| other == line), "{line} in {video}");
        for (payload_type, map) in [(96, "VP8/90000"), (102, "H264/90000")] {
            has(&format!("a=rtpmap:{payload_type} {map}"));
            has(&format!("a=fmtp:{} apt={payload_type}", payload_type + 1));
            for feedback in ["nack", "nack pli", "ccm fir", "transport-cc"] {
                has(&format!("a=rtcp-fb:{payload_type} {feedback}"));
            }
        }
        assert!(video.contains("a=ssrc-group:FID "), "{video}");
    }
    let bob = Side::open_with(&[VideoCodec::H264, VideoCodec::Vp8]).await;
    let answer = bob.peer.answer(&offer).await.unwrap();
    for feedback in ["nack", "nack pli", "ccm fir", "transport-cc"] {
        assert_eq!(answer.matches(&format!("a=rtcp-fb:96 {feedback}\r\n")).count(), 2, "{answer}");
    }
    assert_eq!(answer.matches("a=fmtp:97 apt=96\r\n").count(), 2, "{answer}");
    assert!(!answer.contains("a=rtcp-fb:111 nack"), "sound is not asked for again: {answer}");
    alice.peer.close().await;
    bob.peer.close().await;
}
