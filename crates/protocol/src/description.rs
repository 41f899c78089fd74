//! Session descriptions and their proof (section 5, "Proof"): who made a description, for whom, in which call.
//! What is inside the SDP beyond its fingerprint is the transport's business.

use sha2::{Digest as _, Sha256};

use crate::id::{CallId, Username};
use crate::identity::{Binary, IdentityKey, PublicKey, Signature};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// What a description is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescriptionKind {
    /// An offer.
    Offer,
    /// An answer whose maker's user accepted.
    Answer,
    /// An answer whose maker's user has not accepted yet.
    Early,
}

impl DescriptionKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Early => "early",
        }
    }
}

/// What a signature binds together.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// What the description is.
    pub kind: DescriptionKind,
    /// The call it belongs to.
    pub call: CallId,
    /// Its number.
    pub n: u32,
    /// Who made it.
    pub maker: &'a Username,
    /// Whom it is for.
    pub receiver: &'a Username,
    /// For an answer: [`hash`] of the offer's SDP.
    pub offer: Option<Hash>,
    /// The receiver's key, where the maker has it pinned.
    pub receiver_key: Option<PublicKey>,
}

impl Statement<'_> {
    /// The maker's signature over this and `sdp`.
    #[must_use]
    pub fn sign(&self, sdp: &str, key: &IdentityKey) -> Signature {
        key.sign(&self.bytes(&hash(sdp)))
    }

    fn bytes(&self, sdp: &Hash) -> Vec<u8> {
        let call = self.call.to_string();
        let n = self.n.to_string();
        let parts: [&[u8]; 9] = [
            b"ahoy-sdp-v1",
            self.kind.as_str().as_bytes(),
            call.as_bytes(),
            n.as_bytes(),
            self.maker.as_str().as_bytes(),
            self.receiver.as_str().as_bytes(),
            sdp,
            &self.offer.unwrap_or_default(),
            &self.receiver_key.unwrap_or(Binary([0; 32])).0,
        ];
        parts.join(&0)
    }
}

/// SHA-256 of an SDP's UTF-8 text.
#[must_use]
pub fn hash(sdp: &str) -> Hash {
    Sha256::digest(sdp.as_bytes()).into()
}

/// A description as it came in. Its SDP cannot be read before [`SignedDescription::prove`] accepted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDescription {
    kind: DescriptionKind,
    n: u32,
    sdp: String,
    key: Option<PublicKey>,
    signature: Option<Signature>,
}

/// What the receiver knows when it judges a description.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The call it came in.
    pub call: CallId,
    /// The username that the server stamped.
    pub maker: &'a Username,
    /// The receiver: oneself.
    pub receiver: &'a Username,
    /// For an answer: [`hash`] of the offer that it should answer.
    pub offer: Option<Hash>,
    /// The receiver's own key; `None` for a guest.
    pub own_key: Option<PublicKey>,
    /// The key that the maker is known by.
    pub pinned: Option<PublicKey>,
}

/// Who vouches for a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The owner of this key.
    Key(PublicKey),
    /// Nobody: the maker is a guest. Shown as unverified.
    Guest,
}

/// A description whose maker is proven, as far as it can be. Made by [`SignedDescription::prove`] alone, so whoever
/// holds one has checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenDescription {
    kind: DescriptionKind,
    n: u32,
    sdp: String,
    proof: Proof,
}

/// Why a description is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Neither a guest's nor signed.
    #[error("the description is not signed")]
    Unsigned,
    /// The signature does not fit the key, the call or the people.
    #[error("the signature is wrong")]
    BadSignature,
    /// Signed by another key than the one known: the name may be in other hands.
    #[error("the key is not the one known for this name")]
    KeyChanged,
    /// No `sha-256` fingerprint to hold the DTLS certificate against, or several that differ (RFC 8122 §5).
    #[error("the description has no single sha-256 fingerprint")]
    NoFingerprint,
}

impl SignedDescription {
    /// A description as received, with what should prove it.
    #[must_use]
    pub fn new(
        kind: DescriptionKind,
        n: u32,
        sdp: String,
        key: Option<PublicKey>,
        signature: Option<Signature>,
    ) -> Self {
        Self { kind, n, sdp, key, signature }
    }

    /// What it says it is.
    #[must_use]
    pub fn kind(&self) -> DescriptionKind {
        self.kind
    }

    /// Its number.
    #[must_use]
    pub fn n(&self) -> u32 {
        self.n
    }

    /// The key that it shows; nothing is proven of it yet.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        self.key
    }

    /// Checks who made it.
    ///
    /// # Errors
    /// [`ProofError`]; the description is to be dropped and the user told.
    pub fn prove(self, expected: &Expectation<'_>) -> Result<ProvenDescription, ProofError> {
        fingerprint_sha256(&self.sdp).ok_or(ProofError::NoFingerprint)?;
        let proof = if expected.maker.is_guest() { Proof::Guest } else { Proof::Key(self.proven_key(expected)?) };
        Ok(ProvenDescription { kind: self.kind, n: self.n, sdp: self.sdp, proof })
    }

    fn proven_key(&self, expected: &Expectation<'_>) -> Result<PublicKey, ProofError> {
        let (Some(key), Some(signature)) = (self.key, self.signature) else { return Err(ProofError::Unsigned) };
        let sdp = hash(&self.sdp);
        // The maker may not have this user's key pinned yet; then it signs zeros in its place.
        let receiver_keys = [expected.own_key, None];
        let good = receiver_keys.into_iter().any(|receiver_key| {
            let statement = Statement {
                kind: self.kind,
                call: expected.call,
                n: self.n,
                maker: expected.maker,
                receiver: expected.receiver,
                offer: expected.offer,
                receiver_key,
            };
            key.verifies(&statement.bytes(&sdp), &signature)
        });
        if !good {
            return Err(ProofError::BadSignature);
        }
        // Last: a changed key is shown to the user, so whoever shows it must have it.
        if expected.pinned.is_some_and(|pinned| pinned != key) { Err(ProofError::KeyChanged) } else { Ok(key) }
    }
}

impl ProvenDescription {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> DescriptionKind {
        self.kind
    }

    /// Its number.
    #[must_use]
    pub fn n(&self) -> u32 {
        self.n
    }

    /// The SDP.
    #[must_use]
    pub fn sdp(&self) -> &str {
        &self.sdp
    }

    /// Who vouches for it.
    #[must_use]
    pub fn proof(&self) -> Proof {
        self.proof
    }
}

/// The one SHA-256 certificate fingerprint of an SDP (RFC 8122 §5); `None` where there is none, where one is malformed,
/// or where sections name different ones (with BUNDLE there is one certificate).
#[must_use]
pub fn fingerprint_sha256(sdp: &str) -> Option<Hash> {
    let mut found = None;
    for line in sdp.lines() {
        let Some((method, value)) = line.strip_prefix("a=fingerprint:").and_then(|rest| rest.trim().split_once(' '))
        else {
            continue;
        };
        if !method.eq_ignore_ascii_case("sha-256") {
            continue;
        }
        let fingerprint = colon_hex(value.trim())?;
        if found.is_some_and(|earlier| earlier != fingerprint) {
            return None;
        }
        found = Some(fingerprint);
    }
    found
}

fn colon_hex(text: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    let mut pairs = text.split(':');
    for byte in &mut bytes {
        let pair = pairs.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint_line(fingerprint: &Hash) -> String {
        let pairs: Vec<String> = fingerprint.iter().map(|b| format!("{b:02X}")).collect();
        format!("a=fingerprint:sha-256 {}", pairs.join(":"))
    }

    struct Scene {
        alice: IdentityKey,
        bob: IdentityKey,
        names: (Username, Username),
        call: CallId,
        sdp: String,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                alice: IdentityKey::from_secret(&[1; 32]),
                bob: IdentityKey::from_secret(&[2; 32]),
                names: ("alice".parse().unwrap(), "bob".parse().unwrap()),
                call: CallId::from_random_bytes([3; 16]),
                sdp: format!("v=0\r\n{}\r\n", fingerprint_line(&[0xAB; 32])),
            }
        }

        fn statement(&self) -> Statement<'_> {
            let (maker, receiver) = (&self.names.0, &self.names.1);
            let kind = DescriptionKind::Offer;
            Statement { kind, call: self.call, n: 0, maker, receiver, offer: None, receiver_key: None }
        }

        fn expectation(&self) -> Expectation<'_> {
            let (maker, receiver) = (&self.names.0, &self.names.1);
            let own_key = Some(self.bob.public());
            Expectation { call: self.call, maker, receiver, offer: None, own_key, pinned: None }
        }

        fn signed(&self, statement: &Statement<'_>) -> SignedDescription {
            let signature = statement.sign(&self.sdp, &self.alice);
            let key = Some(self.alice.public());
            SignedDescription::new(statement.kind, statement.n, self.sdp.clone(), key, Some(signature))
        }
    }

    #[test]
    fn the_statement_is_the_contract_to_the_byte() {
        let scene = Scene::new();
        let mut expected = format!("ahoy-sdp-v1\0offer\0{}\00\0alice\0bob\0", scene.call).into_bytes();
        expected.extend(hash(&scene.sdp));
        expected.push(0);
        expected.extend([0; 32]);
        expected.push(0);
        expected.extend([0; 32]);
        assert_eq!(scene.statement().bytes(&hash(&scene.sdp)), expected);
    }

    #[test]
    fn a_good_signature_proves_with_and_without_the_receivers_key() {
        let scene = Scene::new();
        for receiver_key in [None, Some(scene.bob.public())] {
            let description = scene.signed(&Statement { receiver_key, ..scene.statement() });
            let proven = description.prove(&scene.expectation()).unwrap();
            assert_eq!(proven.proof(), Proof::Key(scene.alice.public()));
        }
        let for_another = Statement { receiver_key: Some(scene.alice.public()), ..scene.statement() };
        assert_eq!(scene.signed(&for_another).prove(&scene.expectation()), Err(ProofError::BadSignature));
    }

    #[test]
    fn each_thing_that_the_signature_binds_is_checked() {
        let scene = Scene::new();
        let good = || scene.signed(&scene.statement());
        let carol: Username = "carol".parse().unwrap();
        let other_call = CallId::from_random_bytes([4; 16]);
        for expectation in [
            Expectation { call: other_call, ..scene.expectation() },
            Expectation { maker: &carol, ..scene.expectation() },
            Expectation { receiver: &carol, ..scene.expectation() },
            Expectation { offer: Some([1; 32]), ..scene.expectation() },
        ] {
            assert_eq!(good().prove(&expectation), Err(ProofError::BadSignature));
        }
        for forged in [
            SignedDescription { kind: DescriptionKind::Early, ..good() },
            SignedDescription { n: 1, ..good() },
            SignedDescription { sdp: scene.sdp.replace("AB:", "AC:"), ..good() },
        ] {
            assert_eq!(forged.prove(&scene.expectation()), Err(ProofError::BadSignature));
        }
        let unsigned = SignedDescription { signature: None, ..good() };
        assert_eq!(unsigned.prove(&scene.expectation()), Err(ProofError::Unsigned));
        let pinned = Some(scene.bob.public());
        assert_eq!(good().prove(&Expectation { pinned, ..scene.expectation() }), Err(ProofError::KeyChanged));
    }

    #[test]
    fn a_guest_proves_nothing_and_needs_a_fingerprint_all_the_same() {
        let scene = Scene::new();
        let guest: Username = "guest-1".parse().unwrap();
        let expectation = Expectation { maker: &guest, ..scene.expectation() };
        let unsigned = |sdp: &str| SignedDescription::new(DescriptionKind::Offer, 0, sdp.into(), None, None);
        assert_eq!(unsigned(&scene.sdp).prove(&expectation).unwrap().proof(), Proof::Guest);
        let other = fingerprint_line(&[1; 32]);
        for sdp in ["v=0", "a=fingerprint:sha-256 AB", "a=fingerprint:sha-1 AB", &format!("{}{other}", scene.sdp)] {
            assert_eq!(unsigned(sdp).prove(&expectation), Err(ProofError::NoFingerprint), "{sdp}");
        }
        let twice = format!("{0}{0}", scene.sdp);
        assert!(unsigned(&twice).prove(&expectation).is_ok(), "the same one in every section is one");
    }
}
