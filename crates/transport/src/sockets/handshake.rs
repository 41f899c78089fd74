//! The DTLS handshake's last flight, sent again until the peer has it. Pure.
//!
//! The peer connection repeats a flight after a second, and under some orders of loss never: a server that hears the
//! client's hello again while its own flight is lost stops its timer, where RFC 6347 §4.2.4 wants the flight sent again. So
//! the datagrams of the last flight are kept here and sent again as they were. One that had arrived after all is dropped by
//! the peer's replay window (RFC 6347 §4.1.2.6): a repetition costs its bytes and nothing else.

use super::datagram::{Datagram, Dtls, carried};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// After which a flight is sent again for the first time; twice as long each time after. As in libwebrtc: the path was just
/// seen to work, so what is not answered is more likely lost than late.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(800);

/// Then the peer connection's deadlines are left alone.
const GIVE_UP: Duration = Duration::from_secs(20);

/// A hello that the server has not answered is put before it again after this, then twice as late each time.
const HELLO_AGAIN: Duration = Duration::from_millis(3);
const HELLO_REPETITIONS: u32 = 5;

/// What is sent this long after the beginning of a flight, unanswered, is the peer connection's own repetition of it.
const OWN_REPETITION: Duration = Duration::from_millis(500);

/// More than the largest flight takes, which is a certificate and what goes with it.
const FLIGHT_DATAGRAMS: usize = 12;

/// How many of the peer's datagrams are told apart from their repetitions.
const HEARD_DATAGRAMS: usize = 32;

/// The handshake on one socket.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    /// What was sent since the peer was last heard, as it was sent.
    flight: Vec<(SocketAddr, Vec<u8>)>,
    timing: Option<Timing>,
    /// The peer said something new since: what is sent next is another flight.
    is_answered: bool,
    is_client: bool,
    heard: VecDeque<u64>,
    hello: Option<Hello>,
    is_over: bool,
}

/// A client's hello that came before anything was sent. The peer connection drops it if it comes before the nomination of
/// the path that it takes, with which it was sent in one breath.
#[derive(Debug)]
struct Hello {
    from: SocketAddr,
    datagram: Vec<u8>,
    due: Instant,
    repeated: u32,
}

#[derive(Clone, Copy, Debug)]
struct Timing {
    /// When the first handshake datagram of all was sent.
    started: Instant,
    /// When the first one of the flight was.
    began: Instant,
    /// When the flight is sent again, and how long was waited for that.
    due: Instant,
    waited: Duration,
}

impl Handshake {
    /// The peer has shown that it has all of the handshake.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// `datagram` was sent to `to`.
    pub(super) fn sent(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) {
        let Datagram::Dtls(Dtls { is_handshake: true, is_client_hello, .. }) = Datagram::of(carried(datagram)) else {
            return;
        };
        if self.is_over {
            return;
        }
        self.is_client |= is_client_hello;
        self.hello = None;
        let timing = self.timing.get_or_insert(Timing { started: now, began: now, due: now + FIRST, waited: FIRST });
        if self.is_answered {
            (timing.due, timing.waited) = (now + FIRST, FIRST);
        }
        if std::mem::take(&mut self.is_answered) || now.saturating_duration_since(timing.began) >= OWN_REPETITION {
            self.flight.clear();
            timing.began = now;
        }
        if self.flight.len() < FLIGHT_DATAGRAMS {
            self.flight.push((to, datagram.to_vec()));
        }
    }

    /// `datagram` came from `from`. What comes from elsewhere than the handshake goes to changes nothing.
    pub(super) fn heard(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if self.is_over || (!self.flight.is_empty() && self.flight.iter().all(|(to, _)| *to != from)) {
            return;
        }
        let is_the_end = match Datagram::of(carried(datagram)) {
            // A client has all once the server's last flight is there, of which alone anything is encrypted. A server knows
            // that its own has arrived when something other than a handshake comes.
            Datagram::Dtls(dtls) => dtls.is_encrypted && (self.is_client || !dtls.is_handshake),
            Datagram::Media => true,
            Datagram::Stun | Datagram::Other => return,
        };
        if is_the_end {
            *self = Self { is_over: true, ..Self::default() };
        } else if self.is_new(datagram) {
            self.is_answered = true;
            if let Datagram::Dtls(Dtls { is_client_hello: true, .. }) = Datagram::of(carried(datagram))
                && self.flight.is_empty()
            {
                self.hello = Some(Hello { from, datagram: datagram.to_vec(), due: now + HELLO_AGAIN, repeated: 0 });
            }
        }
    }

    fn is_new(&mut self, datagram: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        datagram.hash(&mut hasher);
        let print = hasher.finish();
        if self.heard.contains(&print) {
            return false;
        }
        if self.heard.len() == HEARD_DATAGRAMS {
            self.heard.pop_front();
        }
        self.heard.push_back(print);
        true
    }

    /// When [`Self::repeat`] has something to send, or [`Self::hello_again`] something for the peer connection.
    pub(super) fn next(&self) -> Option<Instant> {
        let hello = self.hello.as_ref().map(|hello| hello.due);
        self.timing.map(|timing| timing.due).into_iter().chain(hello).min()
    }

    /// What the peer connection is to be given again now, and from whom.
    pub(super) fn hello_again(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        let hello = self.hello.as_mut().filter(|hello| hello.due <= now)?;
        let again = (hello.from, hello.datagram.clone());
        hello.repeated += 1;
        hello.due = now + HELLO_AGAIN * (1 << hello.repeated);
        if hello.repeated == HELLO_REPETITIONS {
            self.hello = None;
        }
        Some(again)
    }

    /// What is to be sent again now, and to whom.
    pub(super) fn repeat(&mut self, now: Instant) -> &[(SocketAddr, Vec<u8>)] {
        let Some(timing) = self.timing.as_mut().filter(|timing| timing.due <= now) else { return &[] };
        if now.saturating_duration_since(timing.started) >= GIVE_UP {
            *self = Self { is_over: true, ..Self::default() };
            return &[];
        }
        timing.waited = (timing.waited * 2).min(LONGEST);
        timing.due = now + timing.waited;
        &self.flight
    }
}

#[cfg(test)]
mod tests;
