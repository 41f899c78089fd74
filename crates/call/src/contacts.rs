//! Whom the user knows, whether they are signed in, and the keys that names are known by (section 4; section 5, "Proof").

use std::collections::{BTreeMap, BTreeSet};

use ahoy_protocol::CONTACTS_MAX;
use ahoy_protocol::id::Username;
use ahoy_protocol::identity::PublicKey;
use ahoy_protocol::message::{self, ClientMessage};

use crate::view::ContactView;

/// What a name is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The key that signed first.
    pub key: PublicKey,
    /// Whether both people have read the same verification code to each other under this key.
    pub verified: bool,
}

impl Pin {
    /// A key that nobody has verified.
    #[must_use]
    pub fn unverified(key: PublicKey) -> Self {
        Self { key, verified: false }
    }
}

/// Contacts and pinned keys.
#[derive(Debug)]
pub(crate) struct Contacts {
    /// Who, and whether a device of theirs is signed in, where that is known.
    online: BTreeMap<Username, Option<bool>>,
    pins: BTreeMap<Username, Pin>,
    /// The last other key that each showed. Only of names with a pin, so these are as few.
    shown: BTreeMap<Username, PublicKey>,
    /// Whom the user wants to hear nothing of: whoever is on both lists is no contact.
    blocked: BTreeSet<Username>,
    allowed: bool,
}

impl Contacts {
    /// `me` decides whether there can be any: guests have none.
    pub(crate) fn new(me: &Username, usernames: BTreeSet<Username>, pins: BTreeMap<Username, Pin>) -> Self {
        let (online, shown, blocked) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let mut contacts = Self { online, pins, shown, blocked, allowed: !me.is_guest() };
        contacts.replace(usernames);
        contacts
    }

    /// Replaces the list; what is known of those who stay is kept. Beyond the contract's limit names are left out.
    pub(crate) fn replace(&mut self, usernames: BTreeSet<Username>) {
        if !self.allowed {
            return;
        }
        let mut earlier = std::mem::take(&mut self.online);
        let kept = usernames.into_iter().take(CONTACTS_MAX);
        self.online = kept.map(|name| (name.clone(), earlier.remove(&name).flatten())).collect();
    }

    /// Replaces the list of those who are blocked. Returns whether a contact is one of them now, or not any more.
    pub(crate) fn block(&mut self, usernames: BTreeSet<Username>) -> bool {
        let changed = |name: &Username| usernames.contains(name) != self.blocked.contains(name);
        let contacts_changed = self.online.keys().any(changed);
        for (_, online) in self.online.iter_mut().filter(|(name, _)| usernames.contains(*name)) {
            // From now on the server does not tell.
            *online = None;
        }
        self.blocked = usernames;
        contacts_changed
    }

    pub(crate) fn is_blocked(&self, username: &Username) -> bool {
        self.blocked.contains(username)
    }

    pub(crate) fn contains(&self, username: &Username) -> bool {
        self.online.contains_key(username) && !self.is_blocked(username)
    }

    /// The key that the name is known by.
    pub(crate) fn key(&self, username: &Username) -> Option<PublicKey> {
        self.known_by(username).map(|pin| pin.key)
    }

    /// What the name is known by.
    pub(crate) fn known_by(&self, username: &Username) -> Option<Pin> {
        self.pins.get(username).copied()
    }

    /// Whether the name is known by that key, and the key is verified.
    pub(crate) fn is_verified(&self, username: &Username, key: Option<PublicKey>) -> bool {
        self.known_by(username).is_some_and(|pin| pin.verified && Some(pin.key) == key)
    }

    /// Keeps a contact's first key. Returns whether it is new.
    pub(crate) fn pin(&mut self, username: &Username, key: PublicKey) -> bool {
        if !self.contains(username) || self.pins.contains_key(username) {
            return false;
        }
        self.pins.insert(username.clone(), Pin::unverified(key));
        true
    }

    /// Keeps whether that key is verified. Returns whether the name is known by it and this is news.
    pub(crate) fn set_verified(&mut self, username: &Username, key: PublicKey, verified: bool) -> bool {
        let pin = self.pins.get_mut(username).filter(|pin| pin.key == key && pin.verified != verified);
        pin.map(|pin| pin.verified = verified).is_some()
    }

    /// Keeps the other key that a known name showed.
    pub(crate) fn key_changed(&mut self, username: &Username, shown: PublicKey) {
        if self.pins.contains_key(username) {
            self.shown.insert(username.clone(), shown);
        }
    }

    /// Knows the name by the key that it showed. Returns whether that is the key which it showed last.
    pub(crate) fn trust_new_key(&mut self, username: &Username, key: PublicKey) -> bool {
        if self.shown.get(username) != Some(&key) {
            return false;
        }
        self.shown.remove(username);
        self.pins.insert(username.clone(), Pin::unverified(key));
        true
    }

    /// Takes note that a contact came or went. Returns whether it is one and this is news.
    pub(crate) fn set_online(&mut self, username: &Username, online: bool) -> bool {
        let is_contact = self.contains(username);
        is_contact && self.online.get_mut(username).is_some_and(|known| known.replace(online) != Some(online))
    }

    /// Without a link nothing is known of anybody.
    pub(crate) fn forget_presence(&mut self) {
        self.online.values_mut().for_each(|online| *online = None);
    }

    /// What the server is told; `None` for a guest, whom it would ignore.
    pub(crate) fn message(&self) -> Option<ClientMessage> {
        let contacts = self.online.keys().filter(|name| !self.is_blocked(name));
        let usernames = contacts.map(ToString::to_string).collect();
        self.allowed.then_some(ClientMessage::Contacts(message::Contacts { usernames }))
    }

    pub(crate) fn view(&self) -> Vec<ContactView> {
        let view = |(username, online): (&Username, &Option<bool>)| ContactView {
            username: username.clone(),
            online: *online,
            pinned: self.pins.contains_key(username),
            verified: self.known_by(username).is_some_and(|pin| pin.verified),
            shown_key: self.shown.get(username).copied(),
        };
        self.online.iter().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use ahoy_protocol::identity::Binary;

    use super::*;

    fn name(text: &str) -> Username {
        text.parse().unwrap()
    }

    #[test]
    fn a_contacts_key_is_pinned_once_and_a_strangers_never() {
        let mut contacts = Contacts::new(&name("alice"), [name("bob")].into(), BTreeMap::new());
        assert!(contacts.pin(&name("bob"), Binary([1; 32])));
        assert!(!contacts.pin(&name("bob"), Binary([2; 32])));
        assert_eq!(contacts.key(&name("bob")), Some(Binary([1; 32])));
        assert!(!contacts.pin(&name("carol"), Binary([3; 32])));
        assert_eq!(contacts.key(&name("carol")), None);
    }

    #[test]
    fn a_key_is_replaced_only_by_the_one_that_was_shown_and_is_not_verified_then() {
        let (bob, [old, new, other]) = (name("bob"), [1, 2, 3].map(|byte| Binary([byte; 32])));
        let mut contacts = Contacts::new(&name("alice"), [bob.clone()].into(), BTreeMap::new());
        contacts.key_changed(&bob, new);
        assert!(!contacts.trust_new_key(&bob, new), "nothing is known to have changed");
        assert!(contacts.pin(&bob, old));
        assert!(!contacts.set_verified(&bob, new, true), "another key");
        assert!(contacts.set_verified(&bob, old, true));
        assert!(contacts.is_verified(&bob, Some(old)) && !contacts.is_verified(&bob, None));
        contacts.key_changed(&bob, new);
        assert_eq!(contacts.view()[0].shown_key, Some(new));
        assert!(!contacts.trust_new_key(&bob, other));
        assert!(contacts.trust_new_key(&bob, new));
        assert!(!contacts.trust_new_key(&bob, new), "once");
        assert_eq!(contacts.known_by(&bob), Some(Pin::unverified(new)));
        assert_eq!(contacts.view()[0].shown_key, None);
    }

    #[test]
    fn a_guest_has_no_contacts() {
        let contacts = Contacts::new(&name("guest-1"), [name("bob")].into(), BTreeMap::new());
        assert!(!contacts.contains(&name("bob")));
        assert_eq!(contacts.message(), None);
    }

    #[test]
    fn presence_is_kept_for_those_who_stay_and_forgotten_with_the_link() {
        let mut contacts = Contacts::new(&name("alice"), [name("bob"), name("carol")].into(), BTreeMap::new());
        assert!(contacts.set_online(&name("bob"), true));
        assert!(!contacts.set_online(&name("bob"), true), "no news");
        assert!(!contacts.set_online(&name("dave"), true), "no contact");
        contacts.replace([name("bob"), name("dave")].into());
        let online: Vec<_> = contacts.view().into_iter().map(|contact| contact.online).collect();
        assert_eq!(online, [Some(true), None]);
        contacts.forget_presence();
        assert_eq!(contacts.view()[0].online, None);
    }

    #[test]
    fn a_list_beyond_the_contracts_limit_is_cut() {
        let many = (0..2_000).map(|i| name(&format!("u{i}"))).collect();
        let contacts = Contacts::new(&name("alice"), many, BTreeMap::new());
        assert_eq!(contacts.view().len(), CONTACTS_MAX);
    }
}
