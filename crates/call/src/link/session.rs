//! A session as its client sees it (section 3, "Coming back"): what was seen of the server's messages, and which of the
//! own ones it may not have taken yet. The server says so only when the client comes back; until then a `pong` shows
//! that all was taken that left before its `ping`, since both ways keep their order.

use std::collections::VecDeque;

use crate::link::waiting::close_in;
use crate::output::{Output, Resume};

/// So many of the own messages may be unconfirmed; beyond that the session is not come back into (section 3).
const UNCONFIRMED_MAX: usize = 256;
/// And so many bytes of them (section 3).
const UNCONFIRMED_BYTES_MAX: usize = 256 * 1024;
/// So many pings are remembered that nobody answered; a later one confirms no more than the last of these.
const PINGS_MAX: usize = 16;
/// So many ends of calls are said again in a new session; of more, the first are forgotten.
const CLOSES_MAX: usize = 64;
/// No server needs a longer token, and a `login` has to fit into a frame.
const TOKEN_MAX: usize = 4_096;

/// A session at the server, or none.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The token of the last `welcome`; `None` when there is nothing to come back into.
    token: Option<String>,
    /// The last `seq` seen.
    seen: u64,
    /// How many own messages were sent, `login` and `ping` left out.
    sent: u64,
    /// The last ones of those; without a right to come back only the ends of calls, which a new session is told too.
    unconfirmed: VecDeque<Unconfirmed>,
    unconfirmed_bytes: usize,
    /// How many pings this connection carried, and how many were answered.
    pinged: u64,
    ponged: u64,
    /// For a `ping` that a `pong` may still come for: which one it is, and how many own messages had been sent before it.
    pings: VecDeque<(u64, u64)>,
}

#[derive(Debug)]
struct Unconfirmed {
    /// Counts the own messages from 1.
    number: u64,
    output: Output,
    /// In bytes.
    size: usize,
}

impl Session {
    /// What brings this client back into the session, if anything does.
    pub(crate) fn resume(&self) -> Option<Resume> {
        self.token.clone().map(|token| Resume { token, seq: self.seen })
    }

    /// The number of the last message that came; 0 if none did.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// A new session. A server that lets none linger gives no right to come back.
    pub(crate) fn begin(&mut self, token: String, linger_s: u32) {
        *self = Self { token: usable(token, linger_s), ..Self::default() };
    }

    /// The server has taken `received` of the own messages. Gives those that it has not; they count as never sent.
    pub(crate) fn come_back(&mut self, token: String, linger_s: u32, received: u64) -> Vec<Output> {
        self.confirm(received);
        self.sent = received;
        // What they could tell `received` has told; answers to them that waited count for nothing.
        self.pings.clear();
        (self.pinged, self.ponged) = (0, 0);
        self.token = usable(token, linger_s);
        self.take_unconfirmed()
    }

    /// The session is over. Gives what the server may not have taken.
    pub(crate) fn end(&mut self) -> Vec<Output> {
        let unconfirmed = self.take_unconfirmed();
        *self = Self::default();
        unconfirmed
    }

    /// Whether a message with this number is news. One without is; it counts for nothing.
    pub(crate) fn is_new(&mut self, seq: Option<u64>) -> bool {
        match seq {
            Some(seq) if seq <= self.seen => false,
            Some(seq) => {
                self.seen = seq;
                true
            }
            None => true,
        }
    }

    /// This is being sent, and is neither a `login` nor a `ping`.
    pub(crate) fn note_sent(&mut self, output: &Output) {
        self.sent = self.sent.saturating_add(1);
        if self.token.is_none() && close_in(output).is_none() {
            return;
        }
        let size = size_of(output);
        self.unconfirmed_bytes += size;
        self.unconfirmed.push_back(Unconfirmed { number: self.sent, output: output.clone(), size });
        if self.token.is_none() {
            self.keep_closes();
        } else if self.unconfirmed.len() > UNCONFIRMED_MAX || self.unconfirmed_bytes > UNCONFIRMED_BYTES_MAX {
            self.give_up();
        }
    }

    /// A `ping` is being sent.
    pub(crate) fn note_ping(&mut self) {
        self.pinged = self.pinged.saturating_add(1);
        if self.pings.len() < PINGS_MAX {
            self.pings.push_back((self.pinged, self.sent));
        }
    }

    /// A `pong` came that did not wait. More than there were pings count for nothing.
    pub(crate) fn note_pong(&mut self) {
        self.ponged = self.ponged.saturating_add(1).min(self.pinged);
        while let Some((_, sent)) = self.pings.pop_front_if(|(ping, _)| *ping <= self.ponged) {
            self.confirm(sent);
        }
    }

    /// The server has taken so many of the own messages. More than were sent is all of them.
    fn confirm(&mut self, taken: u64) {
        while let Some(first) = self.unconfirmed.pop_front_if(|first| first.number <= taken) {
            self.unconfirmed_bytes -= first.size;
        }
    }

    /// Too much is unconfirmed: there is nothing to come back into any more.
    fn give_up(&mut self) {
        self.token = None;
        self.keep_closes();
    }

    fn keep_closes(&mut self) {
        self.unconfirmed.retain(|unconfirmed| close_in(&unconfirmed.output).is_some());
        let excess = self.unconfirmed.len().saturating_sub(CLOSES_MAX);
        self.unconfirmed.drain(..excess);
        self.unconfirmed_bytes = self.unconfirmed.iter().map(|unconfirmed| unconfirmed.size).sum();
    }

    fn take_unconfirmed(&mut self) -> Vec<Output> {
        self.unconfirmed_bytes = 0;
        self.unconfirmed.drain(..).map(|unconfirmed| unconfirmed.output).collect()
    }
}

fn usable(token: String, linger_s: u32) -> Option<String> {
    (linger_s > 0 && token.len() <= TOKEN_MAX).then_some(token)
}

/// About what it takes in memory and on the wire; descriptions make nearly all of it.
fn size_of(output: &Output) -> usize {
    match output {
        Output::Send(message) => message.to_text().len(),
        Output::SendDescription { description, .. } => description.sdp.len() + 512,
        Output::OpenLink { .. }
        | Output::CloseLink { .. }
        | Output::DropLink { .. }
        | Output::Login { .. }
        | Output::Peer { .. }
        | Output::Media { .. }
        | Output::Event(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use ahoy_protocol::id::Address;
    use ahoy_protocol::message::{ClientMessage, Contacts, Relay};
    use ahoy_protocol::signal::{Close, CloseReason, Signal};

    use super::*;

    fn message(number: usize) -> Output {
        Output::Send(ClientMessage::Contacts(Contacts { usernames: vec![format!("user{number}")] }))
    }

    fn messages(numbers: std::ops::Range<usize>) -> Vec<Output> {
        numbers.map(message).collect()
    }

    fn session(sent: usize) -> Session {
        let mut session = Session::default();
        session.begin("token".into(), 30);
        messages(0..sent).iter().for_each(|output| session.note_sent(output));
        session
    }

    #[test]
    fn what_the_server_has_not_taken_is_sent_again_and_counts_on_from_what_it_took() {
        let mut session = session(5);
        assert_eq!(session.come_back("next".into(), 30, 2), messages(2..5));
        messages(2..5).iter().for_each(|output| session.note_sent(output));
        session.note_sent(&message(5));
        assert_eq!(session.come_back("next".into(), 30, 4), messages(4..6));
        assert_eq!(session.resume(), Some(Resume { token: "next".into(), seq: 0 }));
    }

    #[test]
    fn a_pong_confirms_what_left_before_its_ping() {
        let mut session = session(3);
        session.note_ping();
        session.note_sent(&message(3));
        session.note_pong();
        assert_eq!(session.unconfirmed.len(), 1);
        assert_eq!(session.come_back("next".into(), 30, 3), messages(3..4));
    }

    #[test]
    fn a_ping_that_was_lost_with_its_connection_waits_for_no_pong() {
        let mut session = session(3);
        for _ in 0..2 * PINGS_MAX {
            session.note_ping();
            session.come_back("next".into(), 30, 1);
        }
        assert!(session.resume().is_some());
        session.note_sent(&message(1));
        session.note_ping();
        session.note_pong();
        assert_eq!(session.unconfirmed.len(), 0, "it is the answer to this connection's ping");
    }

    #[test]
    fn a_server_that_counts_wrongly_loses_nothing_of_ours_and_breaks_nothing() {
        assert_eq!(session(3).come_back("next".into(), 30, u64::MAX), []);
        let mut session = session(3);
        session.note_ping();
        session.note_pong();
        session.note_sent(&message(3));
        assert_eq!(session.come_back("next".into(), 30, 0), messages(3..4));
        session.note_sent(&message(3));
        session.note_pong();
        assert_eq!(session.come_back("next".into(), 30, 1), []);
    }

    #[test]
    fn numbers_that_were_seen_are_no_news() {
        let mut session = session(0);
        for (seq, is_new) in [(Some(1), true), (Some(1), false), (Some(3), true), (Some(2), false), (None, true)] {
            assert_eq!(session.is_new(seq), is_new, "{seq:?}");
        }
        assert_eq!(session.resume().map(|resume| resume.seq), Some(3));
    }

    #[test]
    fn there_is_nothing_to_come_back_into_where_none_lingers_or_too_much_is_unconfirmed() {
        let mut none = Session::default();
        assert_eq!(none.resume(), None);
        none.begin("token".into(), 0);
        assert_eq!(none.resume(), None, "the server lets none linger");
        none.begin("t".repeat(TOKEN_MAX + 1), 30);
        assert_eq!(none.resume(), None, "no login has room for it");
        let mut many = session(UNCONFIRMED_MAX);
        assert!(many.resume().is_some());
        many.note_sent(&message(0));
        assert_eq!((many.resume(), many.unconfirmed.len(), many.unconfirmed_bytes), (None, 0, 0));
        let mut large = session(0);
        let text = |bytes| Output::Send(ClientMessage::Contacts(Contacts { usernames: vec!["x".repeat(bytes)] }));
        (0..4).for_each(|_| large.note_sent(&text(60 * 1024)));
        assert!(large.resume().is_some());
        large.note_sent(&text(60 * 1024));
        assert_eq!((large.resume(), large.unconfirmed.len()), (None, 0));
    }

    #[test]
    fn pings_that_nobody_answers_are_bounded_and_their_answers_count_in_the_end() {
        let mut session = session(0);
        for number in 0..2 * PINGS_MAX {
            session.note_sent(&message(number));
            session.note_ping();
        }
        assert_eq!(session.pings.len(), PINGS_MAX);
        for _ in 0..2 * PINGS_MAX {
            session.note_pong();
        }
        assert_eq!(session.unconfirmed.len(), PINGS_MAX, "of those beyond it nothing is known");
        session.note_sent(&message(0));
        session.note_ping();
        session.note_sent(&message(1));
        session.note_pong();
        assert_eq!((session.unconfirmed.len(), session.resume().is_some()), (1, true));
    }

    #[test]
    fn ends_of_calls_are_kept_without_a_right_to_come_back_until_they_are_confirmed() {
        let close = |number| {
            let call = ahoy_protocol::id::CallId::from_random_bytes([number; 16]);
            let close = Close { call, reason: CloseReason::Hangup, by: None };
            let to = Address::User("bob".parse().unwrap());
            Output::Send(ClientMessage::Relay(Relay::new(to, Signal::Close(close))))
        };
        let mut none = Session::default();
        none.begin("token".into(), 0);
        (0..3).for_each(|number| none.note_sent(&close(number)));
        none.note_ping();
        none.note_sent(&message(3));
        none.note_sent(&close(4));
        none.note_pong();
        assert_eq!(none.end(), [close(4)]);
        let mut given_up = session(UNCONFIRMED_MAX);
        (0..=200).for_each(|number| given_up.note_sent(&close(number)));
        assert_eq!((given_up.resume(), given_up.unconfirmed.len()), (None, CLOSES_MAX));
        let size = size_of(&close(200));
        assert!(given_up.unconfirmed_bytes <= CLOSES_MAX * size, "{}", given_up.unconfirmed_bytes);
        assert_eq!(given_up.end().last(), Some(&close(200)));
    }
}
