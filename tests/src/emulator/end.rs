//! One end of the link: a network namespace of its own with a TUN device in it, and nothing else but its loopback. It lasts
//! as long as this program, and its namespace as long as anything uses it.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::thread;

use rustix::thread::UnshareFlags;
use tun_rs::{DeviceBuilder, SyncDevice};

const NAME: &str = "ahoy0";
/// The two ends and nobody else.
const PREFIX: u8 = 30;
const MTU: u16 = 1500;
/// How many packets may wait for the emulator to read them. More than its own queue: the machine is to drop none.
const UNREAD_PACKETS: u32 = 4096;

/// One of the two.
pub struct End {
    /// Reads and writes IP packets, and never waits.
    pub device: SyncDevice,
    /// Its address.
    pub address: Ipv4Addr,
    /// Holds the namespace.
    namespace: File,
}

impl End {
    /// Makes one.
    ///
    /// # Errors
    /// What this machine lacks for it.
    pub fn open(address: Ipv4Addr) -> Result<Self, String> {
        // On a thread that ends, as it cannot leave the namespace again without another right.
        thread::scope(|scope| scope.spawn(|| open(address)).join()).expect("opening does not panic")
    }

    /// The namespace as `nsenter --net=` takes it.
    #[must_use]
    pub fn namespace(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", id(), self.namespace.as_raw_fd()).into()
    }
}

fn open(address: Ipv4Addr) -> Result<End, String> {
    if !Path::new("/dev/net/tun").exists() {
        return Err("there is no /dev/net/tun, so no TUN device can be made".to_owned());
    }
    leave_for_new_namespace().map_err(|error| format!("no network namespace can be made: {error} (it takes root)"))?;
    // The link is one of IPv4. Where this cannot be written, what comes is left out when it is read.
    for which in ["all", "default"] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
    }
    let loopback = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    let loopback = loopback.map_err(|error| format!("the program `ip` (iproute2) does not start: {error}"))?;
    if !loopback.success() {
        return Err(format!("the loopback device does not come up: `ip` ended with {loopback}"));
    }
    let device = DeviceBuilder::new()
        .name(NAME)
        .ipv4(address, PREFIX, None)
        .mtu(MTU)
        .tx_queue_len(UNREAD_PACKETS)
        .build_sync()
        .and_then(|device| device.set_nonblocking(true).map(|()| device))
        .map_err(|error| format!("no TUN device can be made: {error}"))?;
    let namespace =
        File::open("/proc/thread-self/ns/net").map_err(|error| format!("/proc is not readable: {error}"))?;
    Ok(End { device, address, namespace })
}

/// Moves this thread into a new network namespace.
#[expect(deprecated, reason = "what makes it unsafe is unsharing file descriptors, and these stay shared")]
fn leave_for_new_namespace() -> io::Result<()> {
    Ok(rustix::thread::unshare(UnshareFlags::NEWNET)?)
}
