//! The clip that the benchmarks send, each picture with its number in a barcode, so that what is shown can be told apart
//! and compared with what was sent, however small it was coded.

use std::path::Path;

use ahoy_media::VideoFrame;
use ahoy_media::convert::Scaler;
use ahoy_tests::harness::media::{self, HEIGHT, Source, WIDTH};
use ahoy_tests::harness::ssim::ssim;

/// Blocks across the top of the picture, dark for 0 and light for 1, the highest bit first: 12 bits of number, 4 that check
/// them. `tests/peers/watch.js` reads them too.
const BLOCKS: usize = 16;
/// The barcode is this part of the picture's height.
const ROWS_OF_PICTURE: usize = 30;
const DARK: u8 = 32;
const LIGHT: u8 = 220;
const NO_COLOUR: u8 = 128;

/// The clip is repeated so often, which makes 36 s: no delay is that long, so a number means one picture.
const TIMES: usize = 6;

/// What is compared begins below the barcode and what coding smears of it.
const FIRST_ROW: usize = 32;

/// The clip, as a file and in memory.
#[derive(Debug)]
pub(crate) struct Clip {
    /// For a fake camera.
    pub(crate) source: Source,
    /// The brightness of each picture, without a barcode.
    pictures: Vec<Vec<u8>>,
}

impl Clip {
    /// Writes it into `folder`: half a gigabyte.
    pub(crate) fn write(folder: &Path) -> Self {
        let clip = media::clip();
        let file = folder.join("barcoded.y4m");
        let numbered = (0..clip.len() * TIMES).map(|number| with_barcode(&clip[number % clip.len()], number as u16));
        media::write(&file, numbered);
        let source = Source { clip: file, pictures: clip.len() * TIMES, speech: media::speech() };
        let pictures = clip.into_iter().map(|picture| picture[..WIDTH * HEIGHT].to_vec()).collect();
        Self { source, pictures }
    }

    /// After how many pictures the numbers begin again.
    pub(crate) fn numbers(&self) -> u64 {
        self.source.pictures as u64
    }

    /// How like the picture of that number is to what was shown of it, scaled to the clip's size: SSIM.
    ///
    /// # Panics
    /// When the picture has no such number or a size that cannot be.
    pub(crate) fn likeness(&self, number: u64, luma: &[u8], width: usize) -> f64 {
        let sent = &self.pictures[number as usize % self.pictures.len()];
        let scaled;
        let shown = if (luma.len(), width) == (sent.len(), WIDTH) {
            luma
        } else {
            scaled = enlarge(luma, width);
            scaled.y()
        };
        let below = FIRST_ROW * WIDTH..;
        ssim(&sent[below.clone()], &shown[below], WIDTH)
    }
}

/// The number in a barcode, as the blocks' bits; nothing where it was damaged.
pub(crate) fn number(barcode: u16) -> Option<u64> {
    let number = barcode >> 4;
    (check(number) == barcode & 0xf).then(|| u64::from(number))
}

/// The barcode of a picture of which this is the brightness.
pub(crate) fn barcode(luma: &[u8], width: usize) -> u16 {
    let row = luma.len() / width / ROWS_OF_PICTURE / 2 * width;
    let block = |number: usize| {
        let at = row + (2 * number + 1) * width / (2 * BLOCKS);
        let sum: u32 = luma[at - 1..=at + 1].iter().map(|&light| u32::from(light)).sum();
        u16::from(sum > 3 * 128)
    };
    (0..BLOCKS).fold(0, |bits, number| bits << 1 | block(number))
}

/// SSIM in decibels, in which differences near 1 can be seen: 0.9 is 10, 0.99 is 20.
pub(crate) fn decibels(ssim: f64) -> f64 {
    -10.0 * (1.0 - ssim).max(1e-6).log10()
}

fn with_barcode(picture: &[u8], number: u16) -> Vec<u8> {
    let mut picture = picture.to_vec();
    let bits = number << 4 | check(number);
    let rows = HEIGHT / ROWS_OF_PICTURE;
    let (luma, chroma) = picture.split_at_mut(WIDTH * HEIGHT);
    for row in luma.chunks_exact_mut(WIDTH).take(rows) {
        for (block, pixels) in row.chunks_exact_mut(WIDTH / BLOCKS).enumerate() {
            let is_light = bits >> (BLOCKS - 1 - block) & 1 == 1;
            pixels.fill(if is_light { LIGHT } else { DARK });
        }
    }
    let plane = WIDTH * HEIGHT / 4;
    for chroma in chroma.chunks_exact_mut(plane) {
        chroma[..WIDTH / 2 * rows / 2].fill(NO_COLOUR);
    }
    picture
}

fn check(number: u16) -> u16 {
    // So that a dark strip is no number either.
    (number ^ number >> 4 ^ number >> 8 ^ 0xf) & 0xf
}

fn enlarge(luma: &[u8], width: usize) -> VideoFrame {
    let height = luma.len() / width;
    let mut picture = luma[..width * height].to_vec();
    picture.resize(width * height * 3 / 2, NO_COLOUR);
    let frame = VideoFrame::new(width as u32, height as u32, picture).expect("codecs give even sizes");
    Scaler::new().scale(&frame, WIDTH as u32, HEIGHT as u32).expect("sizes of pictures")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barcode_is_read_from_the_picture_and_from_a_smaller_one() {
        let grey = vec![90; WIDTH * HEIGHT * 3 / 2];
        for wanted in [0, 1, 1079, 4095] {
            let picture = with_barcode(&grey, wanted);
            assert_eq!(number(barcode(&picture[..WIDTH * HEIGHT], WIDTH)), Some(u64::from(wanted)));
            let frame = VideoFrame::new(WIDTH as u32, HEIGHT as u32, picture).unwrap();
            let small = Scaler::new().scale(&frame, 320, 240).unwrap();
            assert_eq!(number(barcode(small.y(), 320)), Some(u64::from(wanted)));
        }
    }

    #[test]
    fn a_damaged_barcode_is_seen() {
        assert_eq!([number(0), number(0xffff)], [None, None]);
        let good = 700_u16 << 4 | check(700);
        assert_eq!(number(good), Some(700));
        for bit in 0..16 {
            assert_eq!(number(good ^ 1 << bit), None, "bit {bit}");
        }
    }
}
