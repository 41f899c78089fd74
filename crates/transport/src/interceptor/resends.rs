//! Sends packets again that the peer asks for, by retransmission (RFC 4588), if that was agreed on. A peer that asks too often
//! or for too much does not get it: each packet once a round trip, and all together no more than is sent anyway.
//!
//! Never in the packet's own stream: its transport-wide number would be another one the second time, and AES-GCM must not be
//! used for different packets under the same SSRC and sequence number (RFC 7714 §8.2). Without retransmissions a peer that
//! misses a packet has to ask for a key frame.

use super::{Part, rtcp_of};
use crate::agreement::Agreement;
use crate::codecs::Ssrcs;
use crate::feedback::Feedback;
use crate::track::Track;
use rtc::interceptor::Packet;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Packets kept of each track: over two seconds of a 4 Mb/s picture. A power of two, by which sequence numbers wrap evenly.
const KEPT_PACKETS: usize = 1_024;

/// What may be resent at once beyond what is being sent: two large key frames.
const BURST_BYTES: usize = 256 * 1_024;

/// The shortest pause before a packet is sent a second time, and the one while the round trip time is unknown.
const MIN_PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Resends {
    ssrcs: Ssrcs,
    agreement: watch::Receiver<Agreement>,
    feedback: Arc<Feedback>,
    tracks: [History; Track::ALL.len()],
    packets: VecDeque<Packet>,
}

/// What was sent of one track.
struct History {
    /// By the lower bits of the sequence number. Empty until something is sent.
    kept: Vec<Option<Kept>>,
    rtx_sequence: u16,
    /// What may still be resent.
    budget_bytes: usize,
}

struct Kept {
    packet: rtp::Packet,
    resent_at: Option<Instant>,
}

impl Resends {
    pub(crate) fn new(ssrcs: Ssrcs, agreement: watch::Receiver<Agreement>, feedback: Arc<Feedback>) -> Self {
        let tracks = Track::ALL.map(|_| History {
            kept: Vec::new(),
            rtx_sequence: ahoy_rtp::first_sequence(rand::random()),
            budget_bytes: BURST_BYTES,
        });
        Self { ssrcs, agreement, feedback, tracks, packets: VecDeque::new() }
    }

    /// The payload type of retransmissions, if the peer may ask for them.
    fn rtx_payload_type(&self, track: Track) -> Option<u8> {
        self.agreement.borrow().track(track).sending.filter(|sending| sending.nack)?.rtx_payload_type
    }

    fn asked(&mut self, now: Instant, nack: &TransportLayerNack) {
        let Some(track) = self.ssrcs.track(nack.media_ssrc) else {
            return;
        };
        let Some(payload_type) = self.rtx_payload_type(track) else {
            return;
        };
        let pause = self.pause();
        let history = &mut self.tracks[track.index()];
        for sequence in nack.nacks.iter().flat_map(|pair| *pair) {
            let Some(packet) = history.take_again(now, sequence, pause) else {
                continue;
            };
            let packet = history.retransmission(packet, payload_type, self.ssrcs.rtx[track.index()]);
            self.feedback.track(track).packets_resent.add(1);
            self.packets.push_back(Packet::Rtp(packet));
        }
    }

    /// How long a packet that was resent is not sent again: a round trip, less what it may have shrunk since it was measured.
    fn pause(&self) -> Duration {
        self.feedback.round_trip().map_or(MIN_PAUSE, |round_trip| (round_trip - round_trip / 8).max(MIN_PAUSE))
    }
}

impl Part for Resends {
    fn received(&mut self, now: Instant, packet: &Packet) {
        rtcp_of::<TransportLayerNack>(packet).for_each(|nack| self.asked(now, nack));
    }

    fn sent(&mut self, _now: Instant, packet: &Packet) {
        if let Packet::Rtp(packet) = packet
            && let Some(track) = self.ssrcs.track(packet.header.ssrc)
            && self.rtx_payload_type(track).is_some()
        {
            self.tracks[track.index()].keep(packet);
        }
    }

    fn poll_packet(&mut self) -> Option<Packet> {
        self.packets.pop_front()
    }
}

impl History {
    fn keep(&mut self, packet: &rtp::Packet) {
        if self.kept.is_empty() {
            self.kept.resize_with(KEPT_PACKETS, || None);
        }
        self.budget_bytes = (self.budget_bytes + packet.payload.len()).min(BURST_BYTES);
        if let Some(slot) = self.kept.get_mut(usize::from(packet.header.sequence_number) % KEPT_PACKETS) {
            *slot = Some(Kept { packet: packet.clone(), resent_at: None });
        }
    }

    /// The packet, if it is still there and may be sent again now.
    fn take_again(&mut self, now: Instant, sequence: u16, pause: Duration) -> Option<rtp::Packet> {
        let kept = self.kept.get_mut(usize::from(sequence) % KEPT_PACKETS)?.as_mut()?;
        let is_too_soon = kept.resent_at.is_some_and(|at| now.saturating_duration_since(at) < pause);
        if kept.packet.header.sequence_number != sequence || is_too_soon {
            return None;
        }
        self.budget_bytes = self.budget_bytes.checked_sub(kept.packet.payload.len())?;
        kept.resent_at = Some(now);
        Some(kept.packet.clone())
    }

    /// The packet in its own stream: the original sequence number before its payload (RFC 4588 §4).
    fn retransmission(&mut self, original: rtp::Packet, payload_type: u8, ssrc: u32) -> rtp::Packet {
        let sequence_number = self.rtx_sequence;
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        let payload = [&original.header.sequence_number.to_be_bytes(), &original.payload[..]].concat();
        let header = rtp::Header { ssrc, payload_type, sequence_number, ..original.header };
        rtp::Packet { header, payload: payload.into() }
    }
}
