//! The pure crates take the time as an argument. What keeps them so is a `clippy.toml` in each that bans the clocks; here is
//! checked that it stands there and does.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::report::Outcome;

const PURE_CRATES: [&str; 2] = ["crates/call", "crates/rtp"];
const BANNED: [&str; 2] = ["std::time::Instant::now", "std::time::SystemTime::now"];

/// Passes if every pure crate bans every clock.
pub(crate) fn check(root: &Path) -> anyhow::Result<Outcome> {
    let mut missing = Vec::new();
    for folder in PURE_CRATES {
        let path = root.join(folder).join("clippy.toml");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{} is a pure crate and must ban the clocks", path.display()))?;
        missing.extend(missing_bans(&text).map(|clock| format!("{folder}/clippy.toml lacks {clock}")));
    }
    Ok(if missing.is_empty() { Outcome::Passed } else { Outcome::Failed(missing.join("; ")) })
}

/// The clocks that a `clippy.toml` does not name outside its comments.
fn missing_bans(clippy_toml: &str) -> impl Iterator<Item = &'static str> {
    let settings: Vec<String> =
        clippy_toml.lines().map(|line| line.split('#').next().unwrap_or_default().to_owned()).collect();
    BANNED.into_iter().filter(move |clock| {
        let quoted = format!("\"{clock}\"");
        !settings.iter().any(|line| line.contains(&quoted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_counts_only_where_clippy_would_read_it() {
        let both = r#"disallowed-methods = ["std::time::Instant::now", { path = "std::time::SystemTime::now" }]"#;
        assert_eq!(missing_bans(both).count(), 0);
        let one = "disallowed-methods = [\n  \"std::time::Instant::now\",\n  # \"std::time::SystemTime::now\",\n]";
        assert_eq!(missing_bans(one).collect::<Vec<_>>(), ["std::time::SystemTime::now"]);
        assert_eq!(missing_bans("").count(), 2);
    }

    #[test]
    fn a_pure_crate_without_the_file_is_an_error() {
        assert!(check(Path::new("no/such/folder")).is_err());
    }
}
