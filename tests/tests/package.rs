//! The Debian package as somebody gets it: installed with apt, started from its entry in the desktop's menu, used with the
//! machine's own camera and sound card, and removed again. Needs root, as installing does.

use std::env;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ahoy_tests::harness::camera::FakeCamera;
use ahoy_tests::harness::cli::Cli;
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::likeness::Clip;
use ahoy_tests::harness::media::unpack;
use ahoy_tests::harness::process::Process;
use ahoy_tests::harness::programs::cargo;
use ahoy_tests::harness::pulse::Pulse;
use ahoy_tests::harness::webdriver::Inspector;
use ahoy_tests::harness::window::{SIZE, View, Window};
use ahoy_tests::harness::{DEADLINE, Server, skipped};
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// Its name, and that of its entry in the menu.
const NAME: &str = "ahoy";
const ENTRY: &str = "/usr/share/applications/Ahoy.desktop";
const PROGRAM: &str = "/usr/bin/ahoy";

/// How long it may take to build what is not built yet, and to install what is missing.
const BUILDING: Duration = Duration::from_secs(30 * 60);

#[test]
fn the_package_is_installed_started_from_the_menu_calls_and_is_removed_without_a_trace() {
    let Some(mut machine) = Machine::prepare() else { return };
    let package = build();
    apt(&["install", package.to_str().expect("a plain path")]);
    let installed = Installed;
    let files = output("dpkg-query", &["--listfiles", NAME]);
    let files: Vec<PathBuf> = files.lines().map(PathBuf::from).filter(|path| path.is_file()).collect();
    for file in [ENTRY, PROGRAM, "/usr/share/icons/hicolor/128x128/apps/ahoy.png", "/usr/share/doc/ahoy/copyright"] {
        assert!(files.iter().any(|path| path == Path::new(file)), "no {file} in {files:?}");
    }
    machine.call_echo_from_the_menu();
    drop(installed);
    let left: Vec<&PathBuf> = files.iter().filter(|path| path.exists()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert_eq!(status(), None, "the package is still known");
}

/// What the call needs of this machine.
struct Machine {
    desktop: Desktop,
    inspector: Inspector,
    clip: PathBuf,
    _camera: FakeCamera,
    _sound: Pulse,
    _folder: tempfile::TempDir,
}

/// The package, as long as this lives.
struct Installed;

/// A program that the menu started.
struct Started(u32);

impl Machine {
    /// `None`, and why on standard error, where it cannot be tried.
    fn prepare() -> Option<Self> {
        let is_here = |program: &str| {
            let path = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        if !geteuid().is_root() {
            skipped("only root can install a package");
            return None;
        }
        if let Some(missing) = ["apt-get", "dpkg-query", "gio"].into_iter().find(|program| !is_here(program)) {
            skipped(format_args!("no {missing} to install a package and to start it from the menu"));
            return None;
        }
        if status().is_some() {
            skipped("an ahoy is installed here, and is somebody's own");
            return None;
        }
        // Connecting sends nothing; it finds the way that packets would take. The address is for documents (RFC 5737).
        if UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.connect("192.0.2.1:9")).is_err() {
            skipped("no network, over which a program without arguments calls");
            return None;
        }
        let (sound, inspector) = (Pulse::with_devices()?, Inspector::new()?);
        let folder = tempfile::tempdir().expect("a folder can be made");
        let clip = unpack(folder.path()).plain.clip;
        let camera = FakeCamera::new(&clip, "YUYV 640 480 30")?;
        let desktop = Desktop::start()?.with_environment(sound.environment()).with_environment(camera.environment());
        Some(Self { desktop, inspector, clip, _camera: camera, _sound: sound, _folder: folder })
    }
}

impl Machine {
    /// As somebody would who has just installed it: no argument, the default devices, everything typed.
    #[track_caller]
    fn call_echo_from_the_menu(&mut self) {
        let server = Server::start();
        let echo = Cli::new(&server, "echo").over_the_network().start_signed_in("echo");
        let mut launch = self.desktop.command("gio");
        launch.args(["launch", ENTRY]).envs(self.inspector.environment());
        let mut launched = Process::start("the menu's entry", &mut launch);
        let started = Started::find();
        let alice = Window::sit_down("alice", &self.desktop, &self.inspector);
        alice.sign_in(&server);
        alice.call("echo");
        let mut clip = Clip::open(&self.clip);
        let deadline = Instant::now() + DEADLINE;
        loop {
            let seen = clip.find(&alice.look(View::Remote), SIZE.0);
            if seen.ssim >= 0.80 {
                break;
            }
            assert!(Instant::now() < deadline, "what comes back is not what the camera shows: {seen:?}");
        }
        alice.click("Hang up");
        echo.wait_for("ended");
        drop(alice);
        started.ask_to_end();
        // Its outputs end when the last program that has them does.
        launched.wait(DEADLINE);
        let errors = launched.errors();
        assert!(!errors.contains("panicked"), "it panicked: {errors}");
    }
}

impl Started {
    /// The program from the package that runs now.
    #[track_caller]
    fn find() -> Self {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let processes = fs::read_dir("/proc").expect("Linux has it").flatten();
            let mut ours = processes
                .filter(|entry| fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == Path::new(PROGRAM)));
            if let Some(id) = ours.find_map(|entry| entry.file_name().to_str()?.parse().ok()) {
                return Self(id);
            }
            assert!(Instant::now() < deadline, "the menu's entry starts nothing");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// As the end of a session does.
    fn ask_to_end(&self) {
        self.send(Signal::TERM);
    }

    fn send(&self, signal: Signal) {
        let id = i32::try_from(self.0).ok().and_then(Pid::from_raw);
        // Fails when it has ended, which is what is wanted.
        let _ = id.map(|id| kill_process(id, signal));
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if thread::panicking() {
            self.send(Signal::KILL);
        }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        apt(&["purge", NAME]);
    }
}

/// Makes the package, and gives its path.
#[track_caller]
fn build() -> PathBuf {
    let mut packaging = Process::start("cargo xtask package", cargo().args(["xtask", "package", "--dev"]));
    let status = packaging.wait(BUILDING);
    assert!(status.success(), "the package cannot be made: {status}");
    let lines = packaging.output();
    let package = lines.iter().rev().find(|line| line.ends_with(".deb"));
    package.unwrap_or_else(|| panic!("no package is named")).into()
}

#[track_caller]
fn apt(arguments: &[&str]) {
    let mut command = Command::new("apt-get");
    // Others may be using it.
    command.args(["-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]).args(arguments);
    let status = Process::start("apt-get", command.env("DEBIAN_FRONTEND", "noninteractive")).wait(BUILDING);
    // A test that fails already says why in its own words.
    assert!(status.success() || thread::panicking(), "apt-get {arguments:?}: {status}");
}

/// What dpkg knows of the package, if anything.
fn status() -> Option<String> {
    let status = output("dpkg-query", &["--show", "--showformat=${Status}", NAME]);
    (!status.is_empty()).then_some(status)
}

/// What a program writes, nothing where it fails.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it is here");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
