//! How like two pictures are.

use ahoy_media::VideoFrame;

/// Structural similarity of the brightness (Wang et al. 2004), windows of 8x8 every 4 pixels. The pictures have one size.
pub(crate) fn ssim(a: &VideoFrame, b: &VideoFrame) -> f64 {
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

/// In decibels, in which differences near 1 can be seen: 0.9 is 10, 0.99 is 20.
pub(crate) fn decibels(ssim: f64) -> f64 {
    -10.0 * (1.0 - ssim).max(1e-6).log10()
}
