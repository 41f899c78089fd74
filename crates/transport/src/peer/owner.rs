//! The one task that owns a peer connection's other tasks: it starts them, turns states into events, and closes everything
//! when it is told to, or when nobody is left to tell it.

use super::Shared;
use super::handler::Teller;
use crate::candidate::CandidateKind;
use crate::event::PathState;
use crate::feedback::Feedback;
use crate::network::Network;
use crate::receive::Inlet;
use crate::send::Pump;
use crate::sockets::{News, Sockets, Streams};
use crate::stats::{self, Selected};
use crate::track::Track;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit, RTCPeerConnectionState, StatsSelector};

/// How often and with which pauses the selected pair of a connection that is up is asked for.
const SELECTED_TRIES: u32 = 20;
const SELECTED_PAUSE: Duration = Duration::from_millis(25);

/// How long the peer may answer no check of ours, sixteen of them, before the path is called lost: media may come in over a path
/// that carries nothing out.
const UNANSWERED: Duration = Duration::from_secs(8);
const CONSENT_LOOKS: Duration = Duration::from_secs(1);

/// For what the peer connection can tell at once.
const REQUEST_DEADLINE: Duration = Duration::from_secs(1);

/// The peer connection itself waits for no more than a tenth of this.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// Data channels that a peer may open in all, beside the one that both know of. Ours open none. Whatever is done with one, the
/// peer connection remembers each for as long as it lives, with a name that the peer chose.
const STRAYS_MAX: usize = 8;

pub(super) struct Owner {
    pub(super) connection: Arc<dyn PeerConnection>,
    /// Any of the tracks that are sent.
    pub(super) outgoing: Arc<TrackLocalStaticRTP>,
    pub(super) peer: Weak<Shared>,
    pub(super) close: watch::Receiver<bool>,
    pub(super) state: watch::Receiver<RTCPeerConnectionState>,
    pub(super) paths: watch::Sender<PathState>,
    pub(super) path_is_up: Arc<AtomicBool>,
    pub(super) tracks: mpsc::Receiver<Arc<dyn TrackRemote>>,
    pub(super) channels: mpsc::Receiver<Arc<dyn DataChannel>>,
    pub(super) inlets: [Inlet; Track::ALL.len()],
    /// Under which feedback is given.
    pub(super) own_ssrc: u32,
    pub(super) feedback: Arc<Feedback>,
    /// What paths carried in earlier connections.
    pub(super) known_rates: Vec<(Network, u64)>,
    pub(super) sockets: Arc<Sockets>,
    /// Tells the peer of candidates.
    pub(super) teller: Teller,
    /// Of the way over TCP. None comes where only relays may be used.
    pub(super) news: mpsc::Receiver<News>,
    /// What the peer connection says, while that is that there is a path.
    pub(super) connected: Option<Connected>,
    /// Data channels that the peer opened.
    pub(super) strays: usize,
}

/// A path that the peer connection believes in.
pub(super) struct Connected {
    since: Instant,
    path: PathState,
    remote: Option<SocketAddr>,
    is_answered: bool,
}

enum Step {
    Close,
    State,
    Look,
    News(News),
    Track(Arc<dyn TrackRemote>),
    Channel(Arc<dyn DataChannel>),
    TaskEnded(task::Id),
}

impl Owner {
    /// Runs until the connection is closed. `over_tcp` looks for paths over TCP, `control` reads the control channel.
    pub(super) async fn run(
        mut self,
        pumps: Vec<Pump>,
        over_tcp: Option<impl Future<Output = ()> + Send + 'static>,
        control: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut tasks = JoinSet::new();
        for pump in pumps {
            tasks.spawn(pump.run());
        }
        tasks.spawn(control);
        if let Some(over_tcp) = over_tcp {
            tasks.spawn(over_tcp);
        }
        let driver = tasks.spawn(driver_ends(Arc::clone(&self.outgoing))).id();
        let mut looks = interval(CONSENT_LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let step = tokio::select! {
                // An error means that no handle is left.
                _ = self.close.wait_for(|close| *close) => Step::Close,
                Ok(()) = self.state.changed() => Step::State,
                _ = looks.tick() => Step::Look,
                Some(news) = self.news.recv() => Step::News(news),
                Some(track) = self.tracks.recv() => Step::Track(track),
                Some(channel) = self.channels.recv() => Step::Channel(channel),
                Some(ended) = tasks.join_next_with_id() => {
                    Step::TaskEnded(ended.map_or_else(|error| error.id(), |(id, ())| id))
                }
            };
            match step {
                Step::Close => break,
                Step::State => self.state_changed().await,
                Step::Look => self.look_for_consent(),
                Step::News(News::Own(attribute)) => self.teller.candidate(attribute),
                Step::News(News::Reached(attribute)) => self.peer_reached(attribute).await,
                Step::Track(track) => self.track_arrived(track, &mut tasks).await,
                Step::Channel(channel) => self.channel_arrived(channel, &mut tasks).await,
                Step::TaskEnded(task) if task == driver => self.path_changed(PathState::Failed, None),
                Step::TaskEnded(_) => {}
            }
        }
        self.path_is_up.store(false, Relaxed);
        match tokio::time::timeout(CLOSE_DEADLINE, self.connection.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "closing the peer connection failed"),
            Err(_) => tracing::warn!("closing the peer connection took too long"),
        }
        tasks.shutdown().await;
        self.paths.send_replace(PathState::Closed);
    }

    async fn state_changed(&mut self) {
        let state = *self.state.borrow_and_update();
        let mut remote = None;
        let path = match state {
            RTCPeerConnectionState::Connecting => PathState::Connecting,
            RTCPeerConnectionState::Connected => {
                self.measure_round_trip().await;
                let selected = self.selected().await;
                self.recall_rate(selected);
                remote = selected.and_then(|pair| pair.remote);
                PathState::Connected { path: selected.map_or(CandidateKind::Prflx, |pair| pair.path) }
            }
            RTCPeerConnectionState::Disconnected => PathState::Disconnected,
            RTCPeerConnectionState::Failed => PathState::Failed,
            // The last is told by closing itself.
            _ => return,
        };
        let is_up = matches!(path, PathState::Connected { .. });
        self.connected = is_up.then(|| Connected { since: Instant::now(), path, remote, is_answered: true });
        self.path_changed(path, remote);
    }

    /// Whether the peer still answers, whatever else comes from it.
    fn look_for_consent(&mut self) {
        let Some(connected) = &mut self.connected else { return };
        let last = self.sockets.answered_at().map_or(connected.since, |answered| answered.max(connected.since));
        let is_answered = last.elapsed() < UNANSWERED;
        if std::mem::replace(&mut connected.is_answered, is_answered) != is_answered {
            let (path, remote) =
                if is_answered { (connected.path, connected.remote) } else { (PathState::Disconnected, None) };
            self.path_changed(path, remote);
        }
    }

    /// The peer is at `remote` if there is a path.
    fn path_changed(&self, path: PathState, remote: Option<SocketAddr>) {
        let up = match path {
            PathState::Connected { .. } => true,
            // What is sent now may still arrive, if there was a connection; or, during a restart of ICE, be asked for again
            // as soon as there is a new one.
            PathState::Disconnected | PathState::Connecting => self.path_is_up.load(Relaxed),
            PathState::New | PathState::Failed | PathState::Closed => false,
        };
        self.path_is_up.store(up, Relaxed);
        self.sockets.path_changed(matches!(path, PathState::Connected { .. }), remote);
        tracing::info!(?path, tcp = remote.is_some_and(Streams::is_virtual), "path");
        self.paths.send_replace(path);
    }

    /// The peer was connected to over TCP: from now on it is a candidate like any other.
    async fn peer_reached(&self, attribute: String) {
        let candidate = RTCIceCandidateInit { candidate: attribute, ..Default::default() };
        let added = tokio::time::timeout(REQUEST_DEADLINE, self.connection.add_ice_candidate(candidate)).await;
        match added {
            Ok(Ok(())) => self.sockets.candidate_added(),
            Ok(Err(error)) => tracing::debug!(%error, "a way over TCP is not used"),
            Err(_) => tracing::debug!("a way over TCP could not be added in time"),
        }
    }

    /// Until the first reports say more, a lost packet is asked for again after the round trip time that ICE measured.
    async fn measure_round_trip(&self) {
        let report = self.connection.get_stats(Instant::now(), StatsSelector::None);
        if let Ok(report) = tokio::time::timeout(REQUEST_DEADLINE, report).await
            && let Some(round_trip) = stats::round_trip(&report)
        {
            self.feedback.set_round_trip(round_trip);
        }
    }

    /// Before anything is sent on a path: where its estimate begins, if it was used before.
    fn recall_rate(&self, selected: Option<Selected>) {
        let Some(network) = selected.and_then(|pair| pair.network) else { return };
        let Some((_, bps)) = self.known_rates.iter().find(|(known, _)| *known == network) else { return };
        tracing::debug!(bps, "the path carried this in an earlier connection");
        self.feedback.congestion(Instant::now()).start_from(*bps);
    }

    /// The pair in use. A connection that is up has one, but it may take a moment to be told.
    async fn selected(&self) -> Option<Selected> {
        for _ in 0..SELECTED_TRIES {
            if let Some(selected) = self.selected_now().await {
                return Some(selected);
            }
            tokio::time::sleep(SELECTED_PAUSE).await;
        }
        tracing::warn!("the connection is up, but which candidates it uses is not told");
        None
    }

    async fn selected_now(&self) -> Option<Selected> {
        let peer = self.peer.upgrade()?;
        let negotiation = peer.negotiation.lock().await;
        stats::selected(&peer.transport_senders, |address| negotiation.signalled_kind(address)).await
    }

    async fn track_arrived(&self, incoming: Arc<dyn TrackRemote>, tasks: &mut JoinSet<()>) {
        let name = incoming.track_id().await;
        match Track::from_name(&name) {
            Some(track) => {
                tasks.spawn(self.inlets[track.index()].reader(incoming, self.own_ssrc));
            }
            None => tracing::debug!("a track beyond those that are known is not read"),
        }
    }

    /// The peer opened a data channel that nobody here knows. It is closed, and until then what comes over it is read away:
    /// nobody else does, and it would be kept.
    async fn channel_arrived(&mut self, channel: Arc<dyn DataChannel>, tasks: &mut JoinSet<()>) {
        self.strays += 1;
        if self.strays <= STRAYS_MAX {
            if tokio::time::timeout(CLOSE_DEADLINE, channel.close()).await.is_err() {
                tracing::debug!("an unknown data channel could not be closed");
            }
            tasks
                .spawn(async move { while !matches!(channel.poll().await, None | Some(DataChannelEvent::OnClose)) {} });
        } else if self.strays == STRAYS_MAX + 1 {
            tracing::warn!("the peer opens one data channel after the other; the connection is given up");
            self.path_changed(PathState::Failed, None);
            if tokio::time::timeout(CLOSE_DEADLINE, self.connection.close()).await.is_err() {
                tracing::warn!("closing the peer connection took too long");
            }
        }
    }
}

/// Waits until the peer connection's own task is gone, be it because of an error that it does not tell otherwise: the feedback
/// about tracks that are sent ends with it.
async fn driver_ends(outgoing: Arc<TrackLocalStaticRTP>) {
    while outgoing.poll().await.is_some() {}
}
