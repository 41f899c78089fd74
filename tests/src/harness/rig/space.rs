//! A network namespace without a name: it lasts as long as its owner or anything that runs in it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Command, Stdio, id};
use std::{io, thread};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

#[derive(Debug)]
pub(super) struct Space(File);

/// What a rig takes that this machine has not; `nft` only where addresses are translated.
pub(super) fn lacking(translates: bool) -> Option<String> {
    let mut programs = vec![("ip", "-V", "iproute2")];
    if translates {
        programs.push(("nft", "--version", "nftables"));
    }
    let runs = |program: &str, flag: &str| {
        Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    programs
        .into_iter()
        .find(|(program, flag, _)| !runs(program, flag))
        .map(|(program, _, package)| format!("a rig of networks takes the program `{program}` ({package})"))
}

impl Space {
    /// A new one with its loopback up, or why there can be none here.
    pub(super) fn new() -> Result<Self, String> {
        // On a thread that ends: it need not find its way back.
        let made = thread::spawn(|| {
            unshare().map_err(|error| format!("no network namespace can be made: {error} (it takes root)"))?;
            // Interfaces get no IPv6 addresses: neither routers nor server would know what to do with them.
            for (name, value) in [("ipv6/conf/default/disable_ipv6", "1"), ("ipv4/ip_forward", "0")] {
                let path = format!("/proc/sys/net/{name}");
                if fs::exists(&path).unwrap_or(false) {
                    fs::write(&path, value).map_err(|error| format!("{path} cannot be written: {error}"))?;
                }
            }
            own().map_err(|error| format!("/proc is not readable: {error}"))
        });
        let space = Self(made.join().expect("making a namespace does not panic")?);
        space.ip(&["link set lo up"]);
        Ok(space)
    }

    /// Runs `f` with this thread in the namespace, and brings it back, also when `f` panics.
    pub(super) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        let here = own().expect("/proc is there");
        move_into(&self.0).expect("who made a namespace may enter it");
        let _back = Back(here);
        f()
    }

    /// Passes on what is for others.
    pub(super) fn forward_packets(&self) {
        self.enter(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1")).expect("it could be written before");
    }

    /// Joins an interface here to one there, both still down.
    pub(super) fn join(&self, here: &str, other: &Self, there: &str) {
        let namespace = format!("/proc/{}/fd/{}", id(), other.0.as_raw_fd());
        self.ip(&[&format!("link add {here} type veth peer name {there} netns {namespace}")]);
    }

    /// Runs lines of `ip` in here.
    #[track_caller]
    pub(super) fn ip(&self, lines: &[&str]) {
        self.run(Command::new("ip").args(["-batch", "-"]), &lines.join("\n"));
    }

    /// Adds rules of the packet filter.
    #[track_caller]
    pub(super) fn nft(&self, rules: &str) {
        self.run(Command::new("nft").args(["-f", "-"]), rules);
    }

    #[track_caller]
    fn run(&self, command: &mut Command, input: &str) {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = self.enter(|| command.spawn()).expect("it ran before");
        child.stdin.take().expect("it was asked for").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("a child can be waited for");
        assert!(output.status.success(), "{input:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Brings the thread back into the namespace it came from.
struct Back(File);

impl Drop for Back {
    fn drop(&mut self) {
        move_into(&self.0).expect("a thread may go back where it came from");
    }
}

fn own() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

fn move_into(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Moves this thread into a new network namespace.
#[expect(deprecated, reason = "what makes it unsafe is unsharing file descriptors, and these stay shared")]
fn unshare() -> io::Result<()> {
    Ok(rustix::thread::unshare(UnshareFlags::NEWNET)?)
}
