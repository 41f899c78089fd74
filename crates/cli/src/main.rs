//! `ahoy-cli`: a scriptable peer. Signs in, calls or answers, reports what happens, and tells by its exit code how it went.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod commands;
mod devices;
mod identity;
mod report;
mod screen;
mod session;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

/// What is logged where `AHOY_LOG` says nothing else: our own warnings. The crates below the transport warn of what is
/// ordinary, a candidate that has not come yet, for example.
const LOG: &str = "off,ahoy_cli=warn,ahoy_client=warn,ahoy_call=warn,ahoy_transport=warn,ahoy_rtp=warn,ahoy_media=warn";

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("AHOY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    if let args::Command::Devices { json } = cli.command {
        // A reader that went away has what it wanted.
        let _ = devices::print(json);
        return ExitCode::SUCCESS;
    }
    if let args::Command::Identity { what } = &cli.command {
        let done = cli.options.key().map(|key| identity::run(what, &key));
        return match done {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(error)) => {
                eprintln!("ahoy-cli: {error:#}");
                ExitCode::from(1)
            }
            Err(error) => {
                eprintln!("ahoy-cli: {error:#}");
                ExitCode::from(2)
            }
        };
    }
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(session::run(cli)));
    match outcome {
        Ok(session::Outcome::Done) => ExitCode::SUCCESS,
        Ok(session::Outcome::BrokenOff) => ExitCode::from(1),
        Ok(session::Outcome::Usage) => ExitCode::from(2),
        Ok(session::Outcome::NotSignedIn) => ExitCode::from(3),
        Ok(session::Outcome::NoCall) => ExitCode::from(4),
        Err(error) => {
            eprintln!("ahoy-cli: {error:#}");
            ExitCode::from(1)
        }
    }
}
