//! The tables, and how an older database becomes a present one.

use rusqlite::Connection;

use super::{ANSWER_MAX, AccountsError};

/// What this program writes.
const VERSION: i64 = 2;

/// Makes the tables, or those that an older version did not have.
pub(super) fn prepare(connection: &Connection) -> Result<(), AccountsError> {
    connection.busy_timeout(ANSWER_MAX)?;
    // Readers (a backup, the operator's commands) do not stop the writer. Only what must outlive a power cut waits for
    // the disk; see `sync_to_disk`.
    connection.pragma_update(None, "journal_mode", "wal")?;
    sync_to_disk(connection, false)?;
    loop {
        match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 => connection.execute_batch(
                "BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS account (
                     username TEXT PRIMARY KEY,
                     key BLOB NOT NULL CHECK (length(key) = 32),
                     bound_at_s INTEGER NOT NULL DEFAULT (unixepoch())
                 ) STRICT, WITHOUT ROWID;
                 PRAGMA user_version = 1;
                 COMMIT;",
            )?,
            // `former`: keys from which the operator took a name. `invitation`: by SHA-256, for the file may be read by
            // more people than were invited.
            1 => connection.execute_batch(
                "BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS missed (
                     callee TEXT NOT NULL,
                     caller TEXT NOT NULL,
                     first_at_s INTEGER NOT NULL,
                     at_s INTEGER NOT NULL,
                     video INTEGER NOT NULL,
                     count INTEGER NOT NULL,
                     PRIMARY KEY (callee, caller)
                 ) STRICT, WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS former (
                     username TEXT NOT NULL,
                     key BLOB NOT NULL CHECK (length(key) = 32),
                     PRIMARY KEY (username, key)
                 ) STRICT, WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS invitation (
                     code BLOB PRIMARY KEY CHECK (length(code) = 32),
                     uses_left INTEGER NOT NULL,
                     until_s INTEGER NOT NULL
                 ) STRICT, WITHOUT ROWID;
                 PRAGMA user_version = 2;
                 COMMIT;",
            )?,
            VERSION => return Ok(()),
            later => return Err(AccountsError::TooNew(later)),
        }
    }
}

/// Whether a change is on disk before it counts as made.
pub(super) fn sync_to_disk(connection: &Connection, yes: bool) -> Result<(), AccountsError> {
    connection.pragma_update(None, "synchronous", if yes { "full" } else { "normal" })?;
    Ok(())
}
