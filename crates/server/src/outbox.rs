//! What waits to be written to one connection, in order, bounded in bytes. Anyone may put something in without
//! waiting; the connection's task takes it out. It numbers messages (`seq`, section 3) once told to.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The same device signed in again, on another connection.
    Replaced,
    /// The server stops.
    GoingAway,
    /// Too much that was no message.
    BadMessages,
    /// More waits for the client than a client may leave waiting.
    TooSlow,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Utf8Bytes>,
    bytes: usize,
    numbering: bool,
    seq: u64,
    end: Option<End>,
    waker: Option<Waker>,
}

impl Outbox {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, state: Mutex::default() }
    }

    /// Puts in the text of a JSON object. Nothing is taken after the end; a reader too slow is the end.
    pub(crate) fn push(&self, object: &str) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        let text = if state.numbering {
            state.seq += 1;
            numbered(object, state.seq)
        } else {
            object.to_owned()
        };
        state.bytes += text.len();
        if state.bytes > self.max_bytes {
            state.queue = VecDeque::new();
            state.end = Some(End::TooSlow);
        } else {
            state.queue.push_back(text.into());
        }
        wake(state);
    }

    /// From the next message on, each carries `seq`, counting from 1.
    pub(crate) fn start_numbering(&self) {
        self.lock().numbering = true;
    }

    /// Ends the connection once what waits is written. The first reason stands.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        wake(state);
    }

    pub(crate) fn ended(&self) -> Option<End> {
        self.lock().end
    }

    pub(crate) fn pop(&self) -> Option<Utf8Bytes> {
        let mut state = self.lock();
        let text = state.queue.pop_front()?;
        state.bytes = state.bytes.saturating_sub(text.len());
        if state.queue.is_empty() {
            // An idle connection should not pay for its busiest moment.
            state.queue = VecDeque::new();
        }
        Some(text)
    }

    /// The number of the last message put in; when nothing waits, of the last one sent.
    pub(crate) fn seq(&self) -> u64 {
        self.lock().seq
    }

    /// Whom to wake when something is put in or the end comes. One task waits.
    pub(crate) fn wake_later(&self, waker: &Waker) {
        let mut state = self.lock();
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change above is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn numbered(object: &str, seq: u64) -> String {
    let mut text = String::with_capacity(object.len() + SEQ_MAX);
    text.push_str(object.strip_suffix('}').unwrap_or(object));
    text.push_str(",\"seq\":");
    text.push_str(&seq.to_string());
    text.push('}');
    text
}

/// The most bytes that numbering adds.
pub(crate) const SEQ_MAX: usize = r#","seq":18446744073709551615"#.len();

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop()).map(|text| text.to_string()).collect()
    }

    #[test]
    fn messages_come_out_in_order_and_numbered_once_told_to() {
        let outbox = Outbox::new(1_000);
        outbox.push(r#"{"type":"hello"}"#);
        outbox.start_numbering();
        outbox.push(r#"{"type":"a"}"#);
        outbox.push(r#"{"type":"b"}"#);
        assert_eq!(drain(&outbox), [r#"{"type":"hello"}"#, r#"{"type":"a","seq":1}"#, r#"{"type":"b","seq":2}"#]);
        assert_eq!(outbox.seq(), 2);
        assert!(numbered("{\"a\":1}", u64::MAX).len() <= 7 + SEQ_MAX);
    }

    #[test]
    fn a_reader_too_slow_is_the_end_and_nothing_waits_any_more() {
        let outbox = Outbox::new(20);
        outbox.push("{\"a\":\"12345678\"}");
        assert_eq!(outbox.ended(), None);
        outbox.push("{\"a\":\"12345678\"}");
        assert_eq!(outbox.ended(), Some(End::TooSlow));
        outbox.push("{\"a\":1}");
        outbox.end(End::GoingAway);
        assert_eq!(outbox.ended(), Some(End::TooSlow));
        assert!(drain(&outbox).is_empty());
    }

    #[test]
    fn what_was_taken_out_makes_room() {
        let outbox = Outbox::new(20);
        for _ in 0..100 {
            outbox.push("{\"a\":\"12345678\"}");
            assert!(outbox.pop().is_some());
        }
        assert_eq!(outbox.ended(), None);
    }

    #[test]
    fn what_was_put_in_before_the_end_is_still_there() {
        let outbox = Outbox::new(100);
        outbox.push("{\"a\":1}");
        outbox.end(End::BadMessages);
        outbox.push("{\"a\":2}");
        assert_eq!(drain(&outbox), ["{\"a\":1}"]);
    }
}
