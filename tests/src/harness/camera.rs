//! A camera for programs under test, on machines that have none: `lab/fakecam.c` is compiled and loaded into them, so
//! that they run the camera code that they would run with a real one.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tempfile::TempDir;

use super::skipped;
use super::y4m::Recording;

/// A camera that shows a clip.
#[derive(Debug)]
pub struct FakeCamera {
    folder: TempDir,
    library: &'static Path,
}

/// What can be the matter with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is gone.
    Unplugged,
    /// Its driver lets nobody open it.
    Refused,
    /// Another program uses it.
    Busy,
    /// It sends nothing.
    Stalled,
    /// Its driver fails at each picture.
    Broken,
    /// Its bus has room for compressed pictures only.
    Crowded,
    /// Its rows and buffers are longer than its pictures.
    Padded,
    /// It is not alone: `/dev/video1`, "Second Camera", is there too, and can be used while this one is not.
    Accompanied,
}

impl FakeCamera {
    /// A camera that shows `clip` in the ways of `offers`, such as `YUYV 640 480 30`, a line each. Nothing where there can
    /// be none; then that is said on standard error.
    ///
    /// # Panics
    /// When it cannot be made although it should.
    #[must_use]
    pub fn new(clip: &Path, offers: &str) -> Option<Self> {
        let library = library()?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::write(folder.path().join("offers"), offers).expect("there is room");
        symlink(clip, folder.path().join("clip.y4m")).expect("links can be made");
        if offers.contains("MJPG") {
            symlink(jpegs(clip), folder.path().join("frames.mjpeg")).expect("links can be made");
        }
        Some(Self { folder, library })
    }

    /// The environment that loads it into a program.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.library.into()), ("FAKECAM", self.folder.path().into())]
    }

    /// From now on it is so.
    ///
    /// # Panics
    /// When there is no room.
    pub fn becomes(&self, state: State) {
        File::create(self.file(state)).expect("there is room");
    }

    /// From now on it is not so any more.
    ///
    /// # Panics
    /// When it was not so.
    pub fn is_no_longer(&self, state: State) {
        fs::remove_file(self.file(state)).expect("it was so");
    }

    /// From now on its JPEGs are these bytes; for programs that are started later.
    ///
    /// # Panics
    /// When there is no room.
    pub fn sends(&self, bytes: &[u8]) {
        let path = self.folder.path().join("frames.mjpeg");
        // A link to the JPEGs that all share.
        fs::remove_file(&path).expect("it offers JPEGs");
        fs::write(path, bytes).expect("there is room");
    }

    /// A path beside its files.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, state: State) -> PathBuf {
        self.beside(match state {
            State::Unplugged => "unplugged",
            State::Refused => "refused",
            State::Busy => "busy",
            State::Stalled => "stalled",
            State::Broken => "broken",
            State::Crowded => "crowded",
            State::Padded => "padded",
            State::Accompanied => "second",
        })
    }
}

/// Compiled once a test program.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compiled = LIBRARY.get_or_init(|| {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) {
            skipped("the fake camera is for Linux with glibc");
            return None;
        }
        let compiler = Command::new("cc").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !compiler.is_ok_and(|status| status.success()) {
            skipped("no cc to compile the fake camera with");
            return None;
        }
        let own = env::current_exe().expect("a running program has a path");
        let library = own.with_file_name("fakecam.so");
        // Another test program may be using the one that is there.
        let fresh = own.with_file_name(format!("fakecam-{}.so", process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/fakecam.c");
        let mut command = Command::new("cc");
        command.args(["-O2", "-w", "-shared", "-fPIC", "-o"]).args([&fresh, &source]).arg("-ldl");
        assert!(command.status().is_ok_and(|status| status.success()), "the fake camera does not compile");
        fs::rename(&fresh, &library).expect("files can be renamed");
        Some(library)
    });
    compiled.as_deref()
}

/// The clip's pictures as cameras compress them: full range, 4:2:2. Written once a test program for each clip, beside it.
fn jpegs(clip: &Path) -> PathBuf {
    static WRITTEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let path = clip.with_extension("mjpeg");
    // Locked until they are there; what a failed test left is not in the set.
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    if written.contains(&path) {
        return path;
    }
    fs::write(&path, compress(clip)).expect("the folder is writable");
    written.insert(path.clone());
    path
}

fn compress(clip: &Path) -> Vec<u8> {
    let mut recording = Recording::open(clip);
    let (width, height) = (recording.width, recording.height);
    let mut bytes = Vec::new();
    for number in 0..recording.pictures {
        let picture = recording.picture(number);
        let (luma, chroma) = picture.split_at(width * height);
        let (u, v) = chroma.split_at(chroma.len() / 2);
        let mut pixels = Vec::with_capacity(luma.len() * 3);
        for (at, y) in luma.iter().enumerate() {
            let colour = at / width / 2 * (width / 2) + at % width / 2;
            // From video to full range (BT.601, JFIF).
            let widen = |value: u8, zero: f32, span: f32, middle: f32| {
                ((f32::from(value) - zero) * 255.0 / span + middle).round().clamp(0.0, 255.0) as u8
            };
            let [u, v] = [u, v].map(|plane| widen(plane[colour], 128.0, 224.0, 128.0));
            pixels.extend([widen(*y, 16.0, 219.0, 0.0), u, v]);
        }
        let mut encoder = Encoder::new(&mut bytes, 90);
        encoder.set_sampling_factor(SamplingFactor::R_4_2_2);
        let encoded = encoder.encode(&pixels, width as u16, height as u16, ColorType::Ycbcr);
        encoded.expect("pictures can be compressed");
    }
    bytes
}
