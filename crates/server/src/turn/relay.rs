//! The relay itself: STUN's Binding and TURN over UDP, TCP and TLS (RFC 8489, RFC 8656), relaying UDP. Pure but for the
//! sockets that it opens through [`Ports`]: bytes and the time in, actions out. Not there, and refused: TCP to peers
//! (RFC 6062), reserved and even ports, two families in one allocation, mobility.

mod allocation;
mod data;
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
use super::message::{Head, attributes, method, parse};
use super::metrics::{Refused, TurnMetrics};
use crate::limits::Network;
use stun_types::message::MessageClass;

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
    /// How many allocations each address has, and each site.
    networks: HashMap<Network, usize>,
    /// How many guests have.
    guests: usize,
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
            guests: 0,
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

    fn may_reach(&self, peer: IpAddr) -> bool {
        self.allow_own || peers::may_reach(peer, self.allow_private)
    }

    fn end(&mut self, relay: RelayId, ports: &mut dyn Ports) {
        let Some(allocation) = self.allocations.remove(&relay) else { return };
        self.clients.remove(&allocation.client);
        self.relayed.remove(&allocation.relayed);
        self.users.end(&allocation.name);
        for (network, _) in allocation.network.with_site() {
            give_back(&mut self.networks, &network);
        }
        self.guests -= usize::from(is_guest(&allocation.name));
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

fn is_guest(name: &str) -> bool {
    name.starts_with("guest-")
}

fn give_back<K: std::hash::Hash + Eq + Clone>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
