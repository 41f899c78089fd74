//! Microphones and speakers of the machine, by cpal: which there are, and one of each as a stream of blocks that heals
//! itself. Not the choice between devices and files (`source`, `sink`), and no processing of what is heard.
//!
//! Three threads share each open device and meet only in a lock-free ring and a few atomics: cpal's callback, the audio
//! thread that owns the [`Microphone`] or [`Speaker`], and a supervisor that opens, watches and reopens. What may block
//! without end in the system (opening, closing, asking a sound server) runs on a further thread that the supervisor can
//! abandon.

mod abandoned;
mod devices;
mod error;
mod format;
mod heartbeat;
mod host;
mod microphone;
mod session;
mod speaker;
mod supervisor;
mod telling;

pub use devices::{DEFAULT_ID, SoundDeviceInfo, SoundDevices, list};
pub use error::SoundCardError;
pub use microphone::Microphone;
pub use speaker::Speaker;

use std::fmt;

/// Which of the two kinds of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoundEnd {
    /// Sound comes in.
    Microphone,
    /// Sound goes out.
    Speaker,
}

impl fmt::Display for SoundEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
        })
    }
}
