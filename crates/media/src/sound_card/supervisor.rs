//! Keeps one device open: watches that it delivers, at the pace of sound, and opens it or its stand-in anew when it
//! does not. Never calls into the sound system itself, so nothing there can stop it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, Builder, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::SoundEnd;
use super::error::SoundCardError;
use super::session::{Ending, Event, Feed, Opened, Session};
use super::telling::Telling;
use crate::latest::Latest;
use crate::notice::SoundNotice;

/// How often it looks.
const TICK: Duration = Duration::from_millis(100);

/// How long opening may take.
const OPENING: Duration = Duration::from_secs(3);

/// How long a device may deliver nothing. A null sink of PulseAudio that had nobody to serve sleeps for two seconds.
const SILENCE: Duration = Duration::from_millis(2500);

/// How long closing is waited for, before the next opening and at the end.
const CLOSING: Duration = Duration::from_millis(700);

/// A device that worked for so long and broke is opened anew at once and without a word.
const WORKED: Duration = Duration::from_secs(1);

/// Threads that never came back from the sound system. With so many no further one is started.
const MOST_ABANDONED: usize = 2;

/// Notices that nobody fetches; what finds no place is lost.
const NOTICES: usize = 16;

/// The supervising thread. Dropping it closes the device, within a second.
pub(super) struct Supervisor {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    notices: Receiver<SoundNotice>,
}

impl Supervisor {
    /// Starts opening the device that `chosen` names; its end, and that of each later one, goes into `feeds`. Does not
    /// wait.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start<F: Feed>(feeds: Latest<F>, chosen: &str) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, notices) = sync_channel(NOTICES);
        let mut watch = Watch {
            feeds,
            chosen: chosen.to_owned(),
            stop: Arc::clone(&stop),
            notices: sender,
            telling: Telling::new(chosen.to_owned()),
            abandoned: Vec::new(),
        };
        let thread = Builder::new().name(F::END.to_string()).spawn(move || watch.run())?;
        Ok(Self { stop, thread: Some(thread), notices })
    }

    /// What changed, each change once.
    pub(super) fn notice(&self) -> Option<SoundNotice> {
        self.notices.try_recv().ok()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the thread that watches a sound device panicked");
            }
        }
    }
}

struct Watch<F> {
    feeds: Latest<F>,
    chosen: String,
    stop: Arc<AtomicBool>,
    notices: SyncSender<SoundNotice>,
    telling: Telling,
    abandoned: Vec<JoinHandle<()>>,
}

/// How a try ended, seen from here.
struct Outcome {
    ending: Ending,
    /// How long the device had delivered.
    worked: Option<Duration>,
}

impl<F: Feed> Watch<F> {
    fn run(&mut self) {
        while !self.stopping() {
            let Outcome { ending, worked } = self.attempt();
            match ending {
                Ending::Stopped => {}
                Ending::Superseded { gone: true } => self.telling.is_gone(),
                Ending::Superseded { gone: false } => {}
                Ending::Failed(error) => {
                    if let SoundCardError::Unplugged { .. } = error {
                        self.telling.is_gone();
                    }
                    let end = F::END;
                    if error.may_pass_unnoticed() && worked.is_some_and(|worked| worked > WORKED) {
                        info!(%end, %error, "opening the sound device anew");
                    } else {
                        debug!(%end, %error, "no sound device");
                        let notice = self.telling.failed(&error);
                        self.tell(notice);
                        self.pause(error.retry_after());
                    }
                }
            }
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn tell(&self, notice: Option<SoundNotice>) {
        let Some(notice) = notice else { return };
        match &notice {
            SoundNotice::Failed(_) => warn!(end = %F::END, "a sound device failed"),
            SoundNotice::Replaced { .. } => warn!(end = %F::END, "a sound device was replaced"),
            SoundNotice::Recovered(_) => info!(end = %F::END, "a sound device is back"),
        }
        let _ = self.notices.try_send(notice);
    }

    fn pause(&self, most: Duration) {
        let began = Instant::now();
        while let Some(left) = most.checked_sub(began.elapsed())
            && !self.stopping()
        {
            thread::park_timeout(left);
        }
    }

    fn attempt(&mut self) -> Outcome {
        self.abandoned.retain(|thread| !thread.is_finished());
        let failed = |error| Outcome { ending: Ending::Failed(error), worked: None };
        if self.abandoned.len() >= MOST_ABANDONED {
            return failed(SoundCardError::Stuck(F::END));
        }
        let session = match Session::start(self.chosen.clone()) {
            Ok(session) => session,
            Err(error) => return failed(SoundCardError::Thread(error)),
        };
        let outcome = self.watch(&session);
        session.stop();
        self.close(session.thread);
        outcome
    }

    /// Looks after one try until it is over.
    fn watch(&mut self, session: &Session<F>) -> Outcome {
        let began = Instant::now();
        let mut opened: Option<(Opened, Instant)> = None;
        let mut working_since = None;
        let ending = loop {
            match session.events.recv_timeout(TICK) {
                Ok(Event::Opened(device, feed)) => {
                    self.feeds.put(feed);
                    opened = Some((device, Instant::now()));
                }
                Ok(Event::Ended(ending)) => break ending,
                Err(RecvTimeoutError::Timeout) => {}
                // It panicked.
                Err(RecvTimeoutError::Disconnected) => {
                    break Ending::Failed(SoundCardError::Stuck(F::END));
                }
            }
            if self.stopping() {
                break Ending::Stopped;
            }
            let Some((device, since)) = &opened else {
                if began.elapsed() > OPENING {
                    break Ending::Failed(SoundCardError::Stuck(F::END));
                }
                continue;
            };
            if let Some(error) = wrong_with(device, F::END, since.elapsed()) {
                break Ending::Failed(error);
            }
            if working_since.is_none() && device.heartbeat.idle().is_some() {
                working_since = Some(Instant::now());
                let notice = self.telling.works(device);
                self.tell(notice);
            }
        };
        Outcome { ending, worked: working_since.map(|since| since.elapsed()) }
    }

    /// Waits for a thread that was told to end, but not for long.
    fn close(&mut self, thread: JoinHandle<()>) {
        let began = Instant::now();
        while !thread.is_finished() && began.elapsed() < CLOSING {
            thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() {
            if thread.join().is_err() {
                tracing::error!(end = %F::END, "a thread of a sound device panicked");
            }
        } else {
            warn!(end = %F::END, "the sound system does not let go of a device");
            self.abandoned.push(thread);
        }
    }
}

/// What is wrong with a device that was opened so long ago, going by its callbacks.
fn wrong_with(device: &Opened, end: SoundEnd, open_for: Duration) -> Option<SoundCardError> {
    let name = || device.name.clone();
    if device.heartbeat.idle().unwrap_or(open_for) > SILENCE {
        return Some(SoundCardError::Silent { end, name: name() });
    }
    let plausible = f64::from(device.rate_hz) * (2.0 * open_for.as_secs_f64() + 1.0);
    // A second in advance is a buffer that fills; more than twice the pace of sound is no sound.
    (device.heartbeat.frames() as f64 > plausible).then(|| SoundCardError::Spinning { name: name() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound_card::heartbeat::Heartbeat;

    fn device() -> Opened {
        let heartbeat = Arc::new(Heartbeat::new());
        Opened { id: "usb".into(), name: "Headset".into(), is_chosen: true, rate_hz: 48_000, heartbeat }
    }

    #[test]
    fn a_device_that_never_delivers_is_given_two_and_a_half_seconds() {
        let device = device();
        assert!(wrong_with(&device, SoundEnd::Microphone, Duration::from_millis(2500)).is_none());
        let error = wrong_with(&device, SoundEnd::Microphone, Duration::from_millis(2501)).unwrap().to_string();
        assert!(error.contains("microphone \"Headset\"") && error.contains("does nothing"), "{error}");
    }

    #[test]
    fn a_device_that_runs_far_faster_than_sound_is_shut_off() {
        let device = device();
        device.heartbeat.captured(48_000 + 4_800, Duration::ZERO);
        assert!(wrong_with(&device, SoundEnd::Microphone, Duration::from_millis(100)).is_none());
        device.heartbeat.captured(2_000_000, Duration::ZERO);
        let error = wrong_with(&device, SoundEnd::Microphone, Duration::from_millis(100)).unwrap();
        assert!(matches!(error, SoundCardError::Spinning { .. }));
        assert!(error.retry_after() > Duration::from_secs(10));
    }
}
