//! `cargo deny`: licences, bans and sources always; advisories where their database can be fetched.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cargo::cargo;
use crate::report::{self, Outcome};

/// What is installed where none is, and the oldest that understands `deny.toml`.
const VERSION: &str = "0.20.2";
/// The database is a few megabytes by git; a network that takes longer has none for us.
const FETCH_DEADLINE: Duration = Duration::from_secs(120);

/// Installs cargo-deny where it is missing or too old.
pub(crate) fn install() -> anyhow::Result<()> {
    let here = cargo("deny --version").output().context("cannot run cargo")?;
    if is_recent(&String::from_utf8_lossy(&here.stdout)) {
        return Ok(());
    }
    println!("This machine lacks cargo-deny {VERSION} or later: it checks licences, bans, sources and advisories");
    // Unoptimised: installs in a minute instead of many, and a check takes a second or two all the same.
    let install = format!("install --locked cargo-deny --version {VERSION} --profile dev");
    println!("running: cargo {install}");
    let status = cargo(&install).env("CARGO_PROFILE_DEV_DEBUG", "0").status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo-deny could not be installed ({status}); the output above says why");
    Ok(())
}

/// Checks licences, bans and sources. Warnings, of which there are many (two versions of a crate), are printed a line each.
pub(crate) fn check() -> anyhow::Result<Outcome> {
    let output = cargo("deny check licenses bans sources").output().context("cannot run cargo deny")?;
    println!("{}", shortened(&String::from_utf8_lossy(&output.stderr)));
    Ok(if output.status.success() { Outcome::Passed } else { Outcome::Failed(output.status.to_string()) })
}

/// Checks for known vulnerabilities; skipped, with the cause, where their database cannot be had.
pub(crate) fn check_advisories() -> anyhow::Result<Outcome> {
    let mut fetch = cargo("deny fetch db");
    // A git that hangs ends by itself, also when nobody waits for it any more.
    fetch.env("GIT_TERMINAL_PROMPT", "0").env("GIT_HTTP_LOW_SPEED_LIMIT", "1000").env("GIT_HTTP_LOW_SPEED_TIME", "30");
    if let Err(cause) = run_until(&mut fetch, FETCH_DEADLINE)? {
        return Ok(Outcome::Skipped(format!("the database cannot be fetched: {cause}")));
    }
    report::run(&mut cargo("deny --offline check advisories"))
}

/// Whether the output of `cargo deny --version` is of `VERSION` or later.
fn is_recent(version: &str) -> bool {
    let number = |text: &str| -> Option<Vec<u32>> { text.trim().split('.').map(|part| part.parse().ok()).collect() };
    let found = version.strip_prefix("cargo-deny ").and_then(number);
    found.is_some_and(|found| Some(found) >= number(VERSION))
}

/// cargo deny's report with only the first line of each warning. Its entries are parted by empty lines.
fn shortened(report: &str) -> String {
    let first_line = |entry: &str| entry.lines().next().unwrap_or_default().to_owned();
    let entries = report.split("\n\n").map(|entry| entry.trim_matches('\n')).filter(|entry| !entry.is_empty());
    let entries = entries.map(|entry| if entry.starts_with("warning") { first_line(entry) } else { entry.to_owned() });
    entries.collect::<Vec<_>>().join("\n")
}

/// Runs a command for at most `limit`. `Ok(Err(cause))`: it failed, with the last line it wrote about it.
fn run_until(command: &mut Command, limit: Duration) -> anyhow::Result<Result<(), String>> {
    let deadline = Instant::now() + limit;
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot run cargo")?;
    let mut pipe = child.stderr.take().context("the child's standard error")?;
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        // What cannot be read is only missing from the message.
        let _ = pipe.read_to_end(&mut text);
        text
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            // The reader is left behind: a grandchild may hold the pipe open.
            return Ok(Err(format!("no answer for {} s", limit.as_secs())));
        }
        thread::sleep(Duration::from_millis(50));
    };
    if status.success() {
        return Ok(Ok(()));
    }
    let text = reader.join().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    Ok(Err(last.map_or_else(|| status.to_string(), str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_cargo_deny_or_none_is_not_enough() {
        for version in ["cargo-deny 0.20.2\n", "cargo-deny 0.20.10", "cargo-deny 1.0.0"] {
            assert!(is_recent(version), "{version}");
        }
        for version in ["cargo-deny 0.20.1", "cargo-deny 0.9.9", "", "error: no such command"] {
            assert!(!is_recent(version), "{version}");
        }
    }

    #[test]
    fn of_a_warning_the_first_line_is_kept_and_of_an_error_all() {
        let report = "warning[duplicate]: two of a\n  - a 1\n  - a 2\n\nerror[rejected]: no licence\n  - b\n\nbans ok, licenses FAILED\n";
        assert_eq!(
            shortened(report),
            "warning[duplicate]: two of a\nerror[rejected]: no licence\n  - b\nbans ok, licenses FAILED"
        );
    }

    #[test]
    fn a_command_that_fails_tells_its_last_line() {
        let failed = run_until(&mut cargo("no-such-command"), Duration::from_secs(60)).unwrap();
        assert!(failed.is_err_and(|cause| !cause.is_empty()));
        assert!(run_until(&mut cargo("--version"), Duration::from_secs(60)).unwrap().is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_hangs_is_ended_at_its_deadline() {
        let start = Instant::now();
        let mut sleep = Command::new("sleep");
        let ended = run_until(sleep.arg("60"), Duration::from_millis(100)).unwrap();
        assert_eq!(ended, Err("no answer for 0 s".to_owned()));
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
