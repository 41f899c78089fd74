//! Sound, both ways, on one thread: it looks every few milliseconds which end is due, so the speaker's clock and the
//! microphone's each set their own pace. What happens on either way is in `listening` and `talking`; here is which
//! microphone and which speaker, at first and when others are chosen.

mod listening;
mod protection;
mod talking;

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ahoy_media::audio::opus::OpusError;
use ahoy_media::{SinkSpec, SoundNotice, SoundSink};
use ahoy_transport::MediaSender;
use tokio::sync::watch;

use super::fault::{self, Part};
use super::guarded;
use super::media::numbered;
use super::shared::Shared;
use crate::event::Event;
use crate::media_devices::{ChosenDevices, DeviceKind, DevicesInCall, LevelMeter, Problems, is_by_id};
use crate::worker::{Stop, Worker};
use listening::Listening;
use talking::Talking;

/// How often the thread looks whether a block is due: a few times a block, for a few microseconds each.
const LOOK: Duration = Duration::from_millis(3);

/// Replaced ends that are still closing, at most; each takes a second.
const MOST_CLOSING: usize = 4;

/// Where sound comes from and goes to.
pub(crate) struct Ends {
    pub(crate) devices: Arc<DevicesInCall>,
    /// Which of the recorded calls this is.
    pub(crate) number: u32,
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
        let Ends { devices, number, echo } = ends;
        let mut choice = devices.chosen();
        let chosen = choice.borrow_and_update().clone();
        let (problems, meter) = (devices.problems(), devices.meter());
        let listening = Listening::new(SoundSink::nowhere(), receiver).map_err(no_codec)?;
        let talking = Talking::new(chosen.microphone.clone(), echo, sender, devices, seed).map_err(no_codec)?;
        let closing = Closing::default();
        let mut sound = Sound { listening, talking, chosen, choice, number, echo, problems, meter, closing, shared };
        let speaker = sound.open_speaker();
        sound.listening.use_speaker(speaker);
        let for_thread = Arc::clone(&sound.shared);
        let thread = guarded::start(Part::Audio, &for_thread, move |stop| sound.run(stop));
        Ok(Self { thread: thread.map_err(|e| format!("no thread for the sound: {e}"))? })
    }

    /// Closes microphone and speaker soon, without waiting for it.
    pub(crate) fn request_stop(&self) {
        self.thread.request_stop();
    }
}

/// What the thread owns.
struct Sound {
    listening: Listening,
    talking: Talking,
    /// In use.
    chosen: ChosenDevices,
    /// Where it is said what is to be in use.
    choice: watch::Receiver<ChosenDevices>,
    number: u32,
    echo: bool,
    problems: Problems,
    meter: LevelMeter,
    closing: Closing,
    shared: Arc<Shared>,
}

impl Sound {
    fn run(mut self, stop: &Stop) {
        while !stop.is_requested() {
            fault::here(Part::Audio);
            self.follow_choice();
            while let Some(played) = self.listening.step(&self.shared) {
                self.talking.hear(&played, &self.shared);
                self.meter.play(&played);
            }
            if let Err(error) = self.talking.open(&self.shared) {
                self.tell_failed(DeviceKind::Microphone, super::in_words(&error));
            }
            self.talking.speak(&self.shared, &mut self.meter);
            self.tell_notices();
            self.meter.tell(Instant::now());
            sleep(LOOK);
        }
        self.problems.clear(DeviceKind::Microphone);
        self.problems.clear(DeviceKind::Speaker);
    }

    /// Changes to what was chosen since. The one that was in use closes beside the call.
    fn follow_choice(&mut self) {
        if !self.choice.has_changed().unwrap_or(false) {
            return;
        }
        let chosen = self.choice.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.chosen, chosen);
        if before.speaker != self.chosen.speaker {
            self.problems.clear(DeviceKind::Speaker);
            let speaker = self.open_speaker();
            self.closing.close("speaker", self.listening.use_speaker(speaker));
            self.talking.forget_echo();
        }
        if before.microphone != self.chosen.microphone && !self.echo {
            self.problems.clear(DeviceKind::Microphone);
            let replaced = self.talking.use_microphone(self.chosen.microphone.clone());
            self.closing.close("microphone", replaced);
        }
    }

    fn open_speaker(&self) -> SoundSink {
        SoundSink::open(&numbered(self.chosen.speaker.clone(), self.number)).unwrap_or_else(|error| {
            self.tell_failed(DeviceKind::Speaker, super::in_words(&error));
            SoundSink::nowhere()
        })
    }

    /// Tells the owner what the ends have to say.
    fn tell_notices(&mut self) {
        if let Some(notice) = self.listening.notice() {
            let by_id = matches!(&self.chosen.speaker, SinkSpec::Device(id) if is_by_id(id));
            self.tell(DeviceKind::Speaker, &notice, by_id);
        }
        if let Some(notice) = self.talking.notice() {
            self.tell(DeviceKind::Microphone, &notice, is_by_id(&self.chosen.microphone.to_string()));
        }
    }

    fn tell(&self, kind: DeviceKind, notice: &SoundNotice, by_id: bool) {
        self.problems.note(kind, notice, by_id);
        let message = notice.to_string();
        match notice {
            SoundNotice::Failed(_) => self.shared.media_failed(message),
            SoundNotice::Replaced { .. } | SoundNotice::Recovered(_) => {
                self.shared.tell(Event::DeviceChanged { call: self.shared.call, message });
            }
        }
    }

    fn tell_failed(&self, kind: DeviceKind, message: String) {
        self.problems.set(kind, message.clone());
        self.shared.media_failed(message);
    }
}

/// Ends that were replaced: closing one may take a second, which sound does not wait for.
#[derive(Default)]
struct Closing(Vec<Worker>);

impl Closing {
    fn close(&mut self, name: &str, end: impl Send + 'static) {
        self.0.retain(|worker| !worker.is_finished());
        if self.0.len() == MOST_CLOSING {
            self.0.remove(0);
        }
        // Without a thread it is closed here, and now.
        self.0.extend(Worker::start(&format!("closing {name}"), move |_| drop(end)));
    }
}
