//! Listening: what is bound before the thread starts, so that whoever started the server hears of a port that is taken.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio_rustls::TlsAcceptor;

use super::{Net, stream};
use crate::turn::TurnError;
use crate::turn::config::{TurnConfig, TurnTls};
use crate::turn::relay::{Client, Transport};

/// What the system may hold for all clients, each way, in bytes.
const BUFFER: usize = 1024 * 1024;
/// Connections that the system may hold until they are accepted.
const BACKLOG: i32 = 128;
/// How often another port is tried when one that was free over UDP is not over TCP.
const TRIES: usize = 8;
/// After the system refused a connection, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is bound, and not yet read.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) tcp: Vec<TcpListener>,
    pub(crate) tls: Option<(TcpListener, Arc<ServerConfig>)>,
    /// Where `udp` and `tcp` are.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Binds everything.
///
/// # Errors
/// [`TurnError`].
pub(crate) fn bind(config: &TurnConfig) -> Result<Bound, TurnError> {
    let mut bound = Bound { udp: Vec::new(), tcp: Vec::new(), tls: None, addresses: Vec::new() };
    for &listen in &config.listen {
        let (udp, tcp, address) = pair(listen).map_err(|error| TurnError::Listen(listen, error))?;
        bound.udp.push(udp);
        bound.tcp.push(tcp);
        bound.addresses.push(address);
    }
    if let Some(tls) = &config.tls {
        let certificate = Arc::new(tls_config(tls)?);
        let listener = tcp_listener(tls.listen).map_err(|error| TurnError::Listen(tls.listen, error))?;
        bound.tls = Some((listener, certificate));
    }
    Ok(bound)
}

/// UDP and TCP on one port.
fn pair(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let mut left = if listen.port() == 0 { TRIES } else { 1 };
    loop {
        left -= 1;
        let udp = udp_socket(listen, BUFFER)?;
        let address = udp.local_addr()?;
        match tcp_listener(address) {
            Ok(tcp) => return Ok((udp, tcp, address)),
            Err(error) if left == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// A UDP socket for tokio, with buffers of that size as far as the system gives them.
pub(super) fn udp_socket(address: SocketAddr, buffer: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Smaller ones only lose more when there is a burst.
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Unix it lets a server that was stopped start again at once; on Windows it would let two have the same port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn tls_config(tls: &TurnTls) -> Result<ServerConfig, TurnError> {
    let file = |path: &std::path::Path, error| TurnError::Pem { path: path.display().to_string(), error };
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(&tls.certificate, error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| file(&tls.key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(versions.with_no_client_auth().with_single_cert(chain, key)?)
}

/// Accepts until it is dropped.
pub(crate) async fn serve(net: Rc<Net>, listener: tokio::net::TcpListener, which: u64, tls: Option<TlsAcceptor>) {
    // Numbers of two listeners never meet: a server does not live to see 2^48 connections.
    let mut number = which << 48;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                number += 1;
                let client = Client { transport: Transport::Stream(number), address };
                let Some(place) = net.enter(client) else {
                    tracing::debug!("too many connections");
                    continue;
                };
                let (net, tls) = (Rc::clone(&net), tls.clone());
                tokio::task::spawn_local(async move {
                    stream::serve(&net, stream, (client, number), tls, &place.make_room).await;
                    net.leave(&place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
