//! One TCP connection to the peer, from its first byte to its last.

use super::frames::Splitter;
use super::{Arrivals, Begun, Streams};
use crate::sockets::checks;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

/// Of the system's, so that what waits there is not late by seconds.
pub(super) const SEND_BUFFER: u32 = 64 * 1024;
const READ_AT_ONCE: usize = 16 * 1024;

/// # Errors
///
/// When nobody is there.
pub(super) async fn connect(peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.connect(peer).await
}

impl Streams {
    /// Takes a connection whose first datagram is a check that proves to be for this session (RFC 8445 §7.3), and starts the
    /// task that carries it. Anything else is closed.
    pub(super) async fn take(self: Arc<Self>, mut stream: TcpStream, place: OwnedSemaphorePermit) {
        let mut splitter = Splitter::default();
        let first = match first(&mut stream, &mut splitter).await {
            Ok(first) => first,
            Err(error) => return tracing::debug!(%error, "a connection ended before it said anything"),
        };
        let credentials = self.known.borrow().local.clone();
        if !credentials.is_some_and(|credentials| checks::is_check_for(&first, &credentials)) {
            return tracing::debug!("a connection that is not the peer's is closed");
        }
        let Some(begun) = stream.local_addr().ok().and_then(|own| self.begin(own.ip())) else { return };
        tokio::spawn(async move {
            // The socket may be gone; then the connection ends at once.
            let _ = begun.arrivals.send((begun.address, first)).await;
            self.carried(stream, splitter, begun).await;
            drop(place);
        });
    }

    /// Carries a connection that was made from here.
    pub(super) async fn connected(self: Arc<Self>, stream: TcpStream, begun: Begun) {
        self.carried(stream, Splitter::default(), begun).await;
    }

    async fn carried(&self, stream: TcpStream, mut splitter: Splitter, begun: Begun) {
        let Begun { address, mut outlet, arrivals } = begun;
        // Where that is not to be had, what is small is late.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = tokio::io::split(stream);
        let error = tokio::select! {
            error = read(reader, &mut splitter, &arrivals, address) => error,
            result = outlet.write_to(writer, arrivals.closed()) => {
                result.err().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into())
            }
        };
        tracing::debug!(%error, "a connection to the peer ended");
        self.ended(address);
    }
}

/// The first datagram of a connection.
async fn first(stream: &mut TcpStream, splitter: &mut Splitter) -> io::Result<Vec<u8>> {
    let mut buffer = [0; 1024];
    loop {
        let bytes = stream.read(&mut buffer).await?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        splitter.push(buffer.get(..bytes).unwrap_or_default());
        if let Some(first) = splitter.next() {
            return Ok(first);
        }
    }
}

/// Hands on what comes. A reader that is slow makes the peer wait.
async fn read(
    mut stream: impl AsyncRead + Unpin,
    splitter: &mut Splitter,
    arrivals: &Arrivals,
    address: SocketAddr,
) -> io::Error {
    let mut buffer = vec![0; READ_AT_ONCE];
    loop {
        while let Some(datagram) = splitter.next() {
            if arrivals.send((address, datagram)).await.is_err() {
                // The socket is gone. What is still to be written goes on without this.
                return std::future::pending().await;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(bytes) => splitter.push(buffer.get(..bytes).unwrap_or_default()),
            Err(error) => return error,
        }
    }
}
