//! The page: `ui/` built into `ui/dist`, which the app then carries inside it.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, ensure};

use crate::cargo::root;
use crate::node::{self, npm};
use crate::report::{self, Outcome};

/// Folders that say nothing about what the page will be.
const NO_SOURCES: [&str; 3] = ["node_modules", "dist", "tests"];

/// Builds the page, unless it is newer than everything that it is made from.
pub(crate) fn build() -> anyhow::Result<()> {
    node::install()?;
    let built = fs::metadata(root().join("ui/dist/index.html")).and_then(|page| page.modified());
    if let Ok(built) = built
        && newest(&root().join("ui"))? < built
        && newest(&root().join("icons"))? < built
    {
        return Ok(());
    }
    println!("running: npm run build in ui/");
    let status = npm(&["run", "build"]).status().context("cannot run npm")?;
    ensure!(status.success(), "the page cannot be built ({status}); the output above says why");
    Ok(())
}

/// Checks its types, then shows each screen in Chromium and checks it there.
pub(crate) fn test() -> anyhow::Result<Outcome> {
    report::run(&mut npm(&["test"]))
}

/// The same, and keeps a picture of each screen in `docs/screens`.
pub(crate) fn screens() -> anyhow::Result<bool> {
    build()?;
    let folder = root().join("docs/screens");
    let folder = folder.to_str().context("the repository's path has characters that npm does not take")?;
    let outcome = report::run(&mut npm(&["test", "--", "--shots", folder]))?;
    if outcome == Outcome::Passed {
        println!("the pictures are in {folder}: look at each of them");
    }
    Ok(outcome == Outcome::Passed)
}

/// Makes the icons of all systems anew from the one picture that they are. They are committed: building needs none of this.
pub(crate) fn icons() -> anyhow::Result<bool> {
    node::install()?;
    Ok(report::run(&mut npm(&["run", "icons"]))? == Outcome::Passed)
}

/// When something below `folder` changed last. A file that was removed changed its folder.
fn newest(folder: &Path) -> anyhow::Result<SystemTime> {
    let mut newest = fs::metadata(folder).and_then(|folder| folder.modified())?;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if NO_SOURCES.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let changed =
            if entry.file_type()?.is_dir() { self::newest(&entry.path())? } else { entry.metadata()?.modified()? };
        newest = newest.max(changed);
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn every_icon_that_the_app_names_is_there() {
        let settings = fs::read_to_string(root().join("src-tauri/tauri.conf.json")).unwrap();
        let mut named = settings.split('"').filter_map(|text| text.strip_prefix("../icons/")).peekable();
        assert!(named.peek().is_some());
        for name in named {
            assert!(root().join("icons").join(name).is_file(), "{name} is not there");
        }
    }

    #[test]
    fn a_change_counts_where_the_page_is_made_from_and_nowhere_else() {
        let folder = std::env::temp_dir().join(format!("ahoy-xtask-page-{}", std::process::id()));
        let old = SystemTime::now() - Duration::from_secs(1000);
        let files =
            ["src/call/Tile.svelte", "node_modules/vite/index.js", "dist/index.html"].map(|file| folder.join(file));
        for file in &files {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        for folder in ["src/call", "src", ""].map(|below| folder.join(below)) {
            File::open(folder).unwrap().set_modified(old).unwrap();
        }
        let [source, _, _] = &files;
        File::options().write(true).open(source).unwrap().set_modified(old + Duration::from_secs(500)).unwrap();
        assert_eq!(newest(&folder).unwrap(), old + Duration::from_secs(500));
        fs::remove_dir_all(&folder).unwrap();
    }
}
