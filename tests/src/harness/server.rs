//! The real signaling server, on a free port, with its accounts in a folder of its own.

use std::process::Command;

use tempfile::TempDir;

use super::DEADLINE;
use super::process::Process;
use super::programs::program;

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    host: String,
    // Removed when dropped.
    _accounts: TempDir,
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
        let accounts = tempfile::tempdir().expect("a folder can be made");
        let mut command = Command::new(program("ahoy-server"));
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(accounts.path()).args(arguments);
        let process = Process::start("server", &mut command);
        let first = process.wait_for("its first line", DEADLINE, |lines| lines.first().cloned());
        let host = first.strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix("/ws"));
        let host = host.unwrap_or_else(|| panic!("the server's first line is {first:?}")).to_owned();
        Self { process, host, _accounts: accounts }
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
