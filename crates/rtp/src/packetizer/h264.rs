//! H.264 access units as RTP, packetization mode 1 (RFC 6184 §6.3): parameter sets together in a STAP-A, a NAL unit
//! that fits as it is, a longer one in FU-As.

use super::MAX_PAYLOAD_BYTES;
use crate::annex_b;
use crate::nal::{FORBIDDEN_AND_REF_IDC, FU_A, FU_END, FU_START, NAL_REF_IDC, NAL_TYPE, PPS, SPS, STAP_A};
use crate::packet::RtpPacket;
use bytes::{BufMut, Bytes, BytesMut};

/// Cuts the access units of one stream into packets.
#[derive(Debug)]
pub struct H264Packetizer {
    sequence: u16,
}

impl H264Packetizer {
    /// Starts a stream. The number should be random (RFC 3550 §5.1).
    pub fn new(first_sequence: u16) -> Self {
        Self { sequence: first_sequence }
    }

    /// The packets of one access unit in Annex B form, in sending order; the last one carries the marker.
    /// An access unit without a NAL unit gives none.
    pub fn packetize(&mut self, access_unit: &[u8], timestamp: u32) -> Vec<RtpPacket> {
        let mut payloads = Vec::new();
        let mut parameter_sets: Vec<&[u8]> = Vec::new();
        for nal in annex_b::nal_units(access_unit) {
            if is_parameter_set(nal) {
                parameter_sets.push(nal);
                continue;
            }
            append_parameter_sets(&mut payloads, &mut parameter_sets);
            append_nal(&mut payloads, nal);
        }
        append_parameter_sets(&mut payloads, &mut parameter_sets);
        let last = payloads.len().saturating_sub(1);
        payloads
            .into_iter()
            .enumerate()
            .map(|(index, payload)| RtpPacket {
                sequence: self.next_sequence(),
                timestamp,
                marker: index == last,
                payload,
            })
            .collect()
    }

    fn next_sequence(&mut self) -> u16 {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        sequence
    }
}

fn is_parameter_set(nal: &[u8]) -> bool {
    nal.first().is_some_and(|header| matches!(header & NAL_TYPE, SPS | PPS))
}

/// Two or more parameter sets that fit share a packet, so that losing one does not leave the other useless.
fn append_parameter_sets(payloads: &mut Vec<Bytes>, parameter_sets: &mut Vec<&[u8]>) {
    let together = 1 + parameter_sets.iter().map(|nal| 2 + nal.len()).sum::<usize>();
    if parameter_sets.len() < 2 || together > MAX_PAYLOAD_BYTES {
        for nal in parameter_sets.drain(..) {
            append_nal(payloads, nal);
        }
        return;
    }
    let mut payload = BytesMut::with_capacity(together);
    payload.put_u8(STAP_A | highest_ref_idc(parameter_sets));
    for nal in parameter_sets.drain(..) {
        // Lengths are below MAX_PAYLOAD_BYTES, checked above.
        payload.put_u16(nal.len() as u16);
        payload.put_slice(nal);
    }
    payloads.push(payload.freeze());
}

/// An aggregate carries the highest NRI of what it holds (RFC 6184 §5.7).
fn highest_ref_idc(nals: &[&[u8]]) -> u8 {
    nals.iter().filter_map(|nal| nal.first()).map(|header| header & NAL_REF_IDC).max().unwrap_or(0)
}

fn append_nal(payloads: &mut Vec<Bytes>, nal: &[u8]) {
    if nal.len() <= MAX_PAYLOAD_BYTES {
        payloads.push(Bytes::copy_from_slice(nal));
        return;
    }
    let Some((header, body)) = nal.split_first() else {
        return;
    };
    // Fragments of nearly one size: a last one of a few bytes would cost a packet for nothing.
    let fragments = body.len().div_ceil(MAX_PAYLOAD_BYTES - 2);
    let mut chunks = body.chunks(body.len().div_ceil(fragments)).peekable();
    let mut flags = FU_START;
    while let Some(chunk) = chunks.next() {
        if chunks.peek().is_none() {
            flags |= FU_END;
        }
        let mut payload = BytesMut::with_capacity(2 + chunk.len());
        payload.put_u8((header & FORBIDDEN_AND_REF_IDC) | FU_A);
        payload.put_u8(flags | (header & NAL_TYPE));
        payload.put_slice(chunk);
        payloads.push(payload.freeze());
        flags = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access_unit(nals: &[&[u8]]) -> Vec<u8> {
        let mut stream = Vec::new();
        for nal in nals {
            stream.extend_from_slice(&annex_b::START_CODE);
            stream.extend_from_slice(nal);
        }
        stream
    }

    #[test]
    fn parameter_sets_share_a_packet_and_a_short_slice_goes_as_it_is() {
        let unit = access_unit(&[&[0x67, 1, 2], &[0x68, 3], &[0x65, 9, 9, 9]]);
        let packets = H264Packetizer::new(65_535).packetize(&unit, 77);
        let payloads: Vec<&[u8]> = packets.iter().map(|packet| packet.payload.as_ref()).collect();
        assert_eq!(payloads, [&[0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3][..], &[0x65, 9, 9, 9]]);
        assert_eq!(packets[0].sequence, 65_535);
        assert_eq!(packets[1].sequence, 0);
        assert_eq!((packets[0].marker, packets[1].marker), (false, true));
        assert!(packets.iter().all(|packet| packet.timestamp == 77));
    }

    #[test]
    fn a_long_slice_is_fragmented_within_the_limit_with_start_and_end_marked() {
        let mut slice = vec![0x41];
        slice.extend((0..3_000u32).map(|value| (value % 255) as u8 + 1));
        let packets = H264Packetizer::new(0).packetize(&access_unit(&[&slice]), 0);
        assert_eq!(packets.len(), 3);
        let fragment_headers: Vec<(u8, u8)> =
            packets.iter().map(|packet| (packet.payload[0], packet.payload[1])).collect();
        assert_eq!(fragment_headers, [(0x5c, 0x81), (0x5c, 0x01), (0x5c, 0x41)]);
        assert!(packets.iter().all(|packet| packet.payload.len() <= MAX_PAYLOAD_BYTES));
        let body: Vec<u8> = packets.iter().flat_map(|packet| packet.payload[2..].to_vec()).collect();
        assert_eq!(body, slice[1..]);
    }

    #[test]
    fn an_access_unit_without_nal_units_gives_no_packets() {
        let mut packetizer = H264Packetizer::new(5);
        assert!(packetizer.packetize(&[], 0).is_empty());
        assert!(packetizer.packetize(&[1, 2, 3], 0).is_empty());
        let next = packetizer.packetize(&access_unit(&[&[0x41, 1]]), 0);
        assert_eq!(next[0].sequence, 5);
    }
}
