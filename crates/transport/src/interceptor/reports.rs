//! Sends what a participant owes the other side once a second: reports about what it sends, and about how what it receives
//! arrives (RFC 3550 §6.4), in the reduced form of RFC 5506.

use super::{Part, rtcp_of};
use crate::agreement::{Agreement, Stream};
use crate::codecs::Ssrcs;
use crate::feedback::{Captured, Feedback};
use crate::reception::Reception;
use crate::track::Track;
use ahoy_rtp::clock::ticks;
use rtc::interceptor::Packet;
use rtc::rtcp;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What browsers do for pictures. RFC 3550 §6.2 would allow more often, but nothing needs it.
const INTERVAL: Duration = Duration::from_secs(1);

/// Who sent nothing for this long is no sender any more (RFC 3550 §6.3.8: two intervals).
const SENDER_FOR: Duration = Duration::from_secs(2);

pub(crate) struct Reports {
    ssrcs: Ssrcs,
    agreement: watch::Receiver<Agreement>,
    feedback: Arc<Feedback>,
    outgoing: [Option<Outgoing>; Track::ALL.len()],
    incoming: [Option<Incoming>; Track::ALL.len()],
    due: Option<Instant>,
    reports: VecDeque<Packet>,
}

/// What was sent of one track.
struct Outgoing {
    packets: u32,
    payload_bytes: u32,
    last_sent: Instant,
    /// The first packet with the newest time stamp, and when it was sent.
    newest: Captured,
}

/// What comes in of one track.
struct Incoming {
    ssrc: u32,
    reception: Reception,
    /// Packets that should have come under the SSRCs before: what came under them is counted on as well.
    expected_before: i64,
}

impl Incoming {
    /// Packets of the track that should have come by now, under whatever SSRC.
    fn expected(&self) -> i64 {
        self.expected_before + self.reception.expected()
    }
}

impl Reports {
    pub(crate) fn new(ssrcs: Ssrcs, agreement: watch::Receiver<Agreement>, feedback: Arc<Feedback>) -> Self {
        Self {
            ssrcs,
            agreement,
            feedback,
            outgoing: [const { None }; Track::ALL.len()],
            incoming: [const { None }; Track::ALL.len()],
            due: None,
            reports: VecDeque::new(),
        }
    }

    fn packet_came(&mut self, now: Instant, packet: &rtp::Packet) {
        let ssrc = packet.header.ssrc;
        let Some((track, Stream::Media)) = self.agreement.borrow().incoming(ssrc) else {
            return;
        };
        let slot = &mut self.incoming[track.index()];
        let expected_before = slot.as_ref().map_or(0, Incoming::expected);
        if slot.as_ref().is_some_and(|incoming| incoming.ssrc != ssrc) {
            *slot = None;
        }
        let reception = || Reception::new(track.clock_hz(), now);
        let incoming = slot.get_or_insert_with(|| Incoming { ssrc, reception: reception(), expected_before });
        incoming.reception.packet_came(now, packet.header.sequence_number, packet.header.timestamp);
        let numbers = self.feedback.track(track);
        numbers.packets_received.add(1);
        numbers.bytes_received.add(packet.payload.len() as u64);
        numbers.packets_expected.set(u64::try_from(incoming.expected()).unwrap_or(0));
        numbers.jitter_us.set(u64::try_from(incoming.reception.jitter().as_micros()).unwrap_or(u64::MAX));
        self.due.get_or_insert(now + INTERVAL);
    }

    fn sender_reported(&mut self, now: Instant, report: &SenderReport) {
        let known = self.incoming.iter_mut().flatten().find(|incoming| incoming.ssrc == report.ssrc);
        if let Some(incoming) = known {
            incoming.reception.sender_reported(now, report.ntp_time);
        }
    }

    fn packet_left(&mut self, now: Instant, packet: &rtp::Packet) {
        let Some(track) = self.ssrcs.track(packet.header.ssrc) else {
            return;
        };
        let payload_bytes = packet.payload.len();
        let numbers = self.feedback.track(track);
        numbers.packets_sent.add(1);
        numbers.bytes_sent.add(payload_bytes as u64);
        let stamped = Captured { at: now, rtp: packet.header.timestamp };
        let slot = &mut self.outgoing[track.index()];
        let outgoing = slot.get_or_insert(Outgoing { packets: 0, payload_bytes: 0, last_sent: now, newest: stamped });
        outgoing.packets = outgoing.packets.wrapping_add(1);
        outgoing.payload_bytes = outgoing.payload_bytes.wrapping_add(payload_bytes as u32);
        outgoing.last_sent = now;
        if outgoing.newest.rtp != stamped.rtp {
            outgoing.newest = stamped;
        }
        self.due.get_or_insert(now + INTERVAL);
    }

    /// Everything that there is to report, in one packet.
    fn report(&mut self, now: Instant) {
        let about_peer: Vec<ReceptionReport> = self
            .incoming
            .iter_mut()
            .flatten()
            .filter_map(|incoming| incoming.reception.report(now, incoming.ssrc))
            .collect();
        let mut packets: Vec<Box<dyn rtcp::Packet>> = Vec::new();
        for track in Track::ALL {
            if let Some(report) = self.sender_report(now, track) {
                packets.push(Box::new(report));
            }
        }
        if !about_peer.is_empty() {
            let ssrc = self.ssrcs.feedback();
            packets.push(Box::new(ReceiverReport { ssrc, reports: about_peer, ..Default::default() }));
        }
        if !packets.is_empty() {
            self.reports.push_back(Packet::Rtcp(packets));
        }
    }

    fn sender_report(&self, now: Instant, track: Track) -> Option<SenderReport> {
        let outgoing = self.outgoing[track.index()].as_ref()?;
        if now.saturating_duration_since(outgoing.last_sent) > SENDER_FOR {
            return None;
        }
        // Without a word from whoever captures, the moment of sending is as near as can be known.
        let known = self.feedback.track(track).captured().unwrap_or(outgoing.newest);
        Some(SenderReport {
            ssrc: self.ssrcs.media[track.index()],
            ntp_time: self.feedback.clock.ntp(now),
            rtp_time: rtp_time(known, now, track.clock_hz()),
            packet_count: outgoing.packets,
            octet_count: outgoing.payload_bytes,
            ..Default::default()
        })
    }
}

impl Part for Reports {
    fn received(&mut self, now: Instant, packet: &Packet) {
        if let Packet::Rtp(packet) = packet {
            self.packet_came(now, packet);
        }
        rtcp_of::<SenderReport>(packet).for_each(|report| self.sender_reported(now, report));
    }

    fn sent(&mut self, now: Instant, packet: &Packet) {
        if let Packet::Rtp(packet) = packet {
            self.packet_left(now, packet);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = Some(now + INTERVAL);
            self.report(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    fn poll_packet(&mut self) -> Option<Packet> {
        self.reports.pop_front()
    }
}

/// The time stamp of what is captured `now`, if `known` was captured when it says.
fn rtp_time(known: Captured, now: Instant, clock_hz: u32) -> u32 {
    let since = ticks(now.saturating_duration_since(known.at), clock_hz) as u32;
    let until = ticks(known.at.saturating_duration_since(now), clock_hz) as u32;
    known.rtp.wrapping_add(since).wrapping_sub(until)
}
