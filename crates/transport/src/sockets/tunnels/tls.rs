//! TLS to a TURN server. It trusts what the system trusts, as the connection to the signaling server does, and there is no
//! switch for less.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Read once a program: hundreds of files on some systems.
static CONFIG: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();

/// The handshake. The server has to prove that it is `host`, a name or an IP address.
///
/// # Errors
///
/// When it does not, or the system's certificates cannot be read.
pub(super) async fn shake_hands(stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let config = CONFIG
        .get_or_try_init(|| async { tokio::task::spawn_blocking(config).await.map_err(io::Error::from)? })
        .await?;
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

fn config() -> io::Result<Arc<ClientConfig>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "some of the system's certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, "the system's certificates");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
