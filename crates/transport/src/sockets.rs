//! The sockets of a peer connection, which as long as the control channel is to come hand out one datagram a turn.
//!
//! The peer connection reads all datagrams that are there before it acts on what they changed. So where the peer's last
//! word of the SCTP handshake and its first data lie in the queue together, it takes the data for a channel that is not
//! there yet, and loses them although it acknowledges them. A browser sends both within a millisecond.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tokio, but for the UDP sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    control: Arc<Control>,
}

/// What is known of the control channel.
#[derive(Debug, Default)]
struct Control {
    is_open: AtomicBool,
    /// The negotiation came to no data channels.
    is_refused: AtomicBool,
}

impl Control {
    fn is_to_come(&self) -> bool {
        !self.is_open.load(Relaxed) && !self.is_refused.load(Relaxed)
    }
}

impl Sockets {
    /// The control channel is open: from now on datagrams are handed out as they come.
    pub(crate) fn control_opened(&self) {
        self.control.is_open.store(true, Relaxed);
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
        Ok(Arc::new(Socket { inner, control: Arc::clone(&self.control), turn: Mutex::default() }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
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

#[derive(Debug)]
struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    control: Arc<Control>,
    turn: Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    /// A datagram was handed out just now; the reader is to act on it first.
    is_over: bool,
    /// What came together with one that was handed out (UDP GRO), in its order.
    rest: VecDeque<(RecvMeta, Vec<u8>)>,
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.inner.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let one_a_turn = self.control.is_to_come();
        if std::mem::take(&mut turn.is_over) && one_a_turn {
            // A reader that only asks whether there is more goes on; one that waits is to ask again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let (Some(buf), Some(meta), Some((next, bytes))) =
            (bufs.first_mut(), meta.first_mut(), turn.rest.pop_front())
        {
            buf[..bytes.len()].copy_from_slice(&bytes);
            *meta = next;
            turn.is_over = true;
            return Poll::Ready(Ok(1));
        }
        if !one_a_turn {
            return self.inner.poll_recv(cx, bufs, meta);
        }
        let (bufs, meta) = (&mut bufs[..1], &mut meta[..1]);
        let received = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(_)) = received {
            turn.is_over = true;
            let whole = meta[0];
            meta[0].len = whole.len.min(whole.stride);
            for bytes in bufs[0][..whole.len].chunks(whole.stride.max(1)).skip(1) {
                let mut one = whole;
                one.len = bytes.len();
                turn.rest.push_back((one, bytes.to_vec()));
            }
        }
        received
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Waker;

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
