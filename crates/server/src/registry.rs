//! Who is here and whom to tell: signed-in sessions, mutual presence, and the opening offers that still wait for an
//! answer (sections 3 to 5 of `docs/signaling.md`). Pure: no socket, no clock, no text; it never looks into an `L`,
//! the link by which a session is reached.

mod calls;
mod contacts;
mod lingering;
mod opening;
mod presence;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use ahoy_protocol::SESSIONS_MAX;
use ahoy_protocol::id::{CallId, DeviceAddress, SessionId, Username};
use ahoy_protocol::identity::PublicKey;
use subtle::ConstantTimeEq as _;

use crate::limits::Network;
use lingering::Lingering;
use opening::Openings;
use presence::Listings;

/// All of it. One call is one change: whoever holds the registry sees sessions, presence and openings agree.
#[derive(Debug)]
pub(crate) struct Registry<L> {
    users: HashMap<Username, User<L>>,
    listings: Listings,
    last_serial: u64,
    lingering: Lingering,
    /// How many sessions of guests each network has, at most `guests_max`, and each site.
    guests: HashMap<Network, usize>,
    guests_max: usize,
}

/// A user with at least one session.
#[derive(Debug)]
struct User<L> {
    /// In the order of their signing in; at most [`SESSIONS_MAX`].
    sessions: Vec<Session<L>>,
    openings: Openings,
}

#[derive(Debug)]
struct Session<L> {
    id: SessionId,
    serial: u64,
    resume: String,
    link: L,
    /// The key that signed in; guests have none.
    key: Option<PublicKey>,
    /// Where a guest came from, if guests from there are counted.
    guest_of: Option<Network>,
    contacts: HashSet<Username>,
    /// Since when it has no connection.
    gone_at: Option<Instant>,
}

/// One sign-in: the device, and which of its sign-ins, so that a replaced one can do nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedIn {
    pub(crate) address: DeviceAddress,
    serial: u64,
}

/// A sign-in done.
#[derive(Debug)]
pub(crate) struct Entry<L> {
    pub(crate) who: SignedIn,
    /// The link of the same device's earlier session, which this one took the place of.
    pub(crate) replaced: Option<L>,
    pub(crate) notices: Vec<Notice<L>>,
}

/// Why a sign-in cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another session has this guest's name.
    NameInUse,
    /// The user has as many sessions as there may be.
    TooManySessions,
    /// As many guests as may be are here from the same network.
    TooManyGuests,
}

/// Something that a session is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice<L> {
    pub(crate) to: L,
    pub(crate) news: News,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// A contact came or went.
    Presence { username: Username, online: bool },
    /// The last device that an opening offer reached is gone.
    Offline { username: Username, call: CallId },
}

impl<L: Clone> Registry<L> {
    /// At most `guests_max` guests are here from one network.
    pub(crate) fn new(guests_max: usize) -> Self {
        let (listings, lingering) = (Listings::default(), Lingering::default());
        Self { users: HashMap::new(), listings, last_serial: 0, lingering, guests: HashMap::new(), guests_max }
    }

    /// Signs a device in; its earlier session, if there is one, ends. `shown` is the resume token that came with the
    /// sign-in, `resume` the one to show next time. It comes with its key, or from a network where guests are counted.
    pub(crate) fn sign_in(
        &mut self,
        address: DeviceAddress,
        shown: Option<&str>,
        resume: String,
        (key, guest_of): (Option<PublicKey>, Option<Network>),
        link: L,
    ) -> Result<Entry<L>, Refused> {
        let earlier = self.check(&address, shown)?;
        let mut notices = match earlier {
            Some(_) => Vec::new(),
            None if guest_of.is_some_and(|network| self.is_full_of_guests(network)) => {
                return Err(Refused::TooManyGuests);
            }
            None => self.make_room(&address.username)?,
        };
        let replaced = earlier.and_then(|serial| {
            let earlier = SignedIn { address: address.clone(), serial };
            let link = self.session(&earlier)?.link.clone();
            notices = self.sign_out(&earlier);
            Some(link)
        });
        self.last_serial += 1;
        let serial = self.last_serial;
        let user = self.users.entry(address.username.clone()).or_insert_with(User::new);
        let (id, contacts) = (address.session, HashSet::new());
        user.sessions.push(Session { id, serial, resume, link, key, guest_of, contacts, gone_at: None });
        for (network, _) in guest_of.into_iter().flat_map(Network::with_site) {
            *self.guests.entry(network).or_default() += 1;
        }
        Ok(Entry { who: SignedIn { address, serial }, replaced, notices })
    }

    /// The session that a device may go on with: its own, shown by its token.
    pub(crate) fn returning(&self, address: &DeviceAddress, shown: &str) -> Option<(SignedIn, L)> {
        let sessions = &self.users.get(&address.username)?.sessions;
        let session = sessions.iter().find(|session| session.id == address.session)?;
        let who = SignedIn { address: address.clone(), serial: session.serial };
        session.is_shown_by(shown).then(|| (who, session.link.clone()))
    }

    /// A session's connection is gone. It lingers, and for all others nothing changes until it ends.
    pub(crate) fn detach(&mut self, who: &SignedIn, now: Instant) {
        let Some(session) = self.session_mut(who) else { return };
        if let Some(earlier) = session.gone_at.replace(now) {
            self.lingering.remove(earlier, who);
        }
        self.lingering.insert(now, who.clone());
    }

    /// A session has a connection again.
    pub(crate) fn attach(&mut self, who: &SignedIn) {
        if let Some(since) = self.session_mut(who).and_then(|session| session.gone_at.take()) {
            self.lingering.remove(since, who);
        }
    }

    /// Ends the sessions that have had no connection for `linger`, and if there are more than `most` the oldest of them,
    /// guests first.
    pub(crate) fn expire(&mut self, now: Instant, linger: Duration, most: usize) -> Vec<Notice<L>> {
        let mut notices = Vec::new();
        while let Some(who) = self.lingering.take_due(now, linger, most) {
            notices.extend(self.sign_out(&who));
        }
        notices
    }

    /// Ends a session; nothing if it was replaced.
    pub(crate) fn sign_out(&mut self, who: &SignedIn) -> Vec<Notice<L>> {
        let Some(Session { gone_at, guest_of, .. }) = self.session(who) else { return Vec::new() };
        let (gone_at, guest_of) = (*gone_at, *guest_of);
        if let Some(since) = gone_at {
            self.lingering.remove(since, who);
        }
        for (network, _) in guest_of.into_iter().flat_map(Network::with_site) {
            if let Some(count) = self.guests.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    self.guests.remove(&network);
                }
            }
        }
        let mut notices = self.list(who, HashSet::new()).for_others;
        let username = &who.address.username;
        let Some(user) = self.users.get_mut(username) else { return notices };
        user.sessions.retain(|session| session.serial != who.serial);
        let lost = user.openings.session_ended(who.address.session);
        if user.sessions.is_empty() {
            self.users.remove(username);
        }
        notices.extend(lost.into_iter().filter_map(|opening| self.offline(username, &opening)));
        notices
    }

    /// How many users, sessions, and of these such without a connection there are.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let sessions = || self.users.values().flat_map(|user| &user.sessions);
        (self.users.len(), sessions().count(), sessions().filter(|session| session.gone_at.is_some()).count())
    }

    /// Who is here with which key.
    pub(crate) fn owners(&self) -> Vec<(SignedIn, PublicKey)> {
        let owners = self.users.iter().flat_map(|(username, user)| {
            user.sessions.iter().filter_map(|session| {
                let address = DeviceAddress { username: username.clone(), session: session.id };
                Some((SignedIn { address, serial: session.serial }, session.key?))
            })
        });
        owners.collect()
    }

    /// The ways to all sessions.
    pub(crate) fn links(&self) -> impl Iterator<Item = &L> {
        self.users.values().flat_map(|user| &user.sessions).map(|session| &session.link)
    }

    /// How a session is reached.
    pub(crate) fn link(&self, who: &SignedIn) -> Option<L> {
        Some(self.session(who)?.link.clone())
    }

    /// Whether this sign-in still stands.
    pub(crate) fn is_current(&self, who: &SignedIn) -> bool {
        self.session(who).is_some()
    }

    /// Whether `address` may sign in, and the serial of the session whose place it takes.
    fn check(&self, address: &DeviceAddress, shown: Option<&str>) -> Result<Option<u64>, Refused> {
        let Some(user) = self.users.get(&address.username) else { return Ok(None) };
        let earlier = user.sessions.iter().find(|session| session.id == address.session);
        if address.username.is_guest() {
            // A guest has no key: what shows that it is the same one is the token that only it was given.
            let same = earlier.filter(|session| shown.is_some_and(|shown| session.is_shown_by(shown)));
            return same.map(|session| Some(session.serial)).ok_or(Refused::NameInUse);
        }
        Ok(earlier.map(|session| session.serial))
    }

    fn is_full_of_guests(&self, network: Network) -> bool {
        let count = |network: &Network| self.guests.get(network).copied().unwrap_or(0);
        network.with_site().any(|(network, many)| count(&network) >= self.guests_max.saturating_mul(many))
    }

    /// Room for one more session: where there are as many as may be, the one that has lingered longest ends.
    fn make_room(&mut self, username: &Username) -> Result<Vec<Notice<L>>, Refused> {
        let sessions = self.users.get(username).map_or(&[][..], |user| &user.sessions);
        if sessions.len() < SESSIONS_MAX {
            return Ok(Vec::new());
        }
        let gone = sessions.iter().filter(|session| session.gone_at.is_some());
        let oldest = gone.min_by_key(|session| session.gone_at).ok_or(Refused::TooManySessions)?;
        let address = DeviceAddress { username: username.clone(), session: oldest.id };
        Ok(self.sign_out(&SignedIn { address, serial: oldest.serial }))
    }

    fn session(&self, who: &SignedIn) -> Option<&Session<L>> {
        let sessions = &self.users.get(&who.address.username)?.sessions;
        sessions.iter().find(|session| session.serial == who.serial)
    }

    fn session_mut(&mut self, who: &SignedIn) -> Option<&mut Session<L>> {
        let sessions = &mut self.users.get_mut(&who.address.username)?.sessions;
        sessions.iter_mut().find(|session| session.serial == who.serial)
    }
}

impl<L> Session<L> {
    /// Whether `token` is this session's. How long the answer takes says nothing of where they differ.
    fn is_shown_by(&self, token: &str) -> bool {
        self.resume.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

impl<L> User<L> {
    fn new() -> Self {
        // Most have one.
        Self { sessions: Vec::with_capacity(1), openings: Openings::default() }
    }
}

#[cfg(test)]
mod tests;
