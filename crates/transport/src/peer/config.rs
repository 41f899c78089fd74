//! What a peer connection is made from.

use crate::certificate::Certificate;
use crate::network::Network;
use crate::track::VideoCodec;

/// What a peer connection is made from.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// STUN servers over UDP, and TURN servers over UDP, TCP and TLS. What cannot be used is passed over.
    pub ice_servers: Vec<IceServer>,
    /// Use nothing but TURN servers, so that the peer does not learn this machine's addresses.
    pub relay_only: bool,
    /// Use 127.0.0.1 alone, for machines without a network, and let such candidates of the peer pass.
    pub loopback: bool,
    /// Shown to the peer.
    pub certificate: Certificate,
    /// What is offered and taken for pictures, the preferred first. The first that the peer takes too is what is sent.
    pub video_codecs: Vec<VideoCodec>,
    /// What paths to this peer carried in earlier connections, in bits a second, by the network that they left by. The first
    /// entry for the network of the path is where its estimate begins, carefully, until the peer reports.
    pub known_rates: Vec<(Network, u64)>,
}

/// A STUN or TURN server.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// RFC 7064 and RFC 7065.
    pub urls: Vec<String>,
    /// Empty for STUN.
    pub username: String,
    /// Empty for STUN.
    pub credential: String,
}

impl std::fmt::Debug for IceServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("IceServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}
