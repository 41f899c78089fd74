//! One try with one device, on a thread of its own: find it, open it, hold the stream until told to stop or until it
//! breaks. Any call in here may block without end; the supervisor watches from outside and retries.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use cpal::traits::StreamTrait as _;
use tracing::{debug, warn};

use super::SoundEnd;
use super::devices::{self, Found};
use super::error::{SoundCardError, ends_the_stream};
use super::format::StreamShape;
use super::heartbeat::Heartbeat;
use super::host::{self, Host, HostKind};

/// How often it is looked whether another device should be in use. Sound servers move streams without a word.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// How long ALSA may wait for a period before cpal looks whether the device is still there.
const PERIOD_TIMEOUT: Duration = Duration::from_millis(500);

/// Words between threads that hardly ever speak; what finds no place is lost and nothing hangs on it.
const FEW: usize = 8;

/// A larger buffer is an audible delay.
const LONG_BUFFER_MS: u64 = 60;

/// The audio thread's end of an open stream.
pub(super) trait Feed: Sized + Send + 'static {
    /// What kind of device it is for.
    const END: SoundEnd;

    /// Builds a stream of this shape and its other end.
    fn build(
        device: &cpal::Device,
        shape: StreamShape,
        heartbeat: Arc<Heartbeat>,
        on_error: impl FnMut(cpal::Error) + Send + 'static,
        timeout: Option<Duration>,
    ) -> Result<(OpenStream, Self), cpal::Error>;
}

/// A stream, and perhaps one beside it that makes the server hand over the sound in smaller pieces.
pub(super) struct OpenStream {
    pub(super) stream: cpal::Stream,
    pub(super) hurry: Option<cpal::Stream>,
}

impl OpenStream {
    fn play(&self) -> Result<(), cpal::Error> {
        self.hurry.iter().chain([&self.stream]).try_for_each(cpal::Stream::play)
    }
}

/// The running thread, seen by its supervisor.
pub(super) struct Session<F> {
    pub(super) thread: JoinHandle<()>,
    pub(super) events: Receiver<Event<F>>,
    control: SyncSender<Control>,
}

/// What a session tells. A supervisor that has given it up hears nothing, and a late stream feeds nobody.
pub(super) enum Event<F> {
    /// The device is open; callbacks should come from now on.
    Opened(Opened, F),
    /// The stream is over; the thread ends once the system has let go of it.
    Ended(Ending),
}

/// A device that is open.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) is_chosen: bool,
    pub(super) rate_hz: u32,
    pub(super) heartbeat: Arc<Heartbeat>,
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// It was told to.
    Stopped,
    /// Another device should be in use: the chosen one is back, or this one is `gone`, or no longer the default.
    Superseded { gone: bool },
    /// It broke, or could not be opened.
    Failed(SoundCardError),
}

enum Control {
    Stop,
    Broken(cpal::Error),
}

impl<F: Feed> Session<F> {
    /// Starts a try with the device that `chosen` means now.
    pub(super) fn start(chosen: String) -> io::Result<Self> {
        let (control, orders) = sync_channel(FEW);
        let (events_in, events) = sync_channel(FEW);
        let broken = control.clone();
        let thread = Builder::new().name(format!("{}-stream", F::END)).spawn(move || {
            host::quiet();
            Run { chosen, orders, broken, events: events_in }.run();
        })?;
        Ok(Self { thread, events, control })
    }

    /// Tells it to end. Does not wait.
    pub(super) fn stop(&self) {
        // A full queue holds reasons to end already.
        let _ = self.control.try_send(Control::Stop);
    }
}

struct Run<F> {
    chosen: String,
    orders: Receiver<Control>,
    broken: SyncSender<Control>,
    events: SyncSender<Event<F>>,
}

impl<F: Feed> Run<F> {
    fn run(self) {
        let host = match host::connect() {
            Ok(host) => host,
            Err(error) => return self.tell(Event::Ended(Ending::Failed(error))),
        };
        let (stream, opened, feed) = match self.open(&host) {
            Ok(open) => open,
            Err(error) => return self.end(&host, Ending::Failed(error)),
        };
        // Before `play`, which blocks until a microphone behind a sound server delivers something.
        self.tell(Event::Opened(opened.clone(), feed));
        let ending = self.play_and_hold(&host, &stream, &opened);
        let by_server = host.kind == HostKind::Server;
        let was_killed = by_server && matches!(ending, Ending::Failed(SoundCardError::Unplugged { .. }));
        self.end(&host, ending);
        if was_killed && F::END == SoundEnd::Speaker {
            // The server ended this stream itself; cpal would wait without end for it to confirm the end.
            std::mem::forget(stream);
        }
    }

    fn tell(&self, event: Event<F>) {
        // Nobody listens to a session that was given up.
        let _ = self.events.try_send(event);
    }

    fn end(&self, host: &Host, ending: Ending) {
        if let Ending::Failed(SoundCardError::ServerGone) = ending {
            host::forget(host);
        }
        self.tell(Event::Ended(ending));
    }

    fn open(&self, host: &Host) -> Result<(OpenStream, Opened, F), SoundCardError> {
        let found = devices::find(host, F::END, &self.chosen)?;
        let in_words = |error| SoundCardError::of_device(error, &found.name, host.kind == HostKind::Server);
        let shape = StreamShape::of(&found.device, host.kind, F::END).map_err(in_words)?;
        let Some(shape) = shape else { return Err(SoundCardError::Format { name: found.name }) };
        let heartbeat = Arc::new(Heartbeat::new());
        let (stream, feed) = match self.build(host, &found, shape, &heartbeat) {
            // The device refuses the buffer rather than rounding it.
            Err(error) if error.kind() == cpal::ErrorKind::UnsupportedConfig => {
                self.build(host, &found, shape.with_its_own_buffer(), &heartbeat).map_err(in_words)?
            }
            built => built.map_err(in_words)?,
        };
        let Found { id, name, is_chosen, .. } = found;
        let StreamShape { config, format, .. } = shape;
        let rate_hz = config.sample_rate;
        let granted_ms =
            stream.stream.buffer_size().ok().map(|frames| u64::from(frames) * 1000 / u64::from(rate_hz.max(1)));
        if granted_ms.is_some_and(|ms| ms > LONG_BUFFER_MS) {
            warn!(end = %F::END, granted_ms, "the device has a long buffer; there will be a delay");
        }
        debug!(end = %F::END, id, name, rate_hz, channels = config.channels, %format, granted_ms, "a device is open");
        Ok((stream, Opened { id, name, is_chosen, rate_hz, heartbeat }, feed))
    }

    fn build(
        &self,
        host: &Host,
        found: &Found,
        shape: StreamShape,
        heartbeat: &Arc<Heartbeat>,
    ) -> Result<(OpenStream, F), cpal::Error> {
        let broken = self.broken.clone();
        let on_error = move |error: cpal::Error| {
            if ends_the_stream(&error) {
                let _ = broken.try_send(Control::Broken(error));
            }
        };
        // For a server it would bound the opening only, by a thread more; the supervisor does that.
        let timeout = (host.kind != HostKind::Server).then_some(PERIOD_TIMEOUT);
        F::build(&found.device, shape, Arc::clone(heartbeat), on_error, timeout)
    }

    fn play_and_hold(&self, host: &Host, stream: &OpenStream, opened: &Opened) -> Ending {
        let by_server = host.kind == HostKind::Server;
        let in_words = |error| SoundCardError::of_device(error, &opened.name, by_server);
        if let Err(error) = stream.play() {
            return Ending::Failed(in_words(error));
        }
        loop {
            match self.orders.recv_timeout(LOOK_AROUND) {
                Ok(Control::Stop) | Err(RecvTimeoutError::Disconnected) => return Ending::Stopped,
                Ok(Control::Broken(error)) => {
                    debug!(%error, kind = ?error.kind(), "the stream broke");
                    return Ending::Failed(in_words(error));
                }
                // The kernel's devices tell when they go; asking for them opens each card.
                Err(RecvTimeoutError::Timeout) if by_server || !opened.is_chosen => {
                    match self.superseded(host, opened) {
                        Ok(Some(ending)) => return ending,
                        Ok(None) => {}
                        Err(error) => return Ending::Failed(error),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn superseded(&self, host: &Host, opened: &Opened) -> Result<Option<Ending>, SoundCardError> {
        let wanted = devices::find(host, F::END, &self.chosen);
        match &wanted {
            Ok(wanted) if wanted.id == opened.id => return Ok(None),
            Ok(_) | Err(SoundCardError::NoDevice(_) | SoundCardError::NotConnected { .. }) => {}
            Err(_) => return wanted.map(|_| None),
        }
        let gone = !devices::is_connected(host, F::END, &opened.id)?;
        match (wanted, gone) {
            (Ok(_), gone) => Ok(Some(Ending::Superseded { gone })),
            (Err(_), true) => Err(SoundCardError::Unplugged { name: opened.name.clone() }),
            // Still there, though the server no longer calls any microphone its default.
            (Err(_), false) => Ok(None),
        }
    }
}
