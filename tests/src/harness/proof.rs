//! The two signatures of the contract (section 3, and "Proof" of section 5), written from its text and from nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The key of somebody.
#[derive(Debug, Clone)]
pub struct Key(SigningKey);

impl Key {
    /// A key of its own for each number.
    #[must_use]
    pub fn number(number: u8) -> Self {
        Self(SigningKey::from_bytes(&[number; 32]))
    }

    /// The public half, as `key` carries it.
    #[must_use]
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes())
    }

    /// The signature of a sign-in.
    ///
    /// # Panics
    /// When the challenge is no base64url.
    #[must_use]
    pub fn sign_login(&self, host: &str, challenge: &str, username: &str, session: &str) -> String {
        let challenge = URL_SAFE_NO_PAD.decode(challenge).expect("binary values are base64url without padding");
        let parts: [&[u8]; 5] =
            [b"ahoy-login-v1", host.as_bytes(), &challenge, username.as_bytes(), session.as_bytes()];
        self.sign(&parts.join(&0))
    }

    /// The signature of a description: `kind` is `offer`, `answer` or `early`, `people` its maker and its receiver,
    /// `offer` the offer that it answers, `receiver_key` the receiver's key where it is pinned.
    #[must_use]
    #[allow(clippy::too_many_arguments, reason = "the contract binds that many things together")]
    pub fn sign_description(
        &self,
        kind: &str,
        call: &str,
        n: u64,
        people: [&str; 2],
        sdp: &str,
        offer: Option<&str>,
        receiver_key: Option<&[u8; 32]>,
    ) -> String {
        self.sign(&description(kind, call, n, people, sdp, offer, receiver_key))
    }

    fn sign(&self, statement: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.0.sign(statement).to_bytes())
    }
}

/// Whether a received `offer` or `answer` is signed by the key that it shows, for `receiver`, who has no key that its
/// maker could have pinned.
///
/// # Panics
/// When a member is missing or malformed.
#[must_use]
pub fn is_proven(message: &Value, receiver: &str, offer: Option<&str>) -> bool {
    let text = |member: &str| message[member].as_str().unwrap_or_else(|| panic!("no {member} in {message}"));
    let binary = |member: &str| URL_SAFE_NO_PAD.decode(text(member)).expect("base64url without padding");
    let key = VerifyingKey::try_from(binary("key").as_slice()).expect("32 bytes of a key");
    let signature = Signature::from_slice(&binary("signature")).expect("64 bytes of a signature");
    let maker = text("from").split('/').next().expect("the first part is always there");
    let kind = if message["early"] == true { "early" } else { text("type") };
    let n = message["n"].as_u64().expect("a number");
    let statement = description(kind, text("call"), n, [maker, receiver], text("sdp"), offer, None);
    key.verify_strict(&statement, &signature).is_ok()
}

fn description(
    kind: &str,
    call: &str,
    n: u64,
    [maker, receiver]: [&str; 2],
    sdp: &str,
    offer: Option<&str>,
    receiver_key: Option<&[u8; 32]>,
) -> Vec<u8> {
    let (n, sdp) = (n.to_string(), Sha256::digest(sdp));
    let offer: [u8; 32] = offer.map_or([0; 32], |offer| Sha256::digest(offer).into());
    let parts: [&[u8]; 9] = [
        b"ahoy-sdp-v1",
        kind.as_bytes(),
        call.as_bytes(),
        n.as_bytes(),
        maker.as_bytes(),
        receiver.as_bytes(),
        &sdp,
        &offer,
        receiver_key.unwrap_or(&[0; 32]),
    ];
    parts.join(&0)
}
