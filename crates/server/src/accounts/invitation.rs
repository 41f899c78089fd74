//! Codes that let a new name in where the operator invites. 128 random bits each; the database has their SHA-256 only.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use super::AccountsError;

pub(super) fn make(connection: &Connection, uses: u32, time: Duration) -> Result<String, AccountsError> {
    let mut code = [0; 16];
    getrandom::fill(&mut code).map_err(AccountsError::Randomness)?;
    let code = URL_SAFE_NO_PAD.encode(code);
    connection.execute("DELETE FROM invitation WHERE until_s <= unixepoch() OR uses_left < 1", [])?;
    let time_s = i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 2);
    let sql = "INSERT INTO invitation (code, uses_left, until_s) VALUES (?1, ?2, unixepoch() + ?3)";
    connection.execute(sql, params![hash(&code), uses, time_s])?;
    Ok(code)
}

/// Uses a code once. Whether it was good.
pub(super) fn redeem(connection: &Connection, code: &str) -> Result<bool, AccountsError> {
    let mut statement = connection.prepare_cached(
        "UPDATE invitation SET uses_left = uses_left - 1
         WHERE code = ?1 AND uses_left > 0 AND until_s > unixepoch()",
    )?;
    Ok(statement.execute([hash(code)])? > 0)
}

fn hash(code: &str) -> [u8; 32] {
    Sha256::digest(code.trim().as_bytes()).into()
}
