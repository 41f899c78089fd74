//! The command line of the benchmarks.

use std::path::PathBuf;
use std::time::Duration;

use ahoy_tests::harness::chromium;
use clap::{Parser, ValueEnum};

/// Measures Ahoy, prints tables, and writes docs/benchmarks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Options {
    /// Which benchmarks to run; without a name, all
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// What to measure beside Ahoy, in the same run
    #[arg(long, value_name = "PEER")]
    pub(crate) against: Option<Against>,
    /// How long video, cost, audio and signaling measure each side in a row of a table, in all its rounds together; start
    /// and settling come on top
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = minutes)]
    pub(crate) minutes: f64,
    /// A recorded link, there and back, in place of the committed ones: a line for each 1500 bytes that get through, in
    /// milliseconds
    #[arg(long, num_args = 2, value_names = ["UP", "DOWN"])]
    pub(crate) trace: Option<Vec<PathBuf>>,
    /// Only these links of video and audio, by the emulator's names, and write nothing
    #[arg(long, value_name = "NAME")]
    pub(crate) link: Vec<String>,
    /// Only see that everything runs, for a few seconds each, and write nothing
    #[arg(long)]
    pub(crate) smoke: bool,
}

/// Somebody else's software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Against {
    /// Two pages in headless Chromium.
    Chromium,
}

impl Options {
    /// How long each side is measured in one of `rounds`.
    pub(crate) fn round(&self, rounds: u32) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0 / f64::from(rounds))
    }

    /// Whether Chromium is measured too: it is asked for, and here.
    pub(crate) fn with_chromium(&self) -> bool {
        self.against == Some(Against::Chromium) && chromium::installed().is_some()
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    // What is shown is recorded: a gigabyte a minute.
    if (0.05..=10.0).contains(&minutes) { Ok(minutes) } else { Err("from 0.05 to 10".to_owned()) }
}
