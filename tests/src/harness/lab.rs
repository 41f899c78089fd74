//! Two peers on an emulated link: a running `ahoy-link`, whose two network namespaces a test enters. Needs root, a TUN device
//! and `ip`; a machine without them skips.

mod forward;

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process::Process;
use super::programs::program;
use super::{DEADLINE, skipped};
use crate::emulator::Interval;
use forward::Forward;

/// The running emulator. Everything ends when it is dropped, except what still runs in the namespaces: that is cut off.
#[derive(Debug)]
pub struct Lab {
    process: Process,
    sides: [Side; 2],
    log: Option<PathBuf>,
    forwards: Mutex<Vec<Forward>>,
}

/// Which link.
#[derive(Debug, Clone)]
pub struct LinkChoice {
    /// Where it comes from.
    pub source: Source,
    /// Repeats what is lost and how a random rate walks.
    pub seed: u64,
}

/// Where a link comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A committed one by its name.
    Profile(String),
    /// A recorded one: from A to B, and back.
    Traces(PathBuf, PathBuf),
}

/// Who is on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// One of the two.
    A,
    /// The other.
    B,
}

/// What happened to what one end sent, between two times of the clock.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// How much it sent.
    pub bytes_in: u64,
    /// How much arrived.
    pub bytes_out: u64,
    /// How many packets were lost.
    pub lost: u64,
    /// How many packets were dropped, as [`Interval::dropped`] says.
    pub dropped: u64,
    /// How long packets stood in the queue, of those that passed it: half of them less than this.
    pub queueing_p50_ms: f64,
    /// 95 % of them less than this.
    pub queueing_p95_ms: f64,
    /// None longer than this.
    pub queueing_max_ms: f64,
}

#[derive(Debug)]
struct Side {
    namespace: File,
    address: Ipv4Addr,
}

/// With this `ahoy-link` says that the machine lacks something.
const LACKING: i32 = 3;

impl LinkChoice {
    /// A committed link, with a seed that is always the same.
    #[must_use]
    pub fn profile(name: &str) -> Self {
        Self { source: Source::Profile(name.to_owned()), seed: 1 }
    }

    /// A recorded link.
    #[must_use]
    pub fn traces(up: &Path, down: &Path) -> Self {
        Self { source: Source::Traces(up.into(), down.into()), seed: 1 }
    }
}

impl Lab {
    /// Starts the emulator; it logs to `LOG.ab` and `LOG.ba` what A and B send. `None`: this machine cannot have one, which
    /// is said.
    ///
    /// # Panics
    /// When there is no such link.
    #[must_use]
    #[track_caller]
    pub fn start(link: &LinkChoice, log: Option<&Path>) -> Option<Self> {
        Self::start_with(link, log, &[])
    }

    /// The same, with more of `ahoy-link`'s arguments.
    ///
    /// # Panics
    /// When there is no such link.
    #[must_use]
    #[track_caller]
    pub fn start_with(link: &LinkChoice, log: Option<&Path>, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(program("ahoy-link"));
        match &link.source {
            Source::Profile(name) => command.arg("--profile").arg(name),
            Source::Traces(up, down) => command.arg("--trace").arg(up).arg(down),
        };
        command.args(["--seed", &link.seed.to_string()]).args(arguments);
        if let Some(log) = log {
            command.arg("--log").arg(log);
        }
        let mut process = Process::start_listening("the link", &mut command);
        // It says where the ends are, or ends and says nothing.
        let Some(ready) = process.first_line(DEADLINE) else {
            let status = process.wait(DEADLINE);
            let errors = process.errors();
            assert!(status.code() == Some(LACKING), "the link ended with {status}: {errors}");
            skipped(errors);
            return None;
        };
        let fields: Vec<&str> = ready.split(' ').collect();
        let ["ready", namespace_a, namespace_b, address_a, address_b] = fields[..] else {
            panic!("the link says {ready:?}");
        };
        let sides = [(namespace_a, address_a), (namespace_b, address_b)].map(|(namespace, address)| Side {
            namespace: File::open(namespace).expect("the link has made a namespace"),
            address: address.parse().expect("the link says an address"),
        });
        Some(Self { process, sides, log: log.map(Path::to_owned), forwards: Mutex::default() })
    }

    /// Runs `f` with this thread in the namespace of that end: sockets that it opens and programs and threads that it starts
    /// belong there and stay there. Afterwards the thread is where it was.
    ///
    /// # Panics
    /// When the thread cannot move.
    pub fn enter<T>(&self, end: End, f: impl FnOnce() -> T) -> T {
        let here = File::open("/proc/thread-self/ns/net").expect("/proc is there");
        move_into(&self.side(end).namespace).expect("who starts a link may enter its namespaces");
        let _back = Back(here);
        f()
    }

    /// Under which address the other end sees that one.
    #[must_use]
    pub fn address(&self, end: End) -> Ipv4Addr {
        self.side(end).address
    }

    /// A way past the link for signaling: an address of the loopback at that end, whose TCP connections lead to `to` outside
    /// of the lab. Each byte takes `one_way`, and none is lost. Opening a connection takes no time.
    ///
    /// # Panics
    /// When there are no sockets or threads.
    #[must_use]
    pub fn forward(&self, end: End, to: SocketAddr, one_way: Duration) -> SocketAddr {
        let forward = self.enter(end, || Forward::bind(one_way)).start(to);
        let address = forward.address();
        self.forwards.lock().unwrap_or_else(PoisonError::into_inner).push(forward);
        address
    }

    /// Starts the clock of the profile and the log, anew.
    ///
    /// # Panics
    /// When the emulator has ended.
    #[track_caller]
    pub fn begin(&mut self) {
        let begun = |lines: &[String]| lines.iter().filter(|line| *line == "begun").count();
        let before = begun(&self.process.output());
        self.process.write_line("begin");
        self.process.wait_for("its clock began", DEADLINE, |lines| (begun(lines) > before).then_some(()));
    }

    /// The emulator's process, to see what it computes.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What became of what that end has sent, by tenths of a second since the clock began.
    ///
    /// # Panics
    /// When nothing is logged, or the emulator has ended.
    #[must_use]
    pub fn intervals(&self, from: End) -> Vec<Interval> {
        let log = self.log.as_deref().expect("the link was started with a log");
        let direction = match from {
            End::A => "ab",
            End::B => "ba",
        };
        let mut path = log.as_os_str().to_owned();
        path.push(format!(".{direction}"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.assert_running();
        // The last line may not be there as a whole.
        text.lines().filter_map(Interval::from_line).collect()
    }

    /// What became of what that end has sent since the clock began, up to now or the last tenth of a second.
    ///
    /// # Panics
    /// When nothing is logged, or the emulator has ended.
    #[must_use]
    pub fn summary(&self, from: End) -> Summary {
        Summary::of(&self.intervals(from))
    }

    /// With the emulator, its log ends too: what it says is not all that happened.
    fn assert_running(&self) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process has a number");
        // Leaves it to its owner to wait for it.
        let now = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Some(ended) = waitid(WaitId::Pid(pid), now).expect("a child can be waited for") else { return };
        let how = ended.exit_status().map_or("a signal".to_owned(), |code| format!("status {code}"));
        panic!("the link has ended with {how}: {}", self.process.errors());
    }

    fn side(&self, end: End) -> &Side {
        match end {
            End::A => &self.sides[0],
            End::B => &self.sides[1],
        }
    }
}

impl End {
    /// Who is on the other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl Summary {
    /// Of some of a log.
    #[must_use]
    pub fn of(intervals: &[Interval]) -> Self {
        let sum = |field: fn(&Interval) -> u64| intervals.iter().map(field).sum();
        let mut queueing_ms: Vec<f64> = intervals.iter().flat_map(|one| one.queueing_ms.iter().copied()).collect();
        queueing_ms.sort_by(f64::total_cmp);
        let below = |share: f64| {
            let at = (queueing_ms.len().saturating_sub(1) as f64 * share).round() as usize;
            queueing_ms.get(at).copied().unwrap_or(0.0)
        };
        Self {
            bytes_in: sum(|one| one.bytes_in),
            bytes_out: sum(|one| one.bytes_out),
            lost: sum(|one| one.lost),
            dropped: sum(|one| one.dropped),
            queueing_p50_ms: below(0.5),
            queueing_p95_ms: below(0.95),
            queueing_max_ms: below(1.0),
        }
    }
}

/// Brings the thread back into the namespace it came from, also when the test fails meanwhile.
struct Back(File);

impl Drop for Back {
    fn drop(&mut self) {
        move_into(&self.0).expect("a thread may go back where it came from");
    }
}

fn move_into(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}
