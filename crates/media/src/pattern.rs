//! A moving test picture: colour bars, a sweeping white bar and a running number, so that a
//! frozen, torn or swapped picture is seen at once.

use crate::frame::VideoFrame;

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
const CHROMA_WIDTH: usize = WIDTH / 2;
const CHROMA_LEN: usize = CHROMA_WIDTH * HEIGHT / 2;

/// 75 % colour bars in BT.601 video range: white, yellow, cyan, green, magenta, red, blue, black.
const BARS: [(u8, u8, u8); 8] = [
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
    (16, 128, 128),
];

const SWEEP_WIDTH: usize = 32;
const SWEEP_STEP: usize = 8;

/// Digits of 3x5 cells, a row a number, its highest of three bits on the left.
const DIGITS: [[u8; 5]; 10] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 3, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 1, 2, 2],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
];
const CELL: usize = 24;
const DIGITS_TOP: usize = 560;
const DIGITS_LEFT: usize = 80;

/// Draws pictures of 1280x720.
#[derive(Debug)]
pub struct TestPattern {
    background: Vec<u8>,
}

impl TestPattern {
    /// Draws what does not move.
    pub fn new() -> Self {
        let mut background = vec![16; WIDTH * HEIGHT + 2 * CHROMA_LEN];
        let (y, chroma) = background.split_at_mut(WIDTH * HEIGHT);
        let (u, v) = chroma.split_at_mut(CHROMA_LEN);
        for (row, line) in y.chunks_exact_mut(WIDTH).enumerate() {
            for (x, out) in line.iter_mut().enumerate() {
                *out = if row < HEIGHT / 2 { bar(x).0 } else { grey(x, row) };
            }
        }
        for (row, (us, vs)) in u.chunks_exact_mut(CHROMA_WIDTH).zip(v.chunks_exact_mut(CHROMA_WIDTH)).enumerate() {
            for (x, (u, v)) in us.iter_mut().zip(vs).enumerate() {
                let colour = bar(x * 2);
                (*u, *v) = if row < HEIGHT / 4 { (colour.1, colour.2) } else { (128, 128) };
            }
        }
        Self { background }
    }

    /// The picture with this number; the same number always gives the same picture.
    pub fn frame(&self, number: u64) -> VideoFrame {
        let mut data = self.background.clone();
        let (y, _) = data.split_at_mut(WIDTH * HEIGHT);
        let range = WIDTH - SWEEP_WIDTH;
        let left = (number % (range / SWEEP_STEP) as u64) as usize * SWEEP_STEP;
        for line in y.chunks_exact_mut(WIDTH).skip(HEIGHT / 2 - 40).take(80) {
            line[left..left + SWEEP_WIDTH].fill(235);
        }
        for (place, digit) in format!("{:06}", number % 1_000_000).bytes().enumerate() {
            draw_digit(y, DIGITS_LEFT + place * CELL * 4, usize::from(digit - b'0'));
        }
        VideoFrame::new(WIDTH as u32, HEIGHT as u32, data).expect("the size is fixed and even")
    }
}

impl Default for TestPattern {
    fn default() -> Self {
        Self::new()
    }
}

fn bar(x: usize) -> (u8, u8, u8) {
    BARS[x * BARS.len() / WIDTH]
}

// A slow ramp with fine texture: a blurred or blocky picture shows here.
fn grey(x: usize, row: usize) -> u8 {
    let ramp = 32 + x * 128 / WIDTH;
    let texture = if (x / 2 + row / 2).is_multiple_of(2) { 0 } else { 24 };
    (ramp + texture) as u8
}

fn draw_digit(y: &mut [u8], left: usize, digit: usize) {
    for (row, bits) in DIGITS[digit].into_iter().enumerate() {
        let top = DIGITS_TOP + row * CELL;
        for line in y.chunks_exact_mut(WIDTH).skip(top).take(CELL) {
            for column in 0..3 {
                let shade = if bits >> (2 - column) & 1 == 1 { 235 } else { 16 };
                let from = left + column * CELL;
                line[from..from + CELL].fill(shade);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_differ_by_number_and_only_by_number() {
        let pattern = TestPattern::new();
        assert_eq!(pattern.frame(41), pattern.frame(41));
        assert_ne!(pattern.frame(41), pattern.frame(42));
        assert_eq!((pattern.frame(0).width(), pattern.frame(0).height()), (1280, 720));
    }

    #[test]
    fn any_number_can_be_drawn() {
        let pattern = TestPattern::new();
        for number in [0, 155, 156, 999_999, 1_000_000, u64::MAX] {
            pattern.frame(number);
        }
    }
}
