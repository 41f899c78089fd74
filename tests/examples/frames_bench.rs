//! Measures the ways of pictures into the page against each other, in the real window on a screen of its own: how long from
//! the other side's camera, and from the moment a picture is due, to the canvas (median and 95th percentile), and what the
//! app and the web view compute meanwhile. Prints the table in `docs/benchmarks.md`, by which the default was chosen.

use std::collections::HashMap;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ahoy_tests::harness::Server;
use ahoy_tests::harness::cli::{Cli, Event, file};
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::family::{Member, members};
use ahoy_tests::harness::media::unpack;
use ahoy_tests::harness::window::Opening;
use rustix::time::{ClockId, clock_gettime};

/// What `--frames` takes. Encoded pictures are VP8, which every WebKitGTK decodes.
const WAYS: [&str; 6] = ["rgba", "i420", "encoded", "rgba,channel", "i420,channel", "encoded,channel"];
/// The beginning of a call, in which buffers fill and the encoder finds its pace.
const SETTLING: Duration = Duration::from_secs(5);
const MEASURING: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let Some(desktop) = Desktop::start() else { return ExitCode::FAILURE };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let clip = file(&unpack(folder.path()).plain.clip);
    println!(
        "| camera | `--frames` | camera to canvas, ms | due to canvas, ms | a second | app | web view | its network |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (size, camera) in [("640x480", clip.as_str()), ("1280x720", "pattern")] {
        // It takes ten new names in an hour, and each call has a peer of its own.
        let server = Server::start();
        for (number, way) in WAYS.iter().enumerate() {
            let bob = format!("bob-{size}-{number}");
            let Some(row) = measure(&desktop, &server, &bob, camera, way) else { return ExitCode::FAILURE };
            println!("| {size} | {way} | {row} |");
        }
    }
    ExitCode::SUCCESS
}

/// One call to a peer with this camera, its pictures shown that way.
fn measure(desktop: &Desktop, server: &Server, name: &str, camera: &str, way: &str) -> Option<String> {
    let bob = Cli::new(server, name).with("--camera", camera).with("--codec", "vp8").with("--microphone", "tone");
    let answering = bob.and(&["--frame-events"]).start_signed_in("answer");
    let arguments = ["--camera", "none", "--microphone", "tone", "--speaker", "none", "--frames", way];
    let signing_in = ["--server", &server.url(), "--user", "alice"];
    let mut alice = Opening::new(desktop).and(&arguments).and(&signing_in).open("alice")?;
    alice.app().wait_for("signed_in");
    alice.wait_for_screen("home");
    alice.call(name);
    answering.wait_for("connected");
    thread::sleep(SETTLING);
    let family = members(alice.app().process().id());
    let before: Vec<Duration> = family.iter().map(Member::computed).collect();
    let began = Instant::now();
    let first_ns = now_ns();
    thread::sleep(MEASURING);
    let seconds = began.elapsed().as_secs_f64();
    let computed = |name: &str| {
        let of_that_name = family.iter().zip(&before).filter(|(member, _)| member.name.starts_with(name));
        let sum: Duration = of_that_name.map(|(member, before)| member.computed().saturating_sub(*before)).sum();
        format!("{:.0} %", sum.as_secs_f64() / seconds * 100.0)
    };
    let cpu = [computed("ahoy"), computed("WebKitWeb"), computed("WebKitNet")].join(" | ");
    let mut drawn = alice.app().all("frame_drawn");
    drawn.retain(|event| event.text("view") == "remote" && event.t_ns() > first_ns);
    let since = |begun: Vec<Event>| {
        let begun: HashMap<u64, u64> = begun.iter().map(|event| (event.number("rtp"), event.t_ns())).collect();
        let took_ms = drawn.iter().filter_map(|event| {
            let begun_ns = begun.get(&event.number("rtp"))?;
            Some(event.t_ns().saturating_sub(*begun_ns) as f64 / 1e6)
        });
        spread(took_ms.collect())
    };
    let (camera_ms, due_ms) = (since(answering.all("frame_captured")), since(alice.app().all("frame_shown")));
    let fps = drawn.len() as f64 / seconds;
    Some(format!("{camera_ms} | {due_ms} | {fps:.1} | {cpu}"))
}

/// The median and the 95th percentile.
fn spread(mut took_ms: Vec<f64>) -> String {
    took_ms.sort_by(f64::total_cmp);
    let at = |part: f64| took_ms.get((took_ms.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    format!("{:.0} / {:.0}", at(0.5), at(0.95))
}

/// The clock of the programs' events.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
