//! `cargo xtask test`: everything that must hold before a change is taken, here and on the build machine alike.

use crate::cargo::{cargo, root};
use crate::report::{self, Outcome, Report};
use crate::{bench, clocks, deny, fuzz, import_rule, page, setup, unsteady};

/// Sets up, then runs every check, quick ones first, and says whether all passed. An error: the set-up failed, nothing was checked.
pub(crate) fn run() -> anyhow::Result<bool> {
    setup::run()?;
    let mut steps = Report::default();
    steps.step("format: cargo fmt", || report::run(&mut cargo("fmt --all --check")));
    steps.step("imports: who may import whom", import_rule::check);
    steps.step("clocks: pure crates take the time as an argument", || clocks::check(root()));
    steps.step("licences, bans, sources: cargo deny", deny::check);
    steps.step("advisories: cargo deny", deny::check_advisories);
    // Before anything that compiles the app: it carries the page inside it.
    steps.step("page: build", || page::build().map(|()| Outcome::Passed));
    steps.step("page: types, and every screen in Chromium", page::test);
    steps.step("clippy", || report::run(&mut cargo("clippy --workspace --all-targets --keep-going -- -D warnings")));
    steps.step("documentation: cargo doc", || {
        report::run(cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings"))
    });
    // Builds the programs too, which the tests in `tests/` start, with the features that all targets together ask for:
    // building them by themselves would compile their dependencies a second time.
    let built = steps.step("build: programs and tests", || report::run(&mut cargo("build --workspace --all-targets")));
    steps.step("tests", || if built { unsteady::run() } else { Ok(Outcome::Skipped("the build failed".to_owned())) });
    steps.step("fuzz targets: 10 s each", || fuzz::run(10));
    steps.step("benchmarks: each for a few seconds, to see that it runs", || {
        if built { bench::smoke() } else { Ok(Outcome::Skipped("the build failed".to_owned())) }
    });
    Ok(steps.finish())
}
