//! Two real peer connections over a path that loses packets: they find each other all the same, what is lost comes again,
//! quickly and hardly more than once, and the numbers that either side tells are those that the path counted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ahoy_rtp::RtpPacket;
use ahoy_tests::harness::DEADLINE;
use ahoy_tests::harness::link::{End, Kind, Link, Passage, Way};
use ahoy_tests::harness::wire::on_loopback;
use ahoy_transport::{PathState, Peer, PeerEvent, PeerEvents, PeerStats, ReceivedMedia, Track, VideoCodec};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

const DELAY: Duration = Duration::from_millis(20);
const ROUND_TRIP: Duration = Duration::from_millis(40);

/// 30 pictures a second, a key picture each 5 seconds: 1.5 Mb/s.
const PICTURES: u32 = 600;
const PICTURE_EVERY: Duration = Duration::from_micros(33_333);
const PACKET_BYTES: usize = 1_150;

const CALLS: u64 = 60;
const CALLS_AT_ONCE: u64 = 10;

/// A call without a path is given up after 20 s, and DTLS left alone after eight; a loss before it is seen costs a second.
const UP_WITHIN: Duration = Duration::from_secs(3);

/// As the peers offer them.
const H264: u8 = 102;
const H264_RETRANSMITTED: u8 = 103;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_lost_packets_come_again_quickly_and_hardly_more_than_once() {
    repairs(Way { delay: DELAY, loss: 0.03, ..Way::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_lost_in_bursts_come_again_quickly_and_hardly_more_than_once() {
    repairs(Way { delay: DELAY, loss: 0.03, burst: 3 }).await;
}

/// A path that loses one packet in twenty costs a call tens of milliseconds for each of those that make it, never the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_over_a_path_that_loses_packets_is_up_long_before_it_would_be_given_up() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut took = Vec::new();
    for batch in 0..CALLS / CALLS_AT_ONCE {
        let mut calls = JoinSet::new();
        for call in 0..CALLS_AT_ONCE {
            let seed = seed.wrapping_add(2 * (batch * CALLS_AT_ONCE + call));
            calls.spawn(async move {
                let link = Link::new(Way { delay: DELAY, loss: 0.05, ..Way::default() }, seed);
                let (mut left, mut right) = (Side::open().await, Side::open().await);
                let began = Instant::now();
                connect(&mut left, &mut right, &link).await;
                let took = began.elapsed();
                left.peer.close().await;
                right.peer.close().await;
                took
            });
        }
        took.extend(calls.join_all().await);
    }
    took.sort_unstable();
    println!("half of them in {:?}, all in {:?}", took[took.len() / 2], took.last());
    assert!(took.iter().all(|took| *took < UP_WITHIN), "{took:?}");
}

/// Sends pictures for twenty seconds over a link that loses packets both ways, and compares what each side says of it with what
/// the link has seen.
async fn repairs(way: Way) {
    let seed = rand::random();
    println!("seed {seed}");
    let link = Link::new(Way { loss: 0.0, ..way }, seed);
    let (mut left, mut right) = (Side::open().await, Side::open().await);
    connect(&mut left, &mut right, &link).await;
    // What is lost before anything came is missed by nobody.
    let mut received = HashMap::new();
    send_pictures(&left.peer, 0, 1).await;
    let first = timeout(DEADLINE, right.media.camera.recv()).await.expect("it comes in time");
    received.insert(first.expect("the connection is open").packet.sequence, Instant::now());
    link.set(way);
    tokio::join!(send_pictures(&left.peer, 1, PICTURES), receive(&mut right.media, &mut received));
    // On a sound path for the end, so that the last loss is seen too, and reported.
    link.set(Way { loss: 0.0, ..way });
    tokio::join!(send_pictures(&left.peer, PICTURES + 1, 45), receive(&mut right.media, &mut received));
    let (left_stats, right_stats) = (left.peer.stats().await, right.peer.stats().await);
    left.peer.close().await;
    right.peer.close().await;
    let seen = Seen::of(&link.passages(End::Left), &received);
    println!("{seen:?}\nsender {:?}\n{:?}", left_stats.media_round_trip, left_stats.track(Track::Camera));
    println!("receiver {:?}", right_stats.track(Track::Camera));
    println!("available {:?} b/s", left_stats.available_send_bps);
    seen.check();
    check_numbers(&seen, &left_stats, &right_stats);
}

/// What the link saw of the pictures, and what became of what was lost.
#[derive(Debug)]
struct Seen {
    sent: usize,
    lost: usize,
    retransmissions: usize,
    recovered: usize,
    recovered_in_time: usize,
}

impl Seen {
    fn of(passages: &[Passage], received: &HashMap<u16, Instant>) -> Self {
        let mut seen = Self { sent: 0, lost: 0, retransmissions: 0, recovered: 0, recovered_in_time: 0 };
        let mut not_missed_yet = Vec::new();
        for passage in passages {
            let Kind::Rtp { payload_type, sequence } = passage.kind else { continue };
            seen.retransmissions += usize::from(payload_type == H264_RETRANSMITTED);
            if payload_type != H264 {
                continue;
            }
            seen.sent += 1;
            if passage.lost {
                seen.lost += 1;
                not_missed_yet.push(sequence);
                continue;
            }
            // Only the next packet that gets through shows that some are missing.
            let missed_at = passage.at + DELAY;
            for sequence in not_missed_yet.drain(..) {
                if let Some(at) = received.get(&sequence) {
                    seen.recovered += 1;
                    seen.recovered_in_time += usize::from(at.saturating_duration_since(missed_at) <= 3 * ROUND_TRIP);
                }
            }
        }
        seen
    }

    fn check(&self) {
        assert!(self.lost >= 40, "the path loses packets");
        assert!(self.retransmissions * 10 <= self.lost * 13, "more than 1.3 retransmissions for each lost packet");
        assert!(self.recovered * 100 >= self.lost * 98, "lost packets stay lost");
        // All of them on an idle machine, where no thread waits for its turn.
        assert!(self.recovered_in_time * 100 >= self.recovered * 80, "lost packets come again too late");
    }
}

fn check_numbers(seen: &Seen, left: &PeerStats, right: &PeerStats) {
    let (sent, received) = (left.track(Track::Camera), right.track(Track::Camera));
    assert_eq!(sent.packets_sent, seen.sent as u64);
    assert_eq!(sent.packets_resent, seen.retransmissions as u64);
    assert_eq!(sent.packets_lost_by_peer, seen.lost as u64);
    assert_eq!(received.packets_received, (seen.sent - seen.lost) as u64);
    assert_eq!(received.packets_lost, seen.lost as i64);
    assert_eq!(received.packets_recovered, seen.recovered as u64);
    assert!(received.retransmissions_received <= seen.retransmissions as u64);
    assert!(received.packets_nacked >= seen.recovered as u64);
    // Some requests were lost on their way; none was made up.
    assert!(sent.packets_nacked_by_peer <= received.packets_nacked);
    assert!(sent.packets_nacked_by_peer >= sent.packets_resent);
    // The path was sound in the interval of the last report.
    assert_eq!(sent.fraction_lost_by_peer, Some(0.0));
    for stats in [left, right] {
        let measured = stats.media_round_trip.expect("both sides know the round trip time");
        assert!((ROUND_TRIP..3 * ROUND_TRIP).contains(&measured), "{measured:?}");
    }
    let available_bps = left.available_send_bps.expect("the receiver reports what it gets");
    assert!(available_bps > 100_000, "{available_bps}");
}

struct Side {
    peer: Peer,
    events: PeerEvents,
    media: ReceivedMedia,
}

impl Side {
    async fn open() -> Self {
        let (peer, events, media) = Peer::open(on_loopback(VideoCodec::H264)).await.expect("there are sockets");
        Self { peer, events, media }
    }

    /// Hands the other side its candidates, through the link, until there is a path.
    async fn find_path(&mut self, end: End, other: &Peer, link: &Link) {
        loop {
            match self.events.next().await.expect("the connection is open") {
                PeerEvent::Candidate(mut candidate) => {
                    candidate.candidate = link.candidate(end, &candidate.candidate);
                    other.add_candidate(candidate).await.expect("the candidate is good");
                }
                PeerEvent::Path(PathState::Connected { .. }) => return,
                PeerEvent::EndOfCandidates { .. }
                | PeerEvent::Path(_)
                | PeerEvent::KeyFrameWanted(_)
                | PeerEvent::ControlOpen
                | PeerEvent::Control(_)
                | PeerEvent::ControlClosed => {}
            }
        }
    }
}

async fn connect(left: &mut Side, right: &mut Side, link: &Link) {
    let offer = left.peer.make_offer(false).await.expect("it can offer");
    let answer = right.peer.answer(&offer).await.expect("the offer is good");
    left.peer.apply_answer(&answer).await.expect("the answer is good");
    let (to_left, to_right) = (left.peer.clone(), right.peer.clone());
    let found =
        async { tokio::join!(left.find_path(End::Left, &to_right, link), right.find_path(End::Right, &to_left, link)) };
    timeout(DEADLINE, found).await.expect("there is a path in time");
}

/// Sends pictures of five packets, each 150th of sixty, in their time. Their packets are numbered through.
async fn send_pictures(peer: &Peer, first: u32, count: u32) {
    let packets = |picture: u32| if picture.is_multiple_of(150) { 60 } else { 5 };
    let mut sequence = (0..first).map(packets).sum::<u32>() as u16;
    let sender = peer.sender(Track::Camera);
    let payload = Bytes::from(vec![0x41; PACKET_BYTES]);
    let mut ticks = interval(PICTURE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for picture in first..first + count {
        ticks.tick().await;
        for left in (0..packets(picture)).rev() {
            let (timestamp, marker) = (picture * 3_000, left == 0);
            sender.send(RtpPacket { sequence, timestamp, marker, payload: payload.clone() }).expect("there is a path");
            sequence = sequence.wrapping_add(1);
        }
    }
}

/// Takes the pictures' packets until none comes for longer than any repair takes, and than there is between two
/// reports. Notes when each came first.
async fn receive(media: &mut ReceivedMedia, received: &mut HashMap<u16, Instant>) {
    while let Ok(packet) = timeout(Duration::from_millis(1_500), media.camera.recv()).await {
        let packet = packet.expect("the connection is open").packet;
        received.entry(packet.sequence).or_insert_with(Instant::now);
    }
}
