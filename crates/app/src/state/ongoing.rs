//! The call of this device, as far as its screen needs to know it.

use std::time::Duration;

use ahoy_client::view::{ContactView, PathKind, PathState, Trust};
use ahoy_client::{CallId, Sending, Stats, Username};

use crate::state::Now;
use crate::state::ending::OverCall;
use crate::state::keys::CallCode;
use crate::state::quality::Quality;
use crate::view::{CallStage, CallView, OutgoingStage, PartyView, QualityView, RemoteSending, Screen, TrustView};

/// A call that is not over.
#[derive(Debug)]
pub(super) struct Ongoing {
    /// `None` until the client has named the call that was just dialled.
    pub(super) id: Option<CallId>,
    pub(super) user: Username,
    pub(super) phase: Phase,
    /// Their key was known before this call.
    pub(super) was_known: bool,
    pub(super) outgoing: bool,
    /// Dialled with picture.
    pub(super) video: bool,
    /// In milliseconds since 1970.
    pub(super) began_ms: u64,
    name: Option<String>,
    device: Option<String>,
    trust: Option<TrustView>,
    code: Option<CallCode>,
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// Dialled; nothing rings yet.
    Reaching,
    /// It rings there, on so many devices.
    RingingThere { devices: u32 },
    /// It rings here.
    RingingHere,
    /// Somebody said yes.
    Accepted(Box<Accepted>),
}

/// A call that both want.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) sending: Sending,
    stage: CallStage,
    /// When it first connected: on the monotonic clock, and in milliseconds since 1970.
    connected: Option<(Duration, u64)>,
    remote: Option<RemoteSending>,
    remote_picture: bool,
    quality: Quality,
    figures: Option<QualityView>,
}

impl Ongoing {
    pub(super) fn dialled(user: Username, was_known: bool, video: bool, now: Now) -> Self {
        Self {
            id: None,
            user,
            phase: Phase::Reaching,
            was_known,
            outgoing: true,
            video,
            began_ms: now.unix_ms,
            name: None,
            device: None,
            trust: None,
            code: None,
        }
    }

    pub(super) fn incoming(
        id: CallId,
        user: Username,
        name: Option<String>,
        video: bool,
        proven: bool,
        was_known: bool,
        now: Now,
    ) -> Self {
        let trust = match (proven, was_known) {
            (false, _) => TrustView::Guest,
            (true, true) => TrustView::Known,
            (true, false) => TrustView::FirstTime,
        };
        let dialled = Self::dialled(user, was_known, video, now);
        Self { id: Some(id), phase: Phase::RingingHere, outgoing: false, name, trust: Some(trust), ..dialled }
    }

    pub(super) fn is(&self, call: CallId) -> bool {
        self.id == Some(call)
    }

    pub(super) fn is_ringing_here(&self) -> bool {
        match self.phase {
            Phase::RingingHere => true,
            Phase::Reaching | Phase::RingingThere { .. } | Phase::Accepted(_) => false,
        }
    }

    pub(super) fn accepted(&mut self) -> Option<&mut Accepted> {
        match &mut self.phase {
            Phase::Accepted(accepted) => Some(accepted),
            Phase::Reaching | Phase::RingingThere { .. } | Phase::RingingHere => None,
        }
    }

    /// Whether both people have said yes.
    pub(super) fn is_accepted(&self) -> bool {
        match &self.phase {
            Phase::Accepted(_) => true,
            Phase::Reaching | Phase::RingingThere { .. } | Phase::RingingHere => false,
        }
    }

    /// Whether there is a verification code to compare.
    pub(super) fn has_code(&self) -> bool {
        self.code.is_some()
    }

    /// Whether media has flowed: from then on the devices are the call's.
    pub(super) fn has_connected(&self) -> bool {
        match &self.phase {
            Phase::Accepted(accepted) => accepted.connected.is_some(),
            Phase::Reaching | Phase::RingingThere { .. } | Phase::RingingHere => false,
        }
    }

    /// A device of theirs rings. Returns whether it is the first.
    pub(super) fn rings_there(&mut self, device: Option<String>) -> bool {
        match &mut self.phase {
            Phase::Reaching => {
                self.phase = Phase::RingingThere { devices: 1 };
                self.device = device;
                true
            }
            Phase::RingingThere { devices } => {
                *devices = devices.saturating_add(1);
                // Which of several will answer is not known.
                self.device = None;
                false
            }
            Phase::RingingHere | Phase::Accepted(_) => false,
        }
    }

    /// Somebody said yes; `video`: this side with picture.
    pub(super) fn accept(&mut self, video: bool) {
        match self.phase {
            Phase::Accepted(_) => {}
            Phase::Reaching | Phase::RingingThere { .. } | Phase::RingingHere => {
                self.phase = Phase::Accepted(Box::new(Accepted::new(video)));
            }
        }
    }

    /// What the client knows of it.
    pub(super) fn take_view(&mut self, view: &ahoy_client::view::CallView, contact: Option<&ContactView>) {
        let verified = contact.is_some_and(|contact| contact.verified);
        let lasts = contact.is_some_and(|contact| contact.pinned);
        self.code = view.code.map(|code| CallCode { code, verified, lasts });
        if let Some(trust) = view.trust {
            self.trust = Some(match trust {
                Trust::Guest => TrustView::Guest,
                Trust::Contact | Trust::Stranger if verified => TrustView::Verified,
                Trust::Contact | Trust::Stranger if self.was_known => TrustView::Known,
                Trust::Contact | Trust::Stranger => TrustView::FirstTime,
            });
        }
        if let (Some(accepted), PathState::Connected(kind)) = (self.accepted(), view.path) {
            accepted.take_path(kind);
        }
    }

    /// The call as its end sees it.
    pub(super) fn over(&self) -> OverCall<'_> {
        OverCall {
            name: self.user.as_str(),
            outgoing: self.outgoing,
            accepted: matches!(self.phase, Phase::Accepted(_)),
            connected: self.has_connected(),
        }
    }

    /// How long it has lasted, in seconds, if it ever connected.
    pub(super) fn seconds(&self, now: Now) -> Option<u32> {
        match &self.phase {
            Phase::Accepted(accepted) => {
                let (since, _) = accepted.connected?;
                Some(u32::try_from(now.elapsed.saturating_sub(since).as_secs()).unwrap_or(u32::MAX))
            }
            Phase::Reaching | Phase::RingingThere { .. } | Phase::RingingHere => None,
        }
    }

    pub(super) fn party(&self) -> PartyView {
        PartyView {
            username: self.user.to_string(),
            name: self.name.clone(),
            device: self.device.clone(),
            trust: self.trust,
        }
    }

    pub(super) fn screen(&self, camera_problem: Option<String>) -> Screen {
        let (party, video) = (self.party(), self.video);
        match &self.phase {
            Phase::Reaching => Screen::Outgoing { party, video, stage: OutgoingStage::Reaching },
            Phase::RingingThere { .. } => {
                let stage = OutgoingStage::Ringing { device: self.device.clone() };
                Screen::Outgoing { party, video, stage }
            }
            Phase::RingingHere => Screen::Incoming { party, video },
            Phase::Accepted(accepted) => Screen::Call(Box::new(CallView {
                code: self.code.map(CallCode::view),
                ..accepted.view(party, camera_problem)
            })),
        }
    }
}

impl Accepted {
    fn new(video: bool) -> Self {
        Self {
            sending: Sending { audio: true, video, screen: false },
            stage: CallStage::Connecting,
            connected: None,
            remote: None,
            remote_picture: false,
            quality: Quality::default(),
            figures: None,
        }
    }

    /// There is a path. Returns whether it is the first.
    pub(super) fn connect(&mut self, relayed: bool, now: Now) -> bool {
        self.stage = CallStage::Connected { relayed };
        let first = self.connected.is_none();
        self.connected.get_or_insert((now.elapsed, now.unix_ms));
        first
    }

    pub(super) fn lose_path(&mut self) {
        self.stage = CallStage::Reconnecting;
        // Of a second in which nothing came, figures say nothing.
        self.figures = None;
    }

    fn take_path(&mut self, kind: PathKind) {
        match &mut self.stage {
            CallStage::Connected { relayed } => *relayed = kind == PathKind::Relay,
            CallStage::Connecting | CallStage::Reconnecting => {}
        }
    }

    /// What the other side says it sends. Without its camera the last picture is not theirs any more.
    pub(super) fn remote_sends(&mut self, audio: bool, video: bool) {
        self.remote = Some(RemoteSending { audio, video });
        self.remote_picture &= video;
    }

    /// A picture of the other side came. One that was on its way when the camera went off does not count.
    pub(super) fn picture_came(&mut self) {
        self.remote_picture = self.remote.is_none_or(|remote| remote.video);
    }

    pub(super) fn take_stats(&mut self, stats: &Stats, name: &str) {
        let figures = self.quality.take(stats, name);
        if matches!(self.stage, CallStage::Connected { .. }) {
            self.figures = figures;
        }
    }

    fn view(&self, party: PartyView, camera_problem: Option<String>) -> CallView {
        CallView {
            party,
            code: None,
            stage: self.stage,
            connected_at_ms: self.connected.map(|(_, ms)| ms),
            muted: !self.sending.audio,
            camera_on: self.sending.video,
            camera_problem: camera_problem.filter(|_| self.sending.video),
            remote: self.remote,
            remote_picture: self.remote_picture,
            quality: self.figures.clone(),
        }
    }
}
