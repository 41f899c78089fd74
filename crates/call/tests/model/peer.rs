//! The model's transport: a peer connection that knows only its signaling state (webrtc-pc §4.3), and complains when it
//! is told something impossible. Two peers have a path when each has the other's description.

use std::collections::BTreeSet;
use std::time::Duration;

use ahoy_call::{Input, PathState, PeerCommand, PeerInput, Serial};
use ahoy_protocol::control::ControlMessage;
use ahoy_protocol::description::{DescriptionKind, ProvenDescription};
use ahoy_protocol::id::CallId;
use ahoy_protocol::signal::Candidate;

use crate::world::{CONNECTED, Channel, Happening, Weather, World};

#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The work that is under way.
    busy: Option<Serial>,
    /// The own offer that waits for an answer (have-local-offer).
    offered: Option<String>,
    local: Option<String>,
    remote: Option<String>,
    /// The remote description that was given last, applied or not.
    remote_given: Option<String>,
    /// The one before `remote`: until the report is there, the core takes it for the current one.
    remote_before: Option<String>,
    fragment: String,
    answered: BTreeSet<u32>,
    candidates: BTreeSet<String>,
    pub(crate) partner: Option<usize>,
    pub(crate) control: bool,
    path: PathState,
}

/// How a piece of work goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    Done,
    Failed,
    Silent,
}

impl World {
    pub(crate) fn peer_command(&mut self, device: usize, call: CallId, command: PeerCommand) {
        if matches!(command, PeerCommand::Open) {
            if self.devices[device].peers.insert(call, Peer::default()).is_some() {
                self.break_rule("a peer connection is opened twice");
            }
            return;
        }
        let Some(peer) = self.devices[device].peers.get_mut(&call) else {
            self.break_rule("a peer connection that is not open is told something");
            return;
        };
        match command {
            PeerCommand::Open => {}
            PeerCommand::MakeOffer { serial, ice_restart } => {
                let is_legal = peer.busy.is_none() && peer.offered.is_none();
                self.legal(is_legal, "an offer is to be made while something is pending");
                self.make_offer(device, call, serial, ice_restart);
            }
            PeerCommand::Answer { serial, offer } => {
                let is_legal = peer.busy.is_none() && peer.offered.is_none() && peer.answered.insert(offer.n());
                let is_legal = is_legal && offer.kind() == DescriptionKind::Offer;
                self.legal(is_legal, "an offer is to be answered twice, or while something is pending");
                self.answer(device, call, serial, &offer);
            }
            PeerCommand::ApplyAnswer { serial, answer } => {
                let is_legal = peer.busy.is_none() && peer.offered.is_some() && answer.kind() != DescriptionKind::Offer;
                self.legal(is_legal, "an answer is to be applied that nothing asked for");
                self.apply_answer(device, call, serial, &answer);
            }
            PeerCommand::Rollback { serial } => {
                let is_legal = peer.busy.is_none() && peer.offered.is_some();
                self.legal(is_legal, "nothing is pending that could be rolled back");
                self.tally.rollbacks += 1;
                if self.weather == Weather::Calm && self.devices[device].record.has_dialled(call) {
                    self.break_rule("the impolite side takes its offer back though nothing broke");
                }
                self.roll_back(device, call, serial);
            }
            PeerCommand::AddCandidate(candidate) => self.add_candidate(device, call, &candidate),
            PeerCommand::SendControl(message) => self.send_control(device, call, message),
            PeerCommand::Close => self.close_peer(device, call),
        }
    }

    /// A report is on its way to the core: the work is no longer under way.
    pub(crate) fn peer_reports(&mut self, device: usize, call: CallId, input: &PeerInput) {
        if let PeerInput::Made { serial, .. } | PeerInput::Applied { serial, .. } = input
            && let Some(peer) = self.devices[device].peers.get_mut(&call)
        {
            peer.busy.take_if(|busy| busy == serial);
        }
    }

    pub(crate) fn send_control(&mut self, device: usize, call: CallId, message: ControlMessage) {
        let peer = self.devices[device].peers.get(&call);
        let Some(to) = peer.filter(|peer| peer.control).and_then(|peer| peer.partner) else {
            self.break_rule("something is sent over a control channel that is not open");
            return;
        };
        let delay = self.delay();
        self.along(Channel::Control(device, to), delay, Happening::Control { from: device, to, call, message });
    }

    pub(crate) fn deliver_control(&mut self, from: usize, to: usize, call: CallId, message: ControlMessage) {
        let peer = self.devices[to].peers.get(&call);
        // The first message may be there before the channel is reported to be open.
        if peer.is_some_and(|peer| peer.partner == Some(from)) {
            self.input(to, Input::Peer { call, input: PeerInput::Control(message) });
        }
    }

    pub(crate) fn control_opens(&mut self, device: usize, with: usize, call: CallId) {
        let Some(peer) = self.devices[device].peers.get_mut(&call).filter(|peer| peer.partner == Some(with)) else {
            return;
        };
        peer.control = true;
        self.input(device, Input::Peer { call, input: PeerInput::ControlOpened });
    }

    pub(crate) fn path_happens(&mut self, device: usize, with: usize, call: CallId, path: PathState) {
        let Some(peer) = self.devices[device].peers.get_mut(&call).filter(|peer| peer.partner == Some(with)) else {
            return;
        };
        peer.path = path;
        let lost_control = path == PathState::Failed && std::mem::take(&mut peer.control);
        if lost_control {
            self.input(device, Input::Peer { call, input: PeerInput::ControlClosed });
        }
        self.input(device, Input::Peer { call, input: PeerInput::Path(path) });
    }

    /// The peer connection is gone; the one at the other end notices.
    pub(crate) fn close_peer(&mut self, device: usize, call: CallId) {
        let Some(peer) = self.devices[device].peers.remove(&call) else { return };
        let Some(other) = peer.partner else { return };
        let soon = self.random.millis(50, 2_500);
        for (delay, path) in [(soon, PathState::Lost), (soon + Duration::from_secs(5), PathState::Failed)] {
            let happening = Happening::Path { device: other, with: device, call, path };
            self.along(Channel::Control(device, other), delay, happening);
        }
    }

    /// The path between two devices is lost, and comes back or does not.
    pub(crate) fn break_path(&mut self, device: usize, call: CallId) {
        let Some(with) = self.devices[device].peers.get(&call).and_then(|peer| peer.partner) else { return };
        let later = self.random.millis(500, 12_000);
        let then = self.random.pick(&[CONNECTED, CONNECTED, PathState::Failed, PathState::Lost]);
        for (device, with) in [(device, with), (with, device)] {
            let delay = self.delay();
            self.after(delay, Happening::Path { device, with, call, path: PathState::Lost });
            self.after(later + delay, Happening::Path { device, with, call, path: then });
        }
    }

    fn make_offer(&mut self, device: usize, call: CallId, serial: Serial, ice_restart: bool) {
        let luck = self.luck(device, call, serial);
        let sdp = self.local_sdp(device, call, ice_restart);
        let Some(peer) = self.devices[device].peers.get_mut(&call) else { return };
        if luck == Luck::Done {
            peer.offered = Some(sdp.clone());
            self.tally.offers += 1;
        }
        self.report_made(device, call, serial, luck, sdp);
    }

    fn answer(&mut self, device: usize, call: CallId, serial: Serial, offer: &ProvenDescription) {
        let luck = self.luck(device, call, serial);
        let sdp = self.local_sdp(device, call, false);
        let Some(peer) = self.devices[device].peers.get_mut(&call) else { return };
        peer.remote_given = Some(offer.sdp().to_owned());
        if luck == Luck::Done {
            peer.local = Some(sdp.clone());
            peer.remote_before = peer.remote.replace(offer.sdp().to_owned());
        }
        self.report_made(device, call, serial, luck, sdp);
        self.try_to_connect(call);
    }

    fn apply_answer(&mut self, device: usize, call: CallId, serial: Serial, answer: &ProvenDescription) {
        let luck = self.luck(device, call, serial);
        let Some(peer) = self.devices[device].peers.get_mut(&call) else { return };
        peer.remote_given = Some(answer.sdp().to_owned());
        if luck == Luck::Done {
            peer.local = peer.offered.take();
            peer.remote_before = peer.remote.replace(answer.sdp().to_owned());
        }
        self.report_applied(device, call, serial, luck);
        self.try_to_connect(call);
    }

    fn roll_back(&mut self, device: usize, call: CallId, serial: Serial) {
        let luck = self.luck(device, call, serial);
        let Some(peer) = self.devices[device].peers.get_mut(&call) else { return };
        if luck == Luck::Done {
            peer.offered = None;
        }
        self.report_applied(device, call, serial, luck);
    }

    fn add_candidate(&mut self, device: usize, call: CallId, candidate: &Candidate) {
        let Some(peer) = self.devices[device].peers.get_mut(&call) else { return };
        let is_new = peer.candidates.insert(format!("{candidate:?}"));
        let line = format!("a=ice-ufrag:{}\r\n", candidate.username_fragment.as_deref().unwrap_or_default());
        let known = [&peer.remote, &peer.remote_given, &peer.remote_before];
        let fits = known.into_iter().flatten().any(|sdp| sdp.contains(&line));
        // What names no description is garbage's own.
        if !fits && candidate.username_fragment.is_some() {
            self.break_rule("a candidate is handed on that fits no description");
        }
        // Garbage may bring an old fragment back, and with it its candidates, which does no harm.
        self.legal(is_new || self.weather == Weather::Garbage, "a candidate is handed on twice");
        self.tally.candidates += 1;
    }

    fn luck(&mut self, device: usize, call: CallId, serial: Serial) -> Luck {
        let luck = if self.percent_when_rough(3) {
            Luck::Failed
        } else if self.percent_when_rough(1) {
            Luck::Silent
        } else {
            Luck::Done
        };
        if let Some(peer) = self.devices[device].peers.get_mut(&call) {
            peer.busy = Some(serial);
        }
        luck
    }

    /// A new local description, and the candidates that belong to it, which may well be there first.
    fn local_sdp(&mut self, device: usize, call: CallId, ice_restart: bool) -> String {
        let tag = format!("{:08x}", self.random.next() >> 32);
        let Some(peer) = self.devices[device].peers.get_mut(&call) else { return String::new() };
        let is_new = peer.fragment.is_empty() || ice_restart;
        if is_new {
            peer.fragment.clone_from(&tag);
        }
        let fragment = peer.fragment.clone();
        if is_new {
            for text in ["candidate:1 1 udp 1 192.0.2.1 9 typ host", "candidate:2 1 udp 1 192.0.2.2 9 typ host", ""] {
                let candidate = Candidate {
                    candidate: text.into(),
                    sdp_mid: Some("0".into()),
                    sdp_mline_index: Some(0),
                    username_fragment: Some(fragment.clone()),
                };
                let (delay, life) = (self.random.millis(0, 200), self.devices[device].life);
                let input = PeerInput::Candidate(candidate);
                self.along(Channel::Peer(device), delay, Happening::Peer { device, life, call, input });
            }
        }
        format!("v=0\r\nm=audio 9\r\nm=application 9\r\n{FINGERPRINT}\r\na=ice-ufrag:{fragment}\r\ni={tag}\r\n")
    }

    fn report_made(&mut self, device: usize, call: CallId, serial: Serial, luck: Luck, sdp: String) {
        let result = if luck == Luck::Done { Ok(sdp) } else { Err("no luck".into()) };
        self.report(device, call, luck, PeerInput::Made { serial, result });
    }

    fn report_applied(&mut self, device: usize, call: CallId, serial: Serial, luck: Luck) {
        let result = if luck == Luck::Done { Ok(()) } else { Err("no luck".into()) };
        self.report(device, call, luck, PeerInput::Applied { serial, result });
    }

    fn report(&mut self, device: usize, call: CallId, luck: Luck, input: PeerInput) {
        if luck == Luck::Silent {
            return;
        }
        let delay =
            if self.percent_when_rough(4) { self.random.millis(500, 12_000) } else { self.random.millis(0, 80) };
        let life = self.devices[device].life;
        self.after(delay, Happening::Peer { device, life, call, input });
    }

    fn try_to_connect(&mut self, call: CallId) {
        let Some((one, two)) = self.matching_peers(call) else { return };
        let is_new = self.devices[one].peers.get(&call).is_none_or(|peer| peer.partner.is_none());
        let (will_connect, has_control) = (!self.percent_when_rough(6), !self.percent_when_rough(4));
        let connecting = self.random.millis(5, 400);
        for (device, with) in [(one, two), (two, one)] {
            let Some(peer) = self.devices[device].peers.get_mut(&call) else { return };
            if !is_new && peer.path == CONNECTED {
                continue;
            }
            peer.partner = Some(with);
            let path = if will_connect { CONNECTED } else { PathState::Failed };
            let here = connecting + self.random.millis(0, 80);
            self.after(Duration::ZERO, Happening::Path { device, with, call, path: PathState::Connecting });
            self.after(here, Happening::Path { device, with, call, path });
            if will_connect && has_control && is_new {
                let opening = here + self.random.millis(0, 80);
                self.after(opening, Happening::ControlOpen { device, with, call });
            }
        }
    }

    /// Two devices of which each has what the other made.
    fn matching_peers(&self, call: CallId) -> Option<(usize, usize)> {
        let described = |index: usize| {
            let peer = self.devices[index].peers.get(&call)?;
            Some((peer.local.as_ref()?, peer.remote.as_ref()?))
        };
        for one in 0..self.devices.len() {
            for two in one + 1..self.devices.len() {
                if let (Some(a), Some(b)) = (described(one), described(two))
                    && a.0 == b.1
                    && a.1 == b.0
                {
                    return Some((one, two));
                }
            }
        }
        None
    }

    fn legal(&mut self, is_legal: bool, what: &str) {
        if !is_legal {
            self.break_rule(what);
        }
    }
}

pub(crate) const FINGERPRINT: &str = "a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";
