//! The certificate that a client shows in every DTLS handshake of one run.

use crate::peer::TransportError;
use rtc::peer_connection::certificate::CertificateParams;
use webrtc::peer_connection::RTCCertificate;
use webrtc::peer_connection::crypto;

/// A self-signed ECDSA P-256 certificate with its key. Cheap to clone; the key is not shown.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) inner: RTCCertificate,
    fingerprint: String,
}

impl Certificate {
    /// Makes a certificate. Takes well under a millisecond; nothing is stored.
    ///
    /// # Errors
    ///
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, TransportError> {
        generate().map_err(|source| TransportError::Connection { doing: "making a certificate", source })
    }

    /// The SHA-256 of the certificate as descriptions show it: upper case pairs, separated by colons.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

fn generate() -> Result<Certificate, Box<dyn std::error::Error + Send + Sync>> {
    let provider = crypto::default_provider()?;
    let parameters = CertificateParams::new(vec!["ahoy".to_owned()])?;
    let inner = RTCCertificate::generate(provider.crypto(), crypto::SignatureScheme::EcdsaP256Sha256, parameters)?;
    let fingerprints = inner.get_fingerprints(provider.crypto())?;
    let fingerprint = fingerprints.first().map(|fingerprint| fingerprint.value.to_ascii_uppercase());
    Ok(Certificate { inner, fingerprint: fingerprint.unwrap_or_default() })
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Certificate").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}
