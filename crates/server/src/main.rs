//! The signaling server as a program: its command line, its logs, and the signals that end it.

#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use ahoy_server::hosts::{Host, Hosts};
use ahoy_server::ice::{IceServerArgument, TurnOffer};
use ahoy_server::turn::{RelayPorts, Secret, Turn, TurnConfig, TurnTls};
use ahoy_server::{Accounts, Config, serve};
use anyhow::Context as _;
use clap::Parser;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// Files that are open besides connections.
#[cfg(unix)]
const OTHER_FILES: u64 = 64;
/// RFC 8489 §18.6.
const STUN_PORT: u16 = 3478;
/// Connections to the relay beyond one for each allocation.
const MORE_CONNECTIONS: usize = 256;

/// The Ahoy signaling server: where people who call each other by name find each other.
///
/// The first line on standard output says where it listens. It speaks plain WebSocket; beyond loopback and private
/// networks put a reverse proxy with TLS before it and name that with --trusted-proxy. Logs go to standard error;
/// AHOY_LOG sets how much.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4280")]
    listen: SocketAddr,
    /// Where names and their keys are kept. Without it they are forgotten when the server ends
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A host under which clients reach this server (repeatable; without a port: any port). Without it: every loopback
    /// and private address
    #[arg(long, value_name = "HOST[:PORT]")]
    public_host: Vec<Host>,
    /// A host, besides the server's own, whose pages may connect (repeatable)
    #[arg(long, value_name = "ORIGIN", value_parser = Host::from_origin_or_host)]
    allow_origin: Vec<Host>,
    /// A STUN or TURN server to tell clients of: stun:host:port, or JSON as in RTCIceServer (repeatable)
    ///
    /// For coturn with use-auth-secret: {"urls":["turn:host:3478"],"secret":"…"}
    #[arg(long, value_name = "URL|JSON")]
    ice_server: Vec<IceServerArgument>,
    #[command(flatten)]
    turn: TurnArguments,
    /// Take no guests
    #[arg(long)]
    no_guests: bool,
    /// A reverse proxy whose X-Forwarded-For says where clients are (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    trusted_proxy: Vec<IpAddr>,
    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_connections: usize,
    /// Names that one address may sign in with for the first time in an hour
    #[arg(long, value_name = "N", default_value_t = 10)]
    new_names: usize,
}

/// The relay for those whom no direct path joins.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "STUN and TURN")]
struct TurnArguments {
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
    turn_ttl: u32,
    /// Relays at a time
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    turn_max_allocations: usize,
}

impl TurnArguments {
    /// `None`: it is not wanted.
    fn config(&self, listen: SocketAddr) -> anyhow::Result<Option<TurnConfig>> {
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

    fn files(&self) -> usize {
        if self.no_turn { 0 } else { self.turn_max_allocations.saturating_mul(2).saturating_add(MORE_CONNECTIONS) }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("AHOY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    // It warns of every datagram that is none of its own: whoever sends those would fill the log.
    let filter = "stun_types=off".parse().map_or(filter.clone(), |quiet| filter.add_directive(quiet));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ahoy-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (listen, connections_max) = (arguments.listen, arguments.max_connections);
    let (turn, files) = (arguments.turn.config(listen)?, arguments.turn.files());
    let mut config = config(arguments)?;
    allow_files(connections_max.saturating_add(files));
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let turn = turn.map(|turn| start(turn, &mut config)).transpose()?;
    // Before anybody is told where the server is, so that a signal sent at once is not missed.
    let stop = stop_signal()?;
    let mut out = std::io::stdout().lock();
    // Whoever started it may not care to read.
    let _ = writeln!(out, "listening on ws://{}/ws", listener.local_addr()?).and_then(|()| out.flush());
    for address in turn.iter().flat_map(Turn::addresses) {
        let _ = writeln!(out, "turn on {address}").and_then(|()| out.flush());
    }
    drop(out);
    serve(listener, stop, config).await;
    if let Some(turn) = turn {
        turn.stop().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Starts the relay, and has clients told of it.
fn start(config: TurnConfig, server: &mut Config) -> anyhow::Result<Turn> {
    let (secret, is_near) = (config.secret.clone(), config.listen.iter().all(|listen| listen.ip().is_loopback()));
    if is_near && !server.hosts.public.is_empty() {
        tracing::warn!(
            "STUN and TURN listen on this machine alone: name --turn-listen 0.0.0.0:{STUN_PORT} for all to use"
        );
    }
    let turn = Turn::start(config)?;
    server.ice.turn = Some(TurnOffer::of(&turn, secret));
    Ok(turn)
}

fn config(arguments: Arguments) -> anyhow::Result<Config> {
    let accounts = match &arguments.data_dir {
        Some(folder) => Accounts::open(folder).with_context(|| format!("cannot use {}", folder.display()))?,
        None => {
            tracing::warn!("no --data-dir: who owns which name is forgotten when this server ends");
            Accounts::in_memory()?
        }
    };
    let mut config = Config::new(accounts);
    config.hosts = Hosts { public: arguments.public_host, allowed_origins: arguments.allow_origin };
    config.guests = !arguments.no_guests;
    config.ice.servers = arguments.ice_server;
    config.ice.keyed_ttl_s = arguments.turn.turn_ttl;
    config.ice.guest_ttl_s = config.ice.guest_ttl_s.min(arguments.turn.turn_ttl);
    config.trusted_proxies = arguments.trusted_proxy;
    config.connections_max = arguments.max_connections;
    config.limits.new_names.count = arguments.new_names;
    Ok(config)
}

/// Raises the soft limit of open files as far as it may go: each connection is one.
#[cfg(unix)]
fn allow_files(connections: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    let files = limit.current;
    if setrlimit(Resource::Nofile, limit).is_err() || files.is_none_or(|files| files < wanted) {
        tracing::warn!(files, wanted, "too few open files are allowed for so many connections");
    }
}

#[cfg(not(unix))]
fn allow_files(_connections: usize) {}

#[cfg(unix)]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without it only the system's own ways end the program.
            std::future::pending::<()>().await;
        }
    })
}
