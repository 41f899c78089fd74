//! A program under test: its two outputs are collected as lines, every wait has a deadline, and it dies with its owner.
//! When the test is failing by then, everything that it said is printed.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    said: Arc<Said>,
}

/// What a program wrote, and a bell for whoever waits for more.
#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    output: Vec<String>,
    errors: Vec<String>,
    /// How many of the two have ended.
    ended: u8,
}

impl Process {
    /// Starts `command`; `name` is for messages.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        Self::start_reading(name, Stdio::null(), command)
    }

    /// The same, of a program that reads what [`Self::write_line`] writes.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_listening(name: &str, command: &mut Command) -> Self {
        Self::start_reading(name, Stdio::piped(), command)
    }

    fn start_reading(name: &str, input: Stdio, command: &mut Command) -> Self {
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let said = Arc::new(Said::default());
        let output = child.stdout.take().expect("its output was asked for");
        let errors = child.stderr.take().expect("its errors were asked for");
        collect(output, Arc::clone(&said), |lines| &mut lines.output);
        collect(errors, Arc::clone(&said), |lines| &mut lines.errors);
        Self { name: name.into(), child, said }
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When it was not started to listen, or has ended.
    #[track_caller]
    pub fn write_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap_or_else(|| panic!("{} was not started to listen", self.name));
        writeln!(input, "{line}").unwrap_or_else(|error| panic!("{} does not take {line:?}: {error}", self.name));
    }

    /// Ends its standard input.
    pub fn close_input(&mut self) {
        self.child.stdin = None;
    }

    /// Waits until `found` makes something of the lines on standard output.
    ///
    /// # Panics
    /// When the program ends first, or `within` has passed. `what` says what was waited for.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, within: Duration, mut found: impl FnMut(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + within;
        let mut lines = self.said.lock();
        loop {
            // Whether it has ended is read before the lines are: what it said last still counts.
            let ended = lines.ended == 2;
            if let Some(value) = found(&lines.output) {
                return value;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let why = if ended { "ended" } else { "took too long" };
            if ended || left.is_zero() {
                drop(lines);
                panic!("{} {why} before {what}", self.name);
            }
            lines = self.said.wait(lines, left);
        }
    }

    /// The first line on standard output. `None`: the program ended without one.
    ///
    /// # Panics
    /// When neither happened `within` that time.
    #[must_use]
    #[track_caller]
    pub fn first_line(&self, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        let mut lines = self.said.lock();
        while lines.output.is_empty() && lines.ended < 2 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(lines);
                panic!("{} says nothing", self.name);
            }
            lines = self.said.wait(lines, left);
        }
        lines.output.first().cloned()
    }

    /// The lines on standard output so far.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        self.said.lock().output.clone()
    }

    /// The standard error so far.
    #[must_use]
    pub fn errors(&self) -> String {
        self.said.lock().errors.join("\n")
    }

    /// Waits for the end of the program.
    ///
    /// # Panics
    /// When it runs on after `within`.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        let mut lines = self.said.lock();
        // Both outputs end when the program does; so this needs no polling.
        while lines.ended < 2 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(lines);
                panic!("{} did not end within {within:?}", self.name);
            }
            lines = self.said.wait(lines, left);
        }
        drop(lines);
        self.child.wait().expect("a child can be waited for")
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What its open descriptors are, as Linux names them: files by their paths, others such as `socket:[1234]`. Empty when it
    /// has ended.
    #[must_use]
    pub fn descriptors(&self) -> Vec<String> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.id())).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).map(|path| path.display().to_string()).collect()
    }

    /// How many threads it has. 0 when it has ended.
    #[must_use]
    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.id())).into_iter().flatten().count()
    }

    /// Asks the program to stop, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Asks the program to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the program at once; it gets no chance to say goodbye.
    pub fn kill(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .unwrap_or_else(|error| panic!("{} cannot be signalled: {error}", self.name));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let lines = self.said.lock();
            // Single pictures say little and are many.
            let output = lines.output.iter().filter(|line| !line.contains("\"frame_"));
            eprintln!("{}: standard output", self.name);
            output.for_each(|line| eprintln!("    {line}"));
            eprintln!("{}: standard error", self.name);
            lines.errors.iter().for_each(|line| eprintln!("    {line}"));
        }
    }
}

impl Said {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().expect("no reader panics")
    }

    fn wait<'a>(&self, lines: MutexGuard<'a, Lines>, most: Duration) -> MutexGuard<'a, Lines> {
        self.more.wait_timeout(lines, most).expect("no reader panics").0
    }
}

/// Reads a pipe to its end, on a thread of its own.
fn collect(pipe: impl Read + Send + 'static, said: Arc<Said>, to: fn(&mut Lines) -> &mut Vec<String>) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            to(&mut said.lock()).push(text);
            said.more.notify_all();
            line.clear();
        }
        said.lock().ended += 1;
        said.more.notify_all();
    });
}
