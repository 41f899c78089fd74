//! Measures the video codecs on a real clip: what bits buy at which size, how well the bit rate is obeyed, and what it
//! costs in time.
//!
//!     cargo run -p ahoy-media --example video_quality -- sizes [CODEC [BITS_PER_SECOND...]]
//!     cargo run -p ahoy-media --example video_quality -- obey
//!     cargo run -p ahoy-media --example video_quality -- cost
//!
//! The clip is that of `tests/media`, 640x480, forwards and backwards in turn. Likeness is SSIM in decibels
//! (-10 log10(1 - SSIM)) of the decoded picture, scaled to the clip's size, to the clip's.

#[path = "../../benches/media/clip.rs"]
mod clip;
mod cost;
mod likeness;
mod obey;
mod sizes;

use std::error::Error;

/// All that the clip has, 7.7 s.
const PICTURES: usize = 232;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let clip = clip::pictures(PICTURES);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sizes"] => sizes::print(&clip, "", &[]),
        ["sizes", codec, ref bitrates @ ..] => sizes::print(&clip, codec, bitrates),
        ["obey"] => obey::print(&clip),
        ["cost"] => cost::print(&clip),
        _ => Err("usage: video_quality sizes [CODEC [BITS_PER_SECOND...]] | obey | cost".into()),
    }
}
