//! Programs that run beside this one, and not a moment longer.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::cargo::command;
use crate::setup::is_on_path;

/// A program that ends with its owner.
pub(crate) struct Running {
    name: String,
    child: Child,
}

impl Running {
    /// Starts `program`. Its output is the terminal's.
    pub(crate) fn start(name: &str, program: &str, arguments: &[String]) -> anyhow::Result<Running> {
        Running::spawn(name, &mut ending_with_us(program, arguments))
    }

    /// Starts it and waits until it writes a line of which `found` makes something. What it writes afterwards is dropped.
    pub(crate) fn start_and_hear<T>(
        name: &str,
        program: &str,
        arguments: &[String],
        limit: Duration,
        found: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<(Running, T)> {
        let mut command = ending_with_us(program, arguments);
        let mut running = Running::spawn(name, command.stdout(Stdio::piped()))?;
        let lines = running.lines()?;
        let deadline = Instant::now() + limit;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(found) = found(&line) {
                        return Ok((running, found));
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("{name} is not ready after {} s", limit.as_secs()),
                Err(RecvTimeoutError::Disconnected) => bail!("{name} ended at once; the lines above say why"),
            }
        }
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot see how {} does", self.name))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn spawn(name: &str, command: &mut Command) -> anyhow::Result<Running> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Running { name: name.to_owned(), child })
    }

    /// What it writes, read to the end by a thread, so that it never waits for a reader.
    fn lines(&mut self) -> anyhow::Result<Receiver<String>> {
        let output = self.child.stdout.take().context("its output was asked for")?;
        let (heard, lines) = mpsc::channel();
        thread::Builder::new().name(format!("{} says", self.name)).spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more; it is read all the same.
                let _ = heard.send(line);
            }
        })?;
        Ok(lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has ended, as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that ends also when this program is killed. (Ctrl+C reaches it by itself: the terminal tells all.)
fn ending_with_us(program: &str, arguments: &[String]) -> Command {
    let mut command = if cfg!(target_os = "linux") && is_on_path("setpriv") {
        let mut guarded = command("setpriv");
        guarded.args(["--pdeathsig", "TERM", program]);
        guarded
    } else {
        command(program)
    };
    command.args(arguments);
    command
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Vec<String> {
        vec!["-c".to_owned(), script.to_owned()]
    }

    #[test]
    fn a_program_is_ready_when_it_says_so_and_gone_when_dropped() {
        let say = shell("echo starting; echo listening on 7; exec sleep 60");
        let heard = Running::start_and_hear("a program", "sh", &say, LIMIT, |line| {
            line.strip_prefix("listening on ").map(str::to_owned)
        });
        let (mut running, port) = heard.unwrap();
        assert_eq!(port, "7");
        assert!(running.ended().unwrap().is_none());
        let id = running.child.id();
        drop(running);
        let there = Command::new("kill").args(["-0", &id.to_string()]).stderr(Stdio::null()).status().unwrap();
        assert!(!there.success());
    }

    #[test]
    fn a_program_that_ends_or_stays_silent_is_not_ready() {
        let nothing = |_: &str| None::<()>;
        let ended = Running::start_and_hear("it", "sh", &shell("exit 3"), LIMIT, nothing);
        assert!(ended.is_err_and(|error| error.to_string().contains("ended at once")));
        let silent = Running::start_and_hear("it", "sh", &shell("exec sleep 60"), Duration::from_millis(200), nothing);
        assert!(silent.is_err_and(|error| error.to_string().contains("not ready")));
    }
}
