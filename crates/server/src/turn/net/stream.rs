//! Clients over TCP and TLS: one task each, which reads and writes.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::Net;
use crate::turn::frames::Splitter;
use crate::turn::relay::Client;

/// What may wait for a client that reads slowly, in bytes: a quarter of a second at 2 Mb/s.
const WAITING_MAX: usize = 64 * 1024;
/// A client that takes nothing for so long is gone.
const STALLED: Duration = Duration::from_secs(10);
const READ: usize = 4 * 1024;

/// What waits to be written to one client.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: RefCell<Vec<u8>>,
    more: Notify,
}

impl Outgoing {
    /// Whether there was room for it. Whole messages only, so that a slow reader loses datagrams and not its place.
    pub(super) fn push(&self, message: &[u8]) -> bool {
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() + message.len() > WAITING_MAX {
            return false;
        }
        bytes.extend_from_slice(message);
        self.more.notify_one();
        true
    }

    async fn take(&self) -> Vec<u8> {
        loop {
            let bytes = self.bytes.take();
            if !bytes.is_empty() {
                return bytes;
            }
            self.more.notified().await;
        }
    }
}

/// Serves one connection to its end, or until it is to make room for another. `number` is not used twice.
pub(super) async fn serve(
    net: &Rc<Net>,
    stream: TcpStream,
    (client, number): (Client, u64),
    tls: Option<TlsAcceptor>,
    make_room: &Notify,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let Ok(local) = stream.local_addr() else { return };
    net.ports.borrow_mut().streams.insert(number, local.ip());
    match tls {
        None => talk(net, stream, client, number, make_room).await,
        Some(tls) => {
            let begun = tokio::select! {
                biased;
                () = make_room.notified() => None,
                begun = timeout(net.limits.idle, tls.accept(stream)) => Some(begun),
            };
            match begun {
                Some(Ok(Ok(stream))) => talk(net, stream, client, number, make_room).await,
                Some(Ok(Err(error))) => tracing::debug!(%error, "TLS did not begin"),
                Some(Err(_)) => tracing::debug!("TLS took too long to begin"),
                None => {}
            }
        }
    }
    net.ports.borrow_mut().streams.remove(&number);
}

async fn talk(net: &Rc<Net>, stream: impl AsyncRead + AsyncWrite, client: Client, number: u64, make_room: &Notify) {
    let outgoing = Rc::new(Outgoing::default());
    net.streams.borrow_mut().insert(number, Rc::clone(&outgoing));
    let (reader, writer) = split(stream);
    tokio::select! {
        // Before anything else is read: one that was sent away gets no allocation any more.
        biased;
        () = make_room.notified() => {}
        () = read(net, reader, client) => {}
        () = write(&outgoing, writer) => {}
    }
    net.streams.borrow_mut().remove(&number);
    // The address is the connection's, so nobody can come back to the relay (RFC 8656 §3.1).
    net.relay.borrow_mut().closed(client, &mut *net.ports.borrow_mut());
}

async fn read(net: &Rc<Net>, mut reader: ReadHalf<impl AsyncRead>, client: Client) {
    let mut buffer = [0; READ];
    let mut splitter = Splitter::default();
    let mut needed = Instant::now();
    loop {
        let serves = net.relay.borrow().serves(&client);
        if serves {
            needed = Instant::now();
        }
        match timeout_at(needed + net.limits.idle, reader.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(length)) => splitter.put(&buffer[..length]),
            // However much it wrote: without an allocation there is no reason to stay.
            Err(_) if !serves => return,
            Err(_) => continue,
        }
        loop {
            match splitter.next() {
                Ok(Some(message)) => net.client_says(client, message),
                Ok(None) => break,
                Err(error) => return tracing::debug!(?error, "no TURN on this connection"),
            }
        }
    }
}

async fn write(outgoing: &Outgoing, mut writer: WriteHalf<impl AsyncWrite>) {
    loop {
        let bytes = outgoing.take().await;
        let written = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        if !matches!(timeout(STALLED, written).await, Ok(Ok(()))) {
            return;
        }
    }
}
