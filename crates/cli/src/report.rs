//! Writes what happens as JSON lines (`--events`), one event a line, flushed at once so that a reader sees it live.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use ahoy_client::Stamped;
use anyhow::Context as _;

/// Where events go.
pub(crate) struct Report {
    output: Option<Box<dyn Write + Send>>,
}

impl Report {
    /// Opens `target`: a file, `-` for standard output, or nothing.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn open(target: Option<&Path>) -> anyhow::Result<Self> {
        let output: Option<Box<dyn Write + Send>> = match target {
            None => None,
            Some(path) if path.as_os_str() == "-" => Some(Box::new(io::stdout())),
            Some(path) => {
                let file = File::create(path).with_context(|| format!("cannot write events to {}", path.display()))?;
                Some(Box::new(file))
            }
        };
        Ok(Self { output })
    }

    /// Writes one event.
    ///
    /// # Errors
    /// When the file or pipe takes no more.
    pub(crate) fn write(&mut self, event: &Stamped) -> anyhow::Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let mut line = serde_json::to_vec(event).context("an event is plain data")?;
        line.push(b'\n');
        output.write_all(&line).and_then(|()| output.flush()).context("cannot write events")
    }
}
