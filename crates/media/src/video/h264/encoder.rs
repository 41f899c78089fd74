//! The H.264 encoder: constrained baseline, one thread, no frames reordered or dropped, slices no
//! longer than a network packet.

use std::ffi::c_int;

use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate as MaxFrameRate, FrameType, Profile, RateControlMode,
    UsageType,
};
use openh264::formats::YUVSlices;
use openh264::{OpenH264API, Timestamp};
use openh264_sys2::{
    ENCODER_OPTION, ENCODER_OPTION_BITRATE, ENCODER_OPTION_MAX_BITRATE, ENCODER_OPTION_TRACE_LEVEL, SBitrateInfo,
    SPATIAL_LAYER_ALL, WELS_LOG_QUIET,
};

use crate::frame::VideoFrame;
use crate::rate::FrameRate;
use crate::video::encoder::{EncodeError, EncodedFrame, VideoEncoder, checked_size, clamp_bitrate};

/// The longest slice. With the packet's headers it stays below 1200 bytes, which every path
/// carries; so a lost packet costs one slice, and no slice has to be cut. openh264 leaves itself a
/// margin of more than 100 bytes to the limit it is given. Parameter sets are far shorter.
const MAX_SLICE_BYTES: u32 = 1130;

/// openh264's `SPATIAL_LAYER_0`, which the bindings lack.
const FIRST_LAYER: c_int = 0;

/// Turns pictures into access units.
pub(crate) struct H264Encoder {
    bitrate_bps: u32,
    rate: FrameRate,
    /// Made for one size; another size takes another encoder.
    running: Option<Running>,
}

struct Running {
    width: u32,
    height: u32,
    bitrate_bps: u32,
    encoder: Encoder,
}

impl H264Encoder {
    /// An encoder that spends `bitrate_bps` on `rate` pictures a second. Does nothing yet.
    pub(crate) fn new(bitrate_bps: u32, rate: FrameRate) -> Self {
        Self { bitrate_bps: clamp_bitrate(bitrate_bps), rate, running: None }
    }
}

impl VideoEncoder for H264Encoder {
    fn encode(&mut self, frame: &VideoFrame, force_key: bool) -> Result<Option<EncodedFrame>, EncodeError> {
        let mut running = self.encoder_for(frame)?;
        if running.bitrate_bps != self.bitrate_bps {
            apply_bitrate(&mut running, self.bitrate_bps)?;
        }
        if force_key {
            running.encoder.force_intra_frame();
        }
        let (width, height) = (frame.width(), frame.height());
        let strides = (width as usize, width as usize / 2, width as usize / 2);
        let source = YUVSlices::new(frame.planes(), (width as usize, height as usize), strides);
        // Time stamps would matter only to rate control by dropping, which is off.
        let stream = running.encoder.encode_at(&source, Timestamp::ZERO).map_err(codec_error)?;
        let kind = stream.frame_type();
        let data = stream.to_vec();
        self.running = Some(running);
        Ok(match kind {
            FrameType::IDR => Some(EncodedFrame { data, key: true, width, height }),
            FrameType::I | FrameType::P | FrameType::IPMixed => Some(EncodedFrame { data, key: false, width, height }),
            FrameType::Skip | FrameType::Invalid => None,
        })
    }

    fn set_bitrate_bps(&mut self, bitrate_bps: u32) {
        self.bitrate_bps = clamp_bitrate(bitrate_bps);
    }

    fn bitrate_bps(&self) -> u32 {
        self.bitrate_bps
    }
}

impl H264Encoder {
    /// Takes the running encoder, or makes one for a new size. It is put back after a success
    /// only: one that failed is not used again.
    fn encoder_for(&mut self, frame: &VideoFrame) -> Result<Running, EncodeError> {
        let (width, height) = checked_size(frame)?;
        match self.running.take() {
            Some(running) if (running.width, running.height) == (width, height) => Ok(running),
            Some(_) | None => {
                let config = config(self.bitrate_bps, self.rate);
                let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).map_err(codec_error)?;
                silence(&mut encoder);
                Ok(Running { width, height, bitrate_bps: self.bitrate_bps, encoder })
            }
        }
    }
}

fn config(bitrate_bps: u32, rate: FrameRate) -> EncoderConfig {
    EncoderConfig::new()
        .profile(Profile::Baseline)
        .usage_type(UsageType::CameraVideoRealTime)
        .complexity(Complexity::Medium)
        .rate_control_mode(RateControlMode::Bitrate)
        .bitrate(BitRate::from_bps(bitrate_bps))
        .max_frame_rate(MaxFrameRate::from_hz(rate.fps() as f32))
        // What may be sent is decided before the encoder, with the network in view.
        .skip_frames(false)
        // A changed scene is coded as it is: a key frame comes only when one is asked for.
        .scene_change_detect(false)
        .num_threads(1)
        .max_slice_len(MAX_SLICE_BYTES)
}

/// Changes the bit rate of a running encoder. openh264 refuses a target above its maximum, so
/// the maximum goes first on the way up and last on the way down.
fn apply_bitrate(running: &mut Running, bitrate_bps: u32) -> Result<(), EncodeError> {
    // The maximum is kept for each layer, of which there is one; the target for all together.
    let maximum = (ENCODER_OPTION_MAX_BITRATE, FIRST_LAYER);
    let target = (ENCODER_OPTION_BITRATE, SPATIAL_LAYER_ALL);
    let rising = bitrate_bps > running.bitrate_bps;
    for (option, layer) in if rising { [maximum, target] } else { [target, maximum] } {
        let info = SBitrateInfo { iLayer: layer, iBitrate: bitrate_bps as c_int };
        let code = set_bitrate_option(&mut running.encoder, option, info);
        if code != 0 {
            return Err(EncodeError::Bitrate { bitrate_bps, code });
        }
    }
    running.bitrate_bps = bitrate_bps;
    Ok(())
}

/// openh264 would write warnings about our settings to standard error while it starts.
#[allow(unsafe_code)]
fn silence(encoder: &mut Encoder) {
    let mut level = WELS_LOG_QUIET;
    // SAFETY: the encoder is alive for the call; this option may be set before it is initialised,
    // reads one `int` and keeps no pointer to it.
    unsafe { encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast()) };
}

/// `option` is one of the two that take an `SBitrateInfo`.
#[allow(unsafe_code)]
fn set_bitrate_option(encoder: &mut Encoder, option: ENCODER_OPTION, mut info: SBitrateInfo) -> c_int {
    // SAFETY: the encoder is alive for the call and has encoded a picture, so it is initialised;
    // both options read an `SBitrateInfo` and keep no pointer to it.
    unsafe { encoder.raw_api().set_option(option, (&raw mut info).cast()) }
}

fn codec_error(error: openh264::Error) -> EncodeError {
    EncodeError::Codec(error.into())
}

#[cfg(test)]
mod tests {
    use super::super::annex_b::{self, IDR_SLICE, PPS, SLICE, SPS};
    use super::*;
    use crate::pattern::TestPattern;
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
