//! The H.264 encoder: constrained baseline, one thread, no pictures reordered or dropped, slices no longer than a network
//! packet.

use std::array::from_fn;
use std::sync::LazyLock;

use super::libopenh264::EncoderContext;
use crate::Cause;
use crate::frame::VideoFrame;
use crate::video::controlled::{ControlledEncoder, QuantizedCodec};

/// Turns pictures into access units.
pub(crate) type H264Encoder = ControlledEncoder<EncoderContext>;

/// The finest quantizer that is used: what a finer one would still improve nobody sees.
const FINEST: u8 = 12;

/// The coarsest that H.264 has.
const COARSEST: u8 = 51;

/// What each quantizer's step is, in octaves: it is 1 at 4 and doubles every six (H.264 table 8-15).
static STEPS: LazyLock<[f64; (COARSEST - FINEST + 1) as usize]> =
    LazyLock::new(|| from_fn(|place| (place as f64 + f64::from(FINEST) - 4.0) / 6.0));

impl QuantizedCodec for EncoderContext {
    fn open(width: u32, height: u32) -> Result<Self, Cause> {
        Ok(Self::new(width, height)?)
    }

    fn steps() -> &'static [f64] {
        &*STEPS
    }

    fn encode(
        &mut self,
        frame: &VideoFrame,
        quantizer: u8,
        key: bool,
        data: &mut Vec<u8>,
    ) -> Result<Option<bool>, Cause> {
        Ok(self.access_unit(frame, FINEST + quantizer, key, data)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::annex_b::{self, IDR_SLICE, PPS, SLICE, SPS};
    use super::super::libopenh264::MAX_SLICE_BYTES;
    use super::*;
    use crate::pattern::TestPattern;
    use crate::rate::FrameRate;
    use crate::video::encoder::VideoEncoder;
    use crate::video::tests::{encode_all, noisy_pictures};

    #[test]
    fn a_key_frame_brings_its_parameter_sets_and_no_other_has_any() {
        let mut encoder = H264Encoder::new(300_000, FrameRate::THIRTY);
        for (place, picture) in noisy_pictures(320, 240, 10).iter().enumerate() {
            let frame = encoder.encode(picture, place == 5).unwrap().unwrap();
            let types: Vec<u8> = annex_b::nal_units(&frame.data).map(annex_b::unit_type).collect();
            if place % 5 == 0 {
                assert_eq!(types[..3], [SPS, PPS, IDR_SLICE]);
            } else {
                assert!(types.iter().all(|kind| *kind == SLICE), "{types:?}");
            }
        }
    }

    #[test]
    fn no_slice_is_longer_than_a_packet_even_in_noise() {
        for (width, height, bitrate_bps) in
            [(1280, 720, 6_000_000), (1280, 720, 800_000), (640, 480, 1_000_000), (322, 242, 100_000)]
        {
            let mut encoder = H264Encoder::new(bitrate_bps, FrameRate::THIRTY);
            let frames = encode_all(&mut encoder, &noisy_pictures(width, height, 20));
            let longest =
                (frames.iter().flat_map(|frame| annex_b::nal_units(&frame.data))).map(<[u8]>::len).max().unwrap();
            println!("{width}x{height} at {bitrate_bps}: key frame {}, longest unit {longest}", frames[0].data.len());
            assert!(longest <= MAX_SLICE_BYTES as usize, "{longest} bytes at {width}x{height}");
        }
    }

    #[test]
    fn the_stream_is_constrained_baseline_of_at_most_level_3_1() {
        let mut encoder = H264Encoder::new(2_500_000, FrameRate::THIRTY);
        let frame = encoder.encode(&TestPattern::new().frame(0), false).unwrap().unwrap();
        let sps = annex_b::nal_units(&frame.data).next().unwrap();
        let (profile, constraints, level) = (sps[1], sps[2], sps[3]);
        assert_eq!(profile, 66);
        assert_eq!(constraints & 0x40, 0x40, "constraint_set1_flag (H.264 A.2.1)");
        assert!(level <= 31, "level {level}");
    }
}
