//! Calls that were missed while no device of the callee was signed in (section 6): merged by caller, the latest 100,
//! for 30 days, until the callee has been told. Of guests the latest 20, which take no place of those who have a name:
//! anybody can call as any number of guests.

use std::sync::Weak;
use std::time::Duration;

use ahoy_protocol::MISSED_CALLS_MAX;
use ahoy_protocol::id::Username;
use ahoy_protocol::message::MissedCall;
use rusqlite::{Connection, params};
use tokio::sync::mpsc;

use super::{AccountsError, Question};

const DAYS_MAX: i64 = 30;
const GUESTS_MAX: i64 = 20;
const DAY_S: i64 = 24 * 3_600;

/// Where missed calls are noted without waiting for the disk. It keeps no accounts open.
#[derive(Debug, Clone)]
pub(crate) struct MissedBook(pub(super) Weak<mpsc::Sender<Question>>);

/// One caller's missed calls as a device was told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) call: MissedCall,
    /// When the first of them was, which tells them from later ones of the same caller.
    first_at_s: i64,
}

/// One call that nobody heard.
#[derive(Debug)]
pub(super) struct Missed {
    callee: Username,
    caller: Username,
    video: bool,
    ago_s: i64,
}

impl MissedBook {
    /// Notes a call made so long ago. Only names that are bound have missed calls.
    pub(crate) fn note(&self, callee: &Username, caller: &Username, video: bool, ago: Duration) {
        let ago_s = i64::try_from(ago.as_secs()).unwrap_or(i64::MAX);
        self.ask(Question::NoteMissed(Missed { callee: callee.clone(), caller: caller.clone(), video, ago_s }));
    }

    /// The callee has been told.
    pub(crate) fn forget(&self, callee: &Username, told: &[Told]) {
        self.ask(Question::ForgetMissed(callee.clone(), told.to_vec()));
    }

    fn ask(&self, question: Question) {
        let Some(questions) = self.0.upgrade() else { return };
        if questions.try_send(question).is_err() {
            tracing::warn!("the account database is too slow: a missed call is not noted, or told twice");
        }
    }
}

pub(super) fn note(connection: &Connection, missed: &Missed) -> Result<(), AccountsError> {
    let Missed { callee, caller, video, ago_s } = missed;
    connection
        .prepare_cached(
            "INSERT INTO missed (callee, caller, first_at_s, at_s, video, count)
             SELECT ?1, ?2, unixepoch() - ?3, unixepoch() - ?3, ?4, 1 WHERE EXISTS (SELECT 1 FROM account WHERE username = ?1)
             ON CONFLICT (callee, caller) DO UPDATE SET
                 at_s = excluded.at_s, video = excluded.video, count = min(count + 1, 4294967295)",
        )?
        .execute(params![callee.as_str(), caller.as_str(), ago_s, video])?;
    connection
        .prepare_cached(
            "DELETE FROM missed WHERE callee = ?1 AND (at_s < unixepoch() - ?2 OR caller NOT IN
                 (SELECT caller FROM
                     (SELECT caller, row_number() OVER (PARTITION BY caller GLOB 'guest-*' ORDER BY at_s DESC, caller) AS place
                      FROM missed WHERE callee = ?1)
                  WHERE place <= iif(caller GLOB 'guest-*', ?4, ?3)))",
        )?
        .execute(params![callee.as_str(), DAYS_MAX * DAY_S, limit(), GUESTS_MAX])?;
    Ok(())
}

/// Newest first.
pub(super) fn by(connection: &Connection, callee: &Username) -> Result<Vec<Told>, AccountsError> {
    let mut statement = connection.prepare_cached(
        "SELECT caller, strftime('%Y-%m-%dT%H:%M:%SZ', at_s, 'unixepoch'), video, count, first_at_s FROM
             (SELECT * FROM missed WHERE callee = ?1 AND at_s >= unixepoch() - ?2
              ORDER BY caller GLOB 'guest-*', at_s DESC, caller LIMIT ?3)
         ORDER BY at_s DESC, caller",
    )?;
    let rows = statement.query_map(params![callee.as_str(), DAYS_MAX * DAY_S, limit()], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    })?;
    let mut told = Vec::new();
    for row in rows {
        let (from, at, video, count, first_at_s) = row?;
        // Written by this program alone, but by hand as well as any file.
        if let Ok(from) = from.parse() {
            told.push(Told { call: MissedCall { from, at, video, count }, first_at_s });
        }
    }
    Ok(told)
}

/// Calls that came since they were told stay.
pub(super) fn forget(connection: &Connection, callee: &Username, told: &[Told]) -> Result<(), AccountsError> {
    let transaction = connection.unchecked_transaction()?;
    for Told { call, first_at_s } in told {
        let known = params![callee.as_str(), call.from.as_str(), first_at_s, call.count];
        transaction
            .prepare_cached("DELETE FROM missed WHERE callee = ?1 AND caller = ?2 AND first_at_s = ?3 AND count <= ?4")?
            .execute(known)?;
        transaction
            .prepare_cached(
                "UPDATE missed SET count = count - ?4, first_at_s = at_s
                 WHERE callee = ?1 AND caller = ?2 AND first_at_s = ?3",
            )?
            .execute(known)?;
    }
    Ok(transaction.commit()?)
}

/// Those older than anybody is told of, of all callees.
pub(super) fn forget_old(connection: &Connection) -> Result<(), AccountsError> {
    connection.execute("DELETE FROM missed WHERE at_s < unixepoch() - ?1", [DAYS_MAX * DAY_S])?;
    Ok(())
}

fn limit() -> i64 {
    i64::try_from(MISSED_CALLS_MAX).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{bind, schema};
    use ahoy_protocol::identity::Binary;

    fn book_of_bob() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        schema::prepare(&connection).unwrap();
        bind(&connection, &name("bob"), Binary([1; 32]), None).unwrap();
        connection
    }

    fn name(text: &str) -> Username {
        text.parse().unwrap()
    }

    fn miss(connection: &Connection, caller: &str, video: bool, ago_s: i64) {
        note(connection, &Missed { callee: name("bob"), caller: name(caller), video, ago_s }).unwrap();
    }

    fn told(connection: &Connection) -> Vec<(String, bool, u32)> {
        let told = by(connection, &name("bob")).unwrap();
        told.into_iter().map(|told| (told.call.from.to_string(), told.call.video, told.call.count)).collect()
    }

    #[test]
    fn calls_are_merged_by_caller_newest_first_for_30_days() {
        let connection = book_of_bob();
        miss(&connection, "carol", true, 500);
        miss(&connection, "dave", true, 400);
        miss(&connection, "carol", false, 300);
        miss(&connection, "eve", false, DAYS_MAX * DAY_S + 5);
        assert_eq!(told(&connection), [("carol".into(), false, 2), ("dave".into(), true, 1)]);
        note(&connection, &Missed { callee: name("nobody"), caller: name("carol"), video: true, ago_s: 0 }).unwrap();
        assert!(by(&connection, &name("nobody")).unwrap().is_empty(), "not bound");
    }

    #[test]
    fn a_hundred_callers_are_remembered() {
        let connection = book_of_bob();
        for number in 0..150 {
            miss(&connection, &format!("caller-{number}"), true, 1_000 - number);
        }
        let told = told(&connection);
        assert_eq!((told.len(), told[0].0.as_str(), told[99].0.as_str()), (100, "caller-149", "caller-50"));
        let rows: i64 = connection.query_row("SELECT count(*) FROM missed", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 100);
    }

    #[test]
    fn guests_take_no_place_of_those_who_have_a_name() {
        let connection = book_of_bob();
        for number in 0..95 {
            miss(&connection, &format!("caller-{number}"), true, 2_000);
        }
        for number in 0..150 {
            miss(&connection, &format!("guest-{number}"), true, 1_000 - number);
        }
        let told = told(&connection);
        let guests = told.iter().filter(|(caller, ..)| caller.starts_with("guest-")).count();
        assert_eq!((told.len(), guests, told[0].0.as_str()), (100, 5, "guest-149"));
        let rows: i64 = connection.query_row("SELECT count(*) FROM missed", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 115);
    }

    #[test]
    fn what_came_after_it_was_told_is_told_the_next_time() {
        let connection = book_of_bob();
        miss(&connection, "carol", true, 500);
        miss(&connection, "dave", true, 400);
        let first = by(&connection, &name("bob")).unwrap();
        miss(&connection, "carol", true, 100);
        forget(&connection, &name("bob"), &first).unwrap();
        assert_eq!(told(&connection), [("carol".into(), true, 1)]);
        // Another device's late word about the first time changes nothing.
        forget(&connection, &name("bob"), &first).unwrap();
        assert_eq!(told(&connection), [("carol".into(), true, 1)]);
        forget(&connection, &name("bob"), &by(&connection, &name("bob")).unwrap()).unwrap();
        assert!(told(&connection).is_empty());
    }
}
