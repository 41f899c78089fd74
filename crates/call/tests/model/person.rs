//! What people do, and what breaks around them.

use ahoy_call::{Command, Input, PeerInput, PeopleView};
use ahoy_protocol::control::Sending;
use ahoy_protocol::id::CallId;

use crate::world::{Happening, World};

impl World {
    /// The person at a device does something that fits what is on the screen.
    pub(crate) fn act(&mut self, device: usize) {
        let Some(call) = self.devices[device].view().call.clone() else {
            if !self.is_resting() && self.random.percent(70) {
                self.dial(device);
            }
            return;
        };
        let (id, dice) = (call.call, self.random.below(100));
        match call.people {
            PeopleView::RingingHere => match dice {
                0..60 => {
                    let video = self.random.percent(50);
                    self.command(device, Command::Accept { call: id, video });
                }
                60..75 => self.command(device, Command::Decline { call: id }),
                75..85 => self.dial(device),
                _ => {}
            },
            PeopleView::Dialling | PeopleView::RingingThere | PeopleView::GivingWay => match dice {
                _ if self.is_resting() => {}
                0..35 => self.command(device, Command::HangUp { call: id }),
                35..45 => self.dial(device),
                _ => {}
            },
            PeopleView::Accepted => self.act_in_call(device, id, dice),
        }
    }

    pub(crate) fn dial(&mut self, device: usize) {
        let call = CallId::from_random_bytes(self.random.bytes());
        let to = self.users[1 - self.devices[device].user].name.clone();
        let video = self.random.percent(50);
        self.calls.push(call);
        self.command(device, Command::Dial { call, to, video });
    }

    pub(crate) fn fault(&mut self, device: usize) {
        let call = self.devices[device].view().call.as_ref().map(|call| call.call);
        match (self.random.below(100), call) {
            (0..40, _) => self.drop_link(device),
            (40..45, _) => self.input(device, Input::Woke),
            (45..75, Some(call)) => self.break_path(device, call),
            (75..85, _) => self.restart(device),
            (85..95, _) => {
                self.command(device, Command::SignOut);
                self.command(device, Command::SignIn);
            }
            _ => self.drop_link(device),
        }
    }

    fn act_in_call(&mut self, device: usize, call: CallId, dice: usize) {
        match dice {
            _ if self.is_resting() => {}
            0..25 => self.command(device, Command::HangUp { call }),
            25..50 => self.command(device, Command::RestartIce { call }),
            50..75 => self.input(device, Input::Peer { call, input: PeerInput::NegotiationNeeded }),
            _ => {
                let mut flip = || self.random.percent(50);
                let sending = Sending { audio: flip(), video: flip(), screen: flip() };
                self.command(device, Command::SetSending { call, sending });
            }
        }
        if !self.is_resting() && self.random.percent(60) {
            let again = self.random.millis(0, 3_000);
            self.after(again, Happening::Act { device });
        }
    }
}
