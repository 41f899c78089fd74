//! What is relayed: Send indications and ChannelData from clients, datagrams from peers (RFC 8656 §11, §12).

use std::net::SocketAddr;

use super::{Action, Client, Now, Relay, RelayId, Transport};
use crate::turn::frames::FRAME_MAX;
use crate::turn::message::{Attributes, Head};
use crate::turn::metrics::{Dropped, Way};

/// UDP carries no more over IPv4; what claims to be longer is not looked at.
const PAYLOAD_MAX: usize = 65_507;

impl Relay {
    /// Takes a datagram that came to a relay's socket.
    pub(crate) fn hear_peer<'a>(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: SocketAddr,
        payload: &'a [u8],
    ) -> Action<'a> {
        let Some(allocation) = self.allocations.get(&relay).filter(|found| now.instant < found.expires) else {
            return Action::Nothing;
        };
        if allocation.permission(peer.ip(), now.instant).is_none() {
            self.metrics.lose(Dropped::Permission);
            return Action::Nothing;
        }
        let Ok(length) = u16::try_from(payload.len()) else { return Action::Nothing };
        let is_stream = matches!(allocation.client.transport, Transport::Stream(_));
        let (head, align) = match allocation.number_of(peer, now.instant) {
            Some(number) => (Head::channel(number, length), if is_stream { 4 } else { 1 }),
            None => {
                // Nobody answers an indication, so that its transaction has a number is all that is needed of it.
                self.next += 1;
                (Head::indication(peer, length, self.next.into()), 4)
            }
        };
        // Peers choose the length; a client may take what is longer for the end of the stream.
        if is_stream && (head.as_bytes().len() + payload.len()).next_multiple_of(align) > FRAME_MAX {
            self.metrics.lose(Dropped::Size);
            return Action::Nothing;
        }
        if !self.users.may_carry(&allocation.name, Way::ToClient, payload.len(), now.instant) {
            self.metrics.lose(Dropped::Rate);
            return Action::Nothing;
        }
        self.metrics.relay(Way::ToClient, payload.len());
        Action::ToClient { client: allocation.client, head, payload, align }
    }

    /// A Send indication (RFC 8656 §11.2). Nobody is told when it is not passed on.
    pub(super) fn send<'a>(&mut self, now: Now, client: Client, asked: &Attributes<'a>) -> Action<'a> {
        let (&[peer], Some(data)) = (&asked.peers[..], asked.data) else { return self.malformed() };
        if asked.malformed || !asked.unknown.is_empty() {
            return self.malformed();
        }
        match self.clients.get(&client).copied() {
            Some(relay) => self.pass_on(now, relay, peer, data),
            None => Action::Nothing,
        }
    }

    /// RFC 8656 §12.6. Behind it there may be padding, over UDP too.
    pub(super) fn channel_data<'a>(&mut self, now: Now, client: Client, bytes: &'a [u8]) -> Action<'a> {
        let [first, second, high, low, rest @ ..] = bytes else { return self.malformed() };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(payload) = rest.get(..length) else { return self.malformed() };
        let number = u16::from_be_bytes([*first, *second]);
        let Some(relay) = self.clients.get(&client).copied() else { return Action::Nothing };
        let peer = self.allocations.get(&relay).and_then(|allocation| allocation.peer_of(number, now.instant));
        match peer {
            Some(peer) => self.pass_on(now, relay, peer, payload),
            None => {
                self.metrics.lose(Dropped::Permission);
                Action::Nothing
            }
        }
    }

    fn pass_on<'a>(&mut self, now: Now, relay: RelayId, peer: SocketAddr, payload: &'a [u8]) -> Action<'a> {
        let is_public = self.may_reach(peer.ip());
        let Some(allocation) = self.allocations.get(&relay).filter(|found| now.instant < found.expires) else {
            return Action::Nothing;
        };
        let Some(permission) = allocation.permission(peer.ip(), now.instant) else {
            self.metrics.lose(Dropped::Permission);
            return Action::Nothing;
        };
        let other = self.relayed.get(&peer).copied();
        let may = if permission.own { other.is_some() } else { is_public };
        if !may || peer.port() == 0 || payload.len() > PAYLOAD_MAX {
            self.metrics.lose(Dropped::Peer);
            return Action::Nothing;
        }
        if !self.users.may_carry(&allocation.name, Way::ToPeer, payload.len(), now.instant) {
            self.metrics.lose(Dropped::Rate);
            return Action::Nothing;
        }
        let from = allocation.relayed;
        self.metrics.relay(Way::ToPeer, payload.len());
        match other {
            // From relay to relay without leaving the server.
            Some(other) => self.hear_peer(now, other, from, payload),
            None => Action::ToPeer { relay, peer, payload },
        }
    }
}
