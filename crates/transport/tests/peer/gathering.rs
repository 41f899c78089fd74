//! Where our candidates come from.

use crate::bench::{DEADLINE, config};
use ahoy_transport::{IceServer, Outcome, Peer, PeerConfig, PeerEvent, TransportError};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

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
