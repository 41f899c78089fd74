//! Sound, both ways, on one thread: it looks every few milliseconds which end is due, so the speaker's clock and the
//! microphone's each set their own pace. What happens on either way is in `listening` and `talking`.

mod listening;
mod talking;

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use ahoy_media::audio::opus::OpusError;
use ahoy_media::{SinkSpec, SoundNotice, SoundSink, SourceSpec};
use ahoy_transport::MediaSender;

use super::shared::Shared;
use super::worker::{Stop, Worker};
use crate::event::Event;
use listening::Listening;
use talking::Talking;

/// How often the thread looks whether a block is due: a few times a block, for a few microseconds each.
const LOOK: Duration = Duration::from_millis(3);

/// Where sound comes from and goes to.
pub(crate) struct Ends {
    pub(crate) microphone: SourceSpec,
    pub(crate) speaker: SinkSpec,
    /// Send what is played instead of what the microphone hears.
    pub(crate) echo: bool,
}

/// The sound of a call, for its length.
pub(crate) struct Audio {
    thread: Worker,
}

impl Audio {
    /// Opens the speaker and starts the thread. An end that cannot be opened is told of; the other works without it.
    ///
    /// # Errors
    /// When there can be no sound at all, in words.
    pub(crate) fn start(
        ends: Ends,
        sender: MediaSender,
        receiver: super::Packets,
        shared: Arc<Shared>,
        seed: u64,
    ) -> Result<Self, String> {
        let no_codec = |error: OpusError| super::in_words(&error);
        let speaker = SoundSink::open(&ends.speaker).unwrap_or_else(|error| {
            shared.media_failed(super::in_words(&error));
            SoundSink::nowhere()
        });
        let listening = Listening::new(speaker, receiver).map_err(no_codec)?;
        let talking = Talking::new(ends.microphone, ends.echo, sender, seed).map_err(no_codec)?;
        let thread = Worker::start("audio", move |stop| run(listening, talking, &shared, &stop));
        Ok(Self { thread: thread.map_err(|e| format!("no thread for the sound: {e}"))? })
    }
}

impl Audio {
    /// Closes microphone and speaker soon, without waiting for it.
    pub(crate) fn request_stop(&self) {
        self.thread.request_stop();
    }
}

fn run(mut listening: Listening, mut talking: Talking, shared: &Shared, stop: &Stop) {
    while !stop.is_requested() {
        while let Some(played) = listening.step(shared) {
            talking.hear(&played, shared);
        }
        talking.speak(shared);
        sleep(LOOK);
    }
}

/// Tells the owner what an end has to say.
fn tell(notice: Option<SoundNotice>, shared: &Shared) {
    let Some(notice) = notice else { return };
    let message = notice.to_string();
    match notice {
        SoundNotice::Failed(_) => shared.media_failed(message),
        SoundNotice::Replaced { .. } | SoundNotice::Recovered(_) => {
            shared.tell(Event::DeviceChanged { call: shared.call, message });
        }
    }
}
