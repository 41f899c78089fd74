//! What a picture costs in time of the processor, at the sizes of the ladder.

use std::error::Error;
use std::fs;

use ahoy_media::convert::Scaler;
use ahoy_media::video::encoder::default_bitrate_bps;
use ahoy_media::{FrameRate, VideoCodec, VideoFrame};

use crate::clip::to_and_fro;

const SIZES: [(u32, u32); 7] = [(1280, 720), (960, 720), (640, 480), (480, 360), (320, 240), (240, 180), (160, 120)];
const PICTURES: usize = 200;

pub(crate) fn print(clip: &[VideoFrame]) -> Result<(), Box<dyn Error>> {
    for &codec in VideoCodec::available() {
        for (width, height) in SIZES {
            let mut scaler = Scaler::new();
            let scaled: Vec<VideoFrame> =
                clip.iter().take(60).map(|picture| scaler.scale(picture, width, height)).collect::<Result<_, _>>()?;
            let mut encoder = codec.encoder(default_bitrate_bps(width, height), FrameRate::THIRTY)?;
            let mut decoder = codec.decoder()?;
            let (mut encoding, mut decoding) = (0.0, 0.0);
            for picture in to_and_fro(&scaled).take(PICTURES) {
                let began = processor_ms()?;
                let coded = encoder.encode(picture, false)?.ok_or("a picture was left out")?;
                let between = processor_ms()?;
                decoder.decode(&coded.data)?;
                encoding += between - began;
                decoding += processor_ms()? - between;
            }
            let each = |total: f64| total / PICTURES as f64;
            println!(
                "{codec:5} {width:4}x{height:3}: encode {:5.2} ms, decode {:5.2} ms",
                each(encoding),
                each(decoding)
            );
        }
    }
    Ok(())
}

/// The time that this thread had on a processor, in ms (proc(5), `schedstat`); other programs do not disturb it.
fn processor_ms() -> Result<f64, Box<dyn Error>> {
    let figures = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = figures.split(' ').next().ok_or("no figures")?.parse()?;
    Ok(nanoseconds / 1e6)
}
