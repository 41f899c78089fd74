//! The machine of one person: a screen, a session bus and folders of its own, and what is plugged in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::bus::Bus;
use super::display::Display;

/// A desktop without anybody at it. It ends when the last of its clones is dropped.
#[derive(Debug, Clone)]
pub struct Desktop {
    /// What is seen.
    pub display: Arc<Display>,
    /// Where its programs speak with each other.
    pub bus: Arc<Bus>,
    home: Arc<TempDir>,
    environment: BTreeMap<String, OsString>,
}

/// Of somebody's real desktop, what would let a program under test out into it.
const OUTSIDE: [&str; 6] =
    ["WAYLAND_DISPLAY", "XAUTHORITY", "PULSE_SERVER", "PULSE_COOKIE", "PULSE_RUNTIME_PATH", "PIPEWIRE_RUNTIME_DIR"];

impl Desktop {
    /// Makes one. `None`, and a word about it, where something for it is not installed.
    ///
    /// # Panics
    /// When there is no room for its folders.
    #[must_use]
    pub fn start() -> Option<Self> {
        let (display, bus) = (Display::start()?, Bus::start()?);
        let home = tempfile::tempdir().expect("a folder can be made");
        let folders = [("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("XDG_DATA_HOME", "data")].into_iter().chain([
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_STATE_HOME", "state"),
        ]);
        let mut environment = BTreeMap::new();
        for (variable, name) in folders {
            let folder = home.path().join(name);
            fs::create_dir(&folder).expect("the folder is writable");
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
            environment.insert(variable.to_owned(), folder.into());
        }
        environment.insert("DISPLAY".into(), display.name().into());
        environment.insert("DBUS_SESSION_BUS_ADDRESS".into(), bus.address().into());
        environment.insert("GDK_BACKEND".into(), "x11".into());
        // Nothing here speaks with screen readers over the bus; a program need not look for one.
        environment.insert("NO_AT_BRIDGE".into(), "1".into());
        Some(Self { display: display.into(), bus: bus.into(), home: home.into(), environment })
    }

    /// Sets environment variables: what is plugged in.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (&'static str, PathBuf)>) -> Self {
        self.environment.extend(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
        self
    }

    /// A program that is started on it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        for name in OUTSIDE.into_iter().chain(["AHOY_LOG"]) {
            command.env_remove(name);
        }
        command.envs(&self.environment);
        command
    }

    /// A path in its own folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Its folder, for whoever must not outlive it.
    pub(super) fn home(&self) -> Arc<TempDir> {
        Arc::clone(&self.home)
    }
}
