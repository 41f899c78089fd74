//! What waits for the link to come back. The end of a call takes with it whatever waited of that call, and is itself
//! not said where the call's opening offer never left: nobody rings for a call that is over.

use std::collections::VecDeque;

use ahoy_protocol::id::{Address, CallId};
use ahoy_protocol::message::ClientMessage;
use ahoy_protocol::signal::{Close, Signal};

use crate::output::{Output, Via};

/// Enough for the candidates of one call, what else is said of it, and the ends of others.
const MAX: usize = 128;

/// Messages in the order in which they are to leave.
#[derive(Debug, Default)]
pub(crate) struct Waiting(VecDeque<Output>);

impl Waiting {
    /// Adds one. Returns whether it was taken: a full queue drops the newest.
    pub(crate) fn push(&mut self, output: Output) -> bool {
        self.add(output, MAX)
    }

    fn add(&mut self, output: Output, max: usize) -> bool {
        match &output {
            // Said anew, or needless, after each sign-in.
            Output::Send(ClientMessage::Contacts(_) | ClientMessage::IceServers | ClientMessage::Ping) => return true,
            Output::Send(_) => {
                if let Some(call) = ended_by(&output) {
                    let is_unheard_of = self.0.iter().any(|waiting| opens(waiting) == Some(call));
                    self.0.retain(|waiting| call_of(waiting) != Some(call));
                    if is_unheard_of {
                        return true;
                    }
                }
            }
            Output::SendDescription { .. }
            | Output::OpenLink { .. }
            | Output::CloseLink { .. }
            | Output::DropLink { .. }
            | Output::Login { .. }
            | Output::Peer { .. }
            | Output::Media { .. }
            | Output::Event(_) => {}
        }
        if self.0.len() >= max {
            return false;
        }
        self.0.push_back(output);
        true
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// All that waits, after what an earlier connection may have lost. Both are bounded where they are kept.
    pub(crate) fn take_after(&mut self, lost: Vec<Output>) -> VecDeque<Output> {
        let mut all = Self::default();
        for output in lost.into_iter().chain(self.0.drain(..)) {
            all.add(output, usize::MAX);
        }
        all.0
    }

    /// Of all that waits, and of what the earlier session may have lost, what only that session could know: which calls
    /// are over. The rest is said anew by whoever still believes in it.
    pub(crate) fn take_closes(&mut self, lost: Vec<Output>) -> VecDeque<Output> {
        let all = lost.into_iter().chain(self.0.drain(..));
        all.filter(|output| close_in(output).is_some()).collect()
    }
}

fn signal_in(output: &Output) -> Option<&Signal> {
    match output {
        Output::Send(ClientMessage::Relay(relay)) => Some(&relay.signal),
        _ => None,
    }
}

/// The end of a call, if this is one.
pub(super) fn close_in(output: &Output) -> Option<&Close> {
    match signal_in(output) {
        Some(Signal::Close(close)) => Some(close),
        _ => None,
    }
}

fn call_of(output: &Output) -> Option<CallId> {
    match output {
        Output::SendDescription { description, .. } => Some(description.call),
        output => signal_in(output).map(Signal::call),
    }
}

/// The call that this ends for its sender: for the one who tells who answered, it goes on.
fn ended_by(output: &Output) -> Option<CallId> {
    close_in(output).filter(|close| close.by.is_none()).map(|close| close.call)
}

fn opens(output: &Output) -> Option<CallId> {
    match output {
        Output::SendDescription { via: Via::Server(Address::User(_)), description } => Some(description.call),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ahoy_protocol::description::DescriptionKind;
    use ahoy_protocol::message::{Contacts, Relay};
    use ahoy_protocol::signal::{CloseReason, Progress, ProgressState};

    use super::*;
    use crate::output::UnsignedDescription;

    fn id(number: u8) -> CallId {
        CallId::from_random_bytes([number; 16])
    }

    fn offer(call: u8) -> Output {
        let description = UnsignedDescription {
            call: id(call),
            kind: DescriptionKind::Offer,
            n: 0,
            sdp: "v=0".into(),
            video: Some(true),
            name: None,
            receiver: "bob".parse().unwrap(),
            receiver_key: None,
            offer: None,
        };
        Output::SendDescription { via: Via::Server(Address::User("bob".parse().unwrap())), description }
    }

    fn send(signal: Signal) -> Output {
        Output::Send(ClientMessage::Relay(Relay::new(Address::User("bob".parse().unwrap()), signal)))
    }

    fn close(call: u8) -> Output {
        send(Signal::Close(Close { call: id(call), reason: CloseReason::Cancelled, by: None }))
    }

    fn answered_elsewhere(call: u8) -> Output {
        let by = Some("bob/19ce44d05b7a1c02".parse().unwrap());
        send(Signal::Close(Close { call: id(call), reason: CloseReason::AnsweredElsewhere, by }))
    }

    fn accepted(call: u8) -> Output {
        let state = ProgressState::Accepted;
        send(Signal::Progress(Progress { call: id(call), state, device: None, video: None }))
    }

    fn waiting(outputs: &[Output]) -> Waiting {
        let mut waiting = Waiting::default();
        assert!(outputs.iter().all(|output| waiting.push(output.clone())));
        waiting
    }

    #[test]
    fn a_call_whose_opening_offer_never_left_takes_all_of_it_along() {
        let mut all = waiting(&[offer(1), accepted(2), answered_elsewhere(1), close(1)]);
        assert_eq!(all.take_after(Vec::new()), [accepted(2)]);
        assert_eq!(waiting(&[close(1)]).take_after(vec![offer(1)]), [], "it never arrived, which the server said");
    }

    #[test]
    fn of_a_call_that_is_over_only_its_end_is_said() {
        let mut all = waiting(&[accepted(1), accepted(2), close(1)]);
        assert_eq!(all.take_after(vec![accepted(1)]), [accepted(2), close(1)]);
    }

    #[test]
    fn who_answered_ends_nothing() {
        let all = [accepted(1), answered_elsewhere(1)];
        assert_eq!(waiting(&all).take_after(Vec::new()), all);
    }

    #[test]
    fn in_a_new_session_only_ends_are_said_again() {
        let mut all = waiting(&[accepted(2), close(2)]);
        assert_eq!(all.take_closes(vec![offer(1), close(1), accepted(3)]), [close(1), close(2)]);
    }

    #[test]
    fn nothing_of_two_hundred_messages_is_dropped_on_the_way_out() {
        let lost: Vec<Output> = (0..200).map(accepted).collect();
        let mut all = waiting(&[accepted(200)]);
        assert_eq!(all.take_after(lost.clone()), (0..=200).map(accepted).collect::<Vec<_>>());
        let mut all = waiting(&[close(200)]);
        let lost: Vec<Output> = (0..200).map(close).collect();
        assert_eq!(all.take_closes(lost), (0..=200).map(close).collect::<Vec<_>>());
    }

    #[test]
    fn it_is_bounded_and_what_each_sign_in_says_anew_does_not_wait() {
        let mut all = Waiting::default();
        assert!(all.push(Output::Send(ClientMessage::Contacts(Contacts { usernames: Vec::new() }))));
        assert!(all.0.is_empty());
        for number in 0..=MAX {
            assert_eq!(all.push(accepted(1)), number < MAX);
        }
        assert!(all.push(close(1)), "the end makes room");
        assert_eq!(all.0, [close(1)]);
    }
}
