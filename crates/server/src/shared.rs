//! What all connections share: the configuration, the registry, the counters and the way out to each connection.
//!
//! The registry stands behind a plain lock, not behind a task: one call into it is a pure change of a microsecond or
//! so, shorter than the way to another task, and there is no queue before it that one noisy client could fill. What a
//! change tells whom is put into the mailboxes before the lock is let go, so everybody sees changes in one order.
//! No lock is held across an `.await`. Order: registry, then mailbox; the counters are taken alone.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::Username;
use ahoy_protocol::message::{Presence, ServerMessage};
use serde_json::Value;

use crate::accounts::AccountsError;
use crate::config::Config;
use crate::gate::Gate;
use crate::limits::{Buckets, Counter, Network, SITE_NETWORKS, Sender, SharedBuckets};
use crate::mailbox::{End, Mailbox};
use crate::metrics::Metrics;
use crate::registry::{News, Notice, Registry};

#[derive(Debug)]
pub(crate) struct Shared {
    // Before the accounts: what nobody heard when the server ends is still noted there.
    open: Mutex<HashMap<u64, Arc<Mailbox>>>,
    registry: Mutex<Registry<Arc<Mailbox>>>,
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    counters: Mutex<Counters>,
    gate: Mutex<Gate>,
    buckets: Mutex<Buckets>,
    /// Bytes in all mailboxes.
    held: Arc<AtomicUsize>,
}

/// How many there are now.
#[derive(Debug)]
pub(crate) struct Sizes {
    pub(crate) connections: usize,
    pub(crate) unsigned: usize,
    pub(crate) sessions: usize,
    pub(crate) lingering: usize,
    pub(crate) users: usize,
}

/// The limits that outlive a connection.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) failed_logins: Counter<Network>,
    pub(crate) new_names: Counter<Network>,
    pub(crate) new_guests: Counter<Network>,
    /// By caller: whom each offer was for.
    pub(crate) offers: Counter<Caller, Username>,
    pub(crate) unanswerable: Counter<Caller>,
}

/// Whose calls are counted together. A guest takes another name whenever it likes, so that it is its address that counts,
/// but for loopback, where many may come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    Named(Username),
    GuestsOf(Network),
}

impl Caller {
    /// It, and the site that a guest is from; each with how many callers' allowance it has.
    pub(crate) fn with_site(&self) -> impl Iterator<Item = (Self, usize)> {
        let site = match self {
            Self::Named(_) => None,
            Self::GuestsOf(network) => network.site().map(|site| (Self::GuestsOf(site), SITE_NETWORKS)),
        };
        [Some((self.clone(), 1)), site].into_iter().flatten()
    }
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
            new_guests: Counter::new(limits.new_guests),
            offers: Counter::new(limits.offers),
            unanswerable: Counter::new(limits.unanswerable),
        };
        // Half of all places are kept for those who sign in.
        let gate = Mutex::new(Gate::new(config.connections_max.div_ceil(2), limits.unsigned));
        let buckets = Mutex::new(Buckets::new(limits.network_messages, limits.unsigned_messages));
        let registry = Mutex::new(Registry::new(limits.guests));
        let (open, counters, held) = (Mutex::default(), Mutex::new(counters), Arc::default());
        Self { open, registry, config, metrics: Metrics::default(), counters, gate, buckets, held }
    }

    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        lock(&self.gate)
    }

    /// A client's address is known, which a reverse proxy tells only with its request.
    pub(crate) fn locate(&self, number: u64, address: IpAddr) {
        let network = Network::from(address);
        if !network.is_loopback() {
            let sent_away = self.gate().set_network(number, network);
            self.metrics.connections_sent_away.add(sent_away);
        }
    }

    /// What all who are this to the server may send from a network together, if it is limited.
    pub(crate) fn buckets_of(&self, network: Network, sender: Sender) -> SharedBuckets {
        if network.is_loopback() { SharedBuckets::default() } else { lock(&self.buckets).of(network, sender, now()) }
    }

    pub(crate) fn sizes(&self) -> Sizes {
        let connections = lock(&self.open).len();
        let unsigned = self.gate().len();
        let (users, sessions, lingering) = self.registry().sizes();
        Sizes { connections, unsigned, sessions, lingering, users }
    }

    /// Ends the sessions whose name the operator took from their key.
    pub(crate) async fn check_owners(&self) -> Result<(), AccountsError> {
        let owners = self.registry().owners();
        for (who, key) in owners {
            if self.config.accounts.key_of(&who.address.username).await? == Some(key) {
                continue;
            }
            tracing::info!(address = %who.address, "the operator took this name away");
            let mut registry = self.registry();
            if let Some(mailbox) = registry.link(&who) {
                mailbox.end(End::Unbound);
            }
            deliver(registry.sign_out(&who));
        }
        Ok(())
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry<Arc<Mailbox>>> {
        lock(&self.registry)
    }

    pub(crate) fn counters(&self) -> MutexGuard<'_, Counters> {
        lock(&self.counters)
    }

    /// The line of a new connection; `number` is not used twice.
    pub(crate) fn open_line(self: &Arc<Self>, number: u64) -> Line {
        let mailbox = Arc::new(Mailbox::new(&self.config.limits, Arc::clone(&self.held), now()));
        lock(&self.open).insert(number, Arc::clone(&mailbox));
        Line { shared: Arc::clone(self), number, mailbox }
    }

    /// Ends the sessions whose clients did not come back in time.
    pub(crate) fn expire(&self) {
        let mut registry = self.registry();
        deliver(registry.expire(now(), self.config.timing.linger, self.config.connections_max));
    }

    /// Where more waits in all mailboxes together than may: those in which most waits lose it, until a quarter of what may wait
    /// is free. No lock of the registry or of a mailbox may be held.
    pub(crate) fn relieve(&self) {
        let most = self.config.limits.held_bytes;
        if self.held.load(Relaxed) <= most {
            return;
        }
        let mut mailboxes: Vec<Arc<Mailbox>> = lock(&self.open).values().cloned().collect();
        mailboxes.extend(self.registry().links().cloned());
        mailboxes.sort_by_cached_key(|mailbox| Reverse(mailbox.held()));
        // So that it is enough however many there are.
        let fair = most / 4 * 3 / mailboxes.len().max(1);
        let mut relieved = 0_usize;
        for mailbox in mailboxes {
            if self.held.load(Relaxed) <= most / 4 * 3 {
                break;
            }
            mailbox.shed(fair);
            relieved += 1;
        }
        tracing::warn!(
            relieved,
            "too much waits for clients that do not read or are away; what waits for the largest is dropped"
        );
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

    /// The connection's number.
    pub(crate) fn number(&self) -> u64 {
        self.number
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
        to.push(text_of(&match news {
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
