//! The program: what it prints, how it ends, and what it remembers.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ahoy_protocol::identity::IdentityKey;
use tokio::time::Instant;

use crate::harness::*;

pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// Behind the first line.
    out: BufReader<ChildStdout>,
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = command(&["--listen", "127.0.0.1:0"]).args(arguments).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix("/ws\n"));
        let address = address.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        Self { child, address, out }
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The exit code and what else it printed.
    fn end(mut self) -> (Option<i32>, String) {
        let code = wait(&mut self.child);
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (code, rest)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ahoy-server"));
    command.args(arguments).env_remove("AHOY_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn wait(child: &mut Child) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_cleanly() {
    for (signal, arguments) in
        [(rustix::process::Signal::TERM, &[][..]), (rustix::process::Signal::INT, &["--no-turn"][..])]
    {
        let program = Program::start(arguments);
        let mut client = Client::connect(program.address).await;
        let mut silent = Raw::connect(program.address).await;
        assert_eq!(client.login("alice", 1).await["type"], "welcome");
        let began = Instant::now();
        program.signal(signal);
        assert_eq!((client.closed().await, silent.closed().await), (1001, 1001));
        let (code, rest) = tokio::task::spawn_blocking(|| program.end()).await.unwrap();
        assert_eq!(code, Some(0));
        // Behind where it listens, a line for each address of its relay, and nothing more.
        let turn = rest.lines().map(|line| line.strip_prefix("turn on ").and_then(|at| at.parse::<SocketAddr>().ok()));
        let turn: Vec<u16> = turn.map(|at| at.unwrap_or_else(|| panic!("{rest:?}")).port()).collect();
        assert_eq!(turn.len(), usize::from(arguments.is_empty()), "{rest:?}");
        assert!(turn.iter().all(|port| *port > 0), "{rest:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_name_outlives_the_server_with_a_data_dir_and_not_without() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts of this server");
    let other = IdentityKey::from_secret(&[9; 32]);
    for (arguments, code) in [(&["--data-dir", path.to_str().unwrap()][..], Some("username_taken")), (&[][..], None)] {
        let program = Program::start(arguments);
        assert_eq!(Client::connect(program.address).await.login("alice", 1).await["type"], "welcome");
        // Not cleanly: what was granted stands whatever comes.
        program.signal(rustix::process::Signal::KILL);
        drop(program);

        let program = Program::start(arguments);
        let mut client = Client::connect(program.address).await;
        let login = client.login_as("alice", 1, &other);
        assert_eq!(client.ask(login).await["code"].as_str(), code, "{arguments:?}");
    }
}

#[test]
fn what_it_cannot_do_it_says_and_exits_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().to_str().unwrap();
    for (arguments, said) in [
        (&["--listen", &listen][..], format!("cannot listen on {listen}")),
        (&["--listen", "127.0.0.1:0", "--data-dir", file][..], format!("cannot use {file}")),
    ] {
        let mut child = command(arguments).spawn().unwrap();
        assert_eq!(wait(&mut child), Some(1));
        let (mut out, mut error) = (String::new(), String::new());
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert!(error.contains(&said) && out.is_empty(), "{out} {error}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for arguments in [
        &["--listen", "nowhere"][..],
        &["--public-host", "a b"],
        &["--ice-server", "http://x"],
        &["--what"],
        &["--metrics", "x"],
    ] {
        assert_eq!(wait(&mut command(arguments).spawn().unwrap()), Some(2), "{arguments:?}");
    }
}
