//! Cameras of macOS and Windows, through nokhwa alone: AVFoundation and Media Foundation.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use nokhwa::Camera;
use nokhwa::utils::{ApiBackend, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType};

use super::CameraInfo;
use super::error::{Failure, Trouble};
use super::offer::{Offer, PixelFormat};

/// How long the user may think about the system's question.
const ASKING: Duration = Duration::from_secs(60);

const FORMATS: [FrameFormat; 3] = [FrameFormat::NV12, FrameFormat::YUYV, FrameFormat::MJPEG];

pub(super) const REFUSED_ADVICE: &str = "allow it in the system's settings, under privacy, camera";

/// A camera that was found.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) info: CameraInfo,
    pub(super) index: CameraIndex,
}

impl Device {
    /// By its id or its name.
    pub(super) fn is_called(&self, id: &str) -> bool {
        self.info.id == id || self.info.name == id
    }
}

/// What an error number of this system means. Its part of nokhwa gives words only.
pub(super) fn trouble(_os: i32) -> Trouble {
    Trouble::Other
}

/// Asks the user where the system wants that, once. No answer counts as no, also where `stop` says that none is wanted.
pub(super) fn is_permitted(stop: &dyn Fn() -> bool) -> bool {
    nokhwa::nokhwa_check() || {
        let (answer, answered) = sync_channel(1);
        nokhwa::nokhwa_initialize(move |permitted| {
            // Nobody waits any more: the next question is answered at once.
            let _ = answer.try_send(permitted);
        });
        let answer = super::await_unless(stop, ASKING, |nap| match answered.recv_timeout(nap) {
            Ok(permitted) => Some(permitted),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(false),
        });
        answer.ok().flatten().unwrap_or(false)
    }
}

/// All cameras, in the system's order.
pub(super) fn connected() -> Vec<Device> {
    let found = nokhwa::query(ApiBackend::Auto).unwrap_or_default();
    found
        .into_iter()
        .map(|camera| {
            // The system's own id of the device, where the library hands it on: it lasts, a number does not.
            let lasting = camera.misc();
            let id = if lasting.is_empty() { camera.index().as_string() } else { lasting };
            Device { info: CameraInfo { id, name: camera.human_name() }, index: camera.index().clone() }
        })
        .collect()
}

/// All ways in which it sends pictures that are understood here.
pub(super) fn offers(device: &Device) -> Result<Vec<Offer>, Failure> {
    let any = RequestedFormat::with_formats(RequestedFormatType::None, &FORMATS);
    let mut camera = Camera::new(device.index.clone(), any)?;
    let formats = camera.compatible_camera_formats()?;
    let offer = |format: nokhwa::utils::CameraFormat| {
        let pixels = match format.format() {
            FrameFormat::NV12 => PixelFormat::Nv12,
            FrameFormat::YUYV => PixelFormat::Yuyv,
            FrameFormat::MJPEG => PixelFormat::Mjpeg,
            FrameFormat::GRAY | FrameFormat::RAWRGB | FrameFormat::RAWBGR => return None,
        };
        Some(Offer { format: pixels, width: format.width(), height: format.height(), fps: format.frame_rate() })
    };
    Ok(formats.into_iter().filter_map(offer).collect())
}

/// Nothing to do before nokhwa opens it, and it packs the rows.
pub(super) fn set(_device: &Device, _offer: Offer) -> Result<Option<u32>, Failure> {
    Ok(None)
}
