//! The tables of `docs/reliability.md`: a row for each fault, with the tests that show that it is survived.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// The page, with its rows where they stand.
pub(super) struct Page {
    lines: Vec<String>,
    rows: Vec<Row>,
}

/// A row: `| F1 | fault | outcome | tests | last green run |`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// A letter and a number.
    pub(super) name: String,
    pub(super) fault: String,
    pub(super) outcome: String,
    /// The names between backticks of the cell of tests.
    pub(super) tests: Vec<String>,
    /// That cell as it stands there.
    pub(super) by: String,
    /// When it was green last.
    pub(super) green: String,
    line: usize,
}

impl Page {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Self::of(&text))
    }

    fn of(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let rows = lines.iter().enumerate().filter_map(|(at, line)| Row::parse(at, line)).collect();
        Self { lines, rows }
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Writes when a row was green last.
    pub(super) fn set_green(&mut self, name: &str, when: &str) {
        let Some(row) = self.rows.iter_mut().find(|row| row.name == name) else { return };
        row.green = when.to_owned();
        let Row { name, fault, outcome, by, green, line, .. } = row;
        self.lines[*line] = format!("| {name} | {fault} | {outcome} | {by} | {green} |");
    }

    pub(super) fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }
}

impl Row {
    /// `None`: the line is none.
    fn parse(line_number: usize, line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [name, fault, outcome, by, green] = cells[..] else { return None };
        let number = name.strip_prefix(['F', 'A'])?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let tests = by.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let [name, fault, outcome, by, green] = [name, fault, outcome, by, green].map(str::to_owned);
        Some(Self { name, fault, outcome, tests, by, green, line: line_number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Title
| row | fault | outcome | tests | last green run |
|---|---|---|---|---|
| F1 | it breaks | it works | `one_test`, `another` | never |
| A2 | bad | refused | not yet: later | never |
End
";

    #[test]
    fn rows_are_read_and_only_the_run_of_one_is_written() {
        let mut page = Page::of(TEXT);
        assert_eq!(page.rows().len(), 2);
        assert_eq!(page.row("F1").unwrap().tests, ["one_test", "another"]);
        let without = page.row("A2").unwrap();
        assert!(without.tests.is_empty() && without.by == "not yet: later");
        assert_eq!(page.text(), TEXT);
        page.set_green("F1", "today");
        assert_eq!(page.text(), TEXT.replace("another` | never", "another` | today"));
    }
}
