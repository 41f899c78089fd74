//! What holds for every codec of this build.

use super::decoder::{DecodeError, MAX_CODED_BYTES};
use super::encoder::{EncodeError, EncodedFrame, MAX_BITRATE_BPS, MIN_BITRATE_BPS, default_bitrate_bps};
use super::*;
use crate::convert::Scaler;
use crate::frame::VideoFrame;
use crate::pattern::TestPattern;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Moving pictures with the noise of a cheap camera.
pub(super) fn noisy_pictures(width: u32, height: u32, count: u64) -> Vec<VideoFrame> {
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

/// Peak signal to noise ratio of the brightness, in dB.
pub(super) fn psnr(a: &VideoFrame, b: &VideoFrame) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let error: u64 = a.y().iter().zip(b.y()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0 * 255.0 * a.y().len() as f64 / error.max(1) as f64).log10()
}

pub(super) fn encode_all(encoder: &mut dyn VideoEncoder, pictures: &[VideoFrame]) -> Vec<EncodedFrame> {
    pictures.iter().map(|picture| encoder.encode(picture, false).unwrap().unwrap()).collect()
}

/// Encodes with a key frame at every `key_every`th picture.
pub(super) fn encode(
    codec: VideoCodec,
    pictures: &[VideoFrame],
    bitrate_bps: u32,
    key_every: usize,
) -> Vec<EncodedFrame> {
    let mut encoder = codec.encoder(bitrate_bps, FrameRate::THIRTY).unwrap();
    (pictures.iter().enumerate())
        .map(|(n, picture)| encoder.encode(picture, n % key_every == 0).unwrap().unwrap())
        .collect()
}

fn codecs() -> impl Iterator<Item = VideoCodec> {
    VideoCodec::available().iter().copied().inspect(|codec| println!("{codec}"))
}

fn bits_per_second(frames: &[EncodedFrame]) -> usize {
    frames.iter().map(|frame| frame.data.len() * 8).sum::<usize>() * 30 / frames.len()
}

#[test]
fn what_is_available_can_be_had_and_nothing_else() {
    for codec in [VideoCodec::H264, VideoCodec::Vp8] {
        let available = VideoCodec::available().contains(&codec);
        assert_eq!(codec.encoder(500_000, FrameRate::THIRTY).is_ok(), available, "{codec}");
        assert_eq!(codec.decoder().is_ok(), available, "{codec}");
    }
}

#[test]
fn key_frames_come_first_and_when_asked_and_never_else() {
    for codec in codecs() {
        let mut encoder = codec.encoder(300_000, FrameRate::THIRTY).unwrap();
        let mut pictures = noisy_pictures(320, 240, 200);
        // A cut to something else entirely must not bring one either.
        let other = VideoFrame::new(320, 240, vec![200; 320 * 240 * 3 / 2]).unwrap();
        pictures[30..60].fill(other);
        for (place, picture) in pictures.iter().enumerate() {
            let ask = place == 20;
            let frame = encoder.encode(picture, ask).unwrap().unwrap();
            assert_eq!(frame.key, place == 0 || ask, "picture {place}");
        }
    }
}

#[test]
fn the_bit_rate_is_kept_and_followed_without_a_key_frame() {
    for codec in codecs() {
        let mut encoder = codec.encoder(600_000, FrameRate::THIRTY).unwrap();
        let pictures = noisy_pictures(320, 240, 60);
        for (round, bitrate_bps) in [600_000, 1_200_000, 300_000, 800_000].into_iter().enumerate() {
            encoder.set_bitrate_bps(bitrate_bps);
            let frames = encode_all(&mut *encoder, &pictures);
            let spent = bits_per_second(&frames[15..]);
            let asked = bitrate_bps as usize;
            assert!((asked * 7 / 10..asked * 13 / 10).contains(&spent), "{spent} of {asked}");
            assert_eq!(frames.iter().filter(|frame| frame.key).count(), usize::from(round == 0));
        }
    }
}

#[test]
fn the_next_pictures_obey_another_bit_rate() {
    for codec in codecs() {
        let mut encoder = codec.encoder(900_000, FrameRate::THIRTY).unwrap();
        let pictures = noisy_pictures(320, 240, 90);
        encode_all(&mut *encoder, &pictures[..60]);
        encoder.set_bitrate_bps(150_000);
        let frames = encode_all(&mut *encoder, &pictures[60..66]);
        let spent = bits_per_second(&frames);
        assert!(spent < 250_000, "{spent} bit/s in the first fifth of a second");
        assert!(frames.iter().all(|frame| !frame.key));
    }
}

#[test]
fn a_key_frame_takes_no_more_than_some_pictures() {
    for codec in codecs() {
        for (width, height, bitrate_bps) in [(640, 480, 700_000), (640, 480, 200_000), (320, 240, 80_000)] {
            let pictures = noisy_pictures(width, height, 30);
            for frame in encode(codec, &pictures, bitrate_bps, 10).iter().filter(|frame| frame.key) {
                let parts = frame.data.len() as f64 * 8.0 * 30.0 / f64::from(bitrate_bps);
                assert!(parts < 8.0, "{parts} parts of {bitrate_bps} at {width}x{height}");
            }
        }
    }
}

#[test]
fn the_bit_rate_is_kept_at_another_frame_rate() {
    for codec in codecs() {
        let mut encoder = codec.encoder(300_000, FrameRate::THIRTY).unwrap();
        let pictures = noisy_pictures(320, 240, 60);
        encode_all(&mut *encoder, &pictures[..20]);
        encoder.set_frame_rate(FrameRate::new(10, 1).unwrap());
        let frames = encode_all(&mut *encoder, &pictures[20..]);
        assert!(frames.iter().all(|frame| !frame.key));
        let spent = bits_per_second(&frames[5..]) / 3;
        assert!((200_000..400_000).contains(&spent), "{spent}");
    }
}

#[test]
fn skipped_pictures_pay_for_a_key_frame() {
    for codec in codecs() {
        let pictures = noisy_pictures(320, 240, 40);
        let after_a_key_frame = |skipped| {
            let mut encoder = codec.encoder(300_000, FrameRate::THIRTY).unwrap();
            encode_all(&mut *encoder, &pictures[..30]);
            encoder.encode(&pictures[30], true).unwrap().unwrap();
            (0..skipped).for_each(|_| encoder.skip());
            bits_per_second(&encode_all(&mut *encoder, &pictures[31..37]))
        };
        let (at_once, later) = (after_a_key_frame(0), after_a_key_frame(6));
        assert!(later as f64 > 1.1 * at_once as f64, "{at_once} {later}");
    }
}

#[test]
fn a_new_size_begins_with_a_key_frame_at_the_bit_rate_in_force() {
    for codec in codecs() {
        let mut encoder = codec.encoder(2_000_000, FrameRate::THIRTY).unwrap();
        encode_all(&mut *encoder, &noisy_pictures(640, 360, 3));
        encoder.set_bitrate_bps(200_000);
        let frames = encode_all(&mut *encoder, &noisy_pictures(320, 180, 90));
        assert!(frames[0].key);
        assert_eq!((frames[0].width, frames[0].height), (320, 180));
        let spent = bits_per_second(&frames[15..]);
        assert!(spent < 280_000, "{spent}");
    }
}

#[test]
fn no_picture_is_dropped_at_any_bit_rate() {
    for codec in codecs() {
        let mut encoder = codec.encoder(0, FrameRate::THIRTY).unwrap();
        assert_eq!(encoder.bitrate_bps(), MIN_BITRATE_BPS);
        assert_eq!(encode_all(&mut *encoder, &noisy_pictures(640, 480, 60)).len(), 60);
        encoder.set_bitrate_bps(u32::MAX);
        assert_eq!(encode_all(&mut *encoder, &noisy_pictures(640, 480, 5)).len(), 5);
    }
}

#[test]
fn any_frame_rate_can_be_encoded() {
    for codec in codecs() {
        for (numerator, denominator) in [(1, 1), (7, 3), (30_000, 1001), (120, 1), (u32::MAX, u32::MAX)] {
            let rate = FrameRate::new(numerator, denominator).unwrap();
            let mut encoder = codec.encoder(200_000, rate).unwrap();
            assert_eq!(encode_all(&mut *encoder, &noisy_pictures(160, 120, 5)).len(), 5, "{rate}");
        }
    }
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
    for codec in codecs() {
        let mut encoder = codec.encoder(500_000, FrameRate::THIRTY).unwrap();
        for (width, height) in [(1920, 1080), (1280, 738), (14, 16), (16, 14)] {
            let len = VideoFrame::byte_len(width, height).unwrap();
            let frame = VideoFrame::new(width, height, vec![128; len]).unwrap();
            assert!(matches!(encoder.encode(&frame, false), Err(EncodeError::Size { .. })));
        }
        for (width, height) in [(16, 16), (720, 1280), (1280, 720)] {
            let frames = encode_all(&mut *encoder, &noisy_pictures(width, height, 2));
            assert!(frames[0].key);
        }
    }
}

#[test]
fn every_picture_comes_back_at_once_and_looks_like_itself() {
    for codec in codecs() {
        for (width, height) in [(640, 480), (322, 242), (16, 16)] {
            let pictures = noisy_pictures(width, height, 20);
            let mut decoder = codec.decoder().unwrap();
            for (sent, frame) in pictures.iter().zip(encode(codec, &pictures, 3_000_000, 100)) {
                let shown = decoder.decode(&frame.data).unwrap().unwrap();
                let psnr = psnr(sent, &shown);
                assert!(psnr > 30.0, "{psnr} dB at {width}x{height}");
            }
        }
    }
}

#[test]
fn pictures_may_change_their_size() {
    for codec in codecs() {
        let mut decoder = codec.decoder().unwrap();
        for (width, height) in [(640, 480), (320, 240), (1280, 720), (320, 240)] {
            for frame in encode(codec, &noisy_pictures(width, height, 3), 1_000_000, 100) {
                let shown = decoder.decode(&frame.data).unwrap().unwrap();
                assert_eq!((shown.width(), shown.height()), (width, height));
            }
        }
    }
}

#[test]
fn nothing_is_shown_before_a_key_frame_nor_after_a_reset() {
    for codec in codecs() {
        let frames = encode(codec, &noisy_pictures(320, 240, 5), 500_000, 3);
        let mut decoder = codec.decoder().unwrap();
        for frame in &frames[1..3] {
            assert!(matches!(decoder.decode(&frame.data), Err(DecodeError::AwaitingKeyFrame)));
        }
        assert!(decoder.decode(&frames[3].data).unwrap().is_some());
        decoder.reset();
        assert!(matches!(decoder.decode(&frames[4].data), Err(DecodeError::AwaitingKeyFrame)));
    }
}

#[test]
fn a_coded_picture_that_is_too_long_is_refused() {
    for codec in codecs() {
        let long = vec![0; MAX_CODED_BYTES + 1];
        assert!(matches!(codec.decoder().unwrap().decode(&long), Err(DecodeError::TooLong(_))));
    }
}

#[test]
fn garbage_is_never_a_picture() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for codec in codecs() {
        let mut decoder = codec.decoder().unwrap();
        for _ in 0..5_000 {
            let data: Vec<u8> = (0..random.random_range(0..400)).map(|_| random.random()).collect();
            assert!(!matches!(decoder.decode(&data), Ok(Some(_))), "{data:?}");
        }
    }
}

#[test]
fn damaged_streams_never_crash_and_never_outlast_a_key_frame() {
    let seed = 0x3264_2648;
    println!("seed {seed}");
    let pictures = noisy_pictures(160, 128, 12);
    for codec in codecs() {
        let mut random = StdRng::seed_from_u64(seed);
        let frames = encode(codec, &pictures, 400_000, 6);
        let mut decoder = codec.decoder().unwrap();
        let mut errors = 0;
        for round in 0..3000 {
            let mut data = frames[round % frames.len()].data.clone();
            match random.random_range(0..4) {
                0 => data.truncate(random.random_range(0..data.len())),
                1 => data.extend((0..random.random_range(0..600)).map(|_| random.random::<u8>())),
                2 => data.iter_mut().skip(4).for_each(|byte| *byte = random.random()),
                _ => {}
            }
            for _ in 0..random.random_range(1..12) {
                if let Some(last) = data.len().checked_sub(1) {
                    let at = random.random_range(0..=last);
                    data[at] ^= 1 << random.random_range(0..8);
                }
            }
            errors += usize::from(decoder.decode(&data).is_err());
            if round % 50 == 49 {
                let healed = decoder.decode(&frames[6].data);
                let healed = match healed {
                    Ok(Some(picture)) => picture,
                    // The damage may show only now; then the one after is whole.
                    Ok(None) | Err(_) => decoder.decode(&frames[6].data).unwrap().unwrap(),
                };
                assert!(psnr(&pictures[6], &healed) > 25.0);
            }
        }
        println!("{errors} errors");
        assert!(errors > 1000, "{errors}");
    }
}

#[test]
fn a_screened_picture_tells_its_size_and_decodes_to_the_same() {
    for codec in codecs() {
        // Neither side is a multiple of 16.
        let frames = encode(codec, &noisy_pictures(648, 360, 3), 500_000, 10);
        let (mut plain, mut screened) = (codec.decoder().unwrap(), codec.decoder().unwrap());
        for (number, frame) in frames.iter().enumerate() {
            let seen = screened.screen(&frame.data).unwrap().unwrap();
            assert_eq!(seen.size, (number == 0).then_some((648, 360)));
            assert_eq!(screened.decode(&seen.data).unwrap(), plain.decode(&frame.data).unwrap());
        }
        let huge = vec![0; MAX_CODED_BYTES + 1];
        assert!(matches!(plain.screen(&huge), Err(DecodeError::TooLong(_))));
    }
}
