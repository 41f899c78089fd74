//! Certificates of TLS servers: from an authority that the peers trust, and others.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use ahoy_tests::harness::DEADLINE;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// An authority, whose certificate lies in a file.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

/// A server's certificate with its key.
pub(crate) struct Leaf {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("there is randomness");
        let mut params = CertificateParams::new(Vec::new()).expect("no names are no wrong ones");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).expect("the parameters are sound");
        let folder = tempfile::tempdir().expect("a folder can be made");
        std::fs::write(folder.path().join("authority.pem"), own.pem()).expect("a file can be written");
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// What makes a program trust this authority.
    pub(crate) fn trusted(&self) -> [(&'static str, PathBuf); 1] {
        [("SSL_CERT_FILE", self.folder.path().join("authority.pem"))]
    }

    pub(crate) fn leaf(&self, name: &str) -> Leaf {
        self.sign(params(name))
    }

    pub(crate) fn expired_leaf(&self, name: &str) -> Leaf {
        let mut params = params(name);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Leaf {
        let key = KeyPair::generate().expect("there is randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters are sound");
        Leaf { certificate, key }
    }
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).expect("the name is one")
}

impl Leaf {
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().expect("there is randomness");
        let certificate = params(name).self_signed(&key).expect("the parameters are sound");
        Self { certificate, key }
    }

    /// The certificate and the key as files have them.
    pub(crate) fn pem(&self) -> [String; 2] {
        [self.certificate.pem(), self.key.serialize_pem()]
    }

    /// Waits for a client and does what a server does. Whether the client trusted this certificate, and what it said then.
    pub(crate) fn what_the_next_client_says(&self, listener: &TcpListener) -> (bool, Vec<u8>) {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .expect("the key is the certificate's");
        // It also says how long a client is waited for.
        set_socket_timeout(listener, Timeout::Recv, Some(DEADLINE)).expect("a socket can wait");
        let (stream, _) = listener.accept().expect("a client comes");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket can wait");
        let connection = ServerConnection::new(Arc::new(config)).expect("the configuration is sound");
        let mut stream = StreamOwned::new(connection, stream);
        let mut said = Vec::new();
        // Ends with the client's alert, or with its last word.
        let ended = stream.read_to_end(&mut said);
        (ended.is_ok() || !stream.conn.is_handshaking(), said)
    }
}
