//! STUN and TURN: addresses as others see them, and a relay for those whom no direct path joins. UDP, TCP and TLS to
//! clients; UDP to peers. One thread of its own, so that a burst of media does not hold up a call's messages, nor these
//! the media.
//!
//! Why not the crate `turn-server-proto` (0.7.3): it answers Binding requests to its own address, does not pad ChannelData
//! over TCP, keeps memory for every stranger's address, answers a repeated Allocate with an error, and knows neither
//! quotas nor peers that must not be reached. Its neighbour `stun-types` reads and writes the messages here.

pub mod config;
pub mod credentials;
mod frames;
mod message;
pub mod metrics;
mod net;
mod relay;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::SystemTime;

use tokio::sync::oneshot;
use tokio::task::LocalSet;

pub use self::config::{RelayPorts, TurnConfig, TurnLimits, TurnTls};
pub use self::credentials::Secret;
pub use self::metrics::TurnMetrics;
#[cfg(feature = "fuzzing")]
pub use self::relay::fuzzing;

use self::net::Net;
use self::net::listen::{self, Bound};

/// Why there is no relay.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// An address that is taken or not this machine's.
    #[error("cannot listen for STUN and TURN on {0}: {1}; choose another with --turn-listen, or --no-turn")]
    Listen(SocketAddr, #[source] io::Error),
    /// A file that is not there or no PEM.
    #[error("cannot read {path}: {error}")]
    Pem {
        /// As it was named.
        path: String,
        /// Why not.
        #[source]
        error: rustls::pki_types::pem::Error,
    },
    /// A certificate and a key that do not go together.
    #[error("cannot use the certificate for TURN over TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The system gives no thread or no randomness.
    #[error("cannot start the relay: {0}")]
    System(#[from] io::Error),
}

/// A running relay. Dropped, it goes on until the program ends; [`Turn::stop`] ends it.
#[derive(Debug)]
pub struct Turn {
    addresses: Vec<SocketAddr>,
    tls: Option<SocketAddr>,
    metrics: Arc<TurnMetrics>,
    running: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

/// Says that the relay is gone, also when its thread panicked.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
        if thread::panicking() {
            tracing::error!("the relay failed: STUN and TURN are off until the server is started again");
        }
    }
}

impl Turn {
    /// Binds, and starts the thread.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn start(config: TurnConfig) -> Result<Self, TurnError> {
        let bound = listen::bind(&config)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let addresses = bound.addresses.clone();
        let tls = bound.tls.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?;
        let (metrics, running) = (Arc::new(TurnMetrics::default()), Arc::new(AtomicBool::new(true)));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (of_thread, guard) = (Arc::clone(&metrics), Running(Arc::clone(&running)));
        let thread = thread::Builder::new().name("turn".into()).spawn(move || {
            let _guard = guard;
            let served = LocalSet::new().block_on(&runtime, serve(config, key, bound, of_thread, stopped));
            if let Err(error) = served {
                tracing::error!(%error, "STUN and TURN are off");
            }
        })?;
        Ok(Self { addresses, tls, metrics, running, stop, thread })
    }

    /// Where it listens over UDP and TCP.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens over TLS.
    #[must_use]
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> Arc<TurnMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Whether it is still there; false after its thread failed.
    #[must_use]
    pub fn running(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.running)
    }

    /// Ends it and all that it relays.
    pub async fn stop(self) {
        let Self { stop, thread, .. } = self;
        drop(stop);
        // It ends within what it does for one message. A panic was logged when it happened.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

async fn serve(
    config: TurnConfig,
    key: [u8; 32],
    bound: Bound,
    metrics: Arc<TurnMetrics>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let udp = bound.udp.into_iter().map(tokio::net::UdpSocket::from_std).collect::<io::Result<Vec<_>>>()?;
    let net = Net::new(&config, key, udp, metrics);
    net.start();
    let plain = bound.tcp.into_iter().map(|listener| (listener, None));
    let tls = bound.tls.map(|(listener, config)| (listener, Some(config.into())));
    for (which, (listener, tls)) in (0..).zip(plain.chain(tls)) {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::task::spawn_local(listen::serve(net.clone(), listener, which, tls));
    }
    // Whether it was told or its owner is gone.
    let _ = stopped.await;
    Ok(())
}

/// Seconds since 1970 (UTC). Credentials are about dates, so this is the one clock of the server that is not monotonic.
#[expect(clippy::disallowed_methods, reason = "credentials are about dates")]
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
