//! Which key a username belongs to, for ever: SQLite behind one thread (section 3: the key is the account); and the
//! calls that its owner missed. It holds public keys only; there is nothing secret to lose, but names to hijack if it is
//! lost.

mod missed;
mod schema;

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use ahoy_protocol::id::Username;
use ahoy_protocol::identity::{Binary, PublicKey};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::{mpsc, oneshot};

use missed::Missed;
pub(crate) use missed::{MissedBook, Told};

/// Questions waiting for the thread; who comes then waits too, at most [`ANSWER_MAX`].
const QUESTIONS_MAX: usize = 256;
/// A disk that takes longer is broken.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const FILE: &str = "accounts.sqlite";

/// The accounts. Dropped, it finishes what was asked and ends its thread.
#[derive(Debug)]
pub struct Accounts {
    questions: Option<Arc<mpsc::Sender<Question>>>,
    thread: Option<JoinHandle<()>>,
}

/// Why the accounts cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The folder cannot be made.
    #[error("cannot make the folder")]
    Folder(#[source] std::io::Error),
    /// The thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// SQLite refuses.
    #[error("the account database fails")]
    Database(#[from] rusqlite::Error),
    /// Written by a later version of this program.
    #[error("the account database is of version {0}, which is later than this program")]
    TooNew(i64),
    /// No answer in time, or the thread is gone.
    #[error("the account database does not answer")]
    Silent,
}

#[derive(Debug)]
enum Question {
    KeyOf(Username, oneshot::Sender<Result<Option<PublicKey>, AccountsError>>),
    Bind(Username, PublicKey, oneshot::Sender<Result<PublicKey, AccountsError>>),
    MissedBy(Username, oneshot::Sender<Result<Vec<Told>, AccountsError>>),
    NoteMissed(Missed),
    ForgetMissed(Username, Vec<Told>),
}

impl Accounts {
    /// Opens, or makes, the database in `folder`.
    ///
    /// # Errors
    /// [`AccountsError`].
    pub fn open(folder: &Path) -> Result<Self, AccountsError> {
        make_private(folder).map_err(AccountsError::Folder)?;
        Self::start(Connection::open(folder.join(FILE))?)
    }

    /// Accounts that are forgotten when the server ends: names are then free for the next to come.
    ///
    /// # Errors
    /// [`AccountsError`].
    pub fn in_memory() -> Result<Self, AccountsError> {
        Self::start(Connection::open_in_memory()?)
    }

    /// The key that a name is bound to, if it is bound.
    pub(crate) async fn key_of(&self, username: &Username) -> Result<Option<PublicKey>, AccountsError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Question::KeyOf(username.clone(), answer), answered).await
    }

    /// Binds a free name to `key` and returns the key that the name is bound to then: of two who come at once, the
    /// first one's. On disk before it returns.
    pub(crate) async fn bind(&self, username: &Username, key: PublicKey) -> Result<PublicKey, AccountsError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Question::Bind(username.clone(), key, answer), answered).await
    }

    /// What came while no device of `username` was signed in. What was noted before is in it.
    pub(crate) async fn missed_by(&self, username: &Username) -> Result<Vec<Told>, AccountsError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Question::MissedBy(username.clone(), answer), answered).await
    }

    /// Where missed calls are noted.
    pub(crate) fn missed_book(&self) -> MissedBook {
        MissedBook(self.questions.as_ref().map_or_else(Weak::new, Arc::downgrade))
    }

    fn start(connection: Connection) -> Result<Self, AccountsError> {
        schema::prepare(&connection)?;
        missed::forget_old(&connection)?;
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let name = "ahoy-accounts".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || answer_all(&connection, asked));
        Ok(Self { questions: Some(Arc::new(questions)), thread: Some(thread.map_err(AccountsError::Thread)?) })
    }

    async fn ask<T>(
        &self,
        question: Question,
        answered: oneshot::Receiver<Result<T, AccountsError>>,
    ) -> Result<T, AccountsError> {
        let questions = self.questions.as_ref().ok_or(AccountsError::Silent)?;
        let answer = async {
            questions.send(question).await.map_err(|_| AccountsError::Silent)?;
            answered.await.map_err(|_| AccountsError::Silent)?
        };
        tokio::time::timeout(ANSWER_MAX, answer).await.map_err(|_| AccountsError::Silent)?
    }
}

impl Drop for Accounts {
    fn drop(&mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the accounts thread panicked");
        }
    }
}

/// Makes a folder that only its owner can look into.
fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn answer_all(connection: &Connection, mut asked: mpsc::Receiver<Question>) {
    while let Some(question) = asked.blocking_recv() {
        // Whoever stopped waiting needs no answer.
        match question {
            Question::KeyOf(username, answer) => drop(answer.send(key_of(connection, &username))),
            Question::Bind(username, key, answer) => drop(answer.send(bind(connection, &username, key))),
            Question::MissedBy(username, answer) => drop(answer.send(missed::by(connection, &username))),
            Question::NoteMissed(missed) => report(missed::note(connection, &missed)),
            Question::ForgetMissed(username, told) => report(missed::forget(connection, &username, &told)),
        }
    }
}

/// Nobody waits for this one.
fn report(done: Result<(), AccountsError>) {
    if let Err(error) = done {
        tracing::error!(error = &error as &dyn std::error::Error, "missed calls");
    }
}

fn key_of(connection: &Connection, username: &Username) -> Result<Option<PublicKey>, AccountsError> {
    let mut statement = connection.prepare_cached("SELECT key FROM account WHERE username = ?1")?;
    let key = statement.query_row(params![username.as_str()], |row| row.get::<_, [u8; 32]>(0)).optional()?;
    Ok(key.map(Binary))
}

fn bind(connection: &Connection, username: &Username, key: PublicKey) -> Result<PublicKey, AccountsError> {
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO account (username, key) VALUES (?1, ?2)")?;
    // A name once granted outlives a power cut.
    schema::sync_to_disk(connection, true)?;
    let inserted = insert.execute(params![username.as_str(), key.0]);
    schema::sync_to_disk(connection, false)?;
    inserted?;
    key_of(connection, username)?.ok_or(AccountsError::Silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_belongs_to_the_first_key_that_binds_it_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let (alice, bob): (Username, Username) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let (first, second) = (Binary([1; 32]), Binary([2; 32]));
        let accounts = Accounts::open(&folder.path().join("new/folder")).unwrap();
        assert_eq!(accounts.key_of(&alice).await.unwrap(), None);
        assert_eq!(accounts.bind(&alice, first).await.unwrap(), first);
        assert_eq!(accounts.bind(&alice, second).await.unwrap(), first);
        drop(accounts);

        let accounts = Accounts::open(&folder.path().join("new/folder")).unwrap();
        assert_eq!(accounts.key_of(&alice).await.unwrap(), Some(first));
        assert_eq!(accounts.key_of(&bob).await.unwrap(), None);
    }

    #[test]
    fn a_database_that_is_none_or_of_a_later_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "this is no database, and long enough to be seen as none".repeat(40))
            .unwrap();
        assert!(matches!(Accounts::open(folder.path()), Err(AccountsError::Database(_))));

        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join(FILE)).unwrap();
        connection.pragma_update(None, "user_version", 7).unwrap();
        assert!(matches!(Accounts::open(folder.path()), Err(AccountsError::TooNew(7))));
        assert!(matches!(Accounts::open(&folder.path().join(FILE)), Err(AccountsError::Folder(_))));
    }
}
