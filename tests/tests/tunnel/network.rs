//! Two networks and that of the servers, with a router between them that drops all UDP, as in some offices and hotels, and all
//! between the two, as firewalls do. Four network namespaces, which takes root and iproute2. The servers are not on the
//! router: there sending would fail instead.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::thread;

use ahoy_tests::harness::process::Process;
use ahoy_tests::harness::programs::program;
use ahoy_tests::harness::{DEADLINE, skipped};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// A place in it.
#[derive(Clone, Copy)]
pub(crate) struct Place(&'static str);

const PLACES: [&str; 4] = ["a", "r", "b", "s"];

/// The namespaces. They go when this is dropped, and with them what is cut off by then.
pub(crate) struct Network {
    prefix: String,
}

/// A signaling server on the router.
pub(crate) struct Signaling {
    _process: Process,
    _accounts: TempDir,
    url: String,
}

impl Network {
    pub(crate) const LEFT: Place = Place("a");
    pub(crate) const SERVERS: Place = Place("s");
    pub(crate) const RIGHT: Place = Place("b");
    const ROUTER: Place = Place("r");
    /// Where the servers are reached from either side.
    pub(crate) const SERVER: &'static str = "10.78.3.2";

    /// `None`, and said why: this machine cannot have one.
    pub(crate) fn without_udp() -> Option<Self> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let network = Self { prefix: format!("ahoy{}-{number}-", std::process::id()) };
        match network.build() {
            Ok(()) => Some(network),
            Err(why) => {
                skipped(format!("no network without UDP can be made: {why}"));
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let [a, r, b, s] = PLACES.map(|place| format!("{}{place}", self.prefix));
        for name in [&a, &r, &b, &s] {
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        for (end, link, subnet) in [(&a, "ra", "10.78.1"), (&b, "rb", "10.78.2"), (&s, "rs", "10.78.3")] {
            ip(&format!("-n {r} link add {link} type veth peer name eth0 netns {end}"))?;
            for (name, device, host) in [(&r, link, 1), (end, "eth0", 2)] {
                ip(&format!("-n {name} address add {subnet}.{host}/24 dev {device}"))?;
                ip(&format!("-n {name} link set {device} up"))?;
            }
            ip(&format!("-n {end} route add default via {subnet}.1"))?;
        }
        self.inside(Self::ROUTER, || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
            .map_err(|error| format!("/proc/sys is not writable: {error}"))?;
        ip(&format!("-n {r} rule add pref 1 ipproto udp blackhole"))?;
        ip(&format!("-n {r} rule add pref 2 from 10.78.1.0/24 to 10.78.2.0/24 blackhole"))?;
        ip(&format!("-n {r} rule add pref 2 from 10.78.2.0/24 to 10.78.1.0/24 blackhole"))
    }

    /// Runs `f` there: sockets that it opens and programs that it starts belong there.
    pub(crate) fn inside<T: Send>(&self, place: Place, f: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}{}", self.prefix, place.0)).expect("it was made");
        // On a thread that ends, so that nobody has to come back.
        let entered = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("it may be entered");
            f()
        };
        let ended = thread::scope(|scope| scope.spawn(entered).join());
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub(crate) fn server(&self) -> Signaling {
        let accounts = tempfile::tempdir().expect("a folder can be made");
        let mut command = Command::new(program("ahoy-server"));
        let listen = format!("{}:0", Self::SERVER);
        // Its own relay would be another way through.
        command.args(["--listen", &listen, "--no-turn", "--data-dir"]).arg(accounts.path());
        let process = self.inside(Self::SERVERS, || Process::start("server", &mut command));
        let first = process.wait_for("its first line", DEADLINE, |lines| lines.first().cloned());
        let url = first.strip_prefix("listening on ").expect("it says where it listens").to_owned();
        Signaling { _process: process, _accounts: accounts, url }
    }
}

impl Signaling {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for place in PLACES {
            // It may not have been made.
            let _ = ip(&format!("netns delete {}{place}", self.prefix));
        }
    }
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output().map_err(|error| format!("`ip`: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("`ip {words}`: {}", said.trim())) }
}
