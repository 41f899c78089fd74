//! A path that carries one way only, between two peer connections over real sockets on loopback (RFC 7675).
#![allow(clippy::unwrap_used)]

use ahoy_rtp::RtpPacket;
use ahoy_transport::{Candidate, Certificate, PathState, Peer, PeerConfig, PeerEvent, PeerEvents, Track, VideoCodec};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};

const DEADLINE: Duration = Duration::from_secs(30);

fn config() -> PeerConfig {
    PeerConfig {
        ice_servers: Vec::new(),
        relay_only: false,
        loopback: true,
        certificate: Certificate::generate().unwrap(),
        video_codecs: vec![VideoCodec::H264],
        known_rates: Vec::new(),
    }
}

/// Forwards between the two; while `deaf`, nothing that the first sends arrives.
struct Wire {
    /// What each is told to be the other's address.
    ends: [Arc<UdpSocket>; 2],
    addresses: [watch::Sender<Option<SocketAddr>>; 2],
    deaf: Arc<AtomicBool>,
}

impl Wire {
    async fn new() -> Self {
        let ends = [
            Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()),
            Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()),
        ];
        let addresses = [watch::Sender::new(None), watch::Sender::new(None)];
        let deaf = Arc::new(AtomicBool::new(false));
        for from in [0, 1] {
            let (inside, outside) = (Arc::clone(&ends[from]), Arc::clone(&ends[1 - from]));
            let (mut to, deaf) = (addresses[1 - from].subscribe(), Arc::clone(&deaf));
            tokio::spawn(async move {
                let mut datagram = vec![0; 65_536];
                while let Ok((length, _)) = inside.recv_from(&mut datagram).await {
                    let Ok(to) = to.wait_for(Option::is_some).await.map(|to| to.unwrap()) else { return };
                    if from == 1 || !deaf.load(Relaxed) {
                        let _ = outside.send_to(&datagram[..length], to).await;
                    }
                }
            });
        }
        Self { ends, addresses, deaf }
    }

    /// The candidate of peer `index` as the other is to see it.
    fn through(&self, index: usize, candidate: Candidate) -> Candidate {
        let mut fields: Vec<String> = candidate.candidate.split(' ').map(str::to_owned).collect();
        self.addresses[index].send_replace(Some(format!("{}:{}", fields[4], fields[5]).parse().unwrap()));
        fields[5] = self.ends[1 - index].local_addr().unwrap().port().to_string();
        Candidate { candidate: fields.join(" "), ..candidate }
    }
}

async fn wait_for(events: &mut PeerEvents, wanted: impl Fn(PathState) -> bool) {
    let waiting = async {
        loop {
            if let PeerEvent::Path(path) = events.next().await.expect("the connection is open")
                && wanted(path)
            {
                return;
            }
        }
    };
    timeout(DEADLINE, waiting).await.expect("the path changes in time");
}

/// The one candidate of a connection on loopback.
async fn candidate(events: &mut PeerEvents) -> Candidate {
    let waiting = async {
        loop {
            if let PeerEvent::Candidate(candidate) = events.next().await.expect("the connection is open") {
                return candidate;
            }
        }
    };
    timeout(DEADLINE, waiting).await.expect("there is a candidate")
}

fn is_up(path: PathState) -> bool {
    matches!(path, PathState::Connected { .. })
}

#[tokio::test]
async fn a_path_that_brings_media_but_no_answers_is_called_lost_until_they_come_again() {
    let wire = Wire::new().await;
    let (alice, mut alices, mut received) = Peer::open(config()).await.unwrap();
    let (bob, mut bobs, _media) = Peer::open(config()).await.unwrap();
    let offer = alice.make_offer(false).await.unwrap();
    let answer = bob.answer(&offer).await.unwrap();
    alice.apply_answer(&answer).await.unwrap();
    bob.add_candidate(wire.through(0, candidate(&mut alices).await)).await.unwrap();
    alice.add_candidate(wire.through(1, candidate(&mut bobs).await)).await.unwrap();
    wait_for(&mut alices, is_up).await;
    wait_for(&mut bobs, is_up).await;

    let sender = bob.sender(Track::Microphone);
    let talking = tokio::spawn(async move {
        let mut pauses = interval(Duration::from_millis(20));
        for number in 0_u16.. {
            pauses.tick().await;
            let timestamp = u32::from(number) * 960;
            let payload = vec![9 << 3, 7].into();
            let _ = sender.send(RtpPacket { sequence: number, timestamp, marker: false, payload });
        }
    });
    wire.deaf.store(true, Relaxed);
    let deaf = Instant::now();
    wait_for(&mut bobs, |path| path == PathState::Disconnected).await;
    wait_for(&mut alices, |path| path == PathState::Disconnected).await;
    assert!(deaf.elapsed() >= Duration::from_secs(5), "a moment without answers is nothing");
    while received.microphone.try_recv().is_ok() {}
    let heard = timeout(DEADLINE, received.microphone.recv()).await.expect("bob is heard all the while");
    assert!(heard.is_some());
    wire.deaf.store(false, Relaxed);
    wait_for(&mut alices, is_up).await;
    wait_for(&mut bobs, is_up).await;
    talking.abort();
    alice.close().await;
    bob.close().await;
}
