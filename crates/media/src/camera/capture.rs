//! The thread that holds a camera: opens it, takes pictures until told to stop, and says why it ended. All of nokhwa is
//! called from here, because it may block for ever (it waits for pictures without a deadline) and may panic (its Linux
//! part does when a driver refuses to stop). It hides how many bytes of a buffer are new (V4L2's `bytesused`): a raw
//! picture that came too short shows rows of an older one, and a JPEG that was cut may borrow an older one's end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nokhwa::Camera;
use nokhwa::utils::{CameraFormat, FrameFormat, RequestedFormat, RequestedFormatType, Resolution};
use tracing::{debug, info};

use super::device::{self, Device};
use super::error::{CameraError, Failure};
use super::hold::Hold;
use super::jpeg::JpegReader;
use super::offer::{Offer, PixelFormat, ranked};
use super::{CameraFrame, FIRST_PICTURE, Pictures, Taken};
use crate::Cause;
use crate::convert::{nv12_to_i420, yuyv_to_i420};
use crate::frame::{FramePool, VideoFrame};
use crate::rate::FrameRate;

/// How many ways of sending are tried with a driver that takes none of what it offers.
const MOST_ATTEMPTS: usize = 8;
/// So many damaged pictures in a row are more than a moment's trouble.
const MOST_DAMAGED: u32 = 10;
/// A way of sending that has given nothing else for so long is not the right one.
const MOST_TIME_DAMAGED: Duration = Duration::from_secs(1);
/// No other way is begun so late: nobody would wait for its first picture.
const LAST_ATTEMPT: Duration = FIRST_PICTURE.saturating_sub(Duration::from_secs(1));
/// An older time stamp is not of our clock.
const OLDEST_PICTURE: Duration = Duration::from_secs(1);

/// What the thread owns.
pub(super) struct Capture {
    pub(super) device: Device,
    pub(super) pictures: Pictures,
    pub(super) stop: Arc<AtomicBool>,
    /// Last, so that nobody takes the camera before it is closed.
    pub(super) _hold: Hold,
}

/// A camera that has begun to send.
struct Stream {
    camera: Camera,
    offer: Offer,
    rate: FrameRate,
    /// From one row to the next, where the driver says so.
    row_bytes: Option<u32>,
    /// When the last picture was taken.
    last: Option<Instant>,
    reader: Reader,
}

/// Makes pictures of what the camera sends.
#[derive(Default)]
struct Reader {
    frames: FramePool,
    jpegs: JpegReader,
}

impl Capture {
    /// The thread's body.
    pub(super) fn run(self) {
        let mut stream = match self.start() {
            Ok(stream) => stream,
            Err(error) => return self.pictures.put(Err(error)),
        };
        if let Err(error) = self.caught(|| self.pump(&mut stream)) {
            info!(%error, "the camera stopped");
            self.pictures.put(Err(error));
        }
        if let Err(error) = self.caught(|| {
            drop(stream);
            Ok(())
        }) {
            debug!(%error, "the camera was not closed in good order");
        }
    }

    /// Turns a panic of the library into an error.
    fn caught<T>(&self, work: impl FnOnce() -> Result<T, CameraError>) -> Result<T, CameraError> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            let source = Cause::from("it did something that the camera library does not understand");
            Err(CameraError::Driver { camera: self.name(), source })
        })
    }

    /// Begins to send in the best way that the driver really takes: only a picture shows that it does.
    fn start(&self) -> Result<Stream, CameraError> {
        let began = Instant::now();
        let offers = self.caught(|| device::offers(&self.device).map_err(|failure| failure.of(&self.name())))?;
        let mut refused = CameraError::NoFormat { camera: self.name() };
        for offer in ranked(&offers).into_iter().take(MOST_ATTEMPTS) {
            if self.is_stopped() {
                return Err(CameraError::Stopped);
            }
            if began.elapsed() > LAST_ATTEMPT {
                break;
            }
            match self.caught(|| self.start_with(offer)) {
                Ok(stream) => {
                    info!(camera = self.name(), ?offer, "the camera is on");
                    return Ok(stream);
                }
                Err(error) if depends_on_offer(&error) => {
                    debug!(?offer, ?error, "the camera does not do what it offers");
                    if let CameraError::NoFormat { .. } = refused {
                        refused = error;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    /// Begins to send and hands on the first picture. The library asks the driver for that one only when it starts it.
    fn start_with(&self, offer: Offer) -> Result<Stream, CameraError> {
        let mut stream = self.stream(offer).map_err(|failure| failure.of(&self.name()))?;
        self.next_picture(&mut stream, MOST_TIME_DAMAGED)?;
        Ok(stream)
    }

    fn stream(&self, offer: Offer) -> Result<Stream, Failure> {
        let row_bytes = device::set(&self.device, offer)?;
        let rate = FrameRate::new(offer.fps, 1).unwrap_or(FrameRate::THIRTY);
        let format = frame_format(offer.format);
        let wanted = CameraFormat::new(Resolution::new(offer.width, offer.height), format, offer.fps);
        let request = RequestedFormatType::Exact(wanted);
        let mut camera = Camera::new(self.device.index.clone(), RequestedFormat::with_formats(request, &[format]))?;
        camera.open_stream()?;
        Ok(Stream { camera, offer, rate, row_bytes, last: None, reader: Reader::default() })
    }

    /// Takes pictures until told to stop.
    fn pump(&self, stream: &mut Stream) -> Result<(), CameraError> {
        while !self.is_stopped() {
            self.next_picture(stream, Duration::MAX)?;
        }
        Ok(())
    }

    /// Hands on the next picture that can be read, if it is not told to stop before. Too many in a row that cannot, or
    /// `at_most` of them, are an error.
    fn next_picture(&self, stream: &mut Stream, at_most: Duration) -> Result<(), CameraError> {
        let mut damaged_in_a_row = 0;
        let mut damaged_since = None;
        while !self.is_stopped() {
            let buffer = stream.camera.frame().map_err(|error| Failure::from(error).of(&self.name()))?;
            let (now, wall) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
            let captured_at = taken_at(now, wall, buffer.capture_timestamp(), stream.last);
            match stream.reader.picture(buffer.buffer(), stream.offer, stream.row_bytes) {
                Ok(frame) => {
                    stream.last = Some(captured_at);
                    let picture = CameraFrame { frame, captured_at };
                    self.pictures.put(Ok(Taken { picture, rate: stream.rate }));
                    return Ok(());
                }
                Err(source) => {
                    debug!(%source, "a damaged picture was dropped");
                    damaged_in_a_row += 1;
                    let since = *damaged_since.get_or_insert(now);
                    if damaged_in_a_row == MOST_DAMAGED || now.duration_since(since) > at_most {
                        return Err(CameraError::Damaged { camera: self.name(), source });
                    }
                }
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn name(&self) -> String {
        self.device.info.name.clone()
    }
}

/// Whether the camera may work when it sends in another way.
fn depends_on_offer(error: &CameraError) -> bool {
    match error {
        CameraError::Damaged { .. }
        | CameraError::NoFormat { .. }
        | CameraError::NoBandwidth { .. }
        | CameraError::Driver { .. } => true,
        CameraError::NoneConnected
        | CameraError::Stuck
        | CameraError::Unknown { .. }
        | CameraError::Busy { .. }
        | CameraError::Refused { .. }
        | CameraError::Unplugged { .. }
        | CameraError::Stalled { .. }
        | CameraError::Stopped
        | CameraError::Thread(_) => false,
    }
}

impl Reader {
    /// The picture that a buffer begins with. The buffer is all that the driver mapped: often longer than the picture, with
    /// older bytes behind it.
    fn picture(&mut self, buffer: &[u8], offer: Offer, row_bytes: Option<u32>) -> Result<VideoFrame, Cause> {
        let Offer { format, width, height, fps: _ } = offer;
        let rows_of = |packed: u32| row_bytes.unwrap_or(0).max(packed);
        // Two pixels share a pair of colours, also the last of an odd row.
        let paired_width = width.next_multiple_of(2);
        let Self { frames, jpegs } = self;
        match format {
            PixelFormat::Nv12 => Ok(nv12_to_i420(frames, buffer, rows_of(paired_width), width, height)?),
            PixelFormat::Yuyv => Ok(yuyv_to_i420(frames, buffer, rows_of(paired_width * 2), width, height)?),
            PixelFormat::Mjpeg => Ok(jpegs.read(frames, buffer)?),
        }
    }
}

/// When a picture was taken: by its stamp, which counts from 1970 as `wall` does, unless that is in the future or too old
/// to be true. Never before the `last` one: a stamp may be too old to be true after a freeze, and the next one not.
fn taken_at(now: Instant, wall: Duration, stamp: Option<Duration>, last: Option<Instant>) -> Instant {
    let age = stamp.and_then(|stamp| wall.checked_sub(stamp)).filter(|age| *age <= OLDEST_PICTURE);
    let taken = age.and_then(|age| now.checked_sub(age)).unwrap_or(now);
    last.map_or(taken, |last| last.max(taken))
}

fn frame_format(format: PixelFormat) -> FrameFormat {
    match format {
        PixelFormat::Nv12 => FrameFormat::NV12,
        PixelFormat::Yuyv => FrameFormat::YUYV,
        PixelFormat::Mjpeg => FrameFormat::MJPEG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_as_old_as_its_stamp_says_where_that_can_be() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let wall = second * 1_000_000;
        assert_eq!(taken_at(now, wall, Some(wall - second / 20), None), now - second / 20);
        for unusable in [None, Some(wall + second / 1000), Some(wall - second * 2), Some(Duration::ZERO)] {
            assert_eq!(taken_at(now, wall, unusable, None), now, "{unusable:?}");
        }
    }

    #[test]
    fn no_picture_was_taken_before_the_one_that_came_before() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let wall = second * 1_000_000;
        let frozen = taken_at(now, wall, Some(wall - second * 2), None);
        let next = taken_at(now + second / 30, wall + second / 30, Some(wall - second / 2), Some(frozen));
        assert_eq!(next, frozen);
        let later = taken_at(now + second, wall + second, Some(wall + second), Some(next));
        assert_eq!(later, now + second);
    }

    #[test]
    fn a_buffer_is_read_by_the_drivers_row_length_and_no_further_than_the_picture() {
        let offer = |format| Offer { format, width: 4, height: 2, fps: 30 };
        let yuyv = |row: usize| [[10, 20, 10, 30, 10, 20, 10, 30].as_slice(), &vec![0xee; row - 8]].concat().repeat(2);
        let wanted = VideoFrame::new(4, 2, vec![10, 10, 10, 10, 10, 10, 10, 10, 20, 20, 30, 30]).unwrap();
        let long = |mut bytes: Vec<u8>| {
            bytes.resize(4096, 0xee);
            bytes
        };
        let mut reader = Reader::default();
        for (row, told) in [(8, None), (8, Some(0)), (8, Some(8)), (32, Some(32))] {
            let frame = reader.picture(&long(yuyv(row)), offer(PixelFormat::Yuyv), told).unwrap();
            assert_eq!(frame.data(), wanted.data(), "rows of {row}, told {told:?}");
        }
        let nv12 = [10, 10, 10, 10, 10, 10, 10, 10, 20, 30, 20, 30];
        let frame = reader.picture(&long(nv12.into()), offer(PixelFormat::Nv12), None).unwrap();
        assert_eq!(frame.data(), wanted.data());
        for format in [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Mjpeg] {
            assert!(reader.picture(&nv12[..11], offer(format), None).is_err(), "{format:?}");
        }
    }
}
