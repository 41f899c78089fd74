//! `cargo xtask fuzz`: the fuzz targets, each for some seconds on its corpus. They are built as the tests are, so that the
//! crates of others are compiled once for both; only our own get coverage. No sanitizer: what is fuzzed has no `unsafe`, and
//! panics where arithmetic or an index goes wrong.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cargo::{cargo, root, target};
use crate::report::Outcome;

/// Memory that a target may take. Inputs are some kilobytes, so nothing comes near it unless input decides how much is taken.
const MEMORY_MB: u32 = 1_024;
/// Longer than this no single input may take: a thousand times what they do.
const SECONDS_AN_INPUT: u32 = 10;

/// Runs every target for so many seconds, as many at a time as there are cores, and says what failed.
pub(crate) fn run(seconds: u32) -> anyhow::Result<Outcome> {
    if !can_run() {
        return Ok(Outcome::Skipped("libFuzzer runs on Linux and macOS".to_owned()));
    }
    let targets = targets()?;
    let built = build(&targets).status().context("cannot run cargo")?;
    ensure!(built.success(), "the fuzz targets could not be built ({built}); the output above says why");
    let at_a_time = thread::available_parallelism().map_or(1, usize::from);
    let mut failed = Vec::new();
    for some in targets.chunks(at_a_time) {
        let outcomes: Vec<anyhow::Result<bool>> = thread::scope(|scope| {
            let started: Vec<_> = some.iter().map(|name| scope.spawn(|| run_target(name, seconds))).collect();
            started.into_iter().map(|thread| thread.join().expect("no panic in run_target")).collect()
        });
        for (name, passed) in some.iter().zip(outcomes) {
            if !passed? {
                failed.push(name.clone());
            }
        }
    }
    Ok(if failed.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("{}; their output is above, with the place of the input", failed.join(", ")))
    })
}

/// Of the whole workspace, and as examples, which like tests want what tests want: so features are resolved as for everything
/// else, and no crate of others is built again.
fn build(targets: &[String]) -> Command {
    let mut command = cargo("build --workspace --features ahoy-fuzz/targets");
    for name in targets {
        command.args(["--example", name]);
    }
    command.env("RUSTC_WORKSPACE_WRAPPER", folder().join("instrument.sh"));
    command
}

/// Whether a target ran through. What it finds worth keeping goes to the target folder: the corpus in the repository is for
/// people to add to.
fn run_target(name: &str, seconds: u32) -> anyhow::Result<bool> {
    let [found, failures] = ["found", "artifacts"].map(|what| scratch(what, name));
    let corpus = folder().join("corpus").join(name);
    ensure!(corpus.is_dir(), "{} has no corpus in {}", name, corpus.display());
    let mut command = Command::new(target()?.join("debug").join("examples").join(name));
    command.args([&found?, &corpus]).args([
        format!("-max_total_time={seconds}"),
        format!("-rss_limit_mb={MEMORY_MB}"),
        format!("-timeout={SECONDS_AN_INPUT}"),
        format!("-artifact_prefix={}/", failures?.display()),
        "-print_final_stats=1".to_owned(),
    ]);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run the target {name}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let runs = text.lines().find(|line| line.starts_with("Done"));
    if let (true, Some(runs)) = (output.status.success(), runs) {
        println!("{name}: {runs}");
    } else {
        println!("{name} FAILED ({}):\n{}\n{text}", output.status, String::from_utf8_lossy(&output.stdout));
    }
    Ok(output.status.success() && runs.is_some())
}

fn folder() -> PathBuf {
    root().join("fuzz")
}

/// The targets: a file each.
fn targets() -> anyhow::Result<Vec<String>> {
    let folder = folder().join("fuzz_targets");
    let files = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
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

fn scratch(what: &str, name: &str) -> anyhow::Result<PathBuf> {
    let folder = target()?.join("fuzz").join(what).join(name);
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
    fn every_target_has_a_corpus_and_is_in_the_manifest_and_none_is_left_of_a_target_that_is_gone() {
        let targets = targets().unwrap();
        let mut corpora: Vec<String> = fs::read_dir(folder().join("corpus"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        corpora.sort_unstable();
        assert_eq!(corpora, targets);
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        let examples = manifest.split("[[example]]").filter(|part| part.contains("required-features"));
        let mut named: Vec<&str> = examples
            .flat_map(str::lines)
            .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
            .collect();
        named.sort_unstable();
        assert_eq!(named, targets);
    }

    #[test]
    fn all_that_is_fuzzed_has_coverage() {
        let script = fs::read_to_string(folder().join("instrument.sh")).unwrap();
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
        let ours = dependencies.lines().filter(|line| line.starts_with("ahoy-"));
        let ours: Vec<String> = ours.map(|line| line.split(['.', ' ']).next().unwrap().replace('-', "_")).collect();
        assert_eq!(ours.len(), 4);
        assert!(ours.iter().all(|name| script.contains(name)), "{ours:?}");
    }

    #[test]
    fn a_run_takes_from_a_second_to_a_week() {
        assert_eq!(seconds("10"), Some(10));
        assert_eq!([seconds("0"), seconds("1000000"), seconds("soon")], [None; 3]);
    }
}
