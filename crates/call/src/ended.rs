//! Calls that are over: their ids are remembered for ten minutes, so that nothing late rings again (section 2).

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use ahoy_protocol::id::CallId;

use crate::time::Time;

/// Far more than ten minutes of honest calls; what it costs an attacker is bounded by the server's limits.
const MAX: usize = 4_096;

/// The ids of calls that are over.
#[derive(Debug)]
pub(crate) struct EndedCalls {
    remember: Duration,
    ids: BTreeSet<CallId>,
    order: VecDeque<(Time, CallId)>,
}

impl EndedCalls {
    pub(crate) fn new(remember: Duration) -> Self {
        Self { remember, ids: BTreeSet::new(), order: VecDeque::new() }
    }

    /// Remembers a call; when there are too many, the oldest is forgotten.
    pub(crate) fn insert(&mut self, now: Time, call: CallId) {
        self.forget_old(now);
        if self.ids.insert(call) {
            self.order.push_back((now, call));
        }
        if self.order.len() > MAX {
            self.forget_first();
        }
    }

    pub(crate) fn contains(&mut self, now: Time, call: CallId) -> bool {
        self.forget_old(now);
        self.ids.contains(&call)
    }

    /// It may begin again after all.
    pub(crate) fn forget(&mut self, call: CallId) {
        if self.ids.remove(&call) {
            self.order.retain(|(_, ended)| *ended != call);
        }
    }

    fn forget_old(&mut self, now: Time) {
        while self.order.front().is_some_and(|(at, _)| now.since(*at) > self.remember) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, call)) = self.order.pop_front() {
            self.ids.remove(&call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> CallId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        CallId::from_random_bytes(bytes)
    }

    #[test]
    fn ended_ids_are_remembered_for_ten_minutes() {
        let at = |minutes| Time::from_start(Duration::from_mins(minutes));
        let mut ended = EndedCalls::new(Duration::from_mins(10));
        ended.insert(at(0), id(1));
        ended.insert(at(5), id(2));
        assert!(ended.contains(at(10), id(1)));
        assert!(!ended.contains(at(11), id(1)));
        assert!(ended.contains(at(11), id(2)));
    }

    #[test]
    fn a_forgotten_id_leaves_nothing_behind() {
        let mut ended = EndedCalls::new(Duration::from_mins(10));
        ended.insert(Time::START, id(1));
        ended.forget(id(1));
        assert!(!ended.contains(Time::START, id(1)) && ended.order.is_empty());
    }

    #[test]
    fn a_flood_of_ids_forgets_the_oldest_and_keeps_its_bound() {
        let mut ended = EndedCalls::new(Duration::from_mins(10));
        for number in 0..10_000 {
            ended.insert(Time::START, id(number));
        }
        assert_eq!(ended.order.len(), MAX);
        assert_eq!(ended.ids.len(), MAX);
        assert!(ended.contains(Time::START, id(9_999)));
    }
}
