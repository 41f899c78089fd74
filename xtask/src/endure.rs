//! `cargo xtask endure`: runs the tests of `docs/reliability.md` at their full length, as often as asked, and writes into that
//! page when each row passed last.

mod page;
mod sources;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, bail, ensure};

use crate::cargo::{cargo, command, root};
use page::{Page, Row};
use sources::Test;

/// How often a row is run unless told otherwise.
const TIMES: u32 = 1;

/// What a run of a row has shown.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Green,
    /// A part of it could not run here, or waits for something: what it said.
    Incomplete(String),
    Red(String),
}

/// `[--times N] [ROW …]`; without rows all of them. Says whether none failed.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    let (times, rows) = understand(arguments)?;
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
        match endure(&row, &tests, times)? {
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

fn understand(arguments: &[&str]) -> anyhow::Result<(u32, Vec<String>)> {
    let (mut times, mut rows) = (TIMES, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if *argument == "--times" {
            let number = arguments.next().and_then(|number| number.parse().ok());
            times = number.filter(|number| *number > 0).context("--times takes a number from 1")?;
        } else {
            ensure!(!argument.starts_with('-'), "there is no {argument}; usage: endure [--times N] [ROW …]");
            rows.push(argument.to_uppercase());
        }
    }
    Ok((times, rows))
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

fn endure(row: &Row, tests: &[Test], times: u32) -> anyhow::Result<Verdict> {
    let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in &row.tests {
        let test = tests.iter().find(|test| test.name == *name).with_context(|| format!("there is no test {name}"))?;
        targets.entry(&test.target).or_default().push(name);
    }
    for time in 1..=times {
        for (target, names) in &targets {
            let mut cargo = cargo(&format!("test --workspace {target} --"));
            let output = cargo.args(names).env("AHOY_PACE", "full").output().context("cannot run cargo")?;
            let said =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            match verdict(output.status.success(), &said, names.len()) {
                Verdict::Green => println!("{} {time} of {times}: {target}: passed", row.name),
                Verdict::Incomplete(why) => return Ok(Verdict::Incomplete(format!("{target}: {why}"))),
                Verdict::Red(why) => {
                    println!("{said}");
                    return Ok(Verdict::Red(format!("time {time} of {times}, {target}: {why}")));
                }
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
        assert_eq!(understand(&["--times", "20", "f7", "A20"]).unwrap(), (20, vec!["F7".into(), "A20".into()]));
        assert_eq!(understand(&[]).unwrap(), (TIMES, Vec::new()));
        for wrong in [&["--times"][..], &["--times", "0"], &["--often"]] {
            understand(wrong).unwrap_err();
        }
    }
}
