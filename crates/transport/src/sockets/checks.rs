//! Connectivity checks on one socket: what the peer connection's ICE agent does late or not at all. Pure.
//!
//! A check of the peer's that proves itself, which takes the password that stands in our description alone, shows that the
//! peer is at its address and that the path carries (RFC 8445 §7.3). So
//!
//! * one that comes before the peer's description is kept for the agent, which would drop it, though an answerer's checks
//!   overtake its answer,
//! * it vouches for the answers to our own check of that address and to our own nomination: the agent has each of them
//!   once, at once, and not a round trip later. Both go out all the same, and the nomination again until the peer answers.
//!   Not after a restart of ICE: where a network has changed, an address may be heard that nothing arrives at any more.
//!
//! What goes to an address on the strength of this is a DTLS handshake and nothing else: media take its keys, and those an
//! answer from there. For consent (RFC 7675) only real answers count.

use super::consent::Consent;
use super::datagram::Datagram;
use rtc::crypto::{RTCCryptoProvider, default_provider};
use rtc::stun::attributes::{ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message, TransactionId};
use rtc::stun::xoraddr::XorMappedAddress;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a check from an address of which the agent does not know yet is kept, once the peer's description is there: its
/// candidate is then on its way, and taken for what it is, not for a peer-reflexive one that has to wait.
const UNKNOWN_ADDRESS: Duration = Duration::from_millis(50);

/// When an unanswered nomination is sent again; twice as long each time after, and no more often than this.
const REPETITION: Duration = Duration::from_millis(50);
const REPETITIONS: u32 = 7;

/// An address that was not heard of is checked after this, then twice as late each time up to the last.
const CHECK_AGAIN: Duration = Duration::from_millis(45);
const CHECK_AGAIN_DOUBLINGS: u32 = 3;

/// A DTLS record of an epoch that is far from begun, which RFC 6347 §4.1 has its reader pass over.
pub(super) const NO_RECORD: [u8; 14] = [22, 0xfe, 0xfd, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0];

/// How long after the path was chosen the peer connection is made to send its hello.
const HELLO_AFTER: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(3), Duration::from_millis(10)];

/// Of how many addresses something is remembered. A peer may tell 64; who sends from more gets what the agent gives.
const ADDRESSES: usize = 64;

/// A username fragment and its password (RFC 8445 §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IceCredentials {
    pub(crate) ufrag: String,
    pub(crate) password: String,
}

/// The credentials of both sides, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) local: Option<IceCredentials>,
    pub(super) remote: Option<IceCredentials>,
    /// How many candidates of the peer's the agent was given.
    pub(super) candidates: u64,
    /// The DTLS handshake is begun from here.
    pub(super) begins_handshake: bool,
    /// This is not the first ICE session of the connection.
    pub(super) is_restart: bool,
}

/// What is known of the checks on one socket.
pub(super) struct Checks {
    known: Known,
    own_address: SocketAddr,
    crypto: Option<Arc<dyn RTCCryptoProvider>>,
    peers: Vec<Peer>,
    consent: Consent,
    /// For the agent, as if it had come from there.
    arrivals: VecDeque<(SocketAddr, Vec<u8>)>,
    /// When something is put before the DTLS handshake, the next last.
    pushes: Vec<(SocketAddr, Instant)>,
}

/// What became of the checks from and to one address.
#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    is_proven: bool,
    /// A check of theirs that the agent has not got yet, and since when it could have been of use.
    kept: Option<(Vec<u8>, Option<Instant>)>,
    /// The newest check of ours that is not answered.
    own: Option<TransactionId>,
    own_sent: u32,
    own_sent_at: Option<Instant>,
    own_vouched: bool,
    nomination: Option<Nomination>,
    nomination_vouched: bool,
    /// What the agent has an answer to already, so that it does not wonder at the real one.
    vouched: Vec<TransactionId>,
}

/// A nomination that the peer has not answered.
#[derive(Debug)]
struct Nomination {
    id: TransactionId,
    request: Vec<u8>,
    due: Instant,
    repeated: u32,
}

impl Checks {
    pub(super) fn new(own_address: SocketAddr) -> Self {
        // Without cryptography there is no connection either; then nothing proves itself here.
        let crypto = default_provider().ok();
        Self {
            known: Known::default(),
            own_address,
            crypto,
            peers: Vec::new(),
            consent: Consent::default(),
            arrivals: VecDeque::new(),
            pushes: Vec::new(),
        }
    }

    /// Descriptions were set. Other credentials are another ICE session (RFC 8445 §9).
    pub(super) fn learn(&mut self, now: Instant, known: &Known) {
        let is_another = |old: &Option<IceCredentials>, new| old.is_some() && old != new;
        if is_another(&self.known.local, &known.local) || is_another(&self.known.remote, &known.remote) {
            self.peers.clear();
            self.consent = Consent::default();
        }
        self.known = known.clone();
        if self.known.remote.is_some() {
            for (_, since) in self.peers.iter_mut().filter_map(|peer| peer.kept.as_mut()) {
                since.get_or_insert(now);
            }
        }
    }

    /// `carried` is sent to `to`, straight or through the relay there; whether it may be. Checks may always be.
    pub(super) fn may_send(&mut self, now: Instant, to: SocketAddr, carried: &[u8]) -> bool {
        match Datagram::of(carried) {
            Datagram::Stun => {
                if let Some((request, _)) = self.own_request(carried) {
                    self.consent.asked(to, request.transaction_id);
                }
                true
            }
            Datagram::Dtls(_) | Datagram::Media | Datagram::Other => self.consent.holds(now, to),
        }
    }

    /// `carried` came from `from`, straight or through the relay there; whether it shows that the peer wants to be sent to.
    pub(super) fn consents(&mut self, now: Instant, from: SocketAddr, carried: &[u8]) -> bool {
        let answer = decoded(carried).filter(|message| message.typ == BINDING_SUCCESS);
        let (Some(answer), Some(remote)) = (answer, self.known.remote.clone()) else { return false };
        self.proves(&answer, &remote) && self.consent.answered(now, from, answer.transaction_id)
    }

    /// The next datagram for the agent, and from whom it is to come.
    pub(super) fn arrival(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.arrivals.pop_front()
    }

    /// The agent sends `datagram` to `to`; whether it is to go out.
    pub(super) fn sending(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) -> bool {
        let Some((request, remote)) = self.own_request(datagram) else { return true };
        let (id, nominates) = (request.transaction_id, request.contains(ATTR_USE_CANDIDATE));
        let Some(peer) = self.peer(to) else { return true };
        if nominates {
            if peer.is_proven && !std::mem::replace(&mut peer.nomination_vouched, true) {
                let (due, request) = (now + REPETITION, datagram.to_vec());
                peer.nomination = Some(Nomination { id, request, due, repeated: 0 });
                self.vouch(to, id, &remote);
                self.push_handshake(now, to);
            }
            return true;
        }
        if peer.is_proven && !std::mem::replace(&mut peer.own_vouched, true) {
            let kept = peer.kept.take();
            self.vouch(to, id, &remote);
            self.arrivals.extend(kept.map(|(request, _)| (to, request)));
            return true;
        }
        peer.own = Some(id);
        let gap = CHECK_AGAIN * (1 << peer.own_sent.saturating_sub(1).min(CHECK_AGAIN_DOUBLINGS));
        let is_early = peer.own_sent_at.is_some_and(|at| now.saturating_duration_since(at) < gap);
        if is_early && !peer.is_proven {
            return false;
        }
        peer.own_sent = peer.own_sent.saturating_add(1);
        peer.own_sent_at = Some(now);
        true
    }

    /// `datagram` came from `from`; whether the agent gets it now.
    pub(super) fn heard(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        let Some(message) = decoded(datagram) else { return true };
        if message.typ == BINDING_SUCCESS {
            let is_new = !self.was_vouched_for(from, &message);
            if is_new && self.known.remote.clone().is_some_and(|remote| self.proves(&message, &remote)) {
                self.push_handshake(now, from);
            }
            return is_new;
        }
        let Some(local) = self.known.local.clone().filter(|_| message.typ == BINDING_REQUEST) else { return true };
        if !is_for(&message, &local.ufrag) || !self.proves(&message, &local) {
            return true;
        }
        let (remote, is_restart) = (self.known.remote.clone(), self.known.is_restart);
        let Some(peer) = self.peer(from) else { return true };
        peer.is_proven = !is_restart;
        if peer.own_vouched || (is_restart && remote.is_some()) {
            return true;
        }
        if let (Some(id), Some(remote)) = (peer.own, &remote) {
            peer.own_vouched = true;
            self.vouch(from, id, remote);
            self.arrivals.push_back((from, datagram.to_vec()));
            return false;
        }
        let since = peer.kept.take().map_or(remote.map(|_| now), |(_, since)| since);
        peer.kept = Some((datagram.to_vec(), since));
        false
    }

    /// When [`Self::due`] has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        let kept = |peer: &Peer| peer.kept.as_ref().and_then(|(_, since)| Some((*since)? + UNKNOWN_ADDRESS));
        let nomination = |peer: &Peer| peer.nomination.as_ref().map(|nomination| nomination.due);
        let push = self.pushes.last().map(|(_, at)| *at);
        self.peers.iter().flat_map(|peer| [kept(peer), nomination(peer)]).flatten().chain(push).min()
    }

    /// Hands on what was kept long enough; what is to be sent now, and to whom.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        if let Some((from, _)) = self.pushes.pop_if(|(_, at)| *at <= now) {
            self.arrivals.push_back((from, NO_RECORD.to_vec()));
        }
        for peer in &mut self.peers {
            if peer.kept.as_ref().is_some_and(|(_, since)| since.is_some_and(|since| since + UNKNOWN_ADDRESS <= now)) {
                self.arrivals.extend(peer.kept.take().map(|(request, _)| (peer.address, request)));
            }
            if let Some(nomination) = peer.nomination.as_mut().filter(|nomination| nomination.due <= now) {
                sent.push((peer.address, nomination.request.clone()));
                nomination.repeated += 1;
                nomination.due = now + REPETITION * (1 << nomination.repeated);
                if nomination.repeated == REPETITIONS {
                    peer.nomination = None;
                }
            }
        }
        sent
    }

    fn peer(&mut self, address: SocketAddr) -> Option<&mut Peer> {
        if let Some(found) = self.peers.iter().position(|peer| peer.address == address) {
            return self.peers.get_mut(found);
        }
        if self.peers.len() == ADDRESSES {
            return None;
        }
        self.peers.push(Peer {
            address,
            is_proven: false,
            kept: None,
            own: None,
            own_sent: 0,
            own_sent_at: None,
            own_vouched: false,
            nomination: None,
            nomination_vouched: false,
            vouched: Vec::new(),
        });
        self.peers.last_mut()
    }

    /// A check of our own agent's in this session, with the peer's credentials.
    fn own_request(&self, datagram: &[u8]) -> Option<(Message, IceCredentials)> {
        let remote = self.known.remote.clone()?;
        let request = decoded(datagram).filter(|message| message.typ == BINDING_REQUEST)?;
        is_for(&request, &remote.ufrag).then_some((request, remote))
    }

    /// Whether `message` is the answer to something that the agent has an answer to already. If it is the peer's, it ends
    /// the repetition.
    fn was_vouched_for(&mut self, from: SocketAddr, message: &Message) -> bool {
        let Some(remote) = self.known.remote.clone() else { return false };
        let id = message.transaction_id;
        if !self.peers.iter().any(|peer| peer.address == from && peer.vouched.contains(&id)) {
            return false;
        }
        if self.proves(message, &remote)
            && let Some(peer) = self.peer(from)
        {
            peer.nomination.take_if(|nomination| nomination.id == id);
        }
        true
    }

    /// The path may just have been chosen. The peer connection then makes its hello, and keeps it to itself until its next
    /// timer is due or a DTLS datagram comes; so one without meaning does.
    fn push_handshake(&mut self, now: Instant, from: SocketAddr) {
        if self.known.begins_handshake {
            self.pushes = HELLO_AFTER.iter().rev().map(|after| (from, now + *after)).collect();
        }
    }

    /// Puts the answer to a check of ours before the agent.
    fn vouch(&mut self, from: SocketAddr, id: TransactionId, remote: &IceCredentials) {
        let Some(crypto) = &self.crypto else { return };
        let mut answer = Message::new();
        let built = answer.build(&[
            Box::new(id),
            Box::new(BINDING_SUCCESS),
            Box::new(XorMappedAddress { ip: self.own_address.ip(), port: self.own_address.port() }),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(
                remote.password.clone(),
                crypto.crypto(),
            )),
            Box::new(FINGERPRINT),
        ]);
        match built {
            Ok(()) => {
                self.arrivals.push_back((from, answer.raw));
                if let Some(peer) = self.peer(from) {
                    peer.vouched.push(id);
                }
            }
            Err(error) => tracing::debug!(%error, "no answer to a check could be made"),
        }
    }

    /// Whether who made `message` knows the password (RFC 8489 §9.1).
    fn proves(&self, message: &Message, credentials: &IceCredentials) -> bool {
        let Some(crypto) = &self.crypto else { return false };
        let mut message = message.clone();
        MessageIntegrity::check(&mut message, credentials.password.as_bytes(), crypto.crypto()).is_ok()
    }
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Checks").field("peers", &self.peers).finish_non_exhaustive()
    }
}

/// Whether a datagram is a check for the side with these credentials, from one who knows them (RFC 8445 §7.3).
pub(super) fn is_check_for(datagram: &[u8], credentials: &IceCredentials) -> bool {
    let Some(mut message) = decoded(datagram).filter(|message| message.typ == BINDING_REQUEST) else { return false };
    let Ok(crypto) = default_provider() else { return false };
    is_for(&message, &credentials.ufrag)
        && MessageIntegrity::check(&mut message, credentials.password.as_bytes(), crypto.crypto()).is_ok()
}

fn decoded(datagram: &[u8]) -> Option<Message> {
    let mut message = Message { raw: datagram.to_vec(), ..Message::default() };
    message.decode().is_ok().then_some(message)
}

/// Whether a request is for the side with this username fragment, which comes first in its username (RFC 8445 §7.2.2).
fn is_for(request: &Message, ufrag: &str) -> bool {
    let username = request.get(ATTR_USERNAME).unwrap_or_default();
    username.strip_prefix(ufrag.as_bytes()).is_some_and(|rest| rest.first() == Some(&b':'))
}

#[cfg(test)]
pub(super) mod tests;
