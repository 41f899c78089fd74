//! The word of a test that cannot run on this machine. Also part of the tests of `ahoy-media`, by its path.

use std::fmt::Display;
use std::io::{Write as _, stderr};

/// Says on standard error that the running test is skipped, and why.
pub fn skipped(why: impl Display) {
    // Not eprintln!: what that prints libtest captures, and shows of failing tests only. A skipped one passes.
    // Where nobody reads there is nobody to tell.
    let _ = writeln!(stderr(), "skipped: {why}");
}
