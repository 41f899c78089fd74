//! The handle of one peer connection: negotiation, candidates and the control channel. The rules of when to do what are
//! the caller's; this sees to it that nothing unsound reaches the peer connection, and that every wait ends.

mod config;
mod connection;
mod error;
mod handler;
mod negotiation;
mod owner;
mod renewal;

use crate::agreement::Agreement;
use crate::candidate::{self, Candidate, CandidateError};
use crate::codecs::{self, Ssrcs};
use crate::control::MAX_CONTROL_BYTES;
use crate::description::{
    DescriptionKind, DtlsRole, LocalDescription, Renumbering, publish, read, renumber, renumberings, write_anew,
};
use crate::event::{PathState, PeerEvents};
use crate::feedback::Feedback;
use crate::receive::{self, Gauge, Inlet, ReceivedMedia};
use crate::send::{self, MediaSender};
use crate::sockets::{Attempt, Sockets};
use crate::stats::{self, PeerStats};
use crate::track::Track;
use crate::wall_clock::WallClock;
use ahoy_rtp::SenderReport;
pub use config::{IceServer, PeerConfig};
use connection::Knowledge;
pub use error::TransportError;
use handler::{Generation, Handler, Teller};
use negotiation::{Negotiation, PendingOffer};
use owner::Owner;
use rtc::peer_connection::configuration::RTCOfferOptions;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{MutexGuard, mpsc, watch};
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{
    PeerConnection, RTCIceCandidateInit, RTCPeerConnectionState, RTCSessionDescription, StatsSelector,
};
use webrtc::rtp_transceiver::RtpSender;

/// How long any one request to the peer connection may take. They are all local work.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long closing waits for the peer to take what was said last.
const LAST_WORDS: Duration = Duration::from_secs(1);
const LAST_WORDS_POLL: Duration = Duration::from_millis(5);

/// Candidates that wait for their reader: more than any machine's interfaces and servers make.
const QUEUE_CANDIDATES: usize = 256;

/// Of the way over TCP: two candidates for each of some addresses, and as many of the peer's.
const QUEUE_NEWS: usize = 32;

/// Candidates that are taken from a peer for one description.
const MAX_REMOTE_CANDIDATES: usize = 128;

/// One peer connection. Cheap to clone; when the last clone is dropped the connection is closed.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Arc<dyn PeerConnection>,
    control: Arc<dyn DataChannel>,
    /// Lead to the transport that all sections share.
    transport_senders: Vec<Arc<dyn RtpSender>>,
    loopback: bool,
    sockets: Arc<Sockets>,
    relay_only: bool,
    negotiation: tokio::sync::Mutex<Negotiation>,
    generation: Arc<Mutex<Generation>>,
    senders: [MediaSender; Track::ALL.len()],
    gauges: [Arc<Gauge>; Track::ALL.len()],
    feedback: Arc<Feedback>,
    path: watch::Receiver<PathState>,
    /// Tells the owner to close: by `true`, or by being dropped.
    closing: watch::Sender<bool>,
}

impl Peer {
    /// Opens a peer connection: sockets are bound, nothing is sent yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When no socket can be bound, or only relays may be used and none can be.
    pub async fn open(config: PeerConfig) -> Result<(Self, PeerEvents, ReceivedMedia), TransportError> {
        let ssrcs = Ssrcs::random();
        let feedback = Arc::new(Feedback::new(WallClock::new(Instant::now())));
        let (agreed, agreement) = watch::channel(Agreement::default());
        let knowledge = Knowledge { ssrcs, agreement: agreement.clone(), feedback: Arc::clone(&feedback) };
        let generation = Arc::new(Mutex::new(Generation::default()));
        let (local_events, local) = mpsc::channel(QUEUE_CANDIDATES);
        let (states, state) = watch::channel(RTCPeerConnectionState::New);
        let teller = Teller::new(local_events, Arc::clone(&generation), config.loopback);
        let (handler, tracks, channels) = Handler::new(states, teller.clone());
        let built = connection::build(&config, &knowledge, Arc::new(handler)).await?;

        let path_is_up = Arc::new(AtomicBool::new(false));
        let outlets = Track::ALL.map(|track| {
            let outgoing = Arc::clone(&built.tracks[track.index()]);
            let (path_is_up, feedback) = (Arc::clone(&path_is_up), Arc::clone(&feedback));
            send::channel(track, ssrcs.media[track.index()], outgoing, agreement.clone(), path_is_up, feedback)
        });
        let senders = outlets.each_ref().map(|(sender, _)| sender.clone());
        let pumps = outlets.into_iter().map(|(_, pump)| pump).collect();
        let (inlets, media) = receive::channels(&agreement);
        let (control_events, control) = mpsc::channel(crate::control::QUEUE_TEXTS);
        let (paths, path) = watch::channel(PathState::New);
        let (closing, close) = watch::channel(false);
        let (told, news) = mpsc::channel(QUEUE_NEWS);

        let shared = Arc::new(Shared {
            connection: Arc::clone(&built.connection),
            control: Arc::clone(&built.control),
            transport_senders: built.senders,
            loopback: config.loopback,
            sockets: Arc::clone(&built.sockets),
            relay_only: config.relay_only,
            negotiation: tokio::sync::Mutex::new(Negotiation::new(
                config.video_codecs,
                agreed,
                Arc::clone(&built.sockets),
            )),
            generation,
            senders,
            gauges: inlets.each_ref().map(Inlet::gauge),
            feedback: Arc::clone(&feedback),
            path: path.clone(),
            closing,
        });
        let owner = Owner {
            connection: built.connection,
            outgoing: Arc::clone(&built.tracks[0]),
            peer: Arc::downgrade(&shared),
            close,
            state,
            paths,
            path_is_up,
            tracks,
            channels,
            inlets,
            own_ssrc: ssrcs.feedback(),
            feedback: Arc::clone(&feedback),
            known_rates: config.known_rates,
            sockets: Arc::clone(&built.sockets),
            teller,
            news,
            connected: None,
            strays: 0,
        };
        // A relay alone may know where this machine is.
        let over_tcp = (!config.relay_only).then(|| Arc::clone(built.sockets.streams()).run(told));
        let reads = crate::control::run(built.control, built.sockets, control_events);
        tokio::spawn(owner.run(pumps, over_tcp, reads));
        Ok((Self { shared }, PeerEvents { local, control, path, feedback }, media))
    }

    /// Makes an offer and sets it: microphone, camera, screen, data channels, and what the peer offered beyond that.
    /// Candidates follow as events; they belong after the offer.
    ///
    /// # Errors
    ///
    /// When the connection is closed, or an offer is pending.
    pub async fn make_offer(&self, ice_restart: bool) -> Result<String, TransportError> {
        let shared = &self.shared;
        let mut negotiation = shared.negotiation().await?;
        if negotiation.pending_offer.is_some() {
            return Err(TransportError::OfferPending);
        }
        let options = RTCOfferOptions { ice_restart };
        let offer = shared.within("making an offer", shared.connection.create_offer(Some(options))).await?;
        let published = publish(&offer.sdp, shared.loopback, None, |_| None);
        shared.begin_generation(&published, &negotiation);
        shared.within("setting the own offer", shared.connection.set_local_description(offer)).await?;
        negotiation.pending_offer = Some(PendingOffer { sections: published.sections });
        Ok(published.sdp)
    }

    /// Takes the peer's offer and answers it. If that fails, the connection is as it was.
    ///
    /// # Errors
    ///
    /// When the offer is unsound, or one of our own is pending.
    pub async fn answer(&self, offer_sdp: &str) -> Result<String, TransportError> {
        let shared = &self.shared;
        let mut negotiation = shared.negotiation().await?;
        if negotiation.pending_offer.is_some() {
            return Err(TransportError::OfferPending);
        }
        let remote = read(offer_sdp, DescriptionKind::Offer, &negotiation.video_codecs, shared.loopback)?;
        negotiation.begin_remote(&remote)?;
        let offer = shared.parsed(write_anew(&remote, &negotiation.video_codecs), RTCSessionDescription::offer)?;
        let answered = async {
            shared.within("setting the peer's offer", shared.connection.set_remote_description(offer)).await?;
            let answer = shared.within("making an answer", shared.connection.create_answer(None)).await?;
            let renumberings = renumberings(&answer.sdp, &remote);
            shared.renumber(&renumberings).await?;
            let renumbered = renumber(&answer.sdp, &renumberings);
            let published = publish(&renumbered, shared.loopback, negotiation.dtls_role, |mid| remote.fate(mid));
            shared.begin_generation(&published, &negotiation);
            shared.within("setting the own answer", shared.connection.set_local_description(answer)).await?;
            Ok(published.sdp)
        };
        match answered.await {
            Ok(sdp) => {
                negotiation.dtls_role = DtlsRole::said(&sdp);
                negotiation.commit(&remote);
                Ok(sdp)
            }
            Err(error) => {
                let rollback = shared.parsed(String::new(), rollback)?;
                // Fails where the offer was not even set; then there is nothing to undo.
                let undone =
                    shared.within("undoing the offer", shared.connection.set_remote_description(rollback)).await;
                tracing::debug!(undone = undone.is_ok(), "an offer could not be answered");
                Err(error)
            }
        }
    }

    /// Takes the peer's answer to the pending offer.
    ///
    /// # Errors
    ///
    /// When the answer is unsound, or no offer is pending. The offer stays pending if the answer was refused.
    pub async fn apply_answer(&self, answer_sdp: &str) -> Result<(), TransportError> {
        let shared = &self.shared;
        let mut negotiation = shared.negotiation().await?;
        let pending = negotiation.pending_offer.as_ref().ok_or(TransportError::NoOfferPending)?;
        let remote = read(answer_sdp, DescriptionKind::Answer, &negotiation.video_codecs, shared.loopback)?;
        pending.check_answer(&remote)?;
        negotiation.begin_remote(&remote)?;
        let answer = shared.parsed(write_anew(&remote, &negotiation.video_codecs), RTCSessionDescription::answer)?;
        shared.within("setting the peer's answer", shared.connection.set_remote_description(answer)).await?;
        negotiation.pending_offer = None;
        negotiation.dtls_role = Some(remote.dtls_role().other());
        negotiation.commit(&remote);
        Ok(())
    }

    /// Takes back the pending offer of our own.
    ///
    /// # Errors
    ///
    /// When no offer is pending.
    pub async fn rollback(&self) -> Result<(), TransportError> {
        let shared = &self.shared;
        let mut negotiation = shared.negotiation().await?;
        if negotiation.pending_offer.is_none() {
            return Err(TransportError::NoOfferPending);
        }
        let rollback = shared.parsed(String::new(), rollback)?;
        shared.within("rolling back", shared.connection.set_local_description(rollback)).await?;
        negotiation.pending_offer = None;
        Ok(())
    }

    /// Takes a candidate of the peer's for its current description. An empty one, which ends them, is fine and changes nothing.
    ///
    /// # Errors
    ///
    /// When the candidate is unsound, belongs to another description, or there are too many. It is then left out, and nothing
    /// else changes.
    pub async fn add_candidate(&self, candidate: Candidate) -> Result<(), TransportError> {
        let shared = &self.shared;
        let mut negotiation = shared.negotiation().await?;
        let ufrag = negotiation.remote_ufrag.clone().ok_or(TransportError::NoRemoteDescription)?;
        if candidate.ufrag.as_ref().is_some_and(|named| *named != ufrag) {
            return Err(CandidateError::OtherDescription.into());
        }
        if candidate.candidate.is_empty() {
            return Ok(());
        }
        let checked = candidate::check(&candidate.candidate, shared.loopback)?;
        if negotiation.candidate_count >= MAX_REMOTE_CANDIDATES {
            return Err(CandidateError::TooMany.into());
        }
        let is_over_tcp = checked.transport != candidate::Transport::Udp;
        if is_over_tcp && shared.relay_only {
            return Err(CandidateError::Transport.into());
        }
        negotiation.note_candidate(&checked);
        if is_over_tcp {
            return Ok(());
        }
        let candidate = RTCIceCandidateInit { candidate: checked.attribute, ..Default::default() };
        let added = shared.within("adding a candidate", shared.connection.add_ice_candidate(candidate)).await;
        added.inspect(|()| negotiation.candidate_added())
    }

    /// What came of each STUN and TURN server so far. Costs nothing to ask.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.shared.sockets.attempts()
    }

    /// Sends a text on the control channel. It arrives whole and in order, or the channel closes.
    ///
    /// # Errors
    ///
    /// When the channel is not open, the text is too large, or too much is waiting already.
    pub async fn send_control(&self, text: String) -> Result<(), TransportError> {
        if text.len() > MAX_CONTROL_BYTES {
            return Err(TransportError::ControlTooLarge);
        }
        self.shared.check_open()?;
        let sending = tokio::time::timeout(DEADLINE, self.shared.control.try_send_text(&text));
        sending.await.map_err(|_| TransportError::Timeout)?.map_err(|error| match error {
            webrtc::error::Error::ErrSendBufferFull => TransportError::ControlFull,
            other => {
                tracing::debug!(error = %other, "the control channel took nothing");
                TransportError::ControlNotOpen
            }
        })
    }

    /// The way out for the packets of `track`.
    pub fn sender(&self, track: Track) -> MediaSender {
        self.shared.senders[track.index()].clone()
    }

    /// Asks the peer for a key frame of `track`, once it sends it. Never blocks.
    pub fn request_key_frame(&self, track: Track) {
        self.shared.gauges[track.index()].request_key_frame();
    }

    /// What the peer says of its clocks for `track`, with the moment at which it came: newest only, some once a second. It is
    /// what ties its sound to its picture.
    pub fn sender_reports(&self, track: Track) -> watch::Receiver<Option<(SenderReport, Instant)>> {
        self.shared.feedback.track(track).sender_report.subscribe()
    }

    /// Numbers, as of now; once the connection is closed, those of its end as far as they can still be had.
    pub async fn stats(&self) -> PeerStats {
        let shared = &self.shared;
        let Ok(report) =
            tokio::time::timeout(DEADLINE, shared.connection.get_stats(Instant::now(), StatsSelector::None)).await
        else {
            return PeerStats::default();
        };
        let mut stats = stats::summarize(&report, &shared.feedback);
        let negotiation = shared.negotiation.lock().await;
        let selected = stats::selected(&shared.transport_senders, |address| negotiation.signalled_kind(address)).await;
        (stats.path, stats.network) = (selected.map(|pair| pair.path), selected.and_then(|pair| pair.network));
        for track in Track::ALL {
            let numbers = &mut stats.tracks[track.index()];
            numbers.packets_not_sent = shared.senders[track.index()].dropped();
            numbers.packets_not_read = shared.gauges[track.index()].dropped();
            numbers.packets_of_unknown_codec = shared.gauges[track.index()].unknown();
        }
        stats
    }

    /// Lets the peer take the texts that were given to the control channel, for a second at most; then closes the connection
    /// and waits until its sockets and tasks are gone. Closing twice is fine.
    pub async fn close(&self) {
        if tokio::time::timeout(LAST_WORDS, self.control_taken()).await.is_err() {
            tracing::debug!("closed before the peer has taken all of the control channel");
        }
        self.shared.closing.send_replace(true);
        let mut path = self.shared.path.clone();
        // The owner says so last; it has deadlines of its own.
        let closed = path.wait_for(|path| *path == PathState::Closed);
        if tokio::time::timeout(DEADLINE, closed).await.is_err() {
            tracing::warn!("the peer connection did not close in time");
        }
    }

    /// Waits until the peer has acknowledged every text, or cannot any more. The crate counts what is outstanding and
    /// tells nobody when it is nothing, so it is asked again and again.
    async fn control_taken(&self) {
        let is_up = || matches!(*self.shared.path.borrow(), PathState::Connected { .. });
        while is_up() && self.shared.control.outstanding_bytes().await.is_ok_and(|bytes| bytes > 0) {
            tokio::time::sleep(LAST_WORDS_POLL).await;
        }
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Peer").field("path", &*self.shared.path.borrow()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Runs one request to the peer connection, and no longer than the deadline.
    async fn within<T>(
        &self,
        doing: &'static str,
        request: impl Future<Output = Result<T, webrtc::error::Error>>,
    ) -> Result<T, TransportError> {
        self.check_open()?;
        let answer = tokio::time::timeout(DEADLINE, request).await.map_err(|_| TransportError::Timeout)?;
        answer.map_err(|error| TransportError::connection(doing, error))
    }

    /// Lets the peer's numbers pass in both directions. The peer connection itself knows a codec under the number of the first
    /// negotiation alone, and drops without a word what is sent under another.
    async fn renumber(&self, renumberings: &[Renumbering]) -> Result<(), TransportError> {
        if renumberings.is_empty() {
            return Ok(());
        }
        let listed = async { Ok(self.connection.get_transceivers().await) };
        for transceiver in self.within("listing the transceivers", listed).await? {
            let mid = self.within("looking for a transceiver", transceiver.mid()).await?;
            if let Some(renumbering) = renumberings.iter().find(|one| mid.as_ref() == Some(&one.mid)) {
                let preferences = codecs::renumbered(renumbering);
                self.within("renumbering codecs", transceiver.set_codec_preferences(preferences)).await?;
            }
        }
        Ok(())
    }

    fn parsed(
        &self,
        sdp: String,
        parse: impl Fn(String) -> Result<RTCSessionDescription, webrtc::error::Error>,
    ) -> Result<RTCSessionDescription, TransportError> {
        parse(sdp).map_err(|error| TransportError::connection("reading the description written anew", error))
    }

    /// Only one negotiation runs at a time: the operations chain of webrtc-pc §4.4.1.2. The one lock that is held across
    /// requests, each of which ends by its deadline.
    async fn negotiation(&self) -> Result<MutexGuard<'_, Negotiation>, TransportError> {
        self.check_open()?;
        Ok(self.negotiation.lock().await)
    }

    fn check_open(&self) -> Result<(), TransportError> {
        if *self.closing.borrow() { Err(TransportError::Closed) } else { Ok(()) }
    }

    /// From here on, candidates belong to this description of ours, and the peer's checks are made with its password.
    fn begin_generation(&self, published: &LocalDescription, negotiation: &Negotiation) {
        negotiation.begin_local(&published.sdp);
        let ufrag = crate::description::ufrag(&published.sdp).unwrap_or_default();
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        generation.begin(ufrag, published.bundle_tag.clone());
    }
}

fn rollback(_: String) -> Result<RTCSessionDescription, webrtc::error::Error> {
    RTCSessionDescription::rollback(None)
}

#[cfg(test)]
mod tests;
