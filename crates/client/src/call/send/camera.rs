//! The camera's thread: it opens the camera, hands on its pictures, and opens it again when it was gone.

use std::time::{Duration, Instant};

use ahoy_media::{PictureSource, SourceSpec};

use super::super::in_words;
use super::super::worker::{Stop, Worker};
use super::PictureInput;
use crate::event::Event;

/// How often a camera that is gone is looked for.
const RETRY: Duration = Duration::from_secs(1);
/// How long the thread sleeps before it looks whether it should stop.
const NAP: Duration = Duration::from_millis(50);

/// Starts the thread, which waits for the one `before` it to let go of the device. It ends within a picture's time once it
/// is told to; within a second or so while a camera is being opened, three where one that was on gives none any more.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(spec: SourceSpec, input: PictureInput, before: Option<Worker>) -> std::io::Result<Worker> {
    Worker::start("camera", move |stop| {
        drop(before);
        run(&spec, &input, &stop);
    })
}

fn run(spec: &SourceSpec, input: &PictureInput, stop: &Stop) {
    let mut failed = false;
    while !stop.is_requested() {
        let Err(failure) = capture(spec, input, &mut failed, stop) else { return };
        // What goes wrong with a camera that nobody wants any more is no news.
        if stop.is_requested() {
            return;
        }
        // Once until it works again, not each second: that an unplugged camera is not there is no news.
        if !std::mem::replace(&mut failed, true) {
            input.shared.media_failed(failure);
        }
        match spec {
            SourceSpec::Device(_) => nap(RETRY, stop),
            // A file does not heal.
            SourceSpec::File(_) | SourceSpec::Pattern | SourceSpec::Tone | SourceSpec::None => return,
        }
    }
}

/// Hands on pictures until it is told to stop.
fn capture(spec: &SourceSpec, input: &PictureInput, failed: &mut bool, stop: &Stop) -> Result<(), String> {
    let opened = PictureSource::open_unless(spec, &|| stop.is_requested());
    let Some(mut source) = opened.map_err(|e| in_words(&e))? else { return Ok(()) };
    let rate = source.rate();
    while !stop.is_requested() {
        let captured = source.next_frame().map_err(|e| in_words(&e))?;
        input.put(captured.frame, captured.captured_at, rate);
        if std::mem::take(failed) {
            let message = "the camera works again".to_owned();
            input.shared.tell(Event::DeviceChanged { call: input.shared.call, message });
        }
    }
    Ok(())
}

fn nap(length: Duration, stop: &Stop) {
    let until = Instant::now() + length;
    while !stop.is_requested() && Instant::now() < until {
        std::thread::sleep(NAP);
    }
}
