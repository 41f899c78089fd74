//! After a sign-in that did not come back into the session, what the server had not passed on yet is lost, and it knows
//! of no call. So a call that goes on is said again: the receivers' number rules drop what they have (section 3).

use std::time::Duration;

use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::{Address, CallId};
use ahoy_protocol::message::{ClientMessage, Relay};
use ahoy_protocol::signal::{Candidate, CandidateMessage, Progress, Signal};

use crate::call::Call;
use crate::core::Core;
use crate::output::{Output, UnsignedDescription, Via};
use crate::time::Time;

/// After a restart of the server the other side may come back later: so long `offline` says nothing of it. The longest
/// wait between two attempts is 5 s, and a connection takes its time.
const GRACE: Duration = Duration::from_secs(10);
/// How soon it is tried again within that time.
const AGAIN: Duration = Duration::from_secs(2);
/// The same for an opening offer: the server lets one user ring another six times a minute, and notes each that reaches
/// nobody as a missed call.
const OPENING_AGAIN: Duration = Duration::from_secs(5);
/// As many local candidates as the other side takes in of one call.
const CANDIDATES_MAX: usize = 256;

/// What was said last of the call that goes on.
#[derive(Debug, Default)]
pub(crate) struct Said {
    call: Option<CallId>,
    progress: Option<(Address, Progress)>,
    description: Option<(Address, UnsignedDescription)>,
    candidates: Vec<(Address, Candidate)>,
}

/// A call that is being said again.
#[derive(Debug)]
pub(super) struct Again {
    call: CallId,
    /// Until then `offline` may mean that the other side is not back yet.
    until: Time,
    /// When to try once more.
    at: Option<Time>,
}

impl Said {
    pub(crate) fn note_signal(&mut self, to: &Address, signal: &Signal) {
        match signal {
            Signal::Progress(progress) => {
                self.of(progress.call).progress = Some((to.clone(), progress.clone()));
            }
            Signal::Candidate(message) => {
                let candidates = &mut self.of(message.call).candidates;
                if candidates.len() < CANDIDATES_MAX {
                    candidates.push((to.clone(), message.candidate.clone()));
                }
            }
            // Descriptions are noted before they are signed; what is closed is not said again from here; who asks for an
            // ICE restart asks again.
            Signal::Offer(_) | Signal::Answer(_) | Signal::Restart(_) | Signal::Close(_) => {}
        }
    }

    pub(crate) fn note_description(&mut self, to: &Address, description: &UnsignedDescription) {
        let said = self.of(description.call);
        // Candidates of a generation that is over are of no use any more.
        said.candidates.retain(|(_, candidate)| {
            candidate.username_fragment.as_deref().is_some_and(|fragment| description.sdp.contains(fragment))
        });
        said.description = Some((to.clone(), description.clone()));
    }

    fn of(&mut self, call: CallId) -> &mut Self {
        if self.call != Some(call) {
            *self = Self { call: Some(call), ..Self::default() };
        }
        self
    }
}

impl Core {
    /// Says the call that goes on again, and again for a while where the other side is not back yet. Of a call that was
    /// dialled while the link was not up nothing was said before: it is said again only where the server may have been
    /// started anew, and not after a start or a sleep of this machine, when `offline` is simply true.
    pub(super) fn begin_to_say_again(&mut self) {
        let until = self.device.now + GRACE;
        let said = self.device.said.call;
        let call = self.call.as_ref().map(Call::id).filter(|call| self.server_may_be_new || said == Some(*call));
        self.again = call.map(|call| Again { call, until, at: None });
        self.say_again();
    }

    /// When to say it once more.
    pub(super) fn again_at(&self) -> Option<Time> {
        self.again.as_ref()?.at
    }

    /// Says it once more when the time has come.
    pub(super) fn handle_again_deadline(&mut self) {
        let now = self.device.now;
        let Some(again) = &mut self.again else { return };
        if again.at.take_if(|at| *at <= now).is_some() {
            self.say_again();
        }
    }

    /// Another call, or none, goes on now.
    pub(super) fn forget_what_was_said(&mut self) {
        self.again = None;
        self.device.said = Said::default();
    }

    /// Whether an error only says that the other side is not back yet.
    pub(super) fn is_not_back_yet(&mut self, error: &ErrorMessage, call: CallId) -> bool {
        let now = self.device.now;
        let is_dialling = self.call.as_ref().is_some_and(Call::is_unaccepted_outgoing);
        let pause = if is_dialling { OPENING_AGAIN } else { AGAIN };
        match &mut self.again {
            Some(again) if again.call == call && error.code == ErrorCode::Offline && now < again.until => {
                again.at.get_or_insert((now + pause).min(again.until));
                true
            }
            Some(_) | None => false,
        }
    }

    fn say_again(&mut self) {
        let Some(call) = &self.call else { return };
        let id = call.id();
        if self.device.said.call != Some(id) || call.is_giving_way() {
            return;
        }
        let is_dialling = call.is_unaccepted_outgoing() && !call.is_answered();
        let Said { call: _, progress, description, candidates } = &self.device.said;
        let progress = progress.iter().map(|(to, progress)| send(to, Signal::Progress(progress.clone())));
        let description = description.iter().filter(|(to, _)| match to {
            // To a bare name it would ring anew at other devices once somebody accepted, or while the path is being built
            // to the only device that there was.
            Address::User(_) => is_dialling,
            Address::Device(_) => true,
        });
        let description = description.map(|(to, description)| Output::SendDescription {
            via: Via::Server(to.clone()),
            description: description.clone(),
        });
        let candidates = candidates.iter().map(|(to, candidate)| {
            send(to, Signal::Candidate(CandidateMessage { call: id, candidate: candidate.clone() }))
        });
        let all: Vec<Output> = progress.chain(description).chain(candidates).collect();
        for output in all {
            self.device.through_link(output);
        }
    }
}

impl Call {
    fn is_giving_way(&self) -> bool {
        self.view().people == crate::view::PeopleView::GivingWay
    }
}

fn send(to: &Address, signal: Signal) -> Output {
    Output::Send(ClientMessage::Relay(Relay::new(to.clone(), signal)))
}
