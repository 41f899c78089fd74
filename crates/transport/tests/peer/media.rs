//! Packets of pictures and sound.

use crate::bench::{
    DEADLINE, Side, close, config, connected, late_in_the_count, negotiate, packets_of_a_key_picture, receive,
};
use ahoy_rtp::{AssemblerConfig, FrameAssembler, OpusPacketizer, PictureFormat, red};
use ahoy_transport::{CandidateKind, Codec, Network, Peer, PeerConfig, PeerEvent, ReceivedPacket, Track};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::timeout;

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
    close(&alice, &bob).await;
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
    close(&alice, &bob).await;
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
    close(&alice, &bob).await;
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
    close(&alice, &bob).await;
}
