//! The microphone outside a call: its thread hears how loud it is, for somebody who looks whether it works. A call that
//! begins gets it open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ahoy_media::audio::voice::{Voice, VoiceConfig};
use ahoy_media::{BLOCK_SAMPLES, SoundSource, SourceSpec};

use super::desk::Desk;
use super::levels::{LevelMeter, LevelWatch};
use super::problems::{DeviceKind, Problems, is_by_id};
use crate::call::in_words;
use crate::worker::Worker;

/// How often the thread looks whether a block has come.
const LOOK: Duration = Duration::from_millis(10);
/// Blocks that are heard in one go.
const MOST_BLOCKS: usize = 10;
/// How long a call that has begun may take to fetch the microphone.
const FETCHING: Duration = Duration::from_millis(500);

/// What is done to the sound of a microphone before it is sent. What a file brings is to arrive as it is.
pub(super) fn voice_of(spec: &SourceSpec, noise_suppression: bool) -> VoiceConfig {
    match spec {
        SourceSpec::Device(_) => VoiceConfig { noise_suppression, ..VoiceConfig::default() },
        SourceSpec::File(_) | SourceSpec::Pattern | SourceSpec::Tone | SourceSpec::None => VoiceConfig::OFF,
    }
}

/// The preview's microphone, while it is open: between its thread and a call that takes it over.
#[derive(Clone, Default)]
pub(super) struct OpenMicrophone(Arc<Mutex<Option<(SourceSpec, SoundSource)>>>);

impl OpenMicrophone {
    /// Takes it, if it is this one.
    pub(super) fn take(&self, spec: &SourceSpec) -> Option<SoundSource> {
        self.lock().take_if(|(open, _)| open == spec).map(|(_, source)| source)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(SourceSpec, SoundSource)>> {
        // A thread that panicked has left a microphone or none.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread. Dropping it waits until the microphone is closed: a second at most.
pub(super) struct PreviewMicrophone {
    desk: Arc<Desk>,
    /// Nothing where the system gave none.
    _thread: Option<Worker>,
}

impl PreviewMicrophone {
    /// Starts the thread, which waits for a wish.
    pub(super) fn start(desk: &Arc<Desk>, open: &OpenMicrophone, levels: &LevelWatch, problems: &Problems) -> Self {
        let hearing =
            Hearing { desk: Arc::clone(desk), open: open.clone(), levels: levels.clone(), problems: problems.clone() };
        let thread = Worker::start("preview", move |_| hearing.run());
        if let Err(error) = &thread {
            problems.set(DeviceKind::Microphone, format!("no thread for the microphone: {error}"));
        }
        Self { desk: Arc::clone(desk), _thread: thread.ok() }
    }
}

impl Drop for PreviewMicrophone {
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// What the thread owns.
struct Hearing {
    desk: Arc<Desk>,
    open: OpenMicrophone,
    levels: LevelWatch,
    problems: Problems,
}

impl Hearing {
    fn run(self) {
        while let Some(spec) = self.desk.wait_for_microphone() {
            match SoundSource::open(&spec) {
                Ok(Some(source)) => self.hear_while_wanted(&spec, source),
                Ok(None) => self.desk.wait_for_other_microphone(&spec),
                Err(error) => {
                    self.problems.set(DeviceKind::Microphone, in_words(&error));
                    self.desk.wait_for_other_microphone(&spec);
                    self.problems.clear(DeviceKind::Microphone);
                }
            }
        }
    }

    fn hear_while_wanted(&self, spec: &SourceSpec, source: SoundSource) {
        *self.open.lock() = Some((spec.clone(), source));
        let wanted = || voice_of(spec, self.desk.noise_suppression());
        let (mut voice, mut meter) = (Voice::new(wanted()), self.levels.meter());
        while self.desk.microphone().as_ref() == Some(spec) {
            voice.configure(wanted());
            self.hear(&mut voice, &mut meter);
            meter.tell(Instant::now());
            sleep(LOOK);
        }
        drop(meter);
        let since = Instant::now();
        while self.desk.is_in_call() && self.open.lock().is_some() && since.elapsed() < FETCHING {
            sleep(LOOK);
        }
        let unwanted = self.open.lock().take();
        if unwanted.is_some() {
            self.problems.clear(DeviceKind::Microphone);
        }
    }

    fn hear(&self, voice: &mut Voice, meter: &mut LevelMeter) {
        let mut open = self.open.lock();
        let Some((spec, source)) = &mut *open else { return };
        if let Some(notice) = source.notice() {
            self.problems.note(DeviceKind::Microphone, &notice, is_by_id(&spec.to_string()));
        }
        let mut block = [0.0; BLOCK_SAMPLES];
        for _ in 0..MOST_BLOCKS {
            if !source.read(&mut block) {
                return;
            }
            voice.capture(&mut block);
            meter.hear(&block, false);
        }
    }
}
