//! The workspace's tests, with a second look at what failed.
//!
//! Most tests take the time as an argument and fail each time or never. Those that run real programs, devices and networks
//! in real time share the machine with whatever else runs there, and one of hundreds may meet a bad second. Such a test is
//! run again by itself. If it passes then, the run passes and its summary names the test as unsteady: a fault to be looked
//! into, in the test or in what it tests, but not one that came with the change at hand.

use std::io::{BufRead as _, BufReader, Write as _};

use anyhow::Context as _;

use crate::cargo::cargo;
use crate::report::{self, Outcome};

/// The packages whose tests run in real time.
const REAL_TIME: [&str; 4] = ["ahoy-tests", "ahoy-client", "ahoy-media", "ahoy-transport"];
/// More failures than this in one run are no bad luck.
const MOST: usize = 3;

/// The tests of one target that failed.
#[derive(Debug, PartialEq, Eq)]
struct Failed {
    package: String,
    /// What cargo names the target by, as `--test calls` or `--lib`.
    target: String,
    /// None: the target ended without saying which.
    tests: Vec<String>,
}

/// Runs all tests, and those that failed in real time once more.
pub(crate) fn run() -> anyhow::Result<Outcome> {
    let (mut reader, writer) = std::io::pipe().context("no pipe")?;
    let mut tests = cargo("test --workspace --no-fail-fast");
    // One pipe for both, as it is their order that tells which target a test belongs to.
    tests.stdout(writer.try_clone().context("no pipe")?).stderr(writer);
    let mut child = tests.spawn().context("cannot run cargo")?;
    // It holds the other end of the pipe, which would never be at its end.
    drop(tests);
    let failed = pass_on(&mut reader)?;
    let status = child.wait().context("cargo does not end")?;
    if status.success() {
        return Ok(Outcome::Passed);
    }
    let Some(again) = worth_another_look(&failed) else { return Ok(Outcome::Failed(status.to_string())) };
    for target in &failed {
        println!("\n==> again, by themselves: {}", target.tests.join(", "));
        let mut cargo = cargo(&format!("test --workspace {} -- --exact --test-threads 1", target.target));
        if report::run(cargo.args(&target.tests))? != Outcome::Passed {
            return Ok(Outcome::Failed(format!("failed twice: {}", target.tests.join(", "))));
        }
    }
    Ok(Outcome::Unsteady(again))
}

/// Prints what cargo says as it comes, and gathers which tests failed.
fn pass_on(from: &mut impl std::io::Read) -> anyhow::Result<Vec<Failed>> {
    let mut from = BufReader::new(from);
    let (mut failures, mut line) = (Failures::default(), Vec::new());
    while from.read_until(b'\n', &mut line).context("what cargo says cannot be read")? > 0 {
        std::io::stdout().write_all(&line).context("standard output is closed")?;
        failures.line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(failures.of_targets)
}

/// The names of the tests that deserve a second look. `None`: there is one among the failures that does not.
fn worth_another_look(failed: &[Failed]) -> Option<String> {
    let names: Vec<&str> = failed.iter().flat_map(|target| &target.tests).map(String::as_str).collect();
    let all = failed.iter().all(|target| REAL_TIME.contains(&target.package.as_str()) && !target.tests.is_empty());
    (all && !names.is_empty() && names.len() <= MOST).then(|| names.join(", "))
}

/// Reads what `cargo test` prints.
#[derive(Default)]
struct Failures {
    of_targets: Vec<Failed>,
    listing: bool,
    tests: Vec<String>,
}

impl Failures {
    fn line(&mut self, line: &str) {
        let test = line.strip_prefix("    ").filter(|name| self.listing && !name.contains(' '));
        if let Some(name) = test {
            self.tests.push(name.to_owned());
            return;
        }
        // A target lists them once with what they printed, after an empty line, and once more by their names alone.
        self.listing = line == "failures:";
        let Some(arguments) = line.strip_prefix("error: test failed, to rerun pass `") else { return };
        let mut words = arguments.trim_end_matches('`').strip_prefix("-p ").unwrap_or(arguments).splitn(2, ' ');
        let [package, target] = [words.next(), words.next()].map(|word| word.unwrap_or_default().to_owned());
        self.of_targets.push(Failed { package, target, tests: std::mem::take(&mut self.tests) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
running 3 tests
test a::one ... FAILED
test a::two ... ok

failures:

---- a::one stdout ----
    it went wrong


failures:
    a::one

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s

error: test failed, to rerun pass `-p ahoy-tests --test window`
     Running tests/other.rs (target/debug/deps/other)
";

    fn failed_in(said: &str) -> Vec<Failed> {
        let mut failures = Failures::default();
        said.lines().for_each(|line| failures.line(line));
        failures.of_targets
    }

    #[test]
    fn failed_tests_are_told_with_their_target() {
        let [package, target, test] = ["ahoy-tests", "--test window", "a::one"].map(str::to_owned);
        assert_eq!(failed_in(SAID), [Failed { package, target, tests: vec![test] }]);
        assert_eq!(worth_another_look(&failed_in(SAID)).as_deref(), Some("a::one"));
    }

    #[test]
    fn what_is_pure_what_crashed_and_what_fails_in_numbers_gets_no_second_look() {
        let of_a_pure_crate = SAID.replace("ahoy-tests --test window", "ahoy-rtp --lib");
        assert_eq!(worth_another_look(&failed_in(&of_a_pure_crate)), None);
        let crashed = "error: test failed, to rerun pass `-p ahoy-tests --test window`\n";
        assert_eq!(worth_another_look(&failed_in(crashed)), None);
        assert_eq!(worth_another_look(&failed_in(&SAID.repeat(4))), None);
        assert_eq!(worth_another_look(&[]), None, "a build that failed");
    }
}
