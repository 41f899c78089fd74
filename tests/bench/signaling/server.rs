//! The two servers that are compared, each a program that says where it listens and runs on one core.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ahoy_tests::harness::DEADLINE;
use ahoy_tests::harness::family::{Member, members};
use ahoy_tests::harness::process::Process;
use ahoy_tests::harness::programs::program;
use tempfile::TempDir;

use super::cores::Cores;

/// Enough names for every worker, in place of the 10 an hour that the contract gives one address.
const NEW_NAMES: &str = "1000";
/// The clients of this benchmark with some to spare.
const CONNECTIONS: &str = "20100";

/// A few packages come over the network.
const INSTALL_DEADLINE: Duration = Duration::from_secs(120);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `ahoy-server`.
    Ahoy,
    /// `tests/bench/peers/relay.js`.
    Node,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    kind: Kind,
    address: SocketAddr,
    member: Member,
    process: Process,
    // Removed when dropped.
    accounts: TempDir,
}

impl Server {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not say where it listens.
    pub(super) fn start(kind: Kind, cores: Cores) -> Self {
        let accounts = tempfile::tempdir().expect("a folder can be made");
        // Below those ports that the system gives to clients, so that it is still free after a restart. Programs that run
        // beside this one look elsewhere first.
        let first = 21_000 + (std::process::id() % 10_000) as u16;
        let port = (first..32_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let (process, address) = run(kind, cores, port.expect("a port is free"), &accounts);
        let member = members(process.id()).into_iter().next().expect("it runs");
        Self { kind, address, member, process, accounts }
    }

    /// Kills it, and starts it again at the same place.
    pub(super) fn restart(&mut self, cores: Cores) {
        self.process.kill();
        (self.process, self.address) = run(self.kind, cores, self.address.port(), &self.accounts);
        self.member = members(self.process.id()).into_iter().next().expect("it runs");
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub(super) fn member(&self) -> &Member {
        &self.member
    }
}

fn run(kind: Kind, cores: Cores, port: u16, accounts: &TempDir) -> (Process, SocketAddr) {
    let mut command = match kind {
        Kind::Ahoy => {
            let mut command = Command::new(program("ahoy-server"));
            command.args([
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--turn-listen",
                "127.0.0.1:0",
                "--metrics",
                "off",
            ]);
            command.args(["--new-names", NEW_NAMES, "--max-connections", CONNECTIONS]);
            command.arg("--data-dir").arg(accounts.path());
            command
        }
        Kind::Node => {
            let mut command = Command::new("node");
            command.args(["relay.js", &port.to_string()]).current_dir(peers());
            command
        }
    };
    let process = cores.on_the_servers(|| Process::start(kind.name(), &mut command));
    let first = process.wait_for("its first line", DEADLINE, |lines| lines.first().cloned());
    let host = first.strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix("/ws"));
    let address = host.and_then(|host| host.parse().ok()).unwrap_or_else(|| panic!("its first line is {first:?}"));
    (process, address)
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ahoy => "ahoy",
            Self::Node => "node-ws",
        }
    }
}

/// Sees that the peer's packages are those of its lock file. An error says why there is no peer.
pub(super) fn install_peer() -> Result<(), String> {
    if !is_there("node") || !is_there("npm") {
        return Err("Node.js and npm, which the peer needs, are not installed".to_owned());
    }
    let lock = fs::read(peers().join("package-lock.json")).expect("the peer has a lock file");
    // What was installed last.
    let installed = peers().join("node_modules/installed-lock.json");
    if fs::read(&installed).is_ok_and(|before| before == lock) {
        return Ok(());
    }
    eprintln!("signaling: npm ci in tests/bench/peers");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(peers());
    let mut npm = Process::start("npm ci", &mut npm);
    let status = npm.wait(INSTALL_DEADLINE);
    if !status.success() {
        return Err(format!("npm could not install the peer's packages ({status}): {}", npm.errors()));
    }
    fs::write(&installed, lock).expect("what npm made is writable");
    Ok(())
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peers")
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
