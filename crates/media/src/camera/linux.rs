//! Cameras of Linux: V4L2 devices. Here they are found, asked what they offer, and set; nokhwa streams. It cannot do
//! these itself: it lists nodes that are no cameras, knows no sizes in steps, and refuses a camera that another program
//! left in a format it does not know.

use std::fs;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use nokhwa::utils::CameraIndex;
use v4l::capability::Flags;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::{FrameSizeEnum, Stepwise};
use v4l::video::Capture as _;
use v4l::video::capture::Parameters;
use v4l::{Format, FourCC};

use super::CameraInfo;
use super::error::{Failure, Trouble};
use super::offer::{Offer, PixelFormat};

const NODES: &str = "/dev";
/// Links that udev names after a camera's maker, model and serial number.
const LASTING_NAMES: &str = "/dev/v4l/by-id";
const NAMES: &str = "/sys/class/video4linux";

const FORMATS: [(PixelFormat, FourCC); 3] = [
    (PixelFormat::Nv12, FourCC { repr: *b"NV12" }),
    (PixelFormat::Yuyv, FourCC { repr: *b"YUYV" }),
    (PixelFormat::Mjpeg, FourCC { repr: *b"MJPG" }),
];

/// What is asked of a camera that takes any size.
const WANTED_SIZES: [(u32, u32); 2] = [(1280, 720), (640, 480)];
const WANTED_FPS: u32 = 30;

pub(super) const REFUSED_ADVICE: &str =
    "add your account to the group \"video\" (sudo usermod -aG video NAME), then log in again";

/// A camera that was found.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) info: CameraInfo,
    pub(super) index: CameraIndex,
    node: PathBuf,
}

impl Device {
    /// By its id, its node in `/dev` or its name.
    pub(super) fn is_called(&self, id: &str) -> bool {
        self.info.id == id || self.node == Path::new(id) || self.info.name == id
    }

    fn open(&self) -> io::Result<v4l::Device> {
        v4l::Device::with_path(&self.node)
    }
}

/// What an error number of this system means.
pub(super) fn trouble(os: i32) -> Trouble {
    const EPERM: i32 = 1;
    const ENOENT: i32 = 2;
    const ENXIO: i32 = 6;
    const EACCES: i32 = 13;
    const EBUSY: i32 = 16;
    const ENODEV: i32 = 19;
    const ENOSPC: i32 = 28;
    match os {
        EBUSY => Trouble::Busy,
        EACCES | EPERM => Trouble::Refused,
        ENOENT | ENXIO | ENODEV => Trouble::Gone,
        ENOSPC => Trouble::NoBandwidth,
        _ => Trouble::Other,
    }
}

/// The rights to the device's node are all that Linux asks for.
pub(super) fn is_permitted(_stop: &dyn Fn() -> bool) -> bool {
    true
}

/// All cameras, in the order of their nodes.
pub(super) fn connected() -> Vec<Device> {
    let entries = fs::read_dir(NODES).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries.filter_map(|entry| node_number(entry.file_name().to_str()?)).collect();
    numbers.sort_unstable();
    let nodes = numbers.into_iter().map(|number| (number, Path::new(NODES).join(format!("video{number}"))));
    let cameras = nodes.filter(|(_, node)| may_be_camera(node));
    cameras
        .map(|(number, node)| {
            let id = lasting_name(Path::new(LASTING_NAMES), &node).unwrap_or_else(|| node.display().to_string());
            let name = fs::read_to_string(format!("{NAMES}/video{number}/name")).unwrap_or_default();
            let name = if name.trim().is_empty() { id.clone() } else { name.trim().to_owned() };
            Device { info: CameraInfo { id, name }, index: CameraIndex::Index(number), node }
        })
        .collect()
}

/// All ways in which it sends pictures that are understood here.
pub(super) fn offers(device: &Device) -> Result<Vec<Offer>, Failure> {
    let opened = device.open()?;
    let offered = opened.enum_formats()?;
    let mut offers = Vec::new();
    for (format, fourcc) in FORMATS.iter().filter(|(_, fourcc)| offered.iter().any(|offer| offer.fourcc == *fourcc)) {
        for size in opened.enum_framesizes(*fourcc)? {
            let sizes = match size.size {
                FrameSizeEnum::Discrete(size) => vec![(size.width, size.height)],
                FrameSizeEnum::Stepwise(steps) => sizes_of(&steps),
            };
            for (width, height) in sizes {
                let rates = rates(&opened, *fourcc, width, height);
                offers.extend(rates.into_iter().map(|fps| Offer { format: *format, width, height, fps }));
            }
        }
    }
    Ok(offers)
}

/// Sets the camera to what it offered. Gives the bytes from row to row, 0 for JPEG. A driver that chose something else
/// is found out by nokhwa, which looks before it streams.
pub(super) fn set(device: &Device, offer: Offer) -> Result<Option<u32>, Failure> {
    let opened = device.open()?;
    let fourcc = FORMATS.iter().find(|(format, _)| *format == offer.format).map(|(_, fourcc)| *fourcc);
    let fourcc = fourcc.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    let set = opened.set_format(&Format::new(offer.width, offer.height, fourcc))?;
    let Parameters { interval, .. } = opened.set_params(&Parameters::with_fps(offer.fps))?;
    if interval.numerator != 1 {
        return Err(Failure::unreadable(format!("its rate is {}:{}", interval.denominator, interval.numerator)));
    }
    Ok(Some(set.stride))
}

/// `video3` is 3.
fn node_number(name: &str) -> Option<u32> {
    name.strip_prefix("video")?.parse().ok()
}

/// Whether it is, or cannot be asked: then opening it says why. A webcam has a second node for data about its pictures,
/// and hardware codecs are nodes as well.
fn may_be_camera(node: &Path) -> bool {
    // The library panics at a name that is no UTF-8.
    let asked = catch_unwind(|| v4l::Device::with_path(node)?.query_caps());
    match asked {
        // Virtual cameras have more capabilities than this one; codecs do not have it.
        Ok(Ok(capabilities)) => capabilities.capabilities.contains(Flags::VIDEO_CAPTURE),
        Ok(Err(error)) => error.raw_os_error().is_some_and(|os| trouble(os) != Trouble::Gone),
        Err(_) => true,
    }
}

/// The name of the link in `folder` that leads to `node`.
fn lasting_name(folder: &Path, node: &Path) -> Option<String> {
    let node = fs::canonicalize(node).ok()?;
    let mut links: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    links.sort();
    let link = links.into_iter().find(|link| fs::canonicalize(link).is_ok_and(|target| target == node))?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// Of the sizes in steps: those a call wants, else the largest.
fn sizes_of(steps: &Stepwise) -> Vec<(u32, u32)> {
    let on_step = |length: u32, least: u32, most: u32, step: u32| {
        (least..=most).contains(&length) && (length - least).is_multiple_of(step.max(1))
    };
    let mut sizes = WANTED_SIZES.to_vec();
    sizes.retain(|(width, height)| {
        on_step(*width, steps.min_width, steps.max_width, steps.step_width)
            && on_step(*height, steps.min_height, steps.max_height, steps.step_height)
    });
    if sizes.is_empty() {
        sizes.push((steps.max_width, steps.max_height));
    }
    sizes
}

/// Pictures a second, whole numbers only: nokhwa takes no others. A driver that does not tell may do 30, and one that
/// tells of 29.97 only may do 30 when asked.
fn rates(opened: &v4l::Device, fourcc: FourCC, width: u32, height: u32) -> Vec<u32> {
    let intervals = opened.enum_frameintervals(fourcc, width, height).unwrap_or_default();
    if intervals.is_empty() {
        return vec![WANTED_FPS];
    }
    let rate = |interval: FrameIntervalEnum| match interval {
        FrameIntervalEnum::Discrete(every) => whole_rate(every),
        FrameIntervalEnum::Stepwise(steps) => {
            // The shortest interval is the highest rate.
            let fps = |every: v4l::Fraction| every.denominator.checked_div(every.numerator);
            Some(WANTED_FPS.max(fps(steps.max)?).min(fps(steps.min)?))
        }
    };
    let is_whole = |interval: &FrameIntervalEnum| match interval {
        FrameIntervalEnum::Discrete(every) => every.numerator == 1,
        FrameIntervalEnum::Stepwise(_) => true,
    };
    let intervals = intervals.into_iter().map(|interval| interval.interval);
    let (whole, broken): (Vec<_>, Vec<_>) = intervals.partition(is_whole);
    // More ways that are none would only keep the camera from those that are.
    let usable = if whole.is_empty() { broken } else { whole };
    usable.into_iter().filter_map(rate).collect()
}

/// The whole number next to so many pictures a second.
fn whole_rate(every: v4l::Fraction) -> Option<u32> {
    every.denominator.checked_add(every.numerator / 2)?.checked_div(every.numerator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_camera_keeps_its_id_when_it_comes_back_as_another_node() {
        let folder = tempfile::tempdir().unwrap();
        let [by_id, first, second] = ["by-id", "video0", "video2"].map(|name| folder.path().join(name));
        fs::create_dir(&by_id).unwrap();
        fs::write(&first, "").unwrap();
        fs::write(&second, "").unwrap();
        let link = by_id.join("usb-Maker_Model_1234-video-index0");
        for (target, node) in [("../video0", &first), ("../video2", &second)] {
            let _ = fs::remove_file(&link);
            symlink(target, &link).unwrap();
            assert_eq!(lasting_name(&by_id, node).as_deref(), Some("usb-Maker_Model_1234-video-index0"));
        }
        assert_eq!(lasting_name(&by_id, &first), None, "the link leads elsewhere now");
        assert_eq!(lasting_name(&folder.path().join("none"), &first), None);
    }

    #[test]
    fn only_nodes_with_a_number_are_looked_at() {
        assert_eq!(
            ["video0", "video12", "video", "video-dec0", "vide0", "media0"].map(node_number),
            [Some(0), Some(12), None, None, None, None]
        );
    }

    #[test]
    fn a_rate_is_rounded_to_a_whole_one() {
        for (numerator, denominator, wanted) in [
            (1, 30, Some(30)),
            (1001, 30_000, Some(30)),
            (333_667, 10_000_000, Some(30)),
            (2, 15, Some(8)),
            (0, 30, None),
            (u32::MAX, u32::MAX, None),
        ] {
            assert_eq!(whole_rate(v4l::Fraction::new(numerator, denominator)), wanted, "{denominator}:{numerator}");
        }
    }

    #[test]
    fn sizes_in_steps_are_those_that_calls_want() {
        let steps = |min: (u32, u32), max: (u32, u32), step| Stepwise {
            min_width: min.0,
            max_width: max.0,
            step_width: step,
            min_height: min.1,
            max_height: max.1,
            step_height: step,
        };
        assert_eq!(sizes_of(&steps((32, 32), (3280, 2464), 2)), [(1280, 720), (640, 480)]);
        assert_eq!(sizes_of(&steps((32, 32), (1024, 768), 16)), [(640, 480)]);
        assert_eq!(sizes_of(&steps((32, 32), (400, 300), 0)), [(400, 300)]);
        assert_eq!(sizes_of(&steps((30, 30), (1280, 720), 50)), [(1280, 720)]);
    }
}
