//! Annex B byte streams of H.264: finding the NAL units between start codes, and writing them again.

/// The start code that is written before each NAL unit.
pub(crate) const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The NAL units of `stream`, without start codes and trailing zeros (H.264 Annex B.1), none of them empty.
pub(crate) fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        loop {
            let current = rest?;
            let end = start_code(current).unwrap_or(current.len());
            let (nal, tail) = current.split_at_checked(end)?;
            rest = after_start_code(tail);
            let nal = without_trailing_zeros(nal);
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    })
}

/// What follows the first start code.
fn after_start_code(stream: &[u8]) -> Option<&[u8]> {
    stream.get(start_code(stream)? + 3..)
}

/// Where the first `00 00 01` begins.
fn start_code(stream: &[u8]) -> Option<usize> {
    stream.windows(3).position(|window| window == [0, 0, 1])
}

/// A NAL unit never ends in a zero byte (H.264 §7.4.1), so zeros before the next start code belong to that.
fn without_trailing_zeros(nal: &[u8]) -> &[u8] {
    let length = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    nal.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_of_both_lengths_are_found() {
        let stream = [0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 3, 4];
        let units: Vec<&[u8]> = nal_units(&stream).collect();
        assert_eq!(units, [&[0x67, 1][..], &[0x68, 2], &[0x65, 3, 4]]);
    }

    #[test]
    fn streams_without_a_nal_unit_give_none() {
        for stream in [&[][..], &[1, 2, 3], &[0, 0, 1], &[0, 0, 1, 0, 0, 0, 1], &[0, 0]] {
            assert_eq!(nal_units(stream).count(), 0, "{stream:?}");
        }
    }
}
