//! Our own interceptors in the `rtc` crate's chain: what each of them does with the packets that pass, and the plumbing that
//! they share. The chain's order is in `peer/connection.rs`.

mod arrivals;
mod bandwidth;
mod loss;
mod rate;
mod reports;
mod resends;
mod tap;

pub(crate) use arrivals::Arrivals;
pub(crate) use bandwidth::Bandwidth;
pub(crate) use loss::LossRequests;
pub(crate) use reports::Reports;
pub(crate) use resends::Resends;
pub(crate) use tap::Tap;

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::time::Instant;

/// One of our interceptors. All packets pass; it may add some of its own to those that go out.
pub(crate) trait Part: Send + Sync {
    /// A packet from the peer.
    fn received(&mut self, _now: Instant, _packet: &Packet) {}

    /// A packet to the peer.
    fn sent(&mut self, _now: Instant, _packet: &Packet) {}

    /// The same packet, to be let pass now, changed or not, or to be held and given back by [`Self::poll_packet`].
    fn pass(&mut self, _now: Instant, packet: Packet) -> Option<Packet> {
        Some(packet)
    }

    /// Something may be due.
    fn handle_timeout(&mut self, _now: Instant) {}

    /// When something is due next.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// What it has to send. Asked until there is no more.
    fn poll_packet(&mut self) -> Option<Packet> {
        None
    }
}

/// A [`Part`] in its place in the chain.
pub(crate) struct Stage<P> {
    part: P,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl<P: Part> Stage<P> {
    pub(crate) fn new(part: P) -> Self {
        Self { part, reads: VecDeque::new(), writes: VecDeque::new() }
    }

    fn take_packets(&mut self, now: Instant) {
        while let Some(packet) = self.part.poll_packet() {
            let message = AttributedPacket::new(packet);
            self.writes.push_back(TaggedPacket { now, transport: TransportContext::default(), message });
        }
    }
}

impl<P: Part> Protocol<TaggedPacket, TaggedPacket, ()> for Stage<P> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.part.received(packet.now, &packet.message.packet);
        self.take_packets(packet.now);
        self.reads.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let TaggedPacket { now, transport, message: AttributedPacket { attributes, packet } } = packet;
        self.part.sent(now, &packet);
        if let Some(packet) = self.part.pass(now, packet) {
            self.writes.push_back(TaggedPacket { now, transport, message: AttributedPacket { attributes, packet } });
        }
        self.take_packets(now);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.part.handle_timeout(now);
        self.take_packets(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.part.poll_timeout()
    }
}

/// Streams are known from the negotiation, before the chain tells of them.
impl<P: Part> Interceptor for Stage<P> {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

/// The RTCP packets of one kind in `packet`.
fn rtcp_of<T: rtcp::Packet + 'static>(packet: &Packet) -> impl Iterator<Item = &T> {
    let packets = match packet {
        Packet::Rtcp(packets) => packets.as_slice(),
        _ => &[],
    };
    packets.iter().filter_map(|packet| packet.as_any().downcast_ref::<T>())
}

#[cfg(test)]
mod tests;
