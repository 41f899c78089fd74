//! Nonces that need no memory (RFC 8489 §9.2.1): each says until when it holds and for whom, and is signed.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::turn::credentials::mac;

/// How long one holds, in seconds: as long as a call may last. Some clients (`rtc-turn` 0.21) lose a relay when a nonce
/// goes stale while they refresh.
const LIFETIME_S: u64 = 24 * 3_600;
const SIGNATURE: usize = 12;

/// Makes and checks them.
#[derive(Debug)]
pub(crate) struct Nonces {
    key: [u8; 32],
}

impl Nonces {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// One for a client at this address; `unix` in seconds since 1970.
    pub(crate) fn make(&self, unix: u64, client: SocketAddr) -> String {
        let expiry = (unix + LIFETIME_S).to_be_bytes();
        URL_SAFE_NO_PAD.encode([&expiry[..], &self.sign(&expiry, client)].concat())
    }

    /// Whether it was made here, for this client, and still holds.
    pub(crate) fn is_fresh(&self, nonce: &[u8], unix: u64, client: SocketAddr) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let Some((expiry, signature)) = bytes.split_first_chunk::<8>() else { return false };
        // It is no secret who a nonce is for, so nothing is lost when this takes more or less time.
        signature == self.sign(expiry, client) && unix < u64::from_be_bytes(*expiry)
    }

    fn sign(&self, expiry: &[u8; 8], client: SocketAddr) -> [u8; SIGNATURE] {
        let whole = mac(&self.key, &[expiry, client.to_string().as_bytes()]);
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(&whole[..SIGNATURE]);
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_for_one_address_and_for_a_day() {
        let nonces = Nonces::new([1; 32]);
        let [one, other] = ["192.0.2.1:5", "192.0.2.1:6"].map(|text| text.parse::<SocketAddr>().unwrap());
        let nonce = nonces.make(1_000, one);
        assert!(nonce.len() <= 40);
        assert!(nonces.is_fresh(nonce.as_bytes(), 1_000 + LIFETIME_S - 1, one));
        assert!(!nonces.is_fresh(nonce.as_bytes(), 1_000 + LIFETIME_S, one));
        assert!(!nonces.is_fresh(nonce.as_bytes(), 1_000, other));
        assert!(!Nonces::new([2; 32]).is_fresh(nonce.as_bytes(), 1_000, one));
        for bad in [&b""[..], b"x", b"\xFF\xFE", &nonce.as_bytes()[1..], &[b'A'; 500]] {
            assert!(!nonces.is_fresh(bad, 1_000, one));
        }
    }
}
