//! Measures the ways of pictures into the page against each other, in the real window on a screen of its own: how long from
//! the other side's camera, and from the moment a picture is due, to the canvas (median and 95th percentile), and what the
//! app and the web view compute meanwhile. By this the default was chosen.

use std::collections::{BTreeMap, HashMap};
use std::thread;
use std::time::{Duration, Instant};

use ahoy_tests::harness::Server;
use ahoy_tests::harness::cli::{Cli, Event, file};
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::family::{Member, members};
use ahoy_tests::harness::media::unpack;
use ahoy_tests::harness::window::Opening;
use serde_json::json;

use crate::calls::monotonic_ns;
use crate::figures::{median, quantile};
use crate::options::Options;
use crate::report::{Outcome, Report, Table};

/// What `--frames` takes. Encoded pictures are VP8, which every WebKitGTK decodes.
const WAYS: [&str; 6] = ["rgba", "i420", "encoded", "rgba,channel", "i420,channel", "encoded,channel"];
/// The beginning of a call, in which buffers fill and the encoder finds its pace.
const SETTLING: Duration = Duration::from_secs(5);
const MEASURING: Duration = Duration::from_secs(20);

pub(crate) fn run(options: &Options) -> Outcome {
    let Some(desktop) = Desktop::start() else { return Outcome::Skipped("there is no screen to be had".into()) };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let clip = file(&unpack(folder.path()).plain.clip);
    let (ways, sizes) = if options.smoke { (1, 1) } else { (WAYS.len(), 2) };
    let mut table = Table::new("", &COLUMNS);
    let mut figures = Vec::new();
    for (size, camera) in [("640x480", clip.as_str()), ("1280x720", "pattern")].into_iter().take(sizes) {
        // It takes ten new names in an hour, and each call has a peer of its own.
        let server = Server::start();
        for (number, way) in WAYS.iter().take(ways).enumerate() {
            let bob = format!("bob-{size}-{number}");
            let Some(cells) = measure(&desktop, &server, &bob, camera, way, options) else {
                return Outcome::Skipped("the window cannot be driven".into());
            };
            let row = [size, way].map(str::to_owned).into_iter().chain(cells).collect::<Vec<_>>();
            figures.push(json!(COLUMNS.iter().copied().zip(row.clone()).collect::<BTreeMap<_, _>>()));
            table.row(row);
        }
    }
    Outcome::Measured(Report { tables: vec![table], figures: figures.into() })
}

const COLUMNS: [&str; 8] =
    ["camera", "`--frames`", "camera to canvas, ms", "due to canvas, ms", "a second", "app", "web view", "its network"];

/// One call to a peer with this camera, its pictures shown that way.
fn measure(
    desktop: &Desktop,
    server: &Server,
    name: &str,
    camera: &str,
    way: &str,
    options: &Options,
) -> Option<[String; 6]> {
    let bob = Cli::new(server, name).with("--camera", camera).with("--codec", "vp8").with("--microphone", "tone");
    let answering = bob.and(&["--frame-events"]).start_signed_in("answer");
    let arguments = ["--camera", "none", "--microphone", "tone", "--speaker", "none", "--frames", way];
    let signing_in = ["--server", &server.url(), "--user", "alice"];
    let mut alice = Opening::new(desktop).and(&arguments).and(&signing_in).open("alice")?;
    alice.app().wait_for("signed_in");
    alice.wait_for_screen("home");
    alice.call(name);
    answering.wait_for("connected");
    let (settling, measuring) =
        if options.smoke { (Duration::ZERO, Duration::from_secs(2)) } else { (SETTLING, MEASURING) };
    thread::sleep(settling);
    let family = members(alice.app().process().id());
    let before: Vec<Duration> = family.iter().map(Member::computed).collect();
    let began = Instant::now();
    let first_ns = monotonic_ns();
    thread::sleep(measuring);
    let seconds = began.elapsed().as_secs_f64();
    let computed = |name: &str| {
        let of_that_name = family.iter().zip(&before).filter(|(member, _)| member.name.starts_with(name));
        let sum: Duration = of_that_name.map(|(member, before)| member.computed().saturating_sub(*before)).sum();
        format!("{:.0} %", sum.as_secs_f64() / seconds * 100.0)
    };
    let mut drawn = alice.app().all("frame_drawn");
    drawn.retain(|event| event.text("view") == "remote" && event.t_ns() > first_ns);
    let since = |begun: Vec<Event>| {
        let begun: HashMap<u64, u64> = begun.iter().map(|event| (event.number("rtp"), event.t_ns())).collect();
        let took_ms = drawn.iter().filter_map(|event| {
            let begun_ns = begun.get(&event.number("rtp"))?;
            Some(event.t_ns().saturating_sub(*begun_ns) as f64 / 1e6)
        });
        spread(&took_ms.collect::<Vec<_>>())
    };
    let (camera_ms, due_ms) = (since(answering.all("frame_captured")), since(alice.app().all("frame_shown")));
    let fps = drawn.len() as f64 / seconds;
    let [app, page, network] = ["ahoy", "WebKitWeb", "WebKitNet"].map(computed);
    Some([camera_ms, due_ms, format!("{fps:.1}"), app, page, network])
}

/// The median and the 95th percentile.
fn spread(took_ms: &[f64]) -> String {
    format!("{:.0} / {:.0}", median(took_ms), quantile(took_ms, 0.95))
}
