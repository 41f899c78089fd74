//! Offers and answers in every order.

use crate::bench::{
    Side, both_connected, close, connected, negotiate, only, packets_of_a_key_picture, picture_passes, receive,
};
use ahoy_rtp::OpusPacketizer;
use ahoy_transport::{Codec, SendError, Track, TransportError};
use bytes::Bytes;

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
    picture_passes(&alice.peer, Track::Camera, &mut bob.media.camera).await;
    close(&alice, &bob).await;
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
    close(&alice, &bob).await;
}

#[tokio::test]
async fn both_may_offer_at_first_and_one_gives_way() {
    let (mut alice, mut bob) = (Side::open().await, Side::open().await);
    bob.peer.make_offer(false).await.unwrap();
    bob.peer.rollback().await.unwrap();
    negotiate(&alice.peer, &bob.peer).await;
    both_connected(&mut alice, &mut bob).await;
    picture_passes(&bob.peer, Track::Screen, &mut alice.media.screen).await;
    close(&alice, &bob).await;
}

#[tokio::test]
async fn an_ice_restart_brings_new_candidates_and_media_go_on() {
    let (mut alice, mut bob) = connected().await;
    let offer = alice.peer.make_offer(true).await.unwrap();
    let answer = bob.peer.answer(&offer).await.unwrap();
    alice.peer.apply_answer(&answer).await.unwrap();
    both_connected(&mut alice, &mut bob).await;
    picture_passes(&alice.peer, Track::Camera, &mut bob.media.camera).await;
    close(&alice, &bob).await;
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
    both_connected(&mut alice, &mut bob).await;
    let packet = OpusPacketizer::new(1, 1).packetize(Bytes::from_static(&[9 << 3, 7]), 960);
    bob.peer.sender(Track::Microphone).send(packet.clone()).unwrap();
    assert_eq!(receive(&mut alice.media.microphone).await, packet);
    assert!(matches!(bob.peer.send_control("x".to_owned()).await, Err(TransportError::ControlNotOpen)));
    close(&alice, &bob).await;
}
