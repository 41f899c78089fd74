//! How often something happened, and how busy the server and this program were meanwhile; and what a server holds in
//! memory.

use std::fs;
use std::time::{Duration, Instant};

use ahoy_tests::harness::family::{Member, members};
use serde_json::{Value, json};

use crate::figures::rounded;

/// Runs since it was started.
pub(super) struct Meter<'a> {
    server: &'a Member,
    load: Member,
    began: Instant,
    before: [Duration; 2],
}

/// What a meter saw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How often it happened a second.
    pub(super) per_s: f64,
    /// How often for each second that the server computed.
    pub(super) per_cpu_s: f64,
    /// The part of one core's time that the server took.
    pub(super) server_busy: f64,
    /// The part of one core's time that the load took.
    pub(super) load_busy: f64,
}

/// What is in memory: the server's own, and what the kernel holds for everybody.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) server_kb: f64,
    pub(super) kernel_kb: f64,
}

impl<'a> Meter<'a> {
    pub(super) fn start(server: &'a Member) -> Self {
        let load = members(std::process::id()).into_iter().next().expect("this program runs");
        Self { before: [server.computed(), load.computed()], server, load, began: Instant::now() }
    }

    /// It happened `count` times since the start.
    pub(super) fn stop(self, count: u64) -> Pace {
        let over_s = self.began.elapsed().as_secs_f64();
        let now = [self.server.computed(), self.load.computed()];
        let [server_s, load_s] = [0, 1].map(|side| now[side].saturating_sub(self.before[side]).as_secs_f64());
        Pace {
            per_s: count as f64 / over_s,
            per_cpu_s: count as f64 / server_s,
            server_busy: server_s / over_s,
            load_busy: load_s / over_s,
        }
    }
}

impl Pace {
    pub(super) fn to_json(self) -> Value {
        json!({
            "per_s": rounded(self.per_s),
            "per_server_cpu_s": rounded(self.per_cpu_s),
            "server_busy": rounded(self.server_busy),
            "load_busy": rounded(self.load_busy),
        })
    }
}

impl Memory {
    /// As it is now.
    pub(super) fn now(server: &Member) -> Self {
        Self { server_kb: server.memory_kb() as f64, kernel_kb: kernel_kb() }
    }

    /// What was added since `before`, for each of so many.
    pub(super) fn since(self, before: Self, connections: usize) -> Self {
        let each = |now: f64, before: f64| (now - before) / connections as f64;
        Self { server_kb: each(self.server_kb, before.server_kb), kernel_kb: each(self.kernel_kb, before.kernel_kb) }
    }
}

/// The most that a process ever had in memory, what it shares counted whole, in kilobytes. NaN where Linux does not tell.
pub(super) fn peak_kb(server: &Member) -> f64 {
    status_kb(server, "VmHWM:")
}

/// What it has in memory now, counted so.
pub(super) fn resident_kb(server: &Member) -> f64 {
    status_kb(server, "VmRSS:")
}

fn status_kb(server: &Member, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id)).unwrap_or_default();
    let value = status.lines().find_map(|text| text.strip_prefix(line));
    value.and_then(|rest| rest.trim().split(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
}

/// The kernel's own objects (sockets, files, directory entries), and what waits in TCP's buffers. NaN where Linux does
/// not tell.
fn kernel_kb() -> f64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let slab = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"));
    let slab_kb = slab.and_then(|rest| rest.trim().split(' ').next()?.parse().ok()).unwrap_or(f64::NAN);
    let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"));
    let pages = tcp.and_then(|rest| rest.split_once("mem ")?.1.split(' ').next()?.parse().ok()).unwrap_or(f64::NAN);
    slab_kb + pages * page_kb()
}

/// How large a page is, in which TCP's buffers are counted.
fn page_kb() -> f64 {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let size = smaps.lines().find_map(|line| line.strip_prefix("KernelPageSize:"));
    size.and_then(|rest| rest.trim().split(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
}
