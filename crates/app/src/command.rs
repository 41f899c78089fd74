//! What the page may ask for. Everything in it is checked before it is done: the page is outside.

use std::fmt;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::view::{HideAddress, Theme};

/// One thing that a person did.
#[derive(Debug, Clone, PartialEq, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Command {
    /// Sign in, and stay signed in, also in later runs.
    SignIn {
        /// As typed.
        username: String,
        /// As typed: a host, a host with port, or a WebSocket URL.
        server: String,
        /// As typed: the code of an invitation, for a new name where the operator invites. Mostly empty.
        invite: String,
    },
    /// Hang up, sign out, and be gone until the next sign-in.
    SignOut,
    /// Call somebody.
    Dial {
        /// As typed.
        username: String,
        /// With picture.
        video: bool,
    },
    /// Say yes to the ringing call.
    Accept {
        /// Whose it is on the screen: another one that began to ring a moment ago is not meant.
        from: String,
        /// With picture.
        video: bool,
    },
    /// Say no to the ringing call.
    Decline {
        /// Whose it is on the screen.
        from: String,
    },
    /// End the call, or stop dialling.
    HangUp,
    /// Both people have read the verification code of the call to each other.
    CompareCode {
        /// Both read the same.
        same: bool,
    },
    /// Know somebody by the other key that they showed, from now on.
    TrustNewKey {
        /// Who.
        username: String,
        /// The key, as the screen shows it.
        key: String,
    },
    /// Mute or unmute the microphone.
    SetMuted {
        /// Muted from now on.
        muted: bool,
    },
    /// Turn the camera on or off.
    SetCamera {
        /// On from now on.
        on: bool,
    },
    /// Use this device from now on, in a call too.
    ChooseDevice {
        /// Which kind.
        device: DeviceKind,
        /// Its id; `None`: the system's default.
        id: Option<String>,
    },
    /// Ask the system again what is plugged in.
    RefreshDevices,
    /// Look at one's own picture and hear one's own level, outside a call.
    SetPreview {
        /// On from now on.
        on: bool,
    },
    /// Play a short sound through the chosen speaker.
    TestSpeaker,
    /// Light, dark, or as the system has it.
    SetTheme {
        /// Which.
        theme: Theme,
    },
    /// Whether single letters are shortcuts.
    SetLetterKeys {
        /// They are.
        on: bool,
    },
    /// How loud it rings.
    SetRingVolume {
        /// From 0 to 1.
        volume: f32,
    },
    /// Whether steady noise is taken out of what the microphone hears, in a call too.
    SetNoiseSuppression {
        /// It is.
        on: bool,
    },
    /// From whom this machine's addresses are hidden in the calls to come.
    SetHideAddress {
        /// From whom.
        from: HideAddress,
    },
    /// Show the recovery phrase of whoever is signed in.
    ShowPhrase,
    /// It was seen.
    HidePhrase,
    /// Keep the key of a recovery phrase for a name, before signing in.
    RestoreKey {
        /// Whose, as typed.
        username: String,
        /// As typed.
        #[ts(type = "string")]
        phrase: TypedPhrase,
    },
    /// Look away from an ended call: back home.
    CloseEnded,
    /// Take a notice away.
    Dismiss {
        /// Which.
        id: u32,
    },
    /// Take somebody off the list. Their key stays known.
    RemovePerson {
        /// Who.
        username: String,
    },
    /// Hear nothing of somebody from now on, or again: their calls do not ring, and they do not learn when this user is here.
    SetBlocked {
        /// Who.
        username: String,
        /// They are.
        blocked: bool,
    },
    /// The missed calls of somebody were seen.
    SeenMissed {
        /// Whose.
        username: String,
    },
}

/// What somebody typed as a recovery phrase. `Debug` does not show it: it may be one.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct TypedPhrase(pub String);

impl fmt::Debug for TypedPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedPhrase(…)")
    }
}

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum DeviceKind {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A speaker.
    Speaker,
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error, TS)]
#[error("{message}")]
pub struct CommandError {
    /// For programs.
    pub code: CommandErrorCode,
    /// One sentence for a person: the cause and the next step.
    pub message: String,
}

/// What kind of mistake it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum CommandErrorCode {
    /// A name, a server or a value that cannot be.
    Invalid,
    /// Not possible on this screen.
    OutOfPlace,
    /// This machine does not allow it.
    Failed,
}
