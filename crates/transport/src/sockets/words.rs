//! What is said on the control channel, and what opens it, sent a second time a moment later. Pure.
//!
//! SCTP sends what was lost again after a second at the earliest (RFC 9260 §6.3.1), and nothing sets that. On a path that
//! loses packets the word that the call was accepted is then late by that second. A small datagram costs next to nothing; the
//! peer's replay window (RFC 6347 §4.1.2.6) drops the second if the first came.

use super::datagram::{Datagram, Dtls, carried};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Longer than most bursts of loss, and hardly noticed.
const AGAIN: Duration = Duration::from_millis(20);

/// A larger datagram is one of many, after which SCTP notices a loss by itself.
const LARGEST: usize = 400;

/// Where more is said at once than this, what follows shows the loss as well.
const WAITING: usize = 8;

/// What is to be sent again.
#[derive(Debug, Default)]
pub(super) struct Words {
    waiting: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
}

impl Words {
    /// `datagram` was sent to `to`.
    pub(super) fn sent(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) {
        let Datagram::Dtls(Dtls { is_encrypted: true, is_handshake: false, .. }) = Datagram::of(carried(datagram))
        else {
            return;
        };
        if datagram.len() <= LARGEST && self.waiting.len() < WAITING {
            self.waiting.push_back((now + AGAIN, to, datagram.to_vec()));
        }
    }

    /// When [`Self::due`] has something.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.front().map(|(at, ..)| *at)
    }

    /// What is to be sent again now, and to whom.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let count = self.waiting.iter().take_while(|(at, ..)| *at <= now).count();
        self.waiting.drain(..count).map(|(_, to, datagram)| (to, datagram)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A DTLS record of application data (RFC 6347 §4.1).
    fn data(length: u16) -> Vec<u8> {
        let mut record = vec![23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9];
        record.extend(length.to_be_bytes());
        record.extend(std::iter::repeat_n(7, length.into()));
        record
    }

    #[test]
    fn a_small_datagram_is_sent_again_once_and_no_more_of_them_than_are_few() {
        let (now, to) = (Instant::now(), SocketAddr::from(([192, 0, 2, 1], 9)));
        let mut words = Words::default();
        words.sent(now, to, &data(50));
        assert_eq!((words.next(), words.due(now)), (Some(now + AGAIN), vec![]));
        assert_eq!(words.due(now + AGAIN), [(to, data(50))]);
        assert_eq!(words.next(), None);
        for _ in 0..100 {
            words.sent(now, to, &data(50));
        }
        assert_eq!(words.due(now + AGAIN).len(), WAITING);
        let handshake = [&[22][..], &data(50)[1..]].concat();
        for other in [data(1_000), handshake, vec![0x80; 60], vec![]] {
            words.sent(now, to, &other);
        }
        assert_eq!(words.next(), None);
    }
}
