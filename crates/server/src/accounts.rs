//! Which key a username belongs to, for ever: SQLite behind one thread (section 3: the key is the account); and the
//! calls that its owner missed. It holds public keys only; there is nothing secret to lose, but names to hijack if it is
//! lost.

mod admin;
mod invitation;
mod missed;
mod schema;

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use ahoy_protocol::id::Username;
use ahoy_protocol::identity::{Binary, PublicKey};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

pub use admin::{Account, Admin, AdminError};
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
    /// The system has none.
    #[error("no randomness")]
    Randomness(#[source] getrandom::Error),
    /// No answer in time, or the thread is gone.
    #[error("the account database does not answer")]
    Silent,
}

/// What became of the wish for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// It is bound to this key: of two that come at once, to the first one's.
    To(PublicKey),
    /// The operator took the name from this key.
    Barred,
    /// The invitation is wrong, used up or too old.
    NotInvited,
}

#[derive(Debug)]
enum Question {
    KeyOf(Username, oneshot::Sender<Result<Option<PublicKey>, AccountsError>>),
    Bind(Username, PublicKey, Option<String>, oneshot::Sender<Result<Binding, AccountsError>>),
    Version(oneshot::Sender<Result<i64, AccountsError>>),
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

    /// Binds a free name to `key`, and uses up `invitation` once if there is one. On disk before it returns.
    pub(crate) async fn bind(
        &self,
        username: &Username,
        key: PublicKey,
        invitation: Option<String>,
    ) -> Result<Binding, AccountsError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Question::Bind(username.clone(), key, invitation, answer), answered).await
    }

    /// A number that is another one after the operator changed something.
    pub(crate) async fn version(&self) -> Result<i64, AccountsError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Question::Version(answer), answered).await
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
            Question::Bind(username, key, invitation, answer) => {
                drop(answer.send(bind(connection, &username, key, invitation.as_deref())));
            }
            Question::Version(answer) => drop(answer.send(version(connection))),
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

fn bind(
    connection: &Connection,
    username: &Username,
    key: PublicKey,
    invitation: Option<&str>,
) -> Result<Binding, AccountsError> {
    // A name once granted outlives a power cut.
    schema::sync_to_disk(connection, true)?;
    let bound = bind_at_once(connection, username, key, invitation);
    schema::sync_to_disk(connection, false)?;
    bound
}

fn bind_at_once(
    connection: &Connection,
    username: &Username,
    key: PublicKey,
    invitation: Option<&str>,
) -> Result<Binding, AccountsError> {
    // Immediate: one that begins with reading cannot go on to write once the operator's program wrote in between.
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if let Some(bound) = key_of(&transaction, username)? {
        return Ok(Binding::To(bound));
    }
    if admin::is_barred(&transaction, username, key)? {
        return Ok(Binding::Barred);
    }
    if let Some(code) = invitation
        && !invitation::redeem(&transaction, code)?
    {
        return Ok(Binding::NotInvited);
    }
    transaction
        .prepare_cached("INSERT INTO account (username, key) VALUES (?1, ?2)")?
        .execute(params![username.as_str(), key.0])?;
    transaction.commit()?;
    Ok(Binding::To(key))
}

fn version(connection: &Connection) -> Result<i64, AccountsError> {
    Ok(connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
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
        assert_eq!(accounts.bind(&alice, first, None).await.unwrap(), Binding::To(first));
        assert_eq!(accounts.bind(&alice, second, None).await.unwrap(), Binding::To(first));
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

    #[tokio::test]
    async fn an_invitation_lets_in_as_many_as_it_says_for_as_long_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(folder.path()).unwrap();
        let admin = Admin::open(folder.path()).unwrap();
        let code = admin.invite(2, Duration::from_secs(1_000)).unwrap();
        let stale = admin.invite(2, Duration::ZERO).unwrap();
        let bind = async |name: &str, code: &str| {
            accounts.bind(&name.parse().unwrap(), Binary([3; 32]), Some(code.to_owned())).await.unwrap()
        };
        assert_eq!(bind("a", "x").await, Binding::NotInvited);
        assert_eq!(bind("a", &stale).await, Binding::NotInvited);
        for name in ["a", "a", "b"] {
            assert_eq!(bind(name, &code).await, Binding::To(Binary([3; 32])), "{name}: a bound name uses up nothing");
        }
        assert_eq!(bind("c", &code).await, Binding::NotInvited);
    }

    #[tokio::test]
    async fn an_operator_takes_names_away_and_gives_others() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Admin::open(folder.path()).is_err(), "none is made");
        let accounts = Accounts::open(folder.path()).unwrap();
        let [alice, bob, carol]: [Username; 3] = ["alice", "bob", "carol"].map(|name| name.parse().unwrap());
        let (first, second) = (Binary([1; 32]), Binary([2; 32]));
        accounts.bind(&alice, first, None).await.unwrap();
        accounts.bind(&bob, second, None).await.unwrap();
        let before = accounts.version().await.unwrap();
        assert_eq!(accounts.version().await.unwrap(), before, "its own changes are none");

        let mut admin = Admin::open(folder.path()).unwrap();
        admin.unbind(&alice).unwrap();
        assert_ne!(accounts.version().await.unwrap(), before);
        assert!(matches!(admin.unbind(&alice), Err(AdminError::Unknown(_))));
        assert_eq!(accounts.bind(&alice, first, None).await.unwrap(), Binding::Barred);
        assert_eq!(accounts.bind(&alice, second, None).await.unwrap(), Binding::To(second));

        assert!(matches!(admin.rename(&bob, &alice), Err(AdminError::Taken(_))));
        assert!(matches!(admin.rename(&bob, &"guest-b".parse().unwrap()), Err(AdminError::Guest(_))));
        assert!(matches!(admin.rename(&carol, &bob), Err(AdminError::Unknown(_))));
        admin.rename(&bob, &carol).unwrap();
        assert_eq!(accounts.bind(&bob, second, None).await.unwrap(), Binding::Barred);
        assert_eq!(accounts.key_of(&carol).await.unwrap(), Some(second));
        admin.rename(&carol, &bob).unwrap();
        assert_eq!(accounts.key_of(&bob).await.unwrap(), Some(second), "and back");
        let names: Vec<String> = admin.list().unwrap().into_iter().map(|account| account.username).collect();
        assert_eq!(names, ["alice", "bob"]);
    }

    /// What a change meets that another program's change overtakes: it waits for it, and is then made.
    async fn behind_another_writer<T: Send + 'static>(
        folder: &Path,
        change: impl FnOnce() -> T + Send + 'static,
    ) -> (bool, T) {
        let other = Connection::open(folder.join(FILE)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE; DELETE FROM former WHERE username = 'nobody'").unwrap();
        other.execute_batch("INSERT INTO former (username, key) VALUES ('nobody', zeroblob(32))").unwrap();
        let change = tokio::task::spawn_blocking(change);
        // It has read by then whatever it reads before it writes.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let waited = !change.is_finished();
        other.execute_batch("COMMIT").unwrap();
        (waited, change.await.unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_programs_may_change_accounts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Arc::new(Accounts::open(folder.path()).unwrap());
        let [alice, bob, carol]: [Username; 3] = ["alice", "bob", "carol"].map(|name| name.parse().unwrap());
        let key = Binary([1; 32]);
        accounts.bind(&alice, key, None).await.unwrap();
        let (runtime, binder, name) = (tokio::runtime::Handle::current(), Arc::clone(&accounts), bob.clone());
        let bind = move || runtime.block_on(binder.bind(&name, key, None));
        let (waited, bound) = behind_another_writer(folder.path(), bind).await;
        assert!(waited && matches!(bound, Ok(Binding::To(to)) if to == key), "{bound:?}");

        let mut admin = Admin::open(folder.path()).unwrap();
        let change = move || (admin.rename(&alice, &carol), admin);
        let (waited, (renamed, mut admin)) = behind_another_writer(folder.path(), change).await;
        assert!(waited && renamed.is_ok(), "{renamed:?}");
        let (waited, unbound) = behind_another_writer(folder.path(), move || admin.unbind(&bob)).await;
        assert!(waited && unbound.is_ok(), "{unbound:?}");
    }
}
