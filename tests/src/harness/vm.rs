//! A machine with a camera and a sound card: a VM whose kernel has drivers for hardware that does not exist (vivid,
//! snd-aloop). `tests/lab/vm` says how it is made and what a job in it sees. It is some twenty times slower than this
//! machine, so it tells whether something works and not how fast.

pub mod inside;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::Process;

/// One that is ready to boot.
#[derive(Debug)]
pub struct Vm {
    folder: PathBuf,
}

/// How a job ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when the VM did not come so far.
    pub code: Option<i32>,
    /// What it wrote to both outputs, line by line.
    pub output: Vec<String>,
    /// What the kernel said.
    pub console: String,
}

/// Two hundred megabytes over a slow network.
const TO_SET_UP: Duration = Duration::from_secs(600);

/// What the VM has (2 GiB), and something for QEMU itself.
const MEMORY_KB: u64 = 2_400_000;

/// `setup.sh` says with this that it can do nothing here (EX_UNAVAILABLE of sysexits.h).
const UNAVAILABLE: i32 = 69;

impl Vm {
    /// The one in `folder`, which is made first where there is none or another version of the scripts made it.
    ///
    /// # Errors
    /// When this machine cannot have one, with the reason.
    ///
    /// # Panics
    /// When it should be possible and fails.
    pub fn set_up(folder: &Path) -> Result<Self, String> {
        let memory_kb = available_memory_kb().ok_or("the VM is made for Linux on x86-64")?;
        if memory_kb < MEMORY_KB {
            return Err(format!("the VM needs {MEMORY_KB} kB of memory, and {memory_kb} kB are free"));
        }
        // Two runs at once would take away each other's files.
        let lock = File::create(folder.with_extension("lock")).expect("the target folder can be written");
        lock.lock().expect("files can be locked");
        let vm = Self { folder: folder.into() };
        if vm.is_current() {
            return Ok(vm);
        }
        let mut setup = Process::start("the VM's set-up", Command::new(lab("setup.sh")).arg(folder));
        let status = setup.wait(TO_SET_UP);
        let errors = setup.errors();
        match status.code() {
            Some(0) => Ok(vm),
            Some(UNAVAILABLE) => Err(errors.lines().last().unwrap_or("the VM's set-up does not say why").to_owned()),
            _ => panic!("the VM's set-up ended with {status}:\n{errors}"),
        }
    }

    /// Boots, runs a script of the shell as root, and switches off.
    ///
    /// # Panics
    /// When that takes longer than `within`.
    #[must_use]
    #[track_caller]
    pub fn run(&self, script: &str, within: Duration) -> Ended {
        let job = tempfile::tempdir().expect("a folder can be made");
        let file = |name: &str| job.path().join(name);
        fs::write(file("job.sh"), script).expect("files can be written");
        let mut command = Command::new(lab("run.sh"));
        let mut running = Process::start("the VM", command.arg(&self.folder).arg(job.path()));
        running.wait(within);
        let read = |name: &str| fs::read_to_string(file(name)).unwrap_or_default();
        let console = format!("{}\n{}", read("console"), running.errors());
        Ended { code: read("status").trim().parse().ok(), output: running.output(), console }
    }

    /// Whether it is there, made by the scripts as they are now.
    fn is_current(&self) -> bool {
        ["setup.sh", "init"].iter().all(|name| {
            let [now, then] = [lab(name), self.folder.join("made-by").join(name)].map(fs::read);
            now.is_ok() && now.ok() == then.ok()
        })
    }
}

/// The tests' scripts for the VM.
fn lab(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/vm").join(name)
}

/// `None`: not Linux.
fn available_memory_kb() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
