//! The hot paths one by one, so that a regression has an address: what criterion measured of the benchmarks that lie beside
//! the code (`crates/*/benches`), as one table. With the profile that this program was built with. `--minutes` changes
//! nothing here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ahoy_tests::harness::programs;
use serde_json::{Value, json};

use super::figures::rounded;
use super::options::Options;
use super::report::{Outcome, Report, Table};

/// How long criterion looks at each: two minutes for all.
const MEASURING: [&str; 8] =
    ["--warm-up-time", "0.5", "--measurement-time", "2", "--sample-size", "20", "--nresamples", "10000"];

/// Tables, and what is in them: what names begin with, and of what one is counted.
const SECTIONS: [(&str, &[(&str, &str)]); 3] = [
    (
        "Pictures and sound",
        &[
            ("convert/", "picture"),
            ("scale/", "picture"),
            ("encode/Opus", "20 ms"),
            ("encode/", "picture"),
            ("decode/Opus", "20 ms"),
            ("decode/", "picture"),
            ("voice/", "10 ms"),
        ],
    ),
    (
        "Packets",
        &[
            ("packetize/", "packet"),
            ("pacer/", "packet"),
            ("congestion/", "packet"),
            ("assembler/", "packet"),
            ("nack/", "packet"),
            ("jitter/", "packet"),
        ],
    ),
    (
        "Signaling, with 10,000 signed in",
        &[("registry/sign in and out", "session"), ("registry/", "message"), ("wire/", "message")],
    ),
];

/// One of `estimates.json`: the median, and between which values it lies with 95 % confidence.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    median_us: f64,
    low_us: f64,
    high_us: f64,
}

/// What criterion ran by name, and what it measured, if it did.
type Results = BTreeMap<String, Option<Estimate>>;

pub(crate) fn run(options: &Options) -> Outcome {
    let folder = programs::target_folder().join("bench-core");
    // What an earlier run left is not of this one.
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the target folder is writable");
    }
    let output = bench(options.smoke, &folder);
    let results = if options.smoke { tried(&output) } else { measured(&folder) };
    assert!(!results.is_empty(), "criterion ran nothing:\n{output}");
    Outcome::Measured(Report { tables: tables(&results), figures: figures(&results) })
}

/// Runs all of them, and returns what they print. `once`: only to see that they run.
fn bench(once: bool, folder: &Path) -> String {
    let output = programs::cargo()
        .args(["bench", "--workspace", "--bench", "media", "--bench", "rtp", "--bench", "server"])
        .args(["--profile", &programs::profile()])
        .arg("--target-dir")
        .arg(programs::target_folder())
        .arg("--")
        .args(if once { &["--test"][..] } else { &MEASURING })
        .env("CRITERION_HOME", folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "a benchmark failed:\n{printed}");
    printed
}

/// The names that criterion prints where it only tries.
fn tried(output: &str) -> Results {
    output.lines().filter_map(|line| line.strip_prefix("Testing ")).map(|name| (name.to_owned(), None)).collect()
}

/// What lies at `GROUP/BENCHMARK/new` in criterion's folder.
fn measured(folder: &Path) -> Results {
    entries(folder).iter().flat_map(|group| entries(group)).filter_map(|path| estimate(&path.join("new"))).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn estimate(folder: &Path) -> Option<(String, Option<Estimate>)> {
    let read = |name| serde_json::from_str::<Value>(&fs::read_to_string(folder.join(name)).ok()?).ok();
    let (benchmark, estimates) = (read("benchmark.json")?, read("estimates.json")?);
    let name = benchmark["full_id"].as_str()?.to_owned();
    // An iteration is of many packets, say.
    let elements = benchmark["throughput"]["Elements"].as_f64()?;
    let median = &estimates["median"];
    let interval = &median["confidence_interval"];
    let each_us = |nanoseconds: &Value| Some(nanoseconds.as_f64()? / elements / 1000.0);
    let estimate = Estimate {
        median_us: each_us(&median["point_estimate"])?,
        low_us: each_us(&interval["lower_bound"])?,
        high_us: each_us(&interval["upper_bound"])?,
    };
    Some((name, Some(estimate)))
}

fn tables(results: &Results) -> Vec<Table> {
    SECTIONS.iter().map(|(title, kinds)| table(title, kinds, results)).collect()
}

fn table(title: &str, kinds: &[(&str, &str)], results: &Results) -> Table {
    let mut table = Table::new(title, &["what", "of one", "µs (95 %)", "a second and core"]);
    let mut shown = Vec::new();
    for (prefix, unit) in kinds {
        for (name, estimate) in results.iter().filter(|(name, _)| name.starts_with(prefix)) {
            // The first prefix that fits tells.
            if !shown.contains(&name) {
                shown.push(name);
                let [time, rate] = estimate.map_or(["ran, not measured".to_owned(), "–".to_owned()], Estimate::cells);
                table.row([name.clone(), (*unit).to_owned(), time, rate]);
            }
        }
    }
    table
}

fn figures(results: &Results) -> Value {
    let figures =
        results.iter().map(|(name, estimate)| (name.clone(), estimate.map_or(Value::Null, Estimate::to_json)));
    Value::Object(figures.collect())
}

impl Estimate {
    fn cells(self) -> [String; 2] {
        let time = format!("{} ({}–{})", digits(self.median_us), digits(self.low_us), digits(self.high_us));
        [time, digits(1e6 / self.median_us)]
    }

    fn to_json(self) -> Value {
        json!({
            "median_us": rounded(self.median_us),
            "low_us": rounded(self.low_us),
            "high_us": rounded(self.high_us),
            "per_second": rounded(1e6 / self.median_us),
        })
    }
}

/// Three digits that count, and commas between thousands.
fn digits(value: f64) -> String {
    if value < 100.0 {
        let places = if value < 1.0 { 3 } else { usize::from(value < 10.0) + 1 };
        return format!("{value:.places$}");
    }
    let unit = 10_f64.powf(value.log10().floor() - 2.0);
    let whole = ((value / unit).round() * unit).round().to_string();
    let groups: Vec<&str> = (0..whole.len())
        .filter(|at| *at == 0 || (whole.len() - at).is_multiple_of(3))
        .map(|at| &whole[at..at + if at == 0 { (whole.len() - 1) % 3 + 1 } else { 3 }])
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_shown_whatever_the_size() {
        let shown = [0.0614, 0.5, 4.567, 12.34, 99.0, 123.4, 3_512.0, 16_286_644.9].map(digits);
        assert_eq!(shown, ["0.061", "0.500", "4.57", "12.3", "99.0", "123", "3,510", "16,300,000"]);
    }

    #[test]
    fn every_name_is_in_one_table_once_with_its_unit() {
        let names = [
            "encode/H.264 640x480",
            "encode/Opus 20 ms",
            "jitter/in order",
            "pacer/in and out",
            "registry/relay to a device",
        ];
        let results = tried(&names.map(|name| format!("Testing {name}\nSuccess\n")).concat());
        let shown: String = tables(&results).iter().map(ToString::to_string).collect();
        for row in names.map(|name| format!("| {name} |")) {
            assert_eq!(shown.matches(&row).count(), 1, "{row} in {shown}");
        }
        assert!(
            shown.contains("| encode/Opus 20 ms | 20 ms |") && shown.contains("| encode/H.264 640x480 | picture |")
        );
    }
}
