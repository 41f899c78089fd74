//! Why a camera gives no pictures, in words that say what to do about it.

use std::io;

use nokhwa::NokhwaError;

use super::device::{REFUSED_ADVICE, trouble};
use crate::Cause;

/// Why a camera gives no pictures.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// The machine has none.
    #[error("no camera is connected; plug one in and try again")]
    NoneConnected,
    /// A driver hangs when it is asked.
    #[error("a camera's driver does not answer; unplug the cameras and plug them in again, or restart the computer")]
    Stuck,
    /// None is called so.
    #[error("there is no camera \"{wanted}\"; {}", these(connected))]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// The ids of those that there are, with commas.
        connected: String,
    },
    /// Somebody else has it.
    #[error("{camera} is in use by another program; close that program, then turn the camera on again")]
    Busy {
        /// Its name.
        camera: String,
    },
    /// The system does not let us.
    #[error("Ahoy may not use {camera}; {REFUSED_ADVICE}")]
    Refused {
        /// Its name.
        camera: String,
    },
    /// It is gone.
    #[error("{camera} was unplugged; plug it in and turn the camera on again")]
    Unplugged {
        /// Its name.
        camera: String,
    },
    /// It is there and gives nothing.
    #[error("{camera} gives no pictures; unplug it, plug it in again and turn the camera on again")]
    Stalled {
        /// Its name.
        camera: String,
    },
    /// It gives what cannot be read.
    #[error("{camera} sends damaged pictures; try another cable or another USB port")]
    Damaged {
        /// Its name.
        camera: String,
        /// What is wrong with the last.
        #[source]
        source: Cause,
    },
    /// It gives only what nobody here reads.
    #[error(
        "{camera} offers no pictures that Ahoy reads (NV12, YUYV or MJPEG, a whole number of them a second); choose \
         another camera"
    )]
    NoFormat {
        /// Its name.
        camera: String,
    },
    /// Other devices on its bus take all there is.
    #[error("the USB bus has no room left for {camera}; plug it into another port, away from other cameras")]
    NoBandwidth {
        /// Its name.
        camera: String,
    },
    /// Anything else that its driver says.
    #[error("the driver of {camera} failed; turn the camera on again, and if that does not help, plug it in again")]
    Driver {
        /// Its name.
        camera: String,
        /// What the driver says.
        #[source]
        source: Cause,
    },
    /// It is not wanted any more.
    #[error("the camera was turned off while it was being opened")]
    Stopped,
    /// The system gave no thread.
    #[error("there is no thread for the camera")]
    Thread(#[source] io::Error),
}

impl CameraError {
    /// Whether the camera is not there: another may stand in for it. One that is there and busy, refused or broken is
    /// for its user to put right.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::NoneConnected | Self::Unknown { .. } | Self::Unplugged { .. } => true,
            Self::Stuck
            | Self::Busy { .. }
            | Self::Refused { .. }
            | Self::Stalled { .. }
            | Self::Damaged { .. }
            | Self::NoFormat { .. }
            | Self::NoBandwidth { .. }
            | Self::Driver { .. }
            | Self::Stopped
            | Self::Thread(_) => false,
        }
    }
}

fn these(connected: &str) -> String {
    if connected.is_empty() { "none is connected".into() } else { format!("use default or one of: {connected}") }
}

/// What an error number means for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "some systems tell less")]
pub(super) enum Trouble {
    Busy,
    Refused,
    Gone,
    NoBandwidth,
    Unreadable,
    Other,
}

/// What went wrong below, before it is said of which camera.
#[derive(Debug)]
pub(super) struct Failure {
    trouble: Trouble,
    cause: Cause,
}

impl Failure {
    /// The camera sends in a way that nobody here reads.
    #[allow(dead_code, reason = "some systems tell less")]
    pub(super) fn unreadable(why: String) -> Self {
        Self { trouble: Trouble::Unreadable, cause: why.into() }
    }

    /// By the operating system's number, where there is one.
    fn numbered(os: Option<i32>, cause: Cause) -> Self {
        Self { trouble: os.map_or(Trouble::Other, trouble), cause }
    }

    /// The same, of that camera.
    pub(super) fn of(self, camera: &str) -> CameraError {
        let camera = camera.to_owned();
        match self.trouble {
            Trouble::Busy => CameraError::Busy { camera },
            Trouble::Refused => CameraError::Refused { camera },
            Trouble::Gone => CameraError::Unplugged { camera },
            Trouble::NoBandwidth => CameraError::NoBandwidth { camera },
            Trouble::Unreadable => CameraError::NoFormat { camera },
            Trouble::Other => CameraError::Driver { camera, source: self.cause },
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::numbered(error.raw_os_error(), error.into())
    }
}

impl From<NokhwaError> for Failure {
    fn from(error: NokhwaError) -> Self {
        // It keeps errors as text only.
        Self::numbered(os_number(&error.to_string()), error.into())
    }
}

/// The number in `… (os error 16)`, as the standard library writes it.
fn os_number(text: &str) -> Option<i32> {
    let (_, behind) = text.rsplit_once("(os error ")?;
    behind.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_in_the_words_around_it() {
        let busy = NokhwaError::OpenStreamError("Device or resource busy (os error 16)".into());
        assert_eq!(os_number(&busy.to_string()), Some(16));
        for none in ["", "Failed to Fufill", "(os error )", "(os error 16", "os error 16"] {
            assert_eq!(os_number(none), None, "{none}");
        }
        assert_eq!(os_number(&io::Error::from_raw_os_error(19).to_string()), Some(19));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn each_trouble_is_told_apart_and_says_what_to_do() {
        for (number, wanted) in [
            (16, "close that program"),
            (13, "group \"video\""),
            (1, "group \"video\""),
            (2, "was unplugged"),
            (6, "was unplugged"),
            (19, "was unplugged"),
            (28, "another port"),
            (5, "the driver of Cam failed"),
            (22, "the driver of Cam failed"),
        ] {
            let said = Failure::from(io::Error::from_raw_os_error(number)).of("Cam").to_string();
            assert!(said.contains(wanted), "{number}: {said}");
        }
    }

    #[test]
    fn an_unknown_camera_is_told_with_those_that_there_are() {
        let unknown = |connected: &str| CameraError::Unknown { wanted: "x".into(), connected: connected.into() };
        assert_eq!(unknown("").to_string(), "there is no camera \"x\"; none is connected");
        assert_eq!(unknown("a, b").to_string(), "there is no camera \"x\"; use default or one of: a, b");
    }
}
