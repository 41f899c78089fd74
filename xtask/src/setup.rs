//! Set-up: finds what building and testing need and this machine lacks, says what it is for, and installs it.
//! By apt-get where that exists; elsewhere it says what to install and stops. Rust itself is there, else this would not run.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::cargo::{cargo, command};
use crate::{deny, node};

/// Something that must be on the machine, and the Debian package that brings it.
struct Need {
    sign: Sign,
    package: &'static str,
    why: &'static str,
    /// Without it nothing builds; the others only make tests skip, which they say.
    to_build: bool,
}

/// How it is known that something is there.
#[derive(Debug)]
enum Sign {
    /// A program on the PATH.
    Program(&'static str),
    /// A library with its headers, by the name that pkg-config knows.
    Library(&'static str),
    /// A module of Python's own library that Debian packs apart.
    PythonModule(&'static str),
    /// libclang, which has no pkg-config file: a shared library in one of the places where distributions put it.
    Libclang,
}

const NEEDS: &[Need] = &[
    Need::to_build(
        Sign::Program("c++"),
        "g++",
        "compiles openh264 (C++), libopus and SQLite (C) from the sources in their crates",
    ),
    Need::to_build(Sign::Program("cmake"), "cmake", "configures libopus"),
    Need::to_build(Sign::Program("make"), "make", "builds libopus for cmake"),
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    Need::to_build(
        Sign::Program("nasm"),
        "nasm",
        "assembles openh264's fast paths; without it H.264 costs two to three times the processor time",
    ),
    Need::to_build(Sign::Program("git"), "git", "fetches the database of security advisories for cargo deny"),
    #[cfg(target_os = "linux")]
    Need::to_build(Sign::Program("pkg-config"), "pkg-config", "finds the libraries below"),
    #[cfg(target_os = "linux")]
    Need::to_build(Sign::Library("alsa"), "libasound2-dev", "sound cards without a sound server"),
    #[cfg(target_os = "linux")]
    Need::to_build(Sign::Library("vpx"), "libvpx-dev", "VP8, for peers that have no H.264"),
    #[cfg(target_os = "linux")]
    Need::to_build(Sign::Libclang, "libclang-dev", "reads the headers of cameras (V4L2) and of libvpx"),
    #[cfg(target_os = "linux")]
    Need::to_build(Sign::Library("webkit2gtk-4.1"), "libwebkit2gtk-4.1-dev", "draws the page in the window, with GTK"),
    #[cfg(target_os = "linux")]
    Need::to_build(Sign::Library("dbus-1"), "libdbus-1-dev", "asks the desktop whether it is light or dark"),
    #[cfg(target_os = "linux")]
    Need::to_build(
        Sign::Library("ayatana-appindicator3-0.1"),
        "libayatana-appindicator3-dev",
        "shows the icon in the tray",
    ),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("Xvfb"), "xvfb", "is the screen of the tests"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("WebKitWebDriver"), "webkit2gtk-driver", "presses the buttons in the window"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("dbus-run-session"), "dbus", "carries notifications and second starts"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("gnome-keyring-daemon"), "gnome-keyring", "is the keyring of the tests"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("gio"), "libglib2.0-bin", "starts the installed app from its entry in the menu"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("ip"), "iproute2", "sets up the networks of the tests, emulated and the kernel's own"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("nft"), "nftables", "makes routers of them that translate addresses"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("faketime"), "faketime", "turns the wall clock of a peer"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("pulseaudio"), "pulseaudio", "is the sound card of the tests"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("pactl"), "pulseaudio-utils", "plugs and unplugs it, speaks into it and listens to it"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("turnserver"), "coturn", "is a TURN server that somebody else wrote"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("chromium"), "chromium", "is a peer that somebody else wrote"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::Program("firefox-esr"), "firefox-esr", "is another"),
    #[cfg(target_os = "linux")]
    Need::to_test(Sign::PythonModule("ensurepip"), "python3-venv", "runs the third, aiortc"),
];

impl Need {
    const fn to_build(sign: Sign, package: &'static str, why: &'static str) -> Self {
        Self { sign, package, why, to_build: true }
    }

    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "devices and browsers are tested on Linux"))]
    const fn to_test(sign: Sign, package: &'static str, why: &'static str) -> Self {
        Self { sign, package, why, to_build: false }
    }

    fn is_here(&self) -> bool {
        match self.sign {
            Sign::Program(program) => is_on_path(program),
            Sign::Library(name) => succeeds(command("pkg-config").args(["--exists", name])),
            Sign::PythonModule(name) => succeeds(command("python3").args(["-c", &format!("import {name}")])),
            Sign::Libclang => has_libclang(),
        }
    }
}

/// Parts of the Rust toolchain: the cargo command and rustup's name for it.
const COMPONENTS: [(&str, &str); 2] = [("fmt", "rustfmt"), ("clippy", "clippy")];

/// Leaves the machine ready to build and test, or says in its error what is missing.
pub(crate) fn run() -> anyhow::Result<()> {
    install_packages(NEEDS.iter().collect())?;
    node::install()?;
    install_components()?;
    deny::install()?;
    println!("set-up: everything needed is here");
    Ok(())
}

/// The same for building alone: what somebody needs who wants to run the app.
pub(crate) fn to_build() -> anyhow::Result<()> {
    install_packages(NEEDS.iter().filter(|need| need.to_build).collect())?;
    node::install()
}

/// Installs packages with apt-get, where that can be done here.
pub(crate) fn apt_install_all(packages: &[&str]) -> anyhow::Result<()> {
    apt_get_install(packages, &mut Lists::FromBefore)
}

fn install_packages(needs: Vec<&Need>) -> anyhow::Result<()> {
    let missing: Vec<&Need> = needs.into_iter().filter(|need| !need.is_here()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("This machine lacks:");
    for need in &missing {
        println!("  {:<29} {}", need.package, need.why);
    }
    let (to_build, to_test): (Vec<&Need>, Vec<&Need>) = missing.into_iter().partition(|need| need.to_build);
    let mut lists = Lists::FromBefore;
    if !to_build.is_empty() {
        apt_install(&to_build, &mut lists)?;
    }
    // One at a time: a distribution may lack one of them and have the others.
    for need in &to_test {
        if let Err(error) = apt_install(&[need], &mut lists) {
            println!("set-up: without {} some tests will be skipped ({error:#})", need.package);
        }
    }
    Ok(())
}

/// apt's lists of packages.
enum Lists {
    /// Of some earlier day, or none at all.
    FromBefore,
    /// Fetched by this set-up, or that was tried: a second time would take as long and bring nothing new.
    Updated,
}

fn apt_install(needs: &[&Need], lists: &mut Lists) -> anyhow::Result<()> {
    let packages: Vec<&str> = needs.iter().map(|need| need.package).collect();
    apt_get_install(&packages, lists)?;
    match needs.iter().find(|need| !need.is_here()) {
        Some(need) => bail!("{:?} is still not here, though {} was installed", need.sign, need.package),
        None => Ok(()),
    }
}

fn apt_get_install(packages: &[&str], lists: &mut Lists) -> anyhow::Result<()> {
    let packages = packages.join(" ");
    ensure!(
        is_on_path("apt-get"),
        "install the above and run this again (here is no apt-get to do it with; on Debian the packages are: {packages})"
    );
    let install = format!("apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 {packages}");
    let commands = match lists {
        Lists::FromBefore => vec!["apt-get update".to_owned(), install],
        Lists::Updated => vec![install],
    };
    let Some(become_root) = way_to_root() else {
        bail!("run this as root, then `cargo xtask` again:  {}", commands.join(" && "));
    };
    *lists = Lists::Updated;
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
    Ok(())
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

/// Whether the shell would find `program`.
pub(crate) fn is_on_path(program: &str) -> bool {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(&file).is_file())
}

/// Where clang-sys, which loads it for the builds, looks too.
fn has_libclang() -> bool {
    if env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let folders_in = |folder: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let llvm = folders_in("/usr/lib").into_iter().map(|folder| folder.join("lib"));
    let places =
        llvm.chain(folders_in("/usr/lib")).chain(["/usr/lib".into(), "/usr/lib64".into(), "/usr/local/lib".into()]);
    places.flat_map(std::fs::read_dir).flatten().flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // `libclang-cpp.so` is another library.
        name.starts_with("libclang.so")
            || name.starts_with("libclang-") && name.contains(".so") && !name.contains("cpp")
    })
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
