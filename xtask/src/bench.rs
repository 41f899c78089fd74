//! `cargo xtask bench`: builds the programs as people get them, and measures them. `tests/bench` does the measuring.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::cargo::{cargo, command, target};
use crate::report::{self, Outcome};
use crate::{page, setup};

/// Which programs are measured.
#[derive(Debug, Clone, Copy)]
enum Build {
    /// As people get them.
    Release,
    /// As the tests build them: quick to build, and good enough to see that a benchmark runs.
    Dev,
}

/// Measures what `arguments` name.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    setup::run()?;
    page::build()?;
    let is_smoke = arguments.contains(&"--smoke");
    let bench = build(if is_smoke { Build::Dev } else { Build::Release })?;
    // Paths among the arguments are the caller's.
    let folder = env::current_dir().context("where this was started")?;
    let status = command(&bench).args(arguments).current_dir(folder).status();
    Ok(status.with_context(|| format!("cannot run {}", bench.display()))?.success())
}

/// Sees that each benchmark runs, for a few seconds: measures nothing. The rest of a test run has set up and built.
pub(crate) fn smoke() -> anyhow::Result<Outcome> {
    report::run(command(build(Build::Dev)?).args(["--smoke", "--against", "chromium"]))
}

fn build(build: Build) -> anyhow::Result<PathBuf> {
    let (arguments, folder) = match build {
        Build::Release => (" --release", "release"),
        Build::Dev => ("", "debug"),
    };
    // The whole workspace: fewer programs would mean other features, and dependencies built once more.
    let mut cargo = cargo(&format!("build --workspace --bins --examples{arguments}"));
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "the programs cannot be built ({status}); the output above says why");
    Ok(target()?.join(folder).join("examples/bench"))
}
