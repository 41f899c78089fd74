//! The real signaling server, on a free port, with its accounts in a folder of its own.

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use super::DEADLINE;
use super::process::Process;
use super::programs::program;

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    host: String,
    arguments: Vec<String>,
    accounts: TempDir,
}

impl Server {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further arguments.
    ///
    /// # Panics
    /// When it does not say where it listens, in the words that the contract of the command line promises.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments)
    }

    /// Starts one that can be killed and started again ([`Self::restart`]): on a port that the system gives to nobody
    /// by itself, so that it is still free then.
    #[must_use]
    pub fn start_to_restart() -> Self {
        // Its relay would want the one usual port, for which other tests stand in line.
        Self::start_at(&format!("127.0.0.1:{}", quiet_port()), &["--no-turn"])
    }

    /// Starts one that listens at `listen`, such as `10.0.0.1:0`.
    ///
    /// # Panics
    /// As [`Self::start_with`].
    #[must_use]
    pub fn start_at(listen: &str, arguments: &[&str]) -> Self {
        let accounts = tempfile::tempdir().expect("a folder can be made");
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let (process, host) = run(listen, &arguments, &accounts);
        Self { process, host, arguments, accounts }
    }

    /// Starts it again on the same port, with the same accounts. One that runs is killed first.
    pub fn restart(&mut self) {
        self.process.kill();
        (self.process, self.host) = run(&self.host, &self.arguments, &self.accounts);
    }

    /// Stops it where it stands: connections stay open, nothing is answered.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets a frozen one go on.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Where it listens, `host:port`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What a client dials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.host)
    }

    /// Its process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where its relay listens, `host:port`.
    ///
    /// # Panics
    /// When it does not say so, in the words that the contract of the command line promises.
    #[must_use]
    #[track_caller]
    pub fn turn(&self) -> String {
        let found = |lines: &[String]| lines.get(1)?.strip_prefix("turn on ").map(str::to_owned);
        self.process.wait_for("where its relay is", DEADLINE, found)
    }

    /// The code of a new invitation, as the operator gets it.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn invitation(&self) -> String {
        let mut command = Command::new(program("ahoy-server"));
        command.args(["accounts", "--data-dir"]).arg(self.accounts.path()).arg("invite");
        let output = command.output().expect("the server's program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Ends it without a goodbye.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end, and checks that it ended well.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn stop(mut self) {
        self.process.terminate();
        let status = self.process.wait(DEADLINE);
        assert!(status.success(), "the server ended with {status}");
        assert!(!self.process.errors().contains("panicked"), "the server panicked");
    }
}

fn run(listen: &str, arguments: &[String], accounts: &TempDir) -> (Process, String) {
    let mut command = Command::new(program("ahoy-server"));
    command.args(["--listen", listen, "--data-dir"]).arg(accounts.path()).args(arguments);
    let process = Process::start("server", &mut command);
    let first = process.wait_for("its first line", DEADLINE, |lines| lines.first().cloned());
    let host = first.strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix("/ws"));
    let host = host.unwrap_or_else(|| panic!("the server's first line is {first:?}")).to_owned();
    (process, host)
}

/// A free port below those that systems give out (Linux from 32768, RFC 6335 from 49152): nobody else gets it while the
/// server is down, and nobody who dials it then reaches himself.
fn quiet_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    let process = (std::process::id() % u32::from(COUNT)) as u16;
    loop {
        // Programs that test beside this one begin elsewhere.
        let port = FIRST + process.wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
