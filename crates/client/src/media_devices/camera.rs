//! The one camera: its thread opens it while somebody wants its pictures, hands them on, and opens it again when it was
//! gone. Another wish for the same camera finds it open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_media::{CapturedFrame, FrameRate, PictureSource, SourceSpec};
use ahoy_rtp::RtpClock;
use ahoy_rtp::clock::VIDEO_CLOCK_HZ;

use super::desk::{CameraWish, Desk};
use super::problems::{DeviceKind, Problems};
use crate::call::in_words;
use crate::frame_sink::{FrameSink, Picture, PictureForm, PictureView, ShownPicture};
use crate::worker::Worker;

/// How often a camera that is gone is looked for.
const RETRY: Duration = Duration::from_secs(1);

/// The camera's thread. Dropping it waits until the camera is off: for a picture's time, for a second or so while one
/// is being opened, for three where one that was on gives none any more.
pub(super) struct Camera {
    desk: Arc<Desk>,
    /// Nothing where the system gave none.
    _thread: Option<Worker>,
}

impl Camera {
    /// Starts the thread, which waits for a wish.
    pub(super) fn start(desk: &Arc<Desk>, sink: Arc<dyn FrameSink>, problems: &Problems) -> Self {
        let clock = RtpClock::new(VIDEO_CLOCK_HZ, 0);
        let capturing =
            Capturing { desk: Arc::clone(desk), sink, problems: problems.clone(), clock, began: Instant::now() };
        let thread = Worker::start("camera", move |_| capturing.run());
        if let Err(error) = &thread {
            problems.set(DeviceKind::Camera, format!("no thread for the camera: {error}"));
        }
        Self { desk: Arc::clone(desk), _thread: thread.ok() }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// What the thread owns.
struct Capturing {
    desk: Arc<Desk>,
    sink: Arc<dyn FrameSink>,
    problems: Problems,
    /// Of pictures that go to no call.
    clock: RtpClock,
    began: Instant,
}

impl Capturing {
    fn run(self) {
        while let Some(wish) = self.desk.wait_for_camera() {
            self.serve(&wish.spec);
            self.problems.clear(DeviceKind::Camera);
        }
    }

    /// While this camera is wanted, whoever wants it.
    fn serve(&self, spec: &SourceSpec) {
        // The wish that was told that it gives nothing.
        let mut told = None;
        loop {
            let captured = self.capture(spec, &mut told);
            // What goes wrong with a camera that nobody wants any more is no news.
            let Some(wish) = self.desk.camera().filter(|wish| wish.spec == *spec) else { return };
            let retry = match captured {
                // There is none, by choice.
                Ok(()) => None,
                Err(why) => {
                    self.tell_failed(why, &wish, &mut told);
                    // A file does not heal.
                    matches!(spec, SourceSpec::Device(_)).then_some(RETRY)
                }
            };
            self.desk.wait_for_other_camera(&wish, retry);
        }
    }

    /// Hands on pictures until it is not wanted any more.
    fn capture(&self, spec: &SourceSpec, told: &mut Option<CameraWish>) -> Result<(), String> {
        let stands = || self.desk.camera().is_some_and(|now| now.spec == *spec);
        let opened = PictureSource::open_unless(spec, &|| !stands());
        let Some(mut source) = opened.map_err(|e| in_words(&e))? else { return Ok(()) };
        let rate = source.rate();
        while stands() {
            let captured = source.next_frame().map_err(|e| in_words(&e))?;
            self.hand_on(captured, rate);
            if told.take().is_some() {
                self.problems.clear(DeviceKind::Camera);
                if let Some(call) = self.desk.pictures() {
                    call.tell_recovered("the camera works again");
                }
            }
        }
        Ok(())
    }

    fn hand_on(&self, captured: CapturedFrame, rate: FrameRate) {
        let CapturedFrame { frame, captured_at, .. } = captured;
        let call = self.desk.pictures();
        let sent_as = call.and_then(|call| call.put(frame.clone(), captured_at, rate));
        match self.sink.form(PictureView::Local, None) {
            PictureForm::Nothing => {}
            PictureForm::Raw | PictureForm::Encoded { .. } => {
                let rtp = sent_as.unwrap_or_else(|| self.clock.at(captured_at.saturating_duration_since(self.began)));
                let (view, picture) = (PictureView::Local, Picture::Raw(frame));
                self.sink.show(ShownPicture { view, rtp, captured_at: Some(captured_at), picture });
            }
        }
    }

    /// Once until it works again and once in each call, not each second: that an unplugged camera is not there is no
    /// news.
    fn tell_failed(&self, why: String, wish: &CameraWish, told: &mut Option<CameraWish>) {
        if told.as_ref() == Some(wish) {
            return;
        }
        *told = Some(wish.clone());
        if let Some(call) = self.desk.pictures() {
            call.tell_failed(why.clone());
        }
        self.problems.set(DeviceKind::Camera, why);
    }
}
