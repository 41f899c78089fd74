//! VP8 payloads back to frames (RFC 7741 §4). Partitions are not told apart: their bytes follow each other.

use super::{Finished, Malformed};
use crate::vp8::{is_key_frame, parse};

/// Appends the payloads of one frame, none of them empty, to `data`, which is empty.
pub(super) fn assemble<'a>(payloads: impl Iterator<Item = &'a [u8]>, mut data: Vec<u8>) -> Result<Finished, Malformed> {
    let mut first = None;
    for payload in payloads {
        let (descriptor, piece) = parse(payload).ok_or(Malformed)?;
        let expected_id = first.get_or_insert(descriptor).picture_id;
        if descriptor.begins_frame != data.is_empty() || descriptor.picture_id != expected_id {
            return Err(Malformed);
        }
        data.extend_from_slice(piece);
    }
    let key = !data.is_empty() && is_key_frame(&data).ok_or(Malformed)?;
    Ok(Finished { data, key })
}

pub(super) fn begins_frame(payload: &[u8]) -> bool {
    parse(payload).is_some_and(|(descriptor, _)| descriptor.begins_frame)
}

pub(super) fn begins_key_frame(payload: &[u8]) -> bool {
    parse(payload).is_some_and(|(descriptor, piece)| descriptor.begins_frame && is_key_frame(piece) == Some(true))
}

pub(super) fn is_disposable(payload: &[u8]) -> bool {
    parse(payload).is_some_and(|(descriptor, _)| descriptor.is_disposable)
}

pub(super) fn picture_id(payload: &[u8]) -> Option<u16> {
    parse(payload)?.0.picture_id
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 7] = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40];

    fn assembled(payloads: &[&[u8]]) -> Result<Finished, Malformed> {
        assemble(payloads.iter().copied(), Vec::new())
    }

    #[test]
    fn the_pieces_of_a_frame_and_of_its_partitions_become_one() {
        let first = [&[0x90, 0x80, 0x81, 0x02][..], &KEY].concat();
        let frame = assembled(&[&first, &[0x80, 0x80, 0x81, 0x02, 7], &[0x91, 0x80, 0x81, 0x02, 8]]);
        assert_eq!(frame, Ok(Finished { data: [&KEY[..], &[7, 8]].concat(), key: true }));
        let frame = assembled(&[&[0x10, 0x31, 0, 0], &[0x00, 5]]);
        assert_eq!(frame, Ok(Finished { data: vec![0x31, 0, 0, 5], key: false }));
    }

    #[test]
    fn payloads_against_the_format_are_malformed() {
        let cases: &[(&str, &[&[u8]])] = &[
            ("a descriptor cut short", &[&[0x90, 0x80]]),
            ("a descriptor without a piece", &[&[0x10]]),
            ("a frame without its beginning", &[&[0x00, 0x31, 0, 0]]),
            ("a frame that begins with its second partition", &[&[0x11, 0x31, 0, 0]]),
            ("two frames", &[&[0x10, 0x31, 0, 0], &[0x10, 0x31, 0, 0]]),
            ("another picture's piece", &[&[0x90, 0x80, 1, 0x31, 0, 0], &[0x80, 0x80, 2, 7]]),
            ("a piece without the others' picture id", &[&[0x90, 0x80, 1, 0x31, 0, 0], &[0x00, 7]]),
            ("a frame without a whole tag", &[&[0x10, 0x31, 0]]),
            ("a key frame without its start code", &[&[0x10, 0x10, 0, 0, 1, 2, 3]]),
        ];
        for (name, payloads) in cases {
            assert_eq!(assembled(payloads), Err(Malformed), "{name}");
        }
    }

    #[test]
    fn the_beginning_of_a_key_frame_is_known() {
        let begins = |descriptor: &[u8], piece: &[u8]| {
            let payload = [descriptor, piece].concat();
            (begins_frame(&payload), begins_key_frame(&payload))
        };
        assert_eq!(begins(&[0x10], &KEY), (true, true));
        assert_eq!(begins(&[0x90, 0xc0, 0x05, 0x01], &KEY), (true, true));
        assert_eq!(begins(&[0x10], &[0x31, 0, 0]), (true, false));
        assert_eq!(begins(&[0x00], &KEY), (false, false));
        assert_eq!(begins(&[0x11], &KEY), (false, false));
        assert_eq!(begins(&[], &[]), (false, false));
    }
}
