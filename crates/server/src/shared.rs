//! What all connections share: the configuration, the registry, the counters and the way out to each connection.
//!
//! The registry stands behind a plain lock, not behind a task: one call into it is a pure change of a microsecond or
//! so, shorter than the way to another task, and there is no queue before it that one noisy client could fill. What a
//! change tells whom is put into the outboxes before the lock is let go, so everybody sees changes in one order.
//! No lock is held across an `.await`. Order: registry, then outbox; the counters are taken alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::Username;
use ahoy_protocol::message::{Presence, ServerMessage};
use serde_json::Value;

use crate::config::Config;
use crate::limits::{Counter, Network};
use crate::outbox::{End, Outbox};
use crate::registry::{News, Notice, Registry};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    registry: Mutex<Registry<Arc<Outbox>>>,
    counters: Mutex<Counters>,
    open: Mutex<HashMap<u64, Arc<Outbox>>>,
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

/// An open connection's outbox; closed for good when this is dropped.
#[derive(Debug)]
pub(crate) struct OpenOutbox {
    shared: Arc<Shared>,
    number: u64,
    outbox: Arc<Outbox>,
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

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry<Arc<Outbox>>> {
        lock(&self.registry)
    }

    pub(crate) fn counters(&self) -> MutexGuard<'_, Counters> {
        lock(&self.counters)
    }

    /// The outbox of a new connection; `number` is not used twice.
    pub(crate) fn open_outbox(self: &Arc<Self>, number: u64) -> OpenOutbox {
        let outbox = Arc::new(Outbox::new(self.config.limits.waiting_bytes));
        lock(&self.open).insert(number, Arc::clone(&outbox));
        OpenOutbox { shared: Arc::clone(self), number, outbox }
    }

    /// Ends every connection.
    pub(crate) fn end_all(&self) {
        for outbox in lock(&self.open).values() {
            outbox.end(End::GoingAway);
        }
    }
}

impl OpenOutbox {
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for OpenOutbox {
    fn drop(&mut self) {
        lock(&self.shared.open).remove(&self.number);
    }
}

/// Tells people their news. To be called while the registry that made them is still locked.
pub(crate) fn deliver(notices: impl IntoIterator<Item = Notice<Arc<Outbox>>>) {
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
