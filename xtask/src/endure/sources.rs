//! Which tests there are, and what cargo is told to run them: by their sources, without building anything.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A function with `#[test]`, or the like of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) name: String,
    /// Cargo's option for what it is built into, such as `--lib` or `--test calls`.
    pub(super) target: String,
}

/// All tests below these folders of the repository.
const FOLDERS: [&str; 4] = ["crates", "tests", "src-tauri", "xtask"];

/// Every test of the repository.
pub(super) fn tests(root: &Path) -> anyhow::Result<Vec<Test>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        find(&root.join(folder), &mut files)?;
    }
    let mut tests = Vec::new();
    for path in files {
        let text = read(&path)?;
        let names = names(&text);
        if !names.is_empty() {
            let target = target(root, &path)?;
            tests.extend(names.into_iter().map(|name| Test { name, target: target.clone() }));
        }
    }
    Ok(tests)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                find(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// The functions that follow a line `#[test]` or `#[tokio::test…]`, attributes between them left out.
fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_next = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_next = true;
        } else if is_next && let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            let name = rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next();
            names.extend(name.map(str::to_owned));
            is_next = false;
        } else if is_next && !line.starts_with('#') && !line.starts_with("//") {
            is_next = false;
        }
    }
    names
}

/// What cargo is told to build and run the tests of a file.
fn target(root: &Path, file: &Path) -> anyhow::Result<String> {
    let parts: Vec<&str> = file.strip_prefix(root)?.iter().filter_map(|part| part.to_str()).collect();
    Ok(match parts[..] {
        // Of a package of its own, such as `crates/call`.
        ["crates", _, "tests", folder, _, ..] | ["crates", _, "tests", folder] => test(folder),
        ["crates", _, "src", "main.rs"] | ["xtask", ..] | ["src-tauri", ..] => "--bins".to_owned(),
        ["crates", "cli", "src", ..] => "--bins".to_owned(),
        ["crates", _, "src", ..] | ["tests", "src", ..] => "--lib".to_owned(),
        ["crates", _, "benches", ..] => "--benches".to_owned(),
        ["tests", "tests", name] => test(name),
        // A module of one of the files beside the folder, which names it.
        ["tests", "tests", folder, ..] => test(&owner_of(root, folder)?),
        ["tests", ..] => "--examples".to_owned(),
        _ => bail!("it is not known how the tests of {} are run", file.display()),
    })
}

fn test(file: &str) -> String {
    format!("--test {}", file.trim_end_matches(".rs"))
}

fn owner_of(root: &Path, folder: &str) -> anyhow::Result<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join("tests/tests"))? {
        files.push(entry?.path());
    }
    let names = format!("\"{folder}/");
    for path in files.into_iter().filter(|path| path.is_file()) {
        if read(&path)?.contains(&names) {
            let name = path.file_name().and_then(|name| name.to_str()).context("files have plain names")?;
            return Ok(name.to_owned());
        }
    }
    // As cargo finds it by itself: a folder with a `main.rs`.
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::root;

    #[test]
    fn tests_are_found_where_they_stand() {
        let tests = tests(root()).unwrap();
        let target = |name: &str| tests.iter().find(|test| test.name == name).map(|test| test.target.as_str());
        assert_eq!(target("tests_are_found_where_they_stand"), Some("--bins"));
        assert_eq!(target("presence_is_mutual"), Some("--test server"));
        assert_eq!(target("a_call_outlives_the_server"), Some("--test calls"));
        assert_eq!(target("what_leaves_an_end_is_recorded"), Some("--test faults"));
        assert_eq!(target("shown_names_cannot_play_tricks"), Some("--lib"));
        assert_eq!(target("there_is_no_such_test"), None);
    }

    #[test]
    fn only_tests_are_names() {
        let text =
            "#[test]\n#[ignore = \"later\"]\nfn one() {}\nfn no() {}\n#[tokio::test(flavor)]\nasync fn two() {\n";
        assert_eq!(names(text), ["one", "two"]);
    }
}
