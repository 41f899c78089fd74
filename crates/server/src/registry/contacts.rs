//! Contact lists, and what a change of one tells whom: presence is mutual (section 4).

use std::collections::HashSet;

use ahoy_protocol::id::Username;

use super::{News, Notice, Registry, SignedIn};

/// What replacing a list changes.
pub(super) struct Changes<L> {
    /// Of whom the session itself is told no more.
    lost: Vec<Username>,
    pub(super) for_others: Vec<Notice<L>>,
}

impl<L: Clone> Registry<L> {
    /// Replaces a session's contact list. The session is told of each contact in it that is there for it, and of each
    /// that no longer is; others are told what changed for them.
    pub(crate) fn contacts(&mut self, who: &SignedIn, mut usernames: HashSet<Username>) -> Vec<Notice<L>> {
        let Some(link) = self.session(who).map(|session| session.link.clone()) else { return Vec::new() };
        let me = &who.address.username;
        usernames.remove(me);
        let Changes { lost, for_others: mut notices } = self.list(who, usernames);
        let gone = lost.into_iter().map(|username| News::Presence { username, online: false });
        let listed = self.session(who).into_iter().flat_map(|session| &session.contacts);
        let here = listed.filter(|username| self.listings.mutual(me, username)).cloned();
        let here = here.map(|username| News::Presence { username, online: true });
        notices.extend(gone.chain(here).map(|news| Notice { to: link.clone(), news }));
        notices
    }

    /// Replaces a session's list. What goes only from this session's list changes nothing for others as long as another
    /// session of the same user has it.
    pub(super) fn list(&mut self, who: &SignedIn, new: HashSet<Username>) -> Changes<L> {
        let mut changes = Changes { lost: Vec::new(), for_others: Vec::new() };
        let me = &who.address.username;
        let Some(session) = self.session_mut(who) else { return changes };
        let old = std::mem::take(&mut session.contacts);

        for username in old.difference(&new) {
            let was_mutual = self.listings.mutual(me, username);
            self.listings.remove(me, username);
            if was_mutual {
                changes.lost.push(username.clone());
            }
            if was_mutual && !self.listings.mutual(me, username) {
                changes.for_others.extend(self.tell_of(me, username, false));
            }
        }
        for username in new.difference(&old) {
            let was_mutual = self.listings.mutual(me, username);
            self.listings.add(me, username);
            if !was_mutual && self.listings.mutual(me, username) {
                changes.for_others.extend(self.tell_of(me, username, true));
            }
        }
        // Not earlier, so that nothing is copied while everybody waits: nobody lists himself, nor is told of himself.
        if let Some(session) = self.session_mut(who) {
            session.contacts = new;
        }
        changes
    }

    /// To each session of `reader` that lists `me`.
    fn tell_of(&self, me: &Username, reader: &Username, online: bool) -> Vec<Notice<L>> {
        let sessions = self.users.get(reader).map_or(&[][..], |user| &user.sessions);
        let readers = sessions.iter().filter(|session| session.contacts.contains(me));
        let news = News::Presence { username: me.clone(), online };
        readers.map(|session| Notice { to: session.link.clone(), news: news.clone() }).collect()
    }
}
