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

use crate::limits::{Bucket, Limits};
use crate::receipt::Receipt;
use crate::shared::now;
pub(crate) use history::ADDED_MAX;
use history::History;

/// Where room must be made, a reader is too slow for whom more than this part of what may wait does.
const SHED_PART: usize = 8;

/// Who sends to a client for which too much waits is not read for the moment. So this many times as much can wait only if
/// many send to it at once, or what the server itself has to say.
const OVERFLOW: usize = 16;

/// So long more may wait for a client than it may leave waiting.
pub(crate) const SLOW: Duration = Duration::from_secs(2);

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
    plain: VecDeque<String>,
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

    /// Puts in the text of a JSON object, and says whether this [is crowded](Self::is_crowded) now.
    pub(crate) fn push(&self, object: impl Into<String>) -> bool {
        self.push_with(object, None)
    }

    /// The same; `receipt` learns when the client acknowledges it.
    pub(crate) fn push_with(&self, object: impl Into<String>, receipt: Option<Receipt>) -> bool {
        let object = object.into();
        let mut state = self.lock();
        if state.closed || (state.end.is_some() && !state.numbering) {
            return false;
        }
        if state.numbering {
            state.history.push(object, receipt, self.waiting_max, now());
        } else {
            state.plain_bytes += object.len();
            state.plain.push_back(object);
        }
        if !state.attached {
            if state.history.has_gap() {
                state.close();
            }
        } else if state.waiting() > self.waiting_max.saturating_mul(OVERFLOW) {
            state.end.get_or_insert(End::TooSlow);
            state.close();
        }
        let is_crowded = self.crowds(&state);
        wake(state);
        is_crowded
    }

    /// Whether more waits for the client than a client may leave waiting for long, and it may still read it.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowds(&self.lock())
    }

    fn crowds(&self, state: &State) -> bool {
        state.attached && state.end.is_none() && state.waiting() > self.waiting_max
    }

    /// The client does not read.
    pub(crate) fn is_too_slow(&self) {
        let mut state = self.lock();
        state.end.get_or_insert(End::TooSlow);
        state.close();
        wake(state);
    }

    /// How many bytes wait in it, or for their acknowledgement.
    pub(crate) fn held(&self) -> usize {
        self.lock().counted
    }

    /// Gives up what it holds, where no more than `fair` bytes may wait. A client that reads loses the right to resume until it has acknowledged what came; one that does
    /// not, or is away, loses what waits.
    pub(crate) fn shed(&self, fair: usize) {
        let mut state = self.lock();
        state.history.let_go();
        if !state.attached {
            state.close();
        } else if state.waiting() > fair.min(self.waiting_max / SHED_PART) {
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

    /// Whether the end came, else whether there is something to write. `waker` is whom to wake when something is put in or
    /// the end comes; one task waits.
    pub(crate) fn look(&self, waker: &Waker) -> Result<bool, End> {
        let mut state = self.lock();
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        match state.end {
            Some(end) => Err(end),
            None => Ok(state.plain_bytes + state.history.waiting() > 0),
        }
    }

    /// Gives the next message to `write`, if there is one.
    pub(crate) fn pop<T>(&self, write: impl FnOnce(&str) -> T) -> Option<T> {
        let mut state = self.lock();
        let Some(text) = state.plain.pop_front() else { return state.history.pop(now, write) };
        state.plain_bytes = state.plain_bytes.saturating_sub(text.len());
        if state.plain.is_empty() {
            state.plain = VecDeque::new();
        }
        Some(write(&text))
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

    /// Takes a message of `bytes`, which costs as much as so many `messages`, off what the client may send now, or says how
    /// long it is to wait. If it `counts`, it is one that was taken after the sign-in, whatever becomes of it.
    pub(crate) fn spend(&self, (messages, bytes): (u32, u32), counts: bool, now: Instant) -> Result<(), Duration> {
        let mut state = self.lock();
        state.received += u64::from(counts);
        let wait = state.messages.wait(messages, now).max(state.bytes.wait(bytes, now));
        if !wait.is_zero() {
            return Err(wait);
        }
        state.messages.spend(messages);
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

    /// The client signed out by itself. What it did not acknowledge it may not have read.
    pub(crate) fn sign_out(&self) {
        let mut state = self.lock();
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
    pub(crate) fn welcome_back(&self, plain: VecDeque<String>, welcome: String) {
        let mut state = self.lock();
        state.plain = plain;
        state.plain.push_back(welcome);
        state.plain_bytes = state.plain.iter().map(String::len).sum();
        wake(state);
    }

    /// What waits without a number.
    pub(crate) fn take_plain(&self) -> VecDeque<String> {
        let mut state = self.lock();
        state.plain_bytes = 0;
        std::mem::take(&mut state.plain)
    }

    pub(crate) fn ended(&self) -> Option<End> {
        self.lock().end
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
mod tests;
