//! How well speech is understood: ESTOI, by a Python program (`tests/bench/peers/estoi.py`, on pystoi), with its
//! libraries in a virtual environment under the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ahoy_tests::harness::process::Process;
use ahoy_tests::harness::programs::target_folder;
use ahoy_tests::harness::python;

use super::heard::SpeechAt;

const DEADLINE: Duration = Duration::from_secs(120);

/// What measures it.
#[derive(Debug)]
pub(super) struct Clarity {
    python: PathBuf,
}

impl Clarity {
    /// Makes the environment if there is none; `only_made`: unless it would have to be made.
    ///
    /// # Errors
    /// Why it cannot be measured here, in words.
    pub(super) fn open(only_made: bool) -> Result<Self, String> {
        let folder = target_folder().join("python-bench");
        let requirements = peers().join("requirements.txt");
        let python = if only_made {
            python::made(&folder, &requirements).ok_or("the libraries are installed by a full run only")?
        } else {
            python::environment(&folder, &requirements)?
        };
        Ok(Self { python })
    }

    /// Of each piece of speech, from about 0 to 1; `files` are the recordings at the microphone and at the speaker.
    ///
    /// # Panics
    /// When the program fails.
    pub(super) fn measure(&self, files: [&Path; 2], speech: &[SpeechAt]) -> Vec<f64> {
        let places = speech.iter().map(|at| format!("{}:{}:{}", at.said, at.heard, at.length));
        let mut command = Command::new(&self.python);
        command.arg(peers().join("estoi.py")).args(files).args(places);
        let mut process = Process::start("estoi.py", &mut command);
        let status = process.wait(DEADLINE);
        assert!(status.success(), "estoi.py ended with {status}:\n{}", process.errors());
        process.output().iter().map(|line| line.parse().expect("a number a line")).collect()
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peers")
}
