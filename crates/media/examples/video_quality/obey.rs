//! How well the encoders obey: how long single pictures are beside their part of the bit rate, and how soon they follow
//! another bit rate that is set before each picture.

use std::error::Error;

use ahoy_media::convert::Scaler;
use ahoy_media::{FrameRate, VideoCodec, VideoEncoder, VideoFrame};

use crate::clip::to_and_fro;

const FPS: u32 = 30;
/// Bit rates and sizes that go together.
const STEADY: [(u32, (u32, u32)); 9] = [
    (1_500_000, (640, 480)),
    (700_000, (640, 480)),
    (300_000, (640, 480)),
    (250_000, (480, 360)),
    (150_000, (320, 240)),
    (100_000, (320, 240)),
    (60_000, (240, 180)),
    (40_000, (160, 120)),
    (100_000, (640, 480)),
];
/// The clip's cuts are in it: a picture that nothing before it is like.
const PICTURES: usize = 450;
/// Pictures at each bit rate of the steps.
const STEP: usize = 60;
const STEPS: [u32; 6] = [700_000, 250_000, 100_000, 700_000, 60_000, 300_000];

pub(crate) fn print(clip: &[VideoFrame]) -> Result<(), Box<dyn Error>> {
    for &codec in VideoCodec::available() {
        println!("{codec}: pictures' lengths, in parts of bit rate by frame rate");
        for (bitrate_bps, size) in STEADY {
            steady(codec, clip, bitrate_bps, size)?;
        }
        for size in [(640, 480), (320, 240)] {
            steps(codec, clip, size)?;
        }
    }
    Ok(())
}

fn steady(codec: VideoCodec, clip: &[VideoFrame], bitrate_bps: u32, size: (u32, u32)) -> Result<(), Box<dyn Error>> {
    let mut encoder = codec.encoder(bitrate_bps, FrameRate::new(FPS, 1)?)?;
    let mut scaler = Scaler::new();
    let part = f64::from(bitrate_bps) / f64::from(FPS);
    let (mut keys, mut deltas) = (Vec::new(), Vec::new());
    let mut pictures = to_and_fro(clip);
    for number in 0..PICTURES {
        let source = pictures.next().ok_or("it never ends")?;
        let key = number % 150 == 0;
        let bits = bits(encoder.as_mut(), &scaler.scale(source, size.0, size.1)?, key)?;
        if key { &mut keys } else { &mut deltas }.push(bits / part);
    }
    let spent = (keys.iter().sum::<f64>() + deltas.iter().sum::<f64>()) / PICTURES as f64;
    deltas.sort_by(f64::total_cmp);
    let at = |share: f64| deltas[(share * (deltas.len() - 1) as f64) as usize];
    println!(
        "{:4} kb/s {:3}x{:3}: spent {spent:.2}, others p50 {:.2} p95 {:.2} p99 {:.2} max {:.2}, more than 2: {:.1} %, key {keys:.1?}",
        bitrate_bps / 1000,
        size.0,
        size.1,
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        deltas.iter().filter(|part| **part > 2.0).count() as f64 * 100.0 / deltas.len() as f64,
    );
    Ok(())
}

/// What is spent in each tenth of a second after a step, as a share of what was asked for.
fn steps(codec: VideoCodec, clip: &[VideoFrame], size: (u32, u32)) -> Result<(), Box<dyn Error>> {
    let mut encoder = codec.encoder(STEPS[0], FrameRate::new(FPS, 1)?)?;
    let mut scaler = Scaler::new();
    let mut pictures = to_and_fro(clip);
    println!("steps at {}x{}, by tenths of a second", size.0, size.1);
    for bitrate_bps in STEPS {
        let mut tenths = Vec::new();
        for _ in 0..STEP / 3 {
            let mut tenth = 0.0;
            for _ in 0..3 {
                encoder.set_bitrate_bps(bitrate_bps);
                let source = pictures.next().ok_or("it never ends")?;
                tenth += bits(encoder.as_mut(), &scaler.scale(source, size.0, size.1)?, false)?;
            }
            tenths.push(tenth * 10.0 / f64::from(bitrate_bps));
        }
        println!("{:4} kb/s: {tenths:.1?}", bitrate_bps / 1000);
    }
    Ok(())
}

fn bits(encoder: &mut dyn VideoEncoder, picture: &VideoFrame, key: bool) -> Result<f64, Box<dyn Error>> {
    let coded = encoder.encode(picture, key)?.ok_or("a picture was left out")?;
    Ok(coded.data.len() as f64 * 8.0)
}
