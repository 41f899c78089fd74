//! One allocation: whose it is, until when, and whom it may reach (RFC 8656 §3.2, §8, §11). Pure.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

use super::Client;
use crate::limits::Network;

/// RFC 8656 §9.
pub(crate) const PERMISSION: Duration = Duration::from_secs(300);
/// RFC 8656 §12.
pub(crate) const CHANNEL: Duration = Duration::from_secs(600);
/// Between two refusals of peers that one allocation is told of; some clients ask again at once.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

/// A relay's state.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) client: Client,
    pub(crate) name: Arc<str>,
    pub(crate) network: Network,
    /// As the client is told.
    pub(crate) relayed: SocketAddr,
    pub(crate) expires: Instant,
    /// The request that made it and its answer, which may have been lost.
    pub(crate) made_by: (TransactionId, Vec<u8>),
    permissions: HashMap<IpAddr, Permission>,
    channels: HashMap<u16, Channel>,
    numbers: HashMap<SocketAddr, u16>,
    refused: Option<Instant>,
}

/// Leave to exchange data with an address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permission {
    until: Instant,
    /// It is an address of this machine: only other relays are reached there, and not by a socket.
    pub(crate) own: bool,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    peer: SocketAddr,
    until: Instant,
}

/// Why a channel or permission is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotGiven {
    /// The number or the peer has another partner (RFC 8656 §12.1).
    Taken,
    /// There are as many as may be.
    Full,
}

impl Allocation {
    pub(crate) fn new(
        client: Client,
        name: Arc<str>,
        relayed: SocketAddr,
        made_by: (TransactionId, Vec<u8>),
        (now, lifetime): (Instant, Duration),
    ) -> Self {
        Self {
            client,
            name,
            network: client.address.ip().into(),
            relayed,
            expires: now + lifetime,
            made_by,
            permissions: HashMap::new(),
            channels: HashMap::new(),
            numbers: HashMap::new(),
            refused: None,
        }
    }

    /// Leave to reach this address, if there is.
    pub(crate) fn permission(&self, peer: IpAddr, now: Instant) -> Option<Permission> {
        self.permissions.get(&peer).copied().filter(|permission| now < permission.until)
    }

    /// Whether so many permissions can be given or renewed.
    pub(crate) fn has_room_for(&mut self, peers: &[IpAddr], max: usize, now: Instant) -> bool {
        self.permissions.retain(|_, permission| now < permission.until);
        let mut added: Vec<&IpAddr> = peers.iter().filter(|peer| !self.permissions.contains_key(*peer)).collect();
        added.sort_unstable();
        added.dedup();
        self.permissions.len() + added.len() <= max
    }

    pub(crate) fn permit(&mut self, peer: IpAddr, own: bool, now: Instant) {
        self.permissions.insert(peer, Permission { until: now + PERMISSION, own });
    }

    /// Binds a channel, or renews it. The permission is another matter.
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr, max: usize, now: Instant) -> Result<(), NotGiven> {
        self.channels.retain(|_, channel| now < channel.until);
        self.numbers.retain(|_, number| self.channels.contains_key(number));
        let partner = self.channels.get(&number).map(|channel| channel.peer);
        if partner.is_some_and(|partner| partner != peer) || self.numbers.get(&peer).is_some_and(|n| *n != number) {
            return Err(NotGiven::Taken);
        }
        if partner.is_none() && self.channels.len() >= max {
            return Err(NotGiven::Full);
        }
        self.channels.insert(number, Channel { peer, until: now + CHANNEL });
        self.numbers.insert(peer, number);
        Ok(())
    }

    /// The peer at the other end of a channel.
    pub(crate) fn peer_of(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        self.channels.get(&number).filter(|channel| now < channel.until).map(|channel| channel.peer)
    }

    /// The channel to a peer.
    pub(crate) fn number_of(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let number = *self.numbers.get(&peer)?;
        self.peer_of(number, now).map(|_| number)
    }

    /// Whether the client is to be told of a refused peer, or was just told of one.
    pub(crate) fn tells_of_refusal(&mut self, now: Instant) -> bool {
        let tells = self.refused.is_none_or(|at| now.saturating_duration_since(at) >= REFUSAL_PAUSE);
        if tells {
            self.refused = Some(now);
        }
        tells
    }
}
