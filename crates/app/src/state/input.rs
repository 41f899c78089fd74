//! What happens to the app, as the reducer is told.

use ahoy_client::devices::Hardware;
use ahoy_client::identity::Phrase;
use ahoy_client::{CallId, DeviceProblem, Event, PictureView, Username, View};

use crate::files::FileError;
use crate::people::People;

/// Something that happened. Commands come in by [`super::State::command`], since they may be refused.
#[derive(Debug)]
pub(crate) enum Input {
    /// The program has started.
    Started,
    /// The client tells.
    Event(Event),
    /// The client's state has changed.
    View(View),
    /// The client could not start, or stopped by itself.
    ClientFailed(String),
    /// [`super::ToClient::Dial`] is done; no call without randomness.
    Dialled(Result<CallId, String>),
    /// [`super::Effect::ReadPeople`] is done; `None`: there is no file yet.
    PeopleRead(Username, Result<Option<People>, FileError>),
    /// [`super::Effect::ReadPhrase`] is done, or why there is none.
    PhraseRead(Username, Result<Phrase, String>),
    /// [`super::Effect::RestoreKey`] is done, or why not.
    KeyRestored(Username, Result<(), String>),
    /// Settings or people could not be kept.
    NotKept(FileError),
    /// [`super::Effect::ListHardware`] is done; or the system did not answer.
    Hardware(Result<Hardware, String>),
    /// What is wrong with the devices in use.
    Problems(Vec<DeviceProblem>),
    /// A picture came that was asked for.
    Picture(PictureView),
    /// The window was hidden or shown.
    Visible(bool),
    /// A page was loaded: what an earlier one asked for is void.
    Attached,
    /// The program is about to end: what goes on is over.
    Quitting,
    /// A deadline of [`super::State::poll_timeout`] has come.
    Tick,
}
