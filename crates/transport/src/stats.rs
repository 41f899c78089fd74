//! Numbers about a peer connection, as far as they are known to be true. What the `rtc` crate leaves at zero is not shown.

use crate::candidate::CandidateKind;
use crate::feedback::{Feedback, TrackFeedback};
use crate::network::Network;
use crate::track::Track;
use rtc::statistics::stats::ice_candidate_pair::RTCIceCandidatePairStats;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use webrtc::peer_connection::{RTCIceCandidate, RTCIceCandidateType, RTCStatsReport};
use webrtc::rtp_transceiver::RtpSender;

/// Numbers since the connection began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerStats {
    /// The kind of the path in use.
    pub path: Option<CandidateKind>,
    /// Which network it leaves this machine by.
    pub network: Option<Network>,
    /// The round trip time that ICE measured last.
    pub round_trip: Option<Duration>,
    /// The newest round trip time of media: from a report of ours to the peer's word on it, less what the peer held it
    /// (RFC 3550 §6.4.1). From ICE until there is one, and for as long as nothing is sent.
    pub media_round_trip: Option<Duration>,
    /// How much the path to the peer carries, in bits a second, all headers included, by what the peer reports on single
    /// packets; 50 Mb/s at most. `None` while nothing is known.
    pub available_send_bps: Option<u64>,
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
    /// RTP packets sent, without those that were sent again.
    pub packets_sent: u64,
    /// Their payload.
    pub bytes_sent: u64,
    /// Packets that were not sent because they were made too fast.
    pub packets_not_sent: u64,
    /// Packets that were sent again because the peer asked for them; each time counts.
    pub packets_resent: u64,
    /// Packets that the peer asked for again; each time counts.
    pub packets_nacked_by_peer: u64,
    /// Packets that the path to the peer lost, as the peer last reported. What was sent again in their place does not count.
    pub packets_lost_by_peer: u64,
    /// Which part of the packets was lost on the way to the peer, from 0 to 1, in the interval of its last report.
    pub fraction_lost_by_peer: Option<f32>,
    /// How unevenly packets reach the peer, as it last reported (RFC 3550 §6.4.1).
    pub jitter_at_peer: Option<Duration>,
    /// Key frames that the peer asked for, by PLI or FIR.
    pub key_frame_requests: u64,
    /// RTP packets that came in, without retransmissions in a stream of their own.
    pub packets_received: u64,
    /// Their payload.
    pub bytes_received: u64,
    /// Packets that the path from the peer lost. Negative where more came double than were lost.
    pub packets_lost: i64,
    /// Packets that were asked for again; each time counts.
    pub packets_nacked: u64,
    /// Retransmissions that came in a stream of their own (RFC 4588), needed or not.
    pub retransmissions_received: u64,
    /// Lost packets that came by retransmission.
    pub packets_recovered: u64,
    /// How unevenly packets come from the peer (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// Key frames that the peer was asked for, by PLI.
    pub key_frames_asked: u64,
    /// Packets that came in and were dropped because nobody read them.
    pub packets_not_read: u64,
    /// Packets that came in under a payload type that was not negotiated, and were dropped.
    pub packets_of_unknown_codec: u64,
}

/// Picks from `report` what is true, and adds what is known better.
pub(crate) fn summarize(report: &RTCStatsReport, feedback: &Feedback) -> PeerStats {
    let mut stats = PeerStats {
        round_trip: round_trip(report),
        media_round_trip: feedback.round_trip(),
        available_send_bps: Some(feedback.available_bps.value()).filter(|bps| *bps > 0),
        tracks: Track::ALL.map(|track| of_track(feedback.track(track))),
        ..Default::default()
    };
    if let Some(transport) = report.transport() {
        stats.bytes_sent = transport.bytes_sent;
        stats.bytes_received = transport.bytes_received;
    }
    stats
}

fn of_track(numbers: &TrackFeedback) -> TrackStats {
    let remote = numbers.remote();
    let packets_received = numbers.packets_received.value();
    TrackStats {
        packets_sent: numbers.packets_sent.value(),
        bytes_sent: numbers.bytes_sent.value(),
        packets_not_sent: 0,
        packets_resent: numbers.packets_resent.value(),
        packets_nacked_by_peer: numbers.packets_nacked_by_peer.value(),
        packets_lost_by_peer: remote.map_or(0, |remote| remote.packets_lost),
        fraction_lost_by_peer: remote.map(|remote| f32::from(remote.lost_of_256) / 256.0),
        jitter_at_peer: remote.map(|remote| remote.jitter),
        key_frame_requests: numbers.key_frame_requests.value(),
        packets_received,
        bytes_received: numbers.bytes_received.value(),
        packets_lost: numbers.packets_expected.value().wrapping_sub(packets_received) as i64,
        packets_nacked: numbers.packets_nacked.value(),
        retransmissions_received: numbers.retransmissions_received.value(),
        packets_recovered: numbers.packets_recovered.value(),
        jitter: Duration::from_micros(numbers.jitter_us.value()),
        key_frames_asked: numbers.key_frames_asked.value(),
        packets_not_read: 0,
        packets_of_unknown_codec: 0,
    }
}

/// The round trip time of the pair in use, as ICE measured it last.
pub(crate) fn round_trip(report: &RTCStatsReport) -> Option<Duration> {
    let measured = selected_pair(report)?.current_round_trip_time;
    Duration::try_from_secs_f64(measured).ok().filter(|round_trip| !round_trip.is_zero())
}

fn selected_pair(report: &RTCStatsReport) -> Option<&RTCIceCandidatePairStats> {
    let id = &report.transport()?.selected_candidate_pair_id;
    report.candidate_pairs().find(|pair| pair.stats.id == *id)
}

/// The pair of candidates in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selected {
    /// The kind of its more roundabout end.
    pub(crate) path: CandidateKind,
    pub(crate) network: Option<Network>,
    /// The machine's own address behind it, or what comes closest.
    pub(crate) own: Option<IpAddr>,
    /// Where the peer is sent to.
    pub(crate) remote: Option<SocketAddr>,
}

/// The pair in use, once there is one. `signalled` tells the kind under which the peer named an
/// address. The statistics are of no help here: their pairs name candidates that are not in the report.
pub(crate) async fn selected(
    senders: &[Arc<dyn RtpSender>],
    signalled: impl Fn(SocketAddr) -> Option<CandidateKind>,
) -> Option<Selected> {
    for sender in senders {
        // The sections share one transport, but a sender has it only once its own section was negotiated.
        let Ok(Some(transport)) = sender.transport().await else {
            continue;
        };
        let pair = transport.ice_transport().get_selected_candidate_pair().await.ok().flatten()?;
        // A check can arrive before the candidate that it comes from was told: then it is no reflexive one.
        let remote = address(pair.remote());
        let told = remote.and_then(signalled);
        let path = kind(pair.local())?.max(told.or_else(|| kind(pair.remote()))?);
        let own = own_address(pair.local());
        let network = own.map(|own| Network::new(own, path == CandidateKind::Relay));
        return Some(Selected { path, network, own, remote });
    }
    None
}

/// The machine's own address behind a candidate: what a server made of it says less about the network here. Not every
/// candidate knows it (RFC 8839 §5.1 lets it be hidden); then its own address has to do.
fn own_address(candidate: &RTCIceCandidate) -> Option<IpAddr> {
    let related = candidate.related_address.parse().ok().filter(|address: &IpAddr| !address.is_unspecified());
    related.or_else(|| candidate.address.parse().ok())
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
