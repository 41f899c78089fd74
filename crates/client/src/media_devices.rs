//! The camera, the microphone and the speaker that were chosen, for as long as the program runs: in a call, and outside
//! one for somebody who looks whether they work. What there is to choose from is told by [`crate::devices`].

mod camera;
mod desk;
mod levels;
mod microphone;
mod problems;
mod standin;

use std::fmt;
use std::sync::Arc;

use ahoy_media::audio::voice::VoiceConfig;
use ahoy_media::camera::DEFAULT_CAMERA;
use ahoy_media::sound_card::DEFAULT_ID;
use ahoy_media::source::SourceError;
use ahoy_media::{SinkSpec, SoundSource, SourceSpec};
use ahoy_protocol::id::CallId;
use tokio::sync::watch;

use crate::call::PictureInput;
use crate::frame_sink::FrameSink;
use camera::Camera;
use desk::Desk;
pub use levels::Levels;
pub(crate) use levels::{LevelMeter, LevelWatch};
use microphone::{OpenMicrophone, PreviewMicrophone, voice_of};
pub use problems::{DeviceKind, DeviceProblem};
pub(crate) use problems::{Problems, is_by_id};

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenDevices {
    /// Where pictures come from.
    pub camera: SourceSpec,
    /// Where sound comes from.
    pub microphone: SourceSpec,
    /// What plays the other side's sound.
    pub speaker: SinkSpec,
}

impl Default for ChosenDevices {
    /// The system's.
    fn default() -> Self {
        Self {
            camera: SourceSpec::Device(DEFAULT_CAMERA.into()),
            microphone: SourceSpec::Device(DEFAULT_ID.into()),
            speaker: SinkSpec::Device(DEFAULT_ID.into()),
        }
    }
}

/// The devices of this program, made before any client and shared by all of them. Clones are the same devices; with the
/// last one they are closed, which may take a second.
#[derive(Clone)]
pub struct MediaDevices(Arc<Shared>);

struct Shared {
    desk: Arc<Desk>,
    sink: Arc<dyn FrameSink>,
    problems: Problems,
    levels: LevelWatch,
    microphone: OpenMicrophone,
    /// Held for their end.
    _threads: (Camera, PreviewMicrophone),
}

impl MediaDevices {
    /// Nothing is opened yet. Pictures that are to be seen go to `sink`, this side's and those of calls.
    #[must_use]
    pub fn new(chosen: ChosenDevices, sink: Arc<dyn FrameSink>) -> Self {
        let desk = Arc::new(Desk::new(chosen));
        let (problems, levels, microphone) = Default::default();
        let camera = Camera::start(&desk, Arc::clone(&sink), &problems);
        let preview = PreviewMicrophone::start(&desk, &microphone, &levels, &problems);
        Self(Arc::new(Shared { desk, sink, problems, levels, microphone, _threads: (camera, preview) }))
    }

    /// Takes these from now on, in a call too; nothing is negotiated anew for it.
    pub fn choose(&self, chosen: ChosenDevices) {
        self.0.desk.choose(chosen);
    }

    /// What is chosen. Another may stand in for a device that is not plugged in.
    #[must_use]
    pub fn chosen(&self) -> ChosenDevices {
        self.0.desk.chosen().borrow().clone()
    }

    /// Whether steady noise is taken out of what a microphone hears; it is, until this says otherwise. In a call it is
    /// heard a second later. What a file brings stays as it is.
    pub fn set_noise_suppression(&self, on: bool) {
        self.0.desk.set_noise_suppression(on);
    }

    /// Whether the camera's pictures are to be seen and the microphone's level told outside a call. A call that begins
    /// to send takes the open devices over and decides what is on while it lasts; after it the preview goes on.
    pub fn set_preview(&self, preview: bool) {
        self.0.desk.set_preview(preview);
    }

    /// How loud it is, about 15 times a second while a microphone or a speaker is open; silence else.
    #[must_use]
    pub fn levels(&self) -> watch::Receiver<Levels> {
        self.0.levels.subscribe()
    }

    /// What is wrong with the devices in use now: empty while all is well, and while none is in use.
    #[must_use]
    pub fn problems(&self) -> watch::Receiver<Vec<DeviceProblem>> {
        self.0.problems.subscribe()
    }

    /// For a call's media.
    pub(crate) fn for_call(&self, call: CallId) -> DevicesInCall {
        DevicesInCall { devices: self.clone(), call }
    }
}

impl fmt::Debug for MediaDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaDevices").field("chosen", &self.chosen()).finish_non_exhaustive()
    }
}

/// One call's hold on the devices; dropped, they are the preview's again.
pub(crate) struct DevicesInCall {
    devices: MediaDevices,
    call: CallId,
}

impl DevicesInCall {
    /// From its first sound or picture on, the call decides what is on: its pictures are wanted while it says where
    /// they go.
    pub(crate) fn follow(&self, sends: bool, pictures: Option<PictureInput>) {
        self.devices.0.desk.follow_call(self.call, sends, pictures);
    }

    /// What is chosen, now and later.
    pub(crate) fn chosen(&self) -> watch::Receiver<ChosenDevices> {
        self.devices.0.desk.chosen()
    }

    /// What is done to the sound of this microphone now.
    pub(crate) fn voice_of(&self, spec: &SourceSpec) -> VoiceConfig {
        voice_of(spec, self.devices.0.desk.noise_suppression())
    }

    /// Where pictures go that are to be seen.
    pub(crate) fn sink(&self) -> Arc<dyn FrameSink> {
        Arc::clone(&self.devices.0.sink)
    }

    /// Opens the microphone, or takes over the one that the preview has open. It belongs to the call from now on.
    ///
    /// # Errors
    /// If it cannot even be tried.
    pub(crate) fn open_microphone(&self, spec: &SourceSpec) -> Result<Option<SoundSource>, SourceError> {
        self.devices.0.desk.begin_call(self.call);
        match self.devices.0.microphone.take(spec) {
            Some(open) => Ok(Some(open)),
            None => SoundSource::open(spec),
        }
    }

    /// For the call's sound.
    pub(crate) fn meter(&self) -> LevelMeter {
        self.devices.0.levels.meter()
    }

    /// Where it is told what is wrong.
    pub(crate) fn problems(&self) -> Problems {
        self.devices.0.problems.clone()
    }
}

impl Drop for DevicesInCall {
    fn drop(&mut self) {
        self.devices.0.desk.leave_call(self.call);
    }
}

#[cfg(test)]
mod tests;
