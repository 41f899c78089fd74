//! Two peer connections, and what is asked of them.

use ahoy_rtp::{FramePacketizer, PictureFormat, RtpPacket};
use ahoy_transport::{
    CandidateKind, Certificate, PathState, Peer, PeerConfig, PeerEvent, PeerEvents, ReceivedMedia, ReceivedPacket,
    Track, VideoCodec,
};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn config() -> PeerConfig {
    config_with(&[VideoCodec::H264])
}

pub(crate) fn config_with(video_codecs: &[VideoCodec]) -> PeerConfig {
    PeerConfig {
        ice_servers: Vec::new(),
        relay_only: false,
        loopback: true,
        certificate: Certificate::generate().unwrap(),
        video_codecs: video_codecs.to_vec(),
        known_rates: Vec::new(),
    }
}

pub(crate) struct Side {
    pub(crate) peer: Peer,
    pub(crate) events: PeerEvents,
    pub(crate) media: ReceivedMedia,
    /// Seen, and not asked for yet.
    pub(crate) seen: VecDeque<PeerEvent>,
}

impl Side {
    pub(crate) async fn open() -> Self {
        Self::open_with(&[VideoCodec::H264]).await
    }

    pub(crate) async fn open_with(video_codecs: &[VideoCodec]) -> Self {
        let (peer, events, media) = Peer::open(config_with(video_codecs)).await.unwrap();
        Self { peer, events, media, seen: VecDeque::new() }
    }

    /// The next event for which `pick` gives something, handing candidates to `other` meanwhile.
    pub(crate) async fn wait_for<T>(&mut self, other: &Peer, pick: impl Fn(&PeerEvent) -> Option<T>) -> T {
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

    pub(crate) async fn wait_connected(&mut self, other: &Peer) -> CandidateKind {
        self.wait_for(other, |event| match event {
            PeerEvent::Path(PathState::Connected { path }) => Some(*path),
            _ => None,
        })
        .await
    }

    pub(crate) async fn wait_control(&mut self, other: &Peer) -> String {
        self.wait_for(other, |event| match event {
            PeerEvent::Control(text) => Some(text.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn wait_event(&mut self, other: &Peer, wanted: PeerEvent) {
        self.wait_for(other, |event| (*event == wanted).then_some(())).await;
    }
}

pub(crate) async fn negotiate(from: &Peer, to: &Peer) {
    let offer = from.make_offer(false).await.unwrap();
    let answer = to.answer(&offer).await.unwrap();
    from.apply_answer(&answer).await.unwrap();
}

pub(crate) async fn connected() -> (Side, Side) {
    let (mut alice, mut bob) = (Side::open().await, Side::open().await);
    negotiate(&alice.peer, &bob.peer).await;
    let paths = both_connected(&mut alice, &mut bob).await;
    assert_eq!(paths, (CandidateKind::Host, CandidateKind::Host));
    (alice, bob)
}

/// Waits until both say that there is a path, and gives what it is to each.
pub(crate) async fn both_connected(alice: &mut Side, bob: &mut Side) -> (CandidateKind, CandidateKind) {
    let (to_bob, to_alice) = (bob.peer.clone(), alice.peer.clone());
    tokio::join!(alice.wait_connected(&to_bob), bob.wait_connected(&to_alice))
}

/// A packet of a picture goes from one to the other.
pub(crate) async fn picture_passes(from: &Peer, track: Track, arrivals: &mut mpsc::Receiver<ReceivedPacket>) {
    let sent = packets_of_a_key_picture(10);
    from.sender(track).send(sent[0].clone()).unwrap();
    assert_eq!(receive(arrivals).await, sent[0]);
}

pub(crate) async fn close(alice: &Side, bob: &Side) {
    alice.peer.close().await;
    bob.peer.close().await;
}

pub(crate) async fn receive(packets: &mut mpsc::Receiver<ReceivedPacket>) -> RtpPacket {
    let received = timeout(DEADLINE, packets.recv()).await.expect("a packet comes in time");
    received.expect("the connection is open").packet
}

/// The packet with a number from the other half: close to where they wrap, if it is close to where the first may be at most.
pub(crate) fn late_in_the_count(packet: RtpPacket) -> RtpPacket {
    RtpPacket { sequence: packet.sequence.wrapping_add(0x8000), ..packet }
}

pub(crate) fn packets_of_a_key_picture(bytes: usize) -> Vec<RtpPacket> {
    let mut unit = vec![0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 0, 1, 0x65, 0x88];
    unit.extend((0..bytes).map(|index| (index % 255) as u8 + 1));
    FramePacketizer::new(32_700).packetize(PictureFormat::H264, &unit, u32::MAX - 5).map(late_in_the_count).collect()
}

/// The sections of `offer` that `keep` wants, in a description of its own.
pub(crate) fn only(offer: &str, keep: impl Fn(&str) -> bool) -> String {
    let mut blocks = offer.split("m=");
    let session = blocks.next().unwrap();
    let kept: Vec<String> = blocks.filter(|block| keep(block)).map(|block| format!("m={block}")).collect();
    let mids: Vec<&str> =
        kept.iter().map(|block| block.split("a=mid:").nth(1).unwrap().split("\r\n").next().unwrap()).collect();
    let group = session.lines().find(|line| line.starts_with("a=group:BUNDLE")).unwrap();
    session.replace(group, &format!("a=group:BUNDLE {}", mids.join(" "))) + &kept.concat()
}
