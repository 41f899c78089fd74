//! Redundant audio data (RFC 2198): a packet with copies of the ones before it. What the copies are in is not looked at.

use bytes::{BufMut as _, Bytes, BytesMut};

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

/// What a redundant packet holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redundant {
    /// Oldest first.
    pub copies: Vec<Copy>,
    /// What the packet would have been without them.
    pub payload: Bytes,
}

/// Reads a redundant payload (RFC 2198 §3). `None` for one that is malformed or has more than four copies. Copies that
/// are empty, or of another payload type than the packet's own, are left out: only the codec that was agreed on counts.
pub fn split(packet: &Bytes) -> Option<Redundant> {
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
    let mut copies = Vec::with_capacity(count);
    for (payload_type, back, length) in headers.into_iter().take(count) {
        let end = at.checked_add(length).filter(|end| *end <= packet.len())?;
        if payload_type == own_type && back > 0 && length > 0 {
            copies.push(Copy { back, payload: packet.slice(at..end) });
        }
        at = end;
    }
    Some(Redundant { copies, payload: packet.slice(at..) })
}

/// Writes one. `payload_type` is that of the copies and of the payload. `None` where a copy cannot be described: from
/// more than 16,383 ticks before, or of more than 1,023 bytes.
pub fn join(payload_type: u8, redundant: &Redundant) -> Option<Bytes> {
    let bytes: usize = redundant.copies.iter().map(|copy| COPY_HEADER_BYTES + copy.payload.len()).sum();
    let mut packet = BytesMut::with_capacity(bytes + OWN_HEADER_BYTES + redundant.payload.len());
    for copy in &redundant.copies {
        if copy.back > MAX_BACK || copy.payload.len() > MAX_COPY_BYTES {
            return None;
        }
        packet.put_u8(0x80 | payload_type);
        packet.put_uint(u64::from(copy.back) << 10 | copy.payload.len() as u64, 3);
    }
    packet.put_u8(payload_type & 0x7f);
    for copy in &redundant.copies {
        packet.put_slice(&copy.payload);
    }
    packet.put_slice(&redundant.payload);
    Some(packet.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn redundant() -> Redundant {
        let copy = |back, text: &'static [u8]| Copy { back, payload: Bytes::from_static(text) };
        Redundant { copies: vec![copy(1_920, b"one"), copy(960, b"second")], payload: Bytes::from_static(b"own") }
    }

    #[test]
    fn the_bytes_are_those_of_the_standard() {
        let packet = join(111, &redundant()).unwrap();
        // 1,920 back and 3 bytes long; 960 back and 6 bytes long; then the packet's own.
        let headers = [0xef, 0x1e, 0x00, 0x03, 0xef, 0x0f, 0x00, 0x06, 0x6f];
        assert_eq!(packet, [&headers[..], b"one", b"second", b"own"].concat());
        assert_eq!(split(&packet), Some(redundant()));
    }

    #[test]
    fn a_packet_without_copies_is_one_byte_longer() {
        let redundant = Redundant { copies: Vec::new(), payload: Bytes::from_static(b"own") };
        let packet = join(111, &redundant).unwrap();
        assert_eq!(packet, &b"\x6fown"[..]);
        assert_eq!(split(&packet), Some(redundant));
    }

    #[test]
    fn copies_in_another_codec_or_of_nothing_are_left_out() {
        let packet =
            Bytes::from_static(&[0x80 | 9, 0x0f, 0, 1, 0x80 | 111, 0x0f, 0, 0, 0x80 | 111, 0, 0, 1, 111, 1, 2, 3]);
        let read = split(&packet).unwrap();
        assert_eq!(read, Redundant { copies: Vec::new(), payload: Bytes::from_static(&[3]) });
    }

    #[test]
    fn what_cannot_be_described_is_not_written() {
        let long = |back, bytes| {
            let copies = vec![Copy { back, payload: Bytes::from(vec![0; bytes]) }];
            join(111, &Redundant { copies, payload: Bytes::new() })
        };
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
            let mut packet = join(111, &redundant()).unwrap().to_vec();
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..packet.len());
                packet[at] = rng.random();
            }
            packet.truncate(rng.random_range(0..=packet.len()));
            let length = packet.len();
            if let Some(read) = split(&packet.into()) {
                let bytes: usize = read.copies.iter().map(|copy| copy.payload.len()).sum();
                assert!(bytes + read.payload.len() < length);
                assert!(read.copies.len() <= MAX_COPIES);
            }
        }
    }
}
