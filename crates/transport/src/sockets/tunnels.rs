//! TURN over TCP and TLS, for networks that let no UDP through. The peer connection knows TURN over UDP only: so a server
//! that is reached over a stream gets a virtual address, and what is sent there from a socket goes through a tunnel.
//!
//! * `server`: what a URL asks for, and the virtual addresses.
//! * `stream`: connecting and carrying. `frames`: how messages lie in the stream. `tls`: whom to trust.
//! * `asked`: what servers were asked over any transport, and what they answered.

mod asked;
mod frames;
mod server;
mod stream;
mod tls;

use super::attempts::Outcome;
use super::pipe::{Inlet, pipe};
use super::streams::Streams;
pub(super) use asked::{Answer, Service};
use asked::{Asked, Verdict};
use server::{TunnelServer, Way, number_of, read, virtual_address, virtual_url};
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use stream::Ends;
use tokio::sync::{mpsc, watch};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// How long a relay over UDP, or a path without one, has the start. Both are better: they do not wait for what is lost.
const HEAD_START: Duration = Duration::from_secs(1);

/// What may wait to be read. Then the server waits.
const QUEUE_IN: usize = 256;

/// Of how many requests it is known that they were sent: TCP repeats by itself.
const REQUESTS: usize = 32;

/// More servers than these are not used, of whichever list.
const SERVERS: u8 = 32;
const TARGETS: usize = 64;

const MDNS_PORT: u16 = 5353;

/// The servers of one peer connection that are reached over a stream, and what came of asking any.
#[derive(Debug)]
pub(crate) struct Tunnels {
    /// In the order of their numbers, from 1. A server keeps its number, so that the peer connection knows it again.
    servers: Mutex<Vec<TunnelServer>>,
    /// All that can be used, by their URLs.
    targets: Mutex<Vec<(String, Target)>>,
    /// Why tunnels ended, by the numbers of their servers.
    failed: Mutex<HashMap<u8, Outcome>>,
    /// There is no other way that could be better: only relays may be used, and none is reached over UDP.
    without_head_start: AtomicBool,
    /// The sockets over IPv4, as they were opened.
    sockets: Mutex<Vec<SocketAddr>>,
    asked: Mutex<Asked>,
    better: watch::Sender<Better>,
}

/// A server that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Stun {
        host: String,
        port: u16,
    },
    Turn {
        host: String,
        port: u16,
    },
    /// By its number.
    Tunnel(u8),
}

/// Ways that need no tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Better {
    /// When a relay over UDP gave an address.
    relay: Option<Instant>,
    has_path: bool,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            servers: Mutex::default(),
            targets: Mutex::default(),
            failed: Mutex::default(),
            without_head_start: AtomicBool::new(false),
            sockets: Mutex::default(),
            asked: Mutex::default(),
            better: watch::Sender::default(),
        }
    }
}

impl Tunnels {
    /// A URL as the peer connection can use it, and whether it is a relay's. `None`: it cannot be used.
    pub(crate) fn usable(&self, url: &str, has_account: bool) -> Option<(String, bool)> {
        let (usable, is_relay, target) = match read(url, has_account)? {
            Way::Reflection { host, port } => (url.to_owned(), false, Target::Stun { host, port }),
            Way::Relay { host, port } => (url.to_owned(), true, Target::Turn { host, port }),
            Way::Tunnel(server) => {
                let number = self.number(server)?;
                (virtual_url(number), true, Target::Tunnel(number))
            }
        };
        let mut targets = lock(&self.targets);
        if targets.len() < TARGETS && !targets.iter().any(|(known, _)| known == url) {
            targets.push((url.to_owned(), target));
        }
        Some((usable, is_relay))
    }

    pub(super) fn targets(&self) -> Vec<(String, Target)> {
        lock(&self.targets).clone()
    }

    /// What came of asking a server over UDP. `None`: it was not asked.
    pub(super) fn answer(&self, server: SocketAddr, service: Service) -> Option<Answer> {
        lock(&self.asked).of(server, service)
    }

    /// What came of a server behind a tunnel.
    pub(super) fn outcome(&self, number: u8) -> Outcome {
        match self.answer(virtual_address(number), Service::Turn) {
            None => Outcome::NotAsked,
            // What is asked waits in the tunnel until there is a connection.
            Some(Answer::None) => lock(&self.failed).get(&number).copied().unwrap_or(Outcome::NoAnswer),
            Some(answer) => answer.into(),
        }
    }

    /// Whether there may be a better way than through a tunnel, which then has the start.
    pub(crate) fn set_head_start(&self, has_better: bool) {
        self.without_head_start.store(!has_better, Relaxed);
    }

    /// Whether a URL is a relay's over UDP.
    pub(crate) fn is_udp_relay(url: &str, has_account: bool) -> bool {
        matches!(read(url, has_account), Some(Way::Relay { .. }))
    }

    /// There is a path to the peer now, or none any more.
    pub(crate) fn path_changed(&self, has_path: bool) {
        self.better.send_if_modified(|better| std::mem::replace(&mut better.has_path, has_path) != has_path);
    }

    fn number(&self, server: TunnelServer) -> Option<u8> {
        let mut servers = lock(&self.servers);
        let known = servers.iter().position(|known| *known == server);
        let index = known.unwrap_or(servers.len());
        let number = u8::try_from(index + 1).ok().filter(|number| *number <= SERVERS)?;
        if known.is_none() {
            servers.push(server);
        }
        Some(number)
    }

    fn server(&self, number: u8) -> Option<TunnelServer> {
        let index = usize::from(number.checked_sub(1)?);
        lock(&self.servers).get(index).cloned()
    }

    /// Whether it is this socket that has the tunnels: a server is to be asked once, and not from each address of the machine,
    /// as the connection to it does not begin there. It is the one by which the machine reaches the world, or the first.
    fn is_owner(&self, socket: SocketAddr) -> bool {
        let sockets = lock(&self.sockets);
        let outward = outward_address();
        // The newest of an address: after an ICE restart the old ones may still be about to be closed.
        let by_route = sockets.iter().rev().find(|socket| Some(socket.ip()) == outward.map(|address| address.ip()));
        let owner = by_route.or_else(|| sockets.iter().rev().min_by_key(|socket| socket.ip()));
        owner == Some(&socket)
    }

    fn sending(&self, now: Instant, to: SocketAddr, datagram: &[u8]) -> Verdict {
        if is_stun(datagram) { lock(&self.asked).sending(now, to, datagram) } else { Verdict::Send }
    }

    fn heard(&self, now: Instant, datagram: &[u8]) {
        if !is_stun(datagram) {
            return;
        }
        let relay = lock(&self.asked).heard(now, datagram);
        if relay.is_some_and(|relay| number_of(relay).is_none()) {
            self.better.send_modify(|better| better.relay = Some(now));
        }
    }

    /// Waits as long as other ways have the start; whether none was found.
    async fn is_needed(&self, since: Instant, had_path: bool) -> bool {
        if self.without_head_start.load(Relaxed) {
            return true;
        }
        let mut better = self.better.subscribe();
        let found = better.wait_for(|better| {
            let has_relay = better.relay.is_some_and(|at| at >= since);
            has_relay || (better.has_path && !had_path)
        });
        tokio::time::timeout_at((since + HEAD_START).into(), found).await.is_err()
    }
}

/// The address from which this machine reaches the world over IPv4. No packet is sent for that; 192.0.2.1 is nobody's
/// (RFC 5737).
fn outward_address() -> Option<SocketAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok()
}

/// What the end of a tunnel means for whoever asks why there is no path.
fn why(error: &io::Error) -> Outcome {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind()) {
        (Some(rustls::Error::InvalidCertificate(_)), _) => Outcome::NotTrusted,
        (None, io::ErrorKind::NotFound) => Outcome::NotFound,
        (Some(_) | None, _) => Outcome::Unreachable,
    }
}

fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0x00..=0x3f))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A UDP socket with tunnels beside it, and connections to the peer.
#[derive(Debug)]
pub(super) struct Tunnelled {
    inner: Arc<dyn AsyncUdpSocket>,
    tunnels: Arc<Tunnels>,
    streams: Arc<Streams>,
    address: SocketAddr,
    open: Mutex<HashMap<u8, Tunnel>>,
    arrived: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    arrivals: Mutex<Arrivals>,
}

#[derive(Debug)]
struct Arrivals {
    queue: mpsc::Receiver<(SocketAddr, Vec<u8>)>,
    /// The last datagram came out of a tunnel: the next may be the socket's, so that neither keeps the other from being read.
    tunnel_was_last: bool,
}

/// One that was begun. When this is dropped, its task sends what is queued and ends.
#[derive(Debug)]
struct Tunnel {
    out: Inlet,
    /// Why its task ended.
    ended: Arc<OnceLock<io::ErrorKind>>,
    /// The transactions of the requests that were sent last.
    requests: VecDeque<[u8; 12]>,
}

impl Tunnelled {
    /// # Errors
    ///
    /// When the socket has no address.
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        tunnels: Arc<Tunnels>,
        streams: Arc<Streams>,
    ) -> io::Result<Arc<Self>> {
        let address = inner.local_addr()?;
        let (arrived, queue) = mpsc::channel(QUEUE_IN);
        if address.port() != MDNS_PORT {
            streams.socket_opened(address, arrived.clone());
            if address.is_ipv4() {
                lock(&tunnels.sockets).push(address);
            }
        }
        let arrivals = Mutex::new(Arrivals { queue, tunnel_was_last: false });
        Ok(Arc::new(Self { inner, tunnels, streams, address, open: Mutex::default(), arrived, arrivals }))
    }

    /// Sends through the tunnel with this number, which is begun if it is not open.
    fn tunnel(&self, now: Instant, number: u8, transmit: &Transmit<'_>) -> io::Result<usize> {
        let mut open = lock(&self.open);
        let tunnel = match open.entry(number) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let server = self.tunnels.server(number).filter(|_| self.tunnels.is_owner(self.address));
                let server = server.ok_or(io::ErrorKind::AddrNotAvailable)?;
                new.insert(self.begin(now, number, server))
            }
        };
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(size) {
            tunnel.send(datagram)?;
        }
        Ok(transmit.contents.len())
    }

    fn begin(&self, now: Instant, number: u8, server: TunnelServer) -> Tunnel {
        let ((out, queue), ended) = (pipe(), Arc::<OnceLock<io::ErrorKind>>::default());
        let ends = Ends { out: queue, arrivals: self.arrived.clone(), address: virtual_address(number) };
        let (tunnels, told) = (Arc::clone(&self.tunnels), Arc::clone(&ended));
        // Now, not when the task comes to run: a path may be found in between.
        let had_path = tunnels.better.borrow().has_path;
        tokio::spawn(async move {
            // The ends are dropped after it is known why.
            if !tunnels.is_needed(now, had_path).await {
                lock(&tunnels.failed).insert(number, Outcome::NotAsked);
                let _ = told.set(io::ErrorKind::ConnectionAborted);
                drop(ends);
                return;
            }
            let (error, ends) = stream::run(&server, ends).await;
            tracing::debug!(%error, tls = server.tls, "a tunnel to a TURN server ended");
            lock(&tunnels.failed).insert(number, why(&error));
            let _ = told.set(error.kind());
            drop(ends);
        });
        Tunnel { out, ended, requests: VecDeque::new() }
    }
}

impl Tunnel {
    /// Queues a datagram, or drops it where the queue is full.
    ///
    /// # Errors
    ///
    /// When the tunnel has ended: it is not begun again.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if let Some(ended) = self.ended.get() {
            return Err((*ended).into());
        }
        if self.was_sent(datagram) {
            return Ok(());
        }
        if let Some(message) = frames::framed(datagram) {
            self.out.push(message);
        }
        Ok(())
    }

    /// Whether it is a request that is sent again (RFC 8489 §6.2.2).
    fn was_sent(&mut self, datagram: &[u8]) -> bool {
        let Some((kind, id, _)) = asked::message(datagram) else { return false };
        // RFC 8489 §5: the two bits of the class.
        if kind & 0x0110 != 0 {
            return false;
        }
        if self.requests.contains(&id) {
            return true;
        }
        if self.requests.len() == REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(id);
        false
    }
}

impl Drop for Tunnelled {
    fn drop(&mut self) {
        let mut sockets = lock(&self.tunnels.sockets);
        if let Some(own) = sockets.iter().position(|socket| *socket == self.address) {
            sockets.remove(own);
        }
        self.streams.socket_closed(self.address);
    }
}

impl AsyncUdpSocket for Tunnelled {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Never waits where it leads into a stream: that would stop the whole peer connection.
    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if Streams::is_virtual(transmit.destination) {
            self.streams.send(self.address, transmit);
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        let now = Instant::now();
        match self.tunnels.sending(now, transmit.destination, transmit.contents) {
            Verdict::Send => {}
            Verdict::Swallow => return Poll::Ready(Ok(transmit.contents.len())),
            Verdict::TimedOut => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
        match number_of(transmit.destination) {
            Some(number) => Poll::Ready(self.tunnel(now, number, transmit)),
            None => self.inner.poll_send(cx, transmit),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buf), Some(first)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        let mut arrivals = lock(&self.arrivals);
        if arrivals.tunnel_was_last
            && let received @ Poll::Ready(_) = self.receive(cx, buf, first)
        {
            arrivals.tunnel_was_last = false;
            return received;
        }
        while let Poll::Ready(Some((from, message))) = arrivals.queue.poll_recv(cx) {
            let Some(room) = buf.get_mut(..message.len()) else { continue };
            room.copy_from_slice(&message);
            if number_of(from).is_some() {
                self.tunnels.heard(Instant::now(), &message);
            }
            *first = RecvMeta::default();
            (first.addr, first.len, first.stride) = (from, message.len(), message.len());
            arrivals.tunnel_was_last = true;
            return Poll::Ready(Ok(1));
        }
        self.receive(cx, buf, first)
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

impl Tunnelled {
    /// What the socket itself has. Nothing real comes from a virtual address.
    fn receive(&self, cx: &mut Context<'_>, buf: &mut IoSliceMut<'_>, meta: &mut RecvMeta) -> Poll<io::Result<usize>> {
        loop {
            let received = self.inner.poll_recv(cx, std::slice::from_mut(buf), std::slice::from_mut(meta));
            let Poll::Ready(Ok(_)) = received else { return received };
            if number_of(meta.addr).is_some() || Streams::is_virtual(meta.addr) {
                continue;
            }
            for datagram in buf.get(..meta.len).unwrap_or_default().chunks(meta.stride.max(1)) {
                self.tunnels.heard(Instant::now(), datagram);
            }
            return received;
        }
    }
}

#[cfg(test)]
mod tests;
