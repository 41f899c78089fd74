//! The system's keyring as a place for a key: the Secret Service on Linux, the Keychain on macOS, the Credential Manager on
//! Windows. Which key belongs there, and what to do where there is none, is decided in [`crate::storage`].
//!
//! A keyring may ask its user to unlock it, and answer much later or never. So each question is asked on a thread of its own,
//! and whoever asked waits 5 s at most.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ahoy_protocol::identity::IdentityKey;
#[cfg(target_os = "macos")]
use apple_native_keyring_store::keychain::Store;
use keyring_core::Entry;
use keyring_core::api::CredentialStoreApi as _;
use tracing::debug;
#[cfg(windows)]
use windows_native_keyring_store::Store;
#[cfg(all(unix, not(target_os = "macos")))]
use zbus_secret_service_keyring_store::Store;

/// What this program's entries are filed under.
const SERVICE: &str = "Ahoy";
/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Questions that still wait for an answer: one more is not asked.
const WAITING_MAX: usize = 4;

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Why the keyring did not do what it was asked for. The words continue "the keyring, which …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is none in this session.
    #[error("cannot be reached in this session")]
    Absent,
    /// Nothing came within 5 s. It may be asking its user to unlock it.
    #[error("does not answer")]
    Silent,
    /// It is locked, and was not unlocked.
    #[error("is locked")]
    Locked,
    /// It has no such entry.
    #[error("has it no more")]
    Lost,
    /// Its entry is not the key that belongs there.
    #[error("has another one in its place")]
    OtherKey,
    /// It failed in another way, which the log tells.
    #[error("failed")]
    Failed,
}

impl KeyringError {
    /// What a person can do about it.
    pub(crate) fn next_step(self) -> &'static str {
        match self {
            Self::Absent => "sign in from your desktop, where it is, or restore the key from its recovery phrase",
            Self::Silent | Self::Locked => "unlock it and sign in again, or restore the key from its recovery phrase",
            Self::Lost | Self::OtherKey | Self::Failed => "restore the key from its recovery phrase",
        }
    }
}

/// Where in the keyring a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// What it is found by.
    pub(crate) account: String,
    /// What a person who looks into the keyring sees, where the system shows one.
    pub(crate) label: String,
}

/// The key that is there; `None`: the keyring says that there is none.
pub(crate) fn read(place: &Place) -> Result<Option<IdentityKey>, KeyringError> {
    let place = place.clone();
    ask(move || key_in(&entry(&place)?))
}

/// Keeps `key` there, unless another one is there, makes sure that it comes back, and says whether it was there before. After an error it may be there all the
/// same, or come to be there: a user who is asked to unlock a keyring may do it later.
pub(crate) fn keep(place: &Place, key: &IdentityKey) -> Result<bool, KeyringError> {
    let (place, key) = (place.clone(), IdentityKey::from_secret(key.secret()));
    ask(move || {
        let entry = entry(&place)?;
        let is_it = |there: &IdentityKey| there.public() == key.public();
        match key_in(&entry)? {
            Some(there) if is_it(&there) => return Ok(true),
            Some(_) => return Err(KeyringError::OtherKey),
            None => entry.set_secret(key.secret()).map_err(|error| why(&error))?,
        }
        match key_in(&entry)? {
            Some(there) if is_it(&there) => Ok(false),
            Some(_) => Err(KeyringError::OtherKey),
            None => Err(KeyringError::Lost),
        }
    })
}

fn entry(place: &Place) -> Result<Entry, KeyringError> {
    // Opened anew each time: a keyring that was not there a moment ago may be there now.
    let store = Store::new().map_err(|error| {
        debug!(%error, "there is no keyring");
        KeyringError::Absent
    })?;
    let shown = HashMap::from([("label", place.label.as_str())]);
    // The others show the account.
    let modifiers = cfg!(all(unix, not(target_os = "macos"))).then_some(&shown);
    store.build(SERVICE, &place.account, modifiers).map_err(|error| why(&error))
}

fn key_in(entry: &Entry) -> Result<Option<IdentityKey>, KeyringError> {
    match entry.get_secret() {
        Ok(secret) => {
            let secret: [u8; 32] = secret.try_into().map_err(|_| KeyringError::OtherKey)?;
            Ok(Some(IdentityKey::from_secret(&secret)))
        }
        Err(keyring_core::Error::NoEntry) => Ok(None),
        Err(error) => Err(why(&error)),
    }
}

fn why(error: &keyring_core::Error) -> KeyringError {
    match error {
        keyring_core::Error::NoEntry => KeyringError::Lost,
        keyring_core::Error::NoStorageAccess(error) => {
            debug!(%error, "the keyring is not open to this program");
            KeyringError::Locked
        }
        keyring_core::Error::PlatformFailure(error) => {
            debug!(%error, "the keyring failed");
            KeyringError::Failed
        }
        // Others may hold what was read, which is not for a log.
        _ => {
            debug!("the keyring took or gave something that cannot be");
            KeyringError::Failed
        }
    }
}

/// Does `work` on a thread of its own. What comes too late is forgotten.
fn ask<T: Send + 'static>(work: impl FnOnce() -> Result<T, KeyringError> + Send + 'static) -> Result<T, KeyringError> {
    let waiting = Waiting::begin()?;
    let (answer, answered) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("ahoy-keyring".into()).spawn(move || {
        let _waiting = waiting;
        // Whoever asked may have given up.
        let _ = answer.send(work());
    });
    thread.map_err(|_| KeyringError::Failed)?;
    answered.recv_timeout(DEADLINE).unwrap_or_else(|error| {
        Err(match error {
            mpsc::RecvTimeoutError::Timeout => KeyringError::Silent,
            mpsc::RecvTimeoutError::Disconnected => KeyringError::Failed,
        })
    })
}

/// One question without an answer.
struct Waiting;

impl Waiting {
    fn begin() -> Result<Self, KeyringError> {
        let room = |waiting: usize| (waiting < WAITING_MAX).then_some(waiting + 1);
        let begun = WAITING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        begun.map(|_| Self).map_err(|_| KeyringError::Silent)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_a_keyring_waits_5_s_at_most_and_few_wait_at_once() {
        let (release, held) = mpsc::channel::<()>();
        let held = std::sync::Arc::new(std::sync::Mutex::new(held));
        let askers: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let held = std::sync::Arc::clone(&held);
                thread::spawn(move || {
                    ask(move || {
                        let _ = held.lock().map(|held| held.recv());
                        Ok(())
                    })
                })
            })
            .collect();
        for asker in askers {
            assert_eq!(asker.join().unwrap(), Err(KeyringError::Silent));
        }
        assert_eq!(ask(|| Ok(())), Err(KeyringError::Silent), "one more is not asked");
        drop(release);
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while WAITING.load(Ordering::Relaxed) > 0 {
            assert!(std::time::Instant::now() < deadline, "threads that got their answer end");
            thread::yield_now();
        }
        assert_eq!(ask(|| Ok(7)), Ok(7));
        assert_eq!(ask::<()>(|| panic!("a defect of somebody's")), Err(KeyringError::Failed));
    }
}
