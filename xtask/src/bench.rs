//! `cargo xtask bench`: measures what the tests only bound, on this machine, and prints it.

use anyhow::{Context, ensure};

use crate::cargo::{cargo, command, target};
use crate::{page, setup};

/// Measures the window: how soon it is there, how soon pictures are on it, and what that costs. Of the programs as the tests
/// build them: codecs and libraries optimised, our own code lightly.
pub(crate) fn window() -> anyhow::Result<bool> {
    setup::run()?;
    page::build()?;
    let status = cargo("build --workspace --bins --examples").status().context("cannot run cargo")?;
    ensure!(status.success(), "the programs cannot be built ({status}); the output above says why");
    let bench = target()?.join("debug/examples/window_bench");
    Ok(command(&bench).status().with_context(|| format!("cannot run {}", bench.display()))?.success())
}
