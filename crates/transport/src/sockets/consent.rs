//! Consent to be sent to (RFC 7675), on one socket. Pure.
//!
//! The peer connection takes whatever comes from an address for a sign that it is wanted there. But only the answer to a
//! check of our own, made with the peer's password, says that what is sent arrives, and that somebody there wants it.

use rtc::stun::message::TransactionId;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long consent lasts (RFC 7675 §5.1).
const LASTS: Duration = Duration::from_secs(30);

/// Checks that may still be answered; they are sent twice a second.
const UNANSWERED: usize = 16;

/// Of how many addresses something is remembered: as of checks. Nothing is held back from those beyond it.
const ADDRESSES: usize = 64;

/// Who has consented, and when last.
#[derive(Debug, Default)]
pub(super) struct Consent {
    peers: Vec<Peer>,
}

#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    /// Own checks, the newest last.
    asked: VecDeque<TransactionId>,
    given: Option<Instant>,
}

impl Consent {
    /// A check of our own is sent to `address`, or to the relay at `address` for somebody behind it.
    pub(super) fn asked(&mut self, address: SocketAddr, id: TransactionId) {
        let Some(peer) = self.peer(address) else { return };
        if peer.asked.len() == UNANSWERED {
            peer.asked.pop_front();
        }
        peer.asked.push_back(id);
    }

    /// An answer that proves itself came from `address`. Whether it answers a check of our own.
    pub(super) fn answered(&mut self, now: Instant, address: SocketAddr, id: TransactionId) -> bool {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.address == address) else { return false };
        let Some(found) = peer.asked.iter().position(|asked| *asked == id) else { return false };
        peer.asked.drain(..=found);
        peer.given = Some(now);
        true
    }

    /// Whether more than checks may be sent to `address`. One that has not consented yet is the peer connection's business.
    pub(super) fn holds(&self, now: Instant, address: SocketAddr) -> bool {
        let given = self.peers.iter().find(|peer| peer.address == address).and_then(|peer| peer.given);
        given.is_none_or(|given| now.saturating_duration_since(given) < LASTS)
    }

    fn peer(&mut self, address: SocketAddr) -> Option<&mut Peer> {
        if let Some(found) = self.peers.iter().position(|peer| peer.address == address) {
            return self.peers.get_mut(found);
        }
        if self.peers.len() == ADDRESSES {
            return None;
        }
        self.peers.push(Peer { address, asked: VecDeque::new(), given: None });
        self.peers.last_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 9))
    }

    fn id(number: u8) -> TransactionId {
        TransactionId([number; 12])
    }

    #[test]
    fn consent_ends_30_s_after_the_last_answer_to_an_own_check() {
        let (mut consent, start) = (Consent::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(consent.holds(start, address(1)), "nothing is known yet");
        consent.asked(address(1), id(1));
        consent.asked(address(1), id(2));
        assert!(!consent.answered(at(1), address(2), id(1)), "somebody else");
        assert!(!consent.answered(at(1), address(1), id(9)), "nobody asked");
        assert!(consent.holds(at(100), address(1)), "it was never there that it could end");
        assert!(consent.answered(at(1), address(1), id(1)));
        assert!(!consent.answered(at(20), address(1), id(1)), "a second copy");
        assert!(consent.holds(at(30), address(1)) && !consent.holds(at(31), address(1)));
        assert!(consent.answered(at(40), address(1), id(2)));
        assert!(consent.holds(at(69), address(1)) && !consent.holds(at(70), address(1)));
        assert!(consent.holds(at(70), address(2)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut consent = Consent::default();
        for number in 0..100 {
            consent.asked(address(1), id(number));
            consent.asked(address(number), id(number));
        }
        let now = Instant::now();
        assert_eq!((consent.peers.len(), consent.peers[0].asked.len()), (ADDRESSES, UNANSWERED));
        assert!(!consent.answered(now, address(1), id(1)) && consent.answered(now, address(1), id(99)));
    }
}
