//! System notifications: somebody calls, until they do not; and a sentence now and then. A session without a place for
//! notifications, or with one that hangs, costs a warning and never a wait.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

#[cfg(all(unix, not(target_os = "macos")))]
mod freedesktop;
#[cfg(not(all(unix, not(target_os = "macos"))))]
mod other;

#[cfg(all(unix, not(target_os = "macos")))]
use freedesktop::{show_call, show_hint};
#[cfg(not(all(unix, not(target_os = "macos"))))]
use other::{show_call, show_hint};

/// How long the desktop may take to show a notification, or to take it away.
const DEADLINE: Duration = Duration::from_secs(2);

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) username: String,
    pub(crate) video: bool,
}

/// What a person chose in a notification. There is no way to accept in it: a click that was meant for something else must
/// not put anybody on camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    Open,
    /// The call of this person, and of no other.
    Decline {
        from: String,
    },
}

/// Shows notifications, one at a time, from a task of its own: a newer one takes the place of an older.
#[derive(Debug)]
pub(crate) struct Notifier {
    note: watch::Sender<Note>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What there is to show.
#[derive(Debug, Clone)]
enum Note {
    Nothing,
    /// Stays until it is replaced or the person chose.
    Call(Caller),
    /// Goes by itself.
    Hint(String),
    /// Nothing any more.
    Over,
}

type Chosen = Arc<dyn Fn(Choice) + Send + Sync>;

impl Notifier {
    /// `chosen` is called from the task and must not block. Needs Tokio.
    pub(crate) fn start(chosen: impl Fn(Choice) + Send + Sync + 'static) -> Self {
        let (note, notes) = watch::channel(Note::Nothing);
        let task = tokio::spawn(show_each(notes, Arc::new(chosen)));
        Self { note, task: Mutex::new(Some(task)) }
    }

    /// Shows that somebody calls, until [`Self::calm`].
    pub(crate) fn ring(&self, caller: Caller) {
        self.note.send_replace(Note::Call(caller));
    }

    /// Nobody calls any more.
    pub(crate) fn calm(&self) {
        self.note.send_replace(Note::Nothing);
    }

    /// Shows a sentence, unless somebody calls: that must not be hidden by it.
    pub(crate) fn hint(&self, text: &str) {
        self.note.send_if_modified(|note| match note {
            Note::Nothing | Note::Hint(_) => {
                *note = Note::Hint(text.to_owned());
                true
            }
            Note::Call(_) | Note::Over => false,
        });
    }

    /// Takes away what is shown and shows nothing any more.
    pub(crate) async fn finish(&self) {
        self.note.send_replace(Note::Over);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return };
        // It may be showing one, which it then takes away.
        if timeout(DEADLINE * 2, task).await.is_err() {
            tracing::warn!("a notification was left behind");
        }
    }
}

async fn show_each(mut notes: watch::Receiver<Note>, chosen: Chosen) {
    loop {
        let note = notes.borrow_and_update().clone();
        match note {
            Note::Nothing => {}
            Note::Call(caller) => {
                let mut notes = notes.clone();
                let chosen = Arc::clone(&chosen);
                // In a task of its own: the library panics where the session's bus goes away under it.
                let shown = tokio::spawn(async move {
                    // An error is an end of ringing too: the notifier is gone.
                    let over = async move { drop(notes.changed().await) };
                    show_call(&caller, over, &chosen).await;
                });
                if let Err(error) = shown.await {
                    tracing::warn!(%error, "the notification of a call was lost");
                }
            }
            Note::Hint(text) => show_hint(&text).await,
            Note::Over => return,
        }
        if notes.changed().await.is_err() {
            return;
        }
    }
}

/// The two lines that tell of a call. The username is the one that was proved; what callers say of themselves is not in it.
fn lines(caller: &Caller) -> (String, &'static str) {
    (format!("{} is calling", caller.username), if caller.video { "Video call" } else { "Voice call" })
}

/// Says why nothing is shown.
fn no_notification(why: impl fmt::Display) {
    tracing::warn!(%why, "no notification is shown");
}
