//! The people of one account: who was called or called, when last, and what was missed. Kept in `people.json` of the
//! account's folder. A bounded list: strangers who call cannot push out whom the user knows.

use std::collections::BTreeSet;

use ahoy_client::Username;
use serde::{Deserialize, Serialize};

use crate::view::{Direction, LastCall};

/// So many are kept; the list is for people, who know fewer.
const PEOPLE_MAX: usize = 200;

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Kept")]
pub(crate) struct People {
    people: Vec<Person>,
}

/// What the file holds: whatever somebody wrote into it.
#[derive(Deserialize)]
struct Kept {
    people: Vec<Person>,
}

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Person {
    /// Who.
    pub(crate) username: Username,
    /// The user called or accepted them: they may learn when this user is here, and prepare a call while it rings.
    #[serde(default)]
    pub(crate) contact: bool,
    /// The last call with them.
    pub(crate) last: Option<LastCall>,
    /// Calls of theirs that were missed since the user last looked.
    #[serde(default)]
    pub(crate) missed: u32,
    /// The user wants to hear nothing of them.
    #[serde(default)]
    pub(crate) blocked: bool,
}

impl Person {
    /// The user knows them or blocked them: no stranger's calls push them off the list.
    fn stays(&self) -> bool {
        self.contact || self.blocked
    }
}

/// The list is full of people that the user knows or blocked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("Your list holds {PEOPLE_MAX} people whom you know or blocked; remove one of them first.")]
pub(crate) struct ListFull;

impl From<Kept> for People {
    fn from(kept: Kept) -> Self {
        let mut people = Self::default();
        for person in kept.people {
            if people.find(&person.username).is_none() {
                people.people.push(person);
                people.make_room();
            }
        }
        people
    }
}

impl People {
    /// The most recent call first, then those without one.
    pub(crate) fn by_recency(&self) -> Vec<&Person> {
        let mut people: Vec<&Person> = self.people.iter().collect();
        people.sort_by_key(|person| (std::cmp::Reverse(at_ms(person)), person.username.clone()));
        people
    }

    /// Whom the user called or accepted.
    pub(crate) fn contacts(&self) -> BTreeSet<Username> {
        let contacts = self.people.iter().filter(|person| person.contact && !person.blocked);
        contacts.map(|person| person.username.clone()).collect()
    }

    /// Of whom the user wants to hear nothing.
    pub(crate) fn blocked(&self) -> BTreeSet<Username> {
        self.people.iter().filter(|person| person.blocked).map(|person| person.username.clone()).collect()
    }

    pub(crate) fn is_blocked(&self, username: &Username) -> bool {
        self.find(username).is_some_and(|person| person.blocked)
    }

    /// The user wants to hear nothing of them, or again. Returns whether that is new.
    pub(crate) fn block(&mut self, username: &Username, blocked: bool) -> Result<bool, ListFull> {
        if self.is_blocked(username) == blocked {
            return Ok(false);
        }
        // Nobody who is blocked may be forgotten for another.
        let is_full = self.people.len() >= PEOPLE_MAX && self.people.iter().all(Person::stays);
        if is_full && self.find(username).is_none() {
            return Err(ListFull);
        }
        let person = self.entry(username);
        person.blocked = blocked;
        person.missed = 0;
        Ok(true)
    }

    pub(crate) fn find(&self, username: &Username) -> Option<&Person> {
        self.people.iter().find(|person| person.username == *username)
    }

    /// The user called or accepted them. Returns whether that is new. A guest is nobody that one could know again.
    pub(crate) fn befriend(&mut self, username: &Username) -> bool {
        if username.is_guest() {
            return false;
        }
        let person = self.entry(username);
        !std::mem::replace(&mut person.contact, true)
    }

    /// A call with them is over, or was missed.
    pub(crate) fn record(&mut self, username: &Username, last: LastCall) {
        // A list full of contacts has no room for a stranger.
        let is_full = self.people.len() >= PEOPLE_MAX && self.people.iter().all(Person::stays);
        if is_full && !self.people.iter().any(|person| person.username == *username) {
            return;
        }
        let missed = last.direction == Direction::Missed;
        if missed && self.is_blocked(username) {
            return;
        }
        let person = self.entry(username);
        person.missed = if missed { person.missed.saturating_add(1) } else { 0 };
        person.last = Some(last);
    }

    /// So many calls of theirs were missed, the last of them as said; one that is older than the last known changes only
    /// the count.
    pub(crate) fn record_missed(&mut self, username: &Username, last: LastCall, count: u32) {
        let known = self.find(username).and_then(|person| person.last.clone());
        let earlier = self.find(username).map_or(0, |person| person.missed);
        self.record(username, last.clone());
        if let Some(person) = self.people.iter_mut().find(|person| person.username == *username && !person.blocked) {
            person.missed = earlier.saturating_add(count);
            person.last = known.filter(|known| known.at_ms > last.at_ms).or(Some(last));
        }
    }

    /// The user looked at what they missed. Returns whether there was anything.
    pub(crate) fn see_missed(&mut self, username: &Username) -> bool {
        let person = self.people.iter_mut().find(|person| person.username == *username);
        person.is_some_and(|person| std::mem::take(&mut person.missed) > 0)
    }

    /// Takes somebody off the list. Returns whether they were on it.
    pub(crate) fn remove(&mut self, username: &Username) -> bool {
        let before = self.people.len();
        self.people.retain(|person| person.username != *username);
        self.people.len() < before
    }

    fn entry(&mut self, username: &Username) -> &mut Person {
        let place = match self.people.iter().position(|person| person.username == *username) {
            Some(place) => place,
            None => {
                self.people.push(Person {
                    username: username.clone(),
                    contact: false,
                    last: None,
                    missed: 0,
                    blocked: false,
                });
                self.make_room();
                // The newest is last, and is never the one that goes.
                self.people.len() - 1
            }
        };
        &mut self.people[place]
    }

    /// Beyond the bound the longest silent goes, strangers before contacts, the newest entry never.
    fn make_room(&mut self) {
        if self.people.len() <= PEOPLE_MAX {
            return;
        }
        let older = self.people.iter().take(self.people.len() - 1).enumerate();
        let oldest =
            older.min_by_key(|(_, person)| (person.blocked, person.contact, at_ms(person))).map(|(place, _)| place);
        if let Some(place) = oldest {
            self.people.remove(place);
        }
    }
}

fn at_ms(person: &Person) -> u64 {
    person.last.as_ref().map_or(0, |last| last.at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Username {
        text.parse().unwrap()
    }

    fn call(direction: Direction, at_ms: u64) -> LastCall {
        LastCall { direction, at_ms, seconds: None, video: true }
    }

    fn names(people: &People) -> Vec<&str> {
        people.by_recency().into_iter().map(|person| person.username.as_str()).collect()
    }

    #[test]
    fn the_most_recent_comes_first() {
        let mut people = People::default();
        people.record(&name("bob"), call(Direction::Outgoing, 1));
        people.befriend(&name("dave"));
        people.record(&name("carol"), call(Direction::Missed, 2));
        assert_eq!(names(&people), ["carol", "bob", "dave"]);
        people.record(&name("bob"), call(Direction::Incoming, 3));
        assert_eq!(names(&people), ["bob", "carol", "dave"]);
    }

    #[test]
    fn missed_calls_count_until_they_are_seen_or_answered() {
        let mut people = People::default();
        people.record(&name("bob"), call(Direction::Missed, 1));
        people.record(&name("bob"), call(Direction::Missed, 2));
        assert_eq!(people.find(&name("bob")).unwrap().missed, 2);
        assert!(people.see_missed(&name("bob")));
        assert!(!people.see_missed(&name("bob")), "nothing left to see");
        people.record(&name("bob"), call(Direction::Missed, 3));
        people.record(&name("bob"), call(Direction::Outgoing, 4));
        assert_eq!(people.find(&name("bob")).unwrap().missed, 0);
    }

    #[test]
    fn what_was_missed_while_away_counts_and_is_put_in_its_place_in_time() {
        let mut people = People::default();
        people.record(&name("bob"), call(Direction::Outgoing, 5));
        people.record(&name("carol"), call(Direction::Missed, 5));
        people.record_missed(&name("bob"), call(Direction::Missed, 3), 2);
        people.record_missed(&name("carol"), call(Direction::Missed, 9), 3);
        people.record_missed(&name("dave"), call(Direction::Missed, 7), 1);
        assert_eq!(names(&people), ["carol", "dave", "bob"]);
        let of = |user: &str| people.find(&name(user)).map(|person| (person.missed, person.last.clone().unwrap()));
        assert_eq!(of("bob"), Some((2, call(Direction::Outgoing, 5))));
        assert_eq!(of("carol"), Some((4, call(Direction::Missed, 9))));
        assert_eq!(of("dave"), Some((1, call(Direction::Missed, 7))));
    }

    #[test]
    fn only_whom_the_user_called_or_accepted_is_a_contact_and_no_guest_ever() {
        let mut people = People::default();
        people.record(&name("mallory"), call(Direction::Missed, 1));
        assert!(people.befriend(&name("bob")));
        assert!(!people.befriend(&name("bob")), "known already");
        assert!(!people.befriend(&name("guest-zoe")));
        assert_eq!(people.contacts(), [name("bob")].into());
    }

    #[test]
    fn strangers_who_call_push_out_each_other_and_no_contact() {
        let mut people = People::default();
        people.befriend(&name("bob"));
        for number in 0..1_000 {
            people.record(&name(&format!("stranger{number}")), call(Direction::Missed, 1_000 + number));
        }
        assert_eq!(people.by_recency().len(), PEOPLE_MAX);
        assert!(people.find(&name("bob")).is_some());
        assert!(people.find(&name("stranger999")).is_some(), "the newest stays");
        assert!(people.find(&name("stranger0")).is_none());
    }

    #[test]
    fn whoever_is_blocked_is_no_contact_misses_nothing_and_is_not_pushed_out() {
        let mut people = People::default();
        people.befriend(&name("bob"));
        assert_eq!(people.block(&name("bob"), true), Ok(true));
        assert_eq!(people.block(&name("bob"), true), Ok(false), "blocked already");
        assert_eq!(people.block(&name("mallory"), true), Ok(true));
        assert_eq!((people.contacts(), people.blocked()), ([].into(), [name("bob"), name("mallory")].into()));
        people.record(&name("mallory"), call(Direction::Missed, 1));
        people.record_missed(&name("mallory"), call(Direction::Missed, 2), 3);
        assert_eq!(people.find(&name("mallory")).unwrap().missed, 0);
        assert_eq!(people.find(&name("mallory")).unwrap().last, None);
        for number in 0..1_000 {
            people.record(&name(&format!("stranger{number}")), call(Direction::Missed, 1_000 + number));
        }
        let people: People = serde_json::from_slice(&crate::files::to_text(&people)).unwrap();
        assert_eq!(people.blocked(), [name("bob"), name("mallory")].into());
        let mut people = people;
        assert_eq!(people.block(&name("bob"), false), Ok(true));
        assert_eq!(people.contacts(), [name("bob")].into(), "what they were before");
    }

    #[test]
    fn a_list_full_of_blocked_people_takes_no_further_one_instead_of_forgetting_one() {
        let mut people = People::default();
        for number in 0..PEOPLE_MAX {
            assert_eq!(people.block(&name(&format!("u{number}")), true), Ok(true));
        }
        assert_eq!(people.block(&name("one-more"), true), Err(ListFull));
        assert_eq!(people.blocked().len(), PEOPLE_MAX);
        assert_eq!(people.block(&name("u7"), false), Ok(true));
        assert_eq!(people.block(&name("one-more"), true), Ok(true));
    }

    #[test]
    fn a_file_with_too_many_or_the_same_twice_is_cut() {
        let bob = r#"{ "username": "bob", "contact": true, "last": null }"#;
        let others: Vec<String> =
            (0..500).map(|number| format!(r#"{{ "username": "u{number}", "last": null }}"#)).collect();
        let text = format!(r#"{{ "people": [{bob}, {bob}, {}] }}"#, others.join(","));
        let people: People = serde_json::from_str(&text).unwrap();
        assert_eq!(people.by_recency().len(), PEOPLE_MAX);
        assert_eq!(people.contacts(), [name("bob")].into());
        let again: People = serde_json::from_slice(&crate::files::to_text(&people)).unwrap();
        assert_eq!(again.contacts(), people.contacts());
    }
}
