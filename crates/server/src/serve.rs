//! The accept loop: owns every connection's task, and ends them all when told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::config::Config;
use crate::connection;
use crate::http;
use crate::metrics;
use crate::shared::Shared;

/// What the system may hold for one reader, so that a slow one is found out by our own bound and not megabytes later.
const SEND_BUFFER: usize = 64 * 1024;
/// After the system refused a connection, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at which sessions have lingered long enough.
const TICK: Duration = Duration::from_millis(500);
/// Between two looks at whether the operator changed accounts.
const ACCOUNTS_PAUSE: Duration = Duration::from_secs(1);
/// Connections that are being told that the server is full, besides those that are served.
const REFUSALS_MAX: usize = 64;
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 10\r\n\r\n";

enum Event {
    Accepted(std::io::Result<(TcpStream, SocketAddr)>),
    Finished(Result<(), JoinError>),
    Tick,
    Stop,
}

/// Serves until `shutdown`; then every client is told (close code 1001), given a moment to hang up, and dropped.
pub async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()>, mut config: Config) {
    let metrics = config.metrics.take();
    let shared = Arc::new(Shared::new(config));
    let mut helpers = JoinSet::new();
    helpers.spawn(watch_accounts(Arc::clone(&shared)));
    if let Some(listener) = metrics {
        helpers.spawn(metrics::serve(listener, Arc::clone(&shared)));
    }
    let mut connections = JoinSet::new();
    let mut accepted = 0_u64;
    let mut ticks = interval(TICK.min(shared.config.timing.linger / 4 + Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(shutdown);
    loop {
        let event = tokio::select! {
            () = &mut shutdown => Event::Stop,
            Some(finished) = connections.join_next() => Event::Finished(finished),
            _ = ticks.tick() => Event::Tick,
            accepted = listener.accept() => Event::Accepted(accepted),
        };
        match event {
            Event::Stop => break,
            Event::Tick => shared.expire(),
            Event::Finished(Ok(())) => {}
            // Sent away at the gate.
            Event::Finished(Err(error)) if error.is_cancelled() => {}
            Event::Finished(Err(error)) => tracing::error!(%error, "a connection's task failed"),
            Event::Accepted(Err(error)) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
            Event::Accepted(Ok((stream, peer))) => {
                accepted += 1;
                shared.metrics.connections.add(1);
                let is_full = connections.len() >= shared.config.connections_max;
                if is_full && shared.gate().send_away_oldest() {
                    shared.metrics.connections_sent_away.add(1);
                } else if is_full {
                    tracing::debug!(connections = connections.len(), "full");
                    shared.metrics.connections_refused.add(1);
                    // When even these are too many, they are dropped without a word.
                    if connections.len() < shared.config.connections_max.saturating_add(REFUSALS_MAX) {
                        connections.spawn(refuse(stream, shared.config.timing.closing));
                    }
                    continue;
                }
                let sent_away = shared.gate().enter(accepted);
                shared.metrics.connections_sent_away.add(sent_away);
                let task = connections.spawn(serve_one(stream, peer, accepted, Arc::clone(&shared)));
                shared.gate().set_task(accepted, task);
            }
        }
    }
    drop(listener);
    shared.end_all();
    let all = async { while connections.join_next().await.is_some() {} };
    // A connection that says farewell has its own deadline; this one is for those still in the handshake.
    let _ = timeout(shared.config.timing.closing + ACCEPT_PAUSE, all).await;
    connections.shutdown().await;
    helpers.shutdown().await;
}

/// Looks now and then whether the operator changed accounts beside this server.
async fn watch_accounts(shared: Arc<Shared>) {
    let mut known = None;
    loop {
        match shared.config.accounts.version().await {
            Ok(version) if known.is_some_and(|known| known != version) => match shared.check_owners().await {
                Ok(()) => known = Some(version),
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "accounts"),
            },
            Ok(version) => known = Some(version),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "accounts"),
        }
        sleep(ACCOUNTS_PAUSE).await;
    }
}

async fn serve_one(stream: TcpStream, peer: SocketAddr, number: u64, shared: Arc<Shared>) {
    let _at_the_gate = AtTheGate { shared: Arc::clone(&shared), number };
    prepare(&stream);
    if !shared.config.trusted_proxies.contains(&peer.ip().to_canonical()) {
        shared.locate(number, peer.ip());
    }
    // Boxed, so that its room is given back when the request is answered.
    let upgraded = Box::pin(http::shake_hands(stream, peer.ip(), &shared.config)).await;
    let Some(http::Upgraded { stream, read, address }) = upgraded else { return };
    if shared.config.trusted_proxies.contains(&peer.ip().to_canonical()) {
        shared.locate(number, address);
    }
    let line = shared.open_line(number);
    drop(shared);
    connection::serve(stream, read, address, line).await;
}

/// A connection is no longer waiting when its task ends, however that comes.
struct AtTheGate {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for AtTheGate {
    fn drop(&mut self) {
        self.shared.gate().leave(self.number);
    }
}

async fn refuse(mut stream: TcpStream, time: Duration) {
    let answer = async {
        stream.write_all(FULL).await?;
        connection::hang_up(stream).await
    };
    // Whether it was heard or not, that was all.
    let _ = timeout(time, answer).await;
}

fn prepare(stream: &TcpStream) {
    // Messages are small and each is awaited. Neither failing matters to anybody but the one client.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    if let Err(error) = SockRef::from(stream).set_send_buffer_size(SEND_BUFFER) {
        tracing::debug!(%error, "cannot set SO_SNDBUF");
    }
}
