//! Cameras: which there are, and pictures from one of them as I420. Capture runs on a thread of its own, because a driver
//! may never answer; what is asked here always answers. A camera that failed stays failed: open it again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::frame::VideoFrame;
use crate::latest::{Latest, TakeError};
use crate::rate::FrameRate;

mod capture;
#[cfg(not(target_os = "linux"))]
#[path = "camera/elsewhere.rs"]
mod device;
#[cfg(target_os = "linux")]
#[path = "camera/linux.rs"]
mod device;
mod error;
mod hold;
mod jpeg;
mod offer;

use capture::Capture;
use device::Device;
pub use error::CameraError;
use hold::{Held, Hold, Ticket};

/// Names the first camera of the machine, whichever that is.
pub const DEFAULT_CAMERA: &str = "default";

/// How long a camera may take to its first picture. Some start a sensor and measure the light first.
const FIRST_PICTURE: Duration = Duration::from_secs(5);
/// A camera that has given nothing for so long will not soon. The slowest give 5 pictures a second in the dark.
const STALLED: Duration = Duration::from_secs(2);
/// How long all drivers together may take to say what there is.
const ENUMERATING: Duration = Duration::from_secs(3);
/// How long closing a camera may take, before its thread is left behind.
const CLOSING: Duration = Duration::from_secs(1);
/// How soon who waits for a camera sees that it is not wanted any more.
const NAP: Duration = Duration::from_millis(50);

/// A camera that is plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraInfo {
    /// What [`Camera::open`] takes. The same after plugging it in again, where the system tells cameras apart by more
    /// than their order.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// A picture as it came from a camera.
#[derive(Debug)]
pub struct CameraFrame {
    /// The picture.
    pub frame: VideoFrame,
    /// When it was taken, or where the driver does not say, when it came.
    pub captured_at: Instant,
}

/// The cameras that are plugged in, the default first. Looks at each for some milliseconds, at all for three seconds at most.
///
/// # Errors
/// If a driver hangs.
pub fn list() -> Result<Vec<CameraInfo>, CameraError> {
    Ok(connected(&|| false)?.into_iter().map(|device| device.info).collect())
}

/// The camera that [`Camera::open`] would turn on, without doing so.
///
/// # Errors
/// If there is none, or none of that id.
pub fn find(id: &str) -> Result<CameraInfo, CameraError> {
    Ok(find_among(connected(&|| false)?, id)?.info)
}

/// An open camera. It belongs to one thread; dropping it turns it off.
pub struct Camera {
    info: CameraInfo,
    rate: FrameRate,
    first: Option<CameraFrame>,
    thread: CaptureThread,
}

impl Camera {
    /// Turns on the camera of that id, or [`DEFAULT_CAMERA`], and waits for its first picture: for 5 seconds at most, longer
    /// only where the system asks its user for permission. What it sends is chosen from what it offers. Once `stop` says
    /// yes, it gives up, and turns off within a second a camera that its driver lets go of.
    ///
    /// # Errors
    /// If there is no such camera, or it gives no pictures: each [`CameraError`] is a reason.
    pub fn open(id: &str, stop: &dyn Fn() -> bool) -> Result<Self, CameraError> {
        let device = find_among(connected(stop)?, id)?;
        let info = device.info.clone();
        let name = info.name.clone();
        if !device::is_permitted(stop) {
            return Err(if stop() { CameraError::Stopped } else { CameraError::Refused { camera: name } });
        }
        let hold = take(&device.info, stop)?;
        let thread = CaptureThread::start(device, hold)?;
        let first = await_unless(stop, FIRST_PICTURE, |nap| match thread.pictures.take_timeout(nap) {
            Ok(result) => Some(result),
            Err(TakeError::TimedOut) => None,
            Err(TakeError::Closed) => Some(Err(CameraError::Stalled { camera: name.clone() })),
        })?;
        let first = first.unwrap_or_else(|| Err(CameraError::Stalled { camera: name.clone() }))?;
        Ok(Self { info, rate: first.rate, first: Some(first.picture), thread })
    }

    /// Which one it is.
    pub fn info(&self) -> &CameraInfo {
        &self.info
    }

    /// The pictures a second it promised. In the dark, many give fewer.
    pub fn rate(&self) -> FrameRate {
        self.rate
    }

    /// Waits for the next picture, 2 seconds at most. A caller that comes late gets the newest; the ones before are lost.
    ///
    /// # Errors
    /// If none came, or none will come any more.
    pub fn next_frame(&mut self) -> Result<CameraFrame, CameraError> {
        match self.first.take() {
            Some(first) => Ok(first),
            None => Ok(self.thread.next(&self.info.name, STALLED)?.picture),
        }
    }
}

/// A picture on its way from the thread.
#[derive(Debug)]
struct Taken {
    picture: CameraFrame,
    rate: FrameRate,
}

type Pictures = Latest<Result<Taken, CameraError>>;

/// The thread that holds the device.
struct CaptureThread {
    pictures: Pictures,
    stop: Arc<AtomicBool>,
    ticket: Ticket,
    thread: Option<JoinHandle<()>>,
}

impl CaptureThread {
    fn start(device: Device, hold: Hold) -> Result<Self, CameraError> {
        let (pictures, stop) = (Pictures::new(), Arc::<AtomicBool>::default());
        let ticket = hold.ticket();
        let capture = Capture { device, pictures: pictures.clone(), stop: Arc::clone(&stop), _hold: hold };
        let thread = thread::Builder::new().name("capture".into()).spawn(move || capture.run());
        let thread = Some(thread.map_err(CameraError::Thread)?);
        Ok(Self { pictures, stop, ticket, thread })
    }

    fn next(&self, camera: &str, within: Duration) -> Result<Taken, CameraError> {
        match self.pictures.take_timeout(within) {
            Ok(result) => result,
            Err(TakeError::TimedOut | TakeError::Closed) => Err(CameraError::Stalled { camera: camera.into() }),
        }
    }
}

impl Drop for CaptureThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that waits for a picture which never comes cannot be woken. It keeps its hold, so that a camera has
        // one such thread at most, and ends when the driver answers: when the camera is unplugged, for one.
        if self.ticket.wait_until_free(CLOSING)
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the capture thread panicked");
        }
    }
}

/// Takes a camera in hand.
fn take(camera: &CameraInfo, stop: &dyn Fn() -> bool) -> Result<Hold, CameraError> {
    // One that was turned off while it started lets go with its first picture.
    let starting = hold::left_behind_for(&camera.id).map(|since| FIRST_PICTURE.saturating_sub(since));
    let mut holder = Held::InUse;
    let hold = await_unless(stop, CLOSING.max(starting.unwrap_or_default()), |nap| {
        Hold::take(&camera.id, nap).map_err(|held| holder = held).ok()
    })?;
    hold.ok_or_else(|| match holder {
        Held::InUse => CameraError::Busy { camera: camera.name.clone() },
        Held::LeftBehind => CameraError::Stalled { camera: camera.name.clone() },
    })
}

/// Asks `attempt`, which waits as long as it is told, until it has an answer, for `within`.
fn await_unless<T>(
    stop: &dyn Fn() -> bool,
    within: Duration,
    mut attempt: impl FnMut(Duration) -> Option<T>,
) -> Result<Option<T>, CameraError> {
    let deadline = Instant::now() + within;
    loop {
        if stop() {
            return Err(CameraError::Stopped);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = attempt(left.min(NAP));
        if answer.is_some() || left.is_zero() {
            return Ok(answer);
        }
    }
}

/// Asks every driver, on a thread of its own: one of them may hang, and then nobody else does. There is one such thread at
/// most.
fn connected(stop: &dyn Fn() -> bool) -> Result<Vec<Device>, CameraError> {
    static ASKING: Mutex<()> = Mutex::new(());
    let (answer, answered) = mpsc::sync_channel(1);
    let asking = thread::Builder::new().name("cameras".into()).spawn(move || {
        // Another one asks, and hangs if that takes longer than all may take.
        let Some(_asking) = wait_for(&ASKING, ENUMERATING) else { return };
        // Nobody listens any more after the deadline.
        let _ = answer.send(device::connected());
    });
    asking.map_err(CameraError::Thread)?;
    let answer = await_unless(stop, ENUMERATING, |nap| match answered.recv_timeout(nap) {
        Ok(connected) => Some(Ok(connected)),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Err(CameraError::Stuck)),
    })?;
    answer.unwrap_or(Err(CameraError::Stuck))
}

fn wait_for(lock: &Mutex<()>, within: Duration) -> Option<MutexGuard<'_, ()>> {
    let deadline = Instant::now() + within;
    loop {
        match lock.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::WouldBlock) => return None,
        }
    }
}

fn find_among(connected: Vec<Device>, id: &str) -> Result<Device, CameraError> {
    if id == DEFAULT_CAMERA {
        return connected.into_iter().next().ok_or(CameraError::NoneConnected);
    }
    let names = connected.iter().map(|device| device.info.id.as_str()).collect::<Vec<_>>().join(", ");
    let unknown = || CameraError::Unknown { wanted: id.into(), connected: names };
    connected.into_iter().find(|device| device.is_called(id)).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn waiting_ends_with_an_answer_or_the_time_or_when_told_to_stop() {
        let long = Duration::from_secs(20);
        let began = Instant::now();
        let mut asked = 0;
        let mut third = |_| {
            asked += 1;
            (asked == 3).then_some(asked)
        };
        assert_eq!(await_unless(&|| false, long, &mut third).unwrap(), Some(3));
        assert_eq!(await_unless(&|| false, Duration::ZERO, |_| None::<()>).unwrap(), None);
        let asked = AtomicU64::new(0);
        let stop = || asked.load(Ordering::Relaxed) == 2;
        let stopped = await_unless(&stop, long, |nap| {
            assert!(nap <= NAP);
            asked.fetch_add(1, Ordering::Relaxed);
            None::<()>
        });
        assert!(matches!(stopped, Err(CameraError::Stopped)));
        assert!(began.elapsed() < long);
    }

    #[test]
    fn a_camera_that_nobody_wants_any_more_is_not_opened() {
        assert!(matches!(Camera::open(DEFAULT_CAMERA, &|| true), Err(CameraError::Stopped)));
    }
}
