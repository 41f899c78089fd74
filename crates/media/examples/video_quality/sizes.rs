//! What a bit rate buys at each size and frame rate.

use std::error::Error;

use ahoy_media::convert::Scaler;
use ahoy_media::{FrameRate, VideoCodec, VideoFrame};

use crate::clip::to_and_fro;
use crate::likeness::{decibels, ssim};

const BITRATES: [u32; 8] = [40_000, 60_000, 100_000, 150_000, 200_000, 300_000, 500_000, 700_000];
const SIZES: [(u32, u32); 6] = [(640, 480), (480, 360), (400, 300), (320, 240), (240, 180), (160, 120)];
const FRAME_RATES: [u32; 5] = [30, 20, 15, 10, 5];

/// The clip's own frame rate.
const CLIP_FPS: u32 = 30;
/// What is measured, in pictures of the clip.
const PICTURES: usize = 450;
/// From the key picture until the encoder spends what it was told to.
const SETTLING: usize = 60;
/// Every so many pictures that are shown are compared.
const COMPARED: usize = 3;

/// For all codecs whose name begins with `codec`.
pub(crate) fn print(clip: &[VideoFrame], codec: &str, bitrates: &[&str]) -> Result<(), Box<dyn Error>> {
    let given: Vec<u32> = bitrates.iter().map(|bitrate| bitrate.parse()).collect::<Result<_, _>>()?;
    let bitrates = if given.is_empty() { BITRATES.to_vec() } else { given };
    for &codec in VideoCodec::available().iter().filter(|known| known.to_string().starts_with(codec)) {
        for &bitrate_bps in &bitrates {
            for size in SIZES {
                print!("{codec:5} {:4} kb/s {:3}x{:3}:", bitrate_bps / 1000, size.0, size.1);
                for fps in FRAME_RATES {
                    let (likeness, spent) = measure(codec, clip, size, fps, bitrate_bps)?;
                    print!("  {fps:2} fps {likeness:5.2} dB {spent:4.2}");
                }
                println!();
            }
        }
    }
    Ok(())
}

/// The likeness in decibels, and the share of the bit rate that was spent.
fn measure(
    codec: VideoCodec,
    clip: &[VideoFrame],
    (width, height): (u32, u32),
    fps: u32,
    bitrate_bps: u32,
) -> Result<(f64, f64), Box<dyn Error>> {
    let mut encoder = codec.encoder(bitrate_bps, FrameRate::new(fps, 1)?)?;
    let mut decoder = codec.decoder()?;
    let mut scaler = Scaler::new();
    let (mut bits, mut shown, mut likenesses) = (0, 0, Vec::new());
    for (number, source) in to_and_fro(clip).take(PICTURES).enumerate() {
        let is_left_out = match fps {
            20 => number % 3 == 2,
            _ => !(number as u32).is_multiple_of((CLIP_FPS / fps).max(1)),
        };
        if is_left_out {
            continue;
        }
        let coded = encoder.encode(&scaler.scale(source, width, height)?, false)?.ok_or("a picture was left out")?;
        let picture = decoder.decode(&coded.data)?.ok_or("no picture came back")?;
        if number < SETTLING {
            continue;
        }
        bits += coded.data.len() * 8;
        shown += 1;
        if shown % COMPARED == 0 {
            let large = scaler.scale(&picture, source.width(), source.height())?;
            likenesses.push(decibels(ssim(source, &large)));
        }
    }
    let likeness = likenesses.iter().sum::<f64>() / likenesses.len() as f64;
    let spent = bits as f64 * f64::from(fps) / f64::from(shown as u32) / f64::from(bitrate_bps);
    Ok((likeness, spent))
}
