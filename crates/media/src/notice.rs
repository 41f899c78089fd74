//! What a microphone or a speaker, device or file, has to say besides sound. Only the words; who heals what is in
//! `sound_card`.

use std::fmt;

/// Something changed with a microphone or a speaker. `Display` says it to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoundNotice {
    /// No sound for now: the cause, and what to do. A device is tried again every second (one that runs far faster
    /// than sound every 30), a file is not.
    Failed(String),
    /// Another device stands in for the one that was chosen, until that is there again.
    Replaced {
        /// The chosen one: its name, or its id if it was never there.
        missing: String,
        /// It was in use until now.
        unplugged: bool,
        /// The name of the one in use.
        instead: String,
    },
    /// The device of this name works (again).
    Recovered(String),
}

impl SoundNotice {
    /// Of an error and its causes.
    pub(crate) fn failed(error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        Self::Failed(causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
    }
}

impl fmt::Display for SoundNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Replaced { missing, unplugged: true, instead } => {
                write!(f, "\"{missing}\" was unplugged; using \"{instead}\" instead")
            }
            Self::Replaced { missing, unplugged: false, instead } => {
                write!(f, "\"{missing}\" is not connected; using \"{instead}\" instead")
            }
            Self::Recovered(name) => write!(f, "\"{name}\" is back"),
        }
    }
}
