//! The real command-line peer: how it is started, what it reports, and how it ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::programs::program;
use super::{DEADLINE, Server};

/// How to start one. Unless told otherwise it has no camera, microphone, speaker and screen, speaks over 127.0.0.1,
/// keeps its keys in a folder of its own, and reports to the test.
#[derive(Debug, Clone)]
pub struct Cli {
    name: String,
    data: Arc<TempDir>,
    options: BTreeMap<String, String>,
    more: Vec<String>,
    environment: Vec<(String, PathBuf)>,
}

/// One line of `--events`.
#[derive(Debug, Clone)]
pub struct Event(Value);

/// A running one.
#[derive(Debug)]
pub struct Running {
    name: String,
    process: Process,
    // The keys live as long as whoever uses them.
    _data: Arc<TempDir>,
}

impl Cli {
    /// Signs in as `user` at `server`. The same value can be started again: it is the same installation.
    ///
    /// # Panics
    /// When there is no room for its folder.
    #[must_use]
    pub fn new(server: &Server, user: &str) -> Self {
        Self::at(&server.url(), user)
    }

    /// The same, by the server's URL.
    ///
    /// # Panics
    /// When there is no room for its folder.
    #[must_use]
    pub fn at(url: &str, user: &str) -> Self {
        let silent =
            ["--camera", "--microphone", "--speaker", "--display"].map(|option| (option.to_owned(), "none".to_owned()));
        let cli = Self {
            name: user.into(),
            data: Arc::new(tempfile::tempdir().expect("a folder can be made")),
            options: silent.into(),
            more: vec!["--loopback".into()],
            environment: Vec::new(),
        };
        cli.with("--server", url).with("--user", user).with("--events", "-")
    }

    /// Sets an option, in place of an earlier one of that name.
    #[must_use]
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.options.insert(option.into(), value.into());
        self
    }

    /// Sends pictures and sound that need no files.
    #[must_use]
    pub fn with_media(self) -> Self {
        self.with("--camera", "pattern").with("--microphone", "tone")
    }

    /// Adds a flag, or anything that may be given more than once.
    #[must_use]
    pub fn and(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Speaks over the machine's network, as people do, and not over 127.0.0.1.
    #[must_use]
    pub fn over_the_network(mut self) -> Self {
        self.more.retain(|flag| flag != "--loopback");
        self
    }

    /// Sets environment variables.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (&'static str, PathBuf)>) -> Self {
        self.environment.extend(variables.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// A second device of the same user: the same key, another session.
    ///
    /// # Panics
    /// When this one has not signed in yet, so that there is no key.
    #[must_use]
    pub fn second_device(&self) -> Self {
        let user = self.options.get("--user").expect("everybody has a name");
        let data = tempfile::tempdir().expect("a folder can be made");
        let [from, to] = [self.data.path(), data.path()].map(|folder| folder.join(user));
        std::fs::create_dir(&to).expect("a folder can be made");
        std::fs::copy(from.join("identity.key"), to.join("identity.key")).expect("the first device has a key");
        Self { name: format!("{}'s second device", self.name), data: Arc::new(data), ..self.clone() }
    }

    /// Runs a command, for instance `call bob --seconds 2`.
    #[must_use]
    pub fn start(&self, words: &str) -> Running {
        let mut command = Command::new(program("ahoy-cli"));
        command.arg("--data-dir").arg(self.data.path());
        command.args(self.options.iter().flat_map(|(option, value)| [option, value]));
        command.args(&self.more).args(words.split_whitespace());
        command.env_remove("AHOY_LOG").envs(self.environment.iter().map(|(name, value)| (name, value)));
        let process = if self.more.iter().any(|flag| flag == "--commands") {
            Process::start_listening(&self.name, &mut command)
        } else {
            Process::start(&self.name, &mut command)
        };
        Running::new(&self.name, process, Arc::clone(&self.data))
    }

    /// Runs a command and waits until it is signed in.
    #[must_use]
    #[track_caller]
    pub fn start_signed_in(&self, words: &str) -> Running {
        let running = self.start(words);
        running.wait_for("signed_in");
        running
    }

    /// A path in its own folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }
}

impl Running {
    /// A program that reports with `--events -`, and whose files are in `data`.
    pub(super) fn new(name: &str, process: Process, data: Arc<TempDir>) -> Self {
        Self { name: name.into(), process, _data: data }
    }

    /// Waits for the first event called `name`.
    #[track_caller]
    pub fn wait_for(&self, name: &str) -> Event {
        self.wait_for_nth(name, 0)
    }

    /// Waits for the event called `name` that has `nth` such before it.
    #[track_caller]
    pub fn wait_for_nth(&self, name: &str, nth: usize) -> Event {
        let mut read = 0;
        let mut found = Vec::new();
        self.process.wait_for(name, DEADLINE, |lines| {
            found.extend(lines[read..].iter().map(|line| Event::parse(line)).filter(|event| event.name() == name));
            read = lines.len();
            found.get(nth).cloned()
        })
    }

    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.process.output().iter().map(|line| Event::parse(line)).collect()
    }

    /// All events called `name` so far.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<Event> {
        self.events().into_iter().filter(|event| event.name() == name).collect()
    }

    /// Tells one that was started with `--commands` what to do.
    #[track_caller]
    pub fn tell(&mut self, command: &str) {
        self.process.write_line(command);
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits for its end, and checks the exit code and that nothing panicked. Gives what it said on standard error.
    #[track_caller]
    pub fn ends_with(&mut self, code: i32) -> String {
        self.ends_within(DEADLINE, code)
    }

    /// The same, within another time.
    ///
    /// # Panics
    /// When it ends otherwise.
    #[track_caller]
    pub fn ends_within(&mut self, within: Duration, code: i32) -> String {
        let status = self.process.wait(within);
        let errors = self.process.errors();
        assert!(!errors.contains("panicked"), "{} panicked", self.name);
        assert_eq!(status.code(), Some(code), "{} ended with {status}", self.name);
        errors
    }

    /// After whatever was done to this echo, somebody honest reaches it; then it ends well.
    #[track_caller]
    pub fn takes_the_next_call(&mut self, server: &Server) {
        Cli::new(server, "honest").start("call echo --seconds 0.5").ends_with(0);
        self.process.interrupt();
        self.ends_with(0);
    }

    /// Waits for its end with 4, and checks that it says in words why the call did not come about: one of `words`,
    /// whatever their case.
    ///
    /// # Panics
    /// When it ends otherwise or says something else.
    #[track_caller]
    pub fn fails_saying(&mut self, words: &[&str]) {
        let errors = self.ends_with(4).to_lowercase();
        assert!(words.iter().any(|word| errors.contains(word)), "{} says {errors:?}, none of {words:?}", self.name);
    }
}

impl Event {
    /// Reads one line of `--events`.
    ///
    /// # Panics
    /// When it is none: every line has a time and a name.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is no JSON: {error}"));
        let event = Self(value);
        assert!(event.0["t_ns"].is_u64() && event.0["event"].is_string(), "{line} is no event");
        event
    }

    /// What happened.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("event")
    }

    /// When, in nanoseconds of the monotonic clock.
    #[must_use]
    pub fn t_ns(&self) -> u64 {
        self.number("t_ns")
    }

    /// A member that is text.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap_or_else(|| panic!("no text {member} in {}", self.0))
    }

    /// A member that is a whole number.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn number(&self, member: &str) -> u64 {
        self.0[member].as_u64().unwrap_or_else(|| panic!("no number {member} in {}", self.0))
    }

    /// A member that is a number of any kind.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn decimal(&self, member: &str) -> f64 {
        self.0[member].as_f64().unwrap_or_else(|| panic!("no number {member} in {}", self.0))
    }

    /// A member as it stands there, for messages.
    #[must_use]
    pub fn text_of(&self, member: &str) -> String {
        self.0[member].to_string()
    }

    /// Whether a member is absent or null.
    #[must_use]
    pub fn is_empty(&self, member: &str) -> bool {
        self.0[member].is_null()
    }

    /// A member that is true or false.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn flag(&self, member: &str) -> bool {
        self.0[member].as_bool().unwrap_or_else(|| panic!("no flag {member} in {}", self.0))
    }
}

/// `file:PATH`, as the options for pictures and sound take it.
#[must_use]
pub fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}
