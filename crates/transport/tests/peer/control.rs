//! The control channel.

use crate::bench::connected;
use ahoy_transport::{PeerEvent, TransportError};

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
