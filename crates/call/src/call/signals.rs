//! Messages about a call, whichever way they came: who may speak, and what an accepted call makes of them.

use std::ops::ControlFlow;

use ahoy_protocol::description::{DescriptionKind, SignedDescription};
use ahoy_protocol::id::DeviceAddress;
use ahoy_protocol::signal::{Answer, Close, CloseReason, Offer, Signal};

use crate::call::{Call, Ending, Flow, GOES_ON, People};
use crate::device::Device;
use crate::end::{EndReason, Failure, Side};
use crate::gate::Consent;
use crate::negotiation::Role;

impl Call {
    /// A message about this call. Who may not speak in it is not heard (section 5, "Who may speak").
    pub(crate) fn handle_signal(&mut self, device: &mut Device, from: &DeviceAddress, signal: Signal) -> Flow {
        match &self.people {
            People::Dialling { legs, .. } => {
                let is_leg = from.username == self.user && legs.as_ref().is_some_and(|legs| legs.is_live(from.session));
                if is_leg { self.handle_leg_signal(device, from, signal) } else { foreign(device) }
            }
            // Whatever the own call's devices say is too late.
            People::GivingWay { .. } => {
                device.counters.passed += 1;
                GOES_ON
            }
            People::Ringing { caller, .. } if caller == from => self.handle_caller_signal(device, from, signal),
            People::Accepted { other, .. } if other == from => self.handle_accepted_signal(device, from, signal),
            People::Ringing { .. } | People::Accepted { .. } => foreign(device),
        }
    }

    /// An offer within the call. One that is not proven, or fails, leaves the call as it was.
    pub(super) fn renegotiate(&mut self, device: &mut Device, from: &DeviceAddress, offer: Offer) -> Flow {
        if !self.negotiation.is_settled() {
            device.counters.out_of_place += 1;
            return GOES_ON;
        }
        if !self.negotiation.is_new_offer(offer.n) {
            if !self.negotiation.handle_offer_again(device.now, offer.n, &offer.sdp) {
                device.counters.passed += 1;
            }
            return self.run_steps(device);
        }
        let Offer { call, n, sdp, video: _, name: _, key, signature } = offer;
        let signed = SignedDescription::new(DescriptionKind::Offer, n, sdp, key, signature);
        match device.prove(call, &from.username, signed, None, self.key) {
            Ok(proven) => {
                self.negotiation.handle_offer(device.now, proven);
                self.run_steps(device)
            }
            Err(_) => {
                device.counters.refused += 1;
                GOES_ON
            }
        }
    }

    fn handle_accepted_signal(&mut self, device: &mut Device, from: &DeviceAddress, signal: Signal) -> Flow {
        match signal {
            Signal::Offer(offer) => self.renegotiate(device, from, offer),
            Signal::Answer(answer) => self.handle_answer(device, from, answer),
            Signal::Candidate(message) => self.remote_candidate(device, message.candidate),
            Signal::Restart(restart) => {
                if !(self.negotiation.is_restart_asked(restart.n) && self.recovery.restart_asked(device.now)) {
                    device.counters.passed += 1;
                }
                self.recover(device)
            }
            Signal::Close(close) => match self.negotiation.role() {
                Role::Caller => ControlFlow::Break(Ending::silent(self.callee_closed(device, &close))),
                Role::Callee => self.caller_closed(device, &close),
            },
            // It has accepted; nothing is left to be said of its progress.
            Signal::Progress(_) => {
                device.counters.passed += 1;
                GOES_ON
            }
        }
    }

    pub(super) fn handle_answer(&mut self, device: &mut Device, from: &DeviceAddress, answer: Answer) -> Flow {
        let gives_consent = !answer.early && !self.negotiation.is_settled();
        let Some(proven) = self.prove_answer(device, from, answer)? else { return GOES_ON };
        if let People::Accepted { consent, .. } = &mut self.people
            && gives_consent
        {
            *consent = Consent::Given;
        }
        self.negotiation.handle_answer(device.now, proven);
        self.refresh(device);
        self.run_steps(device)
    }
}

impl Call {
    /// The device that accepted ends the call.
    fn callee_closed(&self, device: &Device, close: &Close) -> EndReason {
        match close.reason {
            CloseReason::Hangup => EndReason::HungUp(Side::Remote),
            CloseReason::Declined => EndReason::Declined(Side::Remote),
            CloseReason::Cancelled => EndReason::Cancelled(Side::Remote),
            CloseReason::Busy => EndReason::Busy,
            CloseReason::Timeout => EndReason::NoAnswer(Side::Remote),
            CloseReason::Glare => EndReason::Glare,
            CloseReason::AnsweredElsewhere | CloseReason::Failed | CloseReason::Unknown => {
                self.gave_up_path(device.now).unwrap_or(EndReason::Failed(Failure::Remote))
            }
        }
    }
}

fn foreign(device: &mut Device) -> Flow {
    device.counters.foreign += 1;
    GOES_ON
}
