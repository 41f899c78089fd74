//! The H.264 encoder: constrained baseline, one thread, no frames reordered or dropped, slices no
//! longer than a network packet. It decides no bit rate; it follows the one it is told.

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

use crate::Cause;
use crate::frame::VideoFrame;
use crate::rate::FrameRate;

/// The longest slice. With the packet's headers it stays below 1200 bytes, which every path
/// carries; so a lost packet costs one slice, and no slice has to be cut. openh264 leaves itself a
/// margin of more than 100 bytes to the limit it is given. Parameter sets are far shorter.
pub const MAX_SLICE_BYTES: u32 = 1130;

/// The most macroblocks a picture may have: level 3.1, which is what calls negotiate, 1280x720
/// in either orientation (H.264 table A-1).
pub const MAX_MACROBLOCKS: u32 = 3600;

/// openh264 takes no less.
const MIN_SIDE_PX: u32 = 16;

/// Below this nothing recognisable is left; openh264 would refuse a rate of zero.
const MIN_BITRATE_BPS: u32 = 20_000;

/// Level 3.1 allows no more (H.264 table A-1).
const MAX_BITRATE_BPS: u32 = 14_000_000;

/// openh264's `SPATIAL_LAYER_0`, which the bindings lack.
const FIRST_LAYER: c_int = 0;

/// A coded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// One access unit as an Annex B stream; a key frame brings its parameter sets.
    pub data: Vec<u8>,
    /// Decodable without anything before it.
    pub key: bool,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Why a picture was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The picture's size is outside of what calls negotiate.
    #[error("a picture of {width}x{height} cannot be encoded: scale it to at most 1280x720 and at least 16x16")]
    Size {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// openh264 refused.
    #[error("the picture cannot be encoded")]
    Codec(#[source] Cause),
    /// openh264 refused a bit rate.
    #[error("the encoder cannot be set to {bitrate_bps} bit/s (code {code})")]
    Bitrate {
        /// The bit rate asked for.
        bitrate_bps: u32,
        /// What openh264 returned.
        code: c_int,
    },
}

/// The bit rate at which 30 pictures a second of this size look good: 700 kb/s at 640x480,
/// 1.6 Mb/s at 1280x720. Larger pictures need less for each pixel. Measured with
/// `examples/h264_quality.rs` on a webcam clip of 640x480: SSIM 0.99.
pub fn default_bitrate_bps(width: u32, height: u32) -> u32 {
    let pixels = f64::from(width) * f64::from(height);
    clamp_bitrate((700_000.0 * (pixels / (640.0 * 480.0)).powf(0.75)) as u32)
}

/// Turns pictures into access units. Belongs to one thread. Pictures may change their size at
/// any time; the first of a new size is a key frame.
pub struct H264Encoder {
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
    pub fn new(bitrate_bps: u32, rate: FrameRate) -> Self {
        Self { bitrate_bps: clamp_bitrate(bitrate_bps), rate, running: None }
    }

    /// Sets the bit rate for the next picture on, brought to what the encoder can do. Costs no
    /// key frame.
    pub fn set_bitrate_bps(&mut self, bitrate_bps: u32) {
        self.bitrate_bps = clamp_bitrate(bitrate_bps);
    }

    /// The bit rate in force.
    pub fn bitrate_bps(&self) -> u32 {
        self.bitrate_bps
    }

    /// Encodes a picture, as a key frame if asked. Nothing if the encoder left the picture out,
    /// which it does only when it is made to.
    ///
    /// # Errors
    /// If the size cannot be encoded or openh264 fails; the next picture then is a key frame.
    pub fn encode(&mut self, frame: &VideoFrame, force_key: bool) -> Result<Option<EncodedFrame>, EncodeError> {
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

    /// Takes the running encoder, or makes one for a new size. It is put back after a success
    /// only: one that failed is not used again.
    fn encoder_for(&mut self, frame: &VideoFrame) -> Result<Running, EncodeError> {
        let (width, height) = (frame.width(), frame.height());
        match self.running.take() {
            Some(running) if (running.width, running.height) == (width, height) => Ok(running),
            Some(_) | None => {
                let macroblocks = width.div_ceil(16) * height.div_ceil(16);
                if width.min(height) < MIN_SIDE_PX || macroblocks > MAX_MACROBLOCKS {
                    return Err(EncodeError::Size { width, height });
                }
                let config = config(self.bitrate_bps, self.rate);
                let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).map_err(codec_error)?;
                silence(&mut encoder);
                Ok(Running { width, height, bitrate_bps: self.bitrate_bps, encoder })
            }
        }
    }
}

fn clamp_bitrate(bitrate_bps: u32) -> u32 {
    bitrate_bps.clamp(MIN_BITRATE_BPS, MAX_BITRATE_BPS)
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
pub(crate) mod tests {
    use super::*;
    use crate::convert::Scaler;
    use crate::pattern::TestPattern;
    use crate::video::annex_b::{self, IDR_SLICE, PPS, SLICE, SPS};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Moving pictures with the noise of a cheap camera.
    pub(crate) fn noisy_pictures(width: u32, height: u32, count: u64) -> Vec<VideoFrame> {
        let seed = u64::from(width) << 32 | u64::from(height);
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut scaler = Scaler::new();
        let pattern = TestPattern::new();
        (0..count)
            .map(|number| {
                let clean = scaler.scale(&pattern.frame(number), width, height).unwrap();
                let noise = |byte: &u8| byte.saturating_add(random.random_range(0..12));
                VideoFrame::new(width, height, clean.data().iter().map(noise).collect()).unwrap()
            })
            .collect()
    }

    fn encode_all(encoder: &mut H264Encoder, pictures: &[VideoFrame]) -> Vec<EncodedFrame> {
        pictures.iter().map(|picture| encoder.encode(picture, false).unwrap().unwrap()).collect()
    }

    fn bits_per_second(frames: &[EncodedFrame]) -> usize {
        frames.iter().map(|frame| frame.data.len() * 8).sum::<usize>() * 30 / frames.len()
    }

    #[test]
    fn key_frames_come_first_and_when_asked_and_never_else() {
        let mut encoder = H264Encoder::new(300_000, FrameRate::THIRTY);
        let mut pictures = noisy_pictures(320, 240, 40);
        // A cut to something else entirely must not bring one either.
        let other = VideoFrame::new(320, 240, vec![200; 320 * 240 * 3 / 2]).unwrap();
        pictures[30..].fill(other);
        for (place, picture) in pictures.iter().enumerate() {
            let ask = place == 20;
            let frame = encoder.encode(picture, ask).unwrap().unwrap();
            assert_eq!(frame.key, place == 0 || ask, "picture {place}");
            let types: Vec<u8> = annex_b::nal_units(&frame.data).map(annex_b::unit_type).collect();
            if frame.key {
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
    fn the_bit_rate_is_kept_and_followed_without_a_key_frame() {
        let mut encoder = H264Encoder::new(600_000, FrameRate::THIRTY);
        let pictures = noisy_pictures(320, 240, 60);
        for bitrate_bps in [600_000, 1_200_000, 300_000, 800_000] {
            encoder.set_bitrate_bps(bitrate_bps);
            let frames = encode_all(&mut encoder, &pictures);
            let spent = bits_per_second(&frames[15..]);
            let asked = bitrate_bps as usize;
            assert!((asked * 7 / 10..asked * 13 / 10).contains(&spent), "{spent} of {asked}");
            assert_eq!(frames[1..].iter().filter(|frame| frame.key).count(), 0);
        }
    }

    #[test]
    fn a_new_size_begins_with_a_key_frame_at_the_bit_rate_in_force() {
        let mut encoder = H264Encoder::new(2_000_000, FrameRate::THIRTY);
        encode_all(&mut encoder, &noisy_pictures(640, 360, 3));
        encoder.set_bitrate_bps(200_000);
        let frames = encode_all(&mut encoder, &noisy_pictures(320, 180, 90));
        assert!(frames[0].key);
        assert_eq!((frames[0].width, frames[0].height), (320, 180));
        let spent = bits_per_second(&frames[15..]);
        assert!(spent < 280_000, "{spent}");
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

    #[test]
    fn no_picture_is_dropped_at_any_bit_rate() {
        let mut encoder = H264Encoder::new(0, FrameRate::THIRTY);
        assert_eq!(encoder.bitrate_bps(), MIN_BITRATE_BPS);
        assert_eq!(encode_all(&mut encoder, &noisy_pictures(640, 480, 60)).len(), 60);
        encoder.set_bitrate_bps(u32::MAX);
        assert_eq!(encode_all(&mut encoder, &noisy_pictures(640, 480, 5)).len(), 5);
    }

    #[test]
    fn the_default_bit_rate_grows_more_slowly_than_the_picture() {
        assert_eq!(default_bitrate_bps(640, 480), 700_000);
        assert!((1_500_000..1_700_000).contains(&default_bitrate_bps(1280, 720)));
        assert!((200_000..300_000).contains(&default_bitrate_bps(320, 240)));
        assert_eq!(default_bitrate_bps(0, 0), MIN_BITRATE_BPS);
        assert_eq!(default_bitrate_bps(u32::MAX, u32::MAX), MAX_BITRATE_BPS);
    }

    #[test]
    fn sizes_no_call_negotiates_are_refused_and_leave_the_encoder_usable() {
        let mut encoder = H264Encoder::new(500_000, FrameRate::THIRTY);
        for (width, height) in [(1920, 1080), (1280, 738), (14, 16), (16, 14)] {
            let len = VideoFrame::byte_len(width, height).unwrap();
            let frame = VideoFrame::new(width, height, vec![128; len]).unwrap();
            assert!(matches!(encoder.encode(&frame, false), Err(EncodeError::Size { .. })));
        }
        for (width, height) in [(16, 16), (720, 1280), (1280, 720)] {
            let frames = encode_all(&mut encoder, &noisy_pictures(width, height, 2));
            assert!(frames[0].key);
        }
    }
}
