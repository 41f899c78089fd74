//! A server at a `wss://` address whose certificate is not good: nothing is said to it, not even a name.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ahoy_tests::harness::DEADLINE;
use ahoy_tests::harness::cli::Cli;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

#[test]
fn a_server_whose_certificate_is_expired_self_signed_or_for_another_host_is_told_nothing() {
    let mut root = CertificateParams::new(Vec::new()).expect("no names");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, new_key()).expect("it can sign itself");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, root.pem()).expect("there is room");

    let of = |host: &str| CertificateParams::new([host.to_owned()]).expect("a name");
    let signed = |params: CertificateParams| {
        let key = new_key();
        (params.signed_by(&key, &root).expect("the root can sign").der().clone(), key)
    };
    let mut expired = of("localhost");
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let own = new_key();
    let self_signed = of("localhost").self_signed(&own).expect("it can sign itself").der().clone();
    for (what, (certificate, key), is_good) in [
        ("good", signed(of("localhost")), true),
        ("expired", signed(expired), false),
        ("self-signed", (self_signed, own), false),
        ("for another host", signed(of("elsewhere.example")), false),
    ] {
        let (port, outcome) = listen(certificate, key);
        let alice = Cli::at(&format!("wss://localhost:{port}/ws"), "alice");
        let alice = alice.with_environment([("SSL_CERT_FILE", trusted.clone())]);
        let mut running = alice.start("answer");
        let outcome = outcome.recv_timeout(DEADLINE).expect("somebody comes in time");
        match outcome {
            Ok(said) => assert!(is_good && said.starts_with("GET /ws "), "{what}: said {said:?}"),
            Err(error) => assert!(!is_good && error.contains("alert"), "{what}: {error}"),
        }
        assert!(running.all("signed_in").is_empty());
        running.process().kill();
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("there is randomness")
}

/// Listens for one connection and tells what its client said first, or why there was no handshake.
fn listen(certificate: CertificateDer<'static>, key: KeyPair) -> (u16, Receiver<Result<String, String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it listens").port();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("certificate and key belong together");
    let (told, outcome) = channel();
    thread::spawn(move || {
        let first_words = || -> std::io::Result<String> {
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(DEADLINE))?;
            let mut connection = ServerConnection::new(Arc::new(config)).map_err(std::io::Error::other)?;
            let mut words = [0; 256];
            let length = Stream::new(&mut connection, &mut stream).read(&mut words)?;
            Ok(String::from_utf8_lossy(&words[..length]).into_owned())
        };
        // Nobody waits any more where the test has failed.
        let _ = told.send(first_words().map_err(|error| error.to_string()));
    });
    (port, outcome)
}
