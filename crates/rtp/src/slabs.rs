//! Memory for payloads: a few large pieces, each for many payloads, and each written again once nobody needs any of them.
//! Payloads are kept for sending again, and leave in about the order in which they were made.

use bytes::{Bytes, BytesMut};

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 * 1024;

/// Pieces that are remembered: the 1,024 packets that are kept for sending again fill some 20. The memory of others is
/// freed with the last of their payloads.
const MOST_PIECES: usize = 24;

/// Makes payloads, in steady state without taking memory from the system.
#[derive(Debug, Default)]
pub struct Slabs {
    /// The one that was written last is the last.
    pieces: Vec<BytesMut>,
}

impl Slabs {
    /// A payload of what `write` appends, which is `bytes` at most.
    pub fn payload(&mut self, bytes: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        let piece = self.piece_with_room(bytes);
        write(piece);
        piece.split().freeze()
    }

    fn piece_with_room(&mut self, bytes: usize) -> &mut BytesMut {
        if !self.pieces.last_mut().is_some_and(|piece| piece.try_reclaim(bytes)) {
            let room = bytes.max(PIECE_BYTES);
            // What little is left at the end of others is not used: payloads from then and now would keep each other.
            let free = self.pieces.iter_mut().position(|piece| piece.try_reclaim(room));
            let next = free.map_or_else(|| BytesMut::with_capacity(room), |place| self.pieces.remove(place));
            if self.pieces.len() == MOST_PIECES {
                self.pieces.remove(0);
            }
            self.pieces.push(next);
        }
        self.pieces.last_mut().expect("one was put there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn payloads_stay_as_they_are_while_somebody_holds_them() {
        let (mut slabs, mut held) = (Slabs::default(), VecDeque::new());
        for number in 0..20_000_u32 {
            let bytes = number as usize % 1_500;
            held.push_back((number, slabs.payload(bytes, |piece| piece.resize(bytes, number as u8))));
            if held.len() > 1_024 {
                let (number, payload) = held.pop_front().unwrap();
                assert_eq!(payload, vec![number as u8; number as usize % 1_500]);
            }
        }
        assert!(slabs.pieces.len() < MOST_PIECES, "{} pieces", slabs.pieces.len());
    }

    #[test]
    fn a_payload_longer_than_a_piece_has_one_of_its_own_and_no_more_are_kept_than_some() {
        let mut slabs = Slabs::default();
        let held: Vec<Bytes> =
            (0..100).map(|_| slabs.payload(PIECE_BYTES + 1, |p| p.resize(PIECE_BYTES + 1, 7))).collect();
        assert!(held.iter().all(|payload| payload.len() == PIECE_BYTES + 1));
        assert_eq!(slabs.pieces.len(), MOST_PIECES);
    }
}
