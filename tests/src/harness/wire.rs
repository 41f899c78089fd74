//! A real peer connection without an app around it, over 127.0.0.1: the end of whoever does with it what no app of ours does.

use ahoy_transport::{Certificate, PeerConfig, VideoCodec};

/// How to open one that sends and takes pictures in `codec`.
///
/// # Panics
/// When the system has no randomness to give.
#[must_use]
pub fn on_loopback(codec: VideoCodec) -> PeerConfig {
    PeerConfig {
        ice_servers: Vec::new(),
        relay_only: false,
        loopback: true,
        certificate: Certificate::generate().expect("there is randomness"),
        video_codecs: vec![codec],
        known_rates: Vec::new(),
    }
}
