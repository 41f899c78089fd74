//! A dialled call until somebody accepts: its legs, early answers, and the ways in which it comes to nothing.

use std::ops::ControlFlow;

use ahoy_protocol::description::{DescriptionKind, Proof, ProvenDescription, SignedDescription};
use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::{Address, CallId, DeviceAddress, Username, shown_name};
use ahoy_protocol::signal::{Answer, Close, CloseReason, Progress, ProgressState, Signal};

use crate::call::legs::{AllEnded, Legs};
use crate::call::{Call, Ending, Flow, GOES_ON, People, Standing};
use crate::device::Device;
use crate::end::{EndReason, Failure, Side};
use crate::gate::Consent;
use crate::input::PathState;
use crate::negotiation::Role;
use crate::output::Event;
use crate::view::LinkView;

impl Call {
    /// A call that the local user dials now. It does nothing before [`Self::start`].
    pub(crate) fn dialled(device: &Device, id: CallId, to: Username, video: bool) -> Self {
        let timers = device.config.timers;
        let people = People::Dialling { legs: None, until: device.now + timers.dial };
        Self::new(id, to, Role::Caller, people, video, timers)
    }

    /// Begins to dial.
    pub(crate) fn start(&mut self, device: &mut Device) -> Flow {
        device.event(Event::Dialling { call: self.id, to: self.user.clone() });
        self.begin(device)
    }

    /// The opening offer is made as soon as the link is up, and leaves when the peer connection has it. Not before: a
    /// sign-in brings the ICE servers that its candidates come from, and the credentials of earlier ones may have expired
    /// while the link was away.
    pub(crate) fn begin(&mut self, device: &mut Device) -> Flow {
        if !self.is_yet_to_begin() {
            return GOES_ON;
        }
        match device.link.view() {
            LinkView::SigningIn | LinkView::Waiting => GOES_ON,
            LinkView::SignedIn => {
                self.open_peer(device);
                self.negotiation.open(device.now);
                self.run_steps(device)
            }
            // The server refused the sign-in for good.
            LinkView::SignedOut => ControlFlow::Break(Ending::silent(EndReason::NotSignedIn)),
        }
    }

    /// Whether the link is awaited before anything else is done; the server and the others know nothing of the call.
    pub(super) fn is_yet_to_begin(&self) -> bool {
        matches!(self.people, People::Dialling { .. }) && !self.peer_open
    }

    /// Whether the opening offer reached that device, or may have.
    pub(crate) fn may_have_reached(&self, device: &DeviceAddress) -> bool {
        match &self.people {
            People::Dialling { .. } if self.is_yet_to_begin() => false,
            People::Dialling { legs, .. } => legs.as_ref().is_none_or(|legs| legs.reached(device.session)),
            People::GivingWay { .. } | People::Ringing { .. } | People::Accepted { .. } => false,
        }
    }

    /// The server says whom the opening offer reached.
    pub(crate) fn relayed(&mut self, device: &mut Device, reached: Vec<DeviceAddress>) -> Flow {
        if self.is_yet_to_begin() {
            device.counters.out_of_place += 1;
            return GOES_ON;
        }
        let People::Dialling { legs, .. } = &mut self.people else {
            device.counters.passed += 1;
            return GOES_ON;
        };
        let legs = match legs {
            None => legs.insert(Legs::of(&self.user, reached)),
            // A server that was started anew was told the offer again, and other devices may be there by now.
            Some(legs) => {
                let news = legs.news(&self.user, reached);
                if news.is_empty() {
                    device.counters.passed += 1;
                    return GOES_ON;
                }
                if self.negotiation.is_answered() {
                    // The path is being built to the only device that there was, and leads to no other.
                    for late in news {
                        device.send_close(late.into(), self.id, CloseReason::Cancelled);
                    }
                    return GOES_ON;
                }
                legs.add(&news);
                legs
            }
        };
        device.event(Event::Relayed { call: self.id, devices: legs.len() });
        self.legs_changed()
    }

    /// The server could not do something for this call.
    pub(crate) fn server_error(&mut self, device: &mut Device, error: ErrorMessage) -> Flow {
        match &self.people {
            People::Dialling { .. } if self.is_yet_to_begin() => {
                device.counters.out_of_place += 1;
                GOES_ON
            }
            People::Dialling { legs: None, .. } => ControlFlow::Break(Ending::silent(opening_refused(error))),
            // The last device went offline, or the caller that rings here did.
            People::Dialling { legs: Some(_), .. } if error.code == ErrorCode::Offline => {
                ControlFlow::Break(Ending::silent(EndReason::Offline))
            }
            People::Ringing { .. } if error.code == ErrorCode::Offline => {
                ControlFlow::Break(Ending::silent(EndReason::Cancelled(Side::Remote)))
            }
            // What was said over the server to find a new path reaches nobody.
            People::Accepted { standing: Standing::Lost { .. }, .. } if error.code == ErrorCode::Offline => {
                ControlFlow::Break(Ending::silent(EndReason::Failed(Failure::PeerGone)))
            }
            People::Dialling { .. } | People::GivingWay { .. } | People::Ringing { .. } | People::Accepted { .. } => {
                device.counters.out_of_place += 1;
                GOES_ON
            }
        }
    }

    /// A message from a device whose leg is live.
    pub(super) fn handle_leg_signal(&mut self, device: &mut Device, from: &DeviceAddress, signal: Signal) -> Flow {
        match signal {
            Signal::Progress(progress) => self.leg_progress(device, from, progress),
            Signal::Answer(answer) => self.leg_answer(device, from, answer),
            Signal::Candidate(message) => self.remote_candidate(device, message.candidate),
            Signal::Close(close) => self.leg_closed(device, from, &close),
            Signal::Offer(_) | Signal::Restart(_) => {
                device.counters.out_of_place += 1;
                GOES_ON
            }
        }
    }

    /// A device accepted, the first one: it is the other end from now on, and the others are told.
    pub(super) fn won(
        &mut self,
        device: &mut Device,
        by: DeviceAddress,
        video: Option<bool>,
        consent: Consent,
    ) -> Flow {
        let (call, reason) = (self.id, CloseReason::AnsweredElsewhere);
        let close = Signal::Close(Close { call, reason, by: Some(by.clone()) });
        device.send(Address::User(self.user.clone()), close);
        device.event(Event::Accepted { call, by: by.clone(), video });
        let early = match &mut self.people {
            People::Dialling { legs: Some(legs), .. } => legs.take_early(by.session),
            People::Dialling { legs: None, .. }
            | People::GivingWay { .. }
            | People::Ringing { .. }
            | People::Accepted { .. } => None,
        };
        let standing = Standing::Awaited { since: device.now };
        self.people = People::Accepted { other: by.clone(), consent, standing };
        self.accepted(device)?;
        // It makes no other.
        early.map_or(GOES_ON, |answer| self.handle_answer(device, &by, answer))
    }

    /// What either side does once somebody accepted.
    pub(super) fn accepted(&mut self, device: &mut Device) -> Flow {
        if self.path == PathState::Failed {
            return ControlFlow::Break(self.no_path());
        }
        self.negotiation.allow_offers(device.now);
        if self.path == PathState::Lost {
            // It was built early. That the other side was heard from just now shows that it can be reached.
            self.recovery.path_lost(device.now);
            self.recovery.restart_asked(device.now);
        }
        if std::mem::take(&mut self.is_address_gone) {
            self.recovery.address_gone(device.now);
        }
        self.refresh(device);
        self.verify(device);
        self.run_steps(device)?;
        self.recover(device)
    }

    /// Checks an answer of `from`'s that is awaited; the keys and the trust of the call follow from it.
    pub(super) fn prove_answer(
        &mut self,
        device: &mut Device,
        from: &DeviceAddress,
        answer: Answer,
    ) -> ControlFlow<Ending, Option<ProvenDescription>> {
        let Some(offer) = self.negotiation.awaited_answer(answer.n) else {
            device.counters.passed += 1;
            return ControlFlow::Continue(None);
        };
        let Answer { call, n, sdp, early, key, signature } = answer;
        let kind = if early { DescriptionKind::Early } else { DescriptionKind::Answer };
        let signed = SignedDescription::new(kind, n, sdp, key, signature);
        match device.prove(call, &from.username, signed, Some(offer), self.key) {
            // A guest cannot vouch for an answer that its user has not accepted.
            Ok(proven) if early && proven.proof() == Proof::Guest => {
                device.counters.refused += 1;
                ControlFlow::Continue(None)
            }
            Ok(proven) => {
                self.vouched(device, proven.proof());
                self.verification.proven(proven.sdp());
                ControlFlow::Continue(Some(proven))
            }
            // There will be no other answer.
            Err(error) if !self.negotiation.is_settled() => {
                ControlFlow::Break(Ending::telling(EndReason::NotProven(error), CloseReason::Failed))
            }
            Err(_) => {
                device.counters.refused += 1;
                ControlFlow::Continue(None)
            }
        }
    }

    fn leg_progress(&mut self, device: &mut Device, from: &DeviceAddress, progress: Progress) -> Flow {
        match progress.state {
            ProgressState::Ringing => {
                if let People::Dialling { legs: Some(legs), .. } = &mut self.people
                    && legs.set_ringing(from.session)
                {
                    let device_name = progress.device.as_deref().and_then(shown_name);
                    device.event(Event::Ringing { call: self.id, device: device_name });
                }
                GOES_ON
            }
            ProgressState::Accepted => self.won(device, from.clone(), progress.video, Consent::Said),
            ProgressState::Unknown => GOES_ON,
        }
    }

    fn leg_answer(&mut self, device: &mut Device, from: &DeviceAddress, answer: Answer) -> Flow {
        let People::Dialling { legs: Some(legs), .. } = &mut self.people else { return GOES_ON };
        let early = answer.early;
        if early && legs.only() != Some(from.session) {
            // It was the only one by what the server knew at that time, and another may accept yet.
            legs.keep_early(from.session, answer);
            return GOES_ON;
        }
        let Some(proven) = self.prove_answer(device, from, answer)? else { return GOES_ON };
        self.negotiation.handle_answer(device.now, proven);
        if early {
            return self.run_steps(device);
        }
        // Only a device whose user accepted answers so; its `accepted` may have been lost.
        self.won(device, from.clone(), None, Consent::Given)
    }

    fn leg_closed(&mut self, device: &mut Device, from: &DeviceAddress, close: &Close) -> Flow {
        let People::Dialling { legs: Some(legs), .. } = &mut self.people else { return GOES_ON };
        match close.reason {
            CloseReason::Busy => {
                legs.set_busy(from.session);
                self.legs_changed()
            }
            CloseReason::Timeout => {
                legs.set_timed_out(from.session);
                self.legs_changed()
            }
            CloseReason::Declined => {
                ControlFlow::Break(Ending::telling(EndReason::Declined(Side::Remote), CloseReason::Declined))
            }
            CloseReason::Glare => {
                self.begin_to_give_way(device);
                GOES_ON
            }
            CloseReason::Hangup
            | CloseReason::Cancelled
            | CloseReason::AnsweredElsewhere
            | CloseReason::Failed
            | CloseReason::Unknown => {
                // An opening offer that fails Proof does not ring (section 5, "answer").
                let is_refusal = close.reason == CloseReason::Failed && !legs.any_rings();
                let failure = if is_refusal { Failure::RefusedThere } else { Failure::Remote };
                ControlFlow::Break(Ending::telling(EndReason::Failed(failure), CloseReason::Failed))
            }
        }
    }

    fn legs_changed(&self) -> Flow {
        let People::Dialling { legs: Some(legs), .. } = &self.people else { return GOES_ON };
        match legs.all_ended() {
            None => GOES_ON,
            Some(AllEnded::NoneReached) => ControlFlow::Break(Ending::silent(EndReason::Offline)),
            Some(AllEnded::Busy) => ControlFlow::Break(Ending::silent(EndReason::Busy)),
            Some(AllEnded::NoAnswer) => ControlFlow::Break(Ending::silent(EndReason::NoAnswer(Side::Remote))),
        }
    }

    /// The other user's call is on its way here: the own one stops ringing at their other devices, and waits.
    fn begin_to_give_way(&mut self, device: &mut Device) {
        device.send_close(self.other(), self.id, CloseReason::Glare);
        self.close_peer(device);
        self.people = People::GivingWay { until: device.now + device.config.timers.glare };
    }
}

fn opening_refused(error: ErrorMessage) -> EndReason {
    match error.code {
        ErrorCode::Offline => EndReason::Offline,
        ErrorCode::UnknownUser => EndReason::UnknownUser,
        ErrorCode::RateLimited => EndReason::RateLimited { retry_s: error.retry_s },
        ErrorCode::BadMessage
        | ErrorCode::UnknownType
        | ErrorCode::UnsupportedProtocol
        | ErrorCode::NotSignedIn
        | ErrorCode::BadUsername
        | ErrorCode::UsernameTaken
        | ErrorCode::BadSignature
        | ErrorCode::GuestsRefused
        | ErrorCode::RegistrationClosed
        | ErrorCode::TooMany
        | ErrorCode::Internal
        | ErrorCode::Unknown => EndReason::Refused { message: error.message },
    }
}
