//! What an operator decides about the relay, and its numbers, which only tests change.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::credentials::Secret;

/// What [`super::Turn::start`] needs to know.
#[derive(Debug, Clone)]
pub struct TurnConfig {
    /// Where to listen, over UDP and TCP on the same port; port 0 picks a free one.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for TLS besides.
    pub tls: Option<TurnTls>,
    /// What credentials are made and checked with.
    pub secret: Secret,
    /// What clients are told in place of a relay's own address, one of a family: a 1:1 NAT in front.
    pub external: Vec<IpAddr>,
    /// The ports of relays.
    pub ports: RelayPorts,
    /// Whether peers in private networks may be reached.
    pub allow_private: bool,
    /// Whether peers on this machine may be reached: for tests and measurements, which have no other. No flag sets it.
    pub allow_own: bool,
    /// How much anybody may do.
    pub limits: TurnLimits,
}

/// `turns:`.
#[derive(Debug, Clone)]
pub struct TurnTls {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The chain, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

impl TurnConfig {
    /// Listens there; no TLS, public peers alone, the default numbers.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>, secret: Secret) -> Self {
        Self {
            listen,
            tls: None,
            secret,
            external: Vec::new(),
            ports: RelayPorts::default(),
            allow_private: false,
            allow_own: false,
            limits: TurnLimits::default(),
        }
    }
}

/// How much is relayed, for whom. What goes beyond is refused or dropped, and counted.
#[derive(Debug, Clone, Copy)]
pub struct TurnLimits {
    /// Allocations of a user with a key. A client asks for one on each of its addresses and transports.
    pub user_allocations: usize,
    /// Allocations of a guest.
    pub guest_allocations: usize,
    /// Allocations of one address (IPv6: one /64).
    pub address_allocations: usize,
    /// Allocations in all; of these a quarter for one IPv6 /48, and half for all guests together.
    pub allocations: usize,
    /// Permissions of one allocation.
    pub permissions: usize,
    /// Channels of one allocation.
    pub channels: usize,
    /// Bytes a second of a user over all allocations, each way; as many at once. A datagram counts 64 beside its payload.
    pub user_bytes_per_s: u32,
    /// The same for a guest.
    pub guest_bytes_per_s: u32,
    /// Answers a second to an address that proved nothing yet; five times as many at once.
    pub unproven_per_s: u32,
    /// Requests with wrong integrity that one address may send a minute before it gets no answer.
    pub forged_per_minute: u32,
    /// TCP and TLS connections of one address, and a sixteenth of those of one IPv6 /48.
    pub address_connections: usize,
    /// TCP and TLS connections in all. Where there are so many, the oldest without an allocation makes room.
    pub connections: usize,
    /// How long a connection may be without an allocation, and how long TLS may take to begin.
    pub idle: Duration,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self {
            user_allocations: 24,
            guest_allocations: 8,
            address_allocations: 64,
            allocations: 1_000,
            permissions: 64,
            channels: 64,
            user_bytes_per_s: 1_000_000,
            guest_bytes_per_s: 250_000,
            unproven_per_s: 20,
            forged_per_minute: 20,
            address_connections: 64,
            connections: 1_256,
            idle: Duration::from_secs(10),
        }
    }
}

/// A range of ports, written `49152-65535`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayPorts(pub RangeInclusive<u16>);

/// A text that is no such range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a range of ports: write 49152-65535")]
pub struct RelayPortsError;

impl Default for RelayPorts {
    /// The dynamic ports of RFC 6335 §6, which RFC 8656 §7.2 names.
    fn default() -> Self {
        Self(49_152..=65_535)
    }
}

impl FromStr for RelayPorts {
    type Err = RelayPortsError;

    fn from_str(text: &str) -> Result<Self, RelayPortsError> {
        let (low, high) = text.split_once('-').ok_or(RelayPortsError)?;
        let port = |text: &str| text.parse::<u16>().map_err(|_| RelayPortsError);
        let (low, high) = (port(low)?, port(high)?);
        if low == 0 || low > high { Err(RelayPortsError) } else { Ok(Self(low..=high)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_has_two_ends_in_order() {
        assert_eq!("50000-50100".parse(), Ok(RelayPorts(50_000..=50_100)));
        assert_eq!("7-7".parse(), Ok(RelayPorts(7..=7)));
        for bad in ["", "1", "-", "0-5", "5-4", "1-65536", "1-2-3", " 1-2", "a-b"] {
            assert_eq!(bad.parse::<RelayPorts>(), Err(RelayPortsError), "{bad}");
        }
    }
}
