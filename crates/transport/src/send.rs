//! The way out of media: a bounded queue for each track, emptied into the peer connection by a task of its own, so that
//! neither a codec's thread nor another track ever waits.

use crate::agreement::{Agreement, Sending};
use crate::congestion::PictureBudget;
use crate::feedback::{Captured, Feedback};
use crate::track::{Codec, Track};
use ahoy_rtp::{MAX_PAYLOAD_BYTES, RtpPacket, Slabs, red};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

/// Packets that may wait: more than the largest key frame has, and five seconds of sound.
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

/// What a peer's report says of a track that is sent to it (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reported {
    /// Counts the reports.
    pub number: u64,
    /// The share of packets that was lost since the report before, from 0 to 1.
    pub lost: f32,
    /// To the peer and back.
    pub round_trip: Option<Duration>,
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
    /// Where packets with copies are written.
    memory: Mutex<Slabs>,
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
        let sending = self.sending()?;
        self.enqueue(Outgoing { payload_type: sending.payload_type, packet })
    }

    /// The same with copies of earlier packets, oldest first, or without where the peer takes none or they do not fit.
    ///
    /// # Errors
    ///
    /// [`SendError`]; in each case the packet is gone.
    pub fn send_with_copies(&self, packet: RtpPacket, copies: &[red::Copy]) -> Result<(), SendError> {
        let sending = self.sending()?;
        let Some(payload_type) = sending.red_payload_type.filter(|_| !copies.is_empty()) else {
            return self.enqueue(Outgoing { payload_type: sending.payload_type, packet });
        };
        let joined = {
            // A thread that panicked has left it as it was.
            let mut memory = self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner);
            red::join(sending.payload_type, copies, &packet.payload, &mut memory)
        };
        self.enqueue(match joined.filter(|joined| joined.len() <= MAX_PAYLOAD_BYTES) {
            Some(payload) => Outgoing { payload_type, packet: RtpPacket { payload, ..packet } },
            None => Outgoing { payload_type: sending.payload_type, packet },
        })
    }

    fn sending(&self) -> Result<Sending, SendError> {
        if self.queue.is_closed() {
            return Err(SendError::Closed);
        }
        let sending = self.agreement.borrow().track(self.track).sending;
        sending.filter(|_| self.shared.path_is_up.load(Relaxed)).ok_or(SendError::NotReady)
    }

    fn enqueue(&self, outgoing: Outgoing) -> Result<(), SendError> {
        self.queue.try_send(outgoing).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.shared.dropped.fetch_add(1, Relaxed);
                SendError::Full
            }
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// What the peer's newest report says of this track, and how long the path takes there and back, if that is known.
    pub fn reported(&self) -> Option<Reported> {
        let report = self.shared.feedback.track(self.track).remote()?;
        let (lost, number) = (f32::from(report.lost_of_256) / 256.0, report.number);
        Some(Reported { number, lost, round_trip: self.shared.feedback.round_trip() })
    }

    /// What may be spent on the next picture, by what the path carries now. `None` where the peer does not report on single
    /// packets (`transport-cc`): then nothing is known of it.
    pub fn picture_budget(&self) -> Option<PictureBudget> {
        self.agreement.borrow().track(self.track).sending?.transport_cc?;
        Some(self.shared.feedback.congestion(Instant::now()).picture_budget())
    }

    /// What the voice may take, in bits a second with all headers; `None` while nothing is known of the path.
    pub fn voice_budget_bps(&self) -> Option<u32> {
        self.shared.feedback.congestion(Instant::now()).voice_budget_bps()
    }

    /// How long the path takes there and back, by the newest measurement of RTCP or ICE.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.feedback.round_trip()
    }

    /// Whether the peer takes packets with copies of earlier ones (RFC 2198).
    pub fn takes_copies(&self) -> bool {
        self.agreement.borrow().track(self.track).sending.is_some_and(|sending| sending.red_payload_type.is_some())
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
    let shared = Arc::new(Shared { path_is_up, feedback, dropped: AtomicU64::new(0), memory: Mutex::default() });
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
    use crate::agreement::TrackAgreement;
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
        let sending = Sending {
            codec: Codec::H264,
            payload_type: 102,
            rtx_payload_type: None,
            red_payload_type: None,
            nack: false,
            transport_cc: None,
        };
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
