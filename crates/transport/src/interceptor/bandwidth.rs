//! Numbers what is sent for the whole transport, and estimates from the peer's reports on those numbers how much the path
//! carries (draft-holmer-rmcat-transport-wide-cc-extensions-01). Only a number comes of it: nothing is paced or held back.
//!
//! The estimate is the `rtc` crate's form of Google congestion control. It grows by 8 % a second where nothing speaks against
//! it, also while much less is sent than would fit; therefore no more than half as much again as the peer received is
//! believed. It falls quickly on a path that is too narrow, and is a lower bound rather than a measurement on a wide one.

use super::{Part, rtcp_of};
use crate::agreement::Agreement;
use crate::codecs::Ssrcs;
use crate::feedback::Feedback;
use rtc::interceptor::{BandwidthEstimator, Gcc, History, Packet, convert_twcc};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, TransportLayerCc};
use rtc::rtp;
use rtc::shared::marshal::MarshalSize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Where the estimate begins, and between what it stays: from speech alone to more than any picture here takes.
const INITIAL_BPS: f64 = 1_000_000.0;
const MIN_BPS: f64 = 50_000.0;
const MAX_BPS: f64 = 20_000_000.0;

/// How long a packet waits for its report.
const REPORT_WAIT: Duration = Duration::from_secs(2);

/// Over how long it is measured what the peer receives.
const WINDOW: Duration = Duration::from_millis(500);

/// Reports that come further apart leave a pause between them, over which nothing can be measured.
const LONGEST_WINDOW: Duration = Duration::from_secs(1);

/// How long an estimate is good for that no report confirms: after that the path may be another one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// Packets that a report may name beyond those that wait for one: what libwebrtc reports a second time because of a late
/// packet is half a second's, and more are not sent in that time at [`MAX_BPS`].
const REPORTED_AGAIN: usize = 1_000;

/// What can be believed beyond what was received, as libwebrtc has it.
const BELIEVED_FACTOR: f64 = 1.5;
const BELIEVED_BPS: f64 = 10_000.0;

pub(crate) struct Bandwidth {
    ssrcs: Ssrcs,
    agreement: watch::Receiver<Agreement>,
    feedback: Arc<Feedback>,
    next_number: u16,
    sent: History,
    estimate: Gcc,
    window: Window,
    /// When the estimate is unknown again.
    forgotten_at: Option<Instant>,
    pruned_at: Instant,
}

/// What the peer received since a moment.
struct Window {
    since: Instant,
    bytes: usize,
}

impl Bandwidth {
    pub(crate) fn new(
        ssrcs: Ssrcs,
        agreement: watch::Receiver<Agreement>,
        feedback: Arc<Feedback>,
        now: Instant,
    ) -> Self {
        Self {
            ssrcs,
            agreement,
            feedback,
            next_number: 0,
            sent: History::new(),
            estimate: Gcc::new(INITIAL_BPS, MIN_BPS, MAX_BPS),
            window: Window { since: now, bytes: 0 },
            forgotten_at: None,
            pruned_at: now,
        }
    }

    fn number(&mut self, now: Instant, packet: &mut rtp::Packet) {
        let Some(track) = self.ssrcs.track_with_retransmissions(packet.header.ssrc) else {
            return;
        };
        let Some(id) = self.agreement.borrow().track(track).sending.and_then(|sending| sending.transport_cc) else {
            return;
        };
        let number = self.next_number;
        if packet.header.set_extension(id, number.to_be_bytes().to_vec().into()).is_err() {
            return;
        }
        self.next_number = number.wrapping_add(1);
        let (ssrc, sequence) = (packet.header.ssrc, packet.header.sequence_number);
        self.sent.add_outgoing(ssrc, sequence, true, number, packet.marshal_size(), now);
        // A peer that never reports must not make the history grow for ever.
        if now.saturating_duration_since(self.pruned_at) > REPORT_WAIT {
            self.pruned_at = now;
            self.sent.prune_before(now.checked_sub(REPORT_WAIT).unwrap_or(now));
        }
    }

    fn reported(&mut self, now: Instant, report: &TransportLayerCc) {
        // A few bytes of run lengths can name more packets than were ever sent.
        if named(report) > self.sent.len() + REPORTED_AGAIN {
            return;
        }
        for acknowledgement in convert_twcc(report).into_iter().take(usize::from(report.packet_status_count)) {
            self.sent.on_twcc_feedback(now, acknowledgement);
        }
        let reports = self.sent.take_reports();
        if reports.is_empty() {
            return;
        }
        self.estimate.on_reports(now, &reports);
        self.window.bytes += reports.iter().filter(|report| report.arrived).map(|report| report.size).sum::<usize>();
        let elapsed = now.saturating_duration_since(self.window.since);
        if elapsed > LONGEST_WINDOW {
            self.window = Window { since: now, bytes: 0 };
        } else if elapsed >= WINDOW {
            let received_bps = self.window.bytes as f64 * 8.0 / elapsed.as_secs_f64();
            self.window = Window { since: now, bytes: 0 };
            let believed = self.estimate.target_bitrate().min(received_bps * BELIEVED_FACTOR + BELIEVED_BPS);
            self.feedback.available_bps.set(believed as u64);
            self.forgotten_at = Some(now + FORGOTTEN_AFTER);
        }
    }
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

    fn sent(&mut self, now: Instant, packet: &mut Packet) {
        if let Packet::Rtp(packet) = packet {
            self.number(now, packet);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.forgotten_at.is_some_and(|at| at <= now) {
            self.forgotten_at = None;
            self.feedback.available_bps.set(0);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.forgotten_at
    }
}
