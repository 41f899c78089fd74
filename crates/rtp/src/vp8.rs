//! The first bytes of a VP8 payload and of a VP8 frame (RFC 7741 §4.2, §4.3; RFC 6386 §9.1): what packetizer and
//! depacketizer must agree on.

/// In the descriptor's first byte: the byte of extensions follows.
pub(crate) const EXTENDED: u8 = 0x80;
/// In the descriptor's first byte: a partition begins in this packet.
pub(crate) const START: u8 = 0x10;
/// In the descriptor's first byte: no other frame refers to this one.
const NON_REFERENCE: u8 = 0x20;
/// Mask of the partition's number in the descriptor's first byte.
const PARTITION: u8 = 0x07;

/// In the extensions: a picture id follows.
pub(crate) const PICTURE_ID: u8 = 0x80;
/// In the extensions: the number of the temporal base layer's picture follows.
const BASE_LAYER_INDEX: u8 = 0x40;
/// In the extensions: temporal layer or key index follow, or both, in one byte.
const LAYER_OR_KEY_INDEX: u8 = 0x20 | 0x10;

/// In the picture id's first byte: it has 15 bits instead of 7.
pub(crate) const LONG_PICTURE_ID: u8 = 0x80;
/// The highest picture id; after it comes 0.
pub(crate) const MAX_PICTURE_ID: u16 = 0x7fff;

/// In a frame's first byte: it needs frames before it.
const INTER_FRAME: u8 = 0x01;
/// The bytes of a frame's tag, with which it begins.
const TAG_BYTES: usize = 3;
/// What follows the tag of a key frame.
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

/// What stands before the piece of a frame in each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// The frame begins with this packet.
    pub(crate) begins_frame: bool,
    pub(crate) picture_id: Option<u16>,
    /// No other frame refers to this one.
    pub(crate) is_disposable: bool,
}

/// Parts a payload into descriptor and piece of a frame; nothing if either is cut short.
pub(crate) fn parse(payload: &[u8]) -> Option<(Descriptor, &[u8])> {
    let (first, mut rest) = payload.split_first()?;
    let mut picture_id = None;
    if first & EXTENDED != 0 {
        let extensions;
        (extensions, rest) = rest.split_first()?;
        if extensions & PICTURE_ID != 0 {
            let id;
            (id, rest) = parse_picture_id(rest)?;
            picture_id = Some(id);
        }
        for field in [BASE_LAYER_INDEX, LAYER_OR_KEY_INDEX] {
            if extensions & field != 0 {
                (_, rest) = rest.split_first()?;
            }
        }
    }
    let begins_frame = first & START != 0 && first & PARTITION == 0;
    let is_disposable = first & NON_REFERENCE != 0;
    (!rest.is_empty()).then_some((Descriptor { begins_frame, picture_id, is_disposable }, rest))
}

fn parse_picture_id(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (high, rest) = bytes.split_first()?;
    if high & LONG_PICTURE_ID == 0 {
        return Some((u16::from(*high), rest));
    }
    let (low, rest) = rest.split_first()?;
    Some((u16::from_be_bytes([high & !LONG_PICTURE_ID, *low]), rest))
}

/// Whether the frame that begins with these bytes is a key frame; nothing if VP8 has no frame that begins so.
pub(crate) fn is_key_frame(frame: &[u8]) -> Option<bool> {
    let (tag, rest) = frame.split_first_chunk::<TAG_BYTES>()?;
    if tag[0] & INTER_FRAME != 0 {
        return Some(false);
    }
    rest.starts_with(&START_CODE).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_descriptor_is_read() {
        let cases: &[(&[u8], bool, Option<u16>)] = &[
            (&[0x10, 9], true, None),
            (&[0x00, 9], false, None),
            (&[0x11, 9], false, None),
            (&[0x30, 9], true, None),
            (&[0x90, 0x00, 9], true, None),
            (&[0x90, 0x80, 0x11, 9], true, Some(0x11)),
            (&[0x90, 0x80, 0x80, 0x11, 9], true, Some(0x11)),
            (&[0x80, 0x80, 0xff, 0xfe, 9], false, Some(0x7ffe)),
            (&[0x90, 0x40, 0x33, 9], true, None),
            (&[0x90, 0x20, 0x60, 9], true, None),
            (&[0x90, 0x10, 0x05, 9], true, None),
            (&[0x90, 0x30, 0x65, 9], true, None),
            (&[0x90, 0xf0, 0x81, 0x02, 0x33, 0x65, 9], true, Some(0x102)),
            (&[0x90, 0xff, 0x01, 0x33, 0x65, 9], true, Some(1)),
        ];
        for (payload, begins_frame, picture_id) in cases {
            let (begins_frame, picture_id, is_disposable) = (*begins_frame, *picture_id, payload[0] == 0x30);
            let descriptor = Descriptor { begins_frame, picture_id, is_disposable };
            assert_eq!(parse(payload), Some((descriptor, &[9][..])), "{payload:x?}");
            for length in 0..payload.len() {
                assert_eq!(parse(&payload[..length]), None, "{length} bytes of {payload:x?}");
            }
        }
    }

    #[test]
    fn a_key_frame_is_known_by_its_tag_and_start_code() {
        assert_eq!(is_key_frame(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40]), Some(true));
        assert_eq!(is_key_frame(&[0x11, 0, 0]), Some(false));
        for no_frame in [&[][..], &[0x11, 0], &[0x10, 0, 0], &[0x10, 0, 0, 0x9d, 0x01], &[0x10, 0, 0, 0x9d, 0x01, 0x2b]]
        {
            assert_eq!(is_key_frame(no_frame), None, "{no_frame:x?}");
        }
    }
}
