//! Calls through a relay: the server's own, and coturn, which somebody else wrote. Both sides send by the relay alone, so
//! nothing else can have carried the call. These load the machine, so they take turns.

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahoy_tests::harness::cli::{Cli, Running};
use ahoy_tests::harness::process::Process;
use ahoy_tests::harness::{DEADLINE, Server, skipped};
use serde_json::json;
use tempfile::TempDir;

const SECRET: &str = "a secret that only the tests share";

#[test]
fn a_call_goes_through_the_servers_own_relay() {
    let _turn = take_turn();
    let server = Server::start();
    assert!(server.turn().starts_with("127.0.0.1:"));
    let (mut calling, mut answering) = relayed_call(&server, "call bob --seconds 3");
    for side in [&calling, &answering] {
        assert_eq!(side.wait_for("connected").text("path"), "relay");
        side.wait_for("first_frame");
    }
    calling.ends_within(2 * DEADLINE, 0);
    answering.ends_with(0);
    server.stop();
}

#[test]
fn a_relay_that_takes_no_stranger_carries_no_call() {
    let _turn = take_turn();
    let relay = Server::start();
    let turn = json!({"urls": format!("turn:{}", relay.turn()), "username": "9999999999:alice", "credential": "guess"});
    let server = Server::start_with(&["--no-turn", "--ice-server", &turn.to_string()]);
    let (mut calling, mut answering) = relayed_call(&server, "call bob --seconds 3");
    let said = [&mut calling, &mut answering].map(|side| side.ends_within(2 * DEADLINE, 4));
    assert!(said.iter().all(|words| words.contains("refused the login")), "{said:?}");
    assert!(calling.all("connected").is_empty() && answering.all("connected").is_empty());
}

#[test]
fn a_call_goes_through_coturn_with_credentials_made_here() {
    let _turn = take_turn();
    let Some(coturn) = Coturn::start() else { return };
    let turn = json!({"urls": [format!("turn:127.0.0.1:{}?transport=udp", coturn.port)], "secret": SECRET});
    let server = Server::start_with(&["--no-turn", "--ice-server", &turn.to_string()]);
    let (mut calling, mut answering) = relayed_call(&server, "call bob --seconds 3");
    for side in [&calling, &answering] {
        assert_eq!(side.wait_for("connected").text("path"), "relay");
        side.wait_for("first_frame");
    }
    calling.ends_within(2 * DEADLINE, 0);
    answering.ends_with(0);
}

fn relayed_call(server: &Server, words: &str) -> (Running, Running) {
    let [alice, bob] =
        ["alice", "bob"].map(|name| Cli::new(server, name).with_media().and(&["--relay-only", "--frame-events"]));
    let answering = bob.start_signed_in("answer");
    (alice.start(words), answering)
}

/// Debian's coturn, with credentials by the secret above.
struct Coturn {
    port: u16,
    _process: Process,
    _files: TempDir,
}

impl Coturn {
    /// `None`, said on standard error: it is not on this machine.
    fn start() -> Option<Self> {
        let Some(program) = program_on_path("turnserver") else {
            skipped("there is no coturn (turnserver) on this machine");
            return None;
        };
        let files = tempfile::tempdir().expect("a folder can be made");
        let port = free_port();
        let path = |name: &str| files.path().join(name).display().to_string();
        let lines = [
            "listening-ip=127.0.0.1".to_owned(),
            format!("listening-port={port}"),
            "relay-ip=127.0.0.1".to_owned(),
            "realm=ahoy.test".to_owned(),
            "use-auth-secret".to_owned(),
            format!("static-auth-secret={SECRET}"),
            "fingerprint".to_owned(),
            "no-tls".to_owned(),
            "no-dtls".to_owned(),
            // Loopback peers are refused otherwise, and that only together with this.
            "no-cli".to_owned(),
            "allow-loopback-peers".to_owned(),
            format!("userdb={}", path("turndb")),
            format!("pidfile={}", path("pid")),
            "log-file=stdout".to_owned(),
        ];
        let config = files.path().join("turnserver.conf");
        std::fs::write(&config, lines.join("\n")).expect("a file can be written");
        let process = Process::start("coturn", Command::new(program).arg("-c").arg(&config));
        wait_for_stun(port);
        Some(Self { port, _process: process, _files: files })
    }
}

/// Until a Binding request (RFC 8489 §5) is answered.
fn wait_for_stun(port: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out can be set");
    let mut request = [0; 20];
    request[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]);
    let until = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < until, "coturn does not answer on port {port}");
        // Nobody is there at first: sending fails then, or reading.
        let _ = socket.send_to(&request, ("127.0.0.1", port));
        if matches!(socket.recv(&mut [0; 512]), Ok(20..)) {
            return;
        }
    }
}

/// A port that is free over UDP and TCP now.
fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
        let port = udp.local_addr().expect("it is bound").port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn program_on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
