//! Paths over TCP alone (RFC 6544): neither side is told of an address of the other's over UDP.

use crate::bench::{DEADLINE, Side, close, config, negotiate, packets_of_a_key_picture, receive};
use ahoy_transport::{
    Candidate, CandidateError, CandidateKind, IceServer, PathState, Peer, PeerConfig, PeerEvent, Track, TransportError,
};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Hands on candidates over TCP until both have a path. Gives where somebody listened.
async fn meet(alice: &mut Side, bob: &mut Side) -> Vec<SocketAddr> {
    let mut listens = Vec::new();
    let meeting = async {
        let mut has_path = [false; 2];
        while has_path != [true; 2] {
            let (event, index, other) = tokio::select! {
                event = alice.events.next() => (event, 0, &bob.peer),
                event = bob.events.next() => (event, 1, &alice.peer),
            };
            match event.expect("the connection is open") {
                PeerEvent::Candidate(candidate) if candidate.candidate.contains(" tcp ") => {
                    let fields: Vec<&str> = candidate.candidate.split(' ').collect();
                    if candidate.candidate.ends_with("tcptype passive") {
                        listens.push(format!("{}:{}", fields[4], fields[5]).parse().unwrap());
                    }
                    other.add_candidate(candidate).await.unwrap();
                }
                PeerEvent::Path(PathState::Connected { path }) => {
                    assert!(matches!(path, CandidateKind::Host | CandidateKind::Prflx), "{path:?}");
                    has_path[index] = true;
                }
                PeerEvent::Path(_) => has_path[index] = false,
                event => [&mut *alice, &mut *bob][index].seen.push_back(event),
            }
        }
    };
    timeout(DEADLINE, meeting).await.expect("a path over TCP comes in time");
    listens
}

/// Both ways, a picture that takes many packets.
async fn see_each_other(alice: &mut Side, bob: &mut Side, track: Track) {
    for (from, to) in [(&alice.peer, &mut bob.media), (&bob.peer, &mut alice.media)] {
        let incoming = if track == Track::Camera { &mut to.camera } else { &mut to.screen };
        let sent = packets_of_a_key_picture(30_000);
        for packet in &sent {
            from.sender(track).send(packet.clone()).unwrap();
        }
        // A machine that is busy for a moment makes packets look lost: some then come twice.
        let mut missing = sent.clone();
        while !missing.is_empty() {
            let received = receive(incoming).await;
            assert!(sent.contains(&received), "{received:?}");
            missing.retain(|packet| *packet != received);
        }
    }
}

#[tokio::test]
async fn where_no_udp_passes_two_meet_over_tcp_again_after_a_restart_and_leave_nothing_open() {
    let (mut alice, mut bob) = (Side::open().await, Side::open().await);
    negotiate(&alice.peer, &bob.peer).await;
    let mut listened = meet(&mut alice, &mut bob).await;
    see_each_other(&mut alice, &mut bob, Track::Camera).await;
    let (to_bob, to_alice) = (bob.peer.clone(), alice.peer.clone());
    alice.peer.send_control("ahoy".to_owned()).await.unwrap();
    assert_eq!(bob.wait_control(&to_alice).await, "ahoy");
    bob.peer.send_control("ahoy ".repeat(13_107)).await.unwrap();
    assert_eq!(alice.wait_control(&to_bob).await, "ahoy ".repeat(13_107));

    let offer = alice.peer.make_offer(true).await.unwrap();
    let answer = bob.peer.answer(&offer).await.unwrap();
    alice.peer.apply_answer(&answer).await.unwrap();
    listened.extend(meet(&mut alice, &mut bob).await);
    see_each_other(&mut alice, &mut bob, Track::Screen).await;

    assert!(listened.len() >= 2, "somebody listened each time");
    let closed = async {
        while listened.iter().any(|address| TcpStream::connect(address).is_ok()) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, closed).await.expect("with a path nobody listens any more");
    close(&alice, &bob).await;
}

#[tokio::test]
async fn where_only_relays_may_be_used_no_address_over_tcp_is_taken() {
    // Nobody is there, which does not matter here.
    let relay =
        IceServer { urls: vec!["turn:127.0.0.1:9".into()], username: "alice".into(), credential: "secret".into() };
    let config = PeerConfig { ice_servers: vec![relay], relay_only: true, ..config() };
    let (bob, _events, _media) = Peer::open(config).await.unwrap();
    let alice = Side::open().await;
    let offer = alice.peer.make_offer(false).await.unwrap();
    bob.answer(&offer).await.unwrap();
    for (port, word) in [(40_000, "passive"), (9, "active")] {
        let candidate = Candidate {
            candidate: format!("candidate:1 1 tcp 1518280447 127.0.0.1 {port} typ host tcptype {word}"),
            mid: Some("0".to_owned()),
            line_index: Some(0),
            ufrag: ahoy_transport::description::ufrag(&offer),
        };
        let refused = bob.add_candidate(candidate).await;
        assert!(matches!(refused, Err(TransportError::Candidate(CandidateError::Transport))), "{refused:?}");
    }
    alice.peer.close().await;
    bob.close().await;
}
