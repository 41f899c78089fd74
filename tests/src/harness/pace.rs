//! How long the tests of `docs/reliability.md` go on: as long as everybody can wait, or as long as the page says.

use std::env;

/// Set to `full` by `cargo xtask endure`.
const VARIABLE: &str = "AHOY_PACE";

/// One of the two.
#[must_use]
pub fn pick<T>(short: T, full: T) -> T {
    if env::var_os(VARIABLE).is_some_and(|pace| pace == "full") { full } else { short }
}
