//! What a client keeps between runs, one folder a username under the data folder: the identity key (owner-only, or where in
//! the system's keyring it is), the device's session id, the keys that others are known by, and what paths to them carried.
//! Writes are atomic: a crash leaves the old file or the new.

mod own_key;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ahoy_call::Pin;
use ahoy_protocol::id::{SessionId, Username};
use ahoy_protocol::identity::PublicKey;
use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::config::KeyPlace;
use crate::keyring::KeyringError;
use crate::known_rates::{self, KnownRates};

/// A pin as `pins.json` has it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum KeptPin {
    /// As the first versions wrote it, which knew of no verification.
    KeyAlone(PublicKey),
    /// With what the user found out about it.
    Pin { key: PublicKey, verified: bool },
}

impl From<KeptPin> for Pin {
    fn from(kept: KeptPin) -> Self {
        match kept {
            KeptPin::KeyAlone(key) => Self::unverified(key),
            KeptPin::Pin { key, verified } => Self { key, verified },
        }
    }
}

impl From<Pin> for KeptPin {
    fn from(Pin { key, verified }: Pin) -> Self {
        Self::Pin { key, verified }
    }
}

/// The folder of one username.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    folder: PathBuf,
    username: Username,
    /// Where a key that is made or found is to be.
    keys: KeyPlace,
}

/// Why something could not be kept or read back.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Reading or writing failed.
    #[error("cannot use {path}; see that the folder is yours, or give --data-dir")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is there, but is not what was written.
    #[error("{path} is damaged: {what}; restore it from a backup, or move it away to begin anew")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Somebody's key is there, and it is not the one to be kept.
    #[error("{path} is another key, which would be lost; move it away first if it is not needed any more")]
    OtherKey {
        /// Which file.
        path: PathBuf,
    },
    /// The keyring has somebody's key, and it is not the one to be kept.
    #[error(
        "the system's keyring has another key of {username}'s, which would be lost; take it out there first if it is not needed any more"
    )]
    OtherKeyInKeyring {
        /// Whose.
        username: Username,
    },
    /// There is a key in a file, and the keyring is said to have another.
    #[error("{path} is another key than the one in the system's keyring; move away the one that is not needed")]
    TwoKeys {
        /// Which file.
        path: PathBuf,
    },
    /// The key is in the system's keyring, or may be, and cannot be had from there.
    #[error("the key of {username} cannot be had from the system's keyring, which {why}; {}", .why.next_step())]
    Keyring {
        /// Whose.
        username: Username,
        /// Why not.
        why: KeyringError,
    },
    /// The system names no folder for a user's data.
    #[error("this system names no folder for your data; give --data-dir")]
    NoFolder,
    /// No randomness for a new key.
    #[error(transparent)]
    Random(#[from] crate::random::RandomError),
}

/// `ahoy` in the system's folder for a user's data.
///
/// # Errors
/// When the system names no such folder.
pub fn default_data_dir() -> Result<PathBuf, StorageError> {
    let strategy = etcetera::choose_base_strategy().map_err(|_| StorageError::NoFolder)?;
    Ok(etcetera::BaseStrategy::data_dir(&strategy).join("ahoy"))
}

impl Storage {
    /// Opens, and makes where missing, the folder of `username`.
    pub(crate) fn open(data_dir: &Path, username: &Username, keys: KeyPlace) -> Result<Self, StorageError> {
        let folder = data_dir.join(username.as_str());
        create_private_dir(&folder).map_err(|source| StorageError::Io { path: folder.clone(), source })?;
        Ok(Self { folder, username: username.clone(), keys })
    }

    /// The device's session id, made once.
    pub(crate) fn session(&self) -> Result<SessionId, StorageError> {
        let path = self.folder.join("session");
        match self.read(&path)? {
            Some(bytes) => std::str::from_utf8(&bytes)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .ok_or(StorageError::Damaged { path, what: "a session has 16 hexadecimal digits" }),
            None => {
                let session = SessionId::from_u64(crate::random::number()?);
                self.write(&path, session.to_string().as_bytes())?;
                Ok(session)
            }
        }
    }

    /// The keys that others are known by.
    pub(crate) fn pins(&self) -> Result<BTreeMap<Username, Pin>, StorageError> {
        let path = self.folder.join("pins.json");
        let Some(bytes) = self.read(&path)? else { return Ok(BTreeMap::new()) };
        let kept: BTreeMap<Username, KeptPin> = serde_json::from_slice(&bytes)
            .map_err(|_| StorageError::Damaged { path, what: "not a list of names and keys" })?;
        Ok(kept.into_iter().map(|(username, pin)| (username, pin.into())).collect())
    }

    /// Remembers what somebody is known by from now on.
    pub(crate) fn pin(&self, username: &Username, pin: Pin) -> Result<(), StorageError> {
        let mut pins = self.pins()?;
        pins.insert(username.clone(), pin);
        let pins: BTreeMap<_, _> = pins.into_iter().map(|(username, pin)| (username, KeptPin::from(pin))).collect();
        let text = serde_json::to_vec_pretty(&pins).expect("names and keys serialise as text");
        self.write(&self.folder.join("pins.json"), &text)
    }

    /// What paths to others carried. A file that cannot be read costs nothing but that.
    pub(crate) fn rates(&self) -> KnownRates {
        let read = || {
            let mut text = Vec::new();
            fs::File::open(self.rates_path())?.take(known_rates::FILE_MAX_BYTES).read_to_end(&mut text)?;
            Ok::<_, io::Error>(text)
        };
        match read() {
            Ok(text) => KnownRates::from_json(&text),
            Err(error) => {
                debug!(%error, "nothing is known of earlier calls' paths");
                KnownRates::default()
            }
        }
    }

    /// Keeps them for the next run.
    pub(crate) fn keep_rates(&self, rates: &KnownRates) -> Result<(), StorageError> {
        self.write(&self.rates_path(), &rates.to_json())
    }

    fn rates_path(&self) -> PathBuf {
        self.folder.join("rates.json")
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StorageError::Io { path: path.into(), source }),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
        let written = (|| {
            let new = self.write_aside(path, bytes)?;
            fs::rename(&new, path)?;
            self.sync_folder()
        })();
        written.map_err(|source| StorageError::Io { path: path.into(), source })
    }

    /// Writes a file that is not there yet. `false`: it is there, and stays as it is.
    fn write_first(&self, path: &Path, bytes: &[u8]) -> Result<bool, StorageError> {
        let written = (|| {
            let new = self.write_aside(path, bytes)?;
            let is_first = match fs::hard_link(&new, path) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                // Some file systems have no links.
                Err(_) if path.exists() => false,
                Err(_) => {
                    fs::rename(&new, path)?;
                    return self.sync_folder().map(|()| true);
                }
            };
            fs::remove_file(&new)?;
            self.sync_folder().map(|()| is_first)
        })();
        written.map_err(|source| StorageError::Io { path: path.into(), source })
    }

    /// Writes what is to become `path`, whole, under a name that nobody else writes to.
    fn write_aside(&self, path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}-{}.new", std::process::id(), WRITTEN.fetch_add(1, Relaxed)));
        let new = self.folder.join(name);
        let mut file = create_private_file(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(new)
    }

    /// Without it a new name may be lost with the power, and the old one is back.
    fn sync_folder(&self) -> io::Result<()> {
        if cfg!(unix) { fs::File::open(&self.folder)?.sync_all() } else { Ok(()) }
    }
}

#[cfg(unix)]
fn create_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(unix)]
fn create_private_file(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private_file(path: &Path) -> io::Result<fs::File> {
    fs::File::create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_protocol::identity::IdentityKey;
    use std::time::Duration;

    fn storage(folder: &tempfile::TempDir) -> Storage {
        Storage::open(folder.path(), &"alice".parse().unwrap(), KeyPlace::File).unwrap()
    }

    #[test]
    fn key_session_and_pins_are_the_same_in_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let first = storage(&folder);
        let (key, session) = (first.identity().unwrap().public(), first.session().unwrap());
        let pin = Pin { key, verified: true };
        first.pin(&"bob".parse().unwrap(), pin).unwrap();
        let second = storage(&folder);
        assert_eq!(second.identity().unwrap().public(), key);
        assert_eq!(second.session().unwrap(), session);
        assert_eq!(second.pins().unwrap().get(&"bob".parse().unwrap()), Some(&pin));
    }

    #[test]
    fn pins_of_the_first_versions_are_read_as_not_verified() {
        let folder = tempfile::tempdir().unwrap();
        let (storage, key) = (storage(&folder), IdentityKey::from_secret(&[1; 32]).public());
        let [bob, carol]: [Username; 2] = ["bob", "carol"].map(|name| name.parse().unwrap());
        fs::write(storage.folder.join("pins.json"), format!(r#"{{"bob":"{key}"}}"#)).unwrap();
        assert_eq!(storage.pins().unwrap(), [(bob.clone(), Pin::unverified(key))].into());
        let verified = Pin { key, verified: true };
        storage.pin(&carol, verified).unwrap();
        assert_eq!(storage.pins().unwrap(), [(bob, Pin::unverified(key)), (carol, verified)].into());
    }

    #[test]
    fn a_damaged_file_is_reported_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let storage = storage(&folder);
        for name in ["identity.key", "session", "pins.json"] {
            fs::write(storage.folder.join(name), b"damaged").unwrap();
        }
        assert!(matches!(storage.identity(), Err(StorageError::Damaged { .. })));
        assert!(matches!(storage.session(), Err(StorageError::Damaged { .. })));
        assert!(matches!(storage.pins(), Err(StorageError::Damaged { .. })));
        assert_eq!(fs::read(storage.folder.join("identity.key")).unwrap(), b"damaged");
    }

    #[test]
    fn what_paths_carried_is_known_in_the_next_run_and_a_damaged_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (storage, bob) = (storage(&folder), "bob".parse().unwrap());
        let (network, now) = ("192.168.1.0/24".parse().unwrap(), Duration::from_secs(1_800_000_000));
        assert!(storage.rates().of(&bob, now).is_empty());
        let mut rates = KnownRates::default();
        rates.note(bob.clone(), network, 700_000, now);
        storage.keep_rates(&rates).unwrap();
        assert_eq!(storage.rates().of(&bob, now), [(network, 700_000)]);
        fs::write(storage.rates_path(), vec![b'['; 1_000_000]).unwrap();
        assert!(storage.rates().of(&bob, now).is_empty());
        storage.keep_rates(&rates).unwrap();
        assert_eq!(storage.rates().of(&bob, now), [(network, 700_000)]);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let storage = storage(&folder);
        storage.identity().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&storage.folder.join("identity.key")), 0o600);
        assert_eq!(mode(&storage.folder), 0o700);
    }
}
