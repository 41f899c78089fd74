//! What the page draws: one snapshot of everything a person may see, and the meters that move faster. The page keeps
//! nothing of it; after a reload it gets the whole again. Strings from peers and servers are cleaned and short, and the
//! page shows them as text only.

use std::fmt;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Everything that a person may see, at one moment. A new one comes when something in it has changed.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct AppView {
    /// Which screen, with what is on it.
    pub screen: Screen,
    /// Who is signed in, or trying to be.
    pub account: Option<AccountView>,
    /// The way to the server.
    pub link: LinkView,
    /// People who were called, called, or are known; the most recent first.
    pub people: Vec<PersonView>,
    /// What can be chosen, and what is.
    pub devices: DevicesView,
    /// What the person set.
    pub settings: SettingsView,
    /// The camera and microphone check, outside a call.
    pub preview: PreviewView,
    /// The recovery phrase, while it is to be seen.
    pub phrase: Option<PhraseView>,
    /// What happened beside the screen's business, the oldest first; a few at most. Each goes by itself after some seconds,
    /// or with [`crate::Command::Dismiss`].
    pub notices: Vec<NoticeView>,
}

/// Which screen.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Screen {
    /// Nobody is signed in.
    SignIn {
        /// The name to begin with: the last one used, or nothing.
        username: String,
        /// The server to begin with.
        server: String,
        /// A sign-in is on its way.
        busy: bool,
        /// Why the last one failed and what to do, in one sentence.
        problem: Option<String>,
        /// What became of a recovery phrase that was given here.
        restore: Option<RestoreView>,
    },
    /// Signed in, no call.
    Home,
    /// Somebody calls.
    Incoming {
        /// Who.
        party: PartyView,
        /// With picture.
        video: bool,
    },
    /// A call goes out.
    Outgoing {
        /// To whom.
        party: PartyView,
        /// With picture.
        video: bool,
        /// How far it has come. Only what is known.
        stage: OutgoingStage,
    },
    /// A call goes on.
    Call(Box<CallView>),
    /// A call is over, and its person has not looked away yet.
    Ended {
        /// With whom it was.
        party: PartyView,
        /// Whether it was with picture, for calling again.
        video: bool,
        /// Why it ended, in one sentence.
        sentence: String,
        /// Whether it ended as calls do, or something went wrong.
        tone: Tone,
        /// How long it lasted, in seconds; `None` if it never connected.
        seconds: Option<u32>,
        /// Whether calling again makes sense.
        call_again: bool,
    },
}

/// What became of a recovery phrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RestoreView {
    /// Its key is being kept.
    Keeping,
    /// The key is here now.
    Done {
        /// Whose.
        username: String,
    },
    /// It is not.
    Failed {
        /// Why, and what to do, in one sentence.
        why: String,
    },
}

/// The recovery phrase of whoever is signed in. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PhraseView {
    /// It is being read.
    Reading,
    /// These are its words, in their order.
    Words {
        /// 24 of them.
        words: Vec<String>,
    },
    /// It cannot be read.
    Failed {
        /// Why, and what to do, in one sentence.
        why: String,
    },
}

impl fmt::Debug for PhraseView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading => f.write_str("Reading"),
            Self::Words { words } => write!(f, "Words({} of them)", words.len()),
            Self::Failed { why } => f.debug_struct("Failed").field("why", why).finish(),
        }
    }
}

/// The other side of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PartyView {
    /// The username: who it is.
    pub username: String,
    /// Free text they call themselves; shown beside the username, never instead of it.
    pub name: Option<String>,
    /// Which of their devices, where it is said.
    pub device: Option<String>,
    /// Who vouches for them; `None` while nobody does yet.
    pub trust: Option<TrustView>,
}

/// Who vouches for the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum TrustView {
    /// Their key is known, and a verification code was compared under it.
    Verified,
    /// Their key is the one known from an earlier call.
    Known,
    /// They proved to own the name; this machine has not met the key before.
    FirstTime,
    /// A guest: nobody vouches for the name.
    Guest,
}

/// How far an outgoing call has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum OutgoingStage {
    /// On its way; nothing rings yet.
    Reaching,
    /// A device rings there.
    Ringing {
        /// What the device calls itself, if it says so.
        device: Option<String>,
    },
}

/// A call that was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    /// The other side.
    pub party: PartyView,
    /// What both people can read to each other, once both sides know it.
    pub code: Option<CodeView>,
    /// The state of the path.
    pub stage: CallStage,
    /// When it first connected, in milliseconds since 1970; the clock that the page counts from.
    #[ts(type = "number | null")]
    pub connected_at_ms: Option<u64>,
    /// This side's microphone is muted.
    pub muted: bool,
    /// This side's camera is wanted.
    pub camera_on: bool,
    /// It is wanted and gives no pictures: why, and what to do.
    pub camera_problem: Option<String>,
    /// What the other side says it sends; `None` until it said so.
    pub remote: Option<RemoteSending>,
    /// Pictures of the other side come.
    pub remote_picture: bool,
    /// How the call does, once a second, while there is something to say.
    pub quality: Option<QualityView>,
}

/// The verification code of a call: both screens show the same, unless somebody sits between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct CodeView {
    /// Six digits.
    pub digits: String,
    /// A code was compared under the same key, in this call or an earlier one.
    pub verified: bool,
    /// That is remembered: there is a key to remember it for.
    pub lasts: bool,
}

/// Whether media can flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CallStage {
    /// Accepted; the path is being made.
    Connecting,
    /// Media flows.
    Connected {
        /// Through a relay server (TURN), not directly.
        relayed: bool,
    },
    /// Nothing comes through; it may come back.
    Reconnecting,
}

/// What the other side says it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct RemoteSending {
    /// Its microphone is not muted.
    pub audio: bool,
    /// Its camera is on.
    pub video: bool,
}

/// How the call does, in figures that a person may ask for and a word they may see.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct QualityView {
    /// To be shown when it is not good: whose fault and what is so, in one sentence.
    pub sentence: Option<String>,
    /// Round trip, in milliseconds.
    pub round_trip_ms: Option<u32>,
    /// Of what was sent to this side in the last second, the part that was lost, in percent.
    pub lost_percent: f32,
    /// How long sound waits here until it is heard, in milliseconds.
    pub sound_delay_ms: u32,
    /// Pictures shown in the last second.
    pub fps: u32,
    /// Bits received in the last second.
    pub received_bps: u32,
    /// Bits sent in the last second.
    pub sent_bps: u32,
}

/// Who is signed in, or trying to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    /// The username.
    pub username: String,
    /// The server's host, as a person would say it.
    pub server: String,
}

/// The way to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum LinkView {
    /// Not signed in, and not trying to.
    SignedOut,
    /// On the way.
    SigningIn,
    /// Lost; it is tried again without end.
    Waiting {
        /// Why, in one sentence.
        why: String,
    },
    /// Reachable: calls ring here.
    SignedIn,
}

/// Somebody in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PersonView {
    /// Who.
    pub username: String,
    /// Whether a device of theirs is signed in, where that is known.
    pub online: Option<bool>,
    /// Their key is known from an earlier call.
    pub known: bool,
    /// A verification code was compared under that key.
    pub verified: bool,
    /// Another key that they showed last; what it signed was refused.
    pub new_key: Option<String>,
    /// The last call with them.
    pub last: Option<LastCall>,
    /// Calls of theirs that were missed since the person last looked.
    pub missed: u32,
    /// Their calls do not ring.
    pub blocked: bool,
}

/// The last call with somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct LastCall {
    /// Who called whom.
    pub direction: Direction,
    /// When it began, in milliseconds since 1970.
    #[ts(type = "number")]
    pub at_ms: u64,
    /// How long it lasted; `None` if it never connected.
    pub seconds: Option<u32>,
    /// With picture.
    pub video: bool,
}

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// From here.
    Outgoing,
    /// To here, and answered or declined.
    Incoming,
    /// To here, and nobody answered.
    Missed,
}

/// What can be chosen, and what is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DevicesView {
    /// Cameras.
    pub cameras: DeviceList,
    /// Microphones.
    pub microphones: DeviceList,
    /// Speakers.
    pub speakers: DeviceList,
}

/// Devices of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DeviceList {
    /// What is plugged in.
    pub found: Vec<DeviceView>,
    /// The id of the chosen one; `None` is the system's default. It may not be plugged in.
    pub chosen: Option<String>,
    /// Why there is nothing to choose, in one sentence.
    pub problem: Option<String>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    /// For [`crate::Command::ChooseDevice`].
    pub id: String,
    /// Its name as the system has it.
    pub name: String,
}

/// What the person set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SettingsView {
    /// Light, dark, or as the system has it.
    pub theme: Theme,
    /// Single letters (M, V) and Space are shortcuts in a call (WCAG 2.1.4 wants them to be switchable).
    pub letter_keys: bool,
    /// How loud it rings, from 0 (not at all) to 1.
    pub ring_volume: f32,
    /// Steady noise is taken out of what the microphone hears, in a call too.
    pub noise_suppression: bool,
    /// From whom this machine's addresses are hidden.
    pub hide_address: HideAddress,
}

/// From whom this machine's addresses are hidden: such calls go through a relay of the server's, and end in words where it has
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum HideAddress {
    /// From nobody.
    Never,
    /// From callers who are not on the list of people.
    FromStrangers,
    /// From everybody.
    Always,
}

impl From<HideAddress> for ahoy_client::HideAddress {
    fn from(hide: HideAddress) -> Self {
        match hide {
            HideAddress::Never => Self::Never,
            HideAddress::FromStrangers => Self::FromStrangers,
            HideAddress::Always => Self::Always,
        }
    }
}

/// Light, dark, or as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Theme {
    /// As the system has it.
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// The camera and microphone check, outside a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PreviewView {
    /// It runs.
    pub on: bool,
    /// Pictures of the camera come.
    pub picture: bool,
    /// What is wrong with the camera or microphone, in one sentence each.
    pub problems: Vec<String>,
}

/// Something that happened beside the screen's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct NoticeView {
    /// Names it for [`crate::Command::Dismiss`].
    pub id: u32,
    /// One sentence.
    pub text: String,
    /// How bad it is.
    pub tone: Tone,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Tone {
    /// For information.
    Neutral,
    /// Something is worse than it should be.
    Warning,
    /// Something failed.
    Danger,
}

/// What moves too fast for [`AppView`]: about 15 times a second, while a screen shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Meters {
    /// How loud the microphone hears, from 0 to 1 on a scale that a meter shows.
    pub microphone: f32,
    /// How loud the other side is heard, likewise.
    pub speaker: f32,
    /// Somebody talks into a muted microphone.
    pub talking_while_muted: bool,
}
