//! What a call costs: processor time and memory of each side's processes, picture and sound both ways at 640x480, 30 a
//! second, nothing watched or recorded. Two `ahoy-cli` and two Chromium call each other on the clean link; the app in its
//! window calls an `ahoy-cli` on this machine.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use ahoy_tests::harness::cli::{Cli, file};
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::family::{Member, members};
use ahoy_tests::harness::lab::{End, Lab, LinkChoice};
use ahoy_tests::harness::watch::Sends;
use ahoy_tests::harness::window::Opening;
use ahoy_tests::harness::{Server, chromium};
use serde_json::{Value, json};

use crate::attempt::attempt;
use crate::calls::server_urls;
use crate::clip::Clip;
use crate::figures::{Ratio, cell, median, number, rounded};
use crate::options::Options;
use crate::report::{Outcome, Report, Table};

const LINK: &str = "clean-20ms";
const TO_SERVER: Duration = Duration::from_millis(10);
const SETTLING: Duration = Duration::from_secs(10);
const ROUNDS: u32 = 3;

/// What one side of a call costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Processor seconds in a minute of call.
    cpu_s: f64,
    /// What its processes hold in memory (PSS), in MiB.
    memory_mib: f64,
}

type Measure = fn(&Course, &Clip) -> Option<Cost>;

/// How a call is measured.
struct Course {
    settling: Duration,
    measuring: Duration,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let clip = Clip::write(folder.path());
    let course = if options.smoke {
        Course { settling: Duration::from_secs(1), measuring: Duration::from_secs(2) }
    } else {
        Course { settling: SETTLING, measuring: options.round(ROUNDS) }
    };
    let mut kinds: Vec<(&str, Measure)> = vec![("`ahoy-cli`", cli), ("the app with its web view", app)];
    if options.with_chromium() {
        kinds.push(("Chromium", pages));
    }
    let mut costs: Vec<Vec<Cost>> = kinds.iter().map(|_| Vec::new()).collect();
    for round in 1..=if options.smoke { 1 } else { ROUNDS } {
        for ((name, measure), costs) in kinds.iter().zip(&mut costs) {
            // Standard error says what is not here; its row stays empty.
            let Some(cost) = attempt(name, || measure(&course, &clip)) else { continue };
            eprintln!("{name} {round}: {cost:?}");
            costs.push(cost);
        }
    }
    Outcome::Measured(report(&kinds, &costs))
}

fn report(kinds: &[(&str, Measure)], costs: &[Vec<Cost>]) -> Report {
    let columns =
        ["one side of a call", "CPU seconds a minute", "ratio to Chromium", "memory, MiB", "ratio to Chromium"];
    let mut table = Table::new("", &columns);
    let mut figures = Vec::new();
    let values = |costs: &[Cost], of: fn(&Cost) -> f64| costs.iter().map(of).collect::<Vec<_>>();
    let theirs = kinds.iter().position(|(name, _)| *name == "Chromium").map(|at| &costs[at][..]).unwrap_or_default();
    for ((name, _), ours) in kinds.iter().zip(costs) {
        let figure = |of: fn(&Cost) -> f64, digits: usize| {
            [number(median(&values(ours, of)), digits), cell(Ratio::of(&values(ours, of), &values(theirs, of)))]
        };
        let [cpu, memory] = [figure(|cost| cost.cpu_s, 1), figure(|cost| cost.memory_mib, 0)];
        table.row([[(*name).to_owned()].as_slice(), &cpu, &memory].concat());
        let all = |of| values(ours, of).into_iter().map(rounded).collect::<Vec<Value>>();
        figures.push(json!({
            "side": name.trim_matches('`'),
            "cpu_s_a_minute": all(|cost| cost.cpu_s),
            "memory_mib": all(|cost| cost.memory_mib),
        }));
    }
    Report { tables: vec![table], figures: figures.into() }
}

/// A side of a call between two `ahoy-cli`, in the mean of both.
fn cli(course: &Course, clip: &Clip) -> Option<Cost> {
    let lab = Lab::start(&LinkChoice::profile(LINK), None)?;
    let server = Server::start();
    let urls = server_urls(&lab, &server, TO_SERVER);
    let peer = |url: &str, name| peer(Cli::at(url, name).over_the_network(), clip);
    let mut answering = lab.enter(End::B, || peer(&urls[1], "bob").start_signed_in("answer"));
    let mut calling = lab.enter(End::A, || peer(&urls[0], "alice").start("call bob"));
    answering.wait_for("first_frame");
    let cost = course.measure(&[calling.process().id(), answering.process().id()]);
    calling.process().interrupt();
    calling.ends_with(0);
    answering.ends_with(0);
    Some(cost)
}

/// The app, with the web view's processes.
fn app(course: &Course, clip: &Clip) -> Option<Cost> {
    let desktop = Desktop::start()?;
    let server = Server::start();
    let answering = peer(Cli::new(&server, "bob"), clip).start_signed_in("answer");
    let clip_file = file(&clip.source.clip);
    let speech = file(&clip.source.speech);
    let devices = ["--camera", &clip_file, "--microphone", &speech, "--speaker", "none"];
    let signing_in = ["--server", &server.url(), "--user", "alice"];
    let mut alice = Opening::new(&desktop).and(&devices).and(&signing_in).open("alice")?;
    alice.app().wait_for("signed_in");
    alice.wait_for_screen("home");
    alice.call("bob");
    answering.wait_for("first_frame");
    let cost = course.measure(&[alice.app().process().id()]);
    alice.click("Hang up");
    Some(cost)
}

/// A side of a call between two Chromium, in the mean of both.
fn pages(course: &Course, clip: &Clip) -> Option<Cost> {
    let lab = Lab::start(&LinkChoice::profile(LINK), None)?;
    let server = Server::start();
    let urls = server_urls(&lab, &server, TO_SERVER);
    let mut bob = chromium::open_in(&lab, End::B, &urls[1], "guest-bob", &clip.source)?;
    let mut alice = chromium::open_in(&lab, End::A, &urls[0], "guest-alice", &clip.source)?;
    let sends = Sends { audio: true, video: true };
    bob.take_next(sends);
    alice.dial("guest-bob", sends);
    bob.wait_for("first_frame");
    let cost = course.measure(&[alice.process().id(), bob.process().id()]);
    alice.hang_up();
    Some(cost)
}

fn peer(cli: Cli, clip: &Clip) -> Cli {
    cli.with("--camera", &file(&clip.source.clip)).with("--microphone", &file(&clip.source.speech))
}

impl Course {
    /// What these programs, with all that they started, cost each in the mean.
    fn measure(&self, programs: &[u32]) -> Cost {
        thread::sleep(self.settling);
        let family = || programs.iter().flat_map(|id| members(*id)).collect::<Vec<_>>();
        let before: HashMap<u32, Duration> = family().iter().map(|member| (member.id, member.computed())).collect();
        let began = Instant::now();
        thread::sleep(self.measuring);
        let after = family();
        let minutes = began.elapsed().as_secs_f64() / 60.0;
        let computed = |member: &Member| {
            let before = before.get(&member.id).copied().unwrap_or_default();
            member.computed().saturating_sub(before).as_secs_f64()
        };
        let sides = programs.len() as f64;
        Cost {
            cpu_s: after.iter().map(computed).sum::<f64>() / minutes / sides,
            memory_mib: after.iter().map(Member::memory_kb).sum::<u64>() as f64 / 1024.0 / sides,
        }
    }
}
