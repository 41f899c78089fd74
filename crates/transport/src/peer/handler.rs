//! The callbacks of the peer connection. They run on its own task, so they hand over and return: nothing here waits.

use crate::candidate::{self, Candidate};
use crate::description::BundleTag;
use crate::event::PeerEvent;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionIceEvent, RTCPeerConnectionState,
};

/// Tracks or stray data channels that wait for the owner; a peer that opens more at once loses some.
const QUEUE_ARRIVALS: usize = 32;

/// The description that our candidates belong to, and which of them were told.
#[derive(Debug, Default)]
pub(super) struct Generation {
    ufrag: String,
    tag: BundleTag,
    told: HashSet<String>,
    ended: bool,
}

impl Generation {
    /// Begins anew if `ufrag` is a new one; a renegotiation that keeps it keeps its candidates.
    pub(super) fn begin(&mut self, ufrag: String, tag: BundleTag) {
        if self.ufrag != ufrag {
            *self = Self { ufrag, tag, ..Self::default() };
        }
    }

    /// The event for a candidate, unless it was told before.
    fn candidate(&mut self, attribute: String) -> Option<PeerEvent> {
        self.told.insert(attribute.clone()).then(|| {
            PeerEvent::Candidate(Candidate {
                candidate: attribute,
                mid: Some(self.tag.mid.clone()),
                line_index: Some(self.tag.line_index),
                ufrag: Some(self.ufrag.clone()),
            })
        })
    }

    /// The event for the end of candidates, unless it was told before.
    fn end(&mut self) -> Option<PeerEvent> {
        (!std::mem::replace(&mut self.ended, true))
            .then(|| PeerEvent::EndOfCandidates { mid: self.tag.mid.clone(), ufrag: self.ufrag.clone() })
    }
}

/// Tells of our candidates, each once.
#[derive(Clone)]
pub(super) struct Teller {
    events: mpsc::Sender<PeerEvent>,
    generation: Arc<Mutex<Generation>>,
    loopback: bool,
}

impl Teller {
    pub(super) fn new(events: mpsc::Sender<PeerEvent>, generation: Arc<Mutex<Generation>>, loopback: bool) -> Self {
        Self { events, generation, loopback }
    }

    /// One of our own, if a peer can use it.
    pub(super) fn candidate(&self, attribute: String) {
        match candidate::check(&attribute, self.loopback) {
            Ok(checked) => self.tell(|generation| generation.candidate(checked.attribute)),
            Err(error) => tracing::debug!(%error, "a candidate of our own is of no use to a peer"),
        }
    }

    fn tell(&self, event: impl FnOnce(&mut Generation) -> Option<PeerEvent>) {
        let event = event(&mut self.generation.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(event) = event
            && self.events.try_send(event).is_err()
        {
            tracing::warn!("nobody reads the candidates; one is lost");
        }
    }
}

/// Hands over what the peer connection says.
pub(super) struct Handler {
    states: watch::Sender<RTCPeerConnectionState>,
    teller: Teller,
    tracks: mpsc::Sender<Arc<dyn TrackRemote>>,
    channels: mpsc::Sender<Arc<dyn DataChannel>>,
}

impl Handler {
    /// The handler, and where tracks and data channels of the peer's come out.
    #[allow(clippy::type_complexity, reason = "three parts that go three ways")]
    pub(super) fn new(
        states: watch::Sender<RTCPeerConnectionState>,
        teller: Teller,
    ) -> (Self, mpsc::Receiver<Arc<dyn TrackRemote>>, mpsc::Receiver<Arc<dyn DataChannel>>) {
        let (tracks, arrived_tracks) = mpsc::channel(QUEUE_ARRIVALS);
        let (channels, arrived_channels) = mpsc::channel(QUEUE_ARRIVALS);
        (Self { states, teller, tracks, channels }, arrived_tracks, arrived_channels)
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(candidate) = event.candidate.to_json() {
            self.teller.candidate(candidate.candidate);
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.teller.tell(Generation::end);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.states.send_replace(state);
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        if self.channels.try_send(channel).is_err() {
            tracing::debug!("the peer opens data channels faster than they can be closed");
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        if self.tracks.try_send(track).is_err() {
            tracing::debug!("the peer opens tracks faster than they can be read");
        }
    }
}
