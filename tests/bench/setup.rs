//! How soon a call is there. *Dial to first picture*: from the caller's Enter to the first picture of the other on the
//! caller's screen, the other accepting at once, strangers to each other. *Accept to first picture*: between contacts, whose
//! path is made while it rings, from the callee's accepting to the first picture on each screen; beside it stands Chromium's
//! dial to first picture, since a page has nothing to do before somebody accepts.

use std::thread;
use std::time::{Duration, Instant};

use ahoy_tests::emulator::Profile;
use ahoy_tests::harness::cli::{Cli, Event, file};
use ahoy_tests::harness::lab::{End, Lab, LinkChoice};
use ahoy_tests::harness::watch::Sends;
use ahoy_tests::harness::{Guest, Server, chromium};
use serde_json::{Value, json};

use crate::attempt::{attempt, made_again};
use crate::calls::{on_screen, server_urls};
use crate::clip::Clip;
use crate::figures::{Ratio, cell, median, quantile, rounded};
use crate::options::Options;
use crate::report::{Outcome, Report, Table};

/// Links, and what they are called in the table.
const LINKS: [(&str, &str); 5] = [
    ("delay-5", "10 ms"),
    ("delay-20", "40 ms"),
    ("delay-75", "150 ms"),
    ("delay-150", "300 ms"),
    ("loss-5", "40 ms, 5 % lost"),
];
const ROUNDS: usize = 5;
/// What is lost differs from call to call.
const ROUNDS_WITH_LOSS: usize = 9;

/// It rings so much longer than the path takes to be made.
const RINGING: Duration = Duration::from_secs(2);

/// The server lets one user call another six times in a minute.
const CALLS_APART: Duration = Duration::from_millis(10_500);

pub(crate) fn run(options: &Options) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let clip = Clip::write(folder.path());
    let mut table = Table::new("", &COLUMNS);
    let mut figures = Vec::new();
    let links = if options.smoke { &LINKS[..1] } else { &LINKS };
    for (profile, name) in links {
        let Some(measured) = measure(profile, options, &clip) else {
            return Outcome::Skipped("there is no link to measure on; standard error says why".into());
        };
        measured.tell(name, &mut table);
        figures.push(measured.to_json(name));
    }
    Outcome::Measured(Report { tables: vec![table], figures: figures.into() })
}

const COLUMNS: [&str; 6] = [
    "round trip (calls of ours that failed and were made again)",
    "dial to first picture, ms: Ahoy",
    "Chromium",
    "ratio",
    "contacts, accept to first picture, ms: callee, caller",
    "ratio to Chromium's dial",
];

/// Milliseconds, a value a round.
#[derive(Debug, Default)]
struct Measured {
    ours_dial: Vec<f64>,
    theirs_dial: Vec<f64>,
    accept_at_callee: Vec<f64>,
    accept_at_caller: Vec<f64>,
    made_again: usize,
}

fn measure(profile: &str, options: &Options, clip: &Clip) -> Option<Measured> {
    let one_way = Profile::named(profile).expect("a committed link").delay;
    let lab = Lab::start(&LinkChoice::profile(profile), None)?;
    let server = Server::start_with(&["--new-names", "100"]);
    // The server is half way between the two.
    let urls = server_urls(&lab, &server, one_way / 2);
    let mut pages = if options.with_chromium() { Some(Pages::open(&lab, &urls, clip)?) } else { None };
    let failed_before = made_again();
    let rounds = match (options.smoke, profile.starts_with("loss")) {
        (true, _) => 1,
        (false, true) => ROUNDS_WITH_LOSS,
        (false, false) => ROUNDS,
    };
    let mut measured = Measured::default();
    // A name is another person each time: the callee takes nine calls of strangers in a minute.
    let mut names = 0..;
    let mut number = || names.next().expect("numbers do not end");
    for round in 0..rounds {
        measured.ours_dial.push(attempt("a call", || dial(&lab, &urls, clip, number())));
        if let Some(pages) = &mut pages {
            measured.theirs_dial.push(pages.dial());
        }
        let (callee, caller) = attempt("a call", || accept(&lab, &urls, clip, number()));
        measured.accept_at_callee.push(callee);
        measured.accept_at_caller.push(caller);
        eprintln!("{profile} {}/{rounds}: {measured:?}", round + 1);
    }
    measured.made_again = made_again() - failed_before;
    Some(measured)
}

/// Strangers: the caller dials and the callee accepts at once.
fn dial(lab: &Lab, [url_a, url_b]: &[String; 2], clip: &Clip, round: usize) -> f64 {
    let [alice, bob] =
        [(url_a, "alice"), (url_b, "bob")].map(|(url, name)| peer(url, &format!("{name}-{round}"), clip));
    let mut answering = lab.enter(End::B, || bob.start_signed_in("answer"));
    let mut calling = lab.enter(End::A, || alice.start(&format!("call bob-{round}")));
    let first = calling.wait_for("first_frame");
    let took_ms = since(&calling.wait_for("dialling"), &first);
    answering.wait_for("first_frame");
    calling.process().interrupt();
    calling.ends_with(0);
    answering.ends_with(0);
    took_ms
}

/// Contacts: it rings, the path is made meanwhile, and the callee accepts. What callee and caller wait then.
fn accept(lab: &Lab, [url_a, url_b]: &[String; 2], clip: &Clip, round: usize) -> (f64, f64) {
    let [carol, dave] = [format!("carol-{round}"), format!("dave-{round}")];
    let calling = peer(url_a, &carol, clip).and(&["--contact", &dave]);
    let answering = peer(url_b, &dave, clip).and(&["--contact", &carol]);
    let ringing = format!("answer --delay-ms {}", RINGING.as_millis());
    let mut answering = lab.enter(End::B, || answering.start_signed_in(&ringing));
    let mut calling = lab.enter(End::A, || calling.start(&format!("call {dave}")));
    let at_caller = calling.wait_for("first_frame");
    let at_callee = answering.wait_for("first_frame");
    // Both programs' events are of the machine's one clock.
    let accepted = answering.wait_for("accepted");
    calling.process().interrupt();
    calling.ends_with(0);
    answering.ends_with(0);
    (since(&accepted, &at_callee), since(&accepted, &at_caller))
}

fn peer(url: &str, name: &str, clip: &Clip) -> Cli {
    Cli::at(url, name)
        .over_the_network()
        .with("--camera", &file(&clip.source.clip))
        .with("--microphone", &file(&clip.source.speech))
}

/// From an event to a picture on the screen.
fn since(from: &Event, first_frame: &Event) -> f64 {
    on_screen(first_frame.t_ns() as f64 / 1e6) - from.t_ns() as f64 / 1e6
}

/// Two pages, which call each other again and again.
struct Pages {
    alice: Guest,
    bob: Guest,
    dialled: Option<Instant>,
}

impl Pages {
    fn open(lab: &Lab, [url_a, url_b]: &[String; 2], clip: &Clip) -> Option<Self> {
        let bob = chromium::open_in(lab, End::B, url_b, "guest-bob", &clip.source)?;
        let alice = chromium::open_in(lab, End::A, url_a, "guest-alice", &clip.source)?;
        Some(Self { alice, bob, dialled: None })
    }

    /// From dialling, with the camera open, to the first picture on the caller's page.
    fn dial(&mut self) -> f64 {
        if let Some(dialled) = self.dialled {
            thread::sleep(CALLS_APART.saturating_sub(dialled.elapsed()));
        }
        self.dialled = Some(Instant::now());
        let sends = Sends { audio: true, video: true };
        self.bob.take_next(sends);
        let dialled_ms = self.alice.dial("guest-bob", sends);
        let first = self.alice.wait_for("first_frame");
        self.bob.wait_for("first_frame");
        self.alice.hang_up();
        self.alice.wait_for("ended");
        self.bob.wait_for("ended");
        first["shown_ms"].as_f64().expect("a time") - dialled_ms
    }
}

impl Measured {
    fn tell(&self, link: &str, table: &mut Table) {
        let spread = |values: &[f64]| match values {
            [] => "–".to_owned(),
            _ => format!("{:.0} ({:.0}–{:.0})", median(values), quantile(values, 0.0), quantile(values, 1.0)),
        };
        let failed = if self.made_again == 0 { String::new() } else { format!(" ({})", self.made_again) };
        table.row([
            format!("{link}{failed}"),
            spread(&self.ours_dial),
            spread(&self.theirs_dial),
            cell(Ratio::of(&self.ours_dial, &self.theirs_dial)),
            format!("{}, {}", spread(&self.accept_at_callee), spread(&self.accept_at_caller)),
            cell(Ratio::of(&self.accept_at_callee, &self.theirs_dial)),
        ]);
    }

    fn to_json(&self, link: &str) -> Value {
        let all = |values: &[f64]| values.iter().copied().map(rounded).collect::<Vec<_>>();
        json!({
            "round_trip": link,
            "calls_made_again": self.made_again,
            "ahoy_dial_to_first_picture_ms": all(&self.ours_dial),
            "chromium_dial_to_first_picture_ms": all(&self.theirs_dial),
            "ahoy_contacts_accept_to_first_picture_at_callee_ms": all(&self.accept_at_callee),
            "ahoy_contacts_accept_to_first_picture_at_caller_ms": all(&self.accept_at_caller),
            "ratios": {
                "dial": Ratio::of(&self.ours_dial, &self.theirs_dial).map(Ratio::to_json),
                "accept_to_dial": Ratio::of(&self.accept_at_callee, &self.theirs_dial).map(Ratio::to_json),
            },
        })
    }
}
