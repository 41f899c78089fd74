//! The app: one task that owns everything, and the handle that a window holds. Commands in, snapshots out; what follows
//! from what is decided in [`crate::state`].

mod account;
mod hardware;
mod journal;
mod keeper;
mod levels;
mod pictures;
mod run;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ahoy_client::FrameSink;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::warn;

use crate::app::journal::Journal;
use crate::app::run::Run;
use crate::command::{Command, CommandError, CommandErrorCode};
use crate::options::Options;
use crate::state::Alerting;
use crate::view::{AppView, Meters};

pub use crate::app::journal::Notes;

/// Requests of the page and the shell that wait; full, they wait longer.
const REQUESTS: usize = 64;
/// How long hanging up, signing out and closing files and devices may take when the program ends.
const QUIT_DEADLINE: Duration = Duration::from_secs(3);

/// What the window system does for the app. Called from the app's task, which it must not hold up.
pub trait Shell: Send + Sync {
    /// Somebody calls: tell the person, wherever they look.
    fn alert(&self, alerting: Alerting);
    /// Nobody calls any more, or the person knows.
    fn calm(&self);
}

/// The running app. Dropped, it ends as with [`App::quit`], but nobody waits for it.
#[derive(Debug)]
pub struct App {
    requests: mpsc::Sender<Request>,
    view: watch::Receiver<Arc<AppView>>,
    meters: watch::Receiver<Meters>,
    notes: Notes,
}

/// Why the app cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file for events.
    #[error("cannot write events to {}", path.display())]
    Events {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gave no thread.
    #[error("the system gives no more threads")]
    Thread(#[source] io::Error),
}

/// What the task is asked.
#[derive(Debug)]
pub(crate) enum Request {
    Command(Command, oneshot::Sender<Result<(), CommandError>>),
    Attach(oneshot::Sender<Arc<AppView>>),
    Visible(bool),
    Quit(oneshot::Sender<()>),
}

impl App {
    /// Starts on the current tokio runtime. Who was signed in last signs in by themselves. Pictures go to `pictures`.
    ///
    /// # Errors
    /// [`StartError`]: what this machine does not allow. Files that cannot be read are no error but a notice.
    pub fn start(options: Options, shell: Arc<dyn Shell>, pictures: Arc<dyn FrameSink>) -> Result<Self, StartError> {
        let journal = Journal::start(options.events.as_deref())?;
        let notes = journal.notes();
        let (requests, queue) = mpsc::channel(REQUESTS);
        let (run, (view, meters)) = Run::new(options, shell, pictures, journal, queue).map_err(StartError::Thread)?;
        tokio::spawn(run.until_quit());
        Ok(Self { requests, view, meters, notes })
    }

    /// What the page draws; a new one when something in it has changed.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<AppView>> {
        self.view.clone()
    }

    /// How loud it is, about 15 times a second while a microphone or a speaker is open.
    #[must_use]
    pub fn meters(&self) -> watch::Receiver<Meters> {
        self.meters.clone()
    }

    /// A page was loaded, or loaded anew: what an earlier one asked for is void. Returns what it begins with.
    pub async fn attach(&self) -> Arc<AppView> {
        let (answer, view) = oneshot::channel();
        let asked = self.requests.send(Request::Attach(answer)).await;
        let attached = if asked.is_ok() { view.await.ok() } else { None };
        attached.unwrap_or_else(|| Arc::clone(&self.view.borrow()))
    }

    /// Does what a person wants.
    ///
    /// # Errors
    /// [`CommandError`]: it was not done, and why.
    pub async fn send(&self, command: Command) -> Result<(), CommandError> {
        let (answer, done) = oneshot::channel();
        let gone = || CommandError { code: CommandErrorCode::Failed, message: "Ahoy is about to close.".into() };
        self.requests.send(Request::Command(command, answer)).await.map_err(|_| gone())?;
        done.await.unwrap_or_else(|_| Err(gone()))
    }

    /// The window was hidden or shown: nobody looks at a hidden preview.
    pub async fn set_visible(&self, visible: bool) {
        // An app that is gone shows nothing.
        let _ = self.requests.send(Request::Visible(visible)).await;
    }

    /// Writes a line of the window's own into the file of events, if there is one.
    pub fn note(&self, event: &str, fields: Map<String, Value>) {
        self.notes.note(event, fields);
    }

    /// The same, for threads that outlive a borrow of the app.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// Hangs up, signs out, and closes everything; takes three seconds at most.
    pub async fn quit(&self) {
        let (answer, done) = oneshot::channel();
        let quit = async {
            // One that is gone has quit.
            if self.requests.send(Request::Quit(answer)).await.is_ok() {
                let _ = done.await;
            }
        };
        if timeout(QUIT_DEADLINE, quit).await.is_err() {
            warn!("not everything was closed in time; the other side may not know yet");
        }
    }
}
