//! How alike two pictures are to the eye: the structural similarity of Wang, Bovik, Sheikh and Simoncelli, "Image quality
//! assessment: from error visibility to structural similarity" (2004), of the brightness alone, averaged over square
//! windows of 8 pixels that overlap by half (the paper's section III.B, with its constants; the paper's own Gaussian
//! windows are smoother and slower).

/// 1 for the same picture; independent ones are near 0. Both planes are `width` wide, rows packed.
///
/// # Panics
/// When the planes differ in size or are smaller than a window.
#[must_use]
pub fn ssim(left: &[u8], right: &[u8], width: usize) -> f64 {
    assert_eq!(left.len(), right.len(), "pictures of one size");
    let height = left.len() / width;
    assert!(width >= WINDOW && height >= WINDOW, "pictures larger than a window");
    let (mut sum, mut count) = (0.0, 0.0);
    for y in (0..=height - WINDOW).step_by(STEP) {
        for x in (0..=width - WINDOW).step_by(STEP) {
            sum += window(left, right, width, y * width + x);
            count += 1.0;
        }
    }
    sum / count
}

const WINDOW: usize = 8;
const STEP: usize = 4;
// (K1 L)² and (K2 L)² with the paper's K1 = 0.01, K2 = 0.03 and L = 255.
const C1: f64 = 6.502_5;
const C2: f64 = 58.522_5;

fn window(left: &[u8], right: &[u8], width: usize, start: usize) -> f64 {
    let (mut sum_a, mut sum_b, mut sum_aa, mut sum_bb, mut sum_ab) = (0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
    for row in 0..WINDOW {
        let at = start + row * width;
        for (a, b) in left[at..at + WINDOW].iter().zip(&right[at..at + WINDOW]) {
            let (a, b) = (u32::from(*a), u32::from(*b));
            sum_a += a;
            sum_b += b;
            sum_aa += a * a;
            sum_bb += b * b;
            sum_ab += a * b;
        }
    }
    let count = (WINDOW * WINDOW) as f64;
    let (mean_a, mean_b) = (f64::from(sum_a) / count, f64::from(sum_b) / count);
    let variance_a = f64::from(sum_aa) / count - mean_a * mean_a;
    let variance_b = f64::from(sum_bb) / count - mean_b * mean_b;
    let covariance = f64::from(sum_ab) / count - mean_a * mean_b;
    let luminance = (2.0 * mean_a * mean_b + C1) / (mean_a * mean_a + mean_b * mean_b + C1);
    luminance * (2.0 * covariance + C2) / (variance_a + variance_b + C2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(shift: usize) -> Vec<u8> {
        let pixel = |at: usize| (at % 64 + shift, at / 64);
        (0..64 * 48)
            .map(pixel)
            .map(|(x, y)| (128.0 + 100.0 * (x as f64 / 5.0).sin() * (y as f64 / 7.0).cos()) as u8)
            .collect()
    }

    #[test]
    fn a_picture_is_like_itself_and_less_like_others() {
        let picture = waves(0);
        assert!((ssim(&picture, &picture, 64) - 1.0).abs() < 1e-12);
        let noisy: Vec<u8> = picture.iter().enumerate().map(|(at, p)| p.saturating_add((at * 7 % 5) as u8)).collect();
        let near = ssim(&picture, &noisy, 64);
        assert!((0.90..1.0).contains(&near), "{near}");
        let far = ssim(&picture, &waves(4), 64);
        assert!(far < 0.8, "{far}");
        let other = ssim(&picture, &waves(16), 64);
        assert!(other < 0.2, "{other}");
    }

    #[test]
    fn flat_pictures_are_compared_by_their_brightness() {
        let similarity = ssim(&[100; 64], &[200; 64], 8);
        assert!((similarity - (2.0 * 100.0 * 200.0 + C1) / (100.0_f64.powi(2) + 200.0_f64.powi(2) + C1)).abs() < 1e-12);
    }
}
