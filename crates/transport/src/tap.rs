//! Listens to the RTCP that comes in: key frame requests and reception reports about what this side sends. Takes nothing
//! away and adds nothing; repair is done by other interceptors.

use crate::track::Track;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tokio::sync::Notify;

/// What the peer says about the tracks that are sent to it. Written by the tap, read by everyone else.
#[derive(Debug, Default)]
pub(crate) struct Feedback {
    tracks: [TrackFeedback; Track::ALL.len()],
    wanted: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct TrackFeedback {
    key_frame_wanted: AtomicBool,
    pub(crate) key_frame_requests: AtomicU64,
    pub(crate) nacked_packets: AtomicU64,
    pub(crate) packets_lost: AtomicU64,
}

impl Feedback {
    pub(crate) fn track(&self, track: Track) -> &TrackFeedback {
        &self.tracks[track.index()]
    }

    /// Waits until the peer wants a key frame of a track. Requests that come before this is called are kept, one for each track.
    pub(crate) async fn key_frame_wanted(&self) -> Track {
        loop {
            let wanted = self.wanted.notified();
            for track in Track::ALL {
                if self.track(track).key_frame_wanted.swap(false, Relaxed) {
                    // The permit may have stood for several tracks.
                    self.wanted.notify_one();
                    return track;
                }
            }
            wanted.await;
        }
    }

    fn request_key_frame(&self, track: Track) {
        let feedback = self.track(track);
        feedback.key_frame_requests.fetch_add(1, Relaxed);
        feedback.key_frame_wanted.store(true, Relaxed);
        self.wanted.notify_one();
    }
}

/// The interceptor.
pub(crate) struct Tap {
    /// The SSRC that each track is sent under.
    ssrcs: [u32; Track::ALL.len()],
    feedback: Arc<Feedback>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Tap {
    pub(crate) fn new(ssrcs: [u32; Track::ALL.len()], feedback: Arc<Feedback>) -> Self {
        Self { ssrcs, feedback, reads: VecDeque::new(), writes: VecDeque::new() }
    }

    fn listen(&self, packet: &dyn rtcp::Packet) {
        let packet = packet.as_any();
        if let Some(request) = packet.downcast_ref::<PictureLossIndication>() {
            self.key_frame_wanted(request.media_ssrc);
        } else if let Some(request) = packet.downcast_ref::<FullIntraRequest>() {
            request.fir.iter().for_each(|entry| self.key_frame_wanted(entry.ssrc));
        } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            let packets: usize = nack.nacks.iter().map(|pair| pair.packet_list().len()).sum();
            if let Some(track) = self.track(nack.media_ssrc) {
                self.feedback.track(track).nacked_packets.fetch_add(packets as u64, Relaxed);
            }
        } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
            report.reports.iter().for_each(|report| self.reported(report));
        } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
            report.reports.iter().for_each(|report| self.reported(report));
        }
    }

    fn key_frame_wanted(&self, ssrc: u32) {
        if let Some(track) = self.track(ssrc) {
            self.feedback.request_key_frame(track);
        }
    }

    fn reported(&self, report: &ReceptionReport) {
        if let Some(track) = self.track(report.ssrc) {
            self.feedback.track(track).packets_lost.store(u64::from(report.total_lost), Relaxed);
        }
    }

    fn track(&self, ssrc: u32) -> Option<Track> {
        Track::ALL.into_iter().find(|track| self.ssrcs[track.index()] == ssrc)
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &packet.message.packet {
            packets.iter().for_each(|packet| self.listen(packet.as_ref()));
        }
        self.reads.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::rtcp::payload_feedbacks::full_intra_request::FirEntry;
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;

    const SSRCS: [u32; 3] = [10, 20, 30];

    #[tokio::test]
    async fn key_frames_that_are_wanted_are_told_once_for_each_track_and_others_not_at_all() {
        let feedback = Arc::new(Feedback::default());
        let tap = Tap::new(SSRCS, Arc::clone(&feedback));
        tap.listen(&PictureLossIndication { sender_ssrc: 1, media_ssrc: 30 });
        tap.listen(&PictureLossIndication { sender_ssrc: 1, media_ssrc: 30 });
        let entries = [20, 99].map(|ssrc| FirEntry { ssrc, sequence_number: 1 });
        tap.listen(&FullIntraRequest { sender_ssrc: 1, media_ssrc: 0, fir: entries.to_vec() });
        assert_eq!(feedback.key_frame_wanted().await, Track::Camera);
        assert_eq!(feedback.key_frame_wanted().await, Track::Screen);
        let none = tokio::time::timeout(std::time::Duration::ZERO, feedback.key_frame_wanted());
        assert!(none.await.is_err());
        assert_eq!(feedback.track(Track::Screen).key_frame_requests.load(Relaxed), 2);
    }

    #[test]
    fn losses_and_repairs_are_counted_for_their_track() {
        let feedback = Arc::new(Feedback::default());
        let tap = Tap::new(SSRCS, Arc::clone(&feedback));
        let nacks = vec![NackPair { packet_id: 7, lost_packets: 0b101 }];
        tap.listen(&TransportLayerNack { sender_ssrc: 1, media_ssrc: 20, nacks });
        let report = |ssrc, total_lost| ReceptionReport { ssrc, total_lost, ..Default::default() };
        tap.listen(&ReceiverReport { reports: vec![report(10, 4), report(99, 9)], ..Default::default() });
        tap.listen(&SenderReport { reports: vec![report(20, 6)], ..Default::default() });
        let lost = Track::ALL.map(|track| feedback.track(track).packets_lost.load(Relaxed));
        assert_eq!(lost, [4, 6, 0]);
        assert_eq!(feedback.track(Track::Camera).nacked_packets.load(Relaxed), 3);
    }
}
