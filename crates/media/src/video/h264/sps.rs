//! How large the pictures of a sequence parameter set are (H.264 §7.3.2.1.1), read before the
//! decoder sees it, so that a hostile one allocates nothing. Everything else in it is skipped.

/// The size a sequence parameter set asks for: before cropping in macroblocks of 16x16, after it in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodedSize {
    pub(crate) width_mbs: u32,
    pub(crate) height_mbs: u32,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
}

/// Profiles that carry the fields on colour format and scaling.
const HIGH_PROFILES: [u32; 13] = [44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244];

/// Reads the size out of a whole NAL unit of type 7; nothing if it is malformed or its pictures
/// are not 8-bit 4:2:0.
pub(crate) fn coded_size(unit: &[u8]) -> Option<CodedSize> {
    let payload = without_emulation_prevention(unit.get(1..)?);
    let mut bits = Bits { bytes: &payload, position: 0 };
    let profile = bits.take(8)?;
    bits.take(16)?; // constraint flags and level
    bits.golomb()?; // id
    if HIGH_PROFILES.contains(&profile) {
        skip_high_profile_fields(&mut bits)?;
    }
    bits.golomb()?; // log2_max_frame_num_minus4
    skip_picture_order(&mut bits)?;
    bits.golomb()?; // max_num_ref_frames
    bits.take(1)?; // gaps_in_frame_num_value_allowed_flag
    let width_mbs = bits.golomb()?.checked_add(1)?;
    let height_units = bits.golomb()?.checked_add(1)?;
    let fields = 2 - bits.take(1)?; // frame_mbs_only_flag: else the height counts pairs of rows
    let height_mbs = height_units.checked_mul(fields)?;
    bits.take(fields)?; // mb_adaptive_frame_field_flag, where there are fields, and direct_8x8_inference_flag
    let (columns, rows) = cropped(&mut bits)?;
    // Cropping is told in pixels of the colours: of two columns, and of two rows of each field.
    let width_px = width_mbs.saturating_mul(16).saturating_sub(columns.saturating_mul(2));
    let height_px = height_mbs.saturating_mul(16).saturating_sub(rows.saturating_mul(2 * fields));
    Some(CodedSize { width_mbs, height_mbs, width_px, height_px })
}

/// How many columns and rows are cut off, in units.
fn cropped(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    if bits.take(1)? == 0 {
        return Some((0, 0));
    }
    let (left, right, top, bottom) = (bits.golomb()?, bits.golomb()?, bits.golomb()?, bits.golomb()?);
    Some((left.saturating_add(right), top.saturating_add(bottom)))
}

fn skip_high_profile_fields(bits: &mut Bits<'_>) -> Option<()> {
    let colour_format = bits.golomb()?;
    let extra_bits = (bits.golomb()?, bits.golomb()?);
    if colour_format != 1 || extra_bits != (0, 0) {
        return None;
    }
    bits.take(1)?; // qpprime_y_zero_transform_bypass_flag
    if bits.take(1)? == 1 {
        for list in 0..8 {
            if bits.take(1)? == 1 {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(())
}

// H.264 §7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits<'_>, length: usize) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..length {
        if next != 0 {
            next = (last + bits.signed_golomb()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn skip_picture_order(bits: &mut Bits<'_>) -> Option<()> {
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.take(1)?;
            bits.golomb()?;
            bits.golomb()?;
            let cycle = bits.golomb()?;
            // At most 255 by H.264 §7.4.2.1.1.
            for _ in 0..cycle.min(256) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    Some(())
}

// H.264 §7.4.1: of 00 00 03 the 03 is not part of the payload.
fn without_emulation_prevention(bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for byte in bytes {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        payload.push(*byte);
    }
    payload
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    /// The next bits, at most 32, the first one highest.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.position / 8)?;
            let bit = byte >> (7 - self.position % 8) & 1;
            value = value << 1 | u32::from(bit);
            self.position += 1;
        }
        Some(value)
    }

    /// An unsigned Exp-Golomb number (H.264 §9.1).
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }

    /// A signed Exp-Golomb number (H.264 §9.1.1).
    fn signed_golomb(&mut self) -> Option<i64> {
        let code = i64::from(self.golomb()?);
        Some(if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Written by x264: high profile, 640x480, picture order type 0.
    const HIGH_640X480: [u8; 25] = [
        0x67, 0x64, 0x00, 0x1e, 0xac, 0xb2, 0x01, 0x40, 0x7b, 0x60, 0x22, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00, 0x00,
        0x03, 0x00, 0x78, 0x1e, 0x2c, 0x5c, 0x90,
    ];

    /// Writes the fields of a baseline parameter set.
    pub(crate) fn baseline(width_mbs: u32, height_mbs: u32) -> Vec<u8> {
        let mut bits = String::new();
        for value in [0, 0, 2, 1] {
            push_golomb(&mut bits, value);
        }
        bits.push('0');
        push_golomb(&mut bits, width_mbs - 1);
        push_golomb(&mut bits, height_mbs - 1);
        bits.push_str("1001");
        let mut unit = vec![0x67, 66, 0xc0, 31];
        let mut zeros = 0;
        for byte in bits.as_bytes().chunks(8) {
            let text = format!("{:0<8}", std::str::from_utf8(byte).unwrap());
            let byte = u8::from_str_radix(&text, 2).unwrap();
            if zeros >= 2 && byte <= 3 {
                unit.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            unit.push(byte);
        }
        unit
    }

    fn push_golomb(bits: &mut String, value: u32) {
        let code = format!("{:b}", u64::from(value) + 1);
        bits.push_str(&"0".repeat(code.len() - 1));
        bits.push_str(&code);
    }

    #[test]
    fn sizes_are_read_from_baseline_and_high_profile() {
        let size = |width_mbs: u32, height_mbs: u32| {
            let (width_px, height_px) = (width_mbs.saturating_mul(16), height_mbs.saturating_mul(16));
            Some(CodedSize { width_mbs, height_mbs, width_px, height_px })
        };
        assert_eq!(coded_size(&HIGH_640X480), size(40, 30));
        for (width, height) in [(1, 1), (80, 45), (120, 68), (1 << 20, 1 << 20), (1 << 30, 7)] {
            assert_eq!(coded_size(&baseline(width, height)), size(width, height));
        }
    }

    #[test]
    fn cut_and_flipped_sets_never_panic() {
        let seed = 0x7370_7321;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        for length in 0..HIGH_640X480.len() {
            coded_size(&HIGH_640X480[..length]);
        }
        assert_eq!(coded_size(&HIGH_640X480[..8]), None);
        for _ in 0..50_000 {
            let mut unit = HIGH_640X480;
            for _ in 0..random.random_range(1..10) {
                unit[random.random_range(1..25)] = random.random();
            }
            coded_size(&unit);
        }
    }
}
