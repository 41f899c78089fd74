//! Measures Ahoy beside what people would use instead, in one run, and prints tables. Run by `cargo xtask bench`, which
//! builds it; `docs/benchmarks.md` says how everything is measured. One module a benchmark. A benchmark that this machine
//! cannot run says so and is skipped; one that fails panics, as a test does, and the run goes on with the next.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::panic;
use std::process::ExitCode;

use clap::Parser as _;

mod attempt;
mod audio;
mod calls;
mod clip;
mod core;
mod cost;
mod figures;
mod frames;
mod link;
mod options;
mod report;
mod setup;
mod signaling;
mod timeline;
mod video;
mod window;

use options::Options;
use report::Outcome;

/// One of them.
struct Benchmark {
    name: &'static str,
    run: fn(&Options) -> Outcome,
    /// Whether a recorded link may take the place of the committed ones.
    takes_trace: bool,
}

impl Benchmark {
    const fn new(name: &'static str, run: fn(&Options) -> Outcome) -> Self {
        Self { name, run, takes_trace: false }
    }

    const fn on_links(name: &'static str, run: fn(&Options) -> Outcome) -> Self {
        Self { name, run, takes_trace: true }
    }
}

/// All of them, in the order of `docs/benchmarks.md`.
const ALL: [Benchmark; 9] = [
    Benchmark::on_links("link", link::run),
    Benchmark::on_links("video", video::run),
    Benchmark::new("setup", setup::run),
    Benchmark::new("cost", cost::run),
    Benchmark::on_links("audio", audio::run),
    Benchmark::new("signaling", signaling::run),
    Benchmark::new("core", core::run),
    Benchmark::new("window", window::run),
    Benchmark::new("frames", frames::run),
];

fn main() -> ExitCode {
    let options = Options::parse();
    let is_unknown = |name: &&String| ALL.iter().all(|known| known.name != name.as_str());
    let unknown: Vec<&String> = options.names.iter().filter(is_unknown).collect();
    if !unknown.is_empty() {
        let known: Vec<&str> = ALL.iter().map(|benchmark| benchmark.name).collect();
        eprintln!("there is no benchmark {unknown:?}; there are: {}", known.join(", "));
        return ExitCode::from(2);
    }
    let mut failed = Vec::new();
    for Benchmark { name, run, takes_trace } in ALL {
        if !options.names.is_empty() && options.names.iter().all(|wanted| wanted != name) {
            continue;
        }
        println!("\n## {name}\n");
        if options.trace.is_some() && !takes_trace {
            println!("skipped: it takes no recorded link");
            continue;
        }
        let (load, made_again) = (report::load_average(), attempt::made_again());
        match panic::catch_unwind(|| run(&options)) {
            Ok(Outcome::Measured(report)) => {
                print!("{report}");
                // A few seconds measure nothing, and a part is not the whole.
                if !options.smoke && options.link.is_empty() {
                    report::write(name, &report, attempt::made_again() - made_again, load, &options);
                }
            }
            Ok(Outcome::Skipped(why)) => println!("skipped: {why}"),
            // It has said why.
            Err(_) => failed.push(name),
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}
