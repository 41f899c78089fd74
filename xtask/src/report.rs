//! The steps of a task: each announced, timed, and listed at the end. A failed step does not stop the next.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Passed, but only at the second try: these tests.
    Unsteady(String),
    /// It could not be done here, for this reason; the task may pass without it.
    Skipped(String),
    Failed(String),
}

/// What was done so far.
#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
}

struct Step {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

impl Report {
    /// Runs a step and says whether it passed. An error from `run` is a failure of the step.
    pub(crate) fn step(&mut self, name: &'static str, run: impl FnOnce() -> anyhow::Result<Outcome>) -> bool {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome = run().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let step = Step { name, took: start.elapsed(), outcome };
        println!("{step}");
        let passed = matches!(step.outcome, Outcome::Passed | Outcome::Unsteady(_));
        self.steps.push(step);
        passed
    }

    /// Prints every step again, a line each, and says whether none failed.
    pub(crate) fn finish(&self) -> bool {
        println!("\n==> summary");
        for step in &self.steps {
            println!("{step}");
        }
        let total: Duration = self.steps.iter().map(|step| step.took).sum();
        let failed: Vec<&str> =
            self.steps.iter().filter(|step| matches!(step.outcome, Outcome::Failed(_))).map(|step| step.name).collect();
        let verdict =
            if failed.is_empty() { "all is well".to_owned() } else { format!("FAILED: {}", failed.join(", ")) };
        println!("{verdict} ({:.1} s)", total.as_secs_f64());
        failed.is_empty()
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.took.as_secs_f64();
        let name = self.name;
        match &self.outcome {
            Outcome::Passed => write!(f, "passed   {seconds:7.1} s  {name}"),
            Outcome::Unsteady(which) => {
                write!(f, "UNSTEADY {seconds:7.1} s  {name}: passed at the second try: {which}")
            }
            Outcome::Skipped(why) => write!(f, "SKIPPED  {seconds:7.1} s  {name}: {why}"),
            Outcome::Failed(why) => write!(f, "FAILED   {seconds:7.1} s  {name}: {why}"),
        }
    }
}

/// A step that is one command: passed if that succeeds.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Outcome> {
    let status = command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    Ok(if status.success() { Outcome::Passed } else { Outcome::Failed(status.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_fails_by_a_failed_step_and_not_by_a_skipped_one() {
        let mut report = Report::default();
        assert!(report.step("one", || Ok(Outcome::Passed)));
        assert!(!report.step("two", || Ok(Outcome::Skipped("no network".into()))));
        assert!(report.finish());
        assert!(!report.step("three", || anyhow::bail!("no such file")));
        assert!(!report.finish());
        assert!(report.step("four", || Ok(Outcome::Passed)));
        assert!(!report.finish());
    }

    #[test]
    fn a_command_that_cannot_be_started_or_ends_badly_does_not_pass() {
        assert!(run(&mut Command::new("no-such-program-anywhere")).is_err());
        let cargo = &mut crate::cargo::cargo("no-such-command");
        assert!(matches!(run(cargo).unwrap(), Outcome::Failed(_)));
    }
}
