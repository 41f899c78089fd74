//! The verification code of a call (section 9): six digits that both people read to each other. They agree when both
//! devices saw the same keys and the same DTLS certificates, so that nobody sits between them. The caller commits itself
//! to its nonce before it sees the callee's: whoever sits between can try one code in a million, once a call.

use std::fmt;

use hkdf::Hkdf;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::description::Hash;
use crate::identity::{Binary, PublicKey};

/// 32 random bytes of one side, for one call.
pub type Nonce = Binary<32>;
/// The SHA-256 that binds a caller to its nonce.
pub type Commit = Binary<32>;

/// What this is, for HKDF and for the commit.
const CONTEXT: &[u8] = b"ahoy-code-v1";
/// How many codes there are.
const CODES: u64 = 1_000_000;

/// The `verify` message: exactly one of its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Members", into = "Members")]
pub enum Verify {
    /// The caller's first word.
    Commit(Commit),
    /// The callee's word, and then the caller's second.
    Nonce(Nonce),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename = "verify")]
struct Members {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<Commit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<Nonce>,
}

impl TryFrom<Members> for Verify {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, Self::Error> {
        match members {
            Members { commit: Some(commit), nonce: None } => Ok(Self::Commit(commit)),
            Members { commit: None, nonce: Some(nonce) } => Ok(Self::Nonce(nonce)),
            Members { commit: None, nonce: None } => Err("verify has neither commit nor nonce"),
            Members { commit: Some(_), nonce: Some(_) } => Err("verify has both commit and nonce"),
        }
    }
}

impl From<Verify> for Members {
    fn from(verify: Verify) -> Self {
        match verify {
            Verify::Commit(commit) => Self { commit: Some(commit), nonce: None },
            Verify::Nonce(nonce) => Self { commit: None, nonce: Some(nonce) },
        }
    }
}

/// What binds a caller to `nonce`: SHA-256 over `ahoy-code-v1`, NUL and the nonce.
#[must_use]
pub fn commit(nonce: &Nonce) -> Commit {
    let mut hash = Sha256::new();
    hash.update(CONTEXT);
    hash.update([0]);
    hash.update(nonce.0);
    Binary(hash.finalize().into())
}

/// One side of a call, as the code sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party {
    /// Its nonce.
    pub nonce: Nonce,
    /// Its identity key; `None` for a guest.
    pub key: Option<PublicKey>,
    /// SHA-256 of the DTLS certificate that it shook hands with.
    pub certificate: Hash,
}

/// A code: below a million, shown as six digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(u32);

impl Code {
    /// The code of a call (HKDF-SHA-256 of RFC 5869 without salt).
    #[must_use]
    pub fn of(caller: &Party, callee: &Party) -> Self {
        let secret = [caller.nonce.0, callee.nonce.0].concat();
        let key = |party: &Party| party.key.unwrap_or(Binary([0; 32])).0;
        let info: [&[u8]; 5] = [CONTEXT, &key(caller), &key(callee), &caller.certificate, &callee.certificate];
        let mut bytes = [0; 8];
        Hkdf::<Sha256>::new(None, &secret)
            .expand_multi_info(&info, &mut bytes)
            .expect("eight bytes are fewer than the 8,160 that HKDF gives");
        let number = u64::from_be_bytes(bytes) % CODES;
        Self(u32::try_from(number).expect("it is below a million"))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Makes nonces out of one secret, so that who must not use randomness can still have them: SHA-256 over the secret and a
/// counter. They are as hard to foresee as the secret.
#[derive(Clone)]
pub struct Nonces {
    secret: [u8; 32],
    made: u64,
}

impl Nonces {
    /// `secret` is 32 bytes of a cryptographic random source, never used for anything else.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret, made: 0 }
    }

    /// One that was never given before.
    #[must_use]
    pub fn next_nonce(&mut self) -> Nonce {
        self.made += 1;
        let mut hash = Sha256::new();
        hash.update(b"ahoy-nonce");
        hash.update(self.secret);
        hash.update(self.made.to_be_bytes());
        Binary(hash.finalize().into())
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonces({} made)", self.made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(nonce: u8, key: Option<u8>, certificate: u8) -> Party {
        Party { nonce: Binary([nonce; 32]), key: key.map(|key| Binary([key; 32])), certificate: [certificate; 32] }
    }

    /// The vectors of `docs/signaling.md`, made with Python's `hmac` and `hashlib` alone:
    ///
    /// ```python
    /// def code(na, nb, ka, kb, ca, cb):
    ///     prk = hmac.new(bytes(32), na + nb, hashlib.sha256).digest()
    ///     info = b"ahoy-code-v1" + ka + kb + ca + cb
    ///     okm = hmac.new(prk, info + b"\x01", hashlib.sha256).digest()
    ///     return "%06d" % (int.from_bytes(okm[:8], "big") % 1_000_000)
    /// ```
    #[test]
    fn codes_and_commits_are_the_published_ones() {
        for (caller, callee, expected) in [
            (party(1, Some(3), 5), party(2, Some(4), 6), "251465"),
            (party(2, Some(4), 6), party(1, Some(3), 5), "554812"),
            (party(1, None, 5), party(2, Some(4), 6), "355511"),
            (party(1, None, 5), party(2, None, 6), "788102"),
            (party(20, Some(3), 5), party(2, Some(4), 6), "095255"),
        ] {
            assert_eq!(Code::of(&caller, &callee).to_string(), expected);
        }
        assert_eq!(commit(&Binary([1; 32])).to_string(), "i7BAwBUdzsvTyAEgDLWzfj9BM1iv8yw6HDr5SKYeDJs");
    }

    #[test]
    fn whatever_is_different_makes_another_code() {
        let (caller, callee) = (party(1, Some(3), 5), party(2, Some(4), 6));
        let code = Code::of(&caller, &callee);
        for (caller, callee) in [
            (callee, caller),
            (party(7, Some(3), 5), callee),
            (party(1, Some(7), 5), callee),
            (party(1, None, 5), callee),
            (party(1, Some(3), 7), callee),
            (caller, party(7, Some(4), 6)),
            (caller, party(2, Some(7), 6)),
            (caller, party(2, None, 6)),
            (caller, party(2, Some(4), 7)),
        ] {
            assert_ne!(Code::of(&caller, &callee), code, "{caller:?} {callee:?}");
        }
    }

    #[test]
    fn a_word_is_a_commit_or_a_nonce() {
        for word in [Verify::Commit(Binary([1; 32])), Verify::Nonce(Binary([2; 32]))] {
            let text = serde_json::to_string(&word).unwrap();
            assert_eq!(text.matches("verify").count(), 1, "{text}");
            assert_eq!(serde_json::from_str::<Verify>(&text).unwrap(), word);
        }
        let value = Binary([1; 32]);
        for text in [
            r#"{"type":"verify"}"#.to_owned(),
            r#"{"type":"verify","commit":7}"#.to_owned(),
            r#"{"type":"verify","nonce":"AA"}"#.to_owned(),
            format!(r#"{{"type":"verify","commit":"{value}","nonce":"{value}"}}"#),
        ] {
            assert!(serde_json::from_str::<Verify>(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_nonce_comes_twice_and_the_secret_is_never_shown() {
        let (mut nonces, mut others) = (Nonces::new([1; 32]), Nonces::new([2; 32]));
        let made = [nonces.next_nonce(), nonces.next_nonce(), others.next_nonce(), others.next_nonce()];
        for (at, nonce) in made.iter().enumerate() {
            assert!(!made[at + 1..].contains(nonce));
        }
        assert_eq!(format!("{nonces:?}"), "Nonces(2 made)");
    }
}
