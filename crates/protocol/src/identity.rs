//! Keys and signatures: the key is the account (section 3). Ed25519 (RFC 8032) with strict verification.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::{SessionId, Username};

/// The random number of `hello` that a sign-in signs: it makes each signature good for one connection.
pub type Challenge = Binary<32>;
/// An Ed25519 public key, as `key` carries it. Any 32 bytes; a bad point fails at [`PublicKey::verifies`].
pub type PublicKey = Binary<32>;
/// An Ed25519 signature, as `signature` carries it.
pub type Signature = Binary<64>;

/// Exactly `N` bytes, base64url without padding on the wire (section 1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binary<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Display for Binary<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Binary<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for Binary<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Binary<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(de::Error::custom)?;
        let wrong_length = |bytes: Vec<u8>| de::Error::custom(format!("{} bytes where {N} belong", bytes.len()));
        bytes.try_into().map(Self).map_err(wrong_length)
    }
}

/// Reads the `key` or the `signature` of a message: a text that is none is read as one that proves nothing, all zeros, so
/// that it fails where it is checked. Who only passes it on need not know what it is.
pub(crate) fn to_be_checked<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<Option<Binary<N>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| text.parse().unwrap_or(Binary([0; N]))))
}

impl<const N: usize> std::str::FromStr for Binary<N> {
    type Err = WrongBinary;

    fn from_str(text: &str) -> Result<Self, WrongBinary> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| WrongBinary)?;
        bytes.try_into().map(Self).map_err(|_| WrongBinary)
    }
}

/// Not base64url without padding, or of another length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the right number of bytes in base64url without padding")]
pub struct WrongBinary;

impl PublicKey {
    /// Whether `signature` over `statement` was made by the owner of this key. Strict: small-order keys and
    /// non-canonical signatures fail (`ed25519-dalek` `verify_strict`).
    #[must_use]
    pub fn verifies(&self, statement: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(statement, &signature).is_ok())
    }
}

/// A user's secret: whoever has it is that user. Wiped from memory when dropped, never shown by `Debug`.
pub struct IdentityKey(SigningKey);

impl IdentityKey {
    /// The key with this secret: 32 bytes of a cryptographic random source, or read back from storage.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// A new key from the system's random source.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self::from_secret(&secret))
    }

    /// The secret, for storage only.
    #[must_use]
    pub fn secret(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// What others know this key by.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        Binary(self.0.verifying_key().to_bytes())
    }

    /// Signs a statement (deterministic, RFC 8032 §5.1.6).
    #[must_use]
    pub fn sign(&self, statement: &[u8]) -> Signature {
        Binary(self.0.sign(statement).to_bytes())
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey(public {})", self.public())
    }
}

/// The bytes that a sign-in signs (section 3). `host` is the authority that the client dialled.
#[must_use]
pub fn login_statement(host: &str, challenge: &Challenge, username: &Username, session: SessionId) -> Vec<u8> {
    let session = session.to_string();
    let parts: [&[u8]; 5] =
        [b"ahoy-login-v1", host.as_bytes(), &challenge.0, username.as_str().as_bytes(), session.as_bytes()];
    parts.join(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_statement_is_the_contract_to_the_byte() {
        let statement = login_statement(
            "calls.example.org",
            &Binary([7; 32]),
            &"alice".parse().unwrap(),
            "9f0c51d2a7e34b18".parse().unwrap(),
        );
        let mut expected = b"ahoy-login-v1\0calls.example.org\0".to_vec();
        expected.extend([7; 32]);
        expected.extend(b"\0alice\09f0c51d2a7e34b18");
        assert_eq!(statement, expected);
    }

    #[test]
    fn what_is_read_for_a_text_that_is_no_key_or_no_signature_proves_nothing() {
        let key = IdentityKey::from_secret(&[1; 32]);
        let nothing = Binary([0; 64]);
        assert!(!key.public().verifies(b"statement", &nothing));
        assert!(!Binary([0; 32]).verifies(b"statement", &nothing));
        assert!(!Binary([0; 32]).verifies(b"statement", &key.sign(b"statement")));
    }

    #[test]
    fn a_signature_holds_for_its_key_and_statement_only() {
        let key = IdentityKey::from_secret(&[1; 32]);
        let signature = key.sign(b"statement");
        assert!(key.public().verifies(b"statement", &signature));
        assert!(!key.public().verifies(b"another", &signature));
        assert!(!IdentityKey::from_secret(&[2; 32]).public().verifies(b"statement", &signature));
        let small_order = Binary([0; 32]);
        assert!(!small_order.verifies(b"statement", &Binary([0; 64])));
    }

    #[test]
    fn binary_values_are_base64url_of_the_right_length() {
        let key = IdentityKey::from_secret(&[3; 32]).public();
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&text).unwrap(), key);
        for bad in ["\"\"", "\"AA\"", "7", &format!("\"{}=\"", key), &format!("\"{}\"", "+".repeat(43))] {
            assert!(serde_json::from_str::<PublicKey>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_secret_is_never_shown() {
        let key = IdentityKey::from_secret(&[9; 32]);
        assert!(!format!("{key:?}").contains(&URL_SAFE_NO_PAD.encode([9; 32])));
    }
}
