//! The door for the fuzz targets: what reads a peer's words and packets, given any bytes.
//! Besides not panicking, each keeps what it promises to the rest of the crate. In no build but theirs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::Packet;
use rtc::rtp;
use rtc::shared::marshal::Unmarshal;
use tokio::sync::watch;

use crate::agreement::{Agreement, Receiving, Sending, TrackAgreement};
use crate::candidate;
use crate::codecs::Ssrcs;
use crate::description::{self, DescriptionKind, read, write_anew};
use crate::feedback::Feedback;
use crate::interceptor::{Bandwidth, LossRequests, Part, Reports, Resends, Tap};
use crate::track::{Codec, Track, VideoCodec};
use crate::wall_clock::WallClock;

pub use crate::sockets::fuzzing::datagrams;

const VIDEO: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::Vp8];

/// A peer's description: what is understood of it says the same when it is written anew, and the peer connection reads it.
pub fn description(text: &str) {
    for kind in [DescriptionKind::Offer, DescriptionKind::Answer] {
        let Ok(understood) = read(text, kind, &VIDEO, false) else { continue };
        let written = write_anew(&understood, &VIDEO);
        let again = read(&written, kind, &VIDEO, false).expect("what is written anew is sound");
        assert_eq!(
            (&again.ufrag, &again.pwd, &again.fingerprint, again.sections.len()),
            (&understood.ufrag, &understood.pwd, &understood.fingerprint, understood.sections.len())
        );
        assert_eq!(again.candidates, understood.candidates);
        let read = match kind {
            DescriptionKind::Offer => webrtc::peer_connection::RTCSessionDescription::offer(written),
            DescriptionKind::Answer => webrtc::peer_connection::RTCSessionDescription::answer(written),
        };
        read.expect("the peer connection reads it");
    }
    let _ = (description::ufrag(text), description::ice_password(text), description::has_application(text));
}

/// A candidate: one that passes is written so that it passes again, and is nowhere where no peer can be.
pub fn candidate(text: &str) {
    for loopback in [false, true] {
        let Ok(checked) = candidate::check(text, loopback) else { continue };
        assert_eq!(candidate::check(&checked.attribute, loopback).as_ref(), Ok(&checked));
        assert!(!checked.attribute.contains(['\r', '\n']), "{:?}", checked.attribute);
        if let Some(address) = checked.address {
            let ip = address.ip().to_canonical();
            assert!(!ip.is_unspecified() && !ip.is_multicast() && address.port() > 0, "{address}");
            assert!(loopback || !ip.is_loopback(), "{address}");
        }
    }
}

/// More than pictures that are presumed lost, reports and requests that are due at once.
const TURNS_MAX: u32 = 32;

const SSRCS: Ssrcs = Ssrcs { media: [10, 20, 30], rtx: [11, 21, 31] };

/// Packets as they are after decryption: a length of two bytes before each, whose highest bit says RTCP and whose next says
/// that a second passes first. All of what looks at packets sees them.
pub fn packets(mut data: &[u8]) {
    let began = Instant::now();
    let feedback = Arc::new(Feedback::new(WallClock::new(began)));
    let mut parts: [Box<dyn Part>; 5] = [
        Box::new(Bandwidth::new(SSRCS, agreement(), Arc::clone(&feedback))),
        Box::new(Resends::new(SSRCS, agreement(), Arc::clone(&feedback))),
        Box::new(LossRequests::new(SSRCS.feedback(), agreement(), Arc::clone(&feedback), began)),
        Box::new(Reports::new(SSRCS, agreement(), Arc::clone(&feedback))),
        Box::new(Tap::new(SSRCS, agreement(), Arc::clone(&feedback))),
    ];
    let mut now = began;
    let mut sequence = 0_u16;
    while let Some((head, rest)) = data.split_first_chunk::<2>() {
        let head = u16::from_le_bytes(*head);
        let (raw, rest) = rest.split_at(rest.len().min(usize::from(head & 0x3fff)));
        data = rest;
        now += if head & 0x4000 == 0 { Duration::from_millis(3) } else { Duration::from_secs(1) };
        let mut reader = raw;
        let packet = if head & 0x8000 == 0 {
            rtp::Packet::unmarshal(&mut reader).ok().map(Packet::Rtp)
        } else {
            rtc::rtcp::packet::unmarshal(&mut reader).ok().map(Packet::Rtcp)
        };
        let Some(packet) = packet else { continue };
        sequence = sequence.wrapping_add(1);
        for (index, part) in parts.iter_mut().enumerate() {
            part.received(now, &packet);
            part.sent(now, &Packet::Rtp(ours(sequence)));
            // What a part is late for it catches up with one by one.
            let mut turns = 0;
            while part.poll_timeout().is_some_and(|due| due <= now) {
                part.handle_timeout(now);
                turns += 1;
                assert!(turns <= TURNS_MAX, "part {index} is due for ever");
            }
            while let Some(packet) = part.poll_packet() {
                if let Packet::Rtcp(packets) = packet {
                    rtc::rtcp::packet::marshal(&packets).expect("what this side says is sound");
                }
            }
        }
    }
    assert!(feedback.round_trip().is_none_or(|time| time <= Duration::from_secs(11)));
}

fn ours(sequence_number: u16) -> rtp::Packet {
    let header = rtp::Header { version: 2, ssrc: 20, sequence_number, payload_type: 102, ..Default::default() };
    rtp::Packet { header, payload: vec![0; 50].into() }
}

/// Everything was agreed on, for each track.
fn agreement() -> watch::Receiver<Agreement> {
    let (_, agreement) = watch::channel(Agreement::new(|track| TrackAgreement {
        sending: Some(Sending {
            codec: Codec::H264,
            payload_type: 102,
            rtx_payload_type: Some(103),
            red_payload_type: None,
            nack: track != Track::Microphone,
            transport_cc: Some(4),
        }),
        receiving: Receiving {
            ssrc: Some(100 + SSRCS.media[track.index()]),
            rtx_ssrc: Some(100 + SSRCS.rtx[track.index()]),
            nack: track != Track::Microphone,
            codecs: vec![(102, Codec::H264)],
        },
    }));
    agreement
}
