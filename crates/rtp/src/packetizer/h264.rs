//! H.264 access units as RTP, packetization mode 1 (RFC 6184 §6.3): parameter sets together in a STAP-A, a NAL unit
//! that fits as it is, a longer one in FU-As.

use super::{Payloads, even_pieces};
use crate::annex_b;
use crate::nal::{FORBIDDEN_AND_REF_IDC, FU_A, FU_END, FU_START, NAL_REF_IDC, NAL_TYPE, PPS, SPS, STAP_A};
use bytes::BufMut as _;

/// Adds the payloads of one access unit in Annex B form; none for one without a NAL unit.
pub(super) fn append(access_unit: &[u8], payloads: &mut Payloads) {
    // Empty, and so without memory, but for key pictures.
    let mut parameter_sets: Vec<&[u8]> = Vec::new();
    for nal in annex_b::nal_units(access_unit) {
        if is_parameter_set(nal) {
            parameter_sets.push(nal);
            continue;
        }
        append_parameter_sets(payloads, &mut parameter_sets);
        append_nal(payloads, nal);
    }
    append_parameter_sets(payloads, &mut parameter_sets);
}

fn is_parameter_set(nal: &[u8]) -> bool {
    nal.first().is_some_and(|header| matches!(header & NAL_TYPE, SPS | PPS))
}

/// Two or more parameter sets that fit share a packet, so that losing one does not leave the other useless.
fn append_parameter_sets(payloads: &mut Payloads, parameter_sets: &mut Vec<&[u8]>) {
    let together = 1 + parameter_sets.iter().map(|nal| 2 + nal.len()).sum::<usize>();
    if parameter_sets.len() < 2 || together > payloads.longest {
        for nal in parameter_sets.drain(..) {
            append_nal(payloads, nal);
        }
        return;
    }
    payloads.push(together, |payload| {
        payload.put_u8(STAP_A | highest_ref_idc(parameter_sets));
        for nal in parameter_sets.drain(..) {
            // Lengths are below MAX_PAYLOAD_BYTES, checked above.
            payload.put_u16(nal.len() as u16);
            payload.put_slice(nal);
        }
    });
}

/// An aggregate carries the highest NRI of what it holds (RFC 6184 §5.7).
fn highest_ref_idc(nals: &[&[u8]]) -> u8 {
    nals.iter().filter_map(|nal| nal.first()).map(|header| header & NAL_REF_IDC).max().unwrap_or(0)
}

fn append_nal(payloads: &mut Payloads, nal: &[u8]) {
    if nal.len() <= payloads.longest {
        payloads.push_parts(&[], nal);
        return;
    }
    let Some((header, body)) = nal.split_first() else {
        return;
    };
    let mut fragments = even_pieces(body, payloads.longest - 2).peekable();
    let mut flags = FU_START;
    while let Some(fragment) = fragments.next() {
        if fragments.peek().is_none() {
            flags |= FU_END;
        }
        payloads.push_parts(&[(header & FORBIDDEN_AND_REF_IDC) | FU_A, flags | (header & NAL_TYPE)], fragment);
        flags = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packetizer::MAX_PAYLOAD_BYTES;
    use bytes::Bytes;

    fn payloads(access_unit: &[u8]) -> Vec<Bytes> {
        let mut payloads = Payloads::default();
        append(access_unit, &mut payloads);
        payloads.list
    }

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
        let payloads = payloads(&unit);
        assert_eq!(payloads, [&[0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3][..], &[0x65, 9, 9, 9]]);
    }

    #[test]
    fn a_long_slice_is_fragmented_within_the_limit_with_start_and_end_marked() {
        let mut slice = vec![0x41];
        slice.extend((0..3_000u32).map(|value| (value % 255) as u8 + 1));
        let payloads = payloads(&access_unit(&[&slice]));
        let fragment_headers: Vec<(u8, u8)> = payloads.iter().map(|payload| (payload[0], payload[1])).collect();
        assert_eq!(fragment_headers, [(0x5c, 0x81), (0x5c, 0x01), (0x5c, 0x41)]);
        assert!(payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD_BYTES));
        let body: Vec<u8> = payloads.iter().flat_map(|payload| payload[2..].to_vec()).collect();
        assert_eq!(body, slice[1..]);
    }
}
