//! Numbers about a peer connection, as far as they are known to be true. What the `rtc` crate leaves at zero is not shown.

use crate::candidate::CandidateKind;
use crate::codecs::Ssrcs;
use crate::tap::Feedback;
use crate::track::Track;
use rtc::statistics::stats::ice_candidate_pair::RTCIceCandidatePairStats;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use webrtc::peer_connection::{RTCIceCandidate, RTCIceCandidateType, RTCStatsReport};
use webrtc::rtp_transceiver::RtpSender;

/// Numbers since the connection began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerStats {
    /// The kind of the path in use.
    pub path: Option<CandidateKind>,
    /// The round trip time that ICE measured last.
    pub round_trip: Option<Duration>,
    /// Bytes sent to the peer, everything above UDP.
    pub bytes_sent: u64,
    /// Bytes that came from the peer, everything above UDP.
    pub bytes_received: u64,
    /// Each track, in the order of [`Track::ALL`].
    pub tracks: [TrackStats; Track::ALL.len()],
}

impl PeerStats {
    /// The numbers of one track.
    pub fn track(&self, track: Track) -> &TrackStats {
        &self.tracks[track.index()]
    }
}

/// Numbers of one track, both ways.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrackStats {
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Their payload.
    pub bytes_sent: u64,
    /// Packets that were not sent because they were made too fast.
    pub packets_not_sent: u64,
    /// Packets sent that the peer reported lost, until now.
    pub packets_lost_by_peer: u64,
    /// Packets that the peer asked for again.
    pub packets_nacked_by_peer: u64,
    /// Key frames that the peer asked for.
    pub key_frame_requests: u64,
    /// RTP packets that came in.
    pub packets_received: u64,
    /// Their payload.
    pub bytes_received: u64,
    /// Packets that were seen to be missing. Negative where more came double than were missing.
    pub packets_lost: i64,
    /// Packets that came in and were dropped because nobody read them.
    pub packets_not_read: u64,
}

/// Picks from `report` what is true.
pub(crate) fn summarize(report: &RTCStatsReport, ssrcs: &Ssrcs, feedback: &Feedback) -> PeerStats {
    let mut stats = PeerStats::default();
    if let Some(transport) = report.transport() {
        stats.bytes_sent = transport.bytes_sent;
        stats.bytes_received = transport.bytes_received;
    }
    stats.round_trip = selected_pair(report)
        .and_then(|pair| Duration::try_from_secs_f64(pair.current_round_trip_time).ok())
        .filter(|round_trip| !round_trip.is_zero());
    for track in Track::ALL {
        let numbers = &mut stats.tracks[track.index()];
        let heard = feedback.track(track);
        numbers.packets_lost_by_peer = heard.packets_lost.load(Relaxed);
        numbers.packets_nacked_by_peer = heard.nacked_packets.load(Relaxed);
        numbers.key_frame_requests = heard.key_frame_requests.load(Relaxed);
    }
    for stream in report.outbound_rtp_streams() {
        let sent = &stream.sent_rtp_stream_stats;
        let of_track = |track: &Track| ssrcs.media[track.index()] == sent.rtp_stream_stats.ssrc;
        if let Some(track) = Track::ALL.into_iter().find(of_track) {
            stats.tracks[track.index()].packets_sent = sent.packets_sent;
            stats.tracks[track.index()].bytes_sent = sent.bytes_sent;
        }
    }
    for stream in report.inbound_rtp_streams() {
        if let Some(track) = Track::from_name(&stream.track_identifier) {
            let received = &stream.received_rtp_stream_stats;
            let numbers = &mut stats.tracks[track.index()];
            numbers.packets_received += received.packets_received;
            numbers.bytes_received += stream.bytes_received;
            numbers.packets_lost += received.packets_lost;
        }
    }
    stats
}

fn selected_pair(report: &RTCStatsReport) -> Option<&RTCIceCandidatePairStats> {
    let id = &report.transport()?.selected_candidate_pair_id;
    report.candidate_pairs().find(|pair| pair.stats.id == *id)
}

/// The kind of the selected path: that of its more roundabout end. `signalled` tells the kind under which the peer named an
/// address. The statistics are of no help here: their pairs name candidates that are not in the report.
pub(crate) async fn path(
    senders: &[Arc<dyn RtpSender>],
    signalled: impl Fn(SocketAddr) -> Option<CandidateKind>,
) -> Option<CandidateKind> {
    for sender in senders {
        // The sections share one transport, but a sender has it only once its own section was negotiated.
        let Ok(Some(transport)) = sender.transport().await else {
            continue;
        };
        let pair = transport.ice_transport().get_selected_candidate_pair().await.ok().flatten()?;
        // A check can arrive before the candidate that it comes from was told: then it is no reflexive one.
        let told = address(pair.remote()).and_then(signalled);
        return Some(kind(pair.local())?.max(told.or_else(|| kind(pair.remote()))?));
    }
    None
}

fn kind(candidate: &RTCIceCandidate) -> Option<CandidateKind> {
    match candidate.typ {
        RTCIceCandidateType::Host => Some(CandidateKind::Host),
        RTCIceCandidateType::Srflx => Some(CandidateKind::Srflx),
        RTCIceCandidateType::Prflx => Some(CandidateKind::Prflx),
        RTCIceCandidateType::Relay => Some(CandidateKind::Relay),
        _ => None,
    }
}

fn address(candidate: &RTCIceCandidate) -> Option<SocketAddr> {
    Some(SocketAddr::new(candidate.address.parse().ok()?, candidate.port))
}
