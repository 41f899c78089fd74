//! The page's types are made from ours and committed. The test here says when they are stale, and writes them where
//! `AHOY_WRITE_BINDINGS=1` says so: `AHOY_WRITE_BINDINGS=1 cargo test --workspace --lib bindings`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ts_rs::TS;

use crate::command::{Command, CommandError};
use crate::frames::wire::{Hello, PageMessage};
use crate::page::{Attached, PageEvent};

/// Exports everything that crosses to the page, and what it is made of.
fn export_into(folder: &Path) {
    let config = ts_rs::Config::new().with_out_dir(folder);
    Attached::export_all(&config).unwrap();
    PageEvent::export_all(&config).unwrap();
    Command::export_all(&config).unwrap();
    CommandError::export_all(&config).unwrap();
    Hello::export_all(&config).unwrap();
    PageMessage::export_all(&config).unwrap();
}

fn files_in(folder: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

#[test]
fn the_bindings_of_the_page_are_those_of_the_types() {
    let committed: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "ui", "src", "bindings"].iter().collect();
    let fresh = tempfile::tempdir().unwrap();
    export_into(fresh.path());
    let made = files_in(fresh.path());
    assert!(made.contains_key("AppView.ts") && made.contains_key("Command.ts"), "{:?}", made.keys());
    if std::env::var("AHOY_WRITE_BINDINGS").is_ok_and(|write| write == "1") {
        fs::create_dir_all(&committed).unwrap();
        for stale in files_in(&committed).keys().filter(|name| !made.contains_key(*name)) {
            fs::remove_file(committed.join(stale)).unwrap();
        }
        for (name, text) in &made {
            fs::write(committed.join(name), text).unwrap();
        }
    }
    let there = files_in(&committed);
    let differs = |name: &&String| made.get(*name) != there.get(*name);
    let stale: Vec<&String> = made.keys().chain(there.keys()).filter(differs).collect();
    assert!(stale.is_empty(), "stale in ui/src/bindings: {stale:?}; write them with AHOY_WRITE_BINDINGS=1");
}
