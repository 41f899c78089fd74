//! Node.js, which builds and tests the page, and the packages that the page is made of.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::cargo::{command, root};
use crate::setup;

/// npm is a script, and Windows starts one only by its full name.
const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };
/// What was installed last: a copy of the lock file that it was installed from.
const INSTALLED: &str = "ui/node_modules/installed-lock.json";

/// `npm` with `arguments`, in the page's folder.
pub(crate) fn npm(arguments: &[&str]) -> Command {
    let mut npm = command(NPM);
    npm.args(arguments).current_dir(root().join("ui"));
    npm
}

/// The command line of Tauri that the page's packages bring, in the repository's root.
pub(crate) fn tauri(arguments: &[&str]) -> anyhow::Result<Command> {
    let script = "ui/node_modules/@tauri-apps/cli/tauri.js";
    ensure!(root().join(script).is_file(), "{script} is not there; `npm ci` in ui/ brings it");
    let mut tauri = command("node");
    tauri.arg(script).args(arguments);
    Ok(tauri)
}

/// Sees that Node.js and npm are here and the page's packages are those of its lock file.
pub(crate) fn install() -> anyhow::Result<()> {
    install_node()?;
    let lock = fs::read(root().join("ui/package-lock.json")).context("ui/package-lock.json")?;
    let installed = root().join(INSTALLED);
    if fs::read(&installed).is_ok_and(|before| before == lock) {
        return Ok(());
    }
    println!("running: npm ci in ui/, for what the page is made of");
    let status = npm(&["ci", "--no-audit", "--no-fund"]).status().context("cannot run npm")?;
    ensure!(status.success(), "npm could not install the page's packages ({status}); its output above says why");
    fs::write(&installed, lock).with_context(|| format!("cannot write {}", installed.display()))
}

fn install_node() -> anyhow::Result<()> {
    let here = output(command("node").arg("--version"));
    if here.as_deref().is_some_and(is_recent) && output(command(NPM).arg("--version")).is_some() {
        return Ok(());
    }
    match &here {
        Some(version) => {
            println!("This machine has Node.js {}, or no npm: the page wants 20.19 or later", version.trim())
        }
        None => println!("This machine lacks Node.js (20.19 or later) and npm: they build the page"),
    }
    let packed = output(command("apt-cache").args(["show", "--no-all-versions", "nodejs"]));
    if packed.as_deref().and_then(packed_version).is_none_or(|version| !is_recent(version)) {
        bail!(
            "install Node.js 20.19, 22.12 or later with npm from https://nodejs.org/en/download and run this again\
             (this system's packages, if it has any, are too old)"
        );
    }
    setup::apt_install_all(&["nodejs", "npm"])
}

/// What a program says, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    if output.status.success() { String::from_utf8(output.stdout).ok() } else { None }
}

/// The version in what `apt-cache show` says.
fn packed_version(shown: &str) -> Option<&str> {
    shown.lines().find_map(|line| line.strip_prefix("Version: "))
}

/// Whether Vite, which builds the page, runs on this Node.js: from 20.19 on, of 22 from 22.12 on, not on 21 or 23.
fn is_recent(version: &str) -> bool {
    let mut numbers = version.trim().trim_start_matches('v').split(['.', '+', '-', '~']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return false };
    match major {
        20 => minor >= 19,
        22 => minor >= 12,
        _ => major >= 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_of_debian_12_is_too_old_and_that_of_debian_13_is_not() {
        for version in ["v20.19.0\n", "v22.12.0", "v24.0.1", "20.19.2+dfsg-1"] {
            assert!(is_recent(version), "{version}");
        }
        for version in ["18.20.4+dfsg-1~deb12u1", "v20.18.3", "v21.7.0", "v22.11.0", "v23.1.0", "", "node"] {
            assert!(!is_recent(version), "{version}");
        }
    }

    #[test]
    fn what_apt_would_install_is_read_from_what_it_shows() {
        let shown = "Package: nodejs\nVersion: 20.19.2+dfsg-1\nDepends: libc6 (>= 2.36)\n";
        assert_eq!(packed_version(shown), Some("20.19.2+dfsg-1"));
        assert_eq!(packed_version(""), None);
    }
}
