//! The names of STUN and TURN servers. The peer connection looks them up one after the other while everything else waits, so
//! that takes no longer than it must.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For one name.
const DEADLINE: Duration = Duration::from_secs(3);

/// How long a name is not looked up again, in which a list of URLs of one server is gone through.
const FRESH: Duration = Duration::from_secs(30);

/// The same for a name that was not found: the name service may answer again any time.
const NOT_FOUND: Duration = Duration::from_secs(3);

/// More names than this are not remembered.
const NAMES: usize = 64;

/// What was looked up.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    at: Instant,
    /// Empty: it was not found.
    addresses: Vec<IpAddr>,
}

impl Names {
    /// The addresses of `host`, a name or a literal address with a port behind the last colon; an IPv6 address with or without
    /// brackets. `look_up` asks the system. A name that was found once is found as long as this lives, as a network may come
    /// back before its name service does.
    ///
    /// # Errors
    ///
    /// When it is not found in time.
    pub(super) async fn resolve<F>(&self, host: &str, look_up: impl FnOnce(String) -> F) -> io::Result<Vec<SocketAddr>>
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>>,
    {
        let (name, port) = host.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
        let port: u16 = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let with_port = |addresses: Vec<IpAddr>| -> io::Result<Vec<SocketAddr>> {
            if addresses.is_empty() {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
        };
        if let Ok(address) = name.parse() {
            return with_port(vec![address]);
        }
        let known = self.lock().get(name).cloned();
        let is_fresh = |known: &&Known| known.at.elapsed() < if known.addresses.is_empty() { NOT_FOUND } else { FRESH };
        if let Some(fresh) = known.as_ref().filter(is_fresh) {
            return with_port(fresh.addresses.clone());
        }
        let found = tokio::time::timeout(DEADLINE, look_up(format!("{name}:{port}"))).await;
        let addresses = match found {
            Ok(Ok(found)) if !found.is_empty() => found.into_iter().map(|address| address.ip()).collect(),
            Ok(Ok(_) | Err(_)) | Err(_) => known.map(|known| known.addresses).unwrap_or_default(),
        };
        let mut all = self.lock();
        if all.len() < NAMES || all.contains_key(name) {
            all.insert(name.to_owned(), Known { at: Instant::now(), addresses: addresses.clone() });
        }
        drop(all);
        with_port(addresses)
    }

    /// What a name was found to be, without asking again; empty if it was not found. `None`: nobody asked.
    pub(super) fn known(&self, name: &str) -> Option<Vec<IpAddr>> {
        if let Ok(address) = name.parse() {
            return Some(vec![address]);
        }
        self.lock().get(name).map(|known| known.addresses.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[tokio::test]
    async fn literal_addresses_are_not_looked_up_with_brackets_or_without() {
        let names = Names::default();
        let never = |name: String| async move { panic!("{name} was looked up") };
        for (given, expected) in [
            ("192.0.2.1:3478", "192.0.2.1:3478"),
            ("2001:db8::1:3478", "[2001:db8::1]:3478"),
            ("[2001:db8::1]:3478", "[2001:db8::1]:3478"),
        ] {
            assert_eq!(names.resolve(given, never).await.unwrap(), [at(expected)], "{given}");
        }
        for bad in ["", "host", "host:", "host:99999"] {
            assert!(names.resolve(bad, never).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_service_that_does_not_answer_costs_its_deadline_once_and_a_name_that_was_found_is_kept() {
        let (names, asked) = (Names::default(), AtomicUsize::new(0));
        let silent = |_: String| {
            asked.fetch_add(1, Relaxed);
            std::future::pending()
        };
        let start = Instant::now();
        for port in 1..=4 {
            assert!(names.resolve(&format!("turn.example.org:{port}"), silent).await.is_err());
        }
        assert_eq!(asked.load(Relaxed), 1);
        assert!(start.elapsed() >= DEADLINE);
        let found = |_: String| async { Ok(vec![at("192.0.2.1:9")]) };
        assert_eq!(names.resolve("other.example.org:5", found).await.unwrap(), [at("192.0.2.1:5")]);
        let gone = |_: String| async {
            asked.fetch_add(1, Relaxed);
            Err(io::ErrorKind::NotFound.into())
        };
        names.known.lock().unwrap().get_mut("other.example.org").unwrap().at -= FRESH;
        assert_eq!(names.resolve("other.example.org:6", gone).await.unwrap(), [at("192.0.2.1:6")]);
        assert_eq!(asked.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn a_name_that_was_not_found_is_looked_up_again_after_3_s_and_one_that_was_after_30() {
        let (names, asked) = (Names::default(), AtomicUsize::new(0));
        let look_up = |_: String| {
            let is_first = asked.fetch_add(1, Relaxed) == 0;
            async move { Ok(if is_first { vec![] } else { vec![at("192.0.2.1:9")] }) }
        };
        let age = |by| names.known.lock().unwrap().get_mut("turn.example.org").unwrap().at -= by;
        assert!(names.resolve("turn.example.org:1", look_up).await.is_err());
        age(NOT_FOUND);
        assert_eq!(names.resolve("turn.example.org:1", look_up).await.unwrap(), [at("192.0.2.1:1")]);
        age(FRESH / 2);
        assert!(names.resolve("turn.example.org:2", look_up).await.is_ok());
        assert_eq!(asked.load(Relaxed), 2);
    }
}
