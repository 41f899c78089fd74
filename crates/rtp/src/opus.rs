//! How long an Opus packet plays and whether it repairs the one before it, read from its first bytes (RFC 6716 §3.1).
//! Not a decoder.

/// The longest an Opus packet may play: 120 ms (RFC 6716 §3.2.5, R5).
const MAX_SAMPLES: u32 = 5_760;

/// Samples at 48 kHz that `packet` plays, or `None` for one that no decoder would take.
pub(crate) fn samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frames = match toc & 0x03 {
        0 => 1,
        1 | 2 => 2,
        // Code 3: the number of frames stands in the second byte (RFC 6716 §3.2.5).
        _ => u32::from(*packet.get(1)? & 0x3f),
    };
    let samples = frames * frame_samples(toc >> 3);
    (1..=MAX_SAMPLES).contains(&samples).then_some(samples)
}

/// Whether `packet`, if it is of one frame, carries a copy of the frame before it: low bit-rate redundancy of SILK, for
/// the middle channel or the side. The flags are the first bits of the frame (RFC 6716 §4.2.3, §4.2.4).
pub(crate) fn carries_fec(packet: &[u8]) -> bool {
    let [toc, flags, ..] = packet else { return false };
    let config = toc >> 3;
    if toc & 0x03 != 0 || config >= 16 {
        return false;
    }
    // Longer frames are of SILK frames of 20 ms, each with a flag of its own for voice before the one for redundancy.
    let silk_frames = (frame_samples(config) / 960).max(1);
    let is_stereo = toc & 0x04 != 0;
    let middle = flags >> (7 - silk_frames) & 1 != 0;
    // A side channel of 60 ms has its flag in the lowest bit.
    let side = is_stereo && flags >> (6 - 2 * silk_frames) & 1 != 0;
    middle || side
}

/// Samples of one frame of configuration `config` (RFC 6716 table 2).
fn frame_samples(config: u8) -> u32 {
    match config {
        // SILK-only: 10, 20, 40, 60 ms.
        0..12 => [480, 960, 1_920, 2_880][usize::from(config % 4)],
        // Hybrid: 10, 20 ms.
        12..16 => [480, 960][usize::from(config % 2)],
        // CELT-only: 2.5, 5, 10, 20 ms.
        _ => [120, 240, 480, 960][usize::from(config % 4)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_the_standards_table() {
        // Configuration 9 (wideband SILK, 20 ms), one frame.
        assert_eq!(samples(&[9 << 3, 1, 2]), Some(960));
        // Configuration 11 (wideband SILK, 60 ms), two frames of one size.
        assert_eq!(samples(&[(11 << 3) | 1]), Some(5_760));
        // Configuration 13 (hybrid, 20 ms).
        assert_eq!(samples(&[13 << 3]), Some(960));
        // Configuration 28 (CELT fullband, 2.5 ms), three frames counted in the second byte.
        assert_eq!(samples(&[(28 << 3) | 3, 3]), Some(360));
    }

    #[test]
    fn repair_data_is_found_by_the_flag_in_front_of_the_frame() {
        // Configuration 15 (hybrid fullband, 20 ms): one flag for voice, one for redundancy.
        assert!(carries_fec(&[15 << 3, 0b1100_0000, 9]));
        assert!(!carries_fec(&[15 << 3, 0b1011_1111, 9]));
        // Configuration 11 (60 ms): three for voice first.
        assert!(carries_fec(&[11 << 3, 0b1111_0000]));
        assert!(!carries_fec(&[11 << 3, 0b1110_0000]));
        // Stereo: the side channel follows with its own two.
        assert!(carries_fec(&[(9 << 3) | 4, 0b1001_0000]));
        // CELT has none, nor has a packet that is a header and nothing else.
        assert!(!carries_fec(&[31 << 3, 0xff]));
        assert!(!carries_fec(&[9 << 3]));
        assert!(!carries_fec(&[]));
    }

    #[test]
    fn impossible_packets_have_no_duration() {
        assert_eq!(samples(&[]), None);
        assert_eq!(samples(&[3]), None);
        assert_eq!(samples(&[3, 0]), None);
        // 63 frames of 60 ms are more than a packet may hold.
        assert_eq!(samples(&[(11 << 3) | 3, 63]), None);
    }
}
