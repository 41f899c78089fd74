//! coturn in place of our own relay, with the very lines that `docs/relay.md` tells an operator to write: it refuses what ours
//! refuses. Where there is no coturn, that is said and nothing is tested.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use ahoy_server::turn::Secret;
use ahoy_server::turn::credentials::username;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{CHANNEL_BIND, CREATE_PERMISSION, Client, DEADLINE};

#[path = "../../src/turn/relay/peers/refused.rs"]
mod refused;
#[path = "../../../../tests/src/harness/skipped.rs"]
#[allow(unreachable_pub, reason = "it is a part of a library elsewhere")]
mod skipped;
use refused::REFUSED;
use skipped::skipped;

const PAGE: &str = include_str!("../../../../docs/relay.md");
const SECRET: &str = "a secret that only the tests share";
/// That the page's words stand for.
const ADDRESS: &str = "127.0.0.1";
/// As the tests' clients have it.
const REALM: &str = "ahoy";

#[test]
fn a19_coturn_as_the_page_sets_it_up_reaches_no_private_peer_either() {
    let Some(coturn) = Coturn::start() else { return };
    let secret = Secret::new(SECRET).unwrap();
    let expiry = unix_now() + 3_600;
    let (good, expired) = (username(expiry, "alice"), username(expiry - 7_200, "alice"));
    for (name, password) in [
        (&good, "guess".to_owned()),
        (&expired, secret.credential(&expired)),
        (&username(expiry, "bob"), secret.credential(&good)),
    ] {
        assert_eq!(Client::new(coturn.client(), name, &password).allocate(), Err(401), "{name}");
    }
    let mut families = [(1, "8.8.8.8"), (2, "2606:4700::1")].map(|(family, public)| {
        let mut client = Client::new(coturn.client(), &good, &secret.credential(&good));
        client.allocate_in(family).ok().map(|_| (client, public))
    });
    assert!(families[0].is_some(), "coturn gives no relay");
    // A machine may have no IPv6.
    for (client, public) in families.iter_mut().flatten() {
        let is_v4 = |address: IpAddr| address.is_ipv4();
        let public: IpAddr = public.parse().unwrap();
        // Else nothing would be shown by what follows.
        assert_eq!(client.code_of(CREATE_PERMISSION, SocketAddr::new(public, 5_000), &[]), None, "{public}");
        let own: IpAddr = ADDRESS.parse().unwrap();
        let listed = REFUSED.iter().map(|(text, _)| text.parse().unwrap()).chain([own]);
        for (number, peer) in (0..).zip(listed.filter(|peer| is_v4(*peer) == is_v4(public))) {
            let peer = SocketAddr::new(peer, 5_000);
            assert_eq!(client.code_of(CREATE_PERMISSION, peer, &[]), Some(403), "{peer}");
            let channel = [&(0x4000_u16 + number).to_be_bytes()[..], &[0, 0]].concat();
            assert_eq!(client.code_of(CHANNEL_BIND, peer, &[(0x000C, &channel)]), Some(403), "{peer}");
        }
    }
}

/// Seconds since 1970. coturn takes no credentials that hold for decades.
#[expect(clippy::disallowed_methods, reason = "credentials are about dates")]
fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

struct Coturn {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Coturn {
    fn start() -> Option<Self> {
        let Some(program) = on_path("turnserver") else {
            skipped("there is no coturn (turnserver) on this machine");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let port = free_port();
        let mut lines: Vec<String> = lines_of_the_page().filter_map(|line| here(line, port)).collect();
        if UdpSocket::bind("[::1]:0").is_ok() {
            lines.push("relay-ip=::1".to_owned());
        }
        // Beside what the page says: where this one keeps its files.
        lines.extend([format!("userdb={}", path("turndb")), format!("pidfile={}", path("pid"))]);
        lines.extend(["no-tls", "no-dtls", "log-file=stdout"].map(str::to_owned));
        std::fs::write(path("turn.conf"), lines.join("\n")).unwrap();
        let mut command = Command::new(program);
        command.args(["-c", &path("turn.conf")]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let address = SocketAddr::new(ADDRESS.parse().unwrap(), port);
        let started = Self { address, process: command.spawn().unwrap(), _folder: folder };
        started.answers();
        Some(started)
    }

    fn client(&self) -> UdpSocket {
        crate::udp(self.address)
    }

    /// Waits until a Binding request (RFC 8489 §5) is answered.
    fn answers(&self) {
        let socket = self.client();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut request = [0; 20];
        request[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]);
        let until = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < until, "coturn does not answer");
            // Nobody is there at first: sending fails then, or reading.
            let _ = socket.send(&request);
            if matches!(socket.recv(&mut [0; 512]), Ok(20..)) {
                return;
            }
        }
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The configuration that the page shows.
fn lines_of_the_page() -> impl Iterator<Item = &'static str> {
    let (_, behind) = PAGE.split_once("## coturn in its place").unwrap();
    let block = behind.lines().skip_while(|line| !line.starts_with("    "));
    block.take_while(|line| line.starts_with("    ")).map(str::trim)
}

/// A line of it as it is here; `None` for what is about certificates.
fn here(line: &str, port: u16) -> Option<String> {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    Some(match (name, value) {
        ("cert" | "pkey" | "tls-listening-port", _) => return None,
        ("listening-port", _) => format!("{name}={port}"),
        ("realm", _) => format!("{name}={REALM}"),
        ("static-auth-secret", _) => format!("{name}={SECRET}"),
        (_, "ADDRESS" | "RELAY-ADDRESS") => format!("{name}={ADDRESS}"),
        _ => line.to_owned(),
    })
}

/// A port that is free over UDP and TCP now.
fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind((ADDRESS, 0)).unwrap();
        let port = udp.local_addr().unwrap().port();
        if TcpListener::bind((ADDRESS, port)).is_ok() {
            return port;
        }
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}
