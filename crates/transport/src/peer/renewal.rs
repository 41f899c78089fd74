//! What a connection that is up needs to find another path: which address it leaves by, and fresh servers.

use super::connection::configuration;
use super::{IceServer, Peer, TransportError};
use crate::stats;
use std::net::IpAddr;

impl Peer {
    /// From the next own description on, these STUN and TURN servers are used (webrtc-pc §4.4.2, `setConfiguration`): one that
    /// restarts ICE finds candidates with them, and any other makes them known to relays in use. An empty list changes nothing.
    ///
    /// # Errors
    ///
    /// When the connection is closed, or takes none of them.
    pub async fn set_ice_servers(&self, servers: &[IceServer]) -> Result<(), TransportError> {
        let shared = &self.shared;
        let configuration = configuration(servers, shared.relay_only, &shared.sockets);
        shared.within("setting ICE servers", shared.connection.set_configuration(configuration)).await
    }

    /// The machine's own address that the path leaves by; what is known of it, if a server stands between. `None` while there
    /// is no path.
    pub async fn own_address(&self) -> Option<IpAddr> {
        let negotiation = self.shared.negotiation.lock().await;
        let senders = &self.shared.transport_senders;
        stats::selected(senders, |address| negotiation.signalled_kind(address)).await?.own
    }
}
