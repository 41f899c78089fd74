//! What a benchmark found, as tables for people and as figures for programs: printed, written to `docs/benchmarks/NAME.json`
//! and put into `docs/benchmarks.md`.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::options::Options;

/// How a benchmark ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With figures.
    Measured(Report),
    /// Without, and why: this machine lacks something.
    Skipped(String),
}

/// What one benchmark found.
#[derive(Debug)]
pub(crate) struct Report {
    /// For people.
    pub(crate) tables: Vec<Table>,
    /// For programs: everything in the tables, and what the tables have no room for.
    pub(crate) figures: Value,
}

/// A table in Markdown.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one; an empty title is left out.
    pub(crate) fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.into(), columns, rows: Vec::new() }
    }

    /// Adds a row, a cell a column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a cell a column: {cells:?}");
        self.rows.push(cells);
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.title.is_empty() {
            writeln!(f, "**{}**\n", self.title)?;
        }
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len()))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (number, table) in self.tables.iter().enumerate() {
            let gap = if number == 0 { "" } else { "\n" };
            write!(f, "{gap}{table}")?;
        }
        Ok(())
    }
}

/// How busy the machine is: over the last minute, five, fifteen. NaN where Linux does not tell.
pub(crate) fn load_average() -> [f64; 3] {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut words = text.split(' ').map(|word| word.parse().unwrap_or(f64::NAN));
    [(); 3].map(|()| words.next().unwrap_or(f64::NAN))
}

/// Writes the figures, and the tables between the marks of the page.
///
/// # Panics
/// When the page has no place for them, or nothing can be written.
pub(crate) fn write(name: &str, report: &Report, made_again: usize, load_before: [f64; 3], options: &Options) {
    // Recorded links are of whoever recorded them, and no part of the page.
    let is_own_link = options.trace.is_none();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs");
    let file = docs.join("benchmarks").join(format!("{name}{}.json", if is_own_link { "" } else { "-trace" }));
    let made_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let whole = json!({
        "benchmark": name,
        "made_at_unix_s": made_at,
        "machine": machine(),
        "load_average_before": load_before,
        "minutes": options.minutes,
        "rounds_made_again": made_again,
        "figures": report.figures,
    });
    fs::create_dir_all(docs.join("benchmarks")).expect("docs is writable");
    fs::write(&file, format!("{whole:#}\n")).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    println!("\nwritten: docs/benchmarks/{name}{}.json", if is_own_link { "" } else { "-trace" });
    if is_own_link {
        let page = docs.join("benchmarks.md");
        let old = fs::read_to_string(&page).expect("docs/benchmarks.md is there");
        let new = put(&old, name, &report.to_string());
        let new =
            new.unwrap_or_else(|| panic!("docs/benchmarks.md has no place for {name}: {} and {}", begin(name), END));
        fs::write(&page, new).expect("docs is writable");
    }
}

const END: &str = "<!-- end -->";

fn begin(name: &str) -> String {
    format!("<!-- tables: {name} -->")
}

/// The page with these tables in the place of that name.
fn put(page: &str, name: &str, tables: &str) -> Option<String> {
    let (before, rest) = page.split_once(&begin(name))?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{}\n\n{tables}\n{END}{after}", begin(name)))
}

/// The machine in general terms: nothing that names it.
fn machine() -> Value {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let memory_kb: Option<u64> = total.and_then(|text| text.trim().split(' ').next()?.parse().ok());
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"'));
    json!({
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "memory_gb": memory_kb.map(|kb| (kb as f64 / 1e6).round()),
        "system": system,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_take_the_place_of_older_ones() {
        let mut table = Table::new("", &["link", "ratio"]);
        table.row(["clean".to_owned(), "0.9".to_owned()]);
        let page = "before\n<!-- tables: video -->\nold\n<!-- end -->\nafter <!-- end -->\n";
        let new = put(page, "video", &table.to_string()).unwrap();
        assert_eq!(
            new,
            "before\n<!-- tables: video -->\n\n| link | ratio |\n|---|---|\n| clean | 0.9 |\n\n<!-- end -->\nafter <!-- end -->\n"
        );
        assert_eq!(put(page, "audio", ""), None);
    }
}
