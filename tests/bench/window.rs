//! Measures the window, on a screen of its own, and prints a table: from starting the program to a painted window, from
//! accepting a call to its first picture on the canvas, from a camera to the other's canvas, and what it costs. It looks
//! from outside: at what the programs report and at `/proc`.

use std::collections::{BTreeMap, HashMap};
use std::thread;
use std::time::{Duration, Instant};

use ahoy_tests::harness::Server;
use ahoy_tests::harness::cli::{Cli, Event, file};
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::family::{Member, members};
use ahoy_tests::harness::media::unpack;
use ahoy_tests::harness::window::{Opening, Window};
use serde_json::json;

use crate::calls::monotonic_ns;
use crate::figures::{median, quantile};
use crate::options::Options;
use crate::report::{Outcome, Report, Table};

const STARTS: usize = 10;
/// More than nine in a minute are too many for the one who is called.
const CALLS: usize = 8;

/// The beginning of a call, in which buffers fill and the encoder finds its pace.
const SETTLING: Duration = Duration::from_secs(5);
const MEASURING: Duration = Duration::from_secs(20);

pub(crate) fn run(options: &Options) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let clip = file(&unpack(folder.path()).plain.clip);
    let mut table = Table::new("", &["", "640x480", "1280x720"]);
    let mut figures = serde_json::Map::new();
    let mut add = |name: &str, cells: [String; 2]| {
        figures.insert(name.to_owned(), json!(cells));
        table.row([vec![name.to_owned()], cells.to_vec()].concat());
    };
    let lacking = || Outcome::Skipped("the window cannot be shown or driven; standard error says why".into());
    let Some(starts) = measure_starts(options) else { return lacking() };
    add("start to painted window", [starts, String::new()]);
    let Some(accepting) = measure_accepting(options) else { return lacking() };
    add("accept to first picture on the canvas", [accepting, String::new()]);
    let Some(small) = measure_call(&clip, options) else { return lacking() };
    let Some(large) = measure_call("pattern", options) else { return lacking() };
    for (name, small) in small {
        let large = large.get(&name).cloned().unwrap_or_default();
        add(&name, [small, large]);
    }
    Outcome::Measured(Report { tables: vec![table], figures: figures.into() })
}

/// From starting the program to the first paint of the page with something to do on it.
fn measure_starts(options: &Options) -> Option<String> {
    let desktop = Desktop::start()?;
    let server = Server::start();
    let mut took_ms = Vec::new();
    for _ in 0..if options.smoke { 1 } else { STARTS } {
        let began_ns = monotonic_ns();
        let alice = opening(&desktop, &server, "none").open("alice")?;
        took_ms.push(milliseconds(began_ns, alice.wait_for_nth("window_painted", 0).t_ns()));
    }
    Some(spread(&took_ms))
}

/// From accepting to the first picture of the other on the canvas.
fn measure_accepting(options: &Options) -> Option<String> {
    let desktop = Desktop::start()?;
    let server = Server::start();
    let mut alice = opening(&desktop, &server, "pattern").open("alice")?;
    alice.app().wait_for("signed_in");
    let mut took_ms = Vec::new();
    for number in 0..if options.smoke { 1 } else { CALLS } {
        let bob = Cli::new(&server, &format!("caller-{number}")).with_media();
        let mut calling = bob.start("call alice");
        alice.click("Answer with picture");
        let accepted = alice.wait_for_nth("accepted", number);
        let drawn = wait_for_remote_drawn(&mut alice, accepted.t_ns());
        took_ms.push(milliseconds(accepted.t_ns(), drawn.t_ns()));
        calling.process().interrupt();
        calling.ends_with(0);
        alice.wait_for_screen("ended");
        alice.click("Back to home");
    }
    Some(spread(&took_ms))
}

/// From the other's camera to the canvas, what the programs compute meanwhile and what they hold.
fn measure_call(camera: &str, options: &Options) -> Option<BTreeMap<String, String>> {
    let desktop = Desktop::start()?;
    let server = Server::start();
    let bob = Cli::new(&server, "bob").with("--camera", camera).with("--microphone", "tone").and(&["--frame-events"]);
    let answering = bob.start_signed_in("answer");
    let mut alice = opening(&desktop, &server, camera).open("alice")?;
    alice.app().wait_for("signed_in");
    alice.wait_for_screen("home");
    thread::sleep(if options.smoke { Duration::ZERO } else { SETTLING });
    let idle_kb = memory_kb(&members_of(&mut alice));
    alice.call("bob");
    answering.wait_for("connected");
    thread::sleep(if options.smoke { Duration::ZERO } else { SETTLING });
    let before: HashMap<u32, Duration> =
        members_of(&mut alice).iter().map(|member| (member.id, member.computed())).collect();
    let began = Instant::now();
    let first_ns = monotonic_ns();
    thread::sleep(if options.smoke { Duration::from_secs(2) } else { MEASURING });
    let seconds = began.elapsed().as_secs_f64();
    let family = members_of(&mut alice);
    let mut rows = BTreeMap::new();
    let mut percents = BTreeMap::<&str, f64>::new();
    for member in &family {
        let computed = member.computed().saturating_sub(*before.get(&member.id).unwrap_or(&Duration::ZERO));
        let percent = computed.as_secs_f64() / seconds * 100.0;
        *percents.entry(&member.name).or_default() += percent;
    }
    for (name, percent) in percents {
        rows.insert(format!("CPU of {name}, in percent of a core"), format!("{percent:.0}"));
    }
    let memory = format!("{} / {} MiB", idle_kb / 1024, memory_kb(&family) / 1024);
    rows.insert("memory of all (PSS), idle / in the call".to_owned(), memory);
    let captured: HashMap<u64, u64> =
        answering.all("frame_captured").iter().map(|event| (event.number("rtp"), event.t_ns())).collect();
    let took_ms: Vec<f64> = remote_drawn(&mut alice)
        .iter()
        .filter(|event| event.t_ns() > first_ns)
        .filter_map(|event| Some(milliseconds(*captured.get(&event.number("rtp"))?, event.t_ns())))
        .collect();
    let fps = took_ms.len() as f64 / seconds;
    rows.insert("camera to the other's canvas".to_owned(), format!("{}, {fps:.1} a second", spread(&took_ms)));
    alice.click("Hang up");
    Some(rows)
}

fn opening(desktop: &Desktop, server: &Server, camera: &str) -> Opening {
    let sound = ["--microphone", "tone", "--speaker", "none", "--camera", camera];
    Opening::new(desktop).and(&sound).and(&["--server", &server.url(), "--user", "alice"])
}

/// The app and what WebKit runs for it.
fn members_of(alice: &mut Window) -> Vec<Member> {
    members(alice.app().process().id())
}

fn memory_kb(family: &[Member]) -> u64 {
    family.iter().map(Member::memory_kb).sum()
}

/// The first picture of the other side that was drawn after that.
fn wait_for_remote_drawn(alice: &mut Window, after_ns: u64) -> Event {
    let first = alice.app().all("frame_drawn").len().saturating_sub(1);
    let mut drawn = (first..).map(|number| {
        alice.wait_for_nth("frame_drawn", number);
        remote_drawn(alice).into_iter().find(|event| event.t_ns() > after_ns)
    });
    drawn.find_map(|found| found).expect("numbers do not end")
}

fn remote_drawn(alice: &mut Window) -> Vec<Event> {
    let mut drawn = alice.app().all("frame_drawn");
    drawn.retain(|event| event.text("view") == "remote");
    drawn
}

fn milliseconds(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e6
}

/// The median and the 95th percentile.
fn spread(values_ms: &[f64]) -> String {
    format!("p50 {:.0} ms, p95 {:.0} ms", median(values_ms), quantile(values_ms, 0.95))
}
