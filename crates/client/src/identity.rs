//! The identity key outside of a run: as a recovery phrase, on paper, and back. The phrase is the key: 24 English words for
//! its 32 bytes (BIP-39 without a passphrase; the last word carries eight bits of a checksum).

use std::fmt;
use std::path::Path;

use ahoy_protocol::id::Username;
use ahoy_protocol::identity::IdentityKey;
use bip39::{Language, Mnemonic};

use crate::config::KeyPlace;
use crate::storage::{Storage, StorageError};

/// How many words there are.
const WORDS: usize = 24;
/// What is longer is no phrase: 24 words of eight letters are 215 bytes.
const PHRASE_MAX_BYTES: usize = 1_024;

/// Why words are no recovery phrase. None of them is told: what is told may be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Too few or too many.
    #[error("a recovery phrase has 24 words, these are {0}; look for a word that is missing or written twice")]
    Count(usize),
    /// One that is not in the list.
    #[error("word {0} is none that a recovery phrase can have; look at its spelling")]
    Unknown(usize),
    /// Each is in the list, but together they make no key.
    #[error("the words do not belong together; look for one that is wrong, or in another place")]
    Checksum,
}

/// Why a key could not be exported or restored.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No such phrase.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    /// The data folder cannot be used, or holds another key.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is nothing to export.
    #[error("{0} has no key here yet; sign in once, or give the --data-dir that has it")]
    NoKey(Username),
}

/// A recovery phrase: 24 words with one space between each. Whoever reads it has the name: it is for paper, not for a log or a
/// network. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Phrase(String);

impl Phrase {
    /// The words, for the eyes of its owner.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(key: &IdentityKey) -> Self {
        let words = Mnemonic::from_entropy_in(Language::English, key.secret()).expect("32 bytes make a phrase");
        Self(words.words().collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(…)")
    }
}

/// The recovery phrase of a user's key. Blocks; where a keyring is asked, for 5 s at most.
///
/// # Errors
/// When there is no key, or it cannot be read.
pub fn export(data_dir: &Path, username: &Username, keys: KeyPlace) -> Result<Phrase, IdentityError> {
    let key = Storage::open(data_dir, username, keys)?.existing_identity()?;
    Ok(Phrase::of(&key.ok_or_else(|| IdentityError::NoKey(username.clone()))?))
}

/// Keeps the key of a recovery phrase as the user's. Whose key is there already stays as it is; another one is never
/// overwritten. Blocks; where a keyring is asked, for some 15 s at most.
///
/// # Errors
/// When it is no phrase, another key is there, or it cannot be kept.
pub fn restore(data_dir: &Path, username: &Username, phrase: &str, keys: KeyPlace) -> Result<(), IdentityError> {
    let key = from_phrase(phrase)?;
    Ok(Storage::open(data_dir, username, keys)?.restore(&key)?)
}

/// Whether somebody typed a recovery phrase.
///
/// # Errors
/// [`PhraseError`]: what is wrong with it.
pub fn check(phrase: &str) -> Result<(), PhraseError> {
    from_phrase(phrase).map(drop)
}

/// Reads a phrase as people write it: whatever stands between the words, in capitals or not.
fn from_phrase(text: &str) -> Result<IdentityKey, PhraseError> {
    if text.len() > PHRASE_MAX_BYTES {
        return Err(PhraseError::Count(text.split_whitespace().count()));
    }
    let words: Vec<String> = text
        .split(|letter: char| !letter.is_alphabetic())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    if words.len() != WORDS {
        return Err(PhraseError::Count(words.len()));
    }
    if let Some(at) = words.iter().position(|word| Language::English.find_word(word).is_none()) {
        return Err(PhraseError::Unknown(at + 1));
    }
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, &words.join(" "));
    let (entropy, length) = mnemonic.map_err(|_| PhraseError::Checksum)?.to_entropy_array();
    let secret = entropy.get(..length).and_then(|bytes| bytes.try_into().ok()).ok_or(PhraseError::Checksum)?;
    Ok(IdentityKey::from_secret(secret))
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// The first and the last 24-word vector of BIP-39's reference list that are of one byte.
    #[test]
    fn phrases_are_those_of_bip_39() {
        for (byte, words) in
            [(0x00, format!("{} art", ["abandon"; 23].join(" "))), (0xff, format!("{} vote", ["zoo"; 23].join(" ")))]
        {
            let key = IdentityKey::from_secret(&[byte; 32]);
            assert_eq!(Phrase::of(&key).0, words);
            assert_eq!(from_phrase(&words).unwrap().public(), key.public());
        }
    }

    #[test]
    fn a_phrase_is_read_as_people_write_it_and_mistakes_are_named() {
        let key = IdentityKey::from_secret(&[0x5a; 32]);
        let good = Phrase::of(&key).0;
        let numbered: Vec<String> =
            good.split(' ').enumerate().map(|(at, word)| format!("{}. {}", at + 1, word.to_uppercase())).collect();
        for written in [format!("  {good}\n"), good.replace(' ', "\r\n"), numbered.join("  ")] {
            assert_eq!(from_phrase(&written).unwrap().public(), key.public());
        }
        let words: Vec<&str> = good.split(' ').collect();
        let mistake = |words: &[&str]| from_phrase(&words.join(" ")).unwrap_err();
        assert_eq!(mistake(&words[1..]), PhraseError::Count(23));
        assert_eq!(mistake(&[]), PhraseError::Count(0));
        let mut wrong = words.clone();
        wrong[6] = "ahoy";
        assert_eq!(mistake(&wrong), PhraseError::Unknown(7));
        let mut swapped = words.clone();
        swapped[3] = if words[3] == "zoo" { "abandon" } else { "zoo" };
        assert_eq!(mistake(&swapped), PhraseError::Checksum);
        assert!(matches!(from_phrase(&"zoo ".repeat(100_000)), Err(PhraseError::Count(_))));
    }

    #[test]
    fn whatever_is_typed_is_no_phrase_or_the_key_whose_phrase_it_is() {
        const PIECES: [&str; 12] = [
            " ",
            "\0",
            "\u{202e}",
            "\u{130}",
            "\u{fb01}",
            "zoo",
            "ZOO",
            "1.",
            "\r\n",
            "\u{301}",
            "\u{10ffff}",
            "abandon ",
        ];
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut read = 0;
        for _ in 0..20_000 {
            let mut letters: Vec<char> =
                Phrase::of(&IdentityKey::from_secret(&random.random())).as_str().chars().collect();
            for _ in 0..random.random_range(0..4) {
                if letters.is_empty() {
                    break;
                }
                let at = random.random_range(0..letters.len());
                match random.random_range(0..5) {
                    0 => drop(letters.remove(at)),
                    1 => letters[at] = random.random(),
                    2 => drop(letters.splice(at..at, PIECES[random.random_range(0..PIECES.len())].chars())),
                    3 => letters.truncate(at.max(1)),
                    _ => letters.extend_from_within(at..),
                }
            }
            let typed: String = letters.into_iter().collect();
            if let Ok(key) = from_phrase(&typed) {
                let words: Vec<String> = typed
                    .split(|letter: char| !letter.is_alphabetic())
                    .filter(|word| !word.is_empty())
                    .map(str::to_lowercase)
                    .collect();
                assert_eq!(Phrase::of(&key).as_str(), words.join(" "), "{typed:?}");
                read += 1;
            }
        }
        assert!(read > 1_000, "{read} were phrases");
    }

    #[test]
    fn a_key_is_restored_elsewhere_and_never_takes_the_place_of_another() {
        let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let alice: Username = "alice".parse().unwrap();
        assert!(matches!(export(old.path(), &alice, KeyPlace::File), Err(IdentityError::NoKey(_))));
        let key_in = |folder: &tempfile::TempDir| {
            Storage::open(folder.path(), &alice, KeyPlace::File).unwrap().identity().unwrap().public()
        };
        let key = key_in(&old);
        let words = export(old.path(), &alice, KeyPlace::File).unwrap();
        assert_eq!(format!("{words:?}"), "Phrase(…)");
        restore(new.path(), &alice, words.as_str(), KeyPlace::File).unwrap();
        restore(new.path(), &alice, words.as_str(), KeyPlace::File).unwrap();
        assert_eq!(key_in(&new), key);
        // A server takes it; until then it may be the phrase of another name.
        Storage::open(new.path(), &alice, KeyPlace::File).unwrap().identity_is_known().unwrap();
        let another = Phrase::of(&IdentityKey::from_secret(&[7; 32])).0;
        let refused = restore(new.path(), &alice, &another, KeyPlace::File);
        assert!(matches!(refused, Err(IdentityError::Storage(StorageError::OtherKey { .. }))));
        assert_eq!(key_in(&new), key);
    }
}
