//! The way out of media: a bounded queue for each track, emptied into the peer connection by a task of its own, so that
//! neither a codec's thread nor another track ever waits.

use crate::track::{Codec, Track};
use ahoy_rtp::RtpPacket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
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

/// What was negotiated for a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) codec: Codec,
    pub(crate) payload_type: u8,
}

/// Sends the packets of one track.
#[derive(Clone, Debug)]
pub struct MediaSender {
    queue: mpsc::Sender<RtpPacket>,
    negotiated: watch::Receiver<Option<Negotiated>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path_is_up: Arc<AtomicBool>,
    dropped: AtomicU64,
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
        if !self.shared.path_is_up.load(Relaxed) || self.negotiated.borrow().is_none() {
            return Err(SendError::NotReady);
        }
        self.queue.try_send(packet).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.shared.dropped.fetch_add(1, Relaxed);
                SendError::Full
            }
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// The codec that the peer takes on this track, if it takes it at all.
    pub fn codec(&self) -> Option<Codec> {
        self.negotiated.borrow().map(|negotiated| negotiated.codec)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }
}

/// The other end of a [`MediaSender`].
pub(crate) struct Outlet {
    pub(crate) negotiated: watch::Sender<Option<Negotiated>>,
    pub(crate) pump: Pump,
}

/// Takes packets from the queue to the peer connection.
pub(crate) struct Pump {
    track: Track,
    ssrc: u32,
    queue: mpsc::Receiver<RtpPacket>,
    negotiated: watch::Receiver<Option<Negotiated>>,
    outgoing: Arc<TrackLocalStaticRTP>,
}

/// The two ends of the way out for `track`.
pub(crate) fn channel(
    track: Track,
    ssrc: u32,
    outgoing: Arc<TrackLocalStaticRTP>,
    path_is_up: Arc<AtomicBool>,
) -> (MediaSender, Outlet) {
    let (queue, packets) = mpsc::channel(QUEUE_PACKETS);
    let (negotiated, seen) = watch::channel(None);
    let shared = Arc::new(Shared { path_is_up, dropped: AtomicU64::new(0) });
    let sender = MediaSender { queue, negotiated: seen.clone(), shared };
    let pump = Pump { track, ssrc, queue: packets, negotiated: seen, outgoing };
    (sender, Outlet { negotiated, pump })
}

impl Pump {
    /// Runs until every sender is gone, or the peer connection.
    pub(crate) async fn run(mut self) {
        while let Some(packet) = self.queue.recv().await {
            let Some(negotiated) = *self.negotiated.borrow() else {
                continue;
            };
            let packet = rtc::rtp::Packet {
                header: rtc::rtp::Header {
                    version: 2,
                    marker: packet.marker,
                    payload_type: negotiated.payload_type,
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
    use crate::codecs::{Ssrcs, outgoing_track};
    use bytes::Bytes;

    #[test]
    fn a_full_queue_refuses_and_counts_instead_of_waiting() {
        let outgoing = Arc::new(TrackLocalStaticRTP::new(outgoing_track(Track::Camera, &Ssrcs::random())));
        let path_is_up = Arc::new(AtomicBool::new(false));
        let (sender, outlet) = channel(Track::Camera, 1, outgoing, Arc::clone(&path_is_up));
        let packet = RtpPacket { sequence: 1, timestamp: 1, marker: true, payload: Bytes::new() };
        assert_eq!(sender.send(packet.clone()), Err(SendError::NotReady));
        outlet.negotiated.send_replace(Some(Negotiated { codec: Codec::H264, payload_type: 102 }));
        assert_eq!(sender.send(packet.clone()), Err(SendError::NotReady));
        path_is_up.store(true, Relaxed);
        for _ in 0..QUEUE_PACKETS {
            assert_eq!(sender.send(packet.clone()), Ok(()));
        }
        assert_eq!(sender.send(packet.clone()), Err(SendError::Full));
        assert_eq!(sender.dropped(), 1);
        drop(outlet);
        assert_eq!(sender.send(packet), Err(SendError::Closed));
    }
}
