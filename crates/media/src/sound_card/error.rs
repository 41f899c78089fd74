//! What goes wrong with sound cards, in the words of who has to put it right.

use std::io;
use std::time::Duration;

use cpal::ErrorKind;

use super::SoundEnd;

/// How soon a device that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A device that spins burns a core until it is shut off: not every second.
const RETRY_SPINNING: Duration = Duration::from_secs(30);

/// Why a microphone or speaker gives or plays nothing.
#[derive(Debug, thiserror::Error)]
pub enum SoundCardError {
    /// None of this kind is connected.
    #[error("there is no {0}; plug one in")]
    NoDevice(SoundEnd),
    /// The chosen one is not connected, and there is no other.
    #[error("there is no {end} \"{id}\" and no other; plug it in")]
    NotConnected {
        /// Which kind.
        end: SoundEnd,
        /// The id that was chosen.
        id: String,
    },
    /// It was there a moment ago.
    #[error("\"{name}\" was unplugged; plug it in again or choose another")]
    Unplugged {
        /// Which device.
        name: String,
    },
    /// Another program has it for itself.
    #[error("\"{name}\" is in use by another program; close that program or choose another device")]
    Busy {
        /// Which device.
        name: String,
    },
    /// The system does not allow it.
    #[error("the system refuses access to \"{name}\"; allow it in the system's privacy or group settings")]
    Refused {
        /// Which device.
        name: String,
    },
    /// It offers nothing that can be converted.
    #[error("\"{name}\" offers no usable sound format; choose another device")]
    Format {
        /// Which device.
        name: String,
    },
    /// It opened, and then nothing came or was taken.
    #[error("the {end} \"{name}\" is open but does nothing; check that it is switched on, or choose another")]
    Silent {
        /// Which kind.
        end: SoundEnd,
        /// Which device.
        name: String,
    },
    /// It runs many times faster than sound, as null devices do.
    #[error("\"{name}\" runs far faster than sound does and was shut off; choose another device")]
    Spinning {
        /// Which device.
        name: String,
    },
    /// The sound server went away or does not speak.
    #[error("the sound server does not answer; if it stays so, restart PulseAudio or PipeWire")]
    ServerGone,
    /// A call into the sound system did not come back.
    #[error("the sound system does not answer when asked for the {0}; unplug the device or restart the sound system")]
    Stuck(SoundEnd),
    /// Anything else.
    #[error("\"{name}\" failed ({cause}); unplug it and plug it in again, or choose another device")]
    Failed {
        /// Which device.
        name: String,
        /// What the sound system says.
        cause: cpal::Error,
    },
    /// The sound system itself cannot be used.
    #[error("the sound system cannot be used")]
    NoSystem(#[source] cpal::Error),
    /// The operating system gives no thread.
    #[error("no thread for the sound card")]
    Thread(#[source] io::Error),
}

impl SoundCardError {
    /// What cpal reported of an open or opening device. `by_server`: through a sound server, where a broken stream
    /// means a lost connection.
    pub(super) fn of_device(cause: cpal::Error, name: &str, by_server: bool) -> Self {
        let name = name.to_owned();
        match cause.kind() {
            ErrorKind::DeviceNotAvailable => Self::Unplugged { name },
            ErrorKind::DeviceBusy => Self::Busy { name },
            ErrorKind::PermissionDenied => Self::Refused { name },
            ErrorKind::UnsupportedConfig => Self::Format { name },
            ErrorKind::HostUnavailable | ErrorKind::StreamInvalidated if by_server => Self::ServerGone,
            _ => Self::Failed { name, cause },
        }
    }

    /// What cpal reported when asked for the devices.
    pub(super) fn of_system(cause: cpal::Error, by_server: bool) -> Self {
        if by_server { Self::ServerGone } else { Self::NoSystem(cause) }
    }

    /// How long to wait before the next try.
    pub(super) fn retry_after(&self) -> Duration {
        match self {
            Self::Spinning { .. } => RETRY_SPINNING,
            Self::NoDevice(_)
            | Self::NotConnected { .. }
            | Self::Unplugged { .. }
            | Self::Busy { .. }
            | Self::Refused { .. }
            | Self::Format { .. }
            | Self::Silent { .. }
            | Self::ServerGone
            | Self::Stuck(_)
            | Self::Failed { .. }
            | Self::NoSystem(_)
            | Self::Thread(_) => RETRY,
        }
    }

    /// Whether opening anew at once may put it right, so that nobody need be told: it broke while it worked.
    pub(super) fn may_pass_unnoticed(&self) -> bool {
        match self {
            Self::Unplugged { .. } | Self::ServerGone | Self::Failed { .. } => true,
            Self::NoDevice(_)
            | Self::NotConnected { .. }
            | Self::Busy { .. }
            | Self::Refused { .. }
            | Self::Format { .. }
            | Self::Silent { .. }
            | Self::Spinning { .. }
            | Self::Stuck(_)
            | Self::NoSystem(_)
            | Self::Thread(_) => false,
        }
    }
}

/// Whether what cpal's error callback got means that the stream is over. The rest is told to developers at most.
pub(super) fn ends_the_stream(error: &cpal::Error) -> bool {
    !matches!(error.kind(), ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied)
}

/// Whether it means that a sound server no longer knows the stream, while the connection lives.
pub(super) fn kills_the_stream(error: &cpal::Error) -> bool {
    error.kind() == ErrorKind::DeviceNotAvailable
}
