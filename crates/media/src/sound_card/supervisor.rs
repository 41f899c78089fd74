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
use super::abandoned;
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

/// Over how long the pace of a device is measured.
const WINDOW: Duration = Duration::from_secs(5);

/// So much may come at once: a buffer that fills, or what a server kept back just short of [`SILENCE`].
const BURST: Duration = Duration::from_secs(3);

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
        let failed = |error| Outcome { ending: Ending::Failed(error), worked: None };
        if abandoned::streams_of(F::END).is_full() {
            return failed(SoundCardError::Stuck(F::END));
        }
        let session = match Session::start(self.chosen.clone()) {
            Ok(session) => session,
            Err(error) => return failed(SoundCardError::Thread(error)),
        };
        let outcome = self.watch(&session);
        close(F::END, session.stop());
        outcome
    }

    /// Looks after one try until it is over.
    fn watch(&mut self, session: &Session<F>) -> Outcome {
        let began = Instant::now();
        let mut opened: Option<(Opened, Instant)> = None;
        let mut working_since = None;
        let mut pace = PaceWindow::default();
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
            if let Some(error) = wrong_with(device, F::END, since.elapsed(), &mut pace) {
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
}

/// Waits for a thread that was told to end, but not for long.
fn close(end: SoundEnd, thread: JoinHandle<()>) {
    let began = Instant::now();
    while !thread.is_finished() && began.elapsed() < CLOSING {
        thread::sleep(Duration::from_millis(5));
    }
    if thread.is_finished() {
        if thread.join().is_err() {
            tracing::error!(%end, "a thread of a sound device panicked");
        }
    } else {
        warn!(%end, "the sound system does not let go of a device");
        abandoned::streams_of(end).add(thread);
    }
}

/// What is wrong with a device that was opened so long ago, going by its callbacks.
fn wrong_with(device: &Opened, end: SoundEnd, open_for: Duration, pace: &mut PaceWindow) -> Option<SoundCardError> {
    let name = || device.name.clone();
    if device.heartbeat.idle().unwrap_or(open_for) > SILENCE {
        return Some(SoundCardError::Silent { end, name: name() });
    }
    let is_too_fast = pace.is_too_fast(device.heartbeat.frames(), device.rate_hz, open_for);
    is_too_fast.then(|| SoundCardError::Spinning { name: name() })
}

/// Where measuring began: after so long, at so many frames.
#[derive(Debug, Default)]
struct PaceWindow {
    began: Duration,
    frames: u64,
}

impl PaceWindow {
    /// Whether this many frames since the opening are too many: more than twice the pace of sound is no sound.
    fn is_too_fast(&mut self, frames: u64, rate_hz: u32, open_for: Duration) -> bool {
        let time = open_for.saturating_sub(self.began);
        let fresh = frames.saturating_sub(self.frames);
        if time >= WINDOW {
            *self = Self { began: open_for, frames };
        }
        fresh as f64 > f64::from(rate_hz) * (2 * time + BURST).as_secs_f64()
    }
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
        let mut pace = PaceWindow::default();
        assert!(wrong_with(&device, SoundEnd::Microphone, Duration::from_millis(2500), &mut pace).is_none());
        let error = wrong_with(&device, SoundEnd::Microphone, Duration::from_millis(2501), &mut pace);
        let error = error.unwrap().to_string();
        assert!(error.contains("microphone \"Headset\"") && error.contains("does nothing"), "{error}");
    }

    #[test]
    fn a_device_that_runs_far_faster_than_sound_is_shut_off() {
        let device = device();
        let mut pace = PaceWindow::default();
        device.heartbeat.captured(48_000 + 4_800, Duration::ZERO);
        assert!(wrong_with(&device, SoundEnd::Microphone, Duration::from_millis(100), &mut pace).is_none());
        device.heartbeat.captured(2_000_000, Duration::ZERO);
        let error = wrong_with(&device, SoundEnd::Microphone, Duration::from_millis(100), &mut pace).unwrap();
        assert!(matches!(error, SoundCardError::Spinning { .. }));
        assert!(error.retry_after() > Duration::from_secs(10));
    }

    #[test]
    fn a_device_that_spins_after_an_hour_is_noticed_within_seconds_and_a_late_burst_is_none() {
        let mut pace = PaceWindow::default();
        let mut frames = 0;
        for second in 1..=3600 {
            frames += 48_000;
            assert!(!pace.is_too_fast(frames, 48_000, Duration::from_secs(second)));
        }
        // What a server kept back for two and a half seconds.
        frames += 120_000;
        assert!(!pace.is_too_fast(frames, 48_000, Duration::from_millis(3_600_100)));
        let noticed = (3601..3620).find(|second| {
            frames += 4 * 48_000;
            pace.is_too_fast(frames, 48_000, Duration::from_secs(*second))
        });
        assert!(noticed.is_some_and(|second| second <= 3610), "{noticed:?}");
    }
}
