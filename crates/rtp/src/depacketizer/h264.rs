//! H.264 payloads back to NAL units (RFC 6184 §5.6, §5.7.1, §5.8), for the packets of one access unit in order.
//! Whatever packetization mode 1 does not allow makes the access unit malformed.

use super::{Finished, Malformed};
use crate::annex_b::START_CODE;
use crate::nal::{FORBIDDEN_AND_REF_IDC, FU_A, FU_END, FU_START, IDR, NAL_REF_IDC, NAL_TYPE, SLICE, SPS, STAP_A};

/// Appends the payloads of one access unit, none of them empty, to `data`.
pub(super) fn assemble<'a>(payloads: impl Iterator<Item = &'a [u8]>, data: Vec<u8>) -> Result<Finished, Malformed> {
    let mut access_unit = AccessUnit { data, ..AccessUnit::default() };
    for payload in payloads {
        access_unit.push(payload)?;
    }
    access_unit.finish()
}

/// One access unit under construction.
#[derive(Debug, Default)]
struct AccessUnit {
    data: Vec<u8>,
    idr: bool,
    sps: bool,
    /// Type of the NAL unit whose fragments are being put together.
    open_fragment: Option<u8>,
}

impl AccessUnit {
    fn push(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let (header, body) = payload.split_first().ok_or(Malformed)?;
        match header & NAL_TYPE {
            1..=23 => self.push_nal(payload),
            STAP_A => self.push_aggregate(body),
            FU_A => self.push_fragment(*header, body),
            _ => Err(Malformed),
        }
    }

    fn finish(self) -> Result<Finished, Malformed> {
        if self.open_fragment.is_some() {
            return Err(Malformed);
        }
        Ok(Finished { data: self.data, key: self.idr && self.sps })
    }

    fn push_nal(&mut self, nal: &[u8]) -> Result<(), Malformed> {
        let nal_type = nal.first().ok_or(Malformed)? & NAL_TYPE;
        if self.open_fragment.is_some() || !(1..=23).contains(&nal_type) {
            return Err(Malformed);
        }
        self.note_type(nal_type);
        self.data.extend_from_slice(&START_CODE);
        self.data.extend_from_slice(nal);
        Ok(())
    }

    fn push_aggregate(&mut self, mut body: &[u8]) -> Result<(), Malformed> {
        while let Some((length, rest)) = body.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let (nal, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
            self.push_nal(nal)?;
            body = rest;
        }
        if body.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    fn push_fragment(&mut self, indicator: u8, body: &[u8]) -> Result<(), Malformed> {
        let (header, fragment) = body.split_first().ok_or(Malformed)?;
        let nal_type = header & NAL_TYPE;
        let (start, end) = (header & FU_START != 0, header & FU_END != 0);
        if fragment.is_empty() || (start && end) {
            return Err(Malformed);
        }
        if start {
            self.push_nal(&[(indicator & FORBIDDEN_AND_REF_IDC) | nal_type])?;
        } else if self.open_fragment != Some(nal_type) {
            return Err(Malformed);
        }
        self.open_fragment = (!end).then_some(nal_type);
        self.data.extend_from_slice(fragment);
        Ok(())
    }

    fn note_type(&mut self, nal_type: u8) {
        self.idr |= nal_type == IDR;
        self.sps |= nal_type == SPS;
    }
}

/// Whether `payload` holds, or begins, a sequence parameter set: a key frame that needs nothing from before begins here.
pub(super) fn holds_parameter_set(payload: &[u8]) -> bool {
    let Some((header, mut body)) = payload.split_first() else {
        return false;
    };
    match header & NAL_TYPE {
        SPS => true,
        FU_A => body.first().is_some_and(|header| header & FU_START != 0 && header & NAL_TYPE == SPS),
        STAP_A => {
            while let Some((length, rest)) = body.split_first_chunk() {
                if rest.first().is_some_and(|header| header & NAL_TYPE == SPS) {
                    return true;
                }
                let length = usize::from(u16::from_be_bytes(*length));
                body = rest.get(length..).unwrap_or_default();
            }
            false
        }
        _ => false,
    }
}

/// Whether an access unit begins with this payload: what stands before slices (H.264 §7.4.1.2.3), or the slice with the
/// first macroblock, whose number 0 is a single bit (§7.3.3, §9.1). Slices come in order where calls are concerned.
pub(super) fn begins_access_unit(payload: &[u8]) -> bool {
    let is_first_slice = |body: &[u8]| body.first().is_some_and(|byte| byte & 0x80 != 0);
    let Some((header, body)) = payload.split_first() else {
        return false;
    };
    match header & NAL_TYPE {
        SLICE | IDR => is_first_slice(body),
        6..=9 | STAP_A => true,
        FU_A => body.split_first().is_some_and(|(fu, body)| match fu & NAL_TYPE {
            SLICE | IDR => fu & FU_START != 0 && is_first_slice(body),
            _ => fu & FU_START != 0,
        }),
        _ => false,
    }
}

/// Whether nothing in this payload is referred to: `nal_ref_idc`, which has the same place in every kind of payload
/// (H.264 §7.4.1, RFC 6184 §5.3), is 0. Only slices count: what stands before them is 0 even in pictures that matter.
pub(super) fn is_disposable(payload: &[u8]) -> bool {
    let Some((header, body)) = payload.split_first() else {
        return false;
    };
    let nal_type = match header & NAL_TYPE {
        FU_A => body.first().map_or(0, |fu| fu & NAL_TYPE),
        single => single,
    };
    header & NAL_REF_IDC == 0 && nal_type == SLICE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembled(payloads: &[&[u8]]) -> Result<Finished, Malformed> {
        assemble(payloads.iter().copied(), Vec::new())
    }

    #[test]
    fn aggregates_single_units_and_fragments_become_one_byte_stream() {
        let unit =
            assembled(&[&[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2], &[0x65, 0x88], &[0x7c, 0x85, 3], &[0x7c, 0x45, 4]]);
        let expected =
            [&[0, 0, 0, 1, 0x67, 1][..], &[0, 0, 0, 1, 0x68, 2], &[0, 0, 0, 1, 0x65, 0x88], &[0, 0, 0, 1, 0x65, 3, 4]]
                .concat();
        assert_eq!(unit, Ok(Finished { data: expected, key: true }));
    }

    #[test]
    fn payloads_against_the_format_are_malformed() {
        let cases: &[(&str, &[&[u8]])] = &[
            ("a reserved type", &[&[0]]),
            ("a STAP-B", &[&[25, 0, 0]]),
            ("an FU-B", &[&[29, 0x85, 0, 0, 1]]),
            ("an aggregate longer than the packet", &[&[24, 0, 9, 0x67]]),
            ("an aggregate with a torn length", &[&[24, 0, 1, 0x67, 0]]),
            ("an aggregate with an empty unit", &[&[24, 0, 0]]),
            ("an aggregate in an aggregate", &[&[24, 0, 1, 24]]),
            ("a fragment without header", &[&[28]]),
            ("a fragment without content", &[&[28, 0x81]]),
            ("a fragment that starts and ends", &[&[28, 0xc1, 1]]),
            ("a fragment of a fragment", &[&[28, 0x80 | 28, 1]]),
            ("a fragment without a start", &[&[28, 0x01, 1]]),
            ("a fragment of another unit", &[&[28, 0x81, 1], &[28, 0x42, 1]]),
            ("a unit between fragments", &[&[28, 0x81, 1], &[0x41, 1]]),
            ("a fragment without an end", &[&[28, 0x81, 1]]),
        ];
        for (name, payloads) in cases {
            assert_eq!(assembled(payloads), Err(Malformed), "{name}");
        }
    }

    #[test]
    fn a_key_frame_is_known_by_its_parameter_set() {
        for with in [&[0x78, 0, 2, 0x67, 1][..], &[0x67, 1], &[0x7c, 0x87, 1], &[0x78, 0, 1, 0x09, 0, 1, 0x67]] {
            assert!(holds_parameter_set(with), "{with:?}");
        }
        for without in [&[][..], &[0x65, 0x88], &[0x7c, 0x07, 1], &[0x41, 0x9a], &[0x78], &[0x78, 0, 9, 0x68]] {
            assert!(!holds_parameter_set(without), "{without:?}");
        }
    }
    #[test]
    fn the_first_slice_of_a_picture_is_known_and_whether_it_is_referred_to() {
        let cases: [(&[u8], bool, bool); 11] = [
            (&[0x41, 0x9a], true, false),
            (&[0x01, 0x9a], true, true),
            (&[0x01, 0x4a], false, true),
            (&[0x1c, 0x81, 0x9a], true, true),
            (&[0x1c, 0x01, 0x9a], false, true),
            (&[0x5c, 0x81, 0x9a], true, false),
            (&[0x1c, 0x81, 0x4a], false, true),
            (&[0x65, 0x88], true, false),
            (&[0x06, 5], true, false),
            (&[0x78, 0, 1, 0x67], true, false),
            (&[0x1c], false, false),
        ];
        for (payload, begins, is_left_out) in cases {
            assert_eq!((begins_access_unit(payload), is_disposable(payload)), (begins, is_left_out), "{payload:x?}");
        }
        assert!(!begins_access_unit(&[]) && !is_disposable(&[]));
    }
}
