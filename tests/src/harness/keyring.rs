//! A real keyring: the GNOME keyring as the Secret Service of a session bus of its own, so that nobody's own is touched.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use super::bus::Bus;
use super::process::Process;
use super::skipped;

/// The name of the Secret Service API Draft 0.2.
const NAME: &str = "org.freedesktop.secrets";
/// What unlocks it.
const PASSWORD: &str = "a test's password";

/// A session with a keyring. It ends with its owner.
#[derive(Debug)]
pub struct Keyring {
    bus: Bus,
    home: TempDir,
    daemon: Option<Process>,
}

impl Keyring {
    /// Starts a session whose keyring is not there yet. `None`, and a word about it, where there is none.
    ///
    /// # Panics
    /// When there is no room for its folders.
    #[must_use]
    pub fn absent() -> Option<Self> {
        if Command::new("gnome-keyring-daemon").arg("--version").stdout(Stdio::null()).status().is_err() {
            skipped("no keyring is installed (Debian's package is gnome-keyring)");
            return None;
        }
        let bus = Bus::start()?;
        let home = tempfile::tempdir().expect("a folder can be made");
        for (_, folder) in folders(&home) {
            fs::create_dir(&folder).expect("the folder is writable");
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
        }
        Some(Self { bus, home, daemon: None })
    }

    /// The same with its keyring, unlocked.
    #[must_use]
    pub fn unlocked() -> Option<Self> {
        let mut keyring = Self::absent()?;
        keyring.unlock();
        Some(keyring)
    }

    /// Starts the keyring, as a login does: what was in it before is in it again.
    pub fn unlock(&mut self) {
        let mut daemon = self.start(&["--unlock"]);
        daemon.write_line(PASSWORD);
        daemon.close_input();
        self.daemon = Some(daemon);
        self.bus.wait_for_owner(NAME, true);
    }

    /// Starts the keyring without its password. Nobody is there to be asked for it.
    pub fn lock(&mut self) {
        self.end();
        self.daemon = Some(self.start(&[]));
        self.bus.wait_for_owner(NAME, true);
    }

    /// Ends the keyring. What is in it stays on disk.
    pub fn end(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
            self.bus.wait_for_owner(NAME, false);
        }
    }

    /// Stops the keyring where it stands: it answers nobody.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.daemon.as_ref().expect("the keyring runs").signal(Signal::STOP);
    }

    /// Lets a frozen one go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.daemon.as_ref().expect("the keyring runs").signal(Signal::CONT);
    }

    /// Makes a program part of this session.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let mut environment: Vec<_> = folders(&self.home).into();
        environment.push(("DBUS_SESSION_BUS_ADDRESS", self.bus.address().into()));
        environment
    }

    fn start(&self, how: &[&str]) -> Process {
        let mut command = Command::new("gnome-keyring-daemon");
        command.args(["--foreground", "--components=secrets"]).args(how).envs(self.environment());
        // Of a real desktop: where a keyring runs already.
        command.env_remove("GNOME_KEYRING_CONTROL");
        Process::start_listening("keyring", &mut command)
    }
}

fn folders(home: &TempDir) -> [(&'static str, PathBuf); 3] {
    [("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("XDG_DATA_HOME", "data")]
        .map(|(variable, name)| (variable, home.path().join(name)))
}
