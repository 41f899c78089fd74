//! The file of events: what happened, as JSON lines, written by a thread of its own so that a slow reader of a pipe
//! holds up nobody.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use ahoy_client::{Stamped, monotonic_ns};
use serde_json::{Map, Value};
use tracing::{debug, warn};

use crate::app::StartError;

/// Lines that wait: some seconds of two views' pictures. Beyond that lines are left out.
const LINES: usize = 4_096;

/// Owns the thread.
#[derive(Debug)]
pub(crate) struct Journal {
    notes: Notes,
    writer: Option<JoinHandle<()>>,
}

/// Where lines are given in; clones are the same file.
#[derive(Debug, Clone)]
pub struct Notes {
    lines: Option<SyncSender<Line>>,
}

#[derive(Debug)]
enum Line {
    Text(Vec<u8>),
    End,
}

impl Journal {
    /// Opens `target`: a file, `-` for standard output, or nothing.
    pub(crate) fn start(target: Option<&Path>) -> Result<Self, StartError> {
        let Some(path) = target else { return Ok(Self { notes: Notes { lines: None }, writer: None }) };
        let output: Box<dyn Write + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            let file = File::create(path);
            Box::new(file.map_err(|source| StartError::Events { path: path.into(), source })?)
        };
        let (lines, queue) = sync_channel(LINES);
        let writer = thread::Builder::new().name("events".into()).spawn(move || write_lines(output, &queue));
        let writer = writer.map_err(StartError::Thread)?;
        Ok(Self { notes: Notes { lines: Some(lines) }, writer: Some(writer) })
    }

    pub(crate) fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// Whether anybody wants to know.
    pub(crate) fn is_wanted(&self) -> bool {
        self.writer.is_some()
    }

    pub(crate) fn write(&self, event: &Stamped) {
        if self.is_wanted() {
            self.notes.give(serde_json::to_vec(event));
        }
    }

    /// Writes what waits and ends. Blocks as long as a reader does.
    pub(crate) fn finish(mut self) {
        if let (Some(lines), Some(writer)) = (self.notes.lines.take(), self.writer.take()) {
            // A writer that failed has ended.
            let _ = lines.send(Line::End);
            if writer.join().is_err() {
                warn!("the thread that writes events panicked");
            }
        }
    }
}

impl Notes {
    /// Writes a line with the time, the event's name, and these fields.
    pub fn note(&self, event: &str, fields: Map<String, Value>) {
        if self.lines.is_none() {
            return;
        }
        let mut line = Map::new();
        line.insert("t_ns".into(), monotonic_ns().into());
        line.insert("event".into(), event.into());
        line.extend(fields);
        self.give(serde_json::to_vec(&line));
    }

    fn give(&self, line: serde_json::Result<Vec<u8>>) {
        let (Some(lines), Ok(mut line)) = (&self.lines, line) else { return };
        line.push(b'\n');
        match lines.try_send(Line::Text(line)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => debug!("the file of events is too slow; a line is left out"),
        }
    }
}

fn write_lines(mut output: Box<dyn Write + Send>, queue: &Receiver<Line>) {
    for line in queue {
        let written = match line {
            Line::Text(text) => output.write_all(&text).and_then(|()| output.flush()),
            Line::End => return,
        };
        if let Err(error) = written {
            warn!(%error, "events cannot be written any more");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_with_time_and_name_in_order_of_notes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let journal = Journal::start(Some(&path)).unwrap();
        let notes = journal.notes();
        for rtp in 0..100 {
            notes.note("frame_drawn", Map::from_iter([("rtp".into(), rtp.into())]));
        }
        journal.finish();
        notes.note("too_late", Map::new());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let rtps: Vec<u64> = lines.iter().map(|line| line["rtp"].as_u64().unwrap()).collect();
        assert_eq!(rtps, (0..100).collect::<Vec<_>>());
        assert!(lines.iter().all(|line| line["event"] == "frame_drawn" && line["t_ns"].as_u64() > Some(0)));
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let error = Journal::start(Some(Path::new("/no/such/folder/events"))).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder/events"), "{error}");
    }
}
