//! The first bytes of a VP8 frame (RFC 6386 §9.1), read before libvpx sees them, so that a hostile frame allocates nothing.

/// A frame that needs none before it.
const KEY_FRAME: u8 = 0;
/// The highest version that RFC 6386 defines.
const MAX_VERSION: u8 = 3;
/// What follows the frame tag of a key frame.
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];
/// Fourteen bits of a side; the two above are a hint for scaling, which nobody follows.
const SIDE: u16 = 0x3fff;

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// Pictures of this size begin here.
    Key {
        /// In pixels.
        width: u16,
        /// In pixels.
        height: u16,
    },
    /// It goes on from the frames before.
    Inter,
}

/// Reads the header; nothing if the frame is cut short, or of a version or with a start code that VP8 does not have.
pub(crate) fn parse(frame: &[u8]) -> Option<Header> {
    let ([first, _, _], rest) = frame.split_first_chunk()?;
    if first >> 1 & 7 > MAX_VERSION {
        return None;
    }
    if first & 1 != KEY_FRAME {
        return Some(Header::Inter);
    }
    let (start_code, rest) = rest.split_first_chunk::<3>()?;
    let (width, rest) = rest.split_first_chunk::<2>()?;
    let (height, _) = rest.split_first_chunk::<2>()?;
    let side = |bytes: &[u8; 2]| u16::from_le_bytes(*bytes) & SIDE;
    (*start_code == START_CODE).then(|| Header::Key { width: side(width), height: side(height) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_tell_their_size_and_others_nothing() {
        let key = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0xe0, 0x81, 0xff];
        assert_eq!(parse(&key), Some(Header::Key { width: 640, height: 480 }));
        assert_eq!(parse(&key[..10]), Some(Header::Key { width: 640, height: 480 }));
        assert_eq!(parse(&[0x31, 0, 0]), Some(Header::Inter));
    }

    #[test]
    fn cut_frames_other_start_codes_and_unknown_versions_are_refused() {
        let key = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01];
        for length in 0..key.len() {
            assert_eq!(parse(&key[..length]), None, "{length} bytes");
        }
        let mut other = key;
        other[4] = 2;
        assert_eq!(parse(&other), None);
        for first in [0x18, 0x19] {
            other = key;
            other[0] = first;
            assert_eq!(parse(&other), None);
        }
    }
}
