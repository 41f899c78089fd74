use super::*;
use crate::agreement::{Agreement, Receiving, Sending, TrackAgreement};
use crate::codecs::Ssrcs;
use crate::feedback::Feedback;
use crate::track::{Codec, Track};
use crate::wall_clock::{WallClock, short_units};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rtc::rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::rtp;
use rtc::shared::marshal::{Marshal, Unmarshal};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const MS: Duration = Duration::from_millis(1);
const SSRCS: Ssrcs = Ssrcs { media: [10, 20, 30], rtx: [11, 21, 31] };
/// Of the peer's camera.
const REMOTE: u32 = 120;
const REMOTE_RTX: u32 = 121;
const RTX_PAYLOAD_TYPE: u8 = 103;
const TRANSPORT_CC: u8 = 4;
/// Over how long it is measured what the peer receives.
const WINDOW_OF_REPORTS: Duration = Duration::from_millis(500);

/// What was agreed on: everything, for each track.
fn agreement(rtx: bool) -> watch::Receiver<Agreement> {
    let (_, agreement) = watch::channel(Agreement::new(|track| TrackAgreement {
        sending: Some(Sending {
            codec: Codec::H264,
            payload_type: 102,
            rtx_payload_type: rtx.then_some(RTX_PAYLOAD_TYPE),
            red_payload_type: None,
            nack: track != Track::Microphone,
            transport_cc: Some(TRANSPORT_CC),
        }),
        receiving: Receiving {
            ssrc: Some(100 + SSRCS.media[track.index()]),
            rtx_ssrc: rtx.then_some(100 + SSRCS.rtx[track.index()]),
            nack: track != Track::Microphone,
            codecs: vec![(102, Codec::H264)],
        },
    }));
    agreement
}

fn feedback(now: Instant) -> Arc<Feedback> {
    Arc::new(Feedback::new(WallClock::new(now)))
}

fn media(ssrc: u32, sequence_number: u16, payload: &[u8]) -> rtp::Packet {
    let header = rtp::Header { version: 2, ssrc, sequence_number, payload_type: 102, ..Default::default() };
    rtp::Packet { header, payload: payload.to_vec().into() }
}

fn nack(sequence: u16, more: u16) -> Packet {
    let nacks = vec![NackPair { packet_id: sequence, lost_packets: more }];
    Packet::Rtcp(vec![Box::new(TransportLayerNack { sender_ssrc: 1, media_ssrc: 20, nacks })])
}

/// The packets asked for by what `part` has to send.
fn asked_for(part: &mut impl Part) -> Vec<u16> {
    let mut sequences = Vec::new();
    while let Some(packet) = part.poll_packet() {
        for nack in rtcp_of::<TransportLayerNack>(&packet) {
            assert_eq!((nack.sender_ssrc, nack.media_ssrc), (SSRCS.feedback(), REMOTE));
            sequences.extend(nack.nacks.iter().flat_map(|pair| *pair));
        }
    }
    sequences
}

/// The RTP packets that `part` has to send.
fn resent(part: &mut impl Part) -> Vec<rtp::Packet> {
    let packets = std::iter::from_fn(|| part.poll_packet());
    packets
        .map(|packet| match packet {
            Packet::Rtp(packet) => packet,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_lost_picture_packet_that_comes_by_retransmission_is_not_asked_for_again() {
    let now = Instant::now();
    let feedback = feedback(now);
    feedback.set_round_trip(40 * MS);
    let mut loss = LossRequests::new(SSRCS.feedback(), agreement(true), Arc::clone(&feedback), now);
    for sequence in [1, 2, 4, 6, 7, 8] {
        let mut packet = media(REMOTE, sequence, b"picture");
        (packet.header.timestamp, packet.header.marker) = (u32::from(sequence), true);
        loss.received(now, &Packet::Rtp(packet));
    }
    assert_eq!(asked_for(&mut loss), [3, 5]);
    loss.handle_timeout(loss.poll_timeout().unwrap());
    assert_eq!(asked_for(&mut loss), [3, 5], "in case that the request was lost");
    let now = now + 41 * MS;
    for payload in [&[0, 3, 7][..], &[0, 5, 7], &[0, 5, 7], &[0], &[]] {
        loss.received(now, &Packet::Rtp(media(REMOTE_RTX, 900, payload)));
    }
    for after in (1..2_000).map(Duration::from_millis) {
        loss.handle_timeout(now + after);
    }
    assert_eq!((asked_for(&mut loss), loss.poll_timeout()), (Vec::new(), None));
    let numbers = feedback.track(Track::Camera);
    assert_eq!((numbers.packets_nacked.value(), numbers.packets_recovered.value()), (4, 2));
    assert_eq!(numbers.retransmissions_received.value(), 3);
}

#[test]
fn the_lost_end_of_a_picture_is_asked_for_before_the_next_one_begins() {
    let now = Instant::now();
    let mut loss = LossRequests::new(SSRCS.feedback(), agreement(true), feedback(now), now);
    loss.received(now, &Packet::Rtp(media(REMOTE, 65_535, b"the beginning")));
    let due = loss.poll_timeout().unwrap();
    assert!(due < now + 10 * MS, "{:?}", due - now);
    loss.handle_timeout(due);
    assert_eq!(asked_for(&mut loss), [0]);
}

#[test]
fn neither_lost_sound_nor_lost_retransmissions_nor_strangers_are_asked_for() {
    let now = Instant::now();
    let mut loss = LossRequests::new(SSRCS.feedback(), agreement(true), feedback(now), now);
    for ssrc in [110, REMOTE_RTX, 999] {
        for sequence in [1, 5, 9, 12, 13] {
            loss.received(now, &Packet::Rtp(media(ssrc, sequence, &[])));
        }
    }
    loss.handle_timeout(now + 100 * MS);
    assert!(asked_for(&mut loss).is_empty());
}

#[test]
fn what_is_asked_for_is_resent_once_a_round_trip_in_its_own_stream() {
    let now = Instant::now();
    let feedback = feedback(now);
    feedback.set_round_trip(40 * MS);
    let mut resends = Resends::new(SSRCS, agreement(true), Arc::clone(&feedback));
    for sequence in [65_535, 0, 1] {
        resends.sent(now, &Packet::Rtp(media(20, sequence, &sequence.to_be_bytes())));
    }
    resends.received(now, &nack(65_535, 0b10));
    let first = resent(&mut resends);
    let payloads: Vec<&[u8]> = first.iter().map(|packet| &packet.payload[..]).collect();
    assert_eq!(payloads, [[255, 255, 255, 255], [0, 1, 0, 1]]);
    for packet in &first {
        assert_eq!((packet.header.ssrc, packet.header.payload_type), (21, RTX_PAYLOAD_TYPE));
    }
    assert_eq!(first[1].header.sequence_number, first[0].header.sequence_number.wrapping_add(1));
    for after in [0, 10, 34] {
        resends.received(now + after * MS, &nack(65_535, 0b10));
    }
    assert_eq!(resent(&mut resends), []);
    // What was never sent, is not of this track, or was sent so long ago that another took its place, is not sent.
    resends.received(now, &nack(77, u16::MAX));
    resends.sent(now, &Packet::Rtp(media(20, 1_024, b"later")));
    resends.received(now, &nack(0, 0));
    assert_eq!(resent(&mut resends), []);
    resends.received(now + 40 * MS, &nack(65_535, 0));
    assert_eq!(resent(&mut resends).len(), 1);
    assert_eq!(feedback.track(Track::Camera).packets_resent.value(), 3);
}

#[test]
fn without_retransmissions_nothing_is_sent_again() {
    let now = Instant::now();
    let mut resends = Resends::new(SSRCS, agreement(false), feedback(now));
    resends.sent(now, &Packet::Rtp(media(20, 7, b"picture")));
    resends.received(now, &nack(7, 0));
    assert_eq!(resent(&mut resends), []);
}

#[test]
fn a_peer_that_asks_for_everything_all_the_time_gets_no_more_than_is_sent_to_it() {
    let mut now = Instant::now();
    let mut resends = Resends::new(SSRCS, agreement(true), feedback(now));
    let (mut sent_bytes, mut resent_bytes) = (0, 0);
    for sequence in 0..5_000_u16 {
        now += 2 * MS;
        resends.sent(now, &Packet::Rtp(media(20, sequence, &[7; 1_000])));
        sent_bytes += 1_000;
        for back in 0..8 {
            resends.received(now, &nack(sequence.wrapping_sub(17 * back), u16::MAX));
        }
        resent_bytes += resent(&mut resends).len() * 1_000;
    }
    assert!(resent_bytes > sent_bytes / 2, "{resent_bytes}");
    assert!(resent_bytes <= sent_bytes + 256 * 1_024, "{resent_bytes} beside {sent_bytes}");
}

#[test]
fn a_sender_report_says_what_is_captured_when_it_is_sent() {
    let now = Instant::now();
    let feedback = feedback(now);
    let mut reports = Reports::new(SSRCS, agreement(true), Arc::clone(&feedback));
    reports.handle_timeout(now);
    assert!(reports.poll_packet().is_none() && reports.poll_timeout().is_none(), "there is nothing to say");
    for (track, timestamp) in [(Track::Microphone, 5_000), (Track::Camera, u32::MAX)] {
        let mut packet = media(SSRCS.media[track.index()], 1, &[0; 100]);
        packet.header.timestamp = timestamp;
        for _ in 0..3 {
            reports.sent(now, &Packet::Rtp(packet.clone()));
        }
    }
    // The camera tells when it took the picture; the microphone does not.
    feedback.track(Track::Camera).set_captured(crate::feedback::Captured { at: now - 30 * MS, rtp: u32::MAX });
    let due = reports.poll_timeout().unwrap();
    assert_eq!(due, now + Duration::from_secs(1));
    reports.handle_timeout(due);
    let packet = reports.poll_packet().unwrap();
    let said: Vec<&SenderReport> = rtcp_of::<SenderReport>(&packet).collect();
    assert_eq!(said.len(), 2);
    assert_eq!((said[0].ssrc, said[0].rtp_time), (10, 5_000 + 48_000));
    assert_eq!((said[1].ssrc, said[1].rtp_time), (20, 92_700 - 1));
    for report in said {
        assert_eq!((report.ntp_time, report.packet_count, report.octet_count), (feedback.clock.ntp(due), 3, 300));
    }
    // Who stopped sending stops reporting.
    reports.handle_timeout(due + Duration::from_secs(2));
    assert!(reports.poll_packet().is_none());
}

#[test]
fn each_side_learns_from_the_others_reports_what_was_lost_and_how_long_the_round_trip_is() {
    let now = Instant::now();
    let (alice, bob) = (feedback(now), feedback(now));
    let mut alices = Reports::new(SSRCS, agreement(true), Arc::clone(&alice));
    alices.sent(now, &Packet::Rtp(media(20, 1, &[0; 100])));
    alices.handle_timeout(now + Duration::from_secs(1));
    let mut report = alices.poll_packet().unwrap();
    if let Packet::Rtcp(packets) = &mut report {
        let mut renamed: SenderReport = packets[0].as_any().downcast_ref::<SenderReport>().unwrap().clone();
        renamed.ssrc = REMOTE;
        packets[0] = Box::new(renamed);
    }
    // Bob has lost one of 20, hears Alice's report 20 ms after it left and says so 500 ms later.
    let mut bobs = Reports::new(SSRCS, agreement(true), Arc::clone(&bob));
    for sequence in (1..=20).filter(|sequence| *sequence != 7) {
        bobs.received(now, &Packet::Rtp(media(REMOTE, sequence, &[0; 10])));
    }
    let came_at = now + Duration::from_millis(1_020);
    bobs.received(came_at, &report);
    Tap::new(SSRCS, agreement(true), Arc::clone(&bob)).received(came_at, &report);
    let heard = bob.track(Track::Camera).sender_report.borrow().unwrap();
    assert_eq!((heard.0.ntp, heard.1), (alice.clock.ntp(now + Duration::from_secs(1)), came_at));
    bobs.handle_timeout(came_at + 500 * MS);
    let answer = bobs.poll_packet().unwrap();
    let block = rtcp_of::<ReceiverReport>(&answer).next().unwrap().reports[0].clone();
    assert_eq!((block.ssrc, block.total_lost, block.delay), (REMOTE, 1, 32_768));
    let answer = ReceiverReport { ssrc: 1, reports: vec![ReceptionReport { ssrc: 20, ..block }], ..Default::default() };
    let answer = Packet::Rtcp(vec![Box::new(answer)]);
    Tap::new(SSRCS, agreement(true), Arc::clone(&alice)).received(came_at + 520 * MS, &answer);
    assert!(alice.round_trip().unwrap().abs_diff(40 * MS) < MS / 10, "{:?}", alice.round_trip());
    let remote = alice.track(Track::Camera).remote().unwrap();
    assert_eq!((remote.packets_lost, remote.lost_of_256), (1, 12));
    let numbers = bob.track(Track::Camera);
    assert_eq!((numbers.packets_received.value(), numbers.packets_expected.value()), (19, 20));
}

#[test]
fn what_the_peer_wants_and_what_it_is_asked_is_counted_for_its_track() {
    let now = Instant::now();
    let feedback = feedback(now);
    let mut tap = Tap::new(SSRCS, agreement(true), Arc::clone(&feedback));
    let request = |media_ssrc| PictureLossIndication { sender_ssrc: 1, media_ssrc };
    let fir = [20, 99].map(|ssrc| FirEntry { ssrc, sequence_number: 1 }).to_vec();
    let fir = FullIntraRequest { sender_ssrc: 1, media_ssrc: 0, fir };
    // The second time it is a repetition.
    tap.received(now, &Packet::Rtcp(vec![Box::new(fir.clone()), Box::new(request(30)), Box::new(request(30))]));
    tap.received(now, &Packet::Rtcp(vec![Box::new(fir)]));
    tap.received(now, &nack(7, 0b101));
    tap.sent(now, &Packet::Rtcp(vec![Box::new(request(REMOTE))]));
    let key_frames = Track::ALL.map(|track| feedback.track(track).key_frame_requests.value());
    assert_eq!(key_frames, [0, 1, 2]);
    let next = FullIntraRequest { sender_ssrc: 1, media_ssrc: 0, fir: vec![FirEntry { ssrc: 20, sequence_number: 2 }] };
    tap.received(now, &Packet::Rtcp(vec![Box::new(next)]));
    let camera = feedback.track(Track::Camera);
    assert_eq!(camera.key_frame_requests.value(), 2);
    assert_eq!((camera.packets_nacked_by_peer.value(), camera.key_frames_asked.value()), (3, 1));
    // Below zero in 24 bits: more came double than was lost.
    let report = ReceptionReport { ssrc: 20, total_lost: 0xff_ffff, ..Default::default() };
    tap.received(now, &Packet::Rtcp(vec![Box::new(SenderReport { reports: vec![report], ..Default::default() })]));
    assert_eq!(camera.remote().unwrap().packets_lost, 0);
}

/// Reports, as a peer would, that of `count` packets from `first` all came, one each 4 ms.
fn all_came(first: u16, count: u16, at_ms: u32) -> Packet {
    // One packet in each status chunk; the first delta is since the reference time, in units of 64 ms.
    let mut raw = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 20];
    raw.extend([first.to_be_bytes(), count.to_be_bytes()].concat());
    raw.extend(&(at_ms / 64).to_be_bytes()[1..]);
    raw.push(0);
    raw.extend((0x2000 | count).to_be_bytes());
    raw.push((at_ms % 64 * 4) as u8);
    raw.extend((1..count).map(|_| 16));
    raw.resize(raw.len().next_multiple_of(4), 0);
    raw[3] = (raw.len() / 4 - 1) as u8;
    Packet::Rtcp(vec![Box::new(TransportLayerCc::unmarshal(&mut &raw[..]).unwrap())])
}

/// What leaves of a packet that is sent now.
fn departed(bandwidth: &mut Bandwidth, now: Instant, packet: rtp::Packet) -> Vec<Packet> {
    let passed = bandwidth.pass(now, Packet::Rtp(packet));
    passed.into_iter().chain(std::iter::from_fn(|| bandwidth.poll_packet())).collect()
}

#[test]
fn packets_are_numbered_through_and_reports_on_them_give_an_estimate() {
    let began = Instant::now();
    let feedback = feedback(began);
    let mut bandwidth = Bandwidth::new(SSRCS, agreement(true), Arc::clone(&feedback));
    let mut number = 0_u16;
    // Pictures of four packets and one that is sent again, ten a second. They come 4 ms apart: 2 Mb/s and headers.
    for round in 0..20_u32 {
        let now = began + 100 * MS * round;
        let mut left = Vec::new();
        for index in 0..5_u16 {
            let ssrc = if index == 4 { 21 } else { 20 };
            left.extend(departed(&mut bandwidth, now, media(ssrc, number + index, &[0; 1_000])));
        }
        for later in 1..20 {
            bandwidth.handle_timeout(now + MS * later);
            left.extend(std::iter::from_fn(|| bandwidth.poll_packet()));
        }
        assert_eq!(left.len(), 5);
        for packet in left {
            let Packet::Rtp(packet) = packet else { panic!("still RTP") };
            assert_eq!(packet.header.get_extension(TRANSPORT_CC).unwrap()[..], number.to_be_bytes());
            assert_eq!(rtp::Packet::unmarshal(&mut packet.marshal().unwrap()).unwrap().payload.len(), 1_000);
            number += 1;
        }
        bandwidth.received(now + 60 * MS, &all_came(number - 5, 5, 20 + 100 * round));
    }
    let available = feedback.available_bps.value();
    assert!((1_900_000..2_400_000).contains(&available), "{available}");
    // Nothing more is reported: it is unknown.
    let due = bandwidth.poll_timeout().unwrap();
    bandwidth.handle_timeout(due);
    assert_eq!((feedback.available_bps.value(), bandwidth.poll_timeout()), (0, None));
    // What is no stream of ours is left alone, and sound never waits.
    assert_eq!(departed(&mut bandwidth, began, media(99, 1, &[])), [Packet::Rtp(media(99, 1, &[]))]);
    assert!(bandwidth.pass(began, Packet::Rtp(media(10, 1, &[]))).is_some());
}

#[test]
fn a_large_picture_leaves_bit_by_bit_and_what_was_asked_for_before_the_rest_of_it() {
    let now = Instant::now();
    let mut bandwidth = Bandwidth::new(SSRCS, agreement(true), feedback(now));
    let mut left = Vec::new();
    for sequence in 0..40 {
        left.extend(departed(&mut bandwidth, now, media(20, sequence, &[0; 1_000])));
    }
    assert!((1..10).contains(&left.len()), "{} at once", left.len());
    left.extend(departed(&mut bandwidth, now, media(21, 7, &[0; 1_000])));
    let before = left.len();
    while let Some(due) = bandwidth.poll_timeout().filter(|_| left.len() < 41) {
        bandwidth.handle_timeout(due);
        left.extend(std::iter::from_fn(|| bandwidth.poll_packet()));
    }
    let Packet::Rtp(next) = &left[before] else { panic!("still RTP") };
    assert_eq!((left.len(), next.header.ssrc), (41, 21));
}

#[test]
fn a_report_on_more_packets_than_were_sent_is_not_looked_at() {
    let now = Instant::now();
    let feedback = feedback(now);
    let mut bandwidth = Bandwidth::new(SSRCS, agreement(true), Arc::clone(&feedback));
    for number in 0..10 {
        departed(&mut bandwidth, now, media(20, number, &[0; 1_000]));
    }
    bandwidth.handle_timeout(now + 100 * MS);
    // 65,535 packets in nine runs, of which the first did come; and one packet in a run of 8,191.
    for (count, runs) in [(u16::MAX, 9), (1, 1)] {
        let mut raw = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0];
        raw.extend(count.to_be_bytes());
        raw.extend([0, 0, 0, 0]);
        raw.extend((0..runs).flat_map(|_| 0x7fff_u16.to_be_bytes()));
        raw.resize(raw.len().next_multiple_of(4), 0);
        raw[3] = (raw.len() / 4 - 1) as u8;
        let report = TransportLayerCc::unmarshal(&mut &raw[..]).unwrap();
        assert_eq!((report.packet_status_count, report.packet_chunks.len()), (count, runs));
        bandwidth.received(now + WINDOW_OF_REPORTS, &Packet::Rtcp(vec![Box::new(report)]));
        assert_eq!(feedback.available_bps.value(), 0);
    }
    bandwidth.received(now + WINDOW_OF_REPORTS, &all_came(0, 5, 20));
    assert!(feedback.available_bps.value() > 0);
}

#[test]
fn losses_stay_right_where_a_track_comes_under_another_ssrc() {
    let now = Instant::now();
    let feedback = feedback(now);
    let (agreed, changing) = watch::channel(agreement(true).borrow().clone());
    let mut reports = Reports::new(SSRCS, changing, Arc::clone(&feedback));
    for sequence in (0..1_000).filter(|sequence| *sequence != 7) {
        reports.received(now, &Packet::Rtp(media(REMOTE, sequence, &[])));
    }
    agreed.send_replace(Agreement::new(|track| TrackAgreement {
        receiving: Receiving { ssrc: (track == Track::Camera).then_some(777), ..Default::default() },
        ..Default::default()
    }));
    for sequence in (500..510).filter(|sequence| *sequence != 505) {
        reports.received(now, &Packet::Rtp(media(777, sequence, &[])));
    }
    let numbers = feedback.track(Track::Camera);
    assert_eq!((numbers.packets_received.value(), numbers.packets_expected.value()), (1_008, 1_010));
}

#[test]
fn garbage_in_either_protocol_does_no_harm() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let began = Instant::now();
    let feedback = feedback(began);
    let mut parts: [Box<dyn Part>; 5] = [
        Box::new(Bandwidth::new(SSRCS, agreement(true), Arc::clone(&feedback))),
        Box::new(Resends::new(SSRCS, agreement(true), Arc::clone(&feedback))),
        Box::new(LossRequests::new(SSRCS.feedback(), agreement(true), Arc::clone(&feedback), began)),
        Box::new(Reports::new(SSRCS, agreement(true), Arc::clone(&feedback))),
        Box::new(Tap::new(SSRCS, agreement(true), Arc::clone(&feedback))),
    ];
    let ssrcs = [10_u32, 20, 21, 110, REMOTE, REMOTE_RTX, 99];
    let (mut now, mut understood) = (began, 0);
    for round in 0..60_000 {
        now += Duration::from_micros(rng.random_range(0..2_000));
        let length = 4 * rng.random_range(2..40);
        let mut raw: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        let ssrc = ssrcs[rng.random_range(0..ssrcs.len())];
        let packet = if rng.random() {
            // RTCP: the fields that decide whether it is looked at are right, and about a stream that is known.
            raw[0] = 0x80 | [1, 1, 15, 4][rng.random_range(0..4)];
            raw[1] = rng.random_range(200..208);
            raw[2..4].copy_from_slice(&((length / 4 - 1) as u16).to_be_bytes());
            for at in (4..length).step_by(4).filter(|_| rng.random_bool(0.4)) {
                raw[at..at + 4].copy_from_slice(&ssrc.to_be_bytes());
            }
            rtc::rtcp::packet::unmarshal(&mut &raw[..]).ok().map(Packet::Rtcp)
        } else {
            raw[0] = 0x80;
            raw.splice(8..8, ssrc.to_be_bytes());
            rtp::Packet::unmarshal(&mut &raw[..]).ok().map(Packet::Rtp)
        };
        let Some(packet) = packet else { continue };
        understood += 1;
        for part in &mut parts {
            part.received(now, &packet);
            part.sent(now, &Packet::Rtp(media(20, round as u16, &[0; 50])));
            if part.poll_timeout().is_some_and(|due| due <= now) {
                part.handle_timeout(now);
            }
            while let Some(packet) = part.poll_packet() {
                if let Packet::Rtcp(packets) = packet {
                    rtc::rtcp::packet::marshal(&packets).unwrap();
                }
            }
            assert!(part.poll_timeout().is_none_or(|due| due > now));
        }
    }
    assert!(understood > 20_000, "{understood}");
    assert!(feedback.round_trip().is_none_or(|round_trip| short_units(round_trip) <= 10 << 16));
}
