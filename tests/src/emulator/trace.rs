//! A recorded link, in the format of mahimahi: a line for each opportunity to send 1500 bytes, in whole milliseconds since
//! the start. After the last line it starts over.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::Duration;

/// How much one opportunity carries.
pub(super) const OPPORTUNITY_BYTES: usize = 1500;

/// Some five hours of 8 Mb/s.
const MOST_BYTES: u64 = 96 << 20;

/// When something can be sent, in order; at least one opportunity, the last later than 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    opportunities_ms: Vec<u32>,
    lasts_ms: u32,
}

impl Trace {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is no trace: the file and its line.
    pub fn read(path: &Path) -> Result<Self, String> {
        let in_file = |what: String| format!("{}: {what}", path.display());
        let file = File::open(path).map_err(|error| in_file(error.to_string()))?;
        let length = file.metadata().map_err(|error| in_file(error.to_string()))?.len();
        if length > MOST_BYTES {
            return Err(in_file(format!("{length} bytes are more than the {MOST_BYTES} that a trace may have")));
        }
        let mut opportunities_ms = Vec::new();
        for (line, number) in BufReader::new(file.take(MOST_BYTES)).lines().zip(1..) {
            let in_line = |what: String| format!("{}:{number}: {what}", path.display());
            let line = line.map_err(|error| in_line(error.to_string()))?;
            let at_ms = line.trim().parse().map_err(|_| in_line("no number of milliseconds".to_owned()))?;
            if opportunities_ms.last().is_some_and(|last| *last > at_ms) {
                return Err(in_line(format!("{at_ms} is before the line above it")));
            }
            opportunities_ms.push(at_ms);
        }
        Self::new(opportunities_ms).ok_or_else(|| in_file("a trace needs an opportunity later than 0 ms".to_owned()))
    }

    /// Of opportunities in order.
    fn new(opportunities_ms: Vec<u32>) -> Option<Self> {
        let lasts_ms = *opportunities_ms.last().filter(|last| **last > 0)?;
        Some(Self { opportunities_ms, lasts_ms })
    }

    /// When opportunity `number` comes, counted on through all repetitions.
    pub(super) fn at(&self, number: u64) -> Duration {
        let count = self.opportunities_ms.len() as u64;
        let at_ms = self.opportunities_ms[(number % count) as usize];
        Duration::from_millis(number / count * u64::from(self.lasts_ms) + u64::from(at_ms))
    }

    /// The first opportunity at `since_start` or later.
    pub(super) fn first_from(&self, since_start: Duration) -> u64 {
        let since_ms = u64::try_from(since_start.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        // The very start of a repetition belongs to the one before: its last opportunity lies there.
        let repetition = since_ms.saturating_sub(1) / u64::from(self.lasts_ms);
        let into_ms = since_ms - repetition * u64::from(self.lasts_ms);
        let before = self.opportunities_ms.partition_point(|at_ms| u64::from(*at_ms) < into_ms);
        repetition * self.opportunities_ms.len() as u64 + before as u64
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(text: &str) -> Result<Trace, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Trace::read(file.path()).map_err(|error| error.replace(file.path().to_str().unwrap(), "trace"))
    }

    #[test]
    fn a_trace_starts_over_after_its_last_line() {
        let trace = read("0\n5\n5\n10\n").unwrap();
        let first: Vec<u128> = (0..8).map(|number| trace.at(number).as_millis()).collect();
        assert_eq!(first, [0, 5, 5, 10, 10, 15, 15, 20]);
        for since_ms in 0..45 {
            let since_start = Duration::from_millis(since_ms);
            let by_counting = (0..).find(|number| trace.at(*number) >= since_start).unwrap();
            assert_eq!(trace.first_from(since_start), by_counting, "at {since_ms} ms");
        }
    }

    #[test]
    fn the_next_opportunity_is_found_in_any_repetition() {
        let trace = Trace::new(vec![0, 400, 400, 1000]).unwrap();
        for (since_us, number, at_ms) in [
            (2_000_000, 7, 2000),
            (2_000_001, 9, 2400),
            (2_400_000, 9, 2400),
            (2_400_001, 11, 3000),
            (2_999_999, 11, 3000),
            (3_000_000, 11, 3000),
            (3_000_001, 13, 3400),
        ] {
            assert_eq!(trace.first_from(Duration::from_micros(since_us)), number, "at {since_us} µs");
            assert_eq!(trace.at(number), Duration::from_millis(at_ms));
        }
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_line() {
        assert_eq!(read("1\n2\nthree\n"), Err("trace:3: no number of milliseconds".to_owned()));
        assert_eq!(read("1\n7\n6\n"), Err("trace:3: 6 is before the line above it".to_owned()));
        assert_eq!(read("1\n-7\n"), Err("trace:2: no number of milliseconds".to_owned()));
        let empty = Err("trace: a trace needs an opportunity later than 0 ms".to_owned());
        assert_eq!(read(""), empty);
        assert_eq!(read("0\n0\n"), empty);
    }
}
