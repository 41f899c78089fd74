//! The account's own key: in the system's keyring or in an owner-only file, and never lost on the way from one to the other.
//!
//! Three files tell of it: `identity.key` is the key, `identity.where` says that the keyring has it, `identity.untaken` that no
//! server has taken it yet.

use std::fs;
use std::io;
use std::path::PathBuf;

use ahoy_protocol::identity::{IdentityKey, PublicKey};
use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::config::KeyPlace;
use crate::keyring::{self, KeyringError, Place};
use crate::storage::{Storage, StorageError};

/// So many keys that nobody knows are laid aside.
const LAID_ASIDE_MAX: u32 = 100;

/// What `identity.where` says. While that stands no other key is made: a keyring that is locked, silent or empty is told, not
/// passed over. A key in a file beside it means that a move broke off, or that the key was restored while the keyring was away;
/// the move is made good.
#[derive(Debug, Serialize, Deserialize)]
struct InKeyring {
    /// What the keyring knows it by.
    account: String,
    /// Which key it is.
    key: PublicKey,
}

impl Storage {
    /// The account's key; a new one at the first sign-in.
    pub(crate) fn identity(&self) -> Result<IdentityKey, StorageError> {
        if let Some(key) = self.existing_identity()? {
            return Ok(key);
        }
        let key = IdentityKey::generate().map_err(crate::random::RandomError::from)?;
        if self.write_new(&key)? {
            return Ok(key);
        }
        // Another program was faster, or the user restored one meanwhile.
        let path = self.identity_path();
        self.key_in_file()?.ok_or(StorageError::Damaged { path, what: "it comes and goes" })
    }

    /// A server knows the key from now on. Where it belongs into a keyring it goes there, which may take 5 s.
    ///
    /// # Errors
    /// When files cannot be read or written; the key is where it was.
    pub(crate) fn identity_is_known(&self) -> Result<(), StorageError> {
        self.remove(&self.new_path())?;
        self.existing_identity().map(drop)
    }

    /// The account's key, if there is one. May take 5 s where a keyring is asked.
    pub(crate) fn existing_identity(&self) -> Result<Option<IdentityKey>, StorageError> {
        match (self.in_keyring()?, self.key_in_file()?) {
            (None, None) => match self.keys {
                KeyPlace::File => Ok(None),
                KeyPlace::Keyring => self.find_in_keyring(),
            },
            (Some(kept), None) => match keyring::read(&self.place(&kept.account)) {
                Ok(Some(key)) if key.public() == kept.key => Ok(Some(key)),
                Ok(Some(_)) => Err(self.keyring_error(KeyringError::OtherKey)),
                Ok(None) => Err(self.keyring_error(KeyringError::Lost)),
                Err(why) => Err(self.keyring_error(why)),
            },
            (Some(kept), Some(key)) if kept.key != key.public() => {
                Err(StorageError::TwoKeys { path: self.identity_path() })
            }
            (kept, Some(key)) => {
                let belongs_there = kept.is_some() || self.keys == KeyPlace::Keyring;
                if belongs_there && !self.is_new(&key)? {
                    self.move_into_keyring(&key);
                }
                Ok(Some(key))
            }
        }
    }

    /// Keeps `key` as the account's. Another one that is there stays. May take some 15 s where a keyring is asked.
    pub(crate) fn restore(&self, key: &IdentityKey) -> Result<(), StorageError> {
        match self.key_in_file()? {
            None => {}
            Some(there) if there.public() == key.public() => return Ok(()),
            Some(there) if self.is_new(&there)? => self.lay_aside()?,
            Some(_) => return Err(StorageError::OtherKey { path: self.identity_path() }),
        }
        let other_in_keyring = || StorageError::OtherKeyInKeyring { username: self.username.clone() };
        match self.in_keyring()? {
            Some(kept) if kept.key == key.public() => {}
            // Another one, unless the keyring itself says that it is gone.
            Some(kept) => match keyring::read(&self.place(&kept.account)) {
                Ok(None) => self.remove(&self.where_path())?,
                Ok(Some(_)) | Err(_) => return Err(other_in_keyring()),
            },
            None => match self.existing_identity() {
                Ok(Some(there)) if there.public() == key.public() => return Ok(()),
                Ok(Some(_)) => return Err(other_in_keyring()),
                // What a keyring that does not answer has stays there: the key goes into the file.
                Ok(None) | Err(StorageError::Keyring { .. }) => {}
                Err(error) => return Err(error),
            },
        }
        self.keep(key)
    }

    /// Whether no server has taken it yet. Whoever comes to a new computer and signs in before they think of their recovery
    /// phrase has such a one, and whoever restores the phrase of another name: it is laid aside for the key that is restored
    /// next, and moves into no keyring before a server knows it.
    fn is_new(&self, key: &IdentityKey) -> Result<bool, StorageError> {
        let named = self.read(&self.new_path())?;
        Ok(named.is_some_and(|named| named == key.public().to_string().as_bytes()))
    }

    /// Renames a key that nobody knows. It is not removed: a server may have taken it, and its word was lost.
    fn lay_aside(&self) -> Result<(), StorageError> {
        let path = self.identity_path();
        let names = (1..=LAID_ASIDE_MAX).map(|number| self.folder.join(format!("identity.unused-{number}")));
        let Some(free) = names.into_iter().find(|name| !name.exists()) else {
            return Err(StorageError::OtherKey { path });
        };
        fs::rename(&path, free).map_err(|source| StorageError::Io { path, source })
    }

    /// Keeps a key of which no other copy is here. The one that belongs into the keyring goes back there; any other is new
    /// until a server takes it, as it may be that of another name.
    fn keep(&self, key: &IdentityKey) -> Result<(), StorageError> {
        let is_kept = if self.in_keyring()?.is_some() {
            match self.put_into_keyring(key) {
                Ok(_) => return Ok(()),
                Err(error) => debug!(%error, "the key is kept in a file"),
            }
            self.write_first(&self.identity_path(), key.secret())?
        } else {
            self.write_new(key)?
        };
        if is_kept { Ok(()) } else { Err(StorageError::OtherKey { path: self.identity_path() }) }
    }

    /// Writes a key that no server has taken yet, unless there is one. Whether it did.
    fn write_new(&self, key: &IdentityKey) -> Result<bool, StorageError> {
        let is_first = self.write_first(&self.identity_path(), key.secret())?;
        if is_first {
            self.write(&self.new_path(), key.public().to_string().as_bytes())?;
        }
        Ok(is_first)
    }

    /// The file goes when the keyring gives the key back at a later time: what it was given a moment ago it may not have
    /// written yet, and then a loss of power would take both.
    fn move_into_keyring(&self, key: &IdentityKey) {
        let moved = self
            .put_into_keyring(key)
            .and_then(|was_there| if was_there { self.remove(&self.identity_path()) } else { Ok(()) });
        if let Err(error) = moved {
            debug!(%error, "the key stays in its file for now");
        }
    }

    /// Whether it was there already.
    fn put_into_keyring(&self, key: &IdentityKey) -> Result<bool, StorageError> {
        let kept = self.in_keyring()?;
        let account = kept.map_or_else(|| self.account(), |kept| kept.account);
        let was_there = keyring::keep(&self.place(&account), key).map_err(|why| self.keyring_error(why))?;
        self.write_where(account, key.public())?;
        Ok(was_there)
    }

    /// The keyring may have the key of a folder that was lost. While it does not say, no other is made.
    fn find_in_keyring(&self) -> Result<Option<IdentityKey>, StorageError> {
        let account = self.account();
        match keyring::read(&self.place(&account)) {
            Ok(Some(key)) => {
                self.write_where(account, key.public())?;
                Ok(Some(key))
            }
            Ok(None) | Err(KeyringError::Absent) => Ok(None),
            Err(why) => Err(self.keyring_error(why)),
        }
    }

    fn in_keyring(&self) -> Result<Option<InKeyring>, StorageError> {
        let path = self.where_path();
        let Some(bytes) = self.read(&path)? else { return Ok(None) };
        let kept = serde_json::from_slice(&bytes);
        kept.map(Some).map_err(|_| StorageError::Damaged { path, what: "not where in the keyring a key is" })
    }

    fn write_where(&self, account: String, key: PublicKey) -> Result<(), StorageError> {
        let text = serde_json::to_vec_pretty(&InKeyring { account, key }).expect("names and keys serialise as text");
        self.write(&self.where_path(), &text)
    }

    fn key_in_file(&self) -> Result<Option<IdentityKey>, StorageError> {
        let path = self.identity_path();
        let Some(bytes) = self.read(&path)? else { return Ok(None) };
        let secret: [u8; 32] =
            bytes.try_into().map_err(|_| StorageError::Damaged { path, what: "a key has 32 bytes" })?;
        Ok(Some(IdentityKey::from_secret(&secret)))
    }

    /// By name and data folder: each profile of a person has its own key for a name.
    fn account(&self) -> String {
        let folder = fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let data_dir = folder.parent().unwrap_or(&folder);
        format!("{} in {}", self.username, data_dir.display())
    }

    fn place(&self, account: &str) -> Place {
        Place { account: account.to_owned(), label: format!("Ahoy: the key of {}", self.username) }
    }

    fn keyring_error(&self, why: KeyringError) -> StorageError {
        StorageError::Keyring { username: self.username.clone(), why }
    }

    fn identity_path(&self) -> PathBuf {
        self.folder.join("identity.key")
    }

    fn new_path(&self) -> PathBuf {
        self.folder.join("identity.untaken")
    }

    fn where_path(&self) -> PathBuf {
        self.folder.join("identity.where")
    }

    fn remove(&self, path: &std::path::Path) -> Result<(), StorageError> {
        match fs::remove_file(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StorageError::Io { path: path.into(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(folder: &tempfile::TempDir) -> Storage {
        Storage::open(folder.path(), &"alice".parse().unwrap(), KeyPlace::File).unwrap()
    }

    #[test]
    fn a_key_that_no_server_knows_is_laid_aside_for_one_that_is_restored() {
        let folder = tempfile::tempdir().unwrap();
        let storage = storage(&folder);
        let (unknown, known) = (storage.identity().unwrap(), IdentityKey::from_secret(&[7; 32]));
        storage.restore(&known).unwrap();
        assert_eq!(storage.identity().unwrap().public(), known.public());
        assert_eq!(fs::read(storage.folder.join("identity.unused-1")).unwrap(), unknown.secret());
        let other = IdentityKey::from_secret(&[8; 32]);
        storage.restore(&other).unwrap();
        assert_eq!(storage.identity().unwrap().public(), other.public(), "the one before was of another name");
        assert_eq!(fs::read(storage.folder.join("identity.unused-2")).unwrap(), known.secret());
        storage.identity_is_known().unwrap();
        let refused = storage.restore(&known);
        assert!(matches!(refused, Err(StorageError::OtherKey { .. })), "a server took that one: {refused:?}");
    }

    #[test]
    fn of_many_who_make_the_first_key_at_once_all_have_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (start, made) = (std::sync::Barrier::new(8), std::sync::Mutex::new(Vec::new()));
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    let storage = storage(&folder);
                    start.wait();
                    let key = storage.identity().unwrap().public();
                    made.lock().unwrap().push(key);
                });
            }
        });
        let made = made.into_inner().unwrap();
        assert!(made.iter().all(|key| *key == storage(&folder).identity().unwrap().public()), "{made:?}");
    }

    #[test]
    fn a_key_that_a_server_knows_stays() {
        let folder = tempfile::tempdir().unwrap();
        let storage = storage(&folder);
        let key = storage.identity().unwrap().public();
        storage.identity_is_known().unwrap();
        let refused = storage.restore(&IdentityKey::from_secret(&[7; 32]));
        assert!(matches!(refused, Err(StorageError::OtherKey { .. })), "{refused:?}");
        assert_eq!(storage.identity().unwrap().public(), key);
    }

    #[test]
    fn no_key_is_made_where_it_is_not_understood_what_the_keyring_has() {
        let folder = tempfile::tempdir().unwrap();
        let storage = storage(&folder);
        fs::write(storage.where_path(), "nothing").unwrap();
        assert!(matches!(storage.identity(), Err(StorageError::Damaged { .. })));
        assert!(!storage.identity_path().exists());
    }

    #[test]
    fn of_two_keys_none_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let storage = storage(&folder);
        storage.identity().unwrap();
        storage.write_where("alice in nowhere".into(), IdentityKey::from_secret(&[7; 32]).public()).unwrap();
        assert!(matches!(storage.identity(), Err(StorageError::TwoKeys { .. })));
        assert!(storage.identity_path().exists());
    }
}
