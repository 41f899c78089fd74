//! What an operator does to accounts, on the database of a server that may be running: it looks for such changes every
//! second (`Accounts::version`), and ends the sessions whose name is no longer theirs.

use std::path::Path;
use std::time::Duration;

use ahoy_protocol::id::Username;
use ahoy_protocol::identity::{Binary, PublicKey};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::{AccountsError, FILE, invitation, key_of, schema};

/// The account database of a server, opened beside it.
#[derive(Debug)]
pub struct Admin(Connection);

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub username: String,
    /// The key that it is bound to.
    pub key: PublicKey,
    /// Since when: an RFC 3339 time in UTC.
    pub bound_at: String,
}

/// Why something cannot be done to an account.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The database fails.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// There is none.
    #[error("nobody here is called {0}")]
    Unknown(Username),
    /// Somebody else has it.
    #[error("the name {0} is taken; unbind it first")]
    Taken(Username),
    /// Guests have no account.
    #[error("{0} is a guest's name, which nobody owns")]
    Guest(Username),
}

impl From<rusqlite::Error> for AdminError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Accounts(error.into())
    }
}

impl Admin {
    /// Opens the database that a server keeps in `folder`; makes none.
    ///
    /// # Errors
    /// [`AccountsError::Database`] if there is none.
    pub fn open(folder: &Path) -> Result<Self, AccountsError> {
        let connection = Connection::open_with_flags(folder.join(FILE), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema::prepare(&connection)?;
        schema::sync_to_disk(&connection, true)?;
        Ok(Self(connection))
    }

    /// All accounts by name.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub fn list(&self) -> Result<Vec<Account>, AccountsError> {
        let mut statement = self.0.prepare(
            "SELECT username, key, strftime('%Y-%m-%dT%H:%M:%SZ', bound_at_s, 'unixepoch') FROM account
             ORDER BY username",
        )?;
        let accounts = statement.query_map([], |row| {
            Ok(Account { username: row.get(0)?, key: Binary(row.get(1)?), bound_at: row.get(2)? })
        })?;
        Ok(accounts.collect::<Result<_, _>>()?)
    }

    /// Takes a name from its key. It is free for any other key; that one does not get it back.
    ///
    /// # Errors
    /// [`AdminError::Unknown`], or the database's.
    pub fn unbind(&mut self, username: &Username) -> Result<(), AdminError> {
        let transaction = self.begin()?;
        let key = key_of(&transaction, username)?.ok_or_else(|| AdminError::Unknown(username.clone()))?;
        transaction.execute("DELETE FROM account WHERE username = ?1", [username.as_str()])?;
        transaction.execute("DELETE FROM missed WHERE callee = ?1", [username.as_str()])?;
        bar(&transaction, username, key)?;
        Ok(transaction.commit()?)
    }

    /// Gives an account another name, with its key and its missed calls. Its owner signs in under the new one.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn rename(&mut self, from: &Username, to: &Username) -> Result<(), AdminError> {
        if to.is_guest() {
            return Err(AdminError::Guest(to.clone()));
        }
        let transaction = self.begin()?;
        let key = key_of(&transaction, from)?.ok_or_else(|| AdminError::Unknown(from.clone()))?;
        if key_of(&transaction, to)?.is_some() {
            return Err(AdminError::Taken(to.clone()));
        }
        let names = params![from.as_str(), to.as_str()];
        transaction.execute("UPDATE account SET username = ?2 WHERE username = ?1", names)?;
        transaction.execute("DELETE FROM missed WHERE callee = ?2 AND callee <> ?1", names)?;
        transaction.execute("UPDATE missed SET callee = ?2 WHERE callee = ?1", names)?;
        transaction.execute("DELETE FROM former WHERE username = ?1 AND key = ?2", params![to.as_str(), key.0])?;
        bar(&transaction, from, key)?;
        Ok(transaction.commit()?)
    }

    /// It writes from the start: one that begins with reading cannot go on to write once the server wrote in between,
    /// however long it would wait (SQLITE_BUSY_SNAPSHOT).
    fn begin(&mut self) -> Result<Transaction<'_>, rusqlite::Error> {
        self.0.transaction_with_behavior(TransactionBehavior::Immediate)
    }

    /// Makes an invitation for `uses` new names within `time`, and returns its code, which is stored nowhere.
    ///
    /// # Errors
    /// [`AccountsError::Database`]; [`AccountsError::Randomness`].
    pub fn invite(&self, uses: u32, time: Duration) -> Result<String, AccountsError> {
        invitation::make(&self.0, uses, time)
    }
}

/// Whether the operator took this name from this key.
pub(super) fn is_barred(connection: &Connection, username: &Username, key: PublicKey) -> Result<bool, AccountsError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM former WHERE username = ?1 AND key = ?2")?;
    let found = statement.query_row(params![username.as_str(), key.0], |_| Ok(())).optional()?;
    Ok(found.is_some())
}

fn bar(connection: &Connection, username: &Username, key: PublicKey) -> Result<(), AccountsError> {
    let sql = "INSERT OR IGNORE INTO former (username, key) VALUES (?1, ?2)";
    connection.execute(sql, params![username.as_str(), key.0])?;
    Ok(())
}
