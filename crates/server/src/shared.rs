//! What all connections share: the configuration, the registry, the counters and the way out to each connection.
//!
//! The registry stands behind a plain lock, not behind a task: one call into it is a pure change of a microsecond or
//! so, shorter than the way to another task, and there is no queue before it that one noisy client could fill. What a
//! change tells whom is put into the mailboxes before the lock is let go, so everybody sees changes in one order.
//! No lock is held across an `.await`. Order: registry, then mailbox; the counters are taken alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::Username;
use ahoy_protocol::message::{Presence, ServerMessage};
use serde_json::Value;

use crate::config::Config;
use crate::limits::{Counter, Network};
use crate::mailbox::{End, Mailbox};
use crate::registry::{News, Notice, Registry};

#[derive(Debug)]
pub(crate) struct Shared {
    // Before the accounts: what nobody heard when the server ends is still noted there.
    open: Mutex<HashMap<u64, Arc<Mailbox>>>,
    registry: Mutex<Registry<Arc<Mailbox>>>,
    pub(crate) config: Config,
    counters: Mutex<Counters>,
}

/// The limits that outlive a connection.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) failed_logins: Counter<Network>,
    pub(crate) new_names: Counter<Network>,
    /// By caller: whom each offer was for.
    pub(crate) offers: Counter<Username, Username>,
    pub(crate) unanswerable: Counter<Username>,
}

/// An open connection's way to its mailbox: at first its own, then that of the session which it goes on with. Closed
/// for good when this is dropped.
#[derive(Debug)]
pub(crate) struct Line {
    shared: Arc<Shared>,
    number: u64,
    mailbox: Arc<Mailbox>,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        let limits = &config.limits;
        let counters = Counters {
            failed_logins: Counter::new(limits.failed_logins),
            new_names: Counter::new(limits.new_names),
            offers: Counter::new(limits.offers),
            unanswerable: Counter::new(limits.unanswerable),
        };
        let counters = Mutex::new(counters);
        Self { config, registry: Mutex::new(Registry::new()), counters, open: Mutex::default() }
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry<Arc<Mailbox>>> {
        lock(&self.registry)
    }

    pub(crate) fn counters(&self) -> MutexGuard<'_, Counters> {
        lock(&self.counters)
    }

    /// The line of a new connection; `number` is not used twice.
    pub(crate) fn open_line(self: &Arc<Self>, number: u64) -> Line {
        let mailbox = Arc::new(Mailbox::new(&self.config.limits, now()));
        lock(&self.open).insert(number, Arc::clone(&mailbox));
        Line { shared: Arc::clone(self), number, mailbox }
    }

    /// Ends the sessions whose clients did not come back in time.
    pub(crate) fn expire(&self) {
        let mut registry = self.registry();
        deliver(registry.expire(now(), self.config.timing.linger, self.config.connections_max));
    }

    /// Ends every connection.
    pub(crate) fn end_all(&self) {
        for mailbox in lock(&self.open).values() {
            mailbox.end(End::GoingAway);
        }
    }
}

impl Line {
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// From now on this connection is that of another mailbox, whose old connection is gone.
    pub(crate) fn switch_to(&mut self, mailbox: Arc<Mailbox>) {
        lock(&self.shared.open).insert(self.number, Arc::clone(&mailbox));
        self.mailbox = mailbox;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        lock(&self.shared.open).remove(&self.number);
    }
}

/// Tells people their news. To be called while the registry that made them is still locked.
pub(crate) fn deliver(notices: impl IntoIterator<Item = Notice<Arc<Mailbox>>>) {
    for Notice { to, news } in notices {
        to.push(&text_of(&match news {
            News::Presence { username, online } => ServerMessage::Presence(Presence { username, online }),
            News::Offline { username, call } => ServerMessage::Error(ErrorMessage {
                code: ErrorCode::Offline,
                message: format!("{username} is no longer signed in"),
                call: Some(call.to_string()),
                retry_s: None,
            }),
        }));
    }
}

/// A message as it goes out, but for its number.
pub(crate) fn text_of(message: &ServerMessage) -> String {
    Value::Object(message.to_object()).to_string()
}

/// The clock, for what takes `now` as an argument.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under a lock is a bug that ends one connection; the others go on with what is there.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
