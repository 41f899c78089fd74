//! The relay itself: STUN's Binding and TURN over UDP, TCP and TLS (RFC 8489, RFC 8656), relaying UDP. Pure but for the
//! sockets that it opens through [`Ports`]: bytes and the time in, actions out. Not there, and refused: TCP to peers
//! (RFC 6062), reserved and even ports, two families in one allocation, mobility.

mod allocation;
mod flood;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod nonce;
mod peers;
mod requests;
#[cfg(test)]
mod tests;
mod users;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use self::allocation::Allocation;
use self::flood::Floods;
use self::nonce::Nonces;
use self::users::Users;
use super::config::{TurnConfig, TurnLimits};
use super::credentials::Secret;
use super::frames::FRAME_MAX;
use super::message::{Attributes, Head, attributes, method, parse};
use super::metrics::{Dropped, Refused, TurnMetrics, Way};
use crate::limits::Network;
use stun_types::message::MessageClass;

/// UDP carries no more over IPv4; what claims to be longer is not looked at.
const PAYLOAD_MAX: usize = 65_507;

/// The moment: monotonic for what lasts, and seconds since 1970 (UTC) for credentials and nonces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) unix: u64,
}

/// A client as its 5-tuple knows it: an allocation is its own (RFC 8656 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
}

/// How a client is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    /// By the listening socket of this index.
    Udp(usize),
    /// By the connection of this number; none is used twice.
    Stream(u64),
}

/// An allocation's number; none is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RelayId(pub(crate) u64);

/// RFC 8656 §18.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// The sockets of relays.
pub(crate) trait Ports {
    /// Opens one for a client; gives the address that the client is told.
    ///
    /// # Errors
    /// [`NoPort`].
    fn open(&mut self, relay: RelayId, client: &Client, family: Family) -> Result<SocketAddr, NoPort>;
    /// Closes it again.
    fn close(&mut self, relay: RelayId);
    /// Whether this machine has the address, or stands behind it.
    fn is_own(&self, address: IpAddr) -> bool;
}

/// Why a socket is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPort {
    /// This machine has no address of that family that the client could use.
    Family,
    /// All ports tried are taken.
    Taken,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Action<'a> {
    Nothing,
    /// To the client whose message it was.
    Reply(Vec<u8>),
    /// From a relay's socket.
    ToPeer {
        relay: RelayId,
        peer: SocketAddr,
        payload: &'a [u8],
    },
    /// `head`, `payload` and zeros up to a multiple of `align`.
    ToClient {
        client: Client,
        head: Head,
        payload: &'a [u8],
        align: usize,
    },
}

/// All allocations of this server.
#[derive(Debug)]
pub(crate) struct Relay {
    secret: Secret,
    limits: TurnLimits,
    allow_private: bool,
    allow_own: bool,
    metrics: Arc<TurnMetrics>,
    nonces: Nonces,
    unproven: Floods,
    forged: Floods,
    allocations: HashMap<RelayId, Allocation>,
    clients: HashMap<Client, RelayId>,
    /// By the address that is told.
    relayed: HashMap<SocketAddr, RelayId>,
    users: Users,
    networks: HashMap<Network, usize>,
    next: u64,
}

impl Relay {
    /// One without allocations. `key` signs nonces; nobody else may know it.
    pub(crate) fn new(config: &TurnConfig, key: [u8; 32], metrics: Arc<TurnMetrics>) -> Self {
        let limits = config.limits;
        let [per_s, per_minute] = [limits.unproven_per_s, limits.forged_per_minute].map(f64::from);
        Self {
            secret: config.secret.clone(),
            limits,
            allow_private: config.allow_private,
            allow_own: config.allow_own,
            metrics,
            nonces: Nonces::new(key),
            unproven: Floods::new(per_s, 5.0 * per_s),
            forged: Floods::new(per_minute / 60.0, per_minute),
            allocations: HashMap::new(),
            clients: HashMap::new(),
            relayed: HashMap::new(),
            users: Users::default(),
            networks: HashMap::new(),
            next: 0,
        }
    }

    /// Takes a datagram, or a message of a stream without its padding.
    pub(crate) fn hear_client<'a>(
        &mut self,
        now: Now,
        client: Client,
        bytes: &'a [u8],
        ports: &mut dyn Ports,
    ) -> Action<'a> {
        match bytes.first() {
            Some(0x40..=0x7F) => self.channel_data(now, client, bytes),
            Some(0x00..=0x3F) => self.stun(now, client, bytes, ports),
            _ => self.malformed(),
        }
    }

    /// Takes a datagram that came to a relay's socket.
    pub(crate) fn hear_peer<'a>(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: SocketAddr,
        payload: &'a [u8],
    ) -> Action<'a> {
        let Some(allocation) = self.allocations.get(&relay).filter(|found| now.instant < found.expires) else {
            return Action::Nothing;
        };
        if allocation.permission(peer.ip(), now.instant).is_none() {
            self.metrics.lose(Dropped::Permission);
            return Action::Nothing;
        }
        let Ok(length) = u16::try_from(payload.len()) else { return Action::Nothing };
        let is_stream = matches!(allocation.client.transport, Transport::Stream(_));
        let (head, align) = match allocation.number_of(peer, now.instant) {
            Some(number) => (Head::channel(number, length), if is_stream { 4 } else { 1 }),
            None => {
                // Nobody answers an indication, so that its transaction has a number is all that is needed of it.
                self.next += 1;
                (Head::indication(peer, length, self.next.into()), 4)
            }
        };
        // Peers choose the length; a client may take what is longer for the end of the stream.
        if is_stream && (head.as_bytes().len() + payload.len()).next_multiple_of(align) > FRAME_MAX {
            self.metrics.lose(Dropped::Size);
            return Action::Nothing;
        }
        if !self.users.may_carry(&allocation.name, Way::ToClient, payload.len(), now.instant) {
            self.metrics.lose(Dropped::Rate);
            return Action::Nothing;
        }
        self.metrics.relay(Way::ToClient, payload.len());
        Action::ToClient { client: allocation.client, head, payload, align }
    }

    /// A connection ended; so does its allocation.
    pub(crate) fn closed(&mut self, client: Client, ports: &mut dyn Ports) {
        if let Some(relay) = self.clients.get(&client).copied() {
            self.end(relay, ports);
        }
    }

    /// Whether a client has an allocation.
    pub(crate) fn serves(&self, client: &Client) -> bool {
        self.clients.contains_key(client)
    }

    /// Ends what has expired. To be called about once a second; what has expired does nothing any more before it is
    /// found.
    pub(crate) fn handle_timeout(&mut self, now: Instant, ports: &mut dyn Ports) {
        let expired = self.allocations.iter().filter(|(_, allocation)| allocation.expires <= now);
        let expired: Vec<RelayId> = expired.map(|(relay, _)| *relay).collect();
        for relay in expired {
            self.end(relay, ports);
        }
        self.users.sweep(now);
    }

    fn stun<'a>(&mut self, now: Now, client: Client, bytes: &'a [u8], ports: &mut dyn Ports) -> Action<'a> {
        let Some(message) = parse(bytes) else { return self.malformed() };
        let asked = attributes(&message, bytes);
        match message.class() {
            MessageClass::Request => match self.request(now, client, &message, &asked, ports) {
                Some(answer) => Action::Reply(answer),
                None => Action::Nothing,
            },
            MessageClass::Indication if message.method().value() == method::SEND => self.send(now, client, &asked),
            // A keep-alive (RFC 8489 §6.2.3), or what a server never asked for.
            _ => Action::Nothing,
        }
    }

    /// A Send indication (RFC 8656 §11.2). Nobody is told when it is not passed on.
    fn send<'a>(&mut self, now: Now, client: Client, asked: &Attributes<'a>) -> Action<'a> {
        let (&[peer], Some(data)) = (&asked.peers[..], asked.data) else { return self.malformed() };
        if asked.malformed || !asked.unknown.is_empty() {
            return self.malformed();
        }
        match self.clients.get(&client).copied() {
            Some(relay) => self.pass_on(now, relay, peer, data),
            None => Action::Nothing,
        }
    }

    /// RFC 8656 §12.6. Behind it there may be padding, over UDP too.
    fn channel_data<'a>(&mut self, now: Now, client: Client, bytes: &'a [u8]) -> Action<'a> {
        let [first, second, high, low, rest @ ..] = bytes else { return self.malformed() };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(payload) = rest.get(..length) else { return self.malformed() };
        let number = u16::from_be_bytes([*first, *second]);
        let Some(relay) = self.clients.get(&client).copied() else { return Action::Nothing };
        let peer = self.allocations.get(&relay).and_then(|allocation| allocation.peer_of(number, now.instant));
        match peer {
            Some(peer) => self.pass_on(now, relay, peer, payload),
            None => {
                self.metrics.lose(Dropped::Permission);
                Action::Nothing
            }
        }
    }

    fn pass_on<'a>(&mut self, now: Now, relay: RelayId, peer: SocketAddr, payload: &'a [u8]) -> Action<'a> {
        let is_public = self.may_reach(peer.ip());
        let Some(allocation) = self.allocations.get(&relay).filter(|found| now.instant < found.expires) else {
            return Action::Nothing;
        };
        let Some(permission) = allocation.permission(peer.ip(), now.instant) else {
            self.metrics.lose(Dropped::Permission);
            return Action::Nothing;
        };
        let other = self.relayed.get(&peer).copied();
        let may = if permission.own { other.is_some() } else { is_public };
        if !may || peer.port() == 0 || payload.len() > PAYLOAD_MAX {
            self.metrics.lose(Dropped::Peer);
            return Action::Nothing;
        }
        if !self.users.may_carry(&allocation.name, Way::ToPeer, payload.len(), now.instant) {
            self.metrics.lose(Dropped::Rate);
            return Action::Nothing;
        }
        let from = allocation.relayed;
        self.metrics.relay(Way::ToPeer, payload.len());
        match other {
            // From relay to relay without leaving the server.
            Some(other) => self.hear_peer(now, other, from, payload),
            None => Action::ToPeer { relay, peer, payload },
        }
    }

    fn may_reach(&self, peer: IpAddr) -> bool {
        self.allow_own || peers::may_reach(peer, self.allow_private)
    }

    fn end(&mut self, relay: RelayId, ports: &mut dyn Ports) {
        let Some(allocation) = self.allocations.remove(&relay) else { return };
        self.clients.remove(&allocation.client);
        self.relayed.remove(&allocation.relayed);
        self.users.end(&allocation.name);
        give_back(&mut self.networks, &allocation.network);
        self.gauge(&allocation.client).fetch_sub(1, Relaxed);
        ports.close(relay);
        tracing::debug!(relay = relay.0, "a relay ended");
    }

    fn gauge(&self, client: &Client) -> &std::sync::atomic::AtomicU64 {
        match client.transport {
            Transport::Udp(_) => &self.metrics.allocations_udp,
            Transport::Stream(_) => &self.metrics.allocations_stream,
        }
    }

    fn malformed<'a>(&self) -> Action<'a> {
        self.metrics.refuse(Refused::Malformed);
        Action::Nothing
    }
}

fn give_back<K: std::hash::Hash + Eq + Clone>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
