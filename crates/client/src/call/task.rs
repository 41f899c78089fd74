//! The task that owns one peer connection: commands in their order, the transport's events to the driver, statistics
//! each second, and to the other side how large its picture is shown.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ahoy_call::{Gate, Help, Outcome, PathKind, PathState, PeerCommand, PeerInput, Serial, Tried, TriedServer};
use ahoy_protocol::control::ControlMessage;
use ahoy_protocol::id::Username;
use ahoy_protocol::signal::Candidate;
use ahoy_transport::{
    Attempt, CandidateKind, IceServer, Peer, PeerEvent, PeerEvents, PeerStats, Track, TrackStats, TransportError,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::fault::{self, Part};
use super::media::CallMedia;
use super::path_rate::PathRate;
use super::shared::Shared;
use super::shown::ShownSize;
use super::{PeerReport, Surroundings};
use crate::event::{Event, Stats};
use crate::network::{Addresses, OwnAddress};

const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked how large the other side's picture is shown.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How often in a call it is told what the path carries, in seconds: so much is lost if the program dies.
const RATE_TOLD_EVERY: u32 = 60;

/// Runs until the call is closed or its owner is gone.
pub(crate) async fn run(
    surroundings: Surroundings,
    mut commands: mpsc::Receiver<PeerCommand>,
    mut gate: watch::Receiver<Gate>,
    ice_servers: watch::Receiver<Vec<IceServer>>,
) {
    let Surroundings { call, with, recordings, media, peer, mut addresses, reports, frames } = surroundings;
    let shared = Arc::new(Shared::new(call, gate.clone(), reports.clone(), frames));
    let (peer, mut events, received) = match Peer::open(peer).await {
        Ok(opened) => opened,
        Err(error) => return refuse_all(&error, &shared, &reports, commands).await,
    };
    let media = CallMedia::new(media, recordings, received, Arc::clone(&shared));
    let mut task = Task {
        peer,
        media,
        shared,
        reports,
        with,
        ice_servers,
        own_address: OwnAddress::default(),
        rate: PathRate::default(),
        seconds: 0,
        shown: ShownSize::default(),
        tried: Vec::new(),
    };
    let [mut seconds, mut looks] = [STATS_INTERVAL, LOOK_INTERVAL].map(interval);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let step = next_step(&mut commands, &mut events, &mut gate, &mut addresses, &mut seconds, &mut looks).await;
        match step {
            Step::Command(Some(PeerCommand::Close) | None) | Step::Event(None) => break,
            Step::Command(Some(command)) => task.obey(command).await,
            Step::Event(Some(event)) => task.handle_event(event).await,
            Step::Gate(gate) => task.media.follow(gate, &task.peer),
            Step::Addresses(now) => task.addresses_changed(&now).await,
            Step::Second => {
                task.tell_tried().await;
                task.tell_stats().await;
            }
            Step::Look => {
                fault::here(Part::Task);
                task.tell_shown().await;
            }
        }
    }
    task.tell_rate();
    let Task { peer, media, .. } = task;
    // Threads are joined, files finished: work that may take a moment.
    let joined = tokio::task::spawn_blocking(move || drop(media));
    peer.close().await;
    let _ = joined.await;
}

enum Step {
    Command(Option<PeerCommand>),
    Event(Option<PeerEvent>),
    Gate(Gate),
    Addresses(BTreeSet<IpAddr>),
    Second,
    Look,
}

async fn next_step(
    commands: &mut mpsc::Receiver<PeerCommand>,
    events: &mut PeerEvents,
    gate: &mut watch::Receiver<Gate>,
    addresses: &mut Addresses,
    seconds: &mut tokio::time::Interval,
    looks: &mut tokio::time::Interval,
) -> Step {
    tokio::select! {
        Ok(()) = gate.changed() => Step::Gate(*gate.borrow_and_update()),
        Ok(now) = addresses.changed() => Step::Addresses(now),
        command = commands.recv() => Step::Command(command),
        event = events.next() => Step::Event(event),
        _ = seconds.tick() => Step::Second,
        _ = looks.tick() => Step::Look,
    }
}

/// There is no peer connection: every piece of work fails with the reason, so that the core can end the call in words.
async fn refuse_all(
    error: &TransportError,
    shared: &Shared,
    reports: &mpsc::Sender<PeerReport>,
    mut commands: mpsc::Receiver<PeerCommand>,
) {
    let why = super::in_words(error);
    debug!(why, "no peer connection");
    while let Some(command) = commands.recv().await {
        let input = match command {
            PeerCommand::MakeOffer { serial, .. } | PeerCommand::Answer { serial, .. } => {
                PeerInput::Made { serial, result: Err(why.clone()) }
            }
            PeerCommand::ApplyAnswer { serial, .. } | PeerCommand::Rollback { serial } => {
                PeerInput::Applied { serial, result: Err(why.clone()) }
            }
            PeerCommand::Open | PeerCommand::AddCandidate(_) | PeerCommand::SendControl(_) => continue,
            PeerCommand::Close => return,
        };
        if reports.send(PeerReport::Input(shared.call, input)).await.is_err() {
            return;
        }
    }
}

struct Task {
    peer: Peer,
    media: CallMedia,
    shared: Arc<Shared>,
    reports: mpsc::Sender<PeerReport>,
    with: Option<Username>,
    ice_servers: watch::Receiver<Vec<IceServer>>,
    own_address: OwnAddress,
    rate: PathRate,
    /// Of statistics that were told.
    seconds: u32,
    shown: ShownSize,
    /// What was told last of the servers that are to help.
    tried: Vec<Attempt>,
}

impl Task {
    async fn obey(&mut self, command: PeerCommand) {
        match command {
            // It is open since the task runs, and its end is the loop's business.
            PeerCommand::Open | PeerCommand::Close => {}
            PeerCommand::MakeOffer { serial, ice_restart } => {
                self.set_ice_servers().await;
                let made = self.peer.make_offer(ice_restart).await;
                self.report_made(serial, made).await;
            }
            PeerCommand::Answer { serial, offer } => {
                self.set_ice_servers().await;
                let made = self.peer.answer(offer.sdp()).await;
                self.report_made(serial, made).await;
            }
            PeerCommand::ApplyAnswer { serial, answer } => {
                let applied = self.peer.apply_answer(answer.sdp()).await;
                self.report_applied(serial, applied).await;
            }
            PeerCommand::Rollback { serial } => {
                let applied = self.peer.rollback().await;
                self.report_applied(serial, applied).await;
            }
            PeerCommand::AddCandidate(candidate) => {
                let candidate = ahoy_transport::Candidate {
                    candidate: candidate.candidate,
                    mid: candidate.sdp_mid,
                    line_index: candidate.sdp_mline_index,
                    ufrag: candidate.username_fragment,
                };
                if let Err(error) = self.peer.add_candidate(candidate).await {
                    let why = super::in_words(&error);
                    debug!(call = %self.shared.call, why, "a candidate of the other side is not used");
                }
            }
            PeerCommand::SendControl(message) => {
                if let Err(error) = self.peer.send_control(message.to_text()).await {
                    // The same message goes through the server where it matters.
                    debug!(call = %self.shared.call, %error, "not sent over the control channel");
                }
            }
        }
    }

    async fn handle_event(&mut self, event: PeerEvent) {
        let input = match event {
            PeerEvent::Candidate(candidate) => PeerInput::Candidate(to_wire(candidate)),
            PeerEvent::EndOfCandidates { mid, ufrag } => PeerInput::Candidate(end_of_candidates(mid, ufrag)),
            PeerEvent::Path(state) => {
                if matches!(state, ahoy_transport::PathState::Connected { .. }) {
                    self.own_address.set(self.peer.own_address().await);
                }
                match path_state(state) {
                    Some(path) => PeerInput::Path(path),
                    None => return,
                }
            }
            PeerEvent::KeyFrameWanted(Track::Camera) => return self.media.want_key_frame(),
            PeerEvent::KeyFrameWanted(Track::Microphone | Track::Screen) => return,
            PeerEvent::ControlOpen => {
                self.shown.set_open(true);
                PeerInput::ControlOpened
            }
            PeerEvent::ControlClosed => {
                self.shown.set_open(false);
                PeerInput::ControlClosed
            }
            PeerEvent::Control(text) => match ControlMessage::from_text(&text) {
                Ok(ControlMessage::Shown(shown)) => return self.shared.set_shown(shown),
                Ok(message) => PeerInput::Control(message),
                Err(error) => {
                    debug!(call = %self.shared.call, %error, "a control message is ignored");
                    return;
                }
            },
        };
        self.report(input).await;
    }

    /// Before a description is made: the servers that candidates are found with.
    async fn set_ice_servers(&mut self) {
        if !self.ice_servers.has_changed().unwrap_or(false) {
            return;
        }
        let servers = self.ice_servers.borrow_and_update().clone();
        if let Err(error) = self.peer.set_ice_servers(&servers).await {
            let why = super::in_words(&error);
            warn!(call = %self.shared.call, why, "a new path is looked for with old ICE servers");
        }
    }

    async fn addresses_changed(&mut self, now: &BTreeSet<IpAddr>) {
        if self.own_address.is_gone(now) {
            info!(call = %self.shared.call, "the path's own address is gone from this machine");
            self.report(PeerInput::AddressGone).await;
        }
    }

    /// What came of the servers, when it changed: a call that finds no path says why.
    async fn tell_tried(&mut self) {
        let attempts = self.peer.attempts();
        if attempts == self.tried {
            return;
        }
        let servers = attempts.iter().map(tried_server).collect();
        self.tried = attempts;
        self.report(PeerInput::Tried(Tried { servers })).await;
    }

    async fn tell_stats(&mut self) {
        if self.shared.gate() == Gate::SHUT {
            return;
        }
        let path = self.peer.stats().await;
        if let Some(round_trip) = path.media_round_trip.or(path.round_trip) {
            self.shared.set_round_trip(round_trip);
        }
        let stats = figures(&path, &self.shared);
        self.shared.tell(Event::Stats(stats));
        self.rate.take(path.network, path.available_send_bps);
        self.seconds = self.seconds.wrapping_add(1);
        if self.seconds.is_multiple_of(RATE_TOLD_EVERY) {
            self.tell_rate();
        }
    }

    async fn tell_shown(&mut self) {
        let Some(shown) = self.shown.due(self.shared.now(), self.media.shown()) else { return };
        debug!(call = %self.shared.call, ?shown, "the other side's picture is shown differently");
        if let Err(error) = self.peer.send_control(ControlMessage::Shown(shown).to_text()).await {
            debug!(call = %self.shared.call, %error, "not sent over the control channel");
            self.shown.was_not_told();
        }
    }

    /// Never waits: at the end of the program nobody makes room any more.
    fn tell_rate(&self) {
        if let (Some(with), Some((network, bps))) = (self.with.clone(), self.rate.usual()) {
            let _ = self.reports.try_send(PeerReport::Rate { with, network, bps });
        }
    }

    async fn report_made(&self, serial: Serial, made: Result<String, TransportError>) {
        let result = made.map_err(|error| super::in_words(&error));
        self.report(PeerInput::Made { serial, result }).await;
    }

    async fn report_applied(&self, serial: Serial, applied: Result<(), TransportError>) {
        let result = applied.map_err(|error| super::in_words(&error));
        self.report(PeerInput::Applied { serial, result }).await;
    }

    async fn report(&self, input: PeerInput) {
        // Without a driver the task is about to end.
        let _ = self.reports.send(PeerReport::Input(self.shared.call, input)).await;
    }
}

/// The figures of a second.
fn figures(path: &PeerStats, shared: &Shared) -> Stats {
    let sum = |count: fn(&TrackStats) -> u64| Track::ALL.iter().map(|track| count(path.track(*track))).sum::<u64>();
    let lost_by_peer = |track| path.track(track).fraction_lost_by_peer.unwrap_or(0.0);
    let meters = &shared.meters;
    Stats {
        call: shared.call,
        rtt_ms: path.media_round_trip.or(path.round_trip).map(|rtt| rtt.as_secs_f64() * 1e3),
        available_send_bps: path.available_send_bps,
        sent_bytes: path.bytes_sent,
        received_bytes: path.bytes_received,
        packets_received: sum(|track| track.packets_received),
        packets_lost: Track::ALL.iter().map(|track| path.track(*track).packets_lost).sum(),
        packets_recovered: sum(|track| track.packets_recovered),
        packets_nacked: sum(|track| track.packets_nacked),
        packets_lost_by_peer: sum(|track| track.packets_lost_by_peer),
        packets_resent: sum(|track| track.packets_resent),
        sound_lost_by_peer: lost_by_peer(Track::Microphone),
        picture_lost_by_peer: lost_by_peer(Track::Camera),
        packets_dropped_here: sum(|track| track.packets_not_sent + track.packets_not_read),
        frames_captured: meters.frames_captured.read(),
        frames_sent: meters.frames_sent.read(),
        frames_shown: meters.frames_shown.read(),
        key_frames_requested: meters.key_frames_requested.read(),
        concealed_ms: meters.concealed_ms.read(),
        recovered_ms: meters.recovered_ms.read(),
        sound_delay_ms: meters.sound_delay_us.read() as f64 / 1e3,
        sound_early_ms: shared.lip_sync.offset_ms(),
    }
}

fn to_wire(candidate: ahoy_transport::Candidate) -> Candidate {
    Candidate {
        candidate: candidate.candidate,
        sdp_mid: candidate.mid,
        sdp_mline_index: candidate.line_index,
        username_fragment: candidate.ufrag,
    }
}

fn path_state(state: ahoy_transport::PathState) -> Option<PathState> {
    Some(match state {
        ahoy_transport::PathState::New => PathState::New,
        ahoy_transport::PathState::Connecting => PathState::Connecting,
        ahoy_transport::PathState::Connected { path } => PathState::Connected(match path {
            CandidateKind::Host => PathKind::Host,
            CandidateKind::Srflx => PathKind::ServerReflexive,
            CandidateKind::Prflx => PathKind::PeerReflexive,
            CandidateKind::Relay => PathKind::Relay,
        }),
        ahoy_transport::PathState::Disconnected => PathState::Lost,
        ahoy_transport::PathState::Failed => PathState::Failed,
        // Closed from here; the core knows.
        ahoy_transport::PathState::Closed => return None,
    })
}

fn tried_server(attempt: &Attempt) -> TriedServer {
    let help = match attempt.help {
        ahoy_transport::Help::Reflect => Help::Reflect,
        ahoy_transport::Help::RelayUdp => Help::RelayUdp,
        ahoy_transport::Help::RelayStream => Help::RelayStream,
    };
    let outcome = match attempt.outcome {
        ahoy_transport::Outcome::NotAsked => Outcome::NotAsked,
        ahoy_transport::Outcome::NotFound => Outcome::NotFound,
        ahoy_transport::Outcome::Unreachable => Outcome::Unreachable,
        ahoy_transport::Outcome::NotTrusted => Outcome::NotTrusted,
        ahoy_transport::Outcome::NoAnswer => Outcome::NoAnswer,
        ahoy_transport::Outcome::Refused(code) => Outcome::Refused(code),
        ahoy_transport::Outcome::Answered => Outcome::Answered,
    };
    TriedServer { url: attempt.url.clone(), help, outcome }
}

/// The empty candidate that ends a generation (RFC 8838 §14).
fn end_of_candidates(mid: String, ufrag: String) -> Candidate {
    Candidate { candidate: String::new(), sdp_mid: Some(mid), sdp_mline_index: None, username_fragment: Some(ufrag) }
}
