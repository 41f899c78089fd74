//! Finds the programs under test, and the examples. Cargo hands a test the programs of its own package only, so these are
//! built here, once a test program, with the profile and target folder that the test itself was built with.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// In the VM, where building would take hours: what [`list`] gave outside.
const LISTED: &str = "AHOY_TEST_PROGRAMS";

/// The path of `name`, freshly built.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn program(name: &str) -> &'static Path {
    let built = built();
    built.get(name).unwrap_or_else(|| panic!("cargo built {:?}, but no {name}", built.keys()))
}

/// Where everything is built: made anew at need, and removed with `cargo clean`.
///
/// # Panics
/// When the test does not lie where cargo puts it.
#[must_use]
pub fn target_folder() -> PathBuf {
    own_build().0
}

/// What cargo calls the profile that this test was built with.
///
/// # Panics
/// When the test does not lie where cargo puts it.
#[must_use]
pub fn profile() -> String {
    own_build().1
}

/// The cargo that runs this test, in its own crate.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What describes this test must not reach the nested cargo: build scripts that watch it (ring's) would run anew each time.
    for (name, _) in
        env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        command.env_remove(name);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// All programs, as an assignment of the shell for a test that runs elsewhere: it takes these and builds none.
#[must_use]
pub fn list() -> String {
    let programs: Vec<String> = built().iter().map(|(name, path)| format!("{name}={}", path.display())).collect();
    format!("{LISTED}='{}'", programs.join(":"))
}

fn built() -> &'static HashMap<String, PathBuf> {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    BUILT.get_or_init(|| match env::var(LISTED) {
        Ok(programs) => programs.split(':').filter_map(|entry| entry.split_once('=')).map(named).collect(),
        Err(_) => build(),
    })
}

fn named((name, path): (&str, &str)) -> (String, PathBuf) {
    (name.to_owned(), path.into())
}

fn build() -> HashMap<String, PathBuf> {
    let (target, profile) = own_build();
    let output = cargo()
        // The whole workspace's programs, as `cargo xtask test` builds them: fewer would mean other features, and
        // dependencies built once more.
        .args(["build", "--workspace", "--bins", "--examples", "--message-format=json-render-diagnostics"])
        .args(["--profile", &profile])
        .arg("--target-dir")
        .arg(target)
        .stdin(Stdio::null())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "the programs do not build:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().filter_map(executable).collect()
}

/// The target folder and the profile of this test, from where it lies: `TARGET/PROFILE/deps/test`.
fn own_build() -> (PathBuf, String) {
    let own = env::current_exe().expect("a running program has a path");
    let folder = own.parent().and_then(Path::parent).expect("a test lies in TARGET/PROFILE/deps");
    let target = folder.parent().expect("a test lies in TARGET/PROFILE/deps");
    let profile = folder.file_name().and_then(|name| name.to_str()).expect("profiles have plain names");
    (target.into(), if profile == "debug" { "dev".into() } else { profile.into() })
}

/// A program's name and path, from one of cargo's messages.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), path))
}
