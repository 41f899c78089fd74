//! The link emulator as a program: makes two network namespaces with a link between them, says where they are, and ends with
//! its standard input. A line there starts the profile's clock. When a direction fails, it says why and ends too.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{Write as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ahoy_tests::emulator::{Capacity, Course, Emulator, Loss, PROFILES, Profile, Trace, Way};
use clap::{ArgGroup, Parser};

/// Two network namespaces with a link between them. Prints `ready NAMESPACE_A NAMESPACE_B ADDRESS_A ADDRESS_B`; each line on
/// standard input starts the clock of the profile anew, which is answered with `begun`, and its end ends the link.
#[derive(Debug, Parser)]
#[command(name = "ahoy-link", group = ArgGroup::new("what").required(true))]
struct Arguments {
    /// A committed link by its name
    #[arg(long, group = "what")]
    profile: Option<String>,
    /// A recorded link, from A to B and back: a line for each 1500 bytes that get through, in milliseconds
    #[arg(long, num_args = 2, value_names = ["UP", "DOWN"], group = "what")]
    trace: Option<Vec<PathBuf>>,
    /// Print the committed links
    #[arg(long, group = "what")]
    list: bool,
    /// Repeats what is lost and how a random rate walks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write what happens each 100 ms to PREFIX.ab and PREFIX.ba, as lines of JSON
    #[arg(long, value_name = "PREFIX")]
    log: Option<PathBuf>,
    /// How many packets the queue before the bottleneck holds
    #[arg(long, value_name = "LIMIT", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    packets: u16,
    /// One way, in place of the profile's (of a trace: 20)
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=10_000))]
    delay_ms: Option<u64>,
    /// How much is lost, in place of the profile's
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    loss: Option<f64>,
    /// How many packets are lost in a row, in the mean
    #[arg(long, value_name = "PACKETS", requires = "loss", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    burst: Option<u16>,
}

/// What the program waits for.
enum Event {
    /// A line on standard input.
    Line,
    /// Standard input has ended.
    InputEnded,
    /// A direction has ended, and why.
    Failed(String),
}

/// This machine lacks something.
const LACKING: u8 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        // Who closes the output has seen enough.
        let _ = PROFILES.iter().try_for_each(|(name, about)| writeln!(stdout(), "{name:<14} {about}"));
        return ExitCode::SUCCESS;
    }
    let courses = match courses(&arguments) {
        Ok(courses) => courses,
        Err(why) => return fail(2, &why),
    };
    // When it is full, who has something to say waits, and no longer than until the program ends.
    let (send, events) = sync_channel(1);
    let failures = send.clone();
    let failed = move |why| {
        // The program is ending when nobody hears it.
        let _ = failures.send(Event::Failed(why));
    };
    let emulator = match Emulator::start(courses, failed) {
        Ok(emulator) => emulator,
        Err(why) => return fail(LACKING, &why),
    };
    listen(send);
    match serve(&emulator, events) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(1, &why),
    }
}

/// Reads standard input, on a thread that ends with the program: while it waits for a line, nothing else can end it.
fn listen(to: SyncSender<Event>) {
    let read = move || {
        for _ in stdin().lines().map_while(Result::ok) {
            if to.send(Event::Line).is_err() {
                return;
            }
        }
        // The program is ending when nobody hears it.
        let _ = to.send(Event::InputEnded);
    };
    thread::Builder::new().name("input".to_owned()).spawn(read).expect("there are threads");
}

/// Until standard input ends, nobody reads the output any more, or a direction fails, which is the error. The events end with
/// it, so that nobody waits to say more.
fn serve(emulator: &Emulator, events: Receiver<Event>) -> Result<(), String> {
    let [a, b] = emulator.ends();
    let namespaces = [a, b].map(|end| end.namespace());
    let [in_a, in_b] = namespaces.each_ref().map(|namespace| namespace.display());
    if writeln!(stdout(), "ready {in_a} {in_b} {} {}", a.address, b.address).is_err() {
        return Ok(());
    }
    for event in events {
        match event {
            Event::Line => {
                // A direction that does not hear it has failed, and says so with an event of its own.
                if emulator.begin().is_ok() && writeln!(stdout(), "begun").is_err() {
                    return Ok(());
                }
            }
            Event::InputEnded => return Ok(()),
            Event::Failed(why) => return Err(why),
        }
    }
    Ok(())
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(code)
}

/// What each direction is like, the one from A to B first.
fn courses(arguments: &Arguments) -> Result<[Course; 2], String> {
    // Each way loses and walks on its own.
    let seeds = [arguments.seed, !arguments.seed];
    let (delay, loss, [up, down]) = match (&arguments.trace, &arguments.profile) {
        (Some(paths), _) => {
            let read = |path: &PathBuf| Trace::read(path).map(|trace| Capacity::Recorded(Arc::new(trace)));
            (Duration::from_millis(20), Loss::None, [read(&paths[0])?, read(&paths[1])?])
        }
        (None, Some(name)) => {
            let profile = Profile::named(name)?;
            (profile.delay, profile.loss, seeds.map(|seed| profile.capacity(seed)))
        }
        (None, None) => return Err("neither a profile nor a trace".to_owned()),
    };
    let delay = arguments.delay_ms.map_or(delay, Duration::from_millis);
    let loss = match (arguments.loss, arguments.burst) {
        (None, _) => loss,
        (Some(share), None) => Loss::Random { share },
        // Between two bursts at least one packet gets through.
        (Some(share), Some(packets)) if share > f64::from(packets) / f64::from(packets + 1) => {
            return Err(format!("{} % cannot be lost {packets} in a row", share * 100.0));
        }
        (Some(share), Some(packets)) => Loss::Bursts { share, mean_packets: packets.into() },
    };
    let way = |capacity| Way { queue_packets: arguments.packets.into(), capacity, loss, delay };
    let log = |end| arguments.log.as_deref().map(|prefix| create(prefix, end)).transpose();
    Ok([
        Course { way: way(up), seed: seeds[0], log: log("ab")? },
        Course { way: way(down), seed: seeds[1], log: log("ba")? },
    ])
}

fn create(prefix: &Path, end: &str) -> Result<File, String> {
    let mut path = prefix.as_os_str().to_owned();
    path.push(".");
    path.push(end);
    File::create(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// As a share.
fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    if (0.0..=75.0).contains(&percent) { Ok(percent / 100.0) } else { Err("from 0 to 75".to_owned()) }
}
