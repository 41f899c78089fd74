//! One UDP socket of a peer connection.
//!
//! The peer connection reads all datagrams that are there before it acts on what they changed. So where the peer's last
//! word of the SCTP handshake and its first data lie in the queue together, it takes the data for a channel that is not
//! there yet, and loses them although it acknowledges them. A browser sends both within a millisecond. Hence one a turn.

use super::Control;
use super::checks::{Checks, Known};
use super::datagram::{Datagram, carried};
use super::handshake::Handshake;
use super::words::Words;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::sync::watch;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

#[derive(Debug)]
pub(super) struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    control: Arc<Control>,
    state: Mutex<State>,
    /// Wakes the task that repeats, which ends with this.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    known: watch::Receiver<Known>,
    checks: Checks,
    handshake: Handshake,
    words: Words,
    /// A datagram was handed out just now; the reader is to act on it first.
    turn_is_over: bool,
    /// For the reader: what came together (UDP GRO), and what the checks put before it.
    rest: VecDeque<(RecvMeta, Vec<u8>)>,
    /// Of the reader that waits.
    reader: Option<Waker>,
}

impl Socket {
    /// Also starts the task that sends again what is not answered.
    ///
    /// # Errors
    ///
    /// When the socket has no address.
    pub(super) fn start(
        inner: Arc<dyn AsyncUdpSocket>,
        control: Arc<Control>,
        mut known: watch::Receiver<Known>,
    ) -> io::Result<Arc<Self>> {
        known.mark_changed();
        let state = State {
            known,
            checks: Checks::new(inner.local_addr()?),
            handshake: Handshake::default(),
            words: Words::default(),
            turn_is_over: false,
            rest: VecDeque::new(),
            reader: None,
        };
        let (changed, changes) = watch::channel(());
        let nudges = state.known.clone();
        let socket = Arc::new(Self { inner, control, state: Mutex::new(state), changed });
        tokio::spawn(repeat(Arc::downgrade(&socket), changes, nudges));
        Ok(socket)
    }

    fn state(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.known.has_changed().unwrap_or(false) {
            let known = state.known.borrow_and_update().clone();
            state.checks.learn(now, &known);
        }
        state
    }

    /// What came in one go: is the answer to a check of ours among it?
    fn note_consent(&self, state: &mut State, now: Instant, meta: &RecvMeta, bytes: &[u8]) {
        for datagram in bytes.get(..meta.len).unwrap_or_default().chunks(meta.stride.max(1)) {
            let inside = carried(datagram);
            if Datagram::of(inside) == Datagram::Stun && state.checks.consents(now, meta.addr, inside) {
                self.control.answered(now);
            }
        }
    }

    /// When the task has something to send.
    fn next(&self) -> Option<Instant> {
        self.state(Instant::now()).next()
    }

    /// What is to be sent again now.
    fn due(&self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut state = self.state(now);
        let mut due = state.checks.due(now);
        due.extend_from_slice(state.handshake.repeat(now));
        due.extend(state.words.due(now));
        if let Some((from, hello)) = state.handshake.hello_again(now) {
            state.put_before_reader(from, hello);
        }
        state.hand_over();
        due
    }

    /// Has the peer connection look at its timers, as any datagram does: it does not on its own when it is given a
    /// candidate, and checks that only after its next interval. One without content it passes over.
    fn nudge(&self) {
        let mut state = self.state(Instant::now());
        let from = SocketAddr::from(([0, 0, 0, 0], 0));
        state.put_before_reader(from, Vec::new());
    }
}

/// Sends again what is due, until the socket is closed.
async fn repeat(socket: Weak<Socket>, mut changes: watch::Receiver<()>, mut known: watch::Receiver<Known>) {
    known.mark_unchanged();
    loop {
        let Some(next) = socket.upgrade().map(|socket| socket.next()) else { return };
        let timer = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            Ok(()) = known.changed() => {
                if let Some(socket) = socket.upgrade() {
                    socket.nudge();
                }
            }
            () = timer => {
                let Some(socket) = socket.upgrade() else { return };
                for (destination, contents) in socket.due(Instant::now()) {
                    let transmit =
                        Transmit { destination, ecn: None, contents: &contents, segment_size: None, src_ip: None };
                    if let Err(error) = poll_fn(|cx| socket.inner.poll_send(cx, &transmit)).await {
                        tracing::debug!(%error, "a datagram could not be sent again");
                    }
                }
            }
        }
    }
}

impl State {
    fn next(&self) -> Option<Instant> {
        [self.checks.next(), self.handshake.next(), self.words.next()].into_iter().flatten().min()
    }

    /// What the checks have for the reader goes where it looks.
    fn hand_over(&mut self) {
        while let Some((from, datagram)) = self.checks.arrival() {
            self.put_before_reader(from, datagram);
        }
    }

    fn put_before_reader(&mut self, from: SocketAddr, datagram: Vec<u8>) {
        let mut meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (from, datagram.len(), datagram.len());
        self.rest.push_back((meta, datagram));
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Sorts what came in one go.
    fn received(&mut self, now: Instant, whole: RecvMeta, bytes: &[u8]) {
        for datagram in bytes.chunks(whole.stride.max(1)) {
            let is_for_reader = match Datagram::of(carried(datagram)) {
                Datagram::Stun => self.checks.heard(now, whole.addr, datagram),
                Datagram::Dtls(_) | Datagram::Media => {
                    self.handshake.heard(now, whole.addr, datagram);
                    true
                }
                Datagram::Other => true,
            };
            if is_for_reader {
                let mut meta = whole;
                (meta.len, meta.stride) = (datagram.len(), datagram.len());
                self.rest.push_back((meta, datagram.to_vec()));
            }
            self.hand_over();
        }
    }
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let inside = carried(transmit.contents);
        if !self.state(now).checks.may_send(now, transmit.destination, inside) {
            // The path is on its way to be given up; what is held back is lost as on any path that is.
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        let kind = Datagram::of(inside);
        if !matches!(kind, Datagram::Stun | Datagram::Dtls(_)) {
            return self.inner.poll_send(cx, transmit);
        }
        let mut state = self.state(now);
        if kind == Datagram::Stun && !state.checks.sending(now, transmit.destination, transmit.contents) {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        let sent = self.inner.poll_send(cx, transmit);
        if kind != Datagram::Stun && matches!(sent, Poll::Ready(Ok(_))) {
            let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
            for datagram in transmit.contents.chunks(size) {
                state.handshake.sent(now, transmit.destination, datagram);
                state.words.sent(now, transmit.destination, datagram);
            }
        }
        state.hand_over();
        if state.next().is_some() {
            self.changed.send_replace(());
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let mut state = self.state(now);
        let one_a_turn = self.control.is_to_come();
        if std::mem::take(&mut state.turn_is_over) && one_a_turn {
            // A reader that only asks whether there is more goes on; one that waits is to ask again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let (Some(buf), Some(meta), Some((next, bytes))) =
                (bufs.first_mut(), meta.first_mut(), state.rest.pop_front())
            {
                buf[..bytes.len()].copy_from_slice(&bytes);
                *meta = next;
                state.turn_is_over = true;
                return Poll::Ready(Ok(1));
            }
            if !one_a_turn && state.handshake.is_over() {
                let received = self.inner.poll_recv(cx, bufs, meta);
                if let Poll::Ready(Ok(count)) = received {
                    for (buf, meta) in bufs.iter().zip(meta.iter()).take(count) {
                        self.note_consent(&mut state, now, meta, buf);
                    }
                }
                return received;
            }
            match self.inner.poll_recv(cx, &mut bufs[..1], &mut meta[..1]) {
                Poll::Ready(Ok(_)) => {
                    let whole = meta[0];
                    self.note_consent(&mut state, now, &whole, &bufs[0]);
                    state.received(now, whole, &bufs[0][..whole.len]);
                    if !state.handshake.is_over() {
                        self.changed.send_replace(());
                    }
                }
                Poll::Pending => {
                    state.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                failed @ Poll::Ready(Err(_)) => return failed,
            }
        }
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}
