//! How a server behaves: what an operator decides, and the contract's numbers, which only tests change.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::accounts::Accounts;
use crate::hosts::Hosts;
use crate::ice::IceConfig;
use crate::limits::Limits;
use crate::turn::TurnMetrics;

/// What [`crate::serve`] needs to know.
#[derive(Debug)]
pub struct Config {
    /// Whose names are whose.
    pub accounts: Accounts,
    /// Which hosts are this server.
    pub hosts: Hosts,
    /// Whether names that nobody has may be had.
    pub registration: Registration,
    /// Where to tell Prometheus what the server does.
    pub metrics: Option<TcpListener>,
    /// What the relay beside this server counts, to be told there too.
    pub turn_metrics: Option<Arc<TurnMetrics>>,
    /// Whether `guest-…` names may sign in.
    pub guests: bool,
    /// STUN and TURN servers to tell clients of.
    pub ice: IceConfig,
    /// Reverse proxies on whose word (`X-Forwarded-For`) a client's address is taken.
    pub trusted_proxies: Vec<IpAddr>,
    /// Connections at a time; one more is answered with 503.
    pub connections_max: usize,
    /// How much one client may do.
    pub limits: Limits,
    /// How long one client may take.
    pub timing: Timing,
}

impl Config {
    /// The contract's numbers, guests welcome, no ICE server, own hosts those nearby.
    #[must_use]
    pub fn new(accounts: Accounts) -> Self {
        Self {
            accounts,
            hosts: Hosts::default(),
            registration: Registration::Open,
            metrics: None,
            turn_metrics: None,
            guests: true,
            ice: IceConfig::default(),
            trusted_proxies: Vec::new(),
            connections_max: 20_000,
            limits: Limits::default(),
            timing: Timing::default(),
        }
    }
}

/// Who may have a name that nobody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Registration {
    /// Anybody.
    Open,
    /// Whoever brings a code of the operator's.
    Invite,
    /// Nobody.
    Closed,
}

/// How long things may take (section 1). The default is the contract's.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From the connection to the end of the HTTP exchange.
    pub handshake: Duration,
    /// To the first `login`, and from one that was refused to the next.
    pub login: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// Without a word from the client.
    pub silence: Duration,
    /// For the client to read the close frame and hang up.
    pub closing: Duration,
    /// How long a session outlives its connection.
    pub linger: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            login: Duration::from_secs(60),
            ping: Duration::from_secs(15),
            silence: Duration::from_secs(40),
            closing: Duration::from_millis(1_500),
            linger: Duration::from_secs(30),
        }
    }
}
