//! The way out of media: a bounded queue for each track, emptied into the peer connection by a task of its own, so that
//! neither a codec's thread nor another track ever waits.

use crate::agreement::Agreement;
use crate::feedback::{Captured, Feedback};
use crate::track::{Codec, Track};
use ahoy_rtp::RtpPacket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

/// Packets that may wait: more than the largest key frame has, and ten seconds of sound.
const QUEUE_PACKETS: usize = 512;

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// There is no path, or the peer does not take this track.
    #[error("the peer does not take this track now")]
    NotReady,
    /// The queue is full. The packet is lost, and counted.
    #[error("packets are made faster than they can be sent")]
    Full,
    /// The peer connection is closed.
    #[error("the peer connection is closed")]
    Closed,
}

/// Sends the packets of one track.
#[derive(Clone, Debug)]
pub struct MediaSender {
    track: Track,
    queue: mpsc::Sender<Outgoing>,
    agreement: watch::Receiver<Agreement>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path_is_up: Arc<AtomicBool>,
    feedback: Arc<Feedback>,
    dropped: AtomicU64,
}

/// A packet with the payload type that stood for its codec when it was handed over.
#[derive(Debug)]
struct Outgoing {
    payload_type: u8,
    packet: RtpPacket,
}

impl MediaSender {
    /// Hands a packet over for sending, with the numbers it has. Never blocks, and works on any thread.
    ///
    /// # Errors
    ///
    /// [`SendError`]; in each case the packet is gone.
    pub fn send(&self, packet: RtpPacket) -> Result<(), SendError> {
        if self.queue.is_closed() {
            return Err(SendError::Closed);
        }
        let sending = self.agreement.borrow().track(self.track).sending;
        let Some(sending) = sending.filter(|_| self.shared.path_is_up.load(Relaxed)) else {
            return Err(SendError::NotReady);
        };
        self.queue.try_send(Outgoing { payload_type: sending.payload_type, packet }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.shared.dropped.fetch_add(1, Relaxed);
                SendError::Full
            }
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// The codec that the peer takes on this track, if it takes it at all.
    pub fn codec(&self) -> Option<Codec> {
        self.agreement.borrow().track(self.track).sending.map(|sending| sending.codec)
    }

    /// Tells that what is sent with the time stamp `rtp` was captured `at` that moment; the newest word holds. Sender reports
    /// carry it to the peer, who plays sound and picture together by it (RFC 3550 §6.4.1). Where nothing is ever told, they
    /// take the moment of sending for that of capture, and sound and picture come apart by what their encoders take.
    pub fn set_captured(&self, rtp: u32, at: Instant) {
        self.shared.feedback.track(self.track).set_captured(Captured { at, rtp });
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }
}

/// Takes packets from the queue to the peer connection.
pub(crate) struct Pump {
    track: Track,
    ssrc: u32,
    queue: mpsc::Receiver<Outgoing>,
    outgoing: Arc<TrackLocalStaticRTP>,
}

/// The two ends of the way out for `track`.
pub(crate) fn channel(
    track: Track,
    ssrc: u32,
    outgoing: Arc<TrackLocalStaticRTP>,
    agreement: watch::Receiver<Agreement>,
    path_is_up: Arc<AtomicBool>,
    feedback: Arc<Feedback>,
) -> (MediaSender, Pump) {
    let (queue, packets) = mpsc::channel(QUEUE_PACKETS);
    let shared = Arc::new(Shared { path_is_up, feedback, dropped: AtomicU64::new(0) });
    let sender = MediaSender { track, queue, agreement, shared };
    (sender, Pump { track, ssrc, queue: packets, outgoing })
}

impl Pump {
    /// Runs until every sender is gone, or the peer connection.
    pub(crate) async fn run(mut self) {
        while let Some(Outgoing { payload_type, packet }) = self.queue.recv().await {
            let packet = rtc::rtp::Packet {
                header: rtc::rtp::Header {
                    version: 2,
                    marker: packet.marker,
                    payload_type,
                    sequence_number: packet.sequence,
                    timestamp: packet.timestamp,
                    ssrc: self.ssrc,
                    ..Default::default()
                },
                payload: packet.payload,
            };
            if let Err(error) = self.outgoing.write_rtp(packet).await {
                tracing::debug!(track = ?self.track, %error, "the peer connection takes no more packets");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::{Sending, TrackAgreement};
    use crate::codecs::{Ssrcs, outgoing_track};
    use crate::wall_clock::WallClock;
    use bytes::Bytes;

    #[test]
    fn a_full_queue_refuses_and_counts_instead_of_waiting() {
        let outgoing = Arc::new(TrackLocalStaticRTP::new(outgoing_track(Track::Camera, &Ssrcs::random())));
        let path_is_up = Arc::new(AtomicBool::new(false));
        let (agreed, agreement) = watch::channel(Agreement::default());
        let feedback = Arc::new(Feedback::new(WallClock::new(Instant::now())));
        let (sender, pump) = channel(Track::Camera, 1, outgoing, agreement, Arc::clone(&path_is_up), feedback);
        let packet = RtpPacket { sequence: 1, timestamp: 1, marker: true, payload: Bytes::new() };
        assert_eq!(sender.send(packet.clone()), Err(SendError::NotReady));
        let sending =
            Sending { codec: Codec::H264, payload_type: 102, rtx_payload_type: None, nack: false, transport_cc: None };
        agreed.send_replace(Agreement::new(|_| TrackAgreement { sending: Some(sending), ..Default::default() }));
        assert_eq!(sender.send(packet.clone()), Err(SendError::NotReady));
        path_is_up.store(true, Relaxed);
        for _ in 0..QUEUE_PACKETS {
            assert_eq!(sender.send(packet.clone()), Ok(()));
        }
        assert_eq!(sender.send(packet.clone()), Err(SendError::Full));
        assert_eq!(sender.dropped(), 1);
        drop(pump);
        assert_eq!(sender.send(packet), Err(SendError::Closed));
    }
}
