//! Reading datagrams, from clients and from peers.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UdpSocket;

use super::Net;
use crate::turn::relay::{Client, RelayId, Transport};

/// So many, then others have their turn.
const BATCH: usize = 64;
/// After an error of the system that may come again at once.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

pub(super) async fn serve_clients(net: Rc<Net>, index: usize, socket: Rc<UdpSocket>) {
    read(&net, &socket, |address, bytes| {
        let client = Client { transport: Transport::Udp(index), address };
        net.client_says(client, bytes);
    })
    .await;
}

pub(super) async fn serve_peers(net: Rc<Net>, relay: RelayId, socket: Rc<UdpSocket>) {
    read(&net, &socket, |address, bytes| net.peer_says(relay, address, bytes)).await;
}

async fn read(net: &Net, socket: &UdpSocket, mut hear: impl FnMut(SocketAddr, &[u8])) {
    loop {
        let mut outcome = socket.readable().await;
        let mut read = 0;
        while outcome.is_ok() && read < BATCH {
            let mut received = net.received.borrow_mut();
            outcome = socket.try_recv_from(&mut received).map(|(length, address)| hear(address, &received[..length]));
            read += 1;
        }
        match outcome {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // A peer's refusal on some systems, which concerns one datagram.
            Err(error) => {
                tracing::debug!(%error, "cannot read a datagram");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}
