//! Commands that run in the repository's root, `cargo` among them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

/// The `cargo` that runs this program, with `arguments`, separated by spaces.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split_whitespace());
    command
}

/// `program`, in the repository's root, with nothing on its standard input.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    for name in env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        if is_about_this_program(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository")
}

/// Where cargo builds: this program lies two folders below.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("where this program is")?;
    Ok(own.ancestors().nth(2).context("this program is in no target folder")?.to_owned())
}

/// Whether `cargo run` set the variable to describe this program. A nested cargo must not see it: build scripts that watch such
/// a variable (ring's does) would run anew for each change between `cargo xtask test` and a plain `cargo build`.
fn is_about_this_program(name: &str) -> bool {
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_NAME"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_describes_this_program_is_kept_from_its_children_and_settings_are_not() {
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
            assert!(is_about_this_program(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "PATH"] {
            assert!(!is_about_this_program(name), "{name}");
        }
    }
}
