//! Measures the video codecs on a real clip: what a bit rate buys, and what it costs in time.
//!
//!     cargo run -p ahoy-media --example video_quality -- CLIP.y4m WIDTH HEIGHT BITS_PER_SECOND...

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::time::{Duration, Instant};

use ahoy_media::convert::Scaler;
use ahoy_media::file::y4m::Y4mReader;
use ahoy_media::{VideoCodec, VideoFrame};

const PICTURES: usize = 600;
/// The one that is asked to be a key frame.
const KEY_PICTURE: usize = 300;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [clip, width, height, bitrates @ ..] = &arguments[..] else {
        return Err("usage: video_quality CLIP.y4m WIDTH HEIGHT BITS_PER_SECOND...".into());
    };
    let (width, height) = (width.parse()?, height.parse()?);
    println!(
        "codec | bit/s asked | spent | SSIM mean | lowest after 1 s | first picture | first second | key frames bytes | second one | encode ms | decode ms"
    );
    for bitrate in bitrates {
        for codec in VideoCodec::available() {
            measure(*codec, clip, (width, height), bitrate.parse()?)?;
        }
    }
    Ok(())
}

fn measure(codec: VideoCodec, clip: &str, (width, height): (u32, u32), bitrate_bps: u32) -> Result<(), Box<dyn Error>> {
    let mut reader = Y4mReader::new(BufReader::new(File::open(clip)?))?;
    let mut scaler = Scaler::new();
    let mut encoder = codec.encoder(bitrate_bps, reader.rate())?;
    let mut decoder = codec.decoder()?;
    let (mut encoding, mut decoding) = (Duration::ZERO, Duration::ZERO);
    let (mut bytes, mut likeness) = (Vec::new(), Vec::new());
    for number in 0..PICTURES {
        let picture = scaler.scale(&reader.read()?, width, height)?;
        let began = Instant::now();
        let frame = encoder.encode(&picture, number == KEY_PICTURE)?.ok_or("a picture was left out")?;
        encoding += began.elapsed();
        let began = Instant::now();
        let shown = decoder.decode(&frame.data)?.ok_or("no picture came back")?;
        decoding += began.elapsed();
        bytes.push(frame.data.len());
        likeness.push(ssim(&picture, &shown));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let lowest = likeness[30..].iter().copied().fold(1.0, f64::min);
    let spent = bytes.iter().sum::<usize>() as f64 * 8.0 * reader.rate().fps() / PICTURES as f64;
    println!(
        "{codec:5} | {bitrate_bps:9} | {spent:8.0} | {:.4} | {lowest:.4} | {:.4} | {:.4} | {:6} {:6} | {:.4} | {:5.2} | {:5.2}",
        mean(&likeness[30..]),
        likeness[0],
        mean(&likeness[..30]),
        bytes[0],
        bytes[KEY_PICTURE],
        likeness[KEY_PICTURE],
        encoding.as_secs_f64() * 1000.0 / PICTURES as f64,
        decoding.as_secs_f64() * 1000.0 / PICTURES as f64,
    );
    Ok(())
}

/// Structural similarity of the brightness (Wang et al. 2004), windows of 8x8 every 4 pixels.
fn ssim(a: &VideoFrame, b: &VideoFrame) -> f64 {
    let (width, height) = (a.width() as usize, a.height() as usize);
    let (mut sum, mut windows) = (0.0, 0.0);
    for top in (0..=height - 8).step_by(4) {
        for left in (0..=width - 8).step_by(4) {
            let [mut s1, mut s2, mut s11, mut s22, mut s12] = [0_u32; 5];
            for row in top..top + 8 {
                let from = row * width + left;
                for (x, y) in a.y()[from..from + 8].iter().zip(&b.y()[from..from + 8]) {
                    let (x, y) = (u32::from(*x), u32::from(*y));
                    (s1, s2, s11, s22, s12) = (s1 + x, s2 + y, s11 + x * x, s22 + y * y, s12 + x * y);
                }
            }
            let n = 64.0;
            let (m1, m2) = (f64::from(s1) / n, f64::from(s2) / n);
            let variance = f64::from(s11 + s22) / n - m1 * m1 - m2 * m2;
            let covariance = f64::from(s12) / n - m1 * m2;
            let (c1, c2) = (6.5025, 58.5225);
            sum += (2.0 * m1 * m2 + c1) * (2.0 * covariance + c2) / ((m1 * m1 + m2 * m2 + c1) * (variance + c2));
            windows += 1.0;
        }
    }
    sum / windows
}
