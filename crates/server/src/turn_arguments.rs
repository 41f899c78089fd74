//! What the operator says of the relay on the command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ahoy_server::turn::{RelayPorts, Secret, TurnConfig, TurnTls};
use anyhow::Context as _;

/// RFC 8489 §18.6.
pub(crate) const STUN_PORT: u16 = 3478;
/// Connections to the relay beyond one for each allocation.
const MORE_CONNECTIONS: usize = 256;

/// The relay for those whom no direct path joins.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "STUN and TURN")]
pub(crate) struct TurnArguments {
    /// Start no STUN and TURN server
    #[arg(long, conflicts_with_all = ["turn_listen", "turn_tls_listen"])]
    no_turn: bool,
    /// Where it listens over UDP and TCP (repeatable). Without it: the address of --listen, port 3478
    #[arg(long, value_name = "ADDRESS:PORT")]
    turn_listen: Vec<SocketAddr>,
    /// Where it listens over TLS
    #[arg(long, value_name = "ADDRESS:PORT", requires_all = ["turn_tls_cert", "turn_tls_key"])]
    turn_tls_listen: Option<SocketAddr>,
    /// The certificate chain for that, in PEM
    #[arg(long, value_name = "FILE", requires = "turn_tls_listen")]
    turn_tls_cert: Option<PathBuf>,
    /// Its key, in PEM
    #[arg(long, value_name = "FILE", requires = "turn_tls_listen")]
    turn_tls_key: Option<PathBuf>,
    /// The address that others see this machine at, where a 1:1 NAT stands before it (one of a family)
    #[arg(long, value_name = "ADDRESS")]
    external_ip: Vec<IpAddr>,
    /// The UDP ports from which it relays
    #[arg(long, value_name = "LOW-HIGH", default_value = "49152-65535")]
    turn_relay_ports: RelayPorts,
    /// Relay to private addresses too: for a server within one network
    #[arg(long)]
    turn_allow_private: bool,
    /// A file with the secret that credentials are made with, for several servers with one name. Without it: another at
    /// each start
    #[arg(long, value_name = "FILE")]
    turn_secret_file: Option<PathBuf>,
    /// How long credentials hold, in seconds; for guests no longer than 900
    #[arg(long, value_name = "SECONDS", default_value_t = 43_200, value_parser = clap::value_parser!(u32).range(10..=604_800))]
    pub(crate) turn_ttl: u32,
    /// Relays at a time
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    turn_max_allocations: usize,
}

impl TurnArguments {
    /// `None`: it is not wanted.
    pub(crate) fn config(&self, listen: SocketAddr) -> anyhow::Result<Option<TurnConfig>> {
        if self.no_turn {
            return Ok(None);
        }
        let secret = match &self.turn_secret_file {
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                Secret::new(text.trim())?
            }
            None => Secret::random().context("the system has no randomness")?,
        };
        let port = if listen.port() == 0 { 0 } else { STUN_PORT };
        let addresses = match &self.turn_listen[..] {
            [] => vec![SocketAddr::new(listen.ip(), port)],
            named => named.to_vec(),
        };
        let mut config = TurnConfig::new(addresses, secret);
        if let (Some(listen), Some(certificate), Some(key)) =
            (self.turn_tls_listen, self.turn_tls_cert.clone(), self.turn_tls_key.clone())
        {
            config.tls = Some(TurnTls { listen, certificate, key });
        }
        config.external = self.external_ip.clone();
        config.ports = self.turn_relay_ports.clone();
        config.allow_private = self.turn_allow_private;
        config.limits.allocations = self.turn_max_allocations;
        config.limits.connections = self.turn_max_allocations.saturating_add(MORE_CONNECTIONS);
        Ok(Some(config))
    }

    /// Files that it may have open.
    pub(crate) fn files(&self) -> usize {
        if self.no_turn { 0 } else { self.turn_max_allocations.saturating_mul(2).saturating_add(MORE_CONNECTIONS) }
    }
}
