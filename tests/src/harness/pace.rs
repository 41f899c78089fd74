//! How long the tests of `docs/reliability.md` go on: as long as everybody can wait, or as long as the page says.

use std::env;
use std::time::Duration;

/// Set to `full` by `cargo xtask endure`.
const VARIABLE: &str = "AHOY_PACE";

/// One of the two.
#[must_use]
pub fn pick<T>(short: T, full: T) -> T {
    if env::var_os(VARIABLE).is_some_and(|pace| pace == "full") { full } else { short }
}

/// What a row of the page allows; at the short pace, which everybody's machine keeps beside whatever else it does, something
/// more.
#[must_use]
pub fn allow(bar: Duration) -> Duration {
    bar + pick(BUSY, Duration::ZERO)
}

/// How long a busy machine may hold everything up.
const BUSY: Duration = Duration::from_secs(2);
