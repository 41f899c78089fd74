//! A TURN server that others made.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use ahoy_tests::harness::process::Process;
use ahoy_tests::harness::{DEADLINE, skipped};
use tempfile::TempDir;

use crate::certificates::Authority;

/// Who may use it, as it stands in URLs for the command line.
pub(crate) const USER: &str = "alice:secret";

/// Between looks at what it does. It tells nobody when it is ready.
const PAUSE: Duration = Duration::from_millis(20);

/// A running one.
pub(crate) struct Coturn {
    process: Process,
    ip: IpAddr,
    plain: u16,
    tls: u16,
    _folder: TempDir,
}

impl Coturn {
    /// Starts it on free ports of `ip`, with a certificate for that. `None`: there is none on this machine.
    pub(crate) fn start(ip: &str, authority: &Authority) -> Option<Self> {
        let ip: IpAddr = ip.parse().expect("an address");
        if Command::new("turnserver").arg("--version").output().is_err_and(|error| error.kind() == ErrorKind::NotFound)
        {
            skipped("there is no `turnserver` (package coturn)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let [certificate, key] = authority.leaf(&ip.to_string()).pem();
        std::fs::write(path("certificate.pem"), certificate).expect("a file can be written");
        std::fs::write(path("key.pem"), key).expect("a file can be written");
        let [plain, tls] = free_ports(ip);
        let options = [
            format!("listening-ip={ip}"),
            format!("listening-port={plain}"),
            format!("tls-listening-port={tls}"),
            format!("relay-ip={ip}"),
            "realm=ahoy.test".into(),
            "lt-cred-mech".into(),
            format!("user={USER}"),
            "fingerprint".into(),
            format!("cert={}", path("certificate.pem")),
            format!("pkey={}", path("key.pem")),
            "no-dtls".into(),
            "no-cli".into(),
            "allow-loopback-peers".into(),
            format!("userdb={}", path("turndb")),
            format!("pidfile={}", path("pid")),
            "log-file=stdout".into(),
            "simple-log".into(),
            "verbose".into(),
        ];
        std::fs::write(path("turn.conf"), options.join("\n")).expect("a file can be written");
        let process = Process::start("coturn", Command::new("turnserver").args(["-c", &path("turn.conf")]));
        let deadline = Instant::now() + DEADLINE;
        while [plain, tls].iter().any(|port| TcpStream::connect(SocketAddr::new(ip, *port)).is_err()) {
            assert!(Instant::now() < deadline, "coturn does not listen");
            std::thread::sleep(PAUSE);
        }
        Some(Self { process, ip, plain, tls, _folder: folder })
    }

    pub(crate) fn stun(&self) -> String {
        format!("stun:{}:{}", self.ip, self.plain)
    }

    pub(crate) fn udp(&self) -> String {
        format!("turn:{USER}@{}:{}", self.ip, self.plain)
    }

    pub(crate) fn tcp(&self) -> String {
        format!("{}?transport=tcp", self.udp())
    }

    pub(crate) fn tls(&self) -> String {
        format!("turns:{USER}@{}:{}", self.ip, self.tls)
    }

    /// Waits until every allocation that was made is over: its client gave it back, or went.
    pub(crate) fn forgets_all_allocations(&self) {
        self.process.wait_for("the end of all allocations", DEADLINE, |lines| {
            let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
            let made = count("ALLOCATE processed, success");
            (made > 0 && count("closed (2nd stage)") >= made).then_some(())
        });
    }
}

/// Two that nobody has, over TCP and hopefully over UDP.
fn free_ports(ip: IpAddr) -> [u16; 2] {
    let held = [0, 1].map(|_| TcpListener::bind((ip, 0)).expect("a port is free"));
    held.map(|listener| listener.local_addr().expect("it is bound").port())
}
