//! What a camera offers and which of it a call takes: a rule without a device. Nothing here opens one.

use std::cmp::Reverse;

use crate::frame::MAX_SIDE_PX;
use crate::rate::FrameRate;

/// How many bytes mean which pixel, of what cameras give. Cheaper to read comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum PixelFormat {
    /// Brightness, then both colours in turn at half width and height: 12 bits a pixel.
    Nv12,
    /// Two pixels share a pair of colours: 16 bits a pixel.
    Yuyv,
    /// A JPEG each picture.
    Mjpeg,
}

/// One way in which a camera can send pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Offer {
    pub(super) format: PixelFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Pictures a second.
    pub(super) fps: u32,
}

/// The encoder's least.
const MIN_SIDE_PX: u32 = 16;
/// What a call sends at most, in either orientation.
const LONG_SIDE_PX: u32 = 1280;
const SHORT_SIDE_PX: u32 = 720;
/// What a call sends at most.
const WANTED_FPS: u32 = 30;
/// From here on motion looks like motion: what cinema is content with.
const FLUENT_FPS: u32 = 24;
/// From here on lips can still be followed.
const BEARABLE_FPS: u32 = 15;

/// The usable ones, best first. Motion comes before size: a large picture that stutters makes a worse call than a small
/// one that does not. Of one size, a raw format that is fluent costs least; JPEG is what cameras offer where the cable
/// is too slow for raw pictures. More than a call can send is for cameras that offer nothing else.
pub(super) fn ranked(offers: &[Offer]) -> Vec<Offer> {
    let mut usable: Vec<Offer> = offers.iter().copied().filter(is_usable).collect();
    usable.sort_by_key(|offer| {
        let area = i64::from(offer.width) * i64::from(offer.height);
        let too_large = is_too_large(offer);
        let motion = [BEARABLE_FPS, FLUENT_FPS].iter().filter(|least| offer.fps >= **least).count();
        (
            too_large,
            Reverse(motion),
            if too_large { area } else { -area },
            offer.format == PixelFormat::Mjpeg,
            offer.fps.abs_diff(WANTED_FPS),
            offer.format,
        )
    });
    usable.dedup();
    usable
}

fn is_usable(offer: &Offer) -> bool {
    let sides = MIN_SIDE_PX..=MAX_SIDE_PX;
    sides.contains(&offer.width) && sides.contains(&offer.height) && (1..=FrameRate::MAX_FPS).contains(&offer.fps)
}

fn is_too_large(offer: &Offer) -> bool {
    offer.width.max(offer.height) > LONG_SIDE_PX || offer.width.min(offer.height) > SHORT_SIDE_PX
}

#[cfg(test)]
mod tests {
    use super::PixelFormat::{Mjpeg, Nv12, Yuyv};
    use super::*;
    use rand::seq::SliceRandom as _;
    use rand::{RngExt as _, SeedableRng as _};

    type Line = (PixelFormat, u32, u32, u32);

    fn offer((format, width, height, fps): Line) -> Offer {
        Offer { format, width, height, fps }
    }

    /// Of each row the first offer is the best.
    #[test]
    fn the_best_of_what_is_offered_is_taken() {
        let table: [(&str, &[Line]); 13] = [
            ("raw where it is as fluent", &[(Yuyv, 1280, 720, 30), (Mjpeg, 1280, 720, 30)]),
            ("raw that is fluent though slower", &[(Yuyv, 1280, 720, 25), (Mjpeg, 1280, 720, 30)]),
            ("JPEG where raw is too slow", &[(Mjpeg, 1280, 720, 30), (Yuyv, 1280, 720, 10), (Yuyv, 640, 480, 30)]),
            ("the cheaper raw format", &[(Nv12, 1280, 720, 30), (Yuyv, 1280, 720, 30)]),
            ("30 rather than 60", &[(Yuyv, 1280, 720, 30), (Yuyv, 1280, 720, 60), (Nv12, 1280, 720, 60)]),
            ("25 rather than 50", &[(Yuyv, 640, 480, 25), (Yuyv, 640, 480, 50), (Yuyv, 640, 480, 15)]),
            ("motion rather than size", &[(Yuyv, 640, 480, 30), (Yuyv, 1280, 720, 10)]),
            ("size where nothing is fluent", &[(Yuyv, 640, 480, 15), (Yuyv, 320, 240, 20), (Yuyv, 1280, 720, 5)]),
            ("what fits rather than what must be scaled", &[(Mjpeg, 640, 480, 30), (Nv12, 1920, 1080, 30)]),
            ("the smallest of what is too large", &[(Mjpeg, 1920, 1080, 30), (Mjpeg, 3840, 2160, 30)]),
            ("upright pictures", &[(Yuyv, 720, 1280, 30), (Yuyv, 640, 480, 30)]),
            ("the largest of odd shapes", &[(Mjpeg, 1184, 656, 30), (Mjpeg, 960, 544, 30), (Mjpeg, 176, 144, 30)]),
            ("the only one", &[(Mjpeg, 321, 241, 1)]),
        ];
        for (why, offers) in table {
            let offers: Vec<Offer> = offers.iter().copied().map(offer).collect();
            let mut shuffled = offers.clone();
            shuffled.reverse();
            assert_eq!(ranked(&shuffled)[0], offers[0], "{why}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_left_out() {
        let unusable = [(Yuyv, 0, 720, 30), (Yuyv, 640, 8, 30), (Mjpeg, 8192, 720, 30), (Nv12, 640, 480, 0)];
        assert_eq!(ranked(&unusable.map(offer)), []);
        assert_eq!(ranked(&[offer((Nv12, 640, 480, 240))]), []);
    }

    #[test]
    fn the_order_of_offers_does_not_matter() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let formats = [Nv12, Yuyv, Mjpeg];
        let mut offers: Vec<Offer> = (0..200)
            .map(|_| {
                let sizes = [(320, 240), (640, 480), (1280, 720), (1920, 1080)];
                let (width, height) = sizes[random.random_range(0..sizes.len())];
                let format = formats[random.random_range(0..formats.len())];
                Offer { format, width, height, fps: [10, 15, 24, 30, 60][random.random_range(0..5)] }
            })
            .collect();
        let first = ranked(&offers);
        offers.shuffle(&mut random);
        assert_eq!(ranked(&offers), first);
    }
}
