//! An incoming call until the local user accepts. To a caller that is no contact nothing but `progress` and `close`
//! leaves; for a contact the path may be built while it rings (section 5, "answer").

use std::ops::ControlFlow;
use std::time::Duration;

use ahoy_protocol::control::{Accepted, ControlMessage};
use ahoy_protocol::description::{Hash, ProvenDescription};
use ahoy_protocol::id::{Address, CallId, DeviceAddress};
use ahoy_protocol::signal::{Close, CloseReason, Progress, ProgressState, Signal};

use crate::call::{Call, Ending, Flow, GOES_ON, People, Standing};
use crate::device::Device;
use crate::end::{EndReason, Failure, Side};
use crate::gate::Consent;
use crate::negotiation::Role;
use crate::output::{Event, PeerCommand, Trust};

/// An opening offer that passed Proof.
#[derive(Debug)]
pub(crate) struct OpeningOffer {
    pub(crate) call: CallId,
    pub(crate) from: DeviceAddress,
    /// The caller's free-text name, fit to be shown.
    pub(crate) name: Option<String>,
    pub(crate) video: bool,
    /// How many devices of the local user it was handed to.
    pub(crate) devices: u32,
    /// How long it waited at the server.
    pub(crate) age: Duration,
    pub(crate) offer: ProvenDescription,
}

/// How much of the answer exists while it rings.
#[derive(Debug)]
pub(crate) enum Preparation {
    /// Nothing: the transport has not even heard of the call.
    None { offer: ProvenDescription },
    /// The path is being built, for a contact. `held` is an answer that may not leave yet.
    Early { held: Option<HeldAnswer> },
}

/// An answer that waits for the user.
#[derive(Debug)]
pub(crate) struct HeldAnswer {
    pub(crate) n: u32,
    pub(crate) sdp: String,
    pub(crate) offer: Hash,
}

impl Call {
    /// A call that came in. It does nothing before [`Self::ring`] or [`Self::accept`].
    pub(crate) fn incoming(device: &mut Device, opening: OpeningOffer) -> (Self, Incoming) {
        let OpeningOffer { call, from, name, video, devices, age, offer } = opening;
        let timers = device.config.timers;
        let proof = offer.proof();
        let trust = device.trust(&from.username, proof);
        // What it waited at the server is gone from the caller's patience already.
        let until = device.now + timers.ring.saturating_sub(age);
        let early = trust == Trust::Contact && devices == 1 && has_application(offer.sdp());
        let sdp = offer.sdp().to_owned();
        let preparation = Preparation::None { offer };
        let people = People::Ringing { caller: from.clone(), until, preparation };
        let mut incoming = Self::new(call, from.username.clone(), Role::Callee, people, video, timers);
        incoming.name = name;
        incoming.vouched(device, proof);
        incoming.verification.proven(&sdp);
        (incoming, Incoming { early, trust, video })
    }

    /// Rings, and begins to build the path where that is allowed.
    pub(crate) fn ring(&mut self, device: &mut Device, incoming: &Incoming) -> Flow {
        let People::Ringing { caller, .. } = &self.people else { return GOES_ON };
        let (call, from) = (self.id, caller.clone());
        let own_name = match incoming.trust {
            Trust::Contact => device.config.device.clone(),
            Trust::Stranger | Trust::Guest => None,
        };
        let ringing = Progress { call, state: ProgressState::Ringing, device: own_name, video: None };
        device.send(Address::Device(from.clone()), Signal::Progress(ringing));
        let Incoming { trust, video, .. } = *incoming;
        device.event(Event::Incoming { call, from, name: self.name.clone(), video, trust });
        if incoming.early { self.prepare(device) } else { GOES_ON }
    }

    /// The local user says yes.
    pub(crate) fn accept(&mut self, device: &mut Device, video: bool) -> Flow {
        let People::Ringing { caller, preparation, .. } = &mut self.people else {
            device.counters.out_of_place += 1;
            return GOES_ON;
        };
        let other = caller.clone();
        // Whose call breaks off after that may call again.
        device.rings.forget(&other.username);
        let preparation = std::mem::replace(preparation, Preparation::Early { held: None });
        let standing = Standing::Awaited { since: device.now };
        self.people = People::Accepted { other: other.clone(), consent: Consent::Given, standing };
        self.wanted.video = video;
        let (call, state) = (self.id, ProgressState::Accepted);
        device.send(other.into(), Signal::Progress(Progress { call, state, device: None, video: Some(video) }));
        device.event(Event::Accepted { call, by: device.address(), video: Some(video) });
        self.confirm(device);
        match preparation {
            Preparation::None { offer } => {
                self.open_peer(device);
                self.negotiation.answer_opening(device.now, offer);
            }
            Preparation::Early { held: Some(held) } => self.send_answer(device, held),
            Preparation::Early { held: None } => {}
        }
        self.run_steps(device)?;
        self.accepted(device)
    }

    /// Says over the control channel that the local user accepted: the caller sends media only then, where the answer
    /// was early.
    pub(super) fn confirm(&self, device: &mut Device) {
        if self.control_open && self.negotiation.role() == Role::Callee {
            let accepted = Accepted { call: self.id, video: self.wanted.video };
            device.peer(self.id, PeerCommand::SendControl(ControlMessage::Accepted(accepted)));
        }
    }

    /// A message from the caller while it rings here.
    pub(super) fn handle_caller_signal(&mut self, device: &mut Device, from: &DeviceAddress, signal: Signal) -> Flow {
        match signal {
            Signal::Candidate(message) => self.remote_candidate(device, message.candidate),
            Signal::Close(close) => self.caller_closed(device, &close),
            // Only a path that is being built can be renegotiated before the user accepted.
            Signal::Offer(offer) if self.negotiation.is_settled() => self.renegotiate(device, from, offer),
            Signal::Offer(_) | Signal::Answer(_) | Signal::Progress(_) | Signal::Restart(_) => {
                device.counters.out_of_place += 1;
                GOES_ON
            }
        }
    }

    /// The caller closed the call, before or after the local user accepted.
    pub(super) fn caller_closed(&mut self, device: &mut Device, close: &Close) -> Flow {
        let reason = match close.reason {
            CloseReason::AnsweredElsewhere if close.by.as_ref() == Some(&device.address()) => return GOES_ON,
            CloseReason::AnsweredElsewhere => EndReason::AnsweredElsewhere,
            CloseReason::Hangup => EndReason::HungUp(Side::Remote),
            CloseReason::Declined => EndReason::DeclinedElsewhere,
            CloseReason::Cancelled | CloseReason::Timeout => EndReason::Cancelled(Side::Remote),
            CloseReason::Glare => EndReason::Glare,
            CloseReason::Busy => EndReason::Busy,
            CloseReason::Failed | CloseReason::Unknown => {
                self.gave_up_path(device.now).unwrap_or(EndReason::Failed(Failure::Remote))
            }
        };
        ControlFlow::Break(Ending::silent(reason))
    }

    /// Keeps an answer until the user accepted.
    pub(super) fn hold_answer(&mut self, held: HeldAnswer) {
        if let People::Ringing { preparation, .. } = &mut self.people {
            *preparation = Preparation::Early { held: Some(held) };
        }
    }

    fn prepare(&mut self, device: &mut Device) -> Flow {
        let People::Ringing { preparation, .. } = &mut self.people else { return GOES_ON };
        let Preparation::None { offer } = std::mem::replace(preparation, Preparation::Early { held: None }) else {
            return GOES_ON;
        };
        self.open_peer(device);
        self.negotiation.answer_opening(device.now, offer);
        self.run_steps(device)
    }
}

/// What the first look at an opening offer told.
#[derive(Debug)]
pub(crate) struct Incoming {
    early: bool,
    trust: Trust,
    video: bool,
}

/// Whether a description has the section that data channels live in (RFC 8841).
pub(super) fn has_application(sdp: &str) -> bool {
    sdp.lines().any(|line| line.starts_with("m=application "))
}
