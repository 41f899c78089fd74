//! Who may import whom, checked on the graph that `cargo tree` prints. ARCHITECTURE.md says why it is so.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail, ensure};

use crate::cargo::cargo;
use crate::report::Outcome;

/// Which of our own crates each of them may import. A crate that is not here may not exist.
const MAY_IMPORT: [(&str, &[&str]); 10] = [
    ("ahoy-protocol", &[]),
    ("ahoy-rtp", &[]),
    ("ahoy-media", &[]),
    ("ahoy-call", &["ahoy-protocol"]),
    ("ahoy-transport", &["ahoy-rtp"]),
    ("ahoy-server", &["ahoy-protocol"]),
    ("ahoy-client", &["ahoy-call", "ahoy-media", "ahoy-protocol", "ahoy-rtp", "ahoy-transport"]),
    ("ahoy-cli", &["ahoy-client"]),
    ("ahoy-app", &["ahoy-client"]),
    ("ahoy", &["ahoy-app"]),
];

/// They import what they check, and nothing imports them.
const CHECKERS: [&str; 3] = ["ahoy-fuzz", "ahoy-tests", "xtask"];

/// Crates of others that only one of ours may reach, so that they can be replaced there. A `*` at the end stands for anything.
const FENCES: [(&str, &[&str]); 3] = [
    ("ahoy-transport", &["webrtc", "webrtc-*", "rtc", "rtc-*"]),
    ("ahoy-media", &["openh264", "openh264-sys2", "opus", "opusic-sys", "sonora", "nokhwa", "v4l", "cpal", "alsa"]),
    ("ahoy", &["tauri", "tauri-*", "wry", "tao", "gtk", "webkit2gtk", "notify-rust"]),
];

/// Passes if the workspace, with its build and test dependencies on every system, obeys.
pub(crate) fn check() -> anyhow::Result<Outcome> {
    let tree = cargo("tree --workspace --edges normal,build,dev --target all --prefix depth")
        .args(["--format", " {p}"])
        .output()
        .context("cannot run cargo tree")?;
    ensure!(tree.status.success(), "cargo tree: {}", String::from_utf8_lossy(&tree.stderr));
    let graph = Graph::parse(&String::from_utf8(tree.stdout).context("cargo tree's output")?)?;
    let violations = violations(&graph);
    for violation in &violations {
        println!("{violation}");
    }
    Ok(match violations.len() {
        0 => Outcome::Passed,
        count => Outcome::Failed(format!("{count} forbidden, listed above")),
    })
}

/// Packages as `name vVERSION`, and what each imports directly.
#[derive(Debug, Default)]
struct Graph {
    imports: BTreeMap<String, BTreeSet<String>>,
    /// The workspace's own packages.
    members: BTreeSet<String>,
}

impl Graph {
    /// Reads lines of `DEPTH NAME vVERSION …`, a workspace member at depth 0. A package's imports are printed at its first
    /// mention only, which is enough here.
    fn parse(tree: &str) -> anyhow::Result<Graph> {
        let mut graph = Graph::default();
        let mut path: Vec<String> = Vec::new();
        for line in tree.lines().filter(|line| !line.is_empty()) {
            let mut words = line.split_whitespace();
            let (Some(depth), Some(name), Some(version)) = (words.next(), words.next(), words.next()) else {
                bail!("cannot read this line of cargo tree: {line}");
            };
            let depth: usize = depth.parse().with_context(|| format!("depth of: {line}"))?;
            ensure!(depth <= path.len(), "a level is missing before: {line}");
            let package = format!("{name} {version}");
            path.truncate(depth);
            match path.last() {
                Some(importer) => {
                    let imports = graph.imports.entry(importer.clone()).or_default();
                    imports.insert(package.clone());
                }
                None => {
                    graph.members.insert(package.clone());
                }
            }
            path.push(package);
        }
        Ok(graph)
    }

    fn imports_of(&self, package: &str) -> impl Iterator<Item = &String> {
        self.imports.get(package).into_iter().flatten()
    }

    /// A way from `start` to a package that `is_goal`, never through one that `is_closed`.
    fn way(
        &self,
        start: &str,
        is_goal: impl Fn(&str) -> bool,
        is_closed: impl Fn(&str) -> bool,
    ) -> Option<Vec<String>> {
        let mut seen = BTreeSet::from([start.to_owned()]);
        let mut open = vec![vec![start.to_owned()]];
        while let Some(way) = open.pop() {
            let last = way.last()?;
            if is_goal(name(last)) {
                return Some(way);
            }
            for import in self.imports_of(last) {
                if !is_closed(name(import)) && seen.insert(import.clone()) {
                    open.push(way.iter().cloned().chain([import.clone()]).collect());
                }
            }
        }
        None
    }
}

/// Every breach of the rule, in words.
fn violations(graph: &Graph) -> Vec<String> {
    let mut found = unknown_crates(graph);
    found.extend(forbidden_imports(graph));
    found.extend(broken_fences(graph));
    found
}

/// Where the rule and the workspace do not speak of the same crates.
fn unknown_crates(graph: &Graph) -> Vec<String> {
    let ruled: BTreeSet<&str> = MAY_IMPORT.iter().map(|(ours, _)| *ours).chain(CHECKERS).collect();
    let here: BTreeSet<&str> = graph.members.iter().map(|package| name(package)).collect();
    let unruled = here.difference(&ruled).map(|ours| format!("{ours} has no place in the import rule"));
    let absent = ruled.difference(&here).map(|ours| format!("the import rule names {ours}, which does not exist"));
    unruled.chain(absent).collect()
}

/// Imports among our own crates that the table does not allow.
fn forbidden_imports(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for (ours, allowed) in MAY_IMPORT {
        for package in graph.members.iter().filter(|package| name(package) == ours) {
            for import in graph.imports_of(package).filter(|import| graph.members.contains(*import)) {
                if !allowed.contains(&name(import)) {
                    found.push(format!("{ours} must not import {}", name(import)));
                }
            }
        }
    }
    found
}

/// Ways to a fenced crate that do not lead through its owner.
fn broken_fences(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for (owner, fenced) in FENCES {
        let is_fenced = |name: &str| fenced.iter().any(|pattern| matches(pattern, name));
        let bound = graph.members.iter().filter(|package| {
            let ours = name(package);
            ours != owner && !CHECKERS.contains(&ours)
        });
        for package in bound {
            if let Some(way) = graph.way(package, is_fenced, |name| name == owner) {
                found.push(format!("only {owner} may reach this: {}", way.join(" -> ")));
            }
        }
    }
    found
}

fn name(package: &str) -> &str {
    package.split(' ').next().unwrap_or(package)
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The workspace as it should be, in the words of `cargo tree`.
    const GOOD: &str = "\
0 ahoy-cli v0.1.0 (/ahoy/crates/cli)
1 ahoy-client v0.1.0 (/ahoy/crates/client)
2 ahoy-call v0.1.0 (/ahoy/crates/call)
3 ahoy-protocol v0.1.0 (/ahoy/crates/protocol)
4 serde v1.0.0
5 serde_derive v1.0.0 (proc-macro)
2 ahoy-media v0.1.0 (/ahoy/crates/media)
3 openh264 v0.9.9
4 openh264-sys2 v0.9.9
2 ahoy-rtp v0.1.0 (/ahoy/crates/rtp)
2 ahoy-transport v0.1.0 (/ahoy/crates/transport)
3 ahoy-rtp v0.1.0 (/ahoy/crates/rtp)
3 webrtc v0.21.1
4 rtc v0.21.1
5 rtc-rtp v0.21.1

0 ahoy-client v0.1.0 (/ahoy/crates/client) (*)

0 ahoy-call v0.1.0 (/ahoy/crates/call) (*)

0 ahoy-media v0.1.0 (/ahoy/crates/media) (*)

0 ahoy-protocol v0.1.0 (/ahoy/crates/protocol) (*)

0 ahoy-rtp v0.1.0 (/ahoy/crates/rtp)

0 ahoy-server v0.1.0 (/ahoy/crates/server)
1 ahoy-protocol v0.1.0 (/ahoy/crates/protocol) (*)

0 ahoy-fuzz v0.1.0 (/ahoy/fuzz)
1 ahoy-protocol v0.1.0 (/ahoy/crates/protocol) (*)
1 ahoy-rtp v0.1.0 (/ahoy/crates/rtp) (*)

0 ahoy-tests v0.1.0 (/ahoy/tests)
1 ahoy-media v0.1.0 (/ahoy/crates/media) (*)
1 ahoy-server v0.1.0 (/ahoy/crates/server) (*)

0 ahoy-transport v0.1.0 (/ahoy/crates/transport) (*)

0 xtask v0.1.0 (/ahoy/xtask)

0 ahoy v0.1.0 (/ahoy/src-tauri)
1 ahoy-app v0.1.0 (/ahoy/crates/app)
2 ahoy-client v0.1.0 (/ahoy/crates/client) (*)
1 tauri v2.12.5
2 wry v0.57.1

0 ahoy-app v0.1.0 (/ahoy/crates/app) (*)
";

    fn violations_of(tree: &str) -> Vec<String> {
        violations(&Graph::parse(tree).unwrap())
    }

    #[test]
    fn the_house_as_planned_obeys() {
        assert_eq!(violations_of(GOOD), [""; 0]);
    }

    #[test]
    fn an_import_against_the_arrows_is_found() {
        let tree = GOOD.replace(
            "0 ahoy-server v0.1.0 (/ahoy/crates/server)\n",
            "0 ahoy-server v0.1.0 (/ahoy/crates/server)\n1 ahoy-rtp v0.1.0 (/ahoy/crates/rtp)\n",
        );
        assert_eq!(violations_of(&tree), ["ahoy-server must not import ahoy-rtp"]);
    }

    #[test]
    fn nothing_imports_what_checks_it() {
        let tree = GOOD.replace(
            "2 ahoy-rtp v0.1.0 (/ahoy/crates/rtp)\n",
            "2 ahoy-rtp v0.1.0 (/ahoy/crates/rtp)\n3 ahoy-tests v0.1.0 (/ahoy/tests)\n",
        );
        assert_eq!(violations_of(&tree), ["ahoy-rtp must not import ahoy-tests"]);
    }

    #[test]
    fn a_fenced_crate_is_found_also_behind_others_and_by_its_parts() {
        let behind = GOOD.replace("4 serde v1.0.0\n", "4 serde v1.0.0\n5 sly v1.0.0\n6 rtc-rtp v0.21.1\n");
        let found = violations_of(&behind);
        // The protocol crate and the six above it; the client also reaches it by its own way through the transport.
        assert_eq!(found.len(), 7, "{found:#?}");
        assert!(found.contains(
            &"only ahoy-transport may reach this: ahoy-protocol v0.1.0 -> serde v1.0.0 -> sly v1.0.0 -> rtc-rtp v0.21.1"
                .to_owned()
        ));
        let direct = GOOD.replace(
            "1 ahoy-client v0.1.0 (/ahoy/crates/client)\n",
            "1 openh264-sys2 v0.9.9\n1 ahoy-client v0.1.0 (/ahoy/crates/client)\n",
        );
        assert_eq!(violations_of(&direct), ["only ahoy-media may reach this: ahoy-cli v0.1.0 -> openh264-sys2 v0.9.9"]);
        let window = GOOD.replace(
            "2 ahoy-client v0.1.0 (/ahoy/crates/client) (*)\n1 tauri",
            "2 ahoy-client v0.1.0 (/ahoy/crates/client) (*)\n2 tauri v2.12.5\n1 tauri",
        );
        assert_eq!(violations_of(&window), ["only ahoy may reach this: ahoy-app v0.1.0 -> tauri v2.12.5"]);
    }

    #[test]
    fn a_crate_unknown_to_the_rule_is_found_and_so_is_a_rule_without_its_crate() {
        let tree = GOOD.replace("0 ahoy-rtp v0.1.0 (/ahoy/crates/rtp)\n", "0 ahoy-new v0.1.0 (/ahoy/crates/new)\n");
        assert_eq!(
            violations_of(&tree),
            ["ahoy-new has no place in the import rule", "the import rule names ahoy-rtp, which does not exist"]
        );
    }

    #[test]
    fn the_tables_name_only_crates_that_they_know() {
        let ruled: Vec<&str> = MAY_IMPORT.iter().map(|(ours, _)| *ours).collect();
        for (ours, allowed) in MAY_IMPORT {
            assert!(allowed.iter().all(|other| ruled.contains(other) && *other != ours), "{ours}");
        }
        assert!(FENCES.iter().all(|(owner, _)| ruled.contains(owner)));
    }

    #[test]
    fn what_is_no_tree_is_an_error() {
        for text in ["ahoy-cli v0.1.0", "0 ahoy-cli", "0 a v1\n2 b v1"] {
            assert!(Graph::parse(text).is_err(), "{text}");
        }
    }
}
