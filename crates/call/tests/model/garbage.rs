//! Anybody says anything: outsiders, the user's own devices, names taken in vain, all of it well typed.

use ahoy_call::{Command, Input, LinkInput, PeerInput, Serial};
use ahoy_protocol::control::{ControlMessage, Sending};
use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::{CallId, DeviceAddress, SessionId};
use ahoy_protocol::identity::Binary;
use ahoy_protocol::message::{Received, Relayed, ServerMessage};
use ahoy_protocol::signal::{
    Answer, Candidate, CandidateMessage, Close, CloseReason, Offer, Progress, ProgressState, Restart, Signal,
};

use crate::peer::FINGERPRINT;
use crate::world::World;

/// No work of the core has this number.
const NOBODYS_SERIAL: Serial = Serial(u64::MAX);

/// They take part in no call, but the second one's may well ring.
const OUTSIDERS: [&str; 2] = ["carol", "guest-c"];

impl World {
    pub(crate) fn garbage(&mut self, device: usize) {
        let call = self.some_call(device);
        let input = match self.random.below(10) {
            0..6 => {
                let Some((serial, _)) = self.devices[device].link else { return };
                let message = self.some_message(device, call);
                Input::Link { serial, input: LinkInput::Received { seq: None, message: Some(message) } }
            }
            6 => {
                let message = self.some_message(device, call);
                Input::Link { serial: NOBODYS_SERIAL, input: LinkInput::Received { seq: None, message: Some(message) } }
            }
            7 => Input::Person(self.some_command(call)),
            _ => Input::Peer { call, input: self.some_peer_input(call) },
        };
        if let Input::Person(command) = input {
            self.command(device, command);
            return;
        }
        let sender = outsider(&input);
        self.input(device, Input::Tick);
        let before = self.devices[device].view().call.clone();
        self.input(device, input);
        if let (Some(sender), Some(before)) = (sender, before)
            && before.user.as_str() != sender
            && self.devices[device].view().call.as_ref() != Some(&before)
        {
            self.break_rule("somebody who is not in the call changed it");
        }
    }

    /// Often the call that the device is in.
    fn some_call(&mut self, device: usize) -> CallId {
        let own = self.devices[device].view().call.as_ref().map(|call| call.call);
        match (self.random.below(4), own) {
            (0..2, Some(own)) => own,
            (2, _) if !self.calls.is_empty() => self.calls[self.random.below(self.calls.len())],
            _ => CallId::from_random_bytes(self.random.bytes()),
        }
    }

    fn some_sender(&mut self, device: usize) -> DeviceAddress {
        let any = self.devices[self.random.below(self.devices.len())].address.clone();
        let session = SessionId::from_u64(self.random.next());
        match self.random.below(4) {
            0 => DeviceAddress { username: self.random.pick(&OUTSIDERS).parse().unwrap(), session },
            1 => DeviceAddress { username: self.users[1 - self.devices[device].user].name.clone(), session },
            _ => any,
        }
    }

    fn some_message(&mut self, device: usize, call: CallId) -> ServerMessage {
        let codes = [ErrorCode::Offline, ErrorCode::UnknownUser, ErrorCode::RateLimited, ErrorCode::Unknown];
        match self.random.below(10) {
            0 => {
                let code = self.random.pick(&codes);
                let call = self.random.percent(80).then(|| call.to_string());
                ServerMessage::Error(ErrorMessage { code, message: "garbage".into(), call, retry_s: Some(7) })
            }
            1 => {
                let to = (0..self.random.below(70)).map(|_| self.some_sender(device)).collect();
                ServerMessage::Relayed(Relayed { call, to })
            }
            _ => {
                let devices = self.random.percent(30).then(|| self.random.pick(&[0, 1, 2, u32::MAX]));
                let age_ms = self.random.pick(&[0, 0, 59_000, 61_000, u64::MAX]);
                let signal = self.some_signal(call);
                ServerMessage::Signal(Received { from: self.some_sender(device), devices, age_ms, signal })
            }
        }
    }

    fn some_signal(&mut self, call: CallId) -> Signal {
        let n = self.random.pick(&[0, 0, 1, 2, u32::MAX]);
        let signed = self.random.percent(30);
        let (key, signature) = (signed.then_some(Binary([3; 32])), signed.then_some(Binary([4; 64])));
        let sdp = self.random.pick(&["", "v=0", FINGERPRINT]).to_owned();
        let reasons = [
            CloseReason::Hangup,
            CloseReason::Declined,
            CloseReason::Busy,
            CloseReason::Timeout,
            CloseReason::Cancelled,
            CloseReason::AnsweredElsewhere,
            CloseReason::Glare,
            CloseReason::Failed,
            CloseReason::Unknown,
        ];
        match self.random.below(6) {
            0 => Signal::Offer(Offer { call, n, sdp, video: None, name: Some("\u{202E}x".into()), key, signature }),
            1 => Signal::Answer(Answer { call, n, sdp, early: self.random.percent(50), key, signature }),
            2 => {
                let state = self.random.pick(&[
                    ProgressState::Ringing,
                    ProgressState::Accepted,
                    ProgressState::Accepted,
                    ProgressState::Unknown,
                ]);
                Signal::Progress(Progress { call, state, device: Some("d".repeat(5_000)), video: None })
            }
            3 => {
                let length = self.random.pick(&[0, 30, 30, 60_000]);
                let fragment = self.random.pick(&[None, Some("none"), Some("")]);
                let candidate = Candidate {
                    candidate: "c".repeat(length),
                    sdp_mid: None,
                    sdp_mline_index: Some(u16::MAX),
                    username_fragment: fragment.map(str::to_owned),
                };
                Signal::Candidate(CandidateMessage { call, candidate })
            }
            4 => Signal::Restart(Restart { call, n }),
            _ => Signal::Close(Close { call, reason: self.random.pick(&reasons), by: None }),
        }
    }

    fn some_command(&mut self, call: CallId) -> Command {
        match self.random.below(5) {
            0 => Command::Decline { call },
            1 => Command::HangUp { call },
            2 => Command::RestartIce { call },
            3 => Command::Accept { call, video: true },
            _ => Command::SetSending { call, sending: Sending { audio: true, video: true, screen: true } },
        }
    }

    fn some_peer_input(&mut self, call: CallId) -> PeerInput {
        match self.random.below(6) {
            0 => PeerInput::Made { serial: NOBODYS_SERIAL, result: Ok("v=0".into()) },
            1 => PeerInput::Applied { serial: NOBODYS_SERIAL, result: Err("garbage".into()) },
            2 => PeerInput::NegotiationNeeded,
            3 => PeerInput::Control(ControlMessage::Media(Sending { audio: true, video: true, screen: true })),
            _ => {
                let signal = self.some_signal(call);
                PeerInput::Control(ControlMessage::Signal(signal))
            }
        }
    }
}

/// The sender, if it is nobody who ever takes part in a call of the two users.
fn outsider(input: &Input) -> Option<&'static str> {
    let Input::Link { input: LinkInput::Received { message: Some(ServerMessage::Signal(received)), .. }, .. } = input
    else {
        return None;
    };
    OUTSIDERS.into_iter().find(|outsider| received.from.username.as_str() == *outsider)
}
