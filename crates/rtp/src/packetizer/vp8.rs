//! VP8 frames as RTP (RFC 7741): each packet a descriptor with a picture id of 15 bits, which some receivers insist on, and
//! a piece of the frame. Partitions are not told apart, and temporal layers are not there.

use super::{Payloads, even_pieces};
use crate::vp8::{EXTENDED, LONG_PICTURE_ID, PICTURE_ID, START};

const DESCRIPTOR_BYTES: usize = 4;

/// Adds the payloads of one frame; none for an empty one.
pub(super) fn append(frame: &[u8], picture_id: u16, payloads: &mut Payloads) {
    let [id_high, id_low] = picture_id.to_be_bytes();
    let mut start = START;
    for piece in even_pieces(frame, payloads.longest - DESCRIPTOR_BYTES) {
        payloads.push_parts(&[EXTENDED | start, PICTURE_ID, LONG_PICTURE_ID | id_high, id_low], piece);
        start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packetizer::MAX_PAYLOAD_BYTES;
    use bytes::Bytes;

    fn payloads(frame: &[u8], picture_id: u16) -> Vec<Bytes> {
        let mut payloads = Payloads::default();
        append(frame, picture_id, &mut payloads);
        payloads.list
    }

    #[test]
    fn a_frame_is_cut_into_even_pieces_of_which_the_first_begins_it() {
        let frame: Vec<u8> = (0..3_000u32).map(|value| value as u8).collect();
        let payloads = payloads(&frame, 0x1234);
        assert_eq!(payloads.iter().map(Bytes::len).collect::<Vec<_>>(), [1_004, 1_004, 1_004]);
        assert_eq!(payloads[0][..4], [0x90, 0x80, 0x92, 0x34]);
        assert_eq!(payloads[1][..4], [0x80, 0x80, 0x92, 0x34]);
        assert_eq!(payloads[2][..4], [0x80, 0x80, 0x92, 0x34]);
        assert_eq!(payloads.iter().flat_map(|payload| payload[4..].to_vec()).collect::<Vec<_>>(), frame);
    }

    #[test]
    fn no_payload_is_longer_than_the_limit() {
        for length in 1..5_000 {
            let payloads = payloads(&vec![1; length], 0);
            assert_eq!(payloads.len(), length.div_ceil(MAX_PAYLOAD_BYTES - DESCRIPTOR_BYTES));
            assert!(payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD_BYTES));
        }
    }
}
