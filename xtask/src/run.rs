//! `cargo xtask run`: the app, a server of its own, and somebody to call. Nothing of it touches a person's own Ahoy: names,
//! keys and settings are kept below the target folder.

use std::env;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cargo::{cargo, target};
use crate::children::Running;
use crate::{page, setup};

/// How long the server and the echo may take to start, also on a busy machine.
const READY: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// Names that no person can have, or that somebody else has here.
const TAKEN: [&str; 7] = ["admin", "root", "server", "system", "support", "ahoy", "echo"];

/// Who sits before a window, and what else its program is told.
struct Person {
    username: String,
    arguments: Vec<String>,
}

/// Runs the app, once or `twice`, until its last window is closed. `extra` arguments go to the app.
pub(crate) fn run(twice: bool, extra: &[String]) -> anyhow::Result<bool> {
    ensure!(
        !cfg!(target_os = "linux") || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some()),
        "there is no display to open a window on: run this in a desktop session"
    );
    setup::to_build()?;
    page::build()?;
    build_programs()?;
    let folder = target()?.join("debug");
    let (server, url) = start_server(&folder)?;
    let mut company = vec![server];
    if !twice {
        // Before the server: they end in this order, and nobody loses a connection.
        company.insert(0, start_echo(&folder, &url)?);
    }
    let people = people(twice);
    let mut windows = Vec::new();
    for person in &people {
        windows.push(start_app(&folder, &url, person, extra)?);
    }
    println!("{}", guide(&people));
    wait(&mut windows, &mut company)
}

/// The programs as the tests build them too, so that nothing is compiled twice. This one is running and stays as it is.
fn build_programs() -> anyhow::Result<()> {
    println!("building; the first time takes many minutes, later ones seconds");
    let status = cargo("build --workspace --exclude xtask --bins").status().context("cannot run cargo")?;
    ensure!(status.success(), "the app cannot be built ({status}); the output above says why");
    Ok(())
}

fn start_server(folder: &Path) -> anyhow::Result<(Running, String)> {
    let arguments = ["--listen".to_owned(), "127.0.0.1:0".to_owned(), "--data-dir".to_owned(), data(folder, "server")];
    Running::start_and_hear("the server", &program(folder, "ahoy-server"), &arguments, READY, |line| {
        line.strip_prefix("listening on ").map(|url| url.trim().to_owned())
    })
}

fn start_echo(folder: &Path, url: &str) -> anyhow::Result<Running> {
    let mut arguments = account(folder, url, "echo");
    arguments.extend(["--events", "-", "echo"].map(str::to_owned));
    let ready = |line: &str| line.contains("\"signed_in\"").then_some(());
    let (echo, ()) = Running::start_and_hear("the echo", &program(folder, "ahoy-cli"), &arguments, READY, ready)?;
    Ok(echo)
}

fn start_app(folder: &Path, url: &str, person: &Person, extra: &[String]) -> anyhow::Result<Running> {
    let mut arguments = account(folder, url, &person.username);
    arguments.extend(person.arguments.iter().chain(extra).cloned());
    Running::start(&format!("{}'s window", person.username), &program(folder, "ahoy"), &arguments)
}

/// What the app and the command-line peer are told alike.
fn account(folder: &Path, url: &str, username: &str) -> Vec<String> {
    let data = data(folder, username);
    ["--server", url, "--user", username, "--data-dir", &data, "--loopback"].map(str::to_owned).to_vec()
}

fn program(folder: &Path, name: &str) -> String {
    folder.join(format!("{name}{}", env::consts::EXE_SUFFIX)).display().to_string()
}

fn data(folder: &Path, whose: &str) -> String {
    folder.join("xtask-run").join(whose).display().to_string()
}

fn people(twice: bool) -> Vec<Person> {
    let person = |username: &str, arguments: &[&str]| Person {
        username: username.to_owned(),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
    };
    if twice {
        // Two programs cannot share a camera, and a microphone and a speaker on each side of one desk would howl.
        let silent = ["--camera", "pattern", "--microphone", "none", "--speaker", "none"];
        vec![person("alice", &[]), person("bob", &silent)]
    } else {
        let system = env::var("USER").or_else(|_| env::var("USERNAME")).unwrap_or_default();
        vec![person(&username(&system), &[])]
    }
}

/// A name that can be called, made from the one that somebody has on this machine.
fn username(system: &str) -> String {
    let name: String = system
        .chars()
        .map(|letter| letter.to_ascii_lowercase())
        .filter(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '.' | '_' | '-'))
        .skip_while(|letter| !letter.is_ascii_alphanumeric())
        .take(32)
        .collect();
    if name.is_empty() || TAKEN.contains(&name.as_str()) || name.starts_with("guest-") { "me".to_owned() } else { name }
}

fn guide(people: &[Person]) -> String {
    match people {
        [person] => format!(
            "\nYou are signed in as {}. Type echo into the window and press Enter: you will see and hear yourself.\n\
             Quit with Ctrl+Q in the window or Ctrl+C here.",
            person.username
        ),
        people => {
            let names: Vec<&str> = people.iter().map(|person| person.username.as_str()).collect();
            format!(
                "\nTwo windows: {}. In alice's, type bob and press Enter; accept in bob's.\n\
                 bob shows a moving test picture and is silent, so that both can run at one desk.\n\
                 Quit with Ctrl+Q in each window or Ctrl+C here.",
                names.join(" and ")
            )
        }
    }
}

/// Waits until the last window is gone, and says whether all ended well.
fn wait(windows: &mut Vec<Running>, company: &mut [Running]) -> anyhow::Result<bool> {
    let mut well = true;
    while !windows.is_empty() {
        thread::sleep(LOOK);
        for other in &mut *company {
            let ended = other.ended()?;
            ensure!(ended.is_none(), "{} ended before the app did; the lines above say why", other.name());
        }
        let mut open = Vec::new();
        for mut window in windows.drain(..) {
            match window.ended()? {
                None => open.push(window),
                Some(status) if status.success() => {}
                Some(status) => {
                    println!("{} ended badly ({status})", window.name());
                    well = false;
                }
            }
        }
        *windows = open;
    }
    Ok(well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_system_name_becomes_one_that_can_be_called() {
        for (system, expected) in [
            ("ada", "ada"),
            ("Ada Lovelace", "adalovelace"),
            ("DOMAIN\\ada", "domainada"),
            ("_apt", "apt"),
            ("ädä", "d"),
            ("", "me"),
            ("ж", "me"),
            ("echo", "me"),
            ("root", "me"),
            ("guest-1", "me"),
        ] {
            assert_eq!(username(system), expected, "{system}");
        }
        assert_eq!(username(&"a".repeat(40)).len(), 32);
    }

    #[test]
    fn two_people_are_apart_in_everything_they_keep() {
        let folder = Path::new("target/debug");
        let [alice, bob] = people(true).try_into().ok().unwrap();
        assert_ne!(alice.username, bob.username);
        assert_ne!(data(folder, &alice.username), data(folder, &bob.username));
        assert!(guide(&[alice, bob]).contains("alice and bob"));
    }
}
