//! The signaling server as a program: its command line, its logs, and the signals that end it.

#![forbid(unsafe_code)]

mod accounts_command;
mod turn_arguments;

use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use ahoy_server::hosts::{Host, Hosts};
use ahoy_server::ice::{IceServerArgument, TurnOffer};
use ahoy_server::turn::{Turn, TurnConfig};
use ahoy_server::{Accounts, Config, Registration, serve};
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

use crate::turn_arguments::{STUN_PORT, TurnArguments};

/// Files that are open besides connections.
#[cfg(unix)]
const OTHER_FILES: u64 = 64;

/// The Ahoy signaling server: where people who call each other by name find each other.
///
/// The first line on standard output says where it listens; then comes one line, `turn on ADDRESS:PORT`, for each address
/// of its STUN and TURN server, and nothing more. It speaks plain WebSocket; beyond loopback and private
/// networks put a reverse proxy with TLS before it and name that with --trusted-proxy. Logs go to standard error;
/// AHOY_LOG sets how much.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
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
    /// Who may have a name that nobody has: anybody (`open`), whoever brings a code of `ahoy-server accounts invite`, or
    /// nobody
    #[arg(long, value_name = "WHO", default_value = "open")]
    registration: Registration,
    /// Where Prometheus finds metrics, at /metrics, or `off` [default: 127.0.0.1:9280, if that is free]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<MetricsArgument>,
    /// Take no guests
    #[arg(long)]
    no_guests: bool,
    /// A reverse proxy whose X-Forwarded-For says where clients are (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    trusted_proxy: Vec<IpAddr>,
    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    max_connections: usize,
    /// Names that one address may sign in with for the first time in an hour
    #[arg(long, value_name = "N", default_value_t = 10)]
    new_names: usize,
}

#[derive(Debug, Subcommand)]
enum Command {
    Accounts(accounts_command::AccountsCommand),
}

/// Where to serve metrics when nothing is said about it.
const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9280);

/// `--metrics`.
#[derive(Debug, Clone, Copy)]
enum MetricsArgument {
    Off,
    At(SocketAddr),
}

impl FromStr for MetricsArgument {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::At) }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Accounts(command)) = arguments.command {
        return match command.run() {
            Ok(said) => {
                // Whoever started it may not care to read.
                let _ = std::io::stdout().write_all(said.as_bytes());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("ahoy-server: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let filter = EnvFilter::try_from_env("AHOY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    // It warns of every datagram that is none of its own: whoever sends those would fill the log.
    let filter = "stun_types=off".parse().map_or(filter.clone(), |quiet| filter.add_directive(quiet));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let outcome = runtime().context("cannot start a runtime").and_then(|runtime| runtime.block_on(run(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ahoy-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// As many threads as there are cores to use; with one, everything happens on this thread, and nothing is handed from one
/// to another.
fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = if cores == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build()
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (listen, connections_max) = (arguments.listen, arguments.max_connections);
    let (turn, files) = (arguments.turn.config(listen)?, arguments.turn.files());
    let metrics = metrics_listener(arguments.metrics).await?;
    let mut config = config(arguments)?;
    config.metrics = metrics;
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
    server.turn_metrics = Some(turn.metrics());
    Ok(turn)
}

/// Another server on the same machine may have the default place; that keeps nobody from calling.
async fn metrics_listener(argument: Option<MetricsArgument>) -> anyhow::Result<Option<TcpListener>> {
    let listener = match argument {
        Some(MetricsArgument::Off) => return Ok(None),
        Some(MetricsArgument::At(address)) => {
            TcpListener::bind(address).await.with_context(|| format!("cannot serve metrics on {address}"))?
        }
        None => match TcpListener::bind(METRICS).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::info!(%error, "no metrics on {METRICS}; --metrics names another place");
                return Ok(None);
            }
        },
    };
    tracing::info!("metrics on http://{}/metrics", listener.local_addr()?);
    Ok(Some(listener))
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
    config.registration = arguments.registration;
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
