//! Hears what goes through a null sink and knows when: to measure how long sound was under way, two of them listen, one at
//! the microphone and one at the speaker.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::speech::write_wav;

/// Samples a second of what is heard.
pub const RATE_HZ: usize = 48_000;

/// A listener that runs.
#[derive(Debug)]
pub struct Ear {
    recorder: Child,
    reader: JoinHandle<Heard>,
}

/// What one has heard.
#[derive(Debug)]
pub struct Heard {
    /// When the first sample was heard; late by the same few milliseconds for every listener.
    pub began: Instant,
    samples: Vec<i16>,
}

impl Ear {
    /// Listens with `parec`, told by [`super::pulse::Pulse::command`] which server to ask. Returns when it hears, if
    /// only silence.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn listen(mut parec: Command, sink: &str) -> Self {
        parec.arg(format!("--device={sink}.monitor"));
        parec.args(["--raw", "--format=s16le", "--rate=48000", "--channels=1", "--latency-msec=10"]);
        let mut recorder = parec.stdout(Stdio::piped()).spawn().expect("parec comes with pulseaudio-utils");
        let sound = recorder.stdout.take().expect("it is piped");
        let (tell, hears) = sync_channel(1);
        let reader = std::thread::spawn(move || hear(sound, &tell));
        hears.recv_timeout(DEADLINE).expect("a sink always plays something");
        Self { recorder, reader }
    }

    /// Stops listening.
    ///
    /// # Panics
    /// When nothing was heard.
    #[must_use]
    pub fn stop(mut self) -> Heard {
        self.recorder.kill().expect("it runs");
        self.recorder.wait().expect("it was killed");
        self.reader.join().expect("it reads until the end")
    }
}

impl Heard {
    /// Writes it as WAV.
    ///
    /// # Panics
    /// When there is no room.
    pub fn write(&self, path: &Path) {
        write_wav(path, RATE_HZ as u32, &self.samples);
    }
}

fn hear(mut sound: ChildStdout, began_to: &SyncSender<()>) -> Heard {
    let mut samples = Vec::new();
    let mut began: Option<Instant> = None;
    let mut chunk = [0; 1920];
    let mut rest = Vec::new();
    while let Ok(length @ 1..) = sound.read(&mut chunk) {
        let now = Instant::now();
        // The first time somebody waits; later nobody does.
        let _ = began_to.try_send(());
        rest.extend_from_slice(&chunk[..length]);
        let whole = rest.len() / 2 * 2;
        samples
            .extend(rest.drain(..whole).as_slice().chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        // The chunk that came with the least delay tells best when it all began.
        let so_far = Duration::from_secs_f64(samples.len() as f64 / RATE_HZ as f64);
        let by_this = now.checked_sub(so_far).unwrap_or(now);
        began = Some(began.map_or(by_this, |began| began.min(by_this)));
    }
    Heard { began: began.expect("something is always heard"), samples }
}
