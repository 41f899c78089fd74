//! Two peer connections over real sockets on loopback.
#![allow(clippy::unwrap_used)]

use ahoy_rtp::red;
use ahoy_rtp::{AssemblerConfig, FrameAssembler, FramePacketizer, OpusPacketizer, PictureFormat, RtpPacket};
use ahoy_transport::{
    Candidate, CandidateError, CandidateKind, Certificate, Codec, IceServer, Network, Outcome, PathState, Peer,
    PeerConfig, PeerEvent, PeerEvents, ReceivedMedia, ReceivedPacket, SendError, Track, TransportError, VideoCodec,
    description::DescriptionError,
};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

fn config() -> PeerConfig {
    config_with(&[VideoCodec::H264])
}

fn config_with(video_codecs: &[VideoCodec]) -> PeerConfig {
    PeerConfig {
        ice_servers: Vec::new(),
        relay_only: false,
        loopback: true,
        certificate: Certificate::generate().unwrap(),
        video_codecs: video_codecs.to_vec(),
        known_rates: Vec::new(),
    }
}

struct Side {
    peer: Peer,
    events: PeerEvents,
    media: ReceivedMedia,
    /// Seen, and not asked for yet.
    seen: VecDeque<PeerEvent>,
}

impl Side {
    async fn open() -> Self {
        Self::open_with(&[VideoCodec::H264]).await
    }

    async fn open_with(video_codecs: &[VideoCodec]) -> Self {
        let (peer, events, media) = Peer::open(config_with(video_codecs)).await.unwrap();
        Self { peer, events, media, seen: VecDeque::new() }
    }

    /// The next event for which `pick` gives something, handing candidates to `other` meanwhile.
    async fn wait_for<T>(&mut self, other: &Peer, pick: impl Fn(&PeerEvent) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Some(found) = self.seen.iter().position(|event| pick(event).is_some()) {
                    return self.seen.remove(found).and_then(|event| pick(&event)).unwrap();
                }
                match self.events.next().await.expect("the connection is open") {
                    PeerEvent::Candidate(candidate) => other.add_candidate(candidate).await.unwrap(),
                    event => self.seen.push_back(event),
                }
            }
        };
        timeout(DEADLINE, waiting).await.expect("the event comes in time")
    }

    async fn wait_connected(&mut self, other: &Peer) -> CandidateKind {
        self.wait_for(other, |event| match event {
            PeerEvent::Path(PathState::Connected { path }) => Some(*path),
            _ => None,
        })
        .await
    }

    async fn wait_control(&mut self, other: &Peer) -> String {
        self.wait_for(other, |event| match event {
            PeerEvent::Control(text) => Some(text.clone()),
            _ => None,
        })
        .await
    }

    async fn wait_event(&mut self, other: &Peer, wanted: PeerEvent) {
        self.wait_for(other, |event| (*event == wanted).then_some(())).await;
    }
}

async fn negotiate(from: &Peer, to: &Peer) {
    let offer = from.make_offer(false).await.unwrap();
    let answer = to.answer(&offer).await.unwrap();
    from.apply_answer(&answer).await.unwrap();
}

async fn connected() -> (Side, Side) {
    let (mut alice, mut bob) = (Side::open().await, Side::open().await);
    negotiate(&alice.peer, &bob.peer).await;
    let (for_bob, for_alice) = (bob.peer.clone(), alice.peer.clone());
    let paths = tokio::join!(alice.wait_connected(&for_bob), bob.wait_connected(&for_alice));
    assert_eq!(paths, (CandidateKind::Host, CandidateKind::Host));
    (alice, bob)
}

async fn receive(packets: &mut mpsc::Receiver<ReceivedPacket>) -> RtpPacket {
    let received = timeout(DEADLINE, packets.recv()).await.expect("a packet comes in time");
    received.expect("the connection is open").packet
}

/// The packet with a number from the other half: close to where they wrap, if it is close to where the first may be at most.
fn late_in_the_count(packet: RtpPacket) -> RtpPacket {
    RtpPacket { sequence: packet.sequence.wrapping_add(0x8000), ..packet }
}

fn packets_of_a_key_picture(bytes: usize) -> Vec<RtpPacket> {
    let mut unit = vec![0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 0, 1, 0x65, 0x88];
    unit.extend((0..bytes).map(|index| (index % 255) as u8 + 1));
    FramePacketizer::new(32_700).packetize(PictureFormat::H264, &unit, u32::MAX - 5).map(late_in_the_count).collect()
}

#[tokio::test]
async fn a_path_begins_with_what_it_carried_the_last_time_on_the_same_network() {
    let loopback = Network::new([127, 0, 0, 1].into(), false);
    let elsewhere = [Network::new([10, 0, 0, 1].into(), false), Network::new([127, 0, 0, 1].into(), true)];
    let mut budgets = Vec::new();
    for networks in [vec![elsewhere[0], elsewhere[1], loopback], elsewhere.to_vec()] {
        let known_rates = networks.into_iter().map(|network| (network, 400_000)).collect();
        let opened = Peer::open(PeerConfig { known_rates, ..config() }).await.unwrap();
        let mut alice = Side { peer: opened.0, events: opened.1, media: opened.2, seen: VecDeque::new() };
        let mut bob = Side::open().await;
        negotiate(&alice.peer, &bob.peer).await;
        let (for_bob, for_alice) = (bob.peer.clone(), alice.peer.clone());
        tokio::join!(alice.wait_connected(&for_bob), bob.wait_connected(&for_alice));
        assert_eq!(alice.peer.stats().await.network, Some(loopback));
        budgets.push(alice.peer.sender(Track::Camera).picture_budget().unwrap().bitrate_bps);
    }
    assert!((150_000..300_000).contains(&budgets[0]), "{budgets:?}");
    assert!(budgets[1] > 1_000_000, "{budgets:?}");
}

#[tokio::test]
async fn pictures_and_sound_arrive_as_they_were_sent_both_ways() {
    let (mut alice, mut bob) = connected().await;
    for (from, to) in [(&alice.peer, &mut bob.media), (&bob.peer, &mut alice.media)] {
        for (track, incoming) in [(Track::Camera, &mut to.camera), (Track::Screen, &mut to.screen)] {
            let sent = packets_of_a_key_picture(60_000);
            assert_eq!(from.sender(track).codec(), Some(Codec::H264));
            for packet in &sent {
                from.sender(track).send(packet.clone()).unwrap();
            }
            let mut assembler = FrameAssembler::new(PictureFormat::H264, AssemblerConfig::default());
            // A machine that is busy for a moment makes packets look lost: some then come twice.
            let mut missing = sent.clone();
            while !missing.is_empty() {
                let received = receive(incoming).await;
                assert!(sent.contains(&received), "{received:?}");
                missing.retain(|packet| *packet != received);
                assembler.push(Duration::ZERO, received);
            }
            assert!(assembler.poll_event().is_some());
        }
        let mut packetizer = OpusPacketizer::new(32_766, u32::MAX);
        for number in 0..5u8 {
            let packet = late_in_the_count(packetizer.packetize(Bytes::from(vec![9 << 3, number]), 960));
            from.sender(Track::Microphone).send(packet.clone()).unwrap();
            assert_eq!(receive(&mut to.microphone).await, packet);
        }
    }
    let stats = alice.peer.stats().await;
    assert_eq!(stats.path, Some(CandidateKind::Host));
    assert!(stats.round_trip.is_some_and(|round_trip| round_trip < Duration::from_secs(1)), "{stats:?}");
    assert!(stats.bytes_sent > 120_000 && stats.bytes_received > 120_000, "{stats:?}");
    for track in Track::ALL {
        let numbers = stats.track(track);
        assert!(numbers.packets_sent >= 5 && numbers.packets_received >= 5, "{track:?} {numbers:?}");
        assert_eq!((numbers.packets_not_sent, numbers.packets_not_read, numbers.packets_lost), (0, 0, 0));
    }
    alice.peer.close().await;
    bob.peer.close().await;
}

#[tokio::test]
async fn copies_of_earlier_packets_go_along_where_they_were_agreed_on() {
    let (alice, mut bob) = connected().await;
    let sender = alice.peer.sender(Track::Microphone);
    assert!(sender.takes_copies());
    let mut packetizer = OpusPacketizer::new(7, 9);
    let mut sent = Vec::new();
    for number in 0..4u8 {
        let copies: Vec<_> = packetizer.copy().into_iter().collect();
        let packet = packetizer.packetize(Bytes::from(vec![9 << 3, number, 1, 2]), 960);
        sender.send_with_copies(packet.clone(), &copies).unwrap();
        sent.push((packet, copies));
    }
    for (packet, copies) in sent {
        let received = timeout(DEADLINE, bob.media.microphone.recv()).await.expect("it comes in time");
        let ReceivedPacket { codec, packet: received } = received.expect("the connection is open");
        if copies.is_empty() {
            assert_eq!((codec, &received), (Codec::Opus, &packet));
            continue;
        }
        assert_eq!((codec, received.sequence, received.timestamp), (Codec::Red, packet.sequence, packet.timestamp));
        let mut received_copies = Vec::new();
        let payload = red::split(&received.payload, &mut received_copies).expect("it is as it was sent");
        assert_eq!((received_copies, payload), (copies, packet.payload));
    }
    alice.peer.close().await;
    bob.peer.close().await;
}

#[tokio::test]
async fn a_peer_that_knows_no_copies_is_sent_none() {
    let (mut alice, mut bob) = (Side::open().await, Side::open().await);
    let offer = alice.peer.make_offer(false).await.unwrap();
    assert!(offer.contains("a=rtpmap:63 red/48000/2\r\n") && offer.contains("a=fmtp:63 111/111\r\n"), "{offer}");
    let without =
        offer.replace("111 63", "111").replace("a=rtpmap:63 red/48000/2\r\n", "").replace("a=fmtp:63 111/111\r\n", "");
    let answer = bob.peer.answer(&without).await.unwrap();
    assert!(!answer.contains("red/48000"), "{answer}");
    alice.peer.apply_answer(&answer).await.unwrap();
    let (for_bob, for_alice) = (bob.peer.clone(), alice.peer.clone());
    tokio::join!(alice.wait_connected(&for_bob), bob.wait_connected(&for_alice));
    let sender = alice.peer.sender(Track::Microphone);
    assert!(!sender.takes_copies());
    let mut packetizer = OpusPacketizer::new(7, 9);
    packetizer.packetize(Bytes::from_static(&[9 << 3, 1, 2]), 960);
    let copy = packetizer.copy();
    let packet = packetizer.packetize(Bytes::from_static(&[9 << 3, 3, 4]), 960);
    sender.send_with_copies(packet.clone(), copy.as_slice()).unwrap();
    let received = timeout(DEADLINE, bob.media.microphone.recv()).await.expect("it comes in time");
    assert_eq!(received, Some(ReceivedPacket { codec: Codec::Opus, packet }));
    alice.peer.close().await;
    bob.peer.close().await;
}

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

#[tokio::test]
async fn texts_go_both_ways_on_the_control_channel_up_to_their_limit() {
    let (mut alice, mut bob) = connected().await;
    let (to_bob, to_alice) = (bob.peer.clone(), alice.peer.clone());
    tokio::join!(alice.wait_event(&to_bob, PeerEvent::ControlOpen), bob.wait_event(&to_alice, PeerEvent::ControlOpen));
    let large = "ahoy ".repeat(13_107);
    for text in ["", "{\"type\":\"media\"}", "přístav ⚓", large.as_str()] {
        alice.peer.send_control(text.to_owned()).await.unwrap();
        assert_eq!(bob.wait_control(&to_alice).await, text);
        bob.peer.send_control(text.to_owned()).await.unwrap();
        assert_eq!(alice.wait_control(&to_bob).await, text);
    }
    let too_large = "x".repeat(ahoy_transport::MAX_CONTROL_BYTES + 1);
    assert!(matches!(alice.peer.send_control(too_large).await, Err(TransportError::ControlTooLarge)));
    alice.peer.close().await;
    assert!(matches!(alice.peer.send_control("x".to_owned()).await, Err(TransportError::Closed)));
    bob.peer.close().await;
}

#[tokio::test]
async fn what_was_said_just_before_closing_arrives() {
    let (mut alice, mut bob) = connected().await;
    let (to_bob, to_alice) = (bob.peer.clone(), alice.peer.clone());
    tokio::join!(alice.wait_event(&to_bob, PeerEvent::ControlOpen), bob.wait_event(&to_alice, PeerEvent::ControlOpen));
    for number in 0..20 {
        alice.peer.send_control(format!("{number}")).await.unwrap();
    }
    alice.peer.close().await;
    for number in 0..20 {
        assert_eq!(bob.wait_control(&to_alice).await, format!("{number}"));
    }
    bob.peer.close().await;
}

#[tokio::test]
async fn a_key_frame_that_is_asked_for_is_asked_of_the_sender_of_that_track() {
    let (alice, mut bob) = connected().await;
    for track in [Track::Screen, Track::Camera] {
        let sent = packets_of_a_key_picture(100);
        alice.peer.sender(track).send(sent[0].clone()).unwrap();
        let incoming = if track == Track::Camera { &mut bob.media.camera } else { &mut bob.media.screen };
        receive(incoming).await;
    }
    let mut alice = alice;
    for track in [Track::Camera, Track::Screen] {
        bob.peer.request_key_frame(track);
        alice.wait_event(&bob.peer, PeerEvent::KeyFrameWanted(track)).await;
        assert_eq!(alice.peer.stats().await.track(track).key_frame_requests, 1);
    }
    alice.peer.close().await;
    bob.peer.close().await;
}

#[tokio::test]
async fn of_two_offers_at_once_one_is_rolled_back_and_the_other_answered() {
    let (alice, mut bob) = connected().await;
    let alices = alice.peer.make_offer(false).await.unwrap();
    let bobs = bob.peer.make_offer(false).await.unwrap();
    assert!(matches!(alice.peer.answer(&bobs).await, Err(TransportError::OfferPending)));
    assert!(matches!(alice.peer.make_offer(false).await, Err(TransportError::OfferPending)));
    bob.peer.rollback().await.unwrap();
    assert!(matches!(bob.peer.rollback().await, Err(TransportError::NoOfferPending)));
    let answer = bob.peer.answer(&alices).await.unwrap();
    alice.peer.apply_answer(&answer).await.unwrap();
    assert!(matches!(alice.peer.apply_answer(&answer).await, Err(TransportError::NoOfferPending)));
    let sent = packets_of_a_key_picture(10);
    alice.peer.sender(Track::Camera).send(sent[0].clone()).unwrap();
    assert_eq!(receive(&mut bob.media.camera).await, sent[0]);
    alice.peer.close().await;
    bob.peer.close().await;
}

#[tokio::test]
async fn who_was_the_dtls_server_stays_it_whoever_makes_the_next_offer() {
    let (alice, bob) = connected().await;
    for (from, to, setup) in [(&bob, &alice, "active"), (&alice, &bob, "passive"), (&bob, &alice, "active")] {
        let offer = from.peer.make_offer(false).await.unwrap();
        let answer = to.peer.answer(&offer).await.unwrap();
        let setups: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("a=setup:")).collect();
        assert!(!setups.is_empty() && setups.iter().all(|said| *said == setup), "{answer}");
        from.peer.apply_answer(&answer).await.unwrap();
    }
    alice.peer.close().await;
    bob.peer.close().await;
}

#[tokio::test]
async fn both_may_offer_at_first_and_one_gives_way() {
    let (mut alice, mut bob) = (Side::open().await, Side::open().await);
    bob.peer.make_offer(false).await.unwrap();
    bob.peer.rollback().await.unwrap();
    negotiate(&alice.peer, &bob.peer).await;
    let (to_bob, to_alice) = (bob.peer.clone(), alice.peer.clone());
    tokio::join!(alice.wait_connected(&to_bob), bob.wait_connected(&to_alice));
    let sent = packets_of_a_key_picture(10);
    bob.peer.sender(Track::Screen).send(sent[0].clone()).unwrap();
    assert_eq!(receive(&mut alice.media.screen).await, sent[0]);
    alice.peer.close().await;
    bob.peer.close().await;
}

#[tokio::test]
async fn an_ice_restart_brings_new_candidates_and_media_go_on() {
    let (mut alice, mut bob) = connected().await;
    let offer = alice.peer.make_offer(true).await.unwrap();
    let answer = bob.peer.answer(&offer).await.unwrap();
    alice.peer.apply_answer(&answer).await.unwrap();
    let (to_bob, to_alice) = (bob.peer.clone(), alice.peer.clone());
    tokio::join!(alice.wait_connected(&to_bob), bob.wait_connected(&to_alice));
    let sent = packets_of_a_key_picture(10);
    alice.peer.sender(Track::Camera).send(sent[0].clone()).unwrap();
    assert_eq!(receive(&mut bob.media.camera).await, sent[0]);
    alice.peer.close().await;
    bob.peer.close().await;
}

/// The sections of `offer` that `keep` wants, in a description of its own.
fn only(offer: &str, keep: impl Fn(&str) -> bool) -> String {
    let mut blocks = offer.split("m=");
    let session = blocks.next().unwrap();
    let kept: Vec<String> = blocks.filter(|block| keep(block)).map(|block| format!("m={block}")).collect();
    let mids: Vec<&str> =
        kept.iter().map(|block| block.split("a=mid:").nth(1).unwrap().split("\r\n").next().unwrap()).collect();
    let group = session.lines().find(|line| line.starts_with("a=group:BUNDLE")).unwrap();
    session.replace(group, &format!("a=group:BUNDLE {}", mids.join(" "))) + &kept.concat()
}

#[tokio::test]
async fn an_offer_of_fewer_sections_is_answered_as_far_as_it_goes() {
    let alice = Side::open().await;
    let offer = alice.peer.make_offer(false).await.unwrap();
    let order: Vec<&str> = offer.lines().filter_map(|line| line.strip_prefix("m=")?.split(' ').next()).collect();
    assert_eq!(order, ["audio", "video", "video", "application"]);

    let audio_only = only(&offer, |block| block.starts_with("audio"));
    let bob = Side::open().await;
    let answer = bob.peer.answer(&audio_only).await.unwrap();
    assert_eq!(answer.matches("m=").count(), 1);
    assert_eq!(bob.peer.sender(Track::Microphone).codec(), Some(Codec::Opus));
    assert_eq!(bob.peer.sender(Track::Camera).codec(), None);
    assert_eq!(bob.peer.sender(Track::Camera).send(packets_of_a_key_picture(1)[0].clone()), Err(SendError::NotReady));

    let no_data = only(&offer, |block| !block.starts_with("application"));
    let carol = Side::open().await;
    let answer = carol.peer.answer(&no_data).await.unwrap();
    assert_eq!(answer.matches("m=").count(), 3);
    assert_eq!(carol.peer.sender(Track::Screen).codec(), Some(Codec::H264));

    let no_h264 = offer.replace("H264/90000", "VP8/90000");
    let dave = Side::open().await;
    let answer = dave.peer.answer(&no_h264).await.unwrap();
    assert_eq!(answer.matches("m=video 0 ").count(), 2);
    assert_eq!(dave.peer.sender(Track::Microphone).codec(), Some(Codec::Opus));
    assert_eq!(dave.peer.sender(Track::Camera).codec(), None);

    let one_way = offer.replacen("a=sendrecv", "a=sendonly", 1);
    let erin = Side::open().await;
    let answer = erin.peer.answer(&one_way).await.unwrap();
    assert_eq!((answer.matches("a=recvonly").count(), answer.matches("a=sendrecv").count()), (1, 3));
    assert_eq!(erin.peer.sender(Track::Microphone).codec(), None);
    for side in [alice, bob, carol, dave, erin] {
        side.peer.close().await;
    }
}

#[tokio::test]
async fn a_call_of_sound_alone_and_without_data_channels_connects() {
    let (mut alice, mut bob) = (Side::open().await, Side::open().await);
    let offer = alice.peer.make_offer(false).await.unwrap();
    let fewer = only(&offer, |block| block.starts_with("audio") || block.starts_with("video"));
    let answer = bob.peer.answer(&fewer).await.unwrap();
    // What alice offered and bob never saw is closed in what comes back to her.
    let closed = "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:3\r\n";
    alice.peer.apply_answer(&format!("{answer}{closed}")).await.unwrap();
    let (to_bob, to_alice) = (bob.peer.clone(), alice.peer.clone());
    tokio::join!(alice.wait_connected(&to_bob), bob.wait_connected(&to_alice));
    let packet = OpusPacketizer::new(1, 1).packetize(Bytes::from_static(&[9 << 3, 7]), 960);
    bob.peer.sender(Track::Microphone).send(packet.clone()).unwrap();
    assert_eq!(receive(&mut alice.media.microphone).await, packet);
    assert!(matches!(bob.peer.send_control("x".to_owned()).await, Err(TransportError::ControlNotOpen)));
    alice.peer.close().await;
    bob.peer.close().await;
}

#[tokio::test]
async fn another_certificate_than_the_descriptions_never_connects() {
    let (mut alice, mut bob) = (Side::open().await, Side::open().await);
    let offer = alice.peer.make_offer(false).await.unwrap();
    let answer = bob.peer.answer(&offer).await.unwrap();
    let fingerprint = answer.split("a=fingerprint:sha-256 ").nth(1).unwrap().split("\r\n").next().unwrap();
    let forged = answer.replace(fingerprint, Certificate::generate().unwrap().fingerprint());
    alice.peer.apply_answer(&forged).await.unwrap();
    let (to_bob, to_alice) = (bob.peer.clone(), alice.peer.clone());
    // The handshake is tried again for some seconds before it is given up.
    let given_up = async {
        loop {
            let (event, other) = tokio::select! {
                event = alice.events.next() => (event, &to_bob),
                event = bob.events.next() => (event, &to_alice),
            };
            match event.expect("the connection is open") {
                PeerEvent::Candidate(candidate) => other.add_candidate(candidate).await.unwrap(),
                PeerEvent::Path(PathState::Failed) => return,
                PeerEvent::Path(PathState::Connected { .. }) | PeerEvent::ControlOpen => {
                    panic!("connected to a stranger")
                }
                _ => {}
            }
        }
    };
    timeout(DEADLINE, given_up).await.expect("the handshake is given up in time");
    let packet = OpusPacketizer::new(1, 1).packetize(Bytes::from_static(&[9 << 3, 7]), 960);
    for peer in [&to_alice, &to_bob] {
        assert_eq!(peer.stats().await.path, Some(CandidateKind::Host), "ICE had found a path");
        assert_eq!(peer.sender(Track::Microphone).send(packet.clone()), Err(SendError::NotReady));
        assert!(matches!(peer.send_control("x".to_owned()).await, Err(TransportError::ControlNotOpen)));
        peer.close().await;
    }
}

#[tokio::test]
async fn unsound_descriptions_leave_the_connection_as_it_was() {
    let (alice, mut bob) = connected().await;
    let offer = alice.peer.make_offer(false).await.unwrap();
    let own = offer.split("a=fingerprint:sha-256 ").nth(1).unwrap().split("\r\n").next().unwrap();
    let other = offer.replace(own, Certificate::generate().unwrap().fingerprint());
    let refused = bob.peer.answer(&other).await;
    assert!(matches!(refused, Err(TransportError::Description(DescriptionError::FingerprintChanged))), "{refused:?}");
    assert!(matches!(bob.peer.answer("v=0").await, Err(TransportError::Description(_))));
    let answer = bob.peer.answer(&offer).await.unwrap();
    for unsound in [
        only(&answer, |block| !block.starts_with("application")),
        answer.replace("a=mid:1", "a=mid:9").replace("BUNDLE 0 1", "BUNDLE 0 9"),
        answer.replace("a=rtcp-mux\r\n", ""),
    ] {
        assert!(matches!(alice.peer.apply_answer(&unsound).await, Err(TransportError::Description(_))));
    }
    alice.peer.apply_answer(&answer).await.unwrap();
    let sent = packets_of_a_key_picture(10);
    alice.peer.sender(Track::Camera).send(sent[0].clone()).unwrap();
    assert_eq!(receive(&mut bob.media.camera).await, sent[0]);
    alice.peer.close().await;
    bob.peer.close().await;
}

#[tokio::test]
async fn candidates_that_do_not_belong_are_refused_and_do_no_harm() {
    let (alice, bob) = (Side::open().await, Side::open().await);
    let candidate = |attribute: &str, ufrag: Option<&str>| Candidate {
        candidate: attribute.to_owned(),
        mid: Some("0".to_owned()),
        line_index: Some(0),
        ufrag: ufrag.map(str::to_owned),
    };
    let sound = "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host";
    let early = bob.peer.add_candidate(candidate(sound, None)).await;
    assert!(matches!(early, Err(TransportError::NoRemoteDescription)));
    let offer = alice.peer.make_offer(false).await.unwrap();
    bob.peer.answer(&offer).await.unwrap();
    let ufrag = ahoy_transport::description::ufrag(&offer).unwrap();
    let foreign = bob.peer.add_candidate(candidate(sound, Some("elsewhere"))).await;
    assert!(matches!(foreign, Err(TransportError::Candidate(CandidateError::OtherDescription))));
    let absurd = "candidate:1 1 udp 2130706431 169.254.169.254 80 typ host";
    let refused = bob.peer.add_candidate(candidate(absurd, Some(&ufrag))).await;
    assert!(matches!(refused, Err(TransportError::Candidate(CandidateError::Address("link-local")))));
    bob.peer.add_candidate(candidate("", Some(&ufrag))).await.unwrap();
    let mut taken = 0;
    let refused = loop {
        let attribute = format!("candidate:1 1 udp 2130706431 127.0.0.1 {} typ host", 10_000 + taken);
        match bob.peer.add_candidate(candidate(&attribute, Some(&ufrag))).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, TransportError::Candidate(CandidateError::TooMany)));
    assert_eq!(taken, 128);
    alice.peer.close().await;
    bob.peer.close().await;
}

/// Makes an offer and gives the address of the candidate that comes with it.
async fn bound_address(side: &mut Side) -> SocketAddr {
    side.peer.make_offer(false).await.unwrap();
    let candidate = timeout(DEADLINE, async {
        loop {
            if let Some(PeerEvent::Candidate(candidate)) = side.events.next().await {
                return candidate.candidate;
            }
        }
    });
    let candidate = candidate.await.expect("a candidate comes in time");
    let fields: Vec<&str> = candidate.split(' ').collect();
    format!("{}:{}", fields[4], fields[5]).parse().unwrap()
}

async fn ends(events: &mut PeerEvents) {
    let ending = async { while events.next().await.is_some() {} };
    timeout(DEADLINE, ending).await.expect("the events end in time");
}

#[tokio::test]
async fn closing_ends_tasks_and_gives_the_sockets_back() {
    let mut side = Side::open().await;
    let address = bound_address(&mut side).await;
    assert!(UdpSocket::bind(address).is_err(), "the socket is in use");
    let sender = side.peer.sender(Track::Camera);
    side.peer.close().await;
    assert!(UdpSocket::bind(address).is_ok(), "the socket is given back");
    ends(&mut side.events).await;
    let rest = timeout(DEADLINE, side.media.camera.recv()).await;
    assert_eq!(rest.expect("the packets end in time"), None);
    assert_eq!(sender.send(packets_of_a_key_picture(1)[0].clone()), Err(SendError::Closed));
    side.peer.close().await;
    assert!(matches!(side.peer.make_offer(false).await, Err(TransportError::Closed)));
}

#[tokio::test]
async fn dropping_the_last_handle_closes_as_well() {
    let mut side = Side::open().await;
    let address = bound_address(&mut side).await;
    let another = side.peer.clone();
    drop(side.peer);
    assert!(UdpSocket::bind(address).is_err(), "one handle is left");
    drop(another);
    ends(&mut side.events).await;
    assert!(UdpSocket::bind(address).is_ok(), "the socket is given back");
}

/// A STUN server that says that everyone is at 203.0.113.7:4711 (RFC 8489 §14.2). Requests for a relay are only noted.
async fn stun_server() -> (SocketAddr, mpsc::Receiver<()>) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (relay_asked, asked) = mpsc::channel(100);
    tokio::spawn(async move {
        let mut request = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut request).await {
            assert!(length >= 20, "a STUN message");
            if request[..2] != [0, 1] {
                relay_asked.send(()).await.unwrap();
                continue;
            }
            let [port_high, port_low] = (4711u16 ^ 0x2112).to_be_bytes();
            let mapped = [0, 0x20, 0, 8, 0, 1, port_high, port_low, 203 ^ 0x21, 0x12, 113 ^ 0xa4, 7 ^ 0x42];
            socket.send_to(&[&[1, 1, 0, 12], &request[4..20], &mapped].concat(), from).await.unwrap();
        }
    });
    (address, asked)
}

/// The candidates of a first offer, up to their end.
async fn gathered(config: PeerConfig) -> Vec<String> {
    let (peer, mut events, _media) = Peer::open(config).await.unwrap();
    let offer = peer.make_offer(false).await.unwrap();
    let own = ahoy_transport::description::ufrag(&offer).unwrap();
    let mut candidates = Vec::new();
    let gathering = async {
        loop {
            match events.next().await.expect("the connection is open") {
                PeerEvent::Candidate(candidate) => {
                    assert_eq!(candidate.ufrag.as_ref(), Some(&own));
                    candidates.push(candidate.candidate);
                }
                PeerEvent::EndOfCandidates { mid, ufrag } => {
                    assert_eq!((mid.as_str(), &ufrag), ("0", &own));
                    return;
                }
                _ => {}
            }
        }
    };
    timeout(DEADLINE, gathering).await.expect("gathering ends in time");
    peer.close().await;
    candidates
}

#[tokio::test]
async fn servers_are_asked_for_addresses_and_unusable_ones_passed_over() {
    let server = |urls: &[&str]| ahoy_transport::IceServer {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        username: String::new(),
        credential: String::new(),
    };
    let (address, mut relay_asked) = stun_server().await;
    let mut config = config();
    config.ice_servers = vec![
        server(&["turns:turn.example:443", "turn:127.0.0.1", "gopher:x", "", "stun:"]),
        server(&[&format!("stun:{address}")]),
    ];
    let candidates = gathered(config.clone()).await;
    assert!(candidates.iter().any(|candidate| candidate.contains(" typ host")), "{candidates:?}");
    assert!(candidates.iter().any(|candidate| candidate.contains(" 203.0.113.7 4711 typ srflx ")), "{candidates:?}");

    config.relay_only = true;
    assert!(matches!(Peer::open(config.clone()).await, Err(TransportError::NoRelay)));
    let mut relay = server(&[&format!("turn:{address}")]);
    (relay.username, relay.credential) = ("alice".to_owned(), "secret".to_owned());
    config.ice_servers = vec![relay];
    let (peer, mut events, _media) = Peer::open(config).await.unwrap();
    peer.make_offer(false).await.unwrap();
    timeout(DEADLINE, relay_asked.recv()).await.expect("the relay is asked in time");
    // The addresses of the machine would have been told long before the relay is asked.
    assert!(timeout(Duration::ZERO, events.next()).await.is_err());
    peer.close().await;
}

#[tokio::test]
async fn without_loopback_no_address_is_told_that_no_peer_can_reach() {
    let mut config = config();
    config.loopback = false;
    for candidate in gathered(config).await {
        let address = candidate.split(' ').nth(4).unwrap().parse::<std::net::IpAddr>().unwrap();
        assert!(!address.is_loopback() && !address.is_unspecified(), "{candidate}");
    }
}

/// A TURN server that does not answer, be it that it takes what is sent, must not keep the end of candidates from the peer.
#[tokio::test]
async fn gathering_ends_although_a_turn_server_does_not_answer() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (udp, silent) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls = [format!("turn:{udp}"), format!("turn:{silent}?transport=tcp"), format!("turn:{gone}?transport=tcp")];
    let started = std::time::Instant::now();
    for url in &urls {
        let server = IceServer { urls: vec![url.clone()], username: "alice".into(), credential: "secret".into() };
        let config = PeerConfig { ice_servers: vec![server], relay_only: true, ..config() };
        let (peer, mut events, _media) = Peer::open(config).await.unwrap();
        peer.make_offer(false).await.unwrap();
        let ended = async {
            while !matches!(events.next().await.expect("the connection is open"), PeerEvent::EndOfCandidates { .. }) {}
        };
        timeout(DEADLINE, ended).await.unwrap_or_else(|_| panic!("gathering goes on with {url}"));
        let [attempt] = &peer.attempts()[..] else { panic!() };
        let expected = if url == &urls[2] { Outcome::Unreachable } else { Outcome::NoAnswer };
        assert_eq!((&attempt.url, attempt.outcome), (url, expected));
        println!("{url}: gathering ended after {:?}", started.elapsed());
    }
}
