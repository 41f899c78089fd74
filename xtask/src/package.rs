//! `cargo xtask package`: the `.deb` and the `.rpm`. What they depend on is read from the program: the names and versions of
//! libraries differ from one distribution to the next, and a package fits the one that it was built on, and later ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, ensure};

use crate::cargo::{cargo, command, target};
use crate::setup::is_on_path;
use crate::{node, page, setup};

/// How the program in the package is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// As it is given to people.
    Release,
    /// As the tests have it, in a fraction of the time.
    Dev,
}

/// What the packager adds by itself.
const ADDED: [&str; 2] = ["libwebkit2gtk-4.1-0", "libgtk-3-0"];

/// Builds both packages and prints where they are.
pub(crate) fn run(build: Build) -> anyhow::Result<()> {
    ensure!(cfg!(target_os = "linux"), "packages for this system are not made yet; `cargo xtask run` runs the app");
    setup::to_build()?;
    page::build()?;
    let (arguments, folder) = match build {
        // One program with the features that all ask for: what the tests built is used again.
        Build::Release => ("build --release --workspace --bin ahoy", "release"),
        Build::Dev => ("build --workspace --bin ahoy", "debug"),
    };
    let status = cargo(arguments).status().context("cannot run cargo")?;
    ensure!(status.success(), "the app cannot be built ({status}); the output above says why");
    let folder = target()?.join(folder);
    let began = SystemTime::now();
    bundle(build, &depends(&folder.join("ahoy"))?)?;
    let made = packages(&folder.join("bundle"), began)?;
    ensure!(made.len() == 2, "there should be a .deb and a .rpm, and there are: {made:?}");
    for package in made {
        println!("{}", package.display());
    }
    Ok(())
}

/// What a program needs of the system.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    /// Shared libraries by the names that the program looks for.
    libraries: Vec<String>,
    /// The newest version of glibc's symbols among what it calls, like `2.34`.
    glibc: Option<String>,
}

/// The dependencies of both packages, in the words of the packager's settings.
fn depends(program: &Path) -> anyhow::Result<String> {
    let headers = command("objdump").args(["-p"]).arg(program).output().context("cannot run objdump (binutils)")?;
    ensure!(headers.status.success(), "objdump cannot read {}", program.display());
    let needs = parse_needs(&String::from_utf8_lossy(&headers.stdout));
    ensure!(!needs.libraries.is_empty(), "{} seems to need no library, which cannot be", program.display());
    Ok(settings(&deb_depends(&needs)?, &rpm_depends(&needs)))
}

/// Reads what `objdump -p` says.
fn parse_needs(headers: &str) -> Needs {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut needs = Needs::default();
    for line in headers.lines() {
        let words = words(line);
        if let [key, library] = &words[..]
            && key == "NEEDED"
            && !library.starts_with("ld-linux")
        {
            needs.libraries.push(library.clone());
        }
        if let Some(version) = words.last().and_then(|last| last.strip_prefix("GLIBC_"))
            && needs.glibc.as_deref().is_none_or(|newest| numbers(newest) < numbers(version))
        {
            needs.glibc = Some(version.to_owned());
        }
    }
    needs
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|number| number.parse().ok()).collect()
}

/// The Debian packages that the libraries are in here, each once. None where there is no dpkg.
fn deb_depends(needs: &Needs) -> anyhow::Result<Vec<String>> {
    let mut packages = Vec::new();
    if !is_on_path("dpkg-query") {
        return Ok(packages);
    }
    for library in &needs.libraries {
        let found = command("dpkg-query").args(["--search", &format!("*/{library}")]).output()?;
        let package = owner(&String::from_utf8_lossy(&found.stdout), library)
            .with_context(|| format!("no package here owns {library}, so the .deb could not depend on it"))?;
        let package = match (&needs.glibc, package.as_str()) {
            (Some(version), "libc6") => format!("libc6 (>= {version})"),
            _ => package,
        };
        if !packages.contains(&package) && !ADDED.contains(&package.as_str()) {
            packages.push(package);
        }
    }
    // What is only looked for when it is used.
    packages.push("libayatana-appindicator3-1".to_owned());
    packages.sort();
    Ok(packages)
}

/// The package that has `library` where the system looks for libraries, in `dpkg-query --search`'s lines of
/// `PACKAGE[:ARCHITECTURE][, PACKAGE…]: PATH`. Programs bring copies of their own, elsewhere.
fn owner(found: &str, library: &str) -> Option<String> {
    found.lines().find_map(|line| {
        let (packages, path) = line.split_once(": ")?;
        let folder = Path::new(path.trim()).parent()?.to_str()?;
        let parts: Vec<&str> = folder.trim_start_matches("/usr").split('/').skip(1).collect();
        let is_system = matches!(parts[..], ["lib" | "lib64"])
            || matches!(parts[..], ["lib", triplet] if triplet.contains("-linux-"));
        let is_exact = path.trim().ends_with(&format!("/{library}"));
        let package = packages.split(',').next()?.split(':').next()?;
        (is_system && is_exact).then(|| package.to_owned())
    })
}

/// RPM knows libraries by their own names.
fn rpm_depends(needs: &Needs) -> Vec<String> {
    let bits = if cfg!(target_pointer_width = "64") { "(64bit)" } else { "" };
    let mut depends: Vec<String> = needs.libraries.iter().map(|library| format!("{library}(){bits}")).collect();
    depends.extend(needs.glibc.iter().map(|version| format!("libc.so.6(GLIBC_{version}){bits}")));
    depends
}

/// JSON that the packager merges with `tauri.conf.json`. The names have no character that JSON would want escaped.
fn settings(deb: &[String], rpm: &[String]) -> String {
    let list = |names: &[String]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(",");
    format!(r#"{{"bundle":{{"linux":{{"deb":{{"depends":[{}]}},"rpm":{{"depends":[{}]}}}}}}}}"#, list(deb), list(rpm))
}

fn bundle(build: Build, settings: &str) -> anyhow::Result<()> {
    let mut bundle = node::tauri(&["bundle", "--bundles", "deb,rpm", "--ci", "--config", settings])?;
    match build {
        Build::Release => {}
        Build::Dev => {
            bundle.arg("--debug");
        }
    }
    let status = bundle.status().context("cannot run node")?;
    ensure!(status.success(), "the packages cannot be made ({status}); the output above says why");
    Ok(())
}

/// The packages below `folder` that are not older than `since`.
fn packages(folder: &Path, since: SystemTime) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for kind in ["deb", "rpm"] {
        let folder = folder.join(kind);
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let is_package = entry.path().extension().is_some_and(|extension| extension == kind);
            if is_package && entry.metadata()?.modified()? >= since {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_needs_is_read_from_its_headers() {
        let headers = "\
Dynamic Section:
  NEEDED               libvpx.so.7
  NEEDED               libc.so.6
  NEEDED               ld-linux-x86-64.so.2
  RUNPATH              $ORIGIN

Version References:
  required from libc.so.6:
    0x09691a75 0x00 03 GLIBC_2.9
    0x069691b4 0x00 02 GLIBC_2.34
    0x0d696910 0x00 12 GLIBC_PRIVATE
";
        let needs = parse_needs(headers);
        assert_eq!(needs.libraries, ["libvpx.so.7", "libc.so.6"]);
        assert_eq!(needs.glibc.as_deref(), Some("2.34"), "2.34 is newer than 2.9");
        assert_eq!(rpm_depends(&needs).len(), 3);
    }

    #[test]
    fn a_library_belongs_to_the_system_s_package_and_not_to_a_program_s_copy() {
        let found = "\
chromium: /usr/lib/chromium/libvpx.so.7
libvpx-dbg:amd64: /usr/lib/debug/x86_64-linux-gnu/libvpx.so.7
libvpx7:amd64, libvpx7:i386: /usr/lib/x86_64-linux-gnu/libvpx.so.7
";
        assert_eq!(owner(found, "libvpx.so.7").as_deref(), Some("libvpx7"));
        assert_eq!(owner("libc6:amd64: /lib/x86_64-linux-gnu/libc.so.6\n", "libc.so.6").as_deref(), Some("libc6"));
        assert_eq!(owner("other: /usr/lib/x86_64-linux-gnu/libvpx.so.7.0.0\n", "libvpx.so.7"), None);
        assert_eq!(owner("", "libvpx.so.7"), None);
    }

    #[test]
    fn the_settings_are_json_that_names_both_lists() {
        let names = |name: &str| vec![name.to_owned()];
        assert_eq!(
            settings(&names("libc6 (>= 2.34)"), &names("libc.so.6()(64bit)")),
            r#"{"bundle":{"linux":{"deb":{"depends":["libc6 (>= 2.34)"]},"rpm":{"depends":["libc.so.6()(64bit)"]}}}}"#
        );
    }
}
