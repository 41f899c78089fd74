//! A program with the programs that it started: which they are, what they hold in memory, and how long they have computed.
//! As Linux tells it in `/proc`.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: u32,
    /// Its name, of which Linux keeps 15 letters.
    pub name: String,
}

/// The program itself, first, and all below it that run now.
#[must_use]
pub fn members(of: u32) -> Vec<Member> {
    let mut found = Vec::new();
    let mut next = vec![of];
    while let Some(id) = next.pop() {
        let Ok(name) = fs::read_to_string(format!("/proc/{id}/comm")) else { continue };
        found.push(Member { id, name: name.trim_end().to_owned() });
        let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            next.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

impl Member {
    /// The names of its threads but the first, of which Linux keeps 15 letters. One that was given none has the name of the
    /// thread that started it, and in the end the program's.
    #[must_use]
    pub fn threads(&self) -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id)).into_iter().flatten().flatten();
        let others = threads.filter(|thread| thread.file_name().to_str() != Some(&self.id.to_string()));
        let names = others.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
        names.map(|name| name.trim_end().to_owned()).collect()
    }

    /// What it holds in memory, what it shares divided among those who share it, in kilobytes. 0 when it has ended.
    #[must_use]
    pub fn memory_kb(&self) -> u64 {
        self.rollup_kb("Pss:")
    }

    /// What of its memory no file backs, in kilobytes: heap, stacks and what was written to. It does not change, as
    /// [`Self::memory_kb`] does, when somebody else starts or ends the same program. 0 when it has ended.
    #[must_use]
    pub fn anonymous_kb(&self) -> u64 {
        self.rollup_kb("Anonymous:")
    }

    fn rollup_kb(&self, field: &str) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id)).unwrap_or_default();
        let value = rollup.lines().find_map(|line| line.strip_prefix(field));
        value.and_then(|value| value.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
    }

    /// How long it has computed, all its threads together. 0 when it has ended.
    #[must_use]
    pub fn computed(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id)).unwrap_or_default();
        // The name in parentheses may hold anything. User and system time are fields 14 and 15 (proc_pid_stat(5)), the 11th
        // and 12th after it, in ticks of 10 ms: USER_HZ is 100 in the interface of Linux, whatever the kernel's own is.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    /// Ends it at once.
    ///
    /// # Panics
    /// When it has ended.
    pub fn kill(&self) {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw).expect("a number of Linux");
        kill_process(id, Signal::KILL).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }
}
