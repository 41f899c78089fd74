//! The way in of media: a task for each track that comes, which hands its packets to a bounded queue and asks for key frames.

use crate::agreement::Agreement;
use crate::track::{Codec, Track};
use ahoy_rtp::RtpPacket;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{Notify, mpsc, watch};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

/// Video packets that may wait for their reader: a second of 720p at 4 Mb/s.
const VIDEO_QUEUE_PACKETS: usize = 512;

/// Audio packets that may wait for their reader: over two seconds of 10 ms each.
const AUDIO_QUEUE_PACKETS: usize = 256;

/// A packet that came in, and what it is in: a peer may change to another of the codecs that were negotiated at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedPacket {
    /// By its payload type.
    pub codec: Codec,
    /// The packet.
    pub packet: RtpPacket,
}

/// The packets that come in, each track for itself. They come in the order of the network: late, doubled or not at all.
///
/// Where a queue is full the newest packet is dropped and counted in [`TrackStats`](crate::TrackStats).
#[derive(Debug)]
pub struct ReceivedMedia {
    /// The peer's speech.
    pub microphone: mpsc::Receiver<ReceivedPacket>,
    /// The peer's picture.
    pub camera: mpsc::Receiver<ReceivedPacket>,
    /// The peer's screen.
    pub screen: mpsc::Receiver<ReceivedPacket>,
}

/// The way in of one track.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    track: Track,
    queue: mpsc::Sender<ReceivedPacket>,
    agreement: watch::Receiver<Agreement>,
    gauge: Arc<Gauge>,
}

/// What everyone may ask of the way in of one track.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    dropped: AtomicU64,
    unknown: AtomicU64,
    key_frame_wanted: Notify,
}

impl Gauge {
    /// Has the peer asked for a key frame, as soon as its track is there.
    pub(crate) fn request_key_frame(&self) {
        self.key_frame_wanted.notify_one();
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(crate) fn unknown(&self) -> u64 {
        self.unknown.load(Relaxed)
    }
}

/// The ways in of all tracks, and what comes out of them.
pub(crate) fn channels(agreement: &watch::Receiver<Agreement>) -> ([Inlet; Track::ALL.len()], ReceivedMedia) {
    let (microphone, microphone_packets) = mpsc::channel(AUDIO_QUEUE_PACKETS);
    let (camera, camera_packets) = mpsc::channel(VIDEO_QUEUE_PACKETS);
    let (screen, screen_packets) = mpsc::channel(VIDEO_QUEUE_PACKETS);
    let queues = [microphone, camera, screen];
    let inlets = Track::ALL.map(|track| Inlet {
        track,
        queue: queues[track.index()].clone(),
        agreement: agreement.clone(),
        gauge: Arc::default(),
    });
    (inlets, ReceivedMedia { microphone: microphone_packets, camera: camera_packets, screen: screen_packets })
}

enum Step {
    Packet(rtc::rtp::Packet),
    RequestKeyFrame,
    Nothing,
    Ended,
}

impl Inlet {
    pub(crate) fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// Reads `incoming` until it ends. A track that comes again is read by another task.
    pub(crate) fn reader(&self, incoming: Arc<dyn TrackRemote>, own_ssrc: u32) -> impl Future<Output = ()> + use<> {
        self.clone().run(incoming, own_ssrc)
    }

    async fn run(self, incoming: Arc<dyn TrackRemote>, own_ssrc: u32) {
        let mut ssrc = incoming.ssrcs().await.first().copied();
        loop {
            let step = tokio::select! {
                event = incoming.poll() => match event {
                    Some(TrackRemoteEvent::OnRtpPacket(packet)) => Step::Packet(packet),
                    Some(_) => Step::Nothing,
                    None => Step::Ended,
                },
                () = self.gauge.key_frame_wanted.notified() => Step::RequestKeyFrame,
            };
            match step {
                Step::Packet(packet) => {
                    ssrc = Some(packet.header.ssrc);
                    self.hand_over(packet);
                }
                Step::RequestKeyFrame => {
                    let Some(media_ssrc) = ssrc else {
                        continue;
                    };
                    let request = PictureLossIndication { sender_ssrc: own_ssrc, media_ssrc };
                    if let Err(error) = incoming.write_rtcp(vec![Box::new(request)]).await {
                        tracing::debug!(%error, "a key frame could not be asked for");
                    }
                }
                Step::Nothing => {}
                Step::Ended => return,
            }
        }
    }

    fn hand_over(&self, packet: rtc::rtp::Packet) {
        let payload_type = packet.header.payload_type;
        let Some(codec) = self.agreement.borrow().track(self.track).receiving.codec(payload_type) else {
            self.gauge.unknown.fetch_add(1, Relaxed);
            return;
        };
        let packet = RtpPacket {
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            payload: packet.payload,
        };
        if self.queue.try_send(ReceivedPacket { codec, packet }).is_err() {
            self.gauge.dropped.fetch_add(1, Relaxed);
        }
    }
}
