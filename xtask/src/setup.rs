//! Set-up: finds what building and testing need and this machine lacks, says what it is for, and installs it.
//! By apt-get where that exists; elsewhere it says what to install and stops. Rust itself is there, else this would not run.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::cargo::{cargo, command};
use crate::deny;

/// A program that must be on the PATH, and the Debian package that brings it.
struct Tool {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        program: "c++",
        package: "g++",
        why: "compiles openh264 (C++), libopus and SQLite (C) from the sources in their crates",
    },
    Tool { program: "cmake", package: "cmake", why: "configures libopus" },
    Tool { program: "make", package: "make", why: "builds libopus for cmake" },
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    Tool {
        program: "nasm",
        package: "nasm",
        why: "assembles openh264's fast paths; without it H.264 costs two to three times the processor time",
    },
    Tool { program: "git", package: "git", why: "fetches the database of security advisories for cargo deny" },
];

/// Parts of the Rust toolchain: the cargo command and rustup's name for it.
const COMPONENTS: [(&str, &str); 2] = [("fmt", "rustfmt"), ("clippy", "clippy")];

/// Leaves the machine ready to build and test, or says in its error what is missing.
pub(crate) fn run() -> anyhow::Result<()> {
    install_tools()?;
    install_components()?;
    deny::install()?;
    println!("set-up: everything needed is here");
    Ok(())
}

fn install_tools() -> anyhow::Result<()> {
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !is_on_path(tool.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("This machine lacks:");
    for tool in &missing {
        println!("  {:<8} (package {}) {}", tool.program, tool.package, tool.why);
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let packages = packages.join(" ");
    ensure!(
        is_on_path("apt-get"),
        "install the programs above and run this again (here is no apt-get to do it with; on Debian the packages are: {packages})"
    );
    let commands = [
        "apt-get update".to_owned(),
        format!("apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 {packages}"),
    ];
    let Some(become_root) = way_to_root() else {
        bail!("run this as root, then `cargo xtask` again:  {}", commands.join(" && "));
    };
    for line in commands {
        let line = format!("{become_root}{line}");
        println!("running: {line}");
        let status = command("sh")
            .args(["-c", &line])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("cannot run sh")?;
        ensure!(status.success(), "`{line}` failed ({status}); its output above says why");
    }
    match missing.iter().find(|tool| !is_on_path(tool.program)) {
        Some(tool) => bail!("{} is still not on the PATH, though {} was installed", tool.program, tool.package),
        None => Ok(()),
    }
}

fn install_components() -> anyhow::Result<()> {
    for (name, component) in COMPONENTS {
        if succeeds(cargo(name).arg("--version")) {
            continue;
        }
        println!("This Rust toolchain lacks {component}: cargo xtask test runs `cargo {name}`");
        ensure!(
            is_on_path("rustup"),
            "install {component} for this Rust toolchain and run this again (here is no rustup to do it with)"
        );
        println!("running: rustup component add {component}");
        let status = command("rustup").args(["component", "add", component]).status().context("cannot run rustup")?;
        ensure!(status.success(), "rustup could not add {component} ({status})");
    }
    Ok(())
}

/// What to put before a command that needs root: nothing, or `sudo` where it asks no password. `None`: there is no way.
fn way_to_root() -> Option<&'static str> {
    let id = command("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() == b"0" {
        return Some("");
    }
    // `env`, because sudo drops the variables it is given.
    succeeds(command("sudo").args(["-n", "true"])).then_some("sudo -n env DEBIAN_FRONTEND=noninteractive ")
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn is_on_path(program: &str) -> bool {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(&file).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_the_path_and_an_absent_one_is_not() {
        assert!(is_on_path("rustc"));
        assert!(!is_on_path("no-such-program-anywhere"));
    }
}
