//! Which camera is opened when the wanted one is not plugged in: the same under another id, else the system's first, until
//! it is back. As for microphones and speakers, nothing stands in for one that is there and busy, refused or broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ahoy_media::camera::{self, CameraInfo, DEFAULT_CAMERA};
use ahoy_media::source::SourceError;
use ahoy_media::{PictureSource, SourceSpec};

use crate::worker::{Stop, Worker};

/// How often it is asked whether the camera is back.
const LOOK: Duration = Duration::from_secs(1);
/// How soon the thread that asks sees that nobody waits for the answer any more.
const NAP: Duration = Duration::from_millis(50);

/// The camera that one wish is about, and what has become of it.
pub(super) struct Wanted {
    spec: SourceSpec,
    missed: Option<Missed>,
}

/// A camera that is not plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missed {
    id: String,
    /// Nothing for one that was never seen.
    name: Option<String>,
}

/// An open source of pictures.
pub(super) struct Open {
    pub(super) source: PictureSource,
    /// What is to be told: that another camera stands in, or that the one that was missed is back.
    pub(super) news: Option<String>,
    /// While another camera stands in.
    pub(super) lookout: Option<Lookout>,
}

impl Wanted {
    pub(super) fn new(spec: SourceSpec) -> Self {
        Self { spec, missed: None }
    }

    /// Opens it, or what stands in; nothing for `none`. Takes as long as [`PictureSource::open_unless`], thrice where
    /// a camera is missed.
    ///
    /// # Errors
    /// Why the wanted one gives no pictures, or, where that is missed, the one that was to stand in.
    pub(super) fn open(&mut self, stop: &dyn Fn() -> bool) -> Result<Option<Open>, SourceError> {
        let missed = match self.open_wanted(stop) {
            Err(SourceError::Camera(error)) if error.is_missing() => error,
            opened => {
                let Some(source) = opened? else { return Ok(None) };
                let was_missed = self.missed.take().is_some();
                let camera = source.camera().filter(|_| was_missed);
                let news = camera.map(|camera| format!("\"{}\" is back", camera.name));
                return Ok(Some(Open { source, news, lookout: None }));
            }
        };
        let SourceSpec::Device(id) = &self.spec else { return Err(missed.into()) };
        if self.missed.is_none() && id == DEFAULT_CAMERA {
            // There is none, and never was.
            return Err(missed.into());
        }
        let wanted = self.missed.get_or_insert_with(|| Missed { id: id.clone(), name: None });
        match PictureSource::open_unless(&SourceSpec::Device(DEFAULT_CAMERA.into()), stop) {
            Ok(source) => Ok(source.map(|source| {
                let instead = source.camera().map_or(DEFAULT_CAMERA, |camera| &camera.name);
                let news = Some(wanted.replaced_by(instead));
                Open { lookout: Some(Lookout::start(wanted.clone())), news, source }
            })),
            Err(SourceError::Camera(error)) if error.is_missing() => Err(missed.into()),
            Err(error) => Err(error),
        }
    }

    /// This one was open and is not there any more.
    pub(super) fn is_gone(&mut self, camera: &CameraInfo) {
        // Of two that went, the first is the one that was wanted.
        self.missed.get_or_insert_with(|| Missed { id: camera.id.clone(), name: Some(camera.name.clone()) });
    }

    fn open_wanted(&self, stop: &dyn Fn() -> bool) -> Result<Option<PictureSource>, SourceError> {
        let Some(missed) = &self.missed else { return PictureSource::open_unless(&self.spec, stop) };
        let open = |id: &str| PictureSource::open_unless(&SourceSpec::Device(id.into()), stop);
        match (open(&missed.id), &missed.name) {
            // Plugged into another port it may have another id.
            (Err(SourceError::Camera(error)), Some(name)) if error.is_missing() => open(name),
            (opened, _) => opened,
        }
    }
}

impl Missed {
    fn replaced_by(&self, instead: &str) -> String {
        match &self.name {
            Some(name) => format!("\"{name}\" was unplugged; using \"{instead}\" instead"),
            None => format!("\"{}\" is not connected; using \"{instead}\" instead", self.id),
        }
    }

    fn is_back(&self) -> bool {
        let is_there = |id: &str| camera::find(id).is_ok();
        is_there(&self.id) || self.name.as_deref().is_some_and(is_there)
    }
}

/// Looks out for a camera that is missed, on a thread of its own: asking drivers takes time that pictures do not have.
pub(super) struct Lookout {
    is_back: Arc<AtomicBool>,
    /// Nothing where the system gave none: then the camera is back with the next call.
    thread: Option<Worker>,
}

impl Lookout {
    fn start(missed: Missed) -> Self {
        let is_back = Arc::<AtomicBool>::default();
        let seen = Arc::clone(&is_back);
        let thread = Worker::start("lookout", move |stop| {
            if look(&missed, &stop) {
                seen.store(true, Ordering::Relaxed);
            }
        });
        Self { is_back, thread: thread.ok() }
    }

    /// Whether the camera is there again.
    pub(super) fn is_back(&self) -> bool {
        self.is_back.load(Ordering::Relaxed)
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        // Where a driver hangs, the answer takes seconds.
        if let Some(thread) = self.thread.take() {
            thread.let_go();
        }
    }
}

/// Waits until it is back, or nobody wants to know.
fn look(missed: &Missed, stop: &Stop) -> bool {
    loop {
        let since = Instant::now();
        while since.elapsed() < LOOK {
            if stop.is_requested() {
                return false;
            }
            sleep(NAP);
        }
        if missed.is_back() {
            return true;
        }
    }
}
