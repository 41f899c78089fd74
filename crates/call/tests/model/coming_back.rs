//! Coming back into a session: what must hold between a client that counts and a server that counts.

use ahoy_call::LinkInput;
use ahoy_protocol::id::CallId;
use ahoy_protocol::json::parse_object;
use ahoy_protocol::message::{ClientMessage, ServerMessage, Welcome};
use ahoy_protocol::signal::Signal;

use crate::world::{Weather, World};

/// One session as the model sees it from the client's side.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// What the core had sent, `login` and `ping` left out.
    said: Vec<String>,
    /// The last number that was delivered.
    seen: u64,
    /// The call that went on when the session began: it is said again, perhaps more than once.
    again: Option<CallId>,
}

impl World {
    /// The core has this sent.
    pub(crate) fn note_said(&mut self, device: usize, message: &ClientMessage) {
        if !matches!(message, ClientMessage::Login(_) | ClientMessage::Ping) {
            self.devices[device].counted.said.push(message.to_text());
        }
    }

    /// The server takes a message in its place in the session.
    pub(crate) fn check_taken(&mut self, device: usize, place: usize, text: &str, is_second: bool) {
        let counted = &self.devices[device].counted;
        if counted.said.get(place).map(String::as_str) != Some(text) {
            self.break_rule("client and server count what the client says differently");
        }
        let is_once = |signal: &Signal| {
            let is_once_in_a_session = match signal {
                // A restart stands until it is answered, and is said again meanwhile; what is said again is answered again.
                Signal::Offer(offer) => offer.n == 0,
                Signal::Answer(answer) => answer.n == 0,
                Signal::Candidate(_) => true,
                Signal::Progress(_) | Signal::Restart(_) | Signal::Close(_) => false,
            };
            is_once_in_a_session && Some(signal.call()) != self.devices[device].counted.again
        };
        if is_second && signal_of(text).is_some_and(|signal| is_once(&signal)) {
            self.break_rule("the server is told something twice in a session");
        }
    }

    /// Hands the core a message of the server's, and checks what it makes of its number.
    pub(crate) fn deliver_numbered(&mut self, device: usize, seq: Option<u64>, message: ServerMessage) {
        let Some((serial, _)) = self.devices[device].link else { return };
        let welcome = match &message {
            ServerMessage::Welcome(welcome) => Some(welcome.clone()),
            _ => None,
        };
        let lost = welcome.as_ref().map(|welcome| self.begin_counting(device, welcome));
        let before = self.devices[device].view().counters.stale;
        let input = LinkInput::Received { seq, message: Some(message) };
        self.input(device, ahoy_call::Input::Link { serial, input });
        let was_stale = self.devices[device].view().counters.stale > before;
        if let (Some(welcome), Some(lost)) = (welcome, lost) {
            self.check_said_again(device, &welcome, &lost);
        }
        let Some(seq) = seq else { return };
        let counted = &mut self.devices[device].counted;
        let is_next = seq == counted.seen + 1;
        let is_copy = seq <= counted.seen;
        if is_next {
            counted.seen = seq;
        }
        if is_copy {
            self.tally.copies += 1;
        }
        if self.weather != Weather::Garbage && !is_next && !is_copy {
            self.break_rule("something that the server said is lost");
        }
        if is_copy && !was_stale {
            self.break_rule("the core heeds something twice");
        }
    }

    /// Gives what the server has not taken of the session that the client comes back into.
    fn begin_counting(&mut self, device: usize, welcome: &Welcome) -> Vec<String> {
        let live = self.devices[device].view().call.as_ref().map(|call| call.call);
        let counted = &mut self.devices[device].counted;
        if welcome.resumed {
            let received = usize::try_from(welcome.received).unwrap();
            return counted.said.split_off(received.min(counted.said.len()));
        }
        *counted = Counted { again: live, ..Counted::default() };
        Vec::new()
    }

    /// Who came back has said again all that was lost, in its order, but for calls that are over. Also over is one that
    /// this device has closed while its user waits for the call that the other side makes instead.
    fn check_said_again(&mut self, device: usize, welcome: &Welcome, lost: &[String]) {
        if !welcome.resumed {
            self.tally.signed_in_anew += 1;
            return;
        }
        self.tally.came_back += 1;
        let live = self.devices[device].view().call.as_ref().map(|call| call.call);
        let received = usize::try_from(welcome.received).unwrap();
        let said = &self.devices[device].counted.said[received..];
        let live = live.filter(|call| !said.iter().any(|text| ends(text, *call)));
        let wanted = lost.iter().filter(|text| signal_of(text).is_some_and(|signal| Some(signal.call()) == live));
        let mut said = said.iter();
        let mut count = 0;
        for text in wanted {
            count += 1;
            if !said.any(|again| again == text) {
                self.break_rule(format!("lost, though its sender came back: {text}"));
                return;
            }
        }
        self.tally.said_again += count;
    }
}

/// Whether this ends the call for its sender: for the one who tells who answered, it goes on.
fn ends(text: &str, call: CallId) -> bool {
    matches!(signal_of(text), Some(Signal::Close(close)) if close.call == call && close.by.is_none())
}

fn signal_of(text: &str) -> Option<Signal> {
    match ClientMessage::from_object(parse_object(text).ok()?).ok()? {
        ClientMessage::Relay(relay) => Some(relay.signal),
        _ => None,
    }
}
