//! A peer that makes what it can of the data channels (row A16 of docs/reliability.md): two connections over loopback, one of
//! which does what no peer of ours does.

use super::{MAX_CONTROL_BYTES, PathState, Peer, PeerConfig, PeerEvents, ReceivedMedia, Track, TransportError};
use crate::control::QUEUE_TEXTS;
use crate::event::PeerEvent;
use ahoy_rtp::RtpPacket;
use std::collections::VecDeque;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

/// Texts that the peer connection keeps for a reader who does not come, at either end: 60 MB of the longest.
const TEXTS_IN_CRATE_MAX: usize = 950;

struct Side {
    peer: Peer,
    events: PeerEvents,
    media: ReceivedMedia,
    /// Seen, and not asked for yet.
    seen: VecDeque<PeerEvent>,
}

impl Side {
    async fn open() -> Self {
        let config = PeerConfig {
            ice_servers: Vec::new(),
            relay_only: false,
            loopback: true,
            certificate: crate::Certificate::generate().unwrap(),
            video_codecs: vec![crate::VideoCodec::H264],
            known_rates: Vec::new(),
        };
        let (peer, events, media) = Peer::open(config).await.unwrap();
        Self { peer, events, media, seen: VecDeque::new() }
    }

    async fn wait_for(&mut self, other: &Peer, wanted: impl Fn(&PeerEvent) -> bool) -> PeerEvent {
        let waiting = async {
            loop {
                if let Some(found) = self.seen.iter().position(&wanted) {
                    return self.seen.remove(found).unwrap();
                }
                match self.events.next().await.expect("the connection is open") {
                    PeerEvent::Candidate(candidate) => other.add_candidate(candidate).await.unwrap(),
                    event => self.seen.push_back(event),
                }
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("the event comes in time")
    }

    async fn hears(&mut self, other: &Peer, text: &str) {
        other.send_control(text.into()).await.unwrap();
        self.wait_for(other, |event| matches!(event, PeerEvent::Control(_))).await;
    }

    /// Sends sound until `other` has some.
    async fn is_heard_by(&self, other: &mut Side) {
        while other.media.microphone.try_recv().is_ok() {}
        let sending = async {
            for number in 0_u16.. {
                let packet = RtpPacket {
                    sequence: number,
                    timestamp: u32::from(number) * 960,
                    marker: false,
                    payload: vec![9 << 3, 7].into(),
                };
                let _ = self.peer.sender(Track::Microphone).send(packet);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let heard = async {
            tokio::select! {
                () = sending => None,
                packet = other.media.microphone.recv() => packet,
            }
        };
        assert!(tokio::time::timeout(DEADLINE, heard).await.expect("sound comes through").is_some());
    }
}

async fn connected() -> (Side, Side) {
    let (mut alice, mut bob) = (Side::open().await, Side::open().await);
    let offer = alice.peer.make_offer(false).await.unwrap();
    let answer = bob.peer.answer(&offer).await.unwrap();
    alice.peer.apply_answer(&answer).await.unwrap();
    let (for_bob, for_alice) = (bob.peer.clone(), alice.peer.clone());
    tokio::join!(
        alice.wait_for(&for_bob, |event| *event == PeerEvent::ControlOpen),
        bob.wait_for(&for_alice, |event| *event == PeerEvent::ControlOpen)
    );
    (alice, bob)
}

#[tokio::test]
async fn data_channels_that_nobody_asked_for_are_closed_and_without_end_they_end_the_connection() {
    let (alice, mut bob) = connected().await;
    for number in 0..8 {
        let stray = alice.peer.shared.connection.create_data_channel(&format!("stray {number}"), None).await.unwrap();
        // What is said over it goes nowhere.
        let _ = stray.send_text(&"x".repeat(60_000)).await;
        bob.hears(&alice.peer, "still here").await;
    }
    alice.is_heard_by(&mut bob).await;
    let mut opened = 0;
    let opening = async {
        // With the longest names that there can be.
        while alice.peer.shared.connection.create_data_channel(&"n".repeat(60_000), None).await.is_ok()
            && opened < 1_000
        {
            opened += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (_, failed) =
        tokio::join!(opening, bob.wait_for(&alice.peer, |event| *event == PeerEvent::Path(PathState::Failed)));
    assert_eq!(failed, PeerEvent::Path(PathState::Failed));
    bob.peer.close().await;
    alice.peer.close().await;
}

#[tokio::test]
async fn texts_that_nobody_reads_wait_with_the_peer_and_sound_goes_on() {
    let (mut alice, mut bob) = connected().await;
    let text = "x".repeat(MAX_CONTROL_BYTES);
    let mut sent = 0;
    // Until nothing was taken for a while, of ten gigabytes at most.
    let mut refused = 0;
    while refused < 20 && sent < 160_000 {
        match alice.peer.send_control(text.clone()).await {
            Ok(()) => (sent, refused) = (sent + 1, 0),
            Err(TransportError::ControlFull) => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    // Ours, some hundreds in the crate, and what SCTP has on its way.
    assert!(sent <= QUEUE_TEXTS + TEXTS_IN_CRATE_MAX, "{sent} texts of 64 KiB were taken");
    alice.is_heard_by(&mut bob).await;
    bob.is_heard_by(&mut alice).await;
    for number in 0..sent {
        let event = bob.wait_for(&alice.peer, |event| matches!(event, PeerEvent::Control(_))).await;
        assert!(matches!(event, PeerEvent::Control(read) if read.len() == MAX_CONTROL_BYTES), "text {number}");
    }
    bob.hears(&alice.peer, "and it goes on").await;
    bob.peer.close().await;
    alice.peer.close().await;
}
