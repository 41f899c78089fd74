//! Which picture of a clip another one is, and how like it. For pictures that come from anywhere in the clip: each is
//! looked for by small copies first, then compared at its size.

use std::path::Path;

use super::ssim::ssim;
use super::y4m::Recording;

/// A clip to look in.
#[derive(Debug)]
pub struct Clip {
    recording: Recording,
    thumbnails: Vec<Vec<u8>>,
}

/// Where a picture was found.
#[derive(Debug, Clone, Copy)]
pub struct Likeness {
    /// The picture of the clip that is most like it.
    pub number: usize,
    /// How like it, by [`ssim`].
    pub ssim: f64,
}

/// A thumbnail's pixel stands for a square of so many: 640x480 become 40x30.
const SQUARE: usize = 16;

impl Clip {
    /// Opens a clip.
    #[must_use]
    #[track_caller]
    pub fn open(path: &Path) -> Self {
        let mut recording = Recording::open(path);
        let width = recording.width;
        let thumbnails = (0..recording.pictures).map(|number| thumbnail(&recording.luma(number), width)).collect();
        Self { recording, thumbnails }
    }

    /// The picture of the clip that is most like `luma`, which must have its size.
    ///
    /// # Panics
    /// When it has another.
    #[must_use]
    #[track_caller]
    pub fn find(&mut self, luma: &[u8], width: usize) -> Likeness {
        let size = (width, luma.len() / width);
        assert_eq!(size, (self.recording.width, self.recording.height), "a picture of the clip's size");
        let small = thumbnail(luma, width);
        let distance =
            |other: &Vec<u8>| -> u64 { small.iter().zip(other).map(|(one, two)| u64::from(one.abs_diff(*two))).sum() };
        let nearest = self.thumbnails.iter().enumerate().min_by_key(|(_, other)| distance(other));
        let number = nearest.map(|(number, _)| number).expect("a clip has pictures");
        Likeness { number, ssim: ssim(luma, &self.recording.luma(number), width) }
    }
}

fn thumbnail(luma: &[u8], width: usize) -> Vec<u8> {
    let height = luma.len() / width;
    let mean = |x: usize, y: usize| {
        let rows = (y * SQUARE..(y + 1) * SQUARE).map(|row| &luma[row * width + x * SQUARE..][..SQUARE]);
        let sum: u32 = rows.flatten().map(|pixel| u32::from(*pixel)).sum();
        (sum / (SQUARE * SQUARE) as u32) as u8
    };
    (0..height / SQUARE).flat_map(|y| (0..width / SQUARE).map(move |x| (x, y))).map(|(x, y)| mean(x, y)).collect()
}
