//! The one camera: its thread opens it while somebody wants its pictures, hands them on, and opens it again when it was
//! gone, or another in its place. Another wish for the same camera finds it open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_media::source::SourceError;
use ahoy_media::{CapturedFrame, FrameRate, SourceSpec};
use ahoy_rtp::RtpClock;
use ahoy_rtp::clock::VIDEO_CLOCK_HZ;

use super::desk::{CameraWish, Desk};
use super::problems::{DeviceKind, Problems};
use super::standin::{Lookout, Open, Wanted};
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

/// Why no more pictures came, though nothing failed.
enum Ended {
    /// There is none to give any, by choice.
    Absent,
    /// Another one stood in for the wanted camera, which is there again.
    WantedIsBack,
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
        let mut wanted = Wanted::new(spec.clone());
        // The wish that was told that it gives nothing.
        let mut told = None;
        loop {
            let captured = self.capture(spec, &mut wanted, &mut told);
            // What goes wrong with a camera that nobody wants any more is no news.
            let Some(wish) = self.desk.camera().filter(|wish| wish.spec == *spec) else { return };
            let retry = match captured {
                // There is none, by choice.
                Ok(Ended::Absent) => None,
                Ok(Ended::WantedIsBack) => continue,
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
    fn capture(&self, spec: &SourceSpec, wanted: &mut Wanted, told: &mut Option<CameraWish>) -> Result<Ended, String> {
        let stands = || self.desk.camera().is_some_and(|now| now.spec == *spec);
        let mut gone = None;
        loop {
            // That one was unplugged is told where no other is found.
            let opened = wanted.open(&|| !stands()).map_err(|e| gone.take().unwrap_or_else(|| in_words(&e)))?;
            let Some(mut open) = opened else { return Ok(Ended::Absent) };
            match self.pump(&mut open, &stands, told) {
                Ok(ended) => return Ok(ended),
                Err(error) => {
                    let camera = open.source.camera().filter(|_| is_unplugged(&error));
                    let Some(camera) = camera else { return Err(in_words(&error)) };
                    wanted.is_gone(camera);
                    gone = Some(in_words(&error));
                }
            }
        }
    }

    /// The same with an open one, until it fails.
    fn pump(
        &self,
        open: &mut Open,
        stands: &dyn Fn() -> bool,
        told: &mut Option<CameraWish>,
    ) -> Result<Ended, SourceError> {
        let rate = open.source.rate();
        while stands() {
            if open.lookout.as_ref().is_some_and(Lookout::is_back) {
                return Ok(Ended::WantedIsBack);
            }
            let captured = open.source.next_frame()?;
            self.hand_on(captured, rate);
            let was_told = told.take().is_some();
            let news = open.news.take().or_else(|| was_told.then(|| "the camera works again".into()));
            if let Some(news) = news {
                self.problems.clear(DeviceKind::Camera);
                if let Some(call) = self.desk.pictures() {
                    call.tell_changed(news);
                }
            }
        }
        Ok(Ended::Absent)
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

fn is_unplugged(error: &SourceError) -> bool {
    matches!(error, SourceError::Camera(error) if error.is_missing())
}
