//! What is refused of a peer, and does no harm.

use crate::bench::{DEADLINE, Side, close, connected, only, picture_passes};
use ahoy_rtp::OpusPacketizer;
use ahoy_transport::{
    Candidate, CandidateError, CandidateKind, Certificate, PathState, PeerEvent, SendError, Track, TransportError,
    description::DescriptionError,
};
use bytes::Bytes;
use tokio::time::timeout;

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
    picture_passes(&alice.peer, Track::Camera, &mut bob.media.camera).await;
    close(&alice, &bob).await;
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
    close(&alice, &bob).await;
}
