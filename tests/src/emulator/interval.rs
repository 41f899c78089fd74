//! What happened one way in a short time: a line of the emulator's log, in JSON.

use serde_json::{Value, json};

/// A tenth of a second, as the log has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Interval {
    /// When it ended, since the clock began.
    pub ends_ms: u64,
    /// What was sent, the lost and the dropped too.
    pub bytes_in: u64,
    /// What arrived.
    pub bytes_out: u64,
    /// How many packets were lost behind the bottleneck.
    pub lost: u64,
    /// How many packets came when the queue was full, or passed it when too many were under way already.
    pub dropped: u64,
    /// How many packets stood in the queue in the end.
    pub queued: usize,
    /// How long the first of them had been there.
    pub oldest_ms: f64,
    /// How long each packet that passed the bottleneck had been in the queue, its own passing included.
    pub queueing_ms: Vec<f64>,
}

impl Interval {
    /// As a line, with the end of it.
    #[must_use]
    pub fn to_line(&self) -> String {
        let queueing_ms: Vec<Value> = self.queueing_ms.iter().map(|delay_ms| hundredths(*delay_ms)).collect();
        let line = json!({
            "ends_ms": self.ends_ms,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "lost": self.lost,
            "dropped": self.dropped,
            "queued": self.queued,
            "oldest_ms": hundredths(self.oldest_ms),
            "queueing_ms": queueing_ms,
        });
        format!("{line}\n")
    }

    /// From a line. `None`: it is none, or not all of one.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let count = |name: &str| line.get(name)?.as_u64();
        Some(Self {
            ends_ms: count("ends_ms")?,
            bytes_in: count("bytes_in")?,
            bytes_out: count("bytes_out")?,
            lost: count("lost")?,
            dropped: count("dropped")?,
            queued: usize::try_from(count("queued")?).ok()?,
            oldest_ms: line.get("oldest_ms")?.as_f64()?,
            queueing_ms: line.get("queueing_ms")?.as_array()?.iter().filter_map(Value::as_f64).collect(),
        })
    }
}

fn hundredths(value: f64) -> Value {
    json!((value * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_it_was_written() {
        let interval = Interval {
            ends_ms: 100,
            bytes_in: 3_000,
            bytes_out: 1_000,
            lost: 1,
            dropped: 1,
            queued: 3,
            oldest_ms: 7.25,
            queueing_ms: vec![0.0, 12.5],
        };
        let line = interval.to_line();
        assert_eq!(Interval::from_line(&line), Some(interval));
        assert_eq!(Interval::from_line(&line[..line.len() / 2]), None);
    }
}
