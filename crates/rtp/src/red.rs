//! Redundant audio data (RFC 2198): a packet with copies of the ones before it. What the copies are in is not looked at.

use crate::slabs::Slabs;
use bytes::{BufMut as _, Bytes};

/// The headers' fields have 14 bits for the distance and 10 for the length.
const MAX_BACK: u32 = (1 << 14) - 1;
const MAX_COPY_BYTES: usize = (1 << 10) - 1;

/// In front of a copy, and in front of the packet's own payload.
const COPY_HEADER_BYTES: usize = 4;
const OWN_HEADER_BYTES: usize = 1;

/// Copies that are read in one packet. Nobody sends more than two (libwebrtc at most as many).
const MAX_COPIES: usize = 4;

/// A payload that was sent before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// How much earlier than that of the packet its time stamp is, in ticks of the stream's clock; at least 1.
    pub back: u32,
    /// As it was sent.
    pub payload: Bytes,
}

/// Reads a redundant payload (RFC 2198 §3). Gives what the packet would have been without copies, and adds those to
/// `copies`, oldest first. `None` for one that is malformed or has more than four of them. Copies that are empty, or of
/// another payload type than the packet's own, are left out: only the codec that was agreed on counts.
pub fn split(packet: &Bytes, copies: &mut Vec<Copy>) -> Option<Bytes> {
    let mut headers = [(0_u8, 0_u32, 0_usize); MAX_COPIES];
    let mut count = 0;
    let mut at = 0;
    let own_type = loop {
        let first = *packet.get(at)?;
        if first & 0x80 == 0 {
            at += OWN_HEADER_BYTES;
            break first;
        }
        let [_, high, middle, low] = *packet.get(at..)?.first_chunk()?;
        let fields = u32::from_be_bytes([0, high, middle, low]);
        *headers.get_mut(count)? = (first & 0x7f, fields >> 10, (fields & 0x3ff) as usize);
        count += 1;
        at += COPY_HEADER_BYTES;
    };
    for (payload_type, back, length) in headers.into_iter().take(count) {
        let end = at.checked_add(length).filter(|end| *end <= packet.len())?;
        if payload_type == own_type && back > 0 && length > 0 {
            copies.push(Copy { back, payload: packet.slice(at..end) });
        }
        at = end;
    }
    Some(packet.slice(at..))
}

/// Writes one into `memory`, the oldest copy first. `payload_type` is that of the copies and of the payload. `None` where a
/// copy cannot be described: from more than 16,383 ticks before, or of more than 1,023 bytes.
pub fn join(payload_type: u8, copies: &[Copy], payload: &[u8], memory: &mut Slabs) -> Option<Bytes> {
    if copies.iter().any(|copy| copy.back > MAX_BACK || copy.payload.len() > MAX_COPY_BYTES) {
        return None;
    }
    let bytes: usize = copies.iter().map(|copy| COPY_HEADER_BYTES + copy.payload.len()).sum();
    Some(memory.payload(bytes + OWN_HEADER_BYTES + payload.len(), |packet| {
        for copy in copies {
            packet.put_u8(0x80 | payload_type);
            packet.put_uint(u64::from(copy.back) << 10 | copy.payload.len() as u64, 3);
        }
        packet.put_u8(payload_type & 0x7f);
        for copy in copies {
            packet.put_slice(&copy.payload);
        }
        packet.put_slice(payload);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn two_copies() -> Vec<Copy> {
        let copy = |back, text: &'static [u8]| Copy { back, payload: Bytes::from_static(text) };
        vec![copy(1_920, b"one"), copy(960, b"second")]
    }

    fn joined(copies: &[Copy], payload: &[u8]) -> Option<Bytes> {
        join(111, copies, payload, &mut Slabs::default())
    }

    /// The copies, and what the packet would have been without them.
    fn read(packet: &Bytes) -> Option<(Vec<Copy>, Bytes)> {
        let mut copies = Vec::new();
        let payload = split(packet, &mut copies)?;
        Some((copies, payload))
    }

    #[test]
    fn the_bytes_are_those_of_the_standard() {
        let packet = joined(&two_copies(), b"own").unwrap();
        // 1,920 back and 3 bytes long; 960 back and 6 bytes long; then the packet's own.
        let headers = [0xef, 0x1e, 0x00, 0x03, 0xef, 0x0f, 0x00, 0x06, 0x6f];
        assert_eq!(packet, [&headers[..], b"one", b"second", b"own"].concat());
        assert_eq!(read(&packet), Some((two_copies(), Bytes::from_static(b"own"))));
    }

    #[test]
    fn a_packet_without_copies_is_one_byte_longer() {
        let packet = joined(&[], b"own").unwrap();
        assert_eq!(packet, &b"\x6fown"[..]);
        assert_eq!(read(&packet), Some((Vec::new(), Bytes::from_static(b"own"))));
    }

    #[test]
    fn copies_in_another_codec_or_of_nothing_are_left_out() {
        let packet =
            Bytes::from_static(&[0x80 | 9, 0x0f, 0, 1, 0x80 | 111, 0x0f, 0, 0, 0x80 | 111, 0, 0, 1, 111, 1, 2, 3]);
        assert_eq!(read(&packet), Some((Vec::new(), Bytes::from_static(&[3]))));
    }

    #[test]
    fn what_cannot_be_described_is_not_written() {
        let long = |back, bytes| joined(&[Copy { back, payload: Bytes::from(vec![0; bytes]) }], &[]);
        assert!(long(16_383, 1_023).is_some());
        assert_eq!(long(16_384, 10), None);
        assert_eq!(long(960, 1_024), None);
    }

    #[test]
    fn mangled_packets_never_panic_and_give_no_more_than_came() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..100_000 {
            let mut packet = joined(&two_copies(), b"own").unwrap().to_vec();
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..packet.len());
                packet[at] = rng.random();
            }
            packet.truncate(rng.random_range(0..=packet.len()));
            let length = packet.len();
            if let Some((copies, payload)) = read(&packet.into()) {
                let bytes: usize = copies.iter().map(|copy| copy.payload.len()).sum();
                assert!(bytes + payload.len() < length);
                assert!(copies.len() <= MAX_COPIES);
            }
        }
    }
}
