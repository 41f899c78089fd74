//! What paths to others carried in earlier calls, by name and by the network that this machine was in: where the estimate of
//! the next call begins. What is read from disk is checked entry by entry, and what is wrong is left out.

use std::time::Duration;

use ahoy_protocol::id::Username;
use ahoy_transport::Network;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Entries that are kept; the newest stay.
const ENTRIES: usize = 64;
/// What a path carried longer ago says nothing any more.
const OLDEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A calendar may have been set back a little since.
const FUTURE: Duration = Duration::from_secs(24 * 60 * 60);
/// What an estimate can be, in bits a second.
const PLAUSIBLE_BPS: std::ops::RangeInclusive<u64> = 1_000..=1_000_000_000;
/// A file of [`ENTRIES`] has a quarter of it; more is not read.
pub(crate) const FILE_MAX_BYTES: u64 = 64 * 1024;

/// The newest first, each name and network once.
#[derive(Debug, Default)]
pub(crate) struct KnownRates {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Username,
    #[serde(with = "as_text")]
    network: Network,
    bps: u64,
    /// Seconds of Unix time.
    at: u64,
}

impl KnownRates {
    /// Reads what [`Self::to_json`] wrote, and as much as is right of anything else.
    pub(crate) fn from_json(text: &[u8]) -> Self {
        let entries = serde_json::from_slice::<Vec<Value>>(text).unwrap_or_default();
        let entries = entries.into_iter().take(ENTRIES).filter_map(|entry| serde_json::from_value(entry).ok());
        let mut known = Self { entries: entries.filter(|entry: &Entry| PLAUSIBLE_BPS.contains(&entry.bps)).collect() };
        known.entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        known
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.entries).expect("names and numbers serialise as text")
    }

    /// The path to `name` from `network` carries `bps`, at `now` in Unix time.
    pub(crate) fn note(&mut self, name: Username, network: Network, bps: u64, now: Duration) {
        self.entries.retain(|entry| (&entry.name, entry.network) != (&name, network));
        self.entries.insert(0, Entry { name, network, bps, at: now.as_secs() });
        self.entries.truncate(ENTRIES);
    }

    /// What is known of paths to `name` at `now`, in bits a second, the newest first.
    pub(crate) fn of(&self, name: &Username, now: Duration) -> Vec<(Network, u64)> {
        let is_fresh = |entry: &&Entry| {
            let at = Duration::from_secs(entry.at);
            now.saturating_sub(at) <= OLDEST && at.saturating_sub(now) <= FUTURE
        };
        let named = self.entries.iter().filter(|entry| entry.name == *name);
        named.filter(is_fresh).map(|entry| (entry.network, entry.bps)).collect()
    }
}

/// A network in its written form.
mod as_text {
    use super::Network;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(network: &Network, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(network)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn name(name: &str) -> Username {
        name.parse().unwrap()
    }

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_noted_last_counts_for_its_name_and_network() {
        let mut known = KnownRates::default();
        let (home, away) = (network("192.168.1.0/24"), network("relay 10.0.0.0/24"));
        known.note(name("bob"), home, 500_000, NOW);
        known.note(name("bob"), away, 200_000, NOW);
        known.note(name("carol"), home, 900_000, NOW);
        known.note(name("bob"), home, 600_000, NOW);
        let known = KnownRates::from_json(&known.to_json());
        assert_eq!(known.of(&name("bob"), NOW), [(home, 600_000), (away, 200_000)]);
        assert!(known.of(&name("dave"), NOW).is_empty());
    }

    #[test]
    fn what_is_a_month_old_or_from_the_future_does_not_count() {
        let mut known = KnownRates::default();
        known.note(name("bob"), network("192.168.1.0/24"), 500_000, NOW);
        let count = |now| known.of(&name("bob"), now).len();
        assert_eq!([NOW, NOW + OLDEST, NOW - FUTURE].map(count), [1, 1, 1]);
        let second = Duration::from_secs(1);
        assert_eq!([NOW + OLDEST + second, NOW - FUTURE - second, Duration::ZERO].map(count), [0, 0, 0]);
    }

    #[test]
    fn the_newest_stay_and_a_full_file_is_read_whole() {
        let mut known = KnownRates::default();
        for number in 0..200 {
            let long = format!("{number:a>32}");
            known.note(name(&long), network("relay 2001:db8:1111:2222::/64"), 1_000_000_000, NOW);
        }
        let text = known.to_json();
        assert!((text.len() as u64) < FILE_MAX_BYTES / 2, "{} bytes", text.len());
        let known = KnownRates::from_json(&text);
        let kept = (0..200).filter(|number| !known.of(&name(&format!("{number:a>32}")), NOW).is_empty());
        assert_eq!(kept.collect::<Vec<_>>(), (200 - ENTRIES..200).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_wrong_in_a_file_is_left_out_and_the_rest_is_taken() {
        let good = r#"{"name":"bob","network":"192.168.1.0/24","bps":500000,"at":1800000000}"#;
        for bad in [
            r#"{"name":"Bob!","network":"192.168.1.0/24","bps":500000,"at":1800000000}"#,
            r#"{"name":"bob","network":"192.168.1.1/24","bps":500000,"at":1800000000}"#,
            r#"{"name":"bob","network":"192.168.2.0/24","bps":-1,"at":1800000000}"#,
            r#"{"name":"bob","network":"192.168.2.0/24","bps":0,"at":1800000000}"#,
            r#"{"name":"bob","network":"192.168.2.0/24","bps":18446744073709551615,"at":1800000000}"#,
            r#"{"name":"bob","network":"192.168.2.0/24","bps":500000,"at":18446744073709551615}"#,
            r#"{"name":"bob","network":"192.168.2.0/24","bps":500000}"#,
            r#"{"name":"bob","network":"192.168.2.0/24","bps":500000,"at":1800000000,"more":1}"#,
            "null",
            "[[]]",
        ] {
            let known = KnownRates::from_json(format!("[{bad},{good}]").as_bytes());
            assert_eq!(known.of(&name("bob"), NOW), [(network("192.168.1.0/24"), 500_000)], "{bad}");
        }
        for nothing in ["", "{}", "[", good, "\u{0}"] {
            assert!(KnownRates::from_json(nothing.as_bytes()).of(&name("bob"), NOW).is_empty(), "{nothing:?}");
        }
    }
}
