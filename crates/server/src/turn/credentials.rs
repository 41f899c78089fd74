//! Credentials that hold for a time (the "TURN REST API", draft-uberti-behave-turn-rest-00): whoever has the secret makes
//! them, and the relay checks them without asking anybody. Pure: the time is an argument.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use stun_types::message::{IntegrityAlgorithm, IntegrityKey, LongTermCredentials};

/// RFC 8489 §9.2.1. Clients take it from the server.
pub(crate) const REALM: &str = "ahoy";
/// RFC 8489 §14.3 has 508 at most; ours are no longer than this.
const USERNAME_MAX: usize = 128;
/// A secret shorter than this can be guessed.
const SECRET_MIN: usize = 16;

/// What both who makes credentials and who checks them know.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

/// A text that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a TURN secret has at least {SECRET_MIN} characters; make one with: openssl rand -hex 32")]
pub struct SecretError;

/// Whose credentials a request was made with.
#[derive(Debug)]
pub(crate) struct Account {
    /// The name after the colon.
    pub(crate) name: Arc<str>,
    /// Seconds since 1970 (UTC) at which they end.
    pub(crate) expiry: u64,
    /// What the request's integrity is checked with.
    pub(crate) key: IntegrityKey,
}

impl Secret {
    /// A secret shared with others.
    ///
    /// # Errors
    /// [`SecretError`] when it is too short to be one.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        if text.len() < SECRET_MIN { Err(SecretError) } else { Ok(Self(text.into())) }
    }

    /// One that nobody else knows: 32 random bytes.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(STANDARD.encode(bytes).into()))
    }

    /// The password for a user name: base64 of its HMAC-SHA1. The same as with coturn's `use-auth-secret`.
    #[must_use]
    pub fn credential(&self, username: &str) -> String {
        STANDARD.encode(mac(self.0.as_bytes(), &[username.as_bytes()]))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The user name that a client signs its requests with until `expiry`, in seconds since 1970.
#[must_use]
pub fn username(expiry: u64, name: &str) -> String {
    format!("{expiry}:{name}")
}

/// Whose credentials these would be. Whether they are genuine, only the request's integrity shows; `None`: no such can be.
pub(crate) fn account(secret: &Secret, username: &str) -> Option<Account> {
    let (expiry, name) = username.split_once(':')?;
    let is_number = !expiry.is_empty() && expiry.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || name.is_empty() || username.len() > USERNAME_MAX {
        return None;
    }
    let expiry = expiry.parse().ok()?;
    let long_term = LongTermCredentials::new(username.to_owned(), secret.credential(username));
    let key = long_term.to_key(REALM.to_owned()).make_key(IntegrityAlgorithm::Sha1);
    Some(Account { name: name.into(), expiry, key })
}

/// HMAC-SHA1 (RFC 2104) of the parts, one after the other.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    // It takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else { return [0; 20] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_what_other_makers_of_them_make() {
        // printf '1700000000:alice' | openssl dgst -sha1 -hmac north-north-west -binary | base64
        let secret = Secret::new("north-north-west").unwrap();
        assert_eq!(secret.credential(&username(1_700_000_000, "alice")), EXPECTED);
        assert_eq!(Secret::new("too short"), Err(SecretError));
        assert_ne!(Secret::random().unwrap(), Secret::random().unwrap());
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    const EXPECTED: &str = "MF7hNNfwpI5MM9kDTossK1cF6Ws=";

    #[test]
    fn a_user_name_says_until_when_and_whose() {
        let secret = Secret::random().unwrap();
        let good = account(&secret, "17:alice").unwrap();
        assert_eq!((&*good.name, good.expiry), ("alice", 17));
        let long = format!("1:{}", "x".repeat(200));
        for bad in ["", "alice", "17:", ":alice", "+17:alice", "-1:alice", "99999999999999999999:alice", &long] {
            assert!(account(&secret, bad).is_none(), "{bad}");
        }
    }
}
