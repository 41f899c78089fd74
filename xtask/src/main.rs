//! `cargo xtask TASK`: what a developer or a build machine does with this repository, the same on both.
//! One module a task, beside what the tasks share. Knows nothing of the product's code.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::env;
use std::process::ExitCode;

mod cargo;
mod clocks;
mod deny;
mod import_rule;
mod report;
mod setup;
mod test;

const USAGE: &str = "\
usage: cargo xtask TASK

  setup   install what building and testing need and this machine lacks (Debian, Ubuntu; elsewhere: say what)
  test    set up, then check everything: format, imports, licences, clippy, all tests";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        ["setup"] => setup::run().map(|()| true),
        ["test"] => test::run(),
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
