//! A guest in Python (`tests/peers/guest.py`, on aiortc), with its libraries in a virtual environment under the target
//! folder, made at first use and again when `requirements.txt` changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::media::Source;
use super::page::{self, Page};
use super::process::Process;
use super::programs::target_folder;
use super::{Guest, Server, skipped};

/// A few dozen megabytes come over the network.
const INSTALL_DEADLINE: Duration = Duration::from_secs(300);

/// In the folder of an environment.
const PYTHON_THERE: &str = "bin/python";

/// A copy of what was asked for. Written last: an environment that has it is whole.
const INSTALLED: &str = "installed.txt";

/// Starts a guest that shows and says `source`, and signs it in. `None`, and why on standard error: this machine has no
/// Python with venv, or the libraries cannot be had.
#[must_use]
#[track_caller]
pub fn open(server: &Server, username: &str, source: &Source) -> Option<Guest> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let python = match PYTHON.get_or_init(|| environment(&target_folder().join("python"), &requirements())) {
        Ok(python) => python,
        Err(why) => {
            skipped(format_args!("no Python peer: {why}"));
            return None;
        }
    };
    let page = Page::listen();
    let mut command = Command::new(python);
    command.arg(page::folder().join("guest.py")).arg(page.drive_url()).arg(&source.clip).arg(&source.speech);
    Some(Guest::start(&page, &mut command, &server.url(), username))
}

/// The interpreter of a virtual environment in `folder` that has what the file `requirements` names.
///
/// # Errors
/// Why there is none, in words.
pub fn environment(folder: &Path, requirements: &Path) -> Result<PathBuf, String> {
    if let Some(python) = made(folder, requirements) {
        return Ok(python);
    }
    let python = folder.join(PYTHON_THERE);
    run("python3 -m venv", Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "15"]);
    run("pip install", pip.arg("--requirement").arg(requirements))?;
    let installed = folder.join(INSTALLED);
    fs::copy(requirements, &installed).map_err(|error| format!("{}: {error}", installed.display()))?;
    Ok(python)
}

/// The same, if it was made before.
#[must_use]
pub fn made(folder: &Path, requirements: &Path) -> Option<PathBuf> {
    let [wanted, there] = [fs::read(requirements), fs::read(folder.join(INSTALLED))];
    let python = folder.join(PYTHON_THERE);
    (python.exists() && wanted.ok()? == there.ok()?).then_some(python)
}

fn requirements() -> PathBuf {
    page::folder().join("requirements.txt")
}

fn run(name: &str, command: &mut Command) -> Result<(), String> {
    let found = Command::new(command.get_program()).arg("--version").output();
    found.map_err(|error| format!("{name} does not start: {error}"))?;
    let mut process = Process::start(name, command);
    let status = process.wait(INSTALL_DEADLINE);
    if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}:\n{}", process.errors())) }
}
