//! Measures the window, on a screen of its own, and prints a table: from starting the program to a painted window, from
//! accepting a call to its first picture on the canvas, from a camera to the other's canvas, and what it costs. It looks
//! from outside: at what the programs report and at `/proc`. Run by `cargo xtask bench window`.

use std::collections::HashMap;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ahoy_tests::harness::Server;
use ahoy_tests::harness::cli::{Cli, Event, file};
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::family::{Member, members};
use ahoy_tests::harness::media::unpack;
use ahoy_tests::harness::window::{Opening, Window};
use rustix::time::{ClockId, clock_gettime};

const STARTS: usize = 10;
/// More than nine in a minute are too many for the one who is called.
const CALLS: usize = 8;

/// The beginning of a call, in which buffers fill and the encoder finds its pace.
const SETTLING: Duration = Duration::from_secs(5);
const MEASURING: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let clip = file(&unpack(folder.path()).plain.clip);
    println!("| | |\n|---|---|");
    if !measure_starts()
        || !measure_accepting()
        || !measure_call("640x480", &clip)
        || !measure_call("1280x720", "pattern")
    {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// From starting the program to the first paint of the page with something to do on it.
fn measure_starts() -> bool {
    let Some(desktop) = Desktop::start() else { return false };
    let server = Server::start();
    let mut took_ms = Vec::new();
    for _ in 0..STARTS {
        let began_ns = now_ns();
        let Some(alice) = opening(&desktop, &server, "none").open("alice") else { return false };
        took_ms.push(milliseconds(began_ns, alice.wait_for_nth("window_painted", 0).t_ns()));
    }
    row("start to painted window", &spread(took_ms));
    true
}

/// From accepting to the first picture of the other on the canvas.
fn measure_accepting() -> bool {
    let Some(desktop) = Desktop::start() else { return false };
    let server = Server::start();
    let Some(mut alice) = opening(&desktop, &server, "pattern").open("alice") else { return false };
    alice.app().wait_for("signed_in");
    let mut took_ms = Vec::new();
    for number in 0..CALLS {
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
    row("accept to first picture on the canvas", &spread(took_ms));
    true
}

/// From the other's camera to the canvas, what the programs compute meanwhile and what they hold.
fn measure_call(size: &str, camera: &str) -> bool {
    let Some(desktop) = Desktop::start() else { return false };
    let server = Server::start();
    let bob = Cli::new(&server, "bob").with("--camera", camera).with("--microphone", "tone").and(&["--frame-events"]);
    let answering = bob.start_signed_in("answer");
    let Some(mut alice) = opening(&desktop, &server, camera).open("alice") else { return false };
    alice.app().wait_for("signed_in");
    alice.wait_for_screen("home");
    thread::sleep(SETTLING);
    let idle_kb = memory_kb(&members_of(&mut alice));
    alice.call("bob");
    answering.wait_for("connected");
    thread::sleep(SETTLING);
    let before: HashMap<u32, Duration> =
        members_of(&mut alice).iter().map(|member| (member.id, member.computed())).collect();
    let began = Instant::now();
    let first_ns = now_ns();
    thread::sleep(MEASURING);
    let seconds = began.elapsed().as_secs_f64();
    let family = members_of(&mut alice);
    println!("| **a call with {size}** | |");
    for member in &family {
        let computed = member.computed().saturating_sub(*before.get(&member.id).unwrap_or(&Duration::ZERO));
        row(&format!("CPU of {}", member.name), &format!("{:.0} %", computed.as_secs_f64() / seconds * 100.0));
    }
    row("memory, idle / in the call", &format!("{} / {} MB", idle_kb / 1000, memory_kb(&family) / 1000));
    let captured: HashMap<u64, u64> =
        answering.all("frame_captured").iter().map(|event| (event.number("rtp"), event.t_ns())).collect();
    let took_ms: Vec<f64> = remote_drawn(&mut alice)
        .iter()
        .filter(|event| event.t_ns() > first_ns)
        .filter_map(|event| Some(milliseconds(*captured.get(&event.number("rtp"))?, event.t_ns())))
        .collect();
    let fps = took_ms.len() as f64 / seconds;
    row("camera to the other's canvas", &format!("{}, {fps:.1} pictures a second", spread(took_ms)));
    alice.click("Hang up");
    true
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

/// The clock of the programs' events.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn milliseconds(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e6
}

/// The median and the 95th percentile.
fn spread(mut values_ms: Vec<f64>) -> String {
    values_ms.sort_by(f64::total_cmp);
    let at = |part: f64| values_ms.get((values_ms.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    format!("p50 {:.0} ms, p95 {:.0} ms", at(0.5), at(0.95))
}

fn row(what: &str, figure: &str) {
    println!("| {what} | {figure} |");
}
