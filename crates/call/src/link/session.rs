//! A session as its client sees it (section 3, "Coming back"): what was seen of the server's messages, and which of the
//! own ones it may not have taken yet. The server says so only when the client comes back; until then a `pong` shows
//! that all was taken that left before its `ping`, since both ways keep their order.

use std::collections::VecDeque;

use crate::output::{Output, Resume};

/// So many of the own messages may be unconfirmed; beyond that the session is not come back into (section 3).
const UNCONFIRMED_MAX: usize = 256;
/// And so many bytes of them (section 3).
const UNCONFIRMED_BYTES_MAX: usize = 256 * 1024;
/// So many pings may be unanswered, also those of earlier connections, whose answers may wait at the server.
const PINGS_MAX: usize = 16;
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
    /// The last ones of those, with their sizes in bytes.
    unconfirmed: VecDeque<(Output, usize)>,
    unconfirmed_bytes: usize,
    /// For each `ping` that a `pong` may still come for: how many own messages had been sent before it.
    pings: VecDeque<u64>,
}

impl Session {
    /// What brings this client back into the session, if anything does.
    pub(crate) fn resume(&self) -> Option<Resume> {
        self.token.clone().map(|token| Resume { token, seq: self.seen })
    }

    /// A new session. A server that lets none linger gives no right to come back.
    pub(crate) fn begin(&mut self, token: String, linger_s: u32) {
        *self = Self { token: usable(token, linger_s), ..Self::default() };
    }

    /// The server has taken `received` of the own messages. Gives those that it has not; they count as never sent.
    pub(crate) fn come_back(&mut self, token: String, linger_s: u32, received: u64) -> Vec<Output> {
        self.confirm(received);
        self.sent = received;
        // What waited may hold answers to pings of the earlier connection: each counts for no more than it did.
        self.pings.iter_mut().for_each(|mark| *mark = (*mark).min(received));
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
        if self.token.is_none() {
            return;
        }
        let size = size_of(output);
        self.unconfirmed_bytes += size;
        self.unconfirmed.push_back((output.clone(), size));
        if self.unconfirmed.len() > UNCONFIRMED_MAX || self.unconfirmed_bytes > UNCONFIRMED_BYTES_MAX {
            self.give_up();
        }
    }

    /// A `ping` is being sent.
    pub(crate) fn note_ping(&mut self) {
        if self.token.is_none() {
            return;
        }
        if self.pings.len() >= PINGS_MAX {
            self.give_up();
        } else {
            self.pings.push_back(self.sent);
        }
    }

    /// A `pong` came.
    pub(crate) fn note_pong(&mut self) {
        if let Some(mark) = self.pings.pop_front() {
            self.confirm(mark);
        }
    }

    /// The server has taken so many of the own messages. More than were sent is all of them.
    fn confirm(&mut self, taken: u64) {
        let first = self.sent - self.unconfirmed.len() as u64;
        for _ in first..taken.min(self.sent) {
            if let Some((_, size)) = self.unconfirmed.pop_front() {
                self.unconfirmed_bytes -= size;
            }
        }
    }

    /// Too much is unconfirmed: there is nothing to come back into any more.
    fn give_up(&mut self) {
        self.token = None;
        self.pings.clear();
        self.take_unconfirmed();
    }

    fn take_unconfirmed(&mut self) -> Vec<Output> {
        self.unconfirmed_bytes = 0;
        self.unconfirmed.drain(..).map(|(output, _)| output).collect()
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
    use ahoy_protocol::message::{ClientMessage, Contacts};

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
    fn a_pong_that_waited_confirms_nothing_that_left_later() {
        let mut session = session(3);
        session.note_ping();
        assert_eq!(session.come_back("next".into(), 30, 1), messages(1..3));
        session.note_sent(&message(1));
        session.note_ping();
        // The answer to the first ping, which the server kept.
        session.note_pong();
        assert_eq!(session.come_back("next".into(), 30, 1), messages(1..2));
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
    fn pings_that_nobody_answers_end_the_right_to_come_back() {
        let mut session = session(0);
        for _ in 0..PINGS_MAX {
            session.note_ping();
            session.come_back("next".into(), 30, 0);
        }
        assert!(session.resume().is_some());
        session.note_ping();
        assert_eq!((session.resume(), session.pings.len()), (None, 0));
    }
}
