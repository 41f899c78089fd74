//! The sockets of a peer connection, which see to what it does late or wrongly while a path is made.
//!
//! * `attempts`: what was tried, for people who ask why there is no path.
//! * `checks`: a connectivity check that proves itself saves the round trips of our own.
//! * `consent`: what the peer does not want any more, or does not get, is not sent for ever.
//! * `handshake`: what is lost of the DTLS handshake is sent again within tens of milliseconds.
//! * `words`: what is said on the control channel does not wait for SCTP's timer if it is lost.
//! * `tunnels`: TURN over TCP and TLS, and what servers were asked.
//! * `names`: looking servers up.
//! * `streams`: paths over TCP. `pipe`: what goes into any stream.
//! * `socket`: as long as the control channel is to come, one datagram is handed out a turn.

mod attempts;
mod checks;
mod consent;
mod datagram;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handshake;
mod names;
mod pipe;
mod socket;
mod streams;
mod tunnels;
mod words;

use crate::candidate::CheckedCandidate;
pub use attempts::{Attempt, Help, Outcome};
pub(crate) use checks::IceCredentials;
use checks::Known;
use names::Names;
use socket::Socket;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
pub(crate) use streams::{News, Streams};
use tokio::sync::watch;
use tunnels::Tunnelled;
pub(crate) use tunnels::Tunnels;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, TokioRuntime,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tokio, but for the UDP sockets and the names of servers.
#[derive(Debug)]
pub(crate) struct Sockets {
    control: Arc<Control>,
    known: watch::Sender<Known>,
    tunnels: Arc<Tunnels>,
    streams: Arc<Streams>,
    names: Names,
}

impl Default for Sockets {
    fn default() -> Self {
        let known = watch::Sender::default();
        Self {
            control: Arc::default(),
            streams: Streams::new(known.subscribe()),
            known,
            tunnels: Arc::default(),
            names: Names::default(),
        }
    }
}

/// What the sockets of a connection share: what is known of the control channel, and of the peer's consent.
#[derive(Debug, Default)]
struct Control {
    is_open: AtomicBool,
    /// The negotiation came to no data channels.
    is_refused: AtomicBool,
    /// When the peer answered a check of ours last, on any socket.
    answered: Mutex<Option<Instant>>,
}

impl Control {
    fn is_to_come(&self) -> bool {
        !self.is_open.load(Relaxed) && !self.is_refused.load(Relaxed)
    }

    fn answered(&self, now: Instant) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

impl Sockets {
    /// The servers that are reached over a stream.
    pub(crate) fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }

    /// The paths over TCP.
    pub(crate) fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    /// There is a path to the peer now, to this address, or none any more.
    pub(crate) fn path_changed(&self, is_up: bool, remote: Option<SocketAddr>) {
        self.tunnels.path_changed(is_up);
        self.streams.path_changed(is_up, remote);
    }

    /// A candidate of the peer's that is over TCP, of which the peer connection is not told.
    pub(crate) fn tcp_candidate(&self, candidate: &CheckedCandidate) {
        self.streams.offer(candidate);
    }

    /// The control channel is open: from now on datagrams are handed out as they come.
    pub(crate) fn control_opened(&self) {
        self.control.is_open.store(true, Relaxed);
    }

    /// A description of ours is about to be set, in which these credentials stand.
    pub(crate) fn set_local_credentials(&self, credentials: Option<IceCredentials>) {
        self.known.send_if_modified(|known| {
            let is_another = known.local != credentials;
            known.is_restart |= is_another && known.local.is_some();
            known.local = credentials;
            is_another
        });
    }

    /// One of the peer's is about to be set, in which these stand, and after which the DTLS handshake is begun here or there.
    pub(crate) fn set_remote_credentials(&self, credentials: IceCredentials, begins_handshake: bool) {
        let is_another = self.known.borrow().remote.as_ref() != Some(&credentials);
        self.known.send_modify(|known| {
            known.remote = Some(credentials);
            known.begins_handshake = begins_handshake;
        });
        if is_another {
            self.streams.begin_session();
        }
    }

    /// The peer connection was given a candidate.
    pub(crate) fn candidate_added(&self) {
        self.known.send_modify(|known| known.candidates = known.candidates.wrapping_add(1));
    }

    /// When the peer last answered a check of ours (RFC 7675 §5.1).
    pub(crate) fn answered_at(&self) -> Option<Instant> {
        *self.control.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a negotiation came to: where there are no data channels, nothing need be waited for.
    pub(crate) fn expect_control(&self, expected: bool) {
        self.control.is_refused.store(!expected, Relaxed);
    }
}

impl Runtime for Sockets {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn spawn_reactor(&self, reactor_pool_size: usize, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn_reactor(reactor_pool_size, future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        let inner = Tunnelled::new(inner, Arc::clone(&self.tunnels), Arc::clone(&self.streams))?;
        Ok(Socket::start(inner, Arc::clone(&self.control), self.known.subscribe())?)
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(self.names.resolve(host, |host| async move { TokioRuntime.resolve_host(&host).await }))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        TokioRuntime.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::IoSliceMut;
    use std::task::{Context, Poll, Waker};
    use webrtc::runtime::{RecvMeta, Transmit};

    /// What a reader that asks until nothing is there gets at once.
    async fn read_all(socket: &dyn AsyncUdpSocket) -> Vec<Vec<u8>> {
        let (mut buffer, mut meta) = (vec![0; 65_536], [RecvMeta::default()]);
        let first = poll_fn(|cx| socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta)).await;
        assert_eq!(first.unwrap(), 1);
        let mut all = vec![buffer[..meta[0].len].to_vec()];
        let mut probe = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(1)) = socket.poll_recv(&mut probe, &mut [IoSliceMut::new(&mut buffer)], &mut meta) {
            all.extend(buffer[..meta[0].len].chunks(meta[0].stride).map(<[u8]>::to_vec));
        }
        all
    }

    #[tokio::test]
    async fn datagrams_are_handed_out_one_a_turn_until_the_control_channel_is_open_or_refused() {
        let sockets = Sockets::default();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let socket = sockets.wrap_udp_socket(socket).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in 0..6_u8 {
            sender.send_to(&[number; 20], address).unwrap();
        }
        for number in 0..3 {
            assert_eq!(read_all(&*socket).await, [vec![number; 20]]);
        }
        sockets.expect_control(true);
        assert_eq!(read_all(&*socket).await, [[3; 20]]);
        sockets.control_opened();
        assert_eq!(read_all(&*socket).await, [[4; 20], [5; 20]]);
        let refused = Sockets::default();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let socket = refused.wrap_udp_socket(socket).unwrap();
        for number in 0..3_u8 {
            sender.send_to(&[number; 20], address).unwrap();
        }
        refused.expect_control(false);
        assert_eq!(read_all(&*socket).await, [[0; 20], [1; 20], [2; 20]]);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn datagrams_that_the_kernel_put_together_are_parted() {
        let sockets = Sockets::default();
        let [receiver, sender] = [0, 1].map(|_| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            sockets.wrap_udp_socket(socket).unwrap()
        });
        if sender.max_gso_segments() == 1 || receiver.max_gro_segments() == 1 {
            eprintln!("skipped: this kernel does not put datagrams together");
            return;
        }
        let contents: Vec<u8> = (0..50).collect();
        let destination = receiver.local_addr().unwrap();
        let transmit = Transmit { destination, ecn: None, contents: &contents, segment_size: Some(20), src_ip: None };
        poll_fn(|cx| sender.poll_send(cx, &transmit)).await.unwrap();
        for piece in contents.chunks(20) {
            assert_eq!(read_all(&*receiver).await, [piece]);
        }
    }
}
