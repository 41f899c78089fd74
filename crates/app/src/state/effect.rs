//! What the reducer asks for; the loop carries it out, in order.

use std::collections::BTreeSet;

use ahoy_client::{CallId, ChosenDevices, HideAddress, PictureView, PublicKey, Sending, ServerUrl, Username};

use crate::command::TypedPhrase;
use crate::people::People;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Read who is known to this user; answer with [`super::Input::PeopleRead`].
    ReadPeople(Username),
    /// Keep the people of this user, as they were when it was asked for.
    WritePeople(Username, People),
    /// Keep the settings.
    WriteSettings,
    /// Sign in as this user, instead of whoever is.
    StartClient {
        /// Who.
        username: Username,
        /// Where.
        server: ServerUrl,
        /// For a new name where the operator invites.
        invite: Option<String>,
    },
    /// Hang up and sign out.
    StopClient,
    /// Read the recovery phrase of this user; answer with [`super::Input::PhraseRead`].
    ReadPhrase(Username),
    /// Keep the key of a recovery phrase for this user; answer with [`super::Input::KeyRestored`].
    RestoreKey(Username, TypedPhrase),
    /// Tell the client something; without one, nothing.
    Tell(ToClient),
    /// Use these devices from now on.
    ChooseDevices(ChosenDevices),
    /// Take steady noise out of what the microphone hears, or leave it in.
    SuppressNoise(bool),
    /// Turn the camera and microphone check on or off.
    SetPreview(bool),
    /// Ask the system what is plugged in; answer with [`super::Input::Hardware`].
    ListHardware,
    /// Answer with [`super::Input::Picture`] when the next picture of this one comes.
    WatchForPicture(PictureView),
    /// Play this, in place of what plays.
    Play(Sound),
    /// Play nothing any more.
    Silence,
    /// Tell the person, wherever they look, that somebody calls.
    Alert(Alerting),
    /// They know now, or it is too late.
    Calm,
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ToClient {
    /// Whom the user knows.
    SetContacts(BTreeSet<Username>),
    /// Of whom the user wants to hear nothing.
    SetBlocked(BTreeSet<Username>),
    /// Call somebody; answer with [`super::Input::Dialled`].
    Dial {
        /// Whom.
        to: Username,
        /// With picture.
        video: bool,
    },
    /// Say yes.
    Accept {
        /// To which call.
        call: CallId,
        /// With picture.
        video: bool,
    },
    /// Say no.
    Decline(CallId),
    /// End it.
    HangUp(CallId),
    /// What both people found when they read the code to each other.
    CodeCompared {
        /// In which call.
        call: CallId,
        /// It was the same.
        same: bool,
    },
    /// Know somebody by another key.
    TrustNewKey {
        /// Who.
        username: Username,
        /// Which.
        key: PublicKey,
    },
    /// From whom this machine's addresses are hidden.
    HideAddress(HideAddress),
    /// What is sent from now on.
    SetSending {
        /// In which call.
        call: CallId,
        /// What.
        sending: Sending,
    },
}

/// A sound of the program's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sound {
    /// It rings here.
    Ring,
    /// It rings there.
    Ringback,
    /// A call that went on is over.
    Ended,
    /// A call did not come about.
    Busy,
    /// The person wants to hear the speaker.
    Test,
}

/// Somebody calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerting {
    /// Who.
    pub username: String,
    /// With picture.
    pub video: bool,
    /// Their key is known from an earlier call.
    pub known: bool,
}
