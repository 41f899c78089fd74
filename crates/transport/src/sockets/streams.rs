//! ICE over TCP (RFC 6544), for networks that let no UDP through where nobody relays.
//!
//! The peer connection could do it itself; but then a peer that does not read stops all of it, it takes connections without
//! end, and connects to wherever the peer says. So it is not told of TCP: a connection gets a virtual address, and what is
//! sent there from a UDP socket goes into it, as the peer's datagrams come out as if from there. All else that is known of
//! paths, such as checks, consent and the handshake, is then the same.
//!
//! * `frames`: how datagrams lie in the stream.
//! * `session`: when it is tried, and with whom.
//! * `stream`: one connection.

mod frames;
mod session;
mod stream;
#[cfg(test)]
mod tests;

use super::checks::Known;
use super::pipe::{Inlet, Outlet, pipe};
use crate::candidate::{CheckedCandidate, Transport};
use frames::framed;
pub(crate) use session::News;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};
use webrtc::runtime::Transmit;

/// The virtual addresses' networks: class E (RFC 1112 §4) beside that of the tunnels, and the discard prefix (RFC 6666). No
/// candidate may name either.
const NETWORK_V4: [u8; 2] = [240, 1];
const NETWORK_V6: [u16; 4] = [0x0100, 0, 0, 0];
const PORT: u16 = 9;

/// A peer listens on a port that its system chose. Below this are services that wait for others.
const FIRST_PORT: u16 = 1024;

/// Candidates of the peer's that wait to be looked at.
const OFFERS: usize = 16;

/// What comes in for a UDP socket, and the virtual address from which.
pub(super) type Arrivals = mpsc::Sender<(SocketAddr, Vec<u8>)>;

/// The TCP connections of one peer connection.
#[derive(Debug)]
pub(crate) struct Streams {
    known: watch::Receiver<Known>,
    /// Counts ICE sessions, by the peer's credentials.
    session: watch::Sender<u64>,
    path: watch::Sender<Path>,
    /// Where the peer listens, and in which session.
    offers: mpsc::Sender<(u64, SocketAddr)>,
    offered: Mutex<Option<mpsc::Receiver<(u64, SocketAddr)>>>,
    state: Mutex<State>,
}

/// The path to the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Path {
    is_up: bool,
    /// The last one went over TCP.
    was_stream: bool,
}

#[derive(Debug, Default)]
struct State {
    /// The UDP sockets, as they were opened.
    sockets: Vec<(SocketAddr, Arrivals)>,
    /// By their virtual addresses.
    open: HashMap<SocketAddr, Open>,
    next: u16,
}

#[derive(Debug)]
struct Open {
    /// The UDP socket that it belongs to.
    owner: SocketAddr,
    inlet: Inlet,
}

/// What the task of a new connection gets.
struct Begun {
    address: SocketAddr,
    outlet: Outlet,
    arrivals: Arrivals,
}

impl Streams {
    pub(super) fn new(known: watch::Receiver<Known>) -> Arc<Self> {
        let (offers, offered) = mpsc::channel(OFFERS);
        Arc::new(Self {
            known,
            session: watch::Sender::default(),
            path: watch::Sender::default(),
            offers,
            offered: Mutex::new(Some(offered)),
            state: Mutex::default(),
        })
    }

    /// Whether nothing real is at this address.
    pub(crate) fn is_virtual(address: SocketAddr) -> bool {
        match address.ip() {
            IpAddr::V4(ip) => ip.octets().starts_with(&NETWORK_V4),
            IpAddr::V6(ip) => ip.segments().starts_with(&NETWORK_V6),
        }
    }

    /// A UDP socket was opened; what comes for it is to go to `arrivals`.
    pub(super) fn socket_opened(&self, socket: SocketAddr, arrivals: Arrivals) {
        self.state().sockets.push((socket, arrivals));
    }

    /// A UDP socket was closed, and so are its connections, once what waits in them is sent.
    pub(super) fn socket_closed(&self, socket: SocketAddr) {
        let mut state = self.state();
        state.sockets.retain(|(open, _)| *open != socket);
        state.open.retain(|_, open| open.owner != socket);
    }

    /// Sends from a UDP socket to a virtual address. Never waits: what finds no room is lost, and so is what goes to a
    /// connection that is gone or another socket's.
    pub(super) fn send(&self, socket: SocketAddr, transmit: &Transmit<'_>) {
        let mut state = self.state();
        let Some(open) = state.open.get_mut(&transmit.destination).filter(|open| open.owner == socket) else { return };
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for frame in transmit.contents.chunks(size).filter_map(framed) {
            open.inlet.push(frame);
        }
    }

    /// The peer's description is another than before. What it offered earlier counts no more.
    pub(super) fn begin_session(&self) {
        self.session.send_modify(|session| *session += 1);
    }

    /// There is a path to the peer now, to this address, or none any more.
    pub(super) fn path_changed(&self, is_up: bool, remote: Option<SocketAddr>) {
        self.path.send_modify(|path| {
            path.is_up = is_up;
            if is_up {
                path.was_stream = remote.is_some_and(Self::is_virtual);
            }
        });
    }

    /// A candidate of the peer's that is over TCP. Who listens there may be connected to; who connects needs no help.
    pub(super) fn offer(&self, candidate: &CheckedCandidate) {
        let Some(address) = candidate.address.filter(|_| candidate.transport == Transport::Listens) else { return };
        if address.port() < FIRST_PORT {
            tracing::debug!(port = address.port(), "a peer that says to listen where services do is not connected to");
        } else if self.offers.try_send((*self.session.borrow(), address)).is_err() {
            tracing::debug!("the peer tells of more addresses over TCP than are tried");
        }
    }

    /// Makes room for a connection from the own address `own`. `None`: no UDP socket is of its family, or there were too many.
    fn begin(&self, own: IpAddr) -> Option<Begun> {
        let mut state = self.state();
        // The newest of an address: after an ICE restart the old ones may still be about to be closed.
        let newest = || state.sockets.iter().rev();
        let of_address = newest().find(|(socket, _)| socket.ip() == own);
        let found = of_address.or_else(|| newest().find(|(socket, _)| socket.is_ipv4() == own.is_ipv4()))?;
        let (owner, arrivals) = found.clone();
        let address = virtual_address(own.is_ipv4(), state.next);
        state.next = state.next.checked_add(1)?;
        let (inlet, outlet) = pipe();
        state.open.insert(address, Open { owner, inlet });
        Some(Begun { address, outlet, arrivals })
    }

    fn ended(&self, address: SocketAddr) {
        self.state().open.remove(&address);
    }

    /// The machine's addresses, as far as a peer could connect to them.
    fn own_addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = self.state().sockets.iter().map(|(socket, _)| socket.ip()).collect();
        addresses.retain(|address| !address.is_unspecified());
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn virtual_address(is_v4: bool, number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    let ([a, b], [c, d, e, f]) = (NETWORK_V4, NETWORK_V6);
    let ip: IpAddr =
        if is_v4 { Ipv4Addr::new(a, b, high, low).into() } else { Ipv6Addr::new(c, d, e, f, 0, 0, 1, number).into() };
    SocketAddr::new(ip, PORT)
}
