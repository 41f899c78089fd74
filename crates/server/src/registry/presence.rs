//! Who lists whom, over all sessions: what makes presence mutual (section 4). Not whom to tell.

use std::collections::HashMap;

use ahoy_protocol::id::Username;

/// How many of a user's sessions list another. No entry is zero.
#[derive(Debug, Default)]
pub(super) struct Listings {
    by_listed: HashMap<Username, HashMap<Username, u32>>,
}

impl Listings {
    /// One more session of `lister` lists `listed`.
    pub(super) fn add(&mut self, lister: &Username, listed: &Username) {
        *self.by_listed.entry(listed.clone()).or_default().entry(lister.clone()).or_default() += 1;
    }

    /// One session of `lister` less lists `listed`.
    pub(super) fn remove(&mut self, lister: &Username, listed: &Username) {
        let Some(listers) = self.by_listed.get_mut(listed) else { return };
        let Some(sessions) = listers.get_mut(lister) else { return };
        *sessions = sessions.saturating_sub(1);
        if *sessions == 0 {
            listers.remove(lister);
        }
        if listers.is_empty() {
            self.by_listed.remove(listed);
        }
    }

    /// Whether each lists the other, which only one who is signed in can.
    pub(super) fn mutual(&self, a: &Username, b: &Username) -> bool {
        self.lists(a, b) && self.lists(b, a)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_listed.is_empty()
    }

    fn lists(&self, lister: &Username, listed: &Username) -> bool {
        self.by_listed.get(listed).is_some_and(|listers| listers.contains_key(lister))
    }
}
