//! What cameras, microphones and speakers there are to choose from. Opening them is a call's business.

use ahoy_media::{SourceSpec, camera, sound_card};

use crate::call::in_words;
use crate::config::MediaConfig;

/// Something that a person can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceChoice {
    /// What [`crate::SourceSpec::Device`] and [`crate::SinkSpec::Device`] take.
    pub id: String,
    /// Its name as the system has it.
    pub name: String,
}

/// Whether the camera of a configuration is plugged in, without turning it on. It may still come before a call. For a
/// microphone or speaker that is missing another stands in, and the call says so.
///
/// # Errors
/// That it is missing, and what there is, in words.
pub fn check_camera(media: &MediaConfig) -> Result<(), String> {
    match media.devices.chosen().camera {
        SourceSpec::Device(id) if !media.echo => camera::find(&id).map(drop).map_err(|error| in_words(&error)),
        SourceSpec::Device(_) | SourceSpec::File(_) | SourceSpec::Pattern | SourceSpec::Tone | SourceSpec::None => {
            Ok(())
        }
    }
}

/// All that there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Cameras.
    pub cameras: Vec<DeviceChoice>,
    /// Microphones.
    pub microphones: Vec<DeviceChoice>,
    /// Speakers.
    pub speakers: Vec<DeviceChoice>,
    /// Why cameras could not be listed, in words.
    pub camera_problem: Option<String>,
    /// Why microphones and speakers could not be listed, in words.
    pub sound_problem: Option<String>,
}

/// Asks the system. Takes up to a few seconds where a sound server does not answer; not for a task's thread.
#[must_use]
pub fn list() -> Hardware {
    let mut hardware = Hardware::default();
    match camera::list() {
        Ok(cameras) => {
            let choice = |camera: camera::CameraInfo| DeviceChoice { id: camera.id, name: camera.name };
            hardware.cameras = cameras.into_iter().map(choice).collect();
        }
        Err(error) => hardware.camera_problem = Some(in_words(&error)),
    }
    match sound_card::list() {
        Ok(sound) => {
            let choices = |devices: Vec<sound_card::SoundDeviceInfo>| {
                devices.into_iter().map(|device| DeviceChoice { id: device.id, name: device.name }).collect()
            };
            hardware.microphones = choices(sound.microphones);
            hardware.speakers = choices(sound.speakers);
        }
        Err(error) => hardware.sound_problem = Some(in_words(&error)),
    }
    hardware
}
