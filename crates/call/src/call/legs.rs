//! The callee's devices that an opening offer reached, and how far each has come.

use std::collections::BTreeMap;

use ahoy_protocol::id::{DeviceAddress, SessionId, Username};
use ahoy_protocol::signal::Answer;

/// More than a server lets sign in under one name (section 3); whatever it says, memory stays bounded.
const LEGS_MAX: usize = 64;

/// The legs of one dialled call.
#[derive(Debug)]
pub(crate) struct Legs {
    legs: BTreeMap<SessionId, Leg>,
    /// Answers of devices that have not accepted yet, kept where more than one device was reached.
    early: BTreeMap<SessionId, Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    Reached,
    Ringing,
    /// It was busy.
    Busy,
    /// Nobody answered there.
    TimedOut,
}

/// Why no device is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllEnded {
    /// None was reached.
    NoneReached,
    /// All are busy.
    Busy,
    /// One rang, and nobody answered.
    NoAnswer,
}

impl Legs {
    /// What `relayed` says, as far as it is about this user.
    pub(crate) fn of(user: &Username, reached: Vec<DeviceAddress>) -> Self {
        let own = reached.into_iter().filter(|device| device.username == *user);
        let legs = own.take(LEGS_MAX).map(|device| (device.session, Leg::Reached)).collect();
        Self { legs, early: BTreeMap::new() }
    }

    /// Which of these are devices of this user's that an earlier `relayed` has not named. No more than there is room for.
    pub(crate) fn news(&self, user: &Username, reached: Vec<DeviceAddress>) -> Vec<DeviceAddress> {
        let own = reached.into_iter().filter(|device| device.username == *user && !self.reached(device.session));
        own.take(LEGS_MAX.saturating_sub(self.len())).collect()
    }

    /// The offer reached these devices, too, when it was said again. The known ones stay as they are.
    pub(crate) fn add(&mut self, news: &[DeviceAddress]) {
        for device in news {
            self.legs.entry(device.session).or_insert(Leg::Reached);
        }
    }

    /// Keeps the early answer of a device that is not the only one, until its user accepts.
    pub(crate) fn keep_early(&mut self, session: SessionId, answer: Answer) {
        if self.is_live(session) {
            self.early.insert(session, answer);
        }
    }

    /// The early answer of this device, if one is kept.
    pub(crate) fn take_early(&mut self, session: SessionId) -> Option<Answer> {
        self.early.remove(&session)
    }

    pub(crate) fn len(&self) -> usize {
        self.legs.len()
    }

    /// The only device that was reached.
    pub(crate) fn only(&self) -> Option<SessionId> {
        let mut sessions = self.legs.keys();
        let first = sessions.next().copied();
        first.filter(|_| sessions.next().is_none())
    }

    /// Whether the offer reached this device.
    pub(crate) fn reached(&self, session: SessionId) -> bool {
        self.legs.contains_key(&session)
    }

    /// Whether the offer reached this device and its leg has not ended.
    pub(crate) fn is_live(&self, session: SessionId) -> bool {
        self.legs.get(&session).is_some_and(|leg| matches!(leg, Leg::Reached | Leg::Ringing))
    }

    pub(crate) fn any_rings(&self) -> bool {
        self.legs.values().any(|leg| *leg == Leg::Ringing)
    }

    /// The device rings. Returns whether that is news.
    pub(crate) fn set_ringing(&mut self, session: SessionId) -> bool {
        self.legs.get_mut(&session).is_some_and(|leg| std::mem::replace(leg, Leg::Ringing) != Leg::Ringing)
    }

    pub(crate) fn set_busy(&mut self, session: SessionId) {
        self.legs.insert(session, Leg::Busy);
    }

    pub(crate) fn set_timed_out(&mut self, session: SessionId) {
        self.legs.insert(session, Leg::TimedOut);
    }

    /// Why no device is left; `None` while one is.
    pub(crate) fn all_ended(&self) -> Option<AllEnded> {
        if self.legs.values().any(|leg| matches!(leg, Leg::Reached | Leg::Ringing)) {
            return None;
        }
        Some(if self.legs.is_empty() {
            AllEnded::NoneReached
        } else if self.legs.values().any(|leg| *leg == Leg::TimedOut) {
            AllEnded::NoAnswer
        } else {
            AllEnded::Busy
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(user: &str, number: u64) -> DeviceAddress {
        DeviceAddress { username: user.parse().unwrap(), session: SessionId::from_u64(number) }
    }

    #[test]
    fn a_call_has_no_leg_left_when_every_device_is_busy_or_timed_out() {
        let (one, two) = (SessionId::from_u64(1), SessionId::from_u64(2));
        let reached = vec![device("bob", 1), device("bob", 2), device("carol", 3)];
        let mut legs = Legs::of(&"bob".parse().unwrap(), reached);
        assert_eq!((legs.len(), legs.only()), (2, None), "carol is nobody in this call");
        legs.set_busy(one);
        assert_eq!(legs.all_ended(), None);
        assert!(!legs.is_live(one) && legs.is_live(two) && legs.reached(one));
        assert!(legs.set_ringing(two) && !legs.set_ringing(two) && legs.any_rings());
        legs.set_busy(two);
        assert_eq!(legs.all_ended(), Some(AllEnded::Busy));
        legs.set_timed_out(two);
        assert_eq!(legs.all_ended(), Some(AllEnded::NoAnswer));
        assert_eq!(Legs::of(&"bob".parse().unwrap(), Vec::new()).all_ended(), Some(AllEnded::NoneReached));
    }

    #[test]
    fn devices_that_are_reached_later_become_legs_as_far_as_there_is_room() {
        let bob = "bob".parse().unwrap();
        let mut legs = Legs::of(&bob, vec![device("bob", 1)]);
        legs.set_busy(SessionId::from_u64(1));
        let news = legs.news(&bob, vec![device("bob", 1), device("carol", 3), device("bob", 2)]);
        assert_eq!(news, [device("bob", 2)]);
        legs.add(&news);
        assert!(!legs.is_live(SessionId::from_u64(1)) && legs.is_live(SessionId::from_u64(2)));
        assert_eq!(legs.all_ended(), None);
        let many = legs.news(&bob, (1..1_000).map(|number| device("bob", number)).collect());
        legs.add(&many);
        assert_eq!(legs.len(), LEGS_MAX);
    }
}
