//! The two people of a history.

use std::collections::BTreeSet;

use ahoy_protocol::id::Username;
use ahoy_protocol::identity::IdentityKey;

use crate::random::Random;

pub(crate) struct User {
    pub(crate) name: Username,
    /// `None` for a guest.
    pub(crate) key: Option<IdentityKey>,
    pub(crate) contacts: BTreeSet<Username>,
}

pub(crate) fn make_users(random: &mut Random) -> Vec<User> {
    // A share signs for real; the others are guests, who are cheap.
    let kinds = match random.below(10) {
        0 => (true, true),
        1 => (true, false),
        2 => (false, true),
        _ => (false, false),
    };
    let (alice, bob) = (if kinds.0 { "alice" } else { "guest-a" }, if kinds.1 { "bob" } else { "guest-b" });
    let names: [Username; 2] = [alice.parse().unwrap(), bob.parse().unwrap()];
    let knows = [random.percent(70), random.percent(70)];
    let user = |index: usize, keyed: bool| User {
        name: names[index].clone(),
        key: keyed.then(|| IdentityKey::from_secret(&[u8::try_from(index).unwrap() + 1; 32])),
        contacts: if knows[index] { [names[1 - index].clone()].into() } else { BTreeSet::new() },
    };
    vec![user(0, kinds.0), user(1, kinds.1)]
}
