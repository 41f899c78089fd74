//! What waits to be written to one client, in order, bounded in bytes. Anyone may put something in without waiting; the
//! connection's task takes it out. Before the sign-in it belongs to the connection; after it to the session, which
//! outlives connections: what the client did not acknowledge is kept for its return ([`history`]), with what else a
//! session takes along, its count of messages and its allowances.

mod history;

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use ahoy_protocol::id::CallId;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::limits::{Bucket, Limits};
use crate::receipt::Receipt;
use crate::shared::now;
pub(crate) use history::ADDED_MAX;
use history::History;

/// Where room must be made, a reader is too slow for whom more than this part of what may wait does.
const SHED_PART: usize = 8;

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
    /// The operator took the name away.
    Unbound,
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    waiting_max: usize,
    /// Bytes in this mailbox and all others.
    held: Arc<AtomicUsize>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What bears no number: all up to `welcome`.
    plain: VecDeque<Utf8Bytes>,
    plain_bytes: usize,
    numbering: bool,
    history: History,
    /// What of `held` is this mailbox's.
    counted: usize,
    /// How many messages of the client were taken since its sign-in, pings left out.
    received: u64,
    messages: Bucket,
    bytes: Bucket,
    /// Whether a connection takes things out.
    attached: bool,
    /// Nothing is taken in any more: it could not be told.
    closed: bool,
    end: Option<End>,
    waker: Option<Waker>,
    /// Dropped when the connection is gone, for whoever waits for that.
    gone: Option<oneshot::Sender<()>>,
}

/// Whether a session goes on.
#[derive(Debug)]
pub(crate) enum Resumption {
    /// It does: the mailbox is now the new connection's. The server took so many of its messages.
    Resumed { received: u64 },
    /// Its old connection is still there. It was told to end; ask again when it is gone.
    Busy(oneshot::Receiver<()>),
    /// Something would be lost.
    Lost,
}

impl Mailbox {
    /// One whose bytes are counted in `held` too.
    pub(crate) fn new(limits: &Limits, held: Arc<AtomicUsize>, now: Instant) -> Self {
        let state = State {
            plain: VecDeque::new(),
            plain_bytes: 0,
            numbering: false,
            history: History::default(),
            counted: 0,
            received: 0,
            messages: Bucket::new(limits.messages, now),
            bytes: Bucket::new(limits.bytes, now),
            attached: true,
            closed: false,
            end: None,
            waker: None,
            gone: None,
        };
        Self { waiting_max: limits.waiting_bytes, held, state: Mutex::new(state) }
    }

    /// Puts in the text of a JSON object.
    pub(crate) fn push(&self, object: &str) {
        self.push_with(object, None);
    }

    /// The same; `receipt` learns when the client acknowledges it. A reader too slow is the end.
    pub(crate) fn push_with(&self, object: &str, receipt: Option<Receipt>) {
        let mut state = self.lock();
        if state.closed || (state.end.is_some() && !state.numbering) {
            return;
        }
        if state.numbering {
            state.history.push(object, receipt, self.waiting_max, now());
        } else {
            state.plain_bytes += object.len();
            state.plain.push_back(object.into());
        }
        if !state.attached {
            if state.history.has_gap() {
                state.close();
            }
        } else if state.waiting() > self.waiting_max {
            state.end.get_or_insert(End::TooSlow);
            state.close();
        }
        wake(state);
    }

    /// How many bytes wait in it, or for their acknowledgement.
    pub(crate) fn held(&self) -> usize {
        self.lock().counted
    }

    /// Gives up what it holds. A client that reads loses the right to resume until it has acknowledged what came; one that does
    /// not, or is away, loses what waits.
    pub(crate) fn shed(&self) {
        let mut state = self.lock();
        state.history.let_go();
        if !state.attached {
            state.close();
        } else if state.waiting() > self.waiting_max / SHED_PART {
            state.end.get_or_insert(End::TooSlow);
            state.close();
        }
        wake(state);
    }

    /// From the next message on, each carries `seq`, counting from 1, and is kept until it is acknowledged.
    pub(crate) fn start_numbering(&self) {
        self.lock().numbering = true;
    }

    /// Ends the connection once what waits is written. The first reason stands.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        wake(state);
    }

    /// The same device signed in anew: nobody will read what is in it.
    pub(crate) fn replace(&self) {
        let mut state = self.lock();
        state.close();
        state.end.get_or_insert(End::Replaced);
        wake(state);
    }

    pub(crate) fn ended(&self) -> Option<End> {
        self.lock().end
    }

    /// The next message to write.
    pub(crate) fn pop(&self) -> Option<Utf8Bytes> {
        let mut state = self.lock();
        let Some(text) = state.plain.pop_front() else { return state.history.pop(now()) };
        state.plain_bytes = state.plain_bytes.saturating_sub(text.len());
        if state.plain.is_empty() {
            state.plain = VecDeque::new();
        }
        Some(text)
    }

    /// The number of the last message taken out.
    pub(crate) fn last_sent(&self) -> u64 {
        self.lock().history.last_sent()
    }

    /// The client has everything up to `seq`.
    pub(crate) fn acknowledge(&self, seq: u64) {
        self.lock().history.acknowledge(seq);
    }

    /// The client spoke of `call`: it has its opening offer, acknowledged or not.
    pub(crate) fn heard_of(&self, call: CallId) {
        self.lock().history.heard_of(call);
    }

    /// One message of the client's was taken, after its sign-in.
    pub(crate) fn count_received(&self) {
        self.lock().received += 1;
    }

    /// Takes a message of `bytes` off what the client may send now, or says how long it is to wait.
    pub(crate) fn spend(&self, bytes: u32, now: Instant) -> Result<(), Duration> {
        let mut state = self.lock();
        let wait = state.messages.wait(1, now).max(state.bytes.wait(bytes, now));
        if !wait.is_zero() {
            return Err(wait);
        }
        state.messages.spend(1);
        state.bytes.spend(bytes);
        Ok(())
    }

    /// Takes over what the same device's earlier session may still send, so that signing in anew gains nothing.
    pub(crate) fn inherit(&self, earlier: &Self) {
        let (messages, bytes) = {
            let earlier = earlier.lock();
            (earlier.messages, earlier.bytes)
        };
        let mut state = self.lock();
        (state.messages, state.bytes) = (messages, bytes);
    }

    /// The connection is gone, the session stays.
    pub(crate) fn detach(&self) {
        let mut state = self.lock();
        (state.attached, state.waker, state.gone) = (false, None, None);
        (state.plain, state.plain_bytes) = (VecDeque::new(), 0);
        if state.history.has_gap() {
            state.close();
        }
    }

    /// The client signed out by itself.
    pub(crate) fn sign_out(&self) {
        let mut state = self.lock();
        state.history.sent_is_heard();
        state.close();
        state.gone = None;
    }

    /// Whether a client that has everything up to `seq` may go on, with a new connection.
    pub(crate) fn resume(&self, seq: u64) -> Resumption {
        let mut state = self.lock();
        if state.closed || !state.history.can_resume(seq) {
            return Resumption::Lost;
        }
        if state.attached {
            let (gone, is_gone) = oneshot::channel();
            state.gone = Some(gone);
            state.end.get_or_insert(End::Replaced);
            wake(state);
            return Resumption::Busy(is_gone);
        }
        state.history.resume(seq);
        (state.attached, state.end) = (true, None);
        Resumption::Resumed { received: state.received }
    }

    /// Puts `plain` and then `welcome` before all that waits, without numbers.
    pub(crate) fn welcome_back(&self, plain: VecDeque<Utf8Bytes>, welcome: &str) {
        let mut state = self.lock();
        state.plain = plain;
        state.plain.push_back(welcome.into());
        state.plain_bytes = state.plain.iter().map(|text| text.len()).sum();
        wake(state);
    }

    /// What waits without a number.
    pub(crate) fn take_plain(&self) -> VecDeque<Utf8Bytes> {
        let mut state = self.lock();
        state.plain_bytes = 0;
        std::mem::take(&mut state.plain)
    }

    /// Whom to wake when something is put in or the end comes. One task waits.
    pub(crate) fn wake_later(&self, waker: &Waker) {
        let mut state = self.lock();
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
    }

    fn lock(&self) -> Locked<'_> {
        // Each change above is complete before anything can panic.
        Locked { state: self.state.lock().unwrap_or_else(PoisonError::into_inner), held: &self.held }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.lock().close();
    }
}

/// A mailbox that is being changed: what it holds is counted anew when that is over.
struct Locked<'a> {
    state: MutexGuard<'a, State>,
    held: &'a AtomicUsize,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let now = self.state.plain_bytes + self.state.history.bytes();
        let before = std::mem::replace(&mut self.state.counted, now);
        if now > before {
            self.held.fetch_add(now - before, Relaxed);
        } else if now < before {
            self.held.fetch_sub(before - now, Relaxed);
        }
    }
}

impl State {
    /// Bytes that are not yet written.
    fn waiting(&self) -> usize {
        self.plain_bytes + self.history.waiting()
    }

    /// Nobody will ever read what is in it.
    fn close(&mut self) {
        self.closed = true;
        self.history = History::default();
        (self.plain, self.plain_bytes) = (VecDeque::new(), 0);
    }
}

fn wake(mut state: Locked<'_>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(waiting_bytes: usize) -> Mailbox {
        Mailbox::new(&Limits { waiting_bytes, ..Limits::default() }, Arc::default(), now())
    }

    fn drain(mailbox: &Mailbox) -> Vec<String> {
        std::iter::from_fn(|| mailbox.pop()).map(|text| text.to_string()).collect()
    }

    #[test]
    fn messages_come_out_in_order_and_numbered_once_told_to() {
        let mailbox = mailbox(1_000);
        mailbox.push(r#"{"type":"hello"}"#);
        mailbox.start_numbering();
        mailbox.push(r#"{"type":"a"}"#);
        mailbox.push(r#"{"type":"b"}"#);
        assert_eq!(drain(&mailbox), [r#"{"type":"hello"}"#, r#"{"type":"a","seq":1}"#, r#"{"type":"b","seq":2}"#]);
        assert_eq!(mailbox.last_sent(), 2);
    }

    #[test]
    fn a_reader_too_slow_is_the_end_and_nothing_waits_any_more() {
        for numbering in [false, true] {
            let mailbox = mailbox(40);
            if numbering {
                mailbox.start_numbering();
            }
            mailbox.push("{\"a\":\"12345678901\"}");
            assert_eq!(mailbox.ended(), None);
            mailbox.push("{\"a\":\"12345678901\"}");
            mailbox.push("{\"a\":\"12345678901\"}");
            assert_eq!(mailbox.ended(), Some(End::TooSlow));
            mailbox.push("{\"a\":1}");
            mailbox.end(End::GoingAway);
            assert_eq!(mailbox.ended(), Some(End::TooSlow));
            assert!(drain(&mailbox).is_empty());
            mailbox.detach();
            assert!(matches!(mailbox.resume(0), Resumption::Lost));
        }
    }

    #[test]
    fn what_was_taken_out_makes_room() {
        let mailbox = mailbox(20);
        for _ in 0..100 {
            mailbox.push("{\"a\":\"12345678\"}");
            assert!(mailbox.pop().is_some());
        }
        assert_eq!(mailbox.ended(), None);
    }

    #[test]
    fn a_connection_that_ends_says_what_waits_and_the_session_keeps_what_comes_then() {
        let mailbox = mailbox(1_000);
        mailbox.start_numbering();
        mailbox.push("{\"a\":1}");
        mailbox.end(End::BadMessages);
        assert_eq!(drain(&mailbox), ["{\"a\":1,\"seq\":1}"]);
        mailbox.push("{\"a\":2}");
        mailbox.detach();
        mailbox.push("{\"a\":3}");
        assert!(matches!(mailbox.resume(1), Resumption::Resumed { received: 0 }));
        assert_eq!(mailbox.ended(), None);
        mailbox.welcome_back(VecDeque::from(["{\"hello\"}".into()]), "{\"welcome\"}");
        let all = drain(&mailbox);
        assert_eq!(all.len(), 4);
        assert_eq!(all[..2], ["{\"hello\"}", "{\"welcome\"}"]);
        assert!(all[2].starts_with("{\"a\":2,\"seq\":2,\"age_ms\":"), "{all:?}");
    }

    #[tokio::test]
    async fn who_returns_before_the_old_connection_is_gone_waits_for_its_end() {
        let mailbox = mailbox(1_000);
        mailbox.start_numbering();
        let Resumption::Busy(gone) = mailbox.resume(0) else { panic!("it is busy") };
        assert_eq!(mailbox.ended(), Some(End::Replaced));
        mailbox.count_received();
        mailbox.detach();
        assert!(gone.await.is_err());
        assert!(matches!(mailbox.resume(0), Resumption::Resumed { received: 1 }));
    }

    #[test]
    fn all_that_is_held_is_counted_and_given_back() {
        let held = Arc::new(AtomicUsize::new(0));
        let new = || Mailbox::new(&Limits::default(), Arc::clone(&held), now());
        let (here, away, slow) = (new(), new(), new());
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(50_000));
        here.push("{\"hello\":1}");
        assert_eq!((here.held(), held.load(Relaxed)), (11, 11));
        for mailbox in [&here, &away, &slow] {
            mailbox.start_numbering();
            mailbox.push(&long);
        }
        let one = away.held();
        assert!(one > 50_000);
        assert_eq!(held.load(Relaxed), 3 * one + 11);
        // What was read and not acknowledged is still held, until room must be made.
        drain(&here);
        assert_eq!(here.held(), one);
        here.shed();
        assert_eq!((here.held(), here.ended(), held.load(Relaxed)), (0, None, 2 * one));
        assert!(matches!(here.resume(0), Resumption::Lost));
        here.acknowledge(1);
        assert!(matches!(here.resume(1), Resumption::Busy(_)), "it has all that came");
        away.detach();
        away.shed();
        assert!(matches!(away.resume(0), Resumption::Lost));
        slow.shed();
        assert_eq!((slow.ended(), held.load(Relaxed)), (Some(End::TooSlow), 0));
        let more = new();
        more.push(&long);
        drop(more);
        assert_eq!(held.load(Relaxed), 0);
    }

    #[test]
    fn too_much_for_one_who_is_away_closes_it() {
        let mailbox = mailbox(100_000);
        mailbox.start_numbering();
        mailbox.detach();
        for _ in 0..255 {
            mailbox.push("{}");
        }
        assert!(!mailbox.lock().closed);
        mailbox.push("{}");
        assert!(mailbox.lock().closed);
        assert!(matches!(mailbox.resume(256), Resumption::Lost));
    }
}
