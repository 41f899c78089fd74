//! A sound card where there is none: a private PulseAudio with null sinks, which take sound at the pace of the clock
//! and give it back as a source. Also part of the tests of `ahoy-media`, by its path.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::Process;
use super::skipped::skipped;

/// How long the server may take for anything.
const DEADLINE: Duration = Duration::from_secs(20);

/// Where the server keeps its socket, in its folder.
const SOCKET: &str = "pulse/native";

/// A running sound server of our own; ends with its owner.
#[derive(Debug)]
pub struct Pulse {
    folder: TempDir,
    /// What it loads when it starts.
    script: String,
    server: Option<Process>,
}

impl Pulse {
    /// Starts a server that runs these lines of its script language, after opening its socket. `None`, and a word about
    /// it, where there is no PulseAudio.
    ///
    /// # Panics
    /// When it is there and does not start.
    #[must_use]
    pub fn start(lines: &[&str]) -> Option<Self> {
        let is_here = |program| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
        if !["pulseaudio", "pactl"].into_iter().all(is_here) {
            skipped("this needs pulseaudio and pulseaudio-utils");
            return None;
        }
        let folder = tempfile::tempdir().expect("there is a folder for temporary files");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("the folder is ours");
        let script = ["load-module module-native-protocol-unix auth-anonymous=1"]
            .iter()
            .chain(lines)
            .copied()
            .collect::<Vec<_>>();
        let mut pulse = Self { folder, script: script.join("\n") + "\n", server: None };
        pulse.start_again();
        Some(pulse)
    }

    /// Two speakers, of which `spk` is the default, and a microphone `vmic` that hears what is played to `mic`.
    #[must_use]
    pub fn with_devices() -> Option<Self> {
        Self::start(&[
            "load-module module-null-sink sink_name=spk rate=48000 channels=2 sink_properties=device.description=Speakers",
            "load-module module-null-sink sink_name=mic rate=48000 channels=1 sink_properties=device.description=MicFeed",
            "load-module module-remap-source master=mic.monitor source_name=vmic source_properties=device.description=Mic",
            "set-default-sink spk",
            "set-default-source vmic",
        ])
    }

    /// Starts the server after [`Self::kill`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        let script = self.folder.path().join("script.pa");
        fs::write(&script, &self.script).expect("the folder is writable");
        let mut command = self.command("pulseaudio");
        command.arg("-n").arg("-F").arg(script).args(["--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]);
        command.args(["--realtime=no", "--high-priority=no", "--disallow-exit=yes"]);
        self.server = Some(Process::start("pulseaudio", &mut command));
        // The script runs on after the socket is there.
        let began = Instant::now();
        while !self.answers() {
            assert!(began.elapsed() < DEADLINE, "pulseaudio does not answer");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the server at once, as a crash would.
    pub fn kill(&mut self) {
        self.server = None;
        // Left behind, and in the way of the next one.
        let _ = fs::remove_file(self.folder.path().join(SOCKET));
    }

    /// Stops the server without ending it, as a hung one: what is asked of it is never answered.
    pub fn freeze(&self) {
        if let Some(server) = &self.server {
            server.signal(Signal::STOP);
        }
    }

    /// Lets it go on after [`Self::freeze`].
    pub fn thaw(&self) {
        if let Some(server) = &self.server {
            server.signal(Signal::CONT);
        }
    }

    /// A program that takes this server for the machine's.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env("XDG_RUNTIME_DIR", self.folder.path()).env("HOME", self.folder.path());
        for other in ["PULSE_SERVER", "PULSE_RUNTIME_PATH", "PULSE_COOKIE", "DISPLAY", "DBUS_SESSION_BUS_ADDRESS"] {
            command.env_remove(other);
        }
        command
    }

    /// The environment in which a program takes this server for the machine's.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        ["XDG_RUNTIME_DIR", "HOME"].map(|name| (name, self.folder.path().to_owned()))
    }

    /// Asks the server for something, with `pactl`; its answer.
    ///
    /// # Panics
    /// When the server refuses or does not answer.
    pub fn ask(&self, arguments: &[&str]) -> String {
        let (status, pactl) = self.pactl(arguments);
        assert!(status.success(), "pactl {arguments:?}: {}", pactl.errors());
        pactl.output().join("\n").trim().to_owned()
    }

    /// Plugs in a speaker, which is a microphone too: `NAME.monitor`. Returns what [`Self::unplug`] takes.
    pub fn plug(&self, name: &str, description: &str) -> String {
        let (name, description) =
            (format!("sink_name={name}"), format!("sink_properties=device.description={description}"));
        self.ask(&["load-module", "module-null-sink", &name, &description])
    }

    /// Unplugs it.
    pub fn unplug(&self, plugged: &str) {
        self.ask(&["unload-module", plugged]);
    }

    /// Plays a WAV file to a sink, once.
    #[must_use]
    pub fn play(&self, sink: &str, wav: &Path) -> Process {
        Process::start("paplay", self.command("paplay").arg(format!("--device={sink}")).arg(wav))
    }

    /// Records what is played to a sink, as WAV, until the process is interrupted.
    #[must_use]
    pub fn record(&self, sink: &str, wav: &Path) -> Process {
        let device = format!("--device={sink}.monitor");
        let format = ["--file-format=wav", "--format=s16le", "--rate=48000", "--channels=1", "--latency-msec=20"];
        Process::start("parecord", self.command("parecord").arg(device).args(format).arg(wav))
    }

    fn answers(&self) -> bool {
        let (_, pactl) = self.pactl(&["list", "short", "sources"]);
        let sinks = self.script.matches("module-null-sink").count();
        // Each null sink has a monitor: when all are there the script has run.
        pactl.output().iter().filter(|source| source.contains(".monitor")).count() >= sinks
    }

    /// Runs `pactl` to its end, which does not come by itself when the server hangs.
    fn pactl(&self, arguments: &[&str]) -> (ExitStatus, Process) {
        let mut pactl = Process::start("pactl", self.command("pactl").args(arguments));
        (pactl.wait(DEADLINE), pactl)
    }
}
