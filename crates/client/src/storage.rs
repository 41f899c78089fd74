//! What a client keeps between runs, one folder a username under the data folder: the identity key (owner-only), the
//! device's session id, the keys that others are known by, and what paths to them carried. Writes are atomic: a crash leaves the old file or the new.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use ahoy_protocol::id::{SessionId, Username};
use ahoy_protocol::identity::{IdentityKey, PublicKey};
use tracing::debug;

use crate::known_rates::{self, KnownRates};

/// The folder of one username.
#[derive(Debug)]
pub(crate) struct Storage {
    folder: PathBuf,
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
    pub(crate) fn open(data_dir: &Path, username: &Username) -> Result<Self, StorageError> {
        let folder = data_dir.join(username.as_str());
        create_private_dir(&folder).map_err(|source| StorageError::Io { path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    /// The account's key; a new one at the first sign-in.
    pub(crate) fn identity(&self) -> Result<IdentityKey, StorageError> {
        let path = self.folder.join("identity.key");
        match self.read(&path)? {
            Some(bytes) => {
                let secret: [u8; 32] =
                    bytes.try_into().map_err(|_| StorageError::Damaged { path, what: "a key has 32 bytes" })?;
                Ok(IdentityKey::from_secret(&secret))
            }
            None => {
                let key = IdentityKey::generate().map_err(crate::random::RandomError::from)?;
                self.write(&path, key.secret())?;
                Ok(key)
            }
        }
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
    pub(crate) fn pins(&self) -> Result<BTreeMap<Username, PublicKey>, StorageError> {
        let path = self.folder.join("pins.json");
        let Some(bytes) = self.read(&path)? else { return Ok(BTreeMap::new()) };
        serde_json::from_slice(&bytes).map_err(|_| StorageError::Damaged { path, what: "not a list of names and keys" })
    }

    /// Remembers the key that somebody is known by from now on.
    pub(crate) fn pin(&self, username: &Username, key: PublicKey) -> Result<(), StorageError> {
        let mut pins = self.pins()?;
        pins.insert(username.clone(), key);
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
        let new = path.with_extension("new");
        let written = (|| {
            let mut file = create_private_file(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, path)
        })();
        written.map_err(|source| StorageError::Io { path: path.into(), source })
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
    use std::time::Duration;

    fn storage(folder: &tempfile::TempDir) -> Storage {
        Storage::open(folder.path(), &"alice".parse().unwrap()).unwrap()
    }

    #[test]
    fn key_session_and_pins_are_the_same_in_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let first = storage(&folder);
        let (key, session) = (first.identity().unwrap().public(), first.session().unwrap());
        first.pin(&"bob".parse().unwrap(), key).unwrap();
        let second = storage(&folder);
        assert_eq!(second.identity().unwrap().public(), key);
        assert_eq!(second.session().unwrap(), session);
        assert_eq!(second.pins().unwrap().get(&"bob".parse().unwrap()), Some(&key));
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
