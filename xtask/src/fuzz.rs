//! `cargo xtask fuzz`: the fuzz targets, each for some seconds on its corpus. They are packages outside of the workspace, built
//! by cargo-fuzz with other flags than everything else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cargo::{cargo, root, target};
use crate::report::Outcome;

/// What is installed where none is.
const VERSION: &str = "0.13.2";

/// A package of fuzz targets.
struct Package {
    /// Its folder, from the root.
    folder: &'static str,
    /// The sanitizer it is built with.
    sanitizer: &'static str,
}

const PACKAGES: &[Package] = &[Package { folder: "fuzz", sanitizer: "address" }];

/// Memory that a target may take. Inputs are some kilobytes, so nothing comes near it unless input decides how much is taken.
const MEMORY_MB: u32 = 1_024;
/// Longer than this no single input may take: a thousand times what they do.
const SECONDS_AN_INPUT: u32 = 10;

/// Installs cargo-fuzz where it is missing.
pub(crate) fn install() -> anyhow::Result<()> {
    if !can_run() || cargo("fuzz --version").output().context("cannot run cargo")?.status.success() {
        return Ok(());
    }
    println!("This machine lacks cargo-fuzz: it builds and runs the fuzz targets");
    // Unoptimised: it only starts other programs.
    let install = format!("install --locked cargo-fuzz --version {VERSION} --profile dev");
    println!("running: cargo {install}");
    let status = cargo(&install).env("CARGO_PROFILE_DEV_DEBUG", "0").status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo-fuzz could not be installed ({status}); the output above says why");
    Ok(())
}

/// Runs every target for so many seconds, as many at a time as there are cores, and says what failed.
pub(crate) fn run(seconds: u32) -> anyhow::Result<Outcome> {
    if !can_run() {
        return Ok(Outcome::Skipped("libFuzzer runs on Linux and macOS".to_owned()));
    }
    let mut failed = Vec::new();
    for package in PACKAGES {
        let formatted = cargo(&format!("fmt --manifest-path {}/Cargo.toml --check", package.folder)).status()?;
        ensure!(formatted.success(), "{} is not formatted: cargo fmt in that folder", package.folder);
        let build = format!("fuzz build --fuzz-dir {} --sanitizer {}", package.folder, package.sanitizer);
        let built = fuzz(&build)?.status().context("cannot run cargo fuzz")?;
        ensure!(built.success(), "`cargo {build}` failed ({built}); its output above says why");
        failed.extend(run_package(package, seconds)?);
    }
    Ok(if failed.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("{}; their output is above, the input in `artifacts`", failed.join(", ")))
    })
}

/// The names of the targets that failed.
fn run_package(package: &Package, seconds: u32) -> anyhow::Result<Vec<String>> {
    let targets = targets(&root().join(package.folder).join("fuzz_targets"))?;
    let at_a_time = thread::available_parallelism().map_or(1, usize::from);
    let mut failed = Vec::new();
    for some in targets.chunks(at_a_time) {
        let outcomes: Vec<anyhow::Result<bool>> = thread::scope(|scope| {
            let started: Vec<_> = some.iter().map(|name| scope.spawn(|| run_target(package, name, seconds))).collect();
            started.into_iter().map(|thread| thread.join().expect("no panic in run_target")).collect()
        });
        for (name, passed) in some.iter().zip(outcomes) {
            if !passed? {
                failed.push(name.clone());
            }
        }
    }
    Ok(failed)
}

/// Whether a target ran through. What it finds worth keeping goes to the target folder: the corpus in the repository is for
/// people to add to.
fn run_target(package: &Package, name: &str, seconds: u32) -> anyhow::Result<bool> {
    let Package { folder, sanitizer } = package;
    let found = scratch(name)?;
    let corpus = root().join(folder).join("corpus").join(name);
    ensure!(corpus.is_dir(), "{} has no corpus in {}", name, corpus.display());
    let mut command = fuzz(&format!("fuzz run --fuzz-dir {folder} --sanitizer {sanitizer} {name}"))?;
    command.args([&found, &corpus]).arg("--").args([
        format!("-max_total_time={seconds}"),
        format!("-rss_limit_mb={MEMORY_MB}"),
        format!("-timeout={SECONDS_AN_INPUT}"),
        "-print_final_stats=1".to_owned(),
    ]);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().context("cannot run cargo fuzz")?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        let runs = text.lines().find(|line| line.starts_with("Done")).unwrap_or("done");
        println!("{name}: {runs}");
    } else {
        println!("{name} FAILED ({}):\n{}\n{text}", output.status, String::from_utf8_lossy(&output.stdout));
    }
    Ok(output.status.success())
}

/// A cargo-fuzz command. It wants flags of the nightly compiler, which the stable one has too when told so.
fn fuzz(arguments: &str) -> anyhow::Result<std::process::Command> {
    let mut command = cargo(arguments);
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", target()?.join("fuzz"));
    Ok(command)
}

/// The targets: a file each.
fn targets(folder: &Path) -> anyhow::Result<Vec<String>> {
    let files = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    ensure!(!names.is_empty(), "no fuzz targets in {}", folder.display());
    names.sort_unstable();
    Ok(names)
}

fn scratch(name: &str) -> anyhow::Result<PathBuf> {
    let folder = target()?.join("fuzz").join("found").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn can_run() -> bool {
    cfg!(any(target_os = "linux", target_os = "macos"))
}

/// How long each target runs, from the command line.
pub(crate) fn seconds(argument: &str) -> Option<u32> {
    argument.parse().ok().filter(|seconds| (1..=Duration::from_secs(7 * 86_400).as_secs() as u32).contains(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus_and_none_is_left_of_a_target_that_is_gone() {
        for package in PACKAGES {
            let folder = root().join(package.folder);
            let targets = targets(&folder.join("fuzz_targets")).unwrap();
            let mut corpora: Vec<String> = fs::read_dir(folder.join("corpus"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            corpora.sort_unstable();
            assert_eq!(corpora, targets, "{}", package.folder);
        }
    }

    #[test]
    fn a_run_takes_from_a_second_to_a_week() {
        assert_eq!(seconds("10"), Some(10));
        assert_eq!([seconds("0"), seconds("1000000"), seconds("soon")], [None; 3]);
    }
}
