//! What is left when a connection is over: nothing.

use crate::bench::{DEADLINE, Side, packets_of_a_key_picture};
use ahoy_transport::{PeerEvent, PeerEvents, SendError, Track, TransportError};
use std::net::{SocketAddr, UdpSocket};
use tokio::time::timeout;

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
