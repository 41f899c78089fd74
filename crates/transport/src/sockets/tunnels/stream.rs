//! The task of one tunnel: it waits whether a better way is found, looks the server up, connects, and carries TURN both ways
//! until either end is gone. It makes one connection and no second: an allocation belongs to the connection that it was
//! made on (RFC 8656 §3.1).

use super::frames::Splitter;
use super::server::TunnelServer;
use super::tls;
use crate::sockets::pipe::Outlet;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Looking up the server's name.
const LOOK_UP: Duration = Duration::from_secs(3);
/// Looking up, connecting and the TLS handshake together: over before the client's last Allocate.
const CONNECT: Duration = Duration::from_secs(5);
/// RFC 8305 §5: the next address is tried this long after the one before it.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// A name may have many addresses; more of them than this are not tried.
const ADDRESSES: usize = 8;
/// Of the system's, so that what waits there is not late by seconds.
const SEND_BUFFER: u32 = 64 * 1024;
const READ_AT_ONCE: usize = 16 * 1024;

/// The longest message that is handed on: what a datagram can carry. The reader's buffer is not much longer.
const MAX_DATAGRAM: usize = 1600;

/// The ends that a tunnel's task has of the queues.
pub(super) struct Ends {
    /// To the server.
    pub(super) out: Outlet,
    /// From the server, with the address that it is known by.
    pub(super) arrivals: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    pub(super) address: SocketAddr,
}

/// Connects and carries, until the server or the socket that this belongs to is gone. Why it ended, and the ends again, so
/// that nobody sees them closed before that is known.
pub(super) async fn run(server: &TunnelServer, mut ends: Ends) -> (io::Error, Ends) {
    let connecting = async {
        tokio::select! {
            biased;
            () = ends.arrivals.closed() => Err(io::ErrorKind::ConnectionAborted.into()),
            connected = timeout(CONNECT, connect(server)) => connected.unwrap_or(Err(io::ErrorKind::TimedOut.into())),
        }
    };
    let error = match connecting.await {
        Ok(Stream::Tcp(stream)) => carry(stream, &mut ends).await,
        Ok(Stream::Tls(stream)) => carry(stream, &mut ends).await,
        Err(error) => error,
    };
    (error, ends)
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn connect(server: &TunnelServer) -> io::Result<Stream> {
    let found = timeout(LOOK_UP, tokio::net::lookup_host((server.host.as_str(), server.port))).await;
    let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let found = found.map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))?;
    let stream = connect_any(alternating(found.collect())).await?;
    stream.set_nodelay(true)?;
    if !server.tls {
        return Ok(Stream::Tcp(stream));
    }
    Ok(Stream::Tls(Box::new(tls::shake_hands(stream, &server.host).await?)))
}

/// One of each family in turn (RFC 8305 §4), the order within them as it was.
fn alternating(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|found| found.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = VecDeque::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            mixed.truncate(ADDRESSES);
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

/// The first of the addresses that a connection comes about to.
async fn connect_any(mut addresses: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.spawn(connect_to(address));
        }
        let next = async {
            if addresses.is_empty() {
                std::future::pending().await
            } else {
                sleep(NEXT_ADDRESS).await;
            }
        };
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = next => continue,
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => last = error,
            Some(Err(error)) => last = error.into(),
            None => return Err(last),
        }
    }
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.connect(address).await
}

async fn carry(stream: impl AsyncRead + AsyncWrite, ends: &mut Ends) -> io::Error {
    let Ends { out, arrivals, address } = ends;
    let (reader, writer) = tokio::io::split(stream);
    let arrivals = &*arrivals;
    let reading = read(reader, arrivals, *address);
    let writing = async {
        let result = out.write_to(writer, arrivals.closed()).await;
        result.err().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into())
    };
    tokio::select! {
        error = reading => error,
        error = writing => error,
    }
}

/// Hands on what comes. A reader that is slow makes the server wait.
async fn read(
    stream: impl AsyncRead,
    arrivals: &mpsc::Sender<(SocketAddr, Vec<u8>)>,
    address: SocketAddr,
) -> io::Error {
    let mut stream = std::pin::pin!(stream);
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; READ_AT_ONCE];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(bytes) => splitter.push(buffer.get(..bytes).unwrap_or_default()),
            Err(error) => return error,
        }
        loop {
            match splitter.next() {
                Ok(None) => break,
                Ok(Some(message)) if message.len() > MAX_DATAGRAM => {
                    tracing::debug!(bytes = message.len(), "the TURN server sends what no datagram carries");
                }
                Ok(Some(message)) => {
                    if arrivals.send((address, message)).await.is_err() {
                        // The socket is gone. What is still to be written goes on without this.
                        return std::future::pending().await;
                    }
                }
                Err(error) => return io::Error::new(io::ErrorKind::InvalidData, error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_tried_in_turn() {
        let parsed = |all: &[&str]| all.iter().map(|address| address.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let given = parsed(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let mixed = parsed(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(alternating(given), mixed);
        assert_eq!(alternating(parsed(&["1.1.1.1:1"; 20])).len(), ADDRESSES);
        assert!(alternating(Vec::new()).is_empty());
    }
}
