//! The verification code in a call (section 9): who speaks when, what both people see, and what they say to it.

use std::ops::ControlFlow;

use ahoy_protocol::control::ControlMessage;
use ahoy_protocol::signal::CloseReason;
use ahoy_protocol::verification::Verify;

use crate::call::{Call, Ending, Flow, GOES_ON, People};
use crate::device::Device;
use crate::end::EndReason;
use crate::output::{Event, PeerCommand};
use crate::verification::Heard;

impl Call {
    /// Says the next word towards the code. Nothing is said before somebody accepted: it would be one of the few things
    /// that leave a device that rings.
    pub(super) fn verify(&mut self, device: &mut Device) {
        if !self.control_open || !matches!(self.people, People::Accepted { .. }) {
            return;
        }
        while let Some(word) = self.verification.next_word(&mut device.nonces) {
            device.peer(self.id, PeerCommand::SendControl(ControlMessage::Verify(word)));
        }
        let code = self.verification.code(device.config.own_key, self.key);
        if let (None, Some(code)) = (self.code, code) {
            self.code = Some(code);
            let verified = device.contacts.is_verified(&self.user, self.key);
            device.event(Event::Code { call: self.id, code, verified });
        }
    }

    /// The other side said a word towards the code.
    pub(super) fn handle_verify(&mut self, device: &mut Device, word: Verify) -> Flow {
        match self.verification.hear(word) {
            Heard::Taken => {
                self.verify(device);
                GOES_ON
            }
            Heard::OutOfPlace => {
                device.counters.out_of_place += 1;
                GOES_ON
            }
            Heard::Broken => ControlFlow::Break(Ending::telling(EndReason::CodeBroken, CloseReason::Failed)),
        }
    }

    /// Both people have read the code to each other. A code that differs means that somebody sits between them: the call
    /// is over, and the key is verified no more.
    pub(crate) fn code_compared(&mut self, device: &mut Device, same: bool) -> Flow {
        if self.code.is_none() {
            device.counters.out_of_place += 1;
            return GOES_ON;
        }
        if let Some(key) = self.key
            && device.contacts.set_verified(&self.user, key, same)
        {
            device.tell_pin(&self.user);
        }
        if same {
            return GOES_ON;
        }
        ControlFlow::Break(Ending::telling(EndReason::CodesDiffer, CloseReason::Failed))
    }

    /// The user's contacts have changed: a stranger who became one in this call is known by the key that signed in it.
    pub(crate) fn contacts_changed(&mut self, device: &mut Device) {
        let Some(key) = self.key else { return };
        device.pin(&self.user, key);
        self.trust = Some(device.trust(&self.user, ahoy_protocol::description::Proof::Key(key)));
    }
}
