//! `cargo xtask endure`: runs the tests of `docs/reliability.md` at their full length, as often as asked, and writes into that
//! page when each row passed last.

mod page;
mod sources;

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, bail, ensure};

use crate::cargo::{cargo, command, root};
use page::{Page, Row};
use sources::Test;

/// How often each row is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Runs {
    times: u32,
    /// How many of them side by side: for rows that mostly wait, on a machine that has the processor for so many calls.
    at_once: u32,
}

/// What a run of a row has shown.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Green,
    /// A part of it could not run here, or waits for something: what it said.
    Incomplete(String),
    Red(String),
}

/// `[--times N] [--at-once N] [ROW …]`; without rows all of them. Says whether none failed.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    let (runs, rows) = understand(arguments)?;
    let times = runs.times;
    let path = root().join("docs/reliability.md");
    let page = Page::read(&path)?;
    if let Some(unknown) = rows.iter().find(|row| page.row(row).is_none()) {
        bail!("docs/reliability.md has no row {unknown}");
    }
    let tests = sources::tests(root())?;
    let on = on_what()?;
    let mut red = Vec::new();
    for row in page.rows().to_vec() {
        if !rows.is_empty() && !rows.contains(&row.name) || row.tests.is_empty() {
            continue;
        }
        println!("\n==> {}: {}", row.name, row.fault);
        match endure(&row, &tests, runs)? {
            Verdict::Green => {
                println!("{}: green, {times} of {times}", row.name);
                // At once, as a later row may take hours; and from what stands there now, as others write there meanwhile.
                let mut page = Page::read(&path)?;
                page.set_green(&row.name, &format!("{on}, {times} of {times}"));
                fs::write(&path, page.text()).with_context(|| format!("{} cannot be written", path.display()))?;
            }
            Verdict::Incomplete(why) => println!("{}: INCOMPLETE: {why}", row.name),
            Verdict::Red(why) => {
                println!("{}: RED: {why}", row.name);
                red.push(row.name);
            }
        }
    }
    println!("\n{}", if red.is_empty() { "nothing failed".to_owned() } else { format!("FAILED: {}", red.join(", ")) });
    Ok(red.is_empty())
}

fn understand(arguments: &[&str]) -> anyhow::Result<(Runs, Vec<String>)> {
    let (mut runs, mut rows) = (Runs { times: 1, at_once: 1 }, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(&argument) = arguments.next() {
        let mut number = || {
            let number = arguments.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
            number.with_context(|| format!("{argument} takes a number from 1"))
        };
        match argument {
            "--times" => runs.times = number()?,
            "--at-once" => runs.at_once = number()?,
            _ => {
                ensure!(
                    !argument.starts_with('-'),
                    "there is no {argument}; usage: endure [--times N] [--at-once N] [ROW …]"
                );
                rows.push(argument.to_uppercase());
            }
        }
    }
    Ok((runs, rows))
}

/// The day and the commit.
fn on_what() -> anyhow::Result<String> {
    let say = |program: &str, arguments: &[&str]| -> anyhow::Result<String> {
        let output = command(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
        ensure!(output.status.success(), "{program} failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Ok(format!("{}, {}", say("date", &["-u", "+%F"])?, say("git", &["rev-parse", "--short=7", "HEAD"])?))
}

/// All runs of a row, until one is not green.
fn endure(row: &Row, tests: &[Test], runs: Runs) -> anyhow::Result<Verdict> {
    let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in &row.tests {
        let test = tests.iter().find(|test| test.name == *name).with_context(|| format!("there is no test {name}"))?;
        targets.entry(&test.target).or_default().push(name);
    }
    let next = AtomicU32::new(1);
    let some_runs = || -> anyhow::Result<Verdict> {
        loop {
            let time = next.fetch_add(1, Ordering::Relaxed);
            if time > runs.times {
                return Ok(Verdict::Green);
            }
            let verdict = run_once(&row.name, &targets, &format!("time {time} of {}", runs.times));
            if !matches!(verdict, Ok(Verdict::Green)) {
                next.store(runs.times + 1, Ordering::Relaxed);
                return verdict;
            }
        }
    };
    thread::scope(|scope| {
        let side_by_side: Vec<_> = (0..runs.at_once).map(|_| scope.spawn(some_runs)).collect();
        let verdicts = side_by_side.into_iter().map(|runs| runs.join().expect("it does not panic"));
        let verdicts: Vec<_> = verdicts.collect::<anyhow::Result<_>>()?;
        Ok(verdicts.into_iter().find(|verdict| *verdict != Verdict::Green).unwrap_or(Verdict::Green))
    })
}

fn run_once(row: &str, targets: &BTreeMap<&str, Vec<&str>>, time: &str) -> anyhow::Result<Verdict> {
    for (target, names) in targets {
        let mut cargo = cargo(&format!("test --workspace {target} --"));
        let output = cargo.args(names).env("AHOY_PACE", "full").output().context("cannot run cargo")?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match verdict(output.status.success(), &said, names.len()) {
            Verdict::Green => println!("{row} {time}: {target}: passed"),
            Verdict::Incomplete(why) => return Ok(Verdict::Incomplete(format!("{target}: {why}"))),
            Verdict::Red(why) => {
                println!("{said}");
                return Ok(Verdict::Red(format!("{time}, {target}: {why}")));
            }
        }
    }
    Ok(Verdict::Green)
}

/// What one run of `cargo test` has shown, by what it said.
fn verdict(succeeded: bool, said: &str, wanted: usize) -> Verdict {
    if !succeeded {
        return Verdict::Red("cargo test failed; its output is above".to_owned());
    }
    if let Some(skipped) = said.lines().find(|line| line.starts_with("skipped:")) {
        return Verdict::Incomplete(skipped.to_owned());
    }
    let passed: usize = said.lines().filter_map(|line| line.strip_prefix("test result: ok. ")).map(first_number).sum();
    if passed < wanted {
        return Verdict::Incomplete(format!("{passed} of {wanted} tests ran; the others wait for something"));
    }
    Verdict::Green
}

fn first_number(text: &str) -> usize {
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Rows of what must be survived, and of what is done to us.
    const ROWS: [(char, u32); 2] = [('F', 30), ('A', 22)];

    #[test]
    fn the_page_has_every_row_and_every_test_that_it_names_exists() {
        let page = Page::read(&root().join("docs/reliability.md")).unwrap();
        let there: BTreeSet<String> = page.rows().iter().map(|row| row.name.clone()).collect();
        let wanted: BTreeSet<String> =
            ROWS.iter().flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}"))).collect();
        assert_eq!(there, wanted);
        assert_eq!(page.rows().len(), wanted.len(), "each row is there once");
        let tests = sources::tests(root()).unwrap();
        let names: BTreeSet<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        let mut wrong = Vec::new();
        for row in page.rows() {
            wrong.extend(
                row.tests
                    .iter()
                    .filter(|test| !names.contains(test.as_str()))
                    .map(|test| format!("{}: there is no test {test}", row.name)),
            );
            // A row without a test says why.
            if row.tests.is_empty() && !["not yet: ", "does not apply: "].iter().any(|why| row.by.starts_with(why)) {
                wrong.push(format!("{}: it names no test and no reason", row.name));
            }
            if row.fault.is_empty() || row.outcome.is_empty() || row.green.is_empty() {
                wrong.push(format!("{}: a cell is empty", row.name));
            }
        }
        assert!(wrong.is_empty(), "docs/reliability.md: {wrong:#?}");
    }

    #[test]
    fn green_is_what_passed_as_a_whole() {
        let said = "test result: ok. 2 passed; 0 failed; 1 ignored\n";
        assert_eq!(verdict(true, said, 2), Verdict::Green);
        assert!(matches!(verdict(true, said, 3), Verdict::Incomplete(_)));
        assert!(matches!(verdict(true, &format!("skipped: no root\n{said}"), 2), Verdict::Incomplete(_)));
        assert!(matches!(verdict(false, said, 2), Verdict::Red(_)));
    }

    #[test]
    fn rows_and_times_are_understood() {
        let runs = |times, at_once| Runs { times, at_once };
        assert_eq!(
            understand(&["--times", "20", "f7", "A20"]).unwrap(),
            (runs(20, 1), vec!["F7".into(), "A20".into()])
        );
        assert_eq!(understand(&["--at-once", "3"]).unwrap(), (runs(1, 3), Vec::new()));
        for wrong in [&["--times"][..], &["--times", "0"], &["--at-once", "some"], &["--often"]] {
            understand(wrong).unwrap_err();
        }
    }
}
