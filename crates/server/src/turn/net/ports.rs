//! The sockets of relays.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::listen::udp_socket;
use super::send_to;
use crate::turn::config::TurnConfig;
use crate::turn::relay::{Client, Family, NoPort, Ports, RelayId, Transport};

/// Ports that are tried before there is said to be none.
const TRIES: usize = 16;
/// What the system may hold for one relay, each way, in bytes: a tenth of a second and more of the fastest.
const BUFFER: usize = 256 * 1024;

/// Opens them, and keeps them until the relay closes them.
pub(super) struct SocketPorts {
    /// Of the listening UDP sockets, in their order.
    listeners: Vec<IpAddr>,
    /// Where connections came in.
    pub(super) streams: HashMap<u64, IpAddr>,
    external: Vec<IpAddr>,
    range: RangeInclusive<u16>,
    open: HashMap<RelayId, Socket>,
    opened: Vec<(RelayId, Rc<UdpSocket>)>,
}

struct Socket {
    socket: Rc<UdpSocket>,
    reader: Option<AbortHandle>,
}

impl SocketPorts {
    pub(super) fn new(config: &TurnConfig, listeners: Vec<IpAddr>) -> Self {
        Self {
            listeners,
            streams: HashMap::new(),
            external: config.external.clone(),
            range: config.ports.0.clone(),
            open: HashMap::new(),
            opened: Vec::new(),
        }
    }

    /// Those that nobody reads yet.
    pub(super) fn take_opened(&mut self) -> Vec<(RelayId, Rc<UdpSocket>)> {
        std::mem::take(&mut self.opened)
    }

    /// Keeps the task that reads, to end it with the relay.
    pub(super) fn keep(&mut self, relay: RelayId, reader: AbortHandle) {
        match self.open.get_mut(&relay) {
            Some(socket) => socket.reader = Some(reader),
            None => reader.abort(),
        }
    }

    /// Whether the system took it.
    pub(super) fn send(&self, relay: RelayId, peer: SocketAddr, payload: &[u8]) -> bool {
        self.open.get(&relay).is_some_and(|socket| send_to(&socket.socket, payload, peer))
    }

    /// The address of this machine from which a client's relay reaches its peers.
    fn local(&self, client: &Client, family: Family) -> Option<IpAddr> {
        let is_wanted = |address: &IpAddr| address.is_ipv6() == (family == Family::V6);
        let met_at = match client.transport {
            Transport::Udp(index) => self.listeners.get(index).copied(),
            Transport::Stream(number) => self.streams.get(&number).copied(),
        }?;
        let met_at = if met_at.is_unspecified() { source_to(client.address)? } else { met_at };
        if is_wanted(&met_at) {
            return Some(met_at);
        }
        let named = self.listeners.iter().find(|address| is_wanted(address))?;
        if !named.is_unspecified() {
            return Some(*named);
        }
        // Somewhere far away: the roots of the DNS, a and m. Nothing is sent.
        let far: IpAddr = match family {
            Family::V4 => Ipv4Addr::new(198, 41, 0, 4).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xDC3, 0, 0, 0, 0, 0, 0x35).into(),
        };
        source_to(SocketAddr::new(far, 53))
    }

    fn port(&self) -> u16 {
        let mut random = [0; 4];
        // Without randomness ports are guessed more easily, which the permissions make up for.
        let _ = getrandom::fill(&mut random);
        let count = u32::from(*self.range.end() - *self.range.start()) + 1;
        self.range.start() + (u32::from_ne_bytes(random) % count) as u16
    }
}

impl Ports for SocketPorts {
    fn open(&mut self, relay: RelayId, client: &Client, family: Family) -> Result<SocketAddr, NoPort> {
        let local = self.local(client, family).ok_or(NoPort::Family)?;
        for _ in 0..TRIES {
            let address = SocketAddr::new(local, self.port());
            let Ok(socket) = udp_socket(address, BUFFER).and_then(UdpSocket::from_std) else { continue };
            let socket = Rc::new(socket);
            self.open.insert(relay, Socket { socket: Rc::clone(&socket), reader: None });
            self.opened.push((relay, socket));
            let external = self.external.iter().find(|external| external.is_ipv6() == local.is_ipv6());
            return Ok(SocketAddr::new(external.copied().unwrap_or(local), address.port()));
        }
        Err(NoPort::Taken)
    }

    fn close(&mut self, relay: RelayId) {
        self.opened.retain(|(opened, _)| *opened != relay);
        if let Some(Socket { reader: Some(reader), .. }) = self.open.remove(&relay) {
            reader.abort();
        }
    }

    fn is_own(&self, address: IpAddr) -> bool {
        // The system alone knows all of them, and only lets its own be bound. Whatever else keeps it from binding, such as too
        // many open files, says nothing about the address: then nobody is let there.
        let bound = std::net::UdpSocket::bind((address, 0));
        self.external.contains(&address) || !bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
    }
}

/// The address of this machine from which it reaches another. Nothing is sent.
fn source_to(address: SocketAddr) -> Option<IpAddr> {
    let unspecified: IpAddr =
        if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((unspecified, 0)).ok()?;
    socket.connect(address).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|source| !source.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::credentials::Secret;

    #[test]
    fn an_address_is_another_machines_only_if_the_system_says_so() {
        let secret = Secret::new("the secret of the tests").unwrap();
        let mut config = TurnConfig::new(Vec::new(), secret);
        config.external = vec!["198.51.100.1".parse().unwrap()];
        let ports = SocketPorts::new(&config, Vec::new());
        for (address, is_own) in [
            ("127.0.0.1", true),
            ("198.51.100.1", true),
            ("203.0.113.77", false),
            // Without its interface the system binds no such address, whoever has it (EINVAL).
            ("fe80::1", true),
        ] {
            assert_eq!(ports.is_own(address.parse().unwrap()), is_own, "{address}");
        }
    }
}
