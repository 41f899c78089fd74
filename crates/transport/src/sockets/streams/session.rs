//! When TCP is tried: in each ICE session that has no path for a while, until it has one. A connection by luck would otherwise
//! beat better ways, which do not wait for what is lost; and until then nothing listens.

use super::stream::{SEND_BUFFER, connect};
use super::{Path, Streams};
use crate::candidate;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long other ways have the start; and after a path over TCP, where they hardly have a chance.
const HEAD_START: Duration = Duration::from_secs(3);
const HEAD_START_AGAIN: Duration = Duration::from_millis(500);

/// Of how many addresses of its own a machine listens, and to how many of a peer's it connects.
const LISTENERS: u8 = 8;
const DIALS: usize = 8;
/// Connections that are taken at a time.
const ACCEPTED: usize = 8;
/// Until a connection that was taken has shown that it is the peer's.
const PROOF: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// After an error of the system's, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait to be taken.
const BACKLOG: u32 = 8;

/// What comes of it.
#[derive(Debug)]
pub(crate) enum News {
    /// A candidate of our own, for the peer.
    Own(String),
    /// The peer was connected to: a candidate of its own, for the peer connection.
    Reached(String),
}

enum Phase {
    /// No session has begun, or this one needs no TCP.
    Rests,
    /// Other ways have the start.
    Waits(Instant),
    Tries,
}

impl Streams {
    /// Runs until it is dropped, and with it all that listens and connects; not the connections that were made. Only once.
    pub(crate) async fn run(self: Arc<Self>, news: mpsc::Sender<News>) {
        let offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut offered) = offered else { return };
        let (mut sessions, mut paths) = (self.session.subscribe(), self.path.subscribe());
        sessions.mark_changed();
        let (mut phase, mut session, mut tasks) = (Phase::Rests, 0, JoinSet::new());
        let mut peers: HashSet<SocketAddr> = HashSet::new();
        loop {
            let until = if let Phase::Waits(until) = phase { Some(until) } else { None };
            let head_start = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // A session begins before anything is offered in it.
                biased;
                Ok(()) = sessions.changed() => {
                    session = *sessions.borrow_and_update();
                    (tasks, peers) = (JoinSet::new(), HashSet::new());
                    let waits = if paths.borrow().was_stream { HEAD_START_AGAIN } else { HEAD_START };
                    phase = if session == 0 { Phase::Rests } else { Phase::Waits(Instant::now() + waits) };
                }
                () = head_start => {
                    phase = if paths.borrow().is_up { Phase::Rests } else { Phase::Tries };
                    if matches!(phase, Phase::Tries) {
                        tracing::debug!(peers = peers.len(), "no path yet: TCP is tried too");
                        self.listen(&mut tasks, &news);
                        for peer in &peers {
                            tasks.spawn(Arc::clone(&self).dial(*peer, news.clone()));
                        }
                    }
                }
                true = is_found(&mut paths), if matches!(phase, Phase::Tries) => {
                    (phase, tasks) = (Phase::Rests, JoinSet::new());
                }
                Some((in_session, peer)) = offered.recv() => {
                    let is_new = in_session == session && peers.len() < DIALS && peers.insert(peer);
                    if is_new && matches!(phase, Phase::Tries) {
                        tasks.spawn(Arc::clone(&self).dial(peer, news.clone()));
                    }
                }
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a task of a way over TCP ended");
                    }
                }
            }
        }
    }

    fn listen(self: &Arc<Self>, tasks: &mut JoinSet<()>, news: &mpsc::Sender<News>) {
        let places = Arc::new(Semaphore::new(ACCEPTED));
        for (number, own) in (0..LISTENERS).zip(self.own_addresses()) {
            let listener = match listener(own) {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(%error, "no listening on an address");
                    continue;
                }
            };
            let Ok(port) = listener.local_addr().map(|address| address.port()) else { continue };
            for listens_on in [Some(port), None] {
                // There is room for those of all addresses; and one that is not told harms little.
                let _ = news.try_send(News::Own(candidate::over_tcp(number, own, listens_on)));
            }
            tasks.spawn(Arc::clone(self).accept(listener, Arc::clone(&places)));
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, places: Arc<Semaphore>) {
        let mut unproven = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = unproven.join_next() => continue,
            };
            match accepted {
                // One too many is closed.
                Ok((stream, _)) => {
                    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                        let streams = Arc::clone(&self);
                        unproven.spawn(async move {
                            if timeout(PROOF, streams.take(stream, place)).await.is_err() {
                                tracing::debug!("a connection that says nothing is closed");
                            }
                        });
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn dial(self: Arc<Self>, peer: SocketAddr, news: mpsc::Sender<News>) {
        let connected = timeout(CONNECT, connect(peer)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
        match connected.map(|stream| self.carry(stream)) {
            Ok(Some(address)) => {
                // To the peer connection it is a host like any other, and no better than where the peer listens.
                let (ip, port) = (address.ip(), address.port());
                let attribute = format!("candidate:tcp 1 udp {PRIORITY} {ip} {port} typ host");
                let _ = news.send(News::Reached(attribute)).await;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the peer was not connected to over TCP"),
        }
    }

    /// Carries a connection that was made to the peer. Gives its virtual address.
    fn carry(self: &Arc<Self>, stream: TcpStream) -> Option<SocketAddr> {
        let begun = self.begin(stream.local_addr().ok()?.ip())?;
        let address = begun.address;
        tokio::spawn(Arc::clone(self).connected(stream, begun));
        Some(address)
    }
}

async fn is_found(paths: &mut watch::Receiver<Path>) -> bool {
    paths.wait_for(|path| path.is_up).await.is_ok()
}

/// As of a candidate of type 90 (RFC 8445 §5.1.2.1): below all over UDP but those of relays.
const PRIORITY: u32 = (90 << 24) | (65_535 << 8) | 255;

/// On any port of one address.
fn listener(own: IpAddr) -> io::Result<TcpListener> {
    let socket = if own.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // What is accepted has it from here.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(SocketAddr::new(own, 0))?;
    socket.listen(BACKLOG)
}
