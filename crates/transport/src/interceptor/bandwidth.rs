//! The last thing that a packet meets on its way out: here pictures and what is sent again wait for their turn, everything
//! gets its number for the whole transport, and the peer's reports on those numbers tell how much the path carries
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01). What follows from it is decided in `ahoy_rtp::congestion`; those who
//! encode ask for it by way of [`Feedback`](crate::feedback::Feedback).

use super::{Part, rtcp_of};
use crate::agreement::Agreement;
use crate::codecs::Ssrcs;
use crate::feedback::Feedback;
use crate::track::Track;
use ahoy_rtp::{Pacer, PacketReport, Priority};
use rtc::interceptor::{Packet, convert_twcc};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, TransportLayerCc};
use rtc::rtp;
use rtc::shared::marshal::MarshalSize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long an estimate is good for that no report confirms: after that the path may be another one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// Packets that a report may name beyond those that wait for one: what libwebrtc reports a second time because of a late
/// packet is half a second's.
const REPORTED_AGAIN: usize = 1_000;

/// Packets of which it is known under which number they left: two seconds of a 4 Mb/s picture. Sequence numbers wrap evenly
/// by it.
const REMEMBERED_PACKETS: usize = 1_024;

/// IPv4 and UDP (RFC 791, RFC 768), and the tag of SRTP with AES-GCM (RFC 7714 §13.2).
const LOWER_HEADERS_BYTES: usize = 20 + 8 + 16;

pub(crate) struct Bandwidth {
    ssrcs: Ssrcs,
    agreement: watch::Receiver<Agreement>,
    feedback: Arc<Feedback>,
    next_number: u16,
    /// Of each track's newest packets, by the lower bits of their sequence number: that, and the number for the transport.
    numbers: [Vec<Option<(u16, u16)>>; Track::ALL.len()],
    pacer: Pacer<rtp::Packet>,
    ready: VecDeque<Packet>,
    /// When the estimate is unknown again.
    forgotten_at: Option<Instant>,
}

impl Bandwidth {
    pub(crate) fn new(ssrcs: Ssrcs, agreement: watch::Receiver<Agreement>, feedback: Arc<Feedback>) -> Self {
        Self {
            ssrcs,
            agreement,
            feedback,
            next_number: 0,
            numbers: Track::ALL.map(|_| vec![None; REMEMBERED_PACKETS]),
            pacer: Pacer::default(),
            ready: VecDeque::new(),
            forgotten_at: None,
        }
    }

    /// Lets a packet leave: with a number, where the peer reports on those.
    fn depart(&mut self, now: Instant, track: Track, packet: &mut rtp::Packet) {
        let id = self.agreement.borrow().track(track).sending.and_then(|sending| sending.transport_cc);
        let number = self.next_number;
        if let Some(id) = id
            && packet.header.set_extension(id, number.to_be_bytes().to_vec().into()).is_ok()
        {
            self.next_number = number.wrapping_add(1);
            self.feedback.congestion(now).sent(number, wire_bytes(packet), track != Track::Microphone);
            let sequence = packet.header.sequence_number;
            let numbers = &mut self.numbers[track.index()];
            if self.ssrcs.track(packet.header.ssrc).is_some()
                && let Some(slot) = numbers.get_mut(usize::from(sequence) % REMEMBERED_PACKETS)
            {
                *slot = Some((sequence, number));
            }
        }
    }

    /// Whether the peer asked for a packet (RFC 4588 §4) that is not lost: it has not left the first time, or stands in a
    /// queue on its way. A second one would make the queue longer.
    fn is_still_to_come(&self, now: Instant, track: Track, again: &rtp::Packet) -> bool {
        let Some(sequence) = again.payload.first_chunk().map(|number| u16::from_be_bytes(*number)) else {
            return false;
        };
        let ssrc = self.ssrcs.media[track.index()];
        let left = self.numbers[track.index()].get(usize::from(sequence) % REMEMBERED_PACKETS).copied().flatten();
        let is_queued = left.is_some_and(|(of, number)| {
            let congestion = self.feedback.congestion(now);
            let way_back = self.feedback.round_trip().unwrap_or_default() / 2;
            of == sequence && congestion.control().is_queued(congestion.now(), number, way_back)
        });
        is_queued || self.pacer.holds(|held| held.header.ssrc == ssrc && held.header.sequence_number == sequence)
    }

    /// Lets those leave that may.
    fn release(&mut self, now: Instant) {
        loop {
            let (since, pacing_bps) = {
                let mut congestion = self.feedback.congestion(now);
                congestion.set_queued(self.pacer.bytes());
                (congestion.now(), congestion.control().pacing_bps())
            };
            let Some(mut packet) = self.pacer.pop(since, pacing_bps) else { break };
            if let Some(track) = self.ssrcs.track_with_retransmissions(packet.header.ssrc) {
                self.depart(now, track, &mut packet);
            }
            self.ready.push_back(Packet::Rtp(packet));
        }
    }

    fn reported(&mut self, now: Instant, report: &TransportLayerCc) {
        let mut congestion = self.feedback.congestion(now);
        // A few bytes of run lengths can name more packets than were ever sent.
        if named(report) > congestion.control().packets_in_flight() + REPORTED_AGAIN {
            return;
        }
        let reports: Vec<PacketReport> = convert_twcc(report)
            .into_iter()
            .take(usize::from(report.packet_status_count))
            .map(|packet| PacketReport { number: packet.sequence_number, arrived: packet.arrival })
            .collect();
        congestion.reported(&reports);
        if congestion.control().is_known() {
            self.feedback.available_bps.set(congestion.control().capacity_bps());
            self.forgotten_at = Some(now + FORGOTTEN_AFTER);
        }
    }
}

/// What a packet takes of the path.
fn wire_bytes(packet: &rtp::Packet) -> usize {
    packet.marshal_size() + LOWER_HEADERS_BYTES
}

/// How many packets the chunks of a report name.
fn named(report: &TransportLayerCc) -> usize {
    let in_chunk = |chunk: &PacketStatusChunk| match chunk {
        PacketStatusChunk::RunLengthChunk(run) => usize::from(run.run_length),
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.len(),
    };
    report.packet_chunks.iter().map(in_chunk).sum()
}

impl Part for Bandwidth {
    fn received(&mut self, now: Instant, packet: &Packet) {
        rtcp_of::<TransportLayerCc>(packet).for_each(|report| self.reported(now, report));
    }

    fn pass(&mut self, now: Instant, packet: Packet) -> Option<Packet> {
        let Packet::Rtp(mut packet) = packet else { return Some(packet) };
        match self.ssrcs.track_with_retransmissions(packet.header.ssrc) {
            None => Some(Packet::Rtp(packet)),
            Some(Track::Microphone) => {
                self.depart(now, Track::Microphone, &mut packet);
                Some(Packet::Rtp(packet))
            }
            Some(track @ (Track::Camera | Track::Screen)) => {
                let is_first_time = self.ssrcs.track(packet.header.ssrc).is_some();
                if !is_first_time && self.is_still_to_come(now, track, &packet) {
                    return None;
                }
                let priority = if is_first_time { Priority::Picture } else { Priority::Again };
                let since = self.feedback.congestion(now).now();
                self.pacer.push(since, priority, wire_bytes(&packet), packet);
                self.release(now);
                None
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.release(now);
        if self.forgotten_at.is_some_and(|at| at <= now) {
            self.forgotten_at = None;
            self.feedback.available_bps.set(0);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let paced = self.pacer.poll_timeout().map(|at| self.feedback.began() + at);
        paced.into_iter().chain(self.forgotten_at).min()
    }

    fn poll_packet(&mut self) -> Option<Packet> {
        self.ready.pop_front()
    }
}
