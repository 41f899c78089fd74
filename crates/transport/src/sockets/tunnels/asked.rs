//! What was asked of STUN and TURN servers, over whichever transport, and what came back. Pure. Two requests are cut short,
//! because the TURN client of the peer connection waits for or repeats them without end:
//!
//! * An Allocate that nobody answers. The client waits for the answer to another request than the one that timed out, so
//!   gathering would never end. Instead it is told that the server cannot be reached.
//! * A CreatePermission for an address and port that this server forbids, which is made anew with every check of that
//!   address. What one server forbids another may allow, and on another port there may be a relay that it does allow.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How long the answer to an Allocate is waited for. The client repeats it after 0.2, 0.6, 1.4, 3.0, 4.6 and 6.2 s
/// (RFC 8489 §6.2.1 with its own numbers); the first of these that is later gets the error.
const ALLOCATE: Duration = Duration::from_secs(5);

/// How long a permission that was forbidden is not asked for again.
const FORBIDDEN: Duration = Duration::from_secs(30);

/// Of how many requests, servers and refusals something is remembered; a connection asks a few servers for up to 64
/// addresses.
const REQUESTS: usize = 64;
const ADDRESSES: usize = 256;

const BINDING: u16 = 0x0001;
const ALLOCATE_REQUEST: u16 = 0x0003;
const CREATE_PERMISSION: u16 = 0x0008;
const SUCCESS: u16 = 0x0100;
const ERROR: u16 = 0x0110;
const USERNAME: u16 = 0x0006;
const ERROR_CODE: u16 = 0x0009;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const UNAUTHENTICATED: u16 = 401;
const FORBIDDEN_CODE: u16 = 403;
const STALE_NONCE: u16 = 438;

type Id = [u8; 12];

/// What is to happen with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Send,
    /// It is not sent, and nobody is told: it would be refused.
    Swallow,
    /// It is not sent; its server does not answer.
    TimedOut,
}

/// What is known of one server, by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing came, so far.
    None,
    /// It refused an Allocate with this code (RFC 8489 §14.8), although it was given a name and a password.
    Refused(u16),
    /// A STUN server told our address, or a TURN server allocated one.
    Given,
}

#[derive(Debug, Default)]
pub(crate) struct Asked {
    allocates: VecDeque<Allocate>,
    permissions: VecDeque<Permission>,
    forbidden: VecDeque<Forbidden>,
    answers: HashMap<(SocketAddr, Service), Answer>,
    bindings: VecDeque<(Id, SocketAddr)>,
}

/// What is asked of a server; one address may be both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    Stun,
    Turn,
}

#[derive(Debug)]
struct Allocate {
    id: Id,
    to: SocketAddr,
    since: Instant,
    /// It has a name in it, so that a 401 is a refusal and not an invitation.
    is_authenticated: bool,
}

/// A CreatePermission that was sent.
#[derive(Debug)]
struct Permission {
    id: Id,
    to: SocketAddr,
    peers: Vec<SocketAddr>,
}

/// What came of one.
#[derive(Debug)]
struct Forbidden {
    by: SocketAddr,
    peer: SocketAddr,
    at: Instant,
}

impl Asked {
    /// The peer connection sends `datagram` to `to`.
    pub(crate) fn sending(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) -> Verdict {
        let Some((kind, id, attributes)) = message(datagram) else { return Verdict::Send };
        match kind {
            // A check of a peer's address has a name in it; what a STUN server is asked has none.
            BINDING if find(attributes, USERNAME).is_none() => {
                self.note(to, Service::Stun, None);
                remember(&mut self.bindings, (id, to));
                Verdict::Send
            }
            ALLOCATE_REQUEST => self.allocating(now, to, id, find(attributes, USERNAME).is_some()),
            CREATE_PERMISSION => {
                let peers: Vec<SocketAddr> = peers(attributes, &id).collect();
                self.forbidden.retain(|forbidden| now.saturating_duration_since(forbidden.at) < FORBIDDEN);
                let is_forbidden =
                    |peer: &SocketAddr| self.forbidden.iter().any(|found| found.by == to && found.peer == *peer);
                if !peers.is_empty() && peers.iter().all(is_forbidden) {
                    return Verdict::Swallow;
                }
                remember(&mut self.permissions, Permission { id, to, peers });
                Verdict::Send
            }
            _ => Verdict::Send,
        }
    }

    /// `datagram` came from anywhere: an answer is known by its transaction, as the TURN client knows it too. Whether a TURN
    /// server gave an address.
    pub(crate) fn heard(&mut self, now: Instant, datagram: &[u8]) -> Option<SocketAddr> {
        let (kind, id, attributes) = message(datagram)?;
        const ALLOCATED: u16 = ALLOCATE_REQUEST | SUCCESS;
        const NOT_ALLOCATED: u16 = ALLOCATE_REQUEST | ERROR;
        const NOT_PERMITTED: u16 = CREATE_PERMISSION | ERROR;
        const BOUND: u16 = BINDING | SUCCESS;
        match kind {
            ALLOCATED | NOT_ALLOCATED => {
                let found = self.allocates.iter().position(|allocate| allocate.id == id)?;
                let Allocate { to, is_authenticated, .. } = self.allocates.remove(found)?;
                if kind == ALLOCATED {
                    self.note(to, Service::Turn, Some(Answer::Given));
                    return Some(to);
                }
                let code = error_code(attributes).unwrap_or_default();
                let is_invitation = code == STALE_NONCE || (code == UNAUTHENTICATED && !is_authenticated);
                if !is_invitation {
                    self.note(to, Service::Turn, Some(Answer::Refused(code)));
                }
            }
            NOT_PERMITTED => {
                let found = self.permissions.iter().position(|asked| asked.id == id)?;
                let Permission { to, peers, .. } = self.permissions.remove(found)?;
                if error_code(attributes) == Some(FORBIDDEN_CODE) {
                    for peer in peers {
                        remember_up_to(ADDRESSES, &mut self.forbidden, Forbidden { by: to, peer, at: now });
                    }
                }
            }
            BOUND => {
                let found = self.bindings.iter().position(|(asked, _)| *asked == id)?;
                let (_, to) = self.bindings.remove(found)?;
                self.note(to, Service::Stun, Some(Answer::Given));
            }
            _ => {}
        }
        None
    }

    /// What came of asking `server`. `None`: it was not asked.
    pub(crate) fn of(&self, server: SocketAddr, service: Service) -> Option<Answer> {
        self.answers.get(&(server, service)).copied()
    }

    fn allocating(&mut self, now: Instant, to: SocketAddr, id: Id, is_authenticated: bool) -> Verdict {
        self.note(to, Service::Turn, None);
        let known = self.allocates.iter().position(|allocate| allocate.id == id);
        let Some(known) = known else {
            remember(&mut self.allocates, Allocate { id, to, since: now, is_authenticated });
            return Verdict::Send;
        };
        let since = self.allocates.get(known).map_or(now, |allocate| allocate.since);
        if now.saturating_duration_since(since) < ALLOCATE {
            return Verdict::Send;
        }
        self.allocates.remove(known);
        Verdict::TimedOut
    }

    /// Notes what a server answered; without an answer, that it was asked, if nothing is known of it yet.
    fn note(&mut self, server: SocketAddr, service: Service, answer: Option<Answer>) {
        let is_known = self.answers.contains_key(&(server, service));
        if (is_known && answer.is_none()) || (!is_known && self.answers.len() >= ADDRESSES) {
            return;
        }
        self.answers.insert((server, service), answer.unwrap_or(Answer::None));
    }
}

/// Adds to a memory that forgets the oldest.
fn remember<T>(memory: &mut VecDeque<T>, new: T) {
    remember_up_to(REQUESTS, memory, new);
}

fn remember_up_to<T>(most: usize, memory: &mut VecDeque<T>, new: T) {
    if memory.len() >= most {
        memory.pop_front();
    }
    memory.push_back(new);
}

/// A STUN message's type, transaction and attributes (RFC 8489 §5).
pub(super) fn message(datagram: &[u8]) -> Option<(u16, Id, &[u8])> {
    let [high @ 0x00..=0x3f, low, length_high, length_low, rest @ ..] = datagram else { return None };
    let (id, attributes) = rest.strip_prefix(&COOKIE)?.split_first_chunk::<12>()?;
    let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
    Some((u16::from_be_bytes([*high, *low]), *id, attributes.get(..length)?))
}

fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [kind_high, kind_low, high, low, after @ ..] = rest else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let value = after.get(..length)?;
        rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_be_bytes([*kind_high, *kind_low]), value))
    })
}

fn find(all: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(all).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// RFC 8489 §14.8: the hundreds, then the rest.
fn error_code(all: &[u8]) -> Option<u16> {
    let [_, _, class, number, ..] = find(all, ERROR_CODE)? else { return None };
    Some(u16::from(class & 7) * 100 + u16::from(*number))
}

/// RFC 8489 §14.2: the port and the address are masked by the cookie, and an IPv6 address by the transaction too.
fn peers<'a>(all: &'a [u8], id: &'a Id) -> impl Iterator<Item = SocketAddr> + 'a {
    attributes(all).filter(|(kind, _)| *kind == XOR_PEER_ADDRESS).filter_map(move |(_, value)| {
        let mask = COOKIE.iter().chain(id);
        let &[_, family, high, low, ref address @ ..] = value else { return None };
        let port = u16::from_be_bytes([high ^ COOKIE[0], low ^ COOKIE[1]]);
        let bytes: Vec<u8> = address.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        let address: IpAddr = match family {
            1 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
            2 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
            _ => return None,
        };
        Some(SocketAddr::new(address, port))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 3478);
    const ALLOCATE_ANSWERS: [u16; 2] = [ALLOCATE_REQUEST | SUCCESS, ALLOCATE_REQUEST | ERROR];

    fn stun(kind: u16, id: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = kind.to_be_bytes().to_vec();
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(COOKIE);
        message.extend([id; 12]);
        message.extend(body);
        message
    }

    fn permission(id: u8, peer: [u8; 4]) -> Vec<u8> {
        permission_at(id, peer, 9)
    }

    fn permission_at(id: u8, peer: [u8; 4], port: u8) -> Vec<u8> {
        let masked: Vec<u8> = peer.iter().zip(COOKIE).map(|(byte, mask)| byte ^ mask).collect();
        stun(CREATE_PERMISSION, id, &[(XOR_PEER_ADDRESS, &[&[0, 1, 9, port], &masked[..]].concat())])
    }

    fn error(kind: u16, id: u8, code: u16) -> Vec<u8> {
        stun(kind | ERROR, id, &[(ERROR_CODE, &[0, 0, (code / 100) as u8, (code % 100) as u8])])
    }

    #[test]
    fn an_allocate_that_is_not_answered_fails_once_after_five_seconds() {
        let (mut asked, start) = (Asked::default(), Instant::now());
        let request = stun(ALLOCATE_REQUEST, 1, &[]);
        assert_eq!(asked.of(SERVER, Service::Turn), None);
        let mut verdicts = Vec::new();
        for ms in [0, 200, 600, 1400, 3000, 4600, 6200, 7800] {
            verdicts.push(asked.sending(start + Duration::from_millis(ms), SERVER, &request));
        }
        let [before @ .., at_6200, after] = &verdicts[..] else { panic!() };
        assert!(before.iter().all(|verdict| *verdict == Verdict::Send));
        assert_eq!((*at_6200, *after), (Verdict::TimedOut, Verdict::Send));
        assert_eq!(asked.of(SERVER, Service::Turn), Some(Answer::None));
    }

    #[test]
    fn an_answer_ends_the_waiting_and_says_how_it_went() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        let later = now + 2 * ALLOCATE;
        // The first is refused to make the client say who it is.
        let first = stun(ALLOCATE_REQUEST, 1, &[]);
        asked.sending(now, SERVER, &first);
        assert_eq!(asked.heard(now, &error(ALLOCATE_REQUEST, 1, 401)), None);
        assert_eq!(asked.sending(later, SERVER, &first), Verdict::Send);
        assert_eq!(asked.of(SERVER, Service::Turn), Some(Answer::None));
        let second = stun(ALLOCATE_REQUEST, 2, &[(USERNAME, b"alice")]);
        asked.sending(now, SERVER, &second);
        assert_eq!(asked.heard(now, &error(ALLOCATE_REQUEST, 2, 401)), None);
        assert_eq!(asked.of(SERVER, Service::Turn), Some(Answer::Refused(401)));
        asked.sending(now, SERVER, &second);
        assert_eq!(asked.heard(now, &stun(ALLOCATE_REQUEST | SUCCESS, 3, &[])), None, "nobody asked that");
        assert_eq!(asked.heard(now, &stun(ALLOCATE_REQUEST | SUCCESS, 2, &[])), Some(SERVER));
        assert_eq!(asked.of(SERVER, Service::Turn), Some(Answer::Given));
        assert_eq!(asked.of(SERVER, Service::Stun), None);
    }

    #[test]
    fn a_stun_server_is_told_from_a_peer_that_is_checked() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        asked.sending(now, SERVER, &stun(BINDING, 1, &[(USERNAME, b"a:b")]));
        assert_eq!(asked.of(SERVER, Service::Stun), None);
        asked.sending(now, SERVER, &stun(BINDING, 2, &[]));
        assert_eq!(asked.of(SERVER, Service::Stun), Some(Answer::None));
        asked.heard(now, &stun(BINDING | SUCCESS, 2, &[]));
        assert_eq!(asked.of(SERVER, Service::Stun), Some(Answer::Given));
    }

    #[test]
    fn a_forbidden_permission_is_not_asked_for_again_for_a_while() {
        let (mut asked, start) = (Asked::default(), Instant::now());
        let (forbidden, other) = ([10, 0, 0, 1], [192, 0, 2, 9]);
        assert_eq!(asked.sending(start, SERVER, &permission(1, forbidden)), Verdict::Send);
        asked.heard(start, &error(CREATE_PERMISSION, 1, 438));
        assert_eq!(asked.sending(start, SERVER, &permission(2, forbidden)), Verdict::Send, "a nonce is no reason");
        asked.heard(start, &error(CREATE_PERMISSION, 2, 403));
        for (after, peer, verdict) in [
            (Duration::ZERO, forbidden, Verdict::Swallow),
            (Duration::from_secs(29), forbidden, Verdict::Swallow),
            (Duration::from_secs(29), other, Verdict::Send),
            (Duration::from_secs(31), forbidden, Verdict::Send),
        ] {
            assert_eq!(asked.sending(start + after, SERVER, &permission(3, peer)), verdict, "{after:?} {peer:?}");
        }
    }

    #[test]
    fn what_one_server_forbids_of_one_port_is_asked_of_another_server_and_of_other_ports() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        let (peer, other_server) = ([192, 0, 2, 9], SocketAddr::new(SERVER.ip(), SERVER.port() + 1));
        asked.sending(now, SERVER, &permission_at(1, peer, 1));
        asked.heard(now, &error(CREATE_PERMISSION, 1, 403));
        for (server, port, verdict) in [
            (SERVER, 1, Verdict::Swallow),
            (SERVER, 2, Verdict::Send),
            (other_server, 1, Verdict::Send),
            (other_server, 2, Verdict::Send),
        ] {
            assert_eq!(asked.sending(now, server, &permission_at(250, peer, port)), verdict, "{server} {port}");
        }
        // As many as a few servers are asked for in a call, none of them asked twice.
        for number in 0..200 {
            asked.sending(now, SERVER, &permission(number, [192, 0, 2, number]));
            asked.heard(now, &error(CREATE_PERMISSION, number, 403));
        }
        let mut again = |number| asked.sending(now, SERVER, &permission(9, [192, 0, 2, number]));
        assert!((0..200).all(|number| again(number) == Verdict::Swallow));
    }

    #[test]
    fn whatever_comes_neither_panics_nor_fills_the_memory() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        let whole =
            [permission(1, [1, 2, 3, 4]), error(ALLOCATE_REQUEST, 1, 401), stun(BINDING, 1, &[(USERNAME, b"x")])];
        for message in &whole {
            for end in 0..message.len() {
                asked.sending(now, SERVER, &message[..end]);
                asked.heard(now, &message[..end]);
                let mut wrong = message.clone();
                wrong[end] = wrong[end].wrapping_add(0x7f);
                asked.sending(now, SERVER, &wrong);
                asked.heard(now, &wrong);
            }
        }
        for port in 0..2000 {
            let (server, id) = (SocketAddr::new(SERVER.ip(), port), port as u8);
            asked.sending(now, server, &stun(BINDING, id, &[]));
            asked.sending(now, server, &stun(ALLOCATE_REQUEST, id, &[]));
            asked.sending(now, server, &permission(id, [9, 9, (port >> 8) as u8, id]));
            asked.heard(now, &error(CREATE_PERMISSION, id, 403));
            for kind in ALLOCATE_ANSWERS {
                asked.heard(now, &stun(kind, id, &[]));
            }
        }
        assert!(asked.answers.len() <= ADDRESSES);
        assert!(asked.forbidden.len() <= ADDRESSES);
        for held in [asked.allocates.len(), asked.permissions.len(), asked.bindings.len()] {
            assert!(held <= REQUESTS);
        }
    }
}
