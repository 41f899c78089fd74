//! `cargo xtask TASK`: what a developer or a build machine does with this repository, the same on both.
//! One module a task, beside what the tasks share. Knows nothing of the product's code.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::env;
use std::process::ExitCode;

mod bench;
mod cargo;
mod children;
mod clocks;
mod deny;
mod endure;
mod fuzz;
mod import_rule;
mod node;
mod package;
mod page;
mod report;
mod run;
mod setup;
mod test;
mod unsteady;

const USAGE: &str = "\
usage: cargo xtask TASK

  run [--two] [-- ARGUMENTS]   set up what building needs, build, and start a server, an echo to call, and the app;
                               --two: two windows, alice and bob. ARGUMENTS go to the app
  test                         set up, then check everything: format, imports, licences, clippy, the page, all tests
  fuzz [SECONDS]               run each fuzz target for so long on its corpus; 60 s if nothing is said
  setup                        install what building and testing need and this machine lacks (Debian, Ubuntu;
                               elsewhere: say what)
  page                         build the page, ui/dist
  package [--dev]              make the .deb and the .rpm; --dev: of the quickly built program, for tests
  bench [NAME …] [--against chromium] [--minutes N] [--trace UP DOWN] [--smoke]
                               measure, print tables, and write docs/benchmarks; --help, once it is built, says more
  endure [--times N] [--at-once N] [ROW …]
                               run the tests of docs/reliability.md at full length, and write there which rows passed
  screens                      picture every screen into docs/screens
  icons                        make the icons anew, from icons/ahoy.svg";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (arguments, extra) = split_extra(&arguments);
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        ["run"] => run::run(false, extra),
        ["run", "--two"] => run::run(true, extra),
        ["test"] if extra.is_empty() => test::run(),
        ["fuzz"] if extra.is_empty() => fuzz_for(60),
        ["fuzz", seconds] if extra.is_empty() && fuzz::seconds(seconds).is_some() => {
            fuzz_for(fuzz::seconds(seconds).unwrap_or_default())
        }
        ["setup"] if extra.is_empty() => setup::run().map(|()| true),
        ["page"] if extra.is_empty() => page::build().map(|()| true),
        ["package"] if extra.is_empty() => package::run(package::Build::Release).map(|()| true),
        ["package", "--dev"] if extra.is_empty() => package::run(package::Build::Dev).map(|()| true),
        ["bench", ref arguments @ ..] if extra.is_empty() => bench::run(arguments),
        ["endure", ref arguments @ ..] if extra.is_empty() => endure::run(arguments),
        ["screens"] if extra.is_empty() => page::screens(),
        ["icons"] if extra.is_empty() => page::icons(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the fuzz targets and runs them; what failed is listed at the end.
fn fuzz_for(seconds: u32) -> anyhow::Result<bool> {
    let mut steps = report::Report::default();
    steps.step("fuzz targets", || fuzz::run(seconds));
    Ok(steps.finish())
}

/// What is for this program, and what comes after `--`.
fn split_extra(arguments: &[String]) -> (&[String], &[String]) {
    match arguments.iter().position(|argument| argument == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_two_dashes_is_for_the_app() {
        let arguments = ["run", "--two", "--", "--camera", "none", "--"].map(str::to_owned);
        let (ours, theirs) = split_extra(&arguments);
        assert_eq!(ours, ["run", "--two"]);
        assert_eq!(theirs, ["--camera", "none", "--"]);
        assert_eq!(split_extra(&arguments[..2]), (&arguments[..2], &[][..]));
    }
}
