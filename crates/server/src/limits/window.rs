//! Counters of what happened lately: exact, for allowances that are small. Pure: `now` is an argument.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::network::Network;
use super::{Allowance, SWEEP_MIN};

/// Keys beyond this many active ones are refused, so that strangers cannot grow a counter's memory without bound.
const ACTIVE_KEYS_MAX: usize = 100_000;
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The times at which something happened lately, each with what it was about. Exact, for small allowances.
#[derive(Debug)]
pub(crate) struct Window<T = ()> {
    events: VecDeque<(Instant, T)>,
}

impl<T> Window<T> {
    pub(crate) fn new() -> Self {
        Self { events: VecDeque::new() }
    }

    /// How long until one more of those that `counts` picks is within the allowance; zero if it is now.
    pub(crate) fn wait(&self, allowance: Allowance, now: Instant, counts: impl Fn(&T) -> bool) -> Duration {
        let age = |at: Instant| now.saturating_duration_since(at);
        let newest_first = self.events.iter().rev().filter(|(at, about)| age(*at) < allowance.span && counts(about));
        // The one that must grow too old before there is room again.
        let Some(before_it) = allowance.count.checked_sub(1) else { return allowance.span };
        newest_first
            .map(|(at, _)| *at)
            .nth(before_it)
            .map_or(Duration::ZERO, |at| allowance.span.saturating_sub(age(at)))
    }

    /// Notes one, and forgets those older than `span`.
    pub(crate) fn note(&mut self, about: T, span: Duration, now: Instant) {
        while self.events.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= span) {
            self.events.pop_front();
        }
        self.events.push_back((now, about));
    }

    fn is_idle(&self, span: Duration, now: Instant) -> bool {
        self.events.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= span)
    }
}

/// One [`Window`] for each key, as long as something is in it.
#[derive(Debug)]
pub(crate) struct Counter<K, T = ()> {
    allowance: Allowance,
    windows: HashMap<K, Window<T>>,
    /// How many keys make it look for idle ones, and when it last did.
    sweep_at: usize,
    swept: Option<Instant>,
}

impl<K: Eq + Hash, T> Counter<K, T> {
    pub(crate) fn new(allowance: Allowance) -> Self {
        Self { allowance, windows: HashMap::new(), sweep_at: SWEEP_MIN, swept: None }
    }

    /// How long until `key` may once more; zero if now.
    #[cfg(test)]
    fn wait(&mut self, key: &K, now: Instant) -> Duration {
        self.wait_for(key, self.allowance, now, |_| true)
    }

    /// How long until `key` may once more of those that `counts` picks, under an allowance of no longer span than this counter's;
    /// zero if now.
    pub(crate) fn wait_for(
        &mut self,
        key: &K,
        allowance: Allowance,
        now: Instant,
        counts: impl Fn(&T) -> bool,
    ) -> Duration {
        self.sweep(now);
        match self.windows.get(key) {
            Some(window) => window.wait(allowance, now, counts),
            None if self.windows.len() >= ACTIVE_KEYS_MAX || allowance.count == 0 => allowance.span,
            None => Duration::ZERO,
        }
    }

    pub(crate) fn note(&mut self, key: K, about: T, now: Instant) {
        self.windows.entry(key).or_insert_with(Window::new).note(about, self.allowance.span, now);
    }

    /// Forgets idle keys now and then: when there are twice as many keys as were left the last time, and not for every
    /// question when there are as many as may be.
    fn sweep(&mut self, now: Instant) {
        let is_due = self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_PAUSE);
        if self.windows.len() >= self.sweep_at && is_due {
            self.windows.retain(|_, window| !window.is_idle(self.allowance.span, now));
            self.sweep_at = (self.windows.len() * 2).clamp(SWEEP_MIN, ACTIVE_KEYS_MAX);
            self.swept = Some(now);
        }
    }
}

impl Counter<Network> {
    /// How long until somebody there may once more, by what their network did, and their site.
    pub(crate) fn wait_at(&mut self, network: Network, now: Instant) -> Duration {
        let allowance = self.allowance;
        let waits =
            network.with_site().map(|(network, many)| self.wait_for(&network, allowance.times(many), now, |()| true));
        waits.max().unwrap_or_default()
    }

    /// Notes one for both.
    pub(crate) fn note_at(&mut self, network: Network, now: Instant) {
        network.with_site().for_each(|(network, _)| self.note(network, (), now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tests::{SECOND, start};

    #[test]
    fn a_window_allows_so_many_in_any_span() {
        let allowance = Allowance { count: 2, span: 10 * SECOND };
        let now = start();
        let mut window = Window::new();
        for at in [0, 4] {
            assert_eq!(window.wait(allowance, now + at * SECOND, |()| true), Duration::ZERO);
            window.note((), allowance.span, now + at * SECOND);
        }
        assert_eq!(window.wait(allowance, now + 5 * SECOND, |()| true), 5 * SECOND);
        assert_eq!(window.wait(allowance, now + 10 * SECOND, |()| true), Duration::ZERO);
        window.note((), allowance.span, now + 10 * SECOND);
        assert_eq!(window.wait(allowance, now + 10 * SECOND, |()| true), 4 * SECOND);
        assert_eq!(window.events.len(), 2);
    }

    #[test]
    fn a_counter_keeps_keys_apart_and_forgets_idle_ones() {
        let now = start();
        let mut counter = Counter::<u32, char>::new(Allowance { count: 2, span: SECOND });
        counter.note(1, 'a', now);
        counter.note(1, 'b', now);
        assert_eq!(counter.wait(&1, now), SECOND);
        assert_eq!(counter.wait(&2, now), Duration::ZERO);
        let one = Allowance { count: 1, span: SECOND };
        assert_eq!(counter.wait_for(&1, one, now, |about| *about == 'c'), Duration::ZERO);
        assert_eq!(counter.wait_for(&1, one, now, |about| *about == 'a'), SECOND);
        for key in 0..10_000 {
            assert_eq!(counter.wait(&key, now + (key + 1) * SECOND), Duration::ZERO);
            counter.note(key, 'x', now + (key + 1) * SECOND);
        }
        assert!(counter.windows.len() <= SWEEP_MIN + 1, "{}", counter.windows.len());
    }

    #[test]
    fn a_counter_that_is_full_refuses_strangers_until_others_are_idle() {
        let now = start();
        let mut counter = Counter::<usize>::new(Allowance { count: 2, span: 10 * SECOND });
        for key in 0..ACTIVE_KEYS_MAX {
            counter.note(key, (), now);
        }
        assert_eq!(counter.wait(&ACTIVE_KEYS_MAX, now), 10 * SECOND);
        assert_eq!(counter.wait(&0, now), Duration::ZERO, "one already known");
        assert_eq!(counter.wait(&ACTIVE_KEYS_MAX, now + 10 * SECOND), Duration::ZERO);
        assert!(counter.windows.is_empty());
    }
}
