//! How much is allowed (section 7 of `docs/signaling.md`), and the counters that say so. Pure: `now` is an argument.
//! What is counted, and for whom, is decided where it happens.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keys beyond this many active ones are refused, so that strangers cannot grow a counter's memory without bound.
const ACTIVE_KEYS_MAX: usize = 100_000;
/// A counter holds this many keys before it looks for idle ones to forget.
const SWEEP_MIN: usize = 1_024;
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// What one client may do. The default is the contract's.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sign-ins refused for their key, signature, host or name, from one network.
    pub failed_logins: Allowance,
    /// Names bound for the first time, from one network.
    pub new_names: Allowance,
    /// Sessions that guests from one address, not loopback, begin.
    pub new_guests: Allowance,
    /// Sessions that guests from one address, not loopback, have at a time, those that linger included.
    pub guests: usize,
    /// Opening offers of one user, or of all guests from one address together, as are the next two.
    pub offers: Allowance,
    /// Opening offers of one user to one other.
    pub offers_to_one: Allowance,
    /// Opening offers of one user that reached nobody.
    pub unanswerable: Allowance,
    /// Messages of one connection that are no messages; the last one allowed is answered and closes it.
    pub bad_messages: Allowance,
    /// Messages of one session, over all its connections.
    pub messages: Rate,
    /// Bytes of the messages of one session.
    pub bytes: Rate,
    /// Messages from one address, over all sessions of users there, and once more over all those of guests. Not of
    /// loopback, here and in the next: a reverse proxy may stand there.
    pub network_messages: Rate,
    /// Messages from one address, over all its connections that have not signed in.
    pub unsigned_messages: Rate,
    /// Connections from one address, not loopback, that have not signed in; the oldest makes room for one more.
    pub unsigned: usize,
    /// How many bytes may wait for a slow reader, or unacknowledged.
    pub waiting_bytes: usize,
    /// How many bytes all who read slowly, acknowledge nothing or are away may have waiting together. Beyond it, those of whom
    /// most waits lose it.
    pub held_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            failed_logins: Allowance { count: 5, span: MINUTE },
            new_names: Allowance { count: 10, span: Duration::from_secs(3_600) },
            new_guests: Allowance { count: 30, span: MINUTE },
            guests: 64,
            offers: Allowance { count: 30, span: MINUTE },
            offers_to_one: Allowance { count: 6, span: MINUTE },
            unanswerable: Allowance { count: 10, span: MINUTE },
            bad_messages: Allowance { count: 3, span: MINUTE },
            messages: Rate { per_s: 100, burst: 300 },
            bytes: Rate { per_s: 256 * 1024, burst: 1024 * 1024 },
            // 40 busy sessions: an office behind one address.
            network_messages: Rate { per_s: 4_000, burst: 12_000 },
            unsigned_messages: Rate { per_s: 200, burst: 1_000 },
            unsigned: 256,
            waiting_bytes: 256 * 1024,
            // 1,000 times the above, and some 13 KiB for each of 20,000.
            held_bytes: 256 * 1024 * 1024,
        }
    }
}

/// So many in any time of this length.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// How many.
    pub count: usize,
    /// In how long a time.
    pub span: Duration,
}

impl Allowance {
    /// What so many may together.
    pub(crate) fn times(self, many: usize) -> Self {
        Self { count: self.count.saturating_mul(many), ..self }
    }
}

/// So many a second, and so many at once after a rest.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// In the long run.
    pub per_s: u32,
    /// At once.
    pub burst: u32,
}

impl Rate {
    /// What so many may together.
    fn times(self, many: usize) -> Self {
        let many = u32::try_from(many).unwrap_or(u32::MAX);
        Self { per_s: self.per_s.saturating_mul(many), burst: self.burst.saturating_mul(many) }
    }
}

/// A token bucket, full at first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    rate: Rate,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: f64::from(rate.burst), at: now }
    }

    /// How long until `cost` is there; zero if it is there now.
    pub(crate) fn wait(&mut self, cost: u32, now: Instant) -> Duration {
        let per_s = f64::from(self.rate.per_s);
        let rested_s = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + rested_s * per_s).min(f64::from(self.rate.burst));
        self.at = now;
        let missing = f64::from(cost) - self.tokens;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        // A rate of nothing never fills up; a day stands for never.
        Duration::try_from_secs_f64(missing / per_s).unwrap_or(Duration::MAX).min(Duration::from_secs(86_400))
    }

    pub(crate) fn spend(&mut self, cost: u32) {
        self.tokens -= f64::from(cost);
    }

    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.wait(self.rate.burst, now).is_zero()
    }
}

/// Who sends from a network. Each kind has an allowance of its own, so that those whom anybody can be use up nothing of
/// those who have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    Unsigned,
    Guest,
    User,
}

/// One bucket for each kind of sender in each network, as long as it is not full or somebody holds it.
#[derive(Debug)]
pub(crate) struct Buckets {
    signed_in: Rate,
    unsigned: Rate,
    buckets: HashMap<(Network, Sender), Arc<Mutex<Bucket>>>,
    sweep_at: usize,
}

impl Buckets {
    pub(crate) fn new(signed_in: Rate, unsigned: Rate) -> Self {
        Self { signed_in, unsigned, buckets: HashMap::new(), sweep_at: SWEEP_MIN }
    }

    /// The bucket of a network, and of the site it belongs to, for a connection to keep.
    pub(crate) fn of(&mut self, network: Network, sender: Sender, now: Instant) -> SharedBuckets {
        SharedBuckets(
            [(Some(network), 1), (network.site(), SITE_NETWORKS)]
                .map(|(network, many)| network.map(|network| self.one(network, sender, many, now))),
        )
    }

    fn one(&mut self, network: Network, sender: Sender, many: usize, now: Instant) -> Arc<Mutex<Bucket>> {
        if self.buckets.len() >= self.sweep_at {
            self.buckets.retain(|_, bucket| {
                let is_full = bucket.lock().unwrap_or_else(PoisonError::into_inner).is_full(now);
                Arc::strong_count(bucket) > 1 || !is_full
            });
            self.sweep_at = (self.buckets.len() * 2).max(SWEEP_MIN);
        }
        let rate = match sender {
            Sender::Unsigned => self.unsigned,
            Sender::Guest | Sender::User => self.signed_in,
        };
        let rate = rate.times(many);
        let bucket = self.buckets.entry((network, sender));
        Arc::clone(bucket.or_insert_with(|| Arc::new(Mutex::new(Bucket::new(rate, now)))))
    }
}

/// The buckets that a connection takes from, besides its own; none where it comes from nobody's address.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedBuckets([Option<Arc<Mutex<Bucket>>>; 2]);

impl SharedBuckets {
    /// Takes `cost` from each, or says how long it is to wait.
    pub(crate) fn spend(&self, cost: u32, now: Instant) -> Result<(), Duration> {
        let mut buckets: [_; 2] = std::array::from_fn(|at| {
            self.0[at].as_ref().map(|bucket| bucket.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let waits = buckets.iter_mut().flatten().map(|bucket| bucket.wait(cost, now));
        let wait = waits.max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(wait);
        }
        buckets.iter_mut().flatten().for_each(|bucket| bucket.spend(cost));
        Ok(())
    }
}

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

/// So many networks' allowance has a whole site: an office with many of them is not held up, and who has 65,536 gets no more.
pub(crate) const SITE_NETWORKS: usize = 16;

/// What counts as one address: an IPv4 address, or an IPv6 /64, which is what one household or machine has; or a site, an IPv6
/// /48, which one customer may have (RFC 6177 §2). The address, and how many bits of it count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr, u8);

impl Network {
    /// The site around an IPv6 network; an IPv4 address is its own.
    pub(crate) fn site(self) -> Option<Self> {
        let IpAddr::V6(v6) = self.0 else { return None };
        Some(Self(Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).into(), 48))
    }

    /// It and its site, each with how many networks' allowance it has.
    pub(crate) fn with_site(self) -> impl Iterator<Item = (Self, usize)> {
        [Some((self, 1)), self.site().map(|site| (site, SITE_NETWORKS))].into_iter().flatten()
    }

    /// Loopback is nobody's address: a reverse proxy that was not named stands there, or the operator.
    pub(crate) fn is_loopback(self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => v4.is_loopback(),
            // The /64 of `::1`.
            IpAddr::V6(v6) => v6.is_unspecified(),
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.into(), 32),
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(), 64),
        }
    }
}

/// Whole seconds for `retry_s`, rounded up so that trying then succeeds.
pub(crate) fn retry_s(wait: Duration) -> u32 {
    let whole_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(whole_s).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let now = start();
        let mut bucket = Bucket::new(Rate { per_s: 100, burst: 300 }, now);
        for _ in 0..300 {
            assert_eq!(bucket.wait(1, now), Duration::ZERO);
            bucket.spend(1);
        }
        let wait = bucket.wait(1, now);
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(10), "{wait:?}");
        assert_eq!(bucket.wait(100, now + SECOND), Duration::ZERO);
        assert!(bucket.wait(101, now + SECOND) > Duration::ZERO);
        assert_eq!(bucket.wait(300, now + 100 * SECOND), Duration::ZERO);
        assert!(bucket.wait(301, now + 100 * SECOND) > Duration::ZERO, "never more than the burst");
        assert!(Bucket::new(Rate { per_s: 0, burst: 0 }, now).wait(1, now) > SECOND);
    }

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

    #[test]
    fn one_address_is_an_ipv4_address_or_an_ipv6_slash_64() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().unwrap());
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert!(["127.0.0.2", "::1", "::ffff:127.0.0.1"].iter().all(|text| network(text).is_loopback()));
        assert!(["192.0.2.1", "2001:db8::1", "::1:0:0:0:1"].iter().all(|text| !network(text).is_loopback()));
    }

    #[test]
    fn who_has_many_networks_of_one_site_gets_what_sixteen_get() {
        let now = start();
        let network = |subnet: u16| Network::from(IpAddr::from([0x2001, 0xDB8, 7, subnet, 0, 0, 0, 1]));
        let mut counter = Counter::<Network>::new(Allowance { count: 2, span: SECOND });
        let mut buckets = Buckets::new(Rate { per_s: 1, burst: 2 }, Rate { per_s: 1, burst: 2 });
        let (mut counted, mut spent) = (0, 0);
        for subnet in 0..100 {
            for _ in 0..5 {
                if counter.wait_at(network(subnet), now).is_zero() {
                    counter.note_at(network(subnet), now);
                    counted += 1;
                }
                spent += usize::from(buckets.of(network(subnet), Sender::Guest, now).spend(1, now).is_ok());
            }
        }
        assert_eq!((counted, spent), (2 * SITE_NETWORKS, 2 * SITE_NETWORKS));
        let elsewhere = Network::from(IpAddr::from([0x2001, 0xDB8, 8, 0, 0, 0, 0, 1]));
        assert!(counter.wait_at(elsewhere, now).is_zero());
        assert!(buckets.of(elsewhere, Sender::Guest, now).spend(1, now).is_ok());
        let v4: Network = IpAddr::from([192, 0, 2, 1]).into();
        assert_eq!((v4.site(), v4.with_site().count()), (None, 1));
        // The first network of a site is not the site.
        assert_ne!(network(0).site(), Some(network(0)));
    }

    #[test]
    fn seconds_to_wait_are_rounded_up() {
        assert_eq!([0, 1, 1_000, 1_001].map(|ms| retry_s(Duration::from_millis(ms))), [0, 1, 1, 2]);
    }
}
