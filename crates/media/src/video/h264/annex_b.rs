//! NAL units of an Annex B byte stream (H.264 Annex B): finding them, and their types.

/// A coded slice of an ordinary picture (H.264 table 7-1, as the ones below).
pub(crate) const SLICE: u8 = 1;
/// A coded slice of a key (IDR) picture.
pub(crate) const IDR_SLICE: u8 = 5;
/// A sequence parameter set.
pub(crate) const SPS: u8 = 7;
/// A picture parameter set.
pub(crate) const PPS: u8 = 8;

/// What every NAL unit begins with in the stream; three bytes do as well.
pub(crate) const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The NAL units of a stream in order, without start codes and without the zero bytes that may
/// follow them. What stands before the first start code is left out, and so are empty units.
pub(crate) fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream).unwrap_or(&[]);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (unit, next) = match find_start_code(rest) {
            Some(at) => (rest.get(..at)?, rest.get(at + 3..)?),
            None => (rest, &[][..]),
        };
        rest = next;
        Some(trim_zeros(unit))
    })
    .filter(|unit| !unit.is_empty())
}

/// The type of a NAL unit, from its first byte.
pub(crate) fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte & 0x1f)
}

fn after_start_code(stream: &[u8]) -> Option<&[u8]> {
    stream.get(find_start_code(stream)? + 3..)
}

fn find_start_code(stream: &[u8]) -> Option<usize> {
    stream.windows(3).position(|bytes| bytes == [0, 0, 1])
}

fn trim_zeros(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    unit.get(..end).unwrap_or(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(stream: &[u8]) -> Vec<&[u8]> {
        nal_units(stream).collect()
    }

    #[test]
    fn units_are_found_behind_long_and_short_start_codes() {
        let stream = [9, 9, 0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 0, 4, 0];
        assert_eq!(units(&stream), [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 0, 4]]);
        assert_eq!(units(&stream).into_iter().map(unit_type).collect::<Vec<_>>(), [SPS, PPS, IDR_SLICE]);
    }

    #[test]
    fn streams_without_units_have_none() {
        for stream in [&[][..], &[0], &[0, 0, 1], &[0, 0, 0, 1, 0, 0, 1, 0], &[1, 2, 3]] {
            assert!(units(stream).is_empty(), "{stream:?}");
        }
    }
}
