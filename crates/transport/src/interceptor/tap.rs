//! Listens to RTCP, both ways, and keeps the numbers: what the peer wants and how what is sent to it arrives. Takes nothing
//! away and adds nothing.

use super::{Part, rtcp_of};
use crate::agreement::{Agreement, Stream};
use crate::codecs::Ssrcs;
use crate::feedback::{Feedback, RemoteReport};
use crate::track::Track;
use crate::wall_clock::from_short_units;
use ahoy_rtp::clock::duration;
use rtc::interceptor::Packet;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A longer round trip than this is a report that lies or makes no sense.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(10);

pub(crate) struct Tap {
    ssrcs: Ssrcs,
    agreement: watch::Receiver<Agreement>,
    feedback: Arc<Feedback>,
    /// Who sent the last FIR for a track, and its sequence number.
    last_fir: [Option<(u32, u8)>; Track::ALL.len()],
}

impl Tap {
    pub(crate) fn new(ssrcs: Ssrcs, agreement: watch::Receiver<Agreement>, feedback: Arc<Feedback>) -> Self {
        Self { ssrcs, agreement, feedback, last_fir: [None; Track::ALL.len()] }
    }

    fn key_frame_wanted(&self, ssrc: u32) {
        if let Some(track) = self.ssrcs.track(ssrc) {
            self.feedback.want_key_frame(track);
        }
    }

    /// A FIR that comes again under its number is a repetition, not another wish (RFC 5104 §4.3.1.2).
    fn fir_came(&mut self, request: &FullIntraRequest) {
        for entry in &request.fir {
            let Some(track) = self.ssrcs.track(entry.ssrc) else {
                continue;
            };
            let fir = Some((request.sender_ssrc, entry.sequence_number));
            if std::mem::replace(&mut self.last_fir[track.index()], fir) != fir {
                self.feedback.want_key_frame(track);
            }
        }
    }

    fn nacked(&self, nack: &TransportLayerNack) {
        if let Some(track) = self.ssrcs.track(nack.media_ssrc) {
            let packets = nack.nacks.iter().map(|pair| 1 + u64::from(pair.lost_packets.count_ones())).sum();
            self.feedback.track(track).packets_nacked_by_peer.add(packets);
        }
    }

    fn reported(&self, now: Instant, report: &ReceptionReport) {
        let Some(track) = self.ssrcs.track(report.ssrc) else {
            return;
        };
        self.feedback.track(track).set_remote(RemoteReport {
            number: 0,
            packets_lost: lost(report.total_lost),
            lost_of_256: report.fraction_lost,
            jitter: duration(u64::from(report.jitter), track.clock_hz()),
        });
        if report.last_sender_report == 0 {
            return;
        }
        // RFC 3550 §6.4.1: what remains of the time since our report, less what the peer held it.
        let since = self.feedback.clock.short_ntp(now).wrapping_sub(report.last_sender_report);
        // Below zero by rounding, on a path without delay.
        let round_trip = from_short_units((since.wrapping_sub(report.delay) as i32).max(0).unsigned_abs());
        if round_trip <= LONGEST_ROUND_TRIP {
            self.feedback.set_round_trip(round_trip);
        }
    }

    fn sender_reported(&self, now: Instant, report: &SenderReport) {
        if let Some((track, Stream::Media)) = self.agreement.borrow().incoming(report.ssrc) {
            let clocks = ahoy_rtp::SenderReport { ntp: report.ntp_time, rtp: report.rtp_time };
            self.feedback.track(track).sender_report.send_replace(Some((clocks, now)));
        }
    }
}

impl Part for Tap {
    fn received(&mut self, now: Instant, packet: &Packet) {
        rtcp_of::<PictureLossIndication>(packet).for_each(|request| self.key_frame_wanted(request.media_ssrc));
        rtcp_of::<FullIntraRequest>(packet).for_each(|request| self.fir_came(request));
        rtcp_of::<TransportLayerNack>(packet).for_each(|nack| self.nacked(nack));
        let by_receivers = rtcp_of::<ReceiverReport>(packet).flat_map(|report| &report.reports);
        let by_senders = rtcp_of::<SenderReport>(packet).flat_map(|report| &report.reports);
        by_receivers.chain(by_senders).for_each(|report| self.reported(now, report));
        rtcp_of::<SenderReport>(packet).for_each(|report| self.sender_reported(now, report));
    }

    fn sent(&mut self, _now: Instant, packet: &Packet) {
        for request in rtcp_of::<PictureLossIndication>(packet) {
            if let Some((track, _)) = self.agreement.borrow().incoming(request.media_ssrc) {
                self.feedback.track(track).key_frames_asked.add(1);
            }
        }
    }
}

/// A number of 24 bits with a sign: below zero where more came double than was lost.
fn lost(total: u32) -> u64 {
    if total & 0x80_0000 == 0 { u64::from(total & 0x7f_ffff) } else { 0 }
}
