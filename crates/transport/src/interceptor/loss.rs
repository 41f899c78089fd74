//! Asks the peer for packets that did not come, by NACK (RFC 4585 §6.2.1), and knows them again in retransmissions
//! (RFC 4588). Which to ask for and when is decided in `ahoy_rtp::nack`.
//!
//! Only pictures are asked for. A lost packet of sound is made up for by the repair data in the next one (RFC 7587 §3.3) in
//! less time than a round trip, and the jitter buffer would have to hold all sound back by a round trip for a retransmission
//! to be of use. Chromium does not offer it either.

use super::Part;
use crate::agreement::{Agreement, Stream};
use crate::feedback::Feedback;
use crate::track::Track;
use ahoy_rtp::{Arrival, Came, NackGenerator, RtpHeader};
use rtc::interceptor::Packet;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    NackPair, TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::rtp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Runs of lost packets in one NACK. More make a packet larger than the crate writes, and than most paths take.
const MAX_PAIRS: usize = 128;

pub(crate) struct LossRequests {
    /// Under which requests are made.
    own_ssrc: u32,
    agreement: watch::Receiver<Agreement>,
    feedback: Arc<Feedback>,
    began: Instant,
    streams: [Option<Incoming>; Track::ALL.len()],
    requests: VecDeque<Packet>,
}

/// A stream that is watched.
struct Incoming {
    ssrc: u32,
    generator: NackGenerator,
    /// The round trip time that the generator was told last.
    round_trip: Option<Duration>,
}

impl LossRequests {
    pub(crate) fn new(
        own_ssrc: u32,
        agreement: watch::Receiver<Agreement>,
        feedback: Arc<Feedback>,
        now: Instant,
    ) -> Self {
        Self {
            own_ssrc,
            agreement,
            feedback,
            began: now,
            streams: [const { None }; Track::ALL.len()],
            requests: VecDeque::new(),
        }
    }

    fn packet_came(&mut self, now: Instant, packet: &rtp::Packet) {
        let agreement = self.agreement.borrow();
        let Some((track, stream)) = agreement.incoming(packet.header.ssrc) else {
            return;
        };
        let receiving = &agreement.track(track).receiving;
        let Some(ssrc) = receiving.ssrc.filter(|_| receiving.nack) else {
            return;
        };
        drop(agreement);
        let Some(sequence) = original_sequence(stream, packet) else {
            return;
        };
        let since = now.saturating_duration_since(self.began);
        let incoming = watched(&mut self.streams[track.index()], ssrc);
        let round_trip = self.feedback.round_trip();
        if incoming.round_trip != round_trip {
            incoming.round_trip = round_trip;
            round_trip.into_iter().for_each(|round_trip| incoming.generator.set_round_trip(round_trip));
        }
        let came = match stream {
            Stream::Media => Came::Itself,
            Stream::Retransmissions => Came::Again,
        };
        // A retransmission has the time stamp and the marker of what is sent again (RFC 4588 §4).
        let rtp::Header { timestamp, marker, .. } = packet.header;
        let arrival = incoming.generator.push(since, RtpHeader { sequence, timestamp, marker }, came);
        if stream == Stream::Retransmissions {
            let numbers = self.feedback.track(track);
            numbers.retransmissions_received.add(1);
            numbers.packets_recovered.add(u64::from(arrival != Arrival::Unneeded));
        }
        self.ask(track, since);
    }

    /// Asks for what is due of one track.
    fn ask(&mut self, track: Track, since: Duration) {
        let Some(incoming) = &mut self.streams[track.index()] else {
            return;
        };
        let missing = incoming.generator.poll(since);
        self.feedback.track(track).packets_nacked.add(missing.len() as u64);
        for nacks in nack_pairs_from_sequence_numbers(&missing).chunks(MAX_PAIRS) {
            let nacks: Vec<NackPair> = nacks.to_vec();
            let request = TransportLayerNack { sender_ssrc: self.own_ssrc, media_ssrc: incoming.ssrc, nacks };
            self.requests.push_back(Packet::Rtcp(vec![Box::new(request)]));
        }
    }
}

impl Part for LossRequests {
    fn received(&mut self, now: Instant, packet: &Packet) {
        if let Packet::Rtp(packet) = packet {
            self.packet_came(now, packet);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.began);
        Track::ALL.into_iter().for_each(|track| self.ask(track, since));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = self.streams.iter().flatten().filter_map(|incoming| incoming.generator.poll_timeout()).min()?;
        Some(self.began + due)
    }

    fn poll_packet(&mut self) -> Option<Packet> {
        self.requests.pop_front()
    }
}

/// The state of the stream `ssrc`, made anew where a track comes under another SSRC than before.
fn watched(slot: &mut Option<Incoming>, ssrc: u32) -> &mut Incoming {
    if slot.as_ref().is_some_and(|incoming| incoming.ssrc != ssrc) {
        *slot = None;
    }
    slot.get_or_insert_with(|| Incoming { ssrc, generator: NackGenerator::default(), round_trip: None })
}

/// The sequence number that the packet had when it was sent first. `None` for a retransmission of nothing, which is only
/// there to fill the path (RFC 4588 §4).
fn original_sequence(stream: Stream, packet: &rtp::Packet) -> Option<u16> {
    match stream {
        Stream::Media => Some(packet.header.sequence_number),
        Stream::Retransmissions => packet.payload.first_chunk().map(|number| u16::from_be_bytes(*number)),
    }
}
