//! For tests that run in the VM: its devices come and go, and its camera does what it is told.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::super::process::Process;

/// A driver of the kernel, and with it its devices, until it is dropped.
#[derive(Debug)]
pub struct Driver {
    module: &'static str,
}

/// For what takes a moment outside.
const SOON: Duration = Duration::from_secs(60);

impl Driver {
    /// Loads one. Its devices are there when this returns.
    ///
    /// # Panics
    /// Outside of the VM: the machine's own kernel is not played with.
    #[must_use]
    #[track_caller]
    pub fn load(module: &'static str, parameters: &[&str]) -> Self {
        let started_with = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        assert!(started_with.contains("ahoy-vm"), "this runs in the VM, which another test boots");
        run(Command::new("modprobe").arg(module).args(parameters));
        Self { module }
    }

    /// Vivid as one camera or several that have nothing but pictures.
    #[must_use]
    #[track_caller]
    pub fn cameras(count: usize) -> Self {
        // A set bit for each kind of device that a card has; 1 is capture.
        let kinds = vec!["0x1"; count].join(",");
        Self::load("vivid", &[&format!("n_devs={count}"), &format!("node_types={kinds}")])
    }

    /// Snd-aloop as a card that one program at a time can play to and record from: what is played on device 0 is heard on
    /// device 1, and the other way round.
    #[must_use]
    #[track_caller]
    pub fn sound_card() -> Self {
        Self::load("snd-aloop", &["pcm_substreams=1"])
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Fails after a failed test, whose programs still hold it; the VM goes with it.
        let _ = Command::new("rmmod").arg(self.module).status();
    }
}

/// `v4l2-ctl` with the first camera.
#[must_use]
pub fn v4l2_ctl(arguments: &[&str]) -> Command {
    let folder = std::env::var("folder").expect("the VM's first process tells where its programs lie");
    let mut command = Command::new(format!("{folder}/usr/bin/v4l2-ctl"));
    command.env("LD_LIBRARY_PATH", format!("{folder}/usr/lib/x86_64-linux-gnu"));
    command.arg("--device=/dev/video0").args(arguments);
    command
}

/// Sets controls of the first camera, such as `disconnect=1`.
#[track_caller]
pub fn set_controls(controls: &str) {
    run(&mut v4l2_ctl(&[&format!("--set-ctrl={controls}")]));
}

#[track_caller]
fn run(command: &mut Command) {
    let mut process = Process::start("a tool of the VM", command);
    let status = process.wait(SOON);
    assert!(status.success(), "{command:?} ended with {status}: {}", process.errors());
}
