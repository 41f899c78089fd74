//! One try with one device, on a thread of its own: find it, open it, hold the stream until told to stop or until it
//! breaks. Any call in here may block without end; the supervisor watches from outside and retries.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use cpal::traits::StreamTrait as _;
use tracing::{debug, warn};

use super::SoundEnd;
use super::devices::{self, Found};
use super::error::{SoundCardError, ends_the_stream, kills_the_stream};
use super::format::StreamShape;
use super::heartbeat::Heartbeat;
use super::host::{self, Host, HostKind};

/// How often it is looked whether another device should be in use. Sound servers move streams without a word.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// How long ALSA may wait for a period before cpal looks whether the device is still there.
const PERIOD_TIMEOUT: Duration = Duration::from_millis(500);

/// Words between threads that hardly ever speak; what finds no place is lost and nothing hangs on it.
const FEW: usize = 8;

/// How long the word that the server ended a stream may take: cpal asks every 100 ms.
const LAST_WORD: Duration = Duration::from_millis(300);

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

/// The running thread, seen by its supervisor. Dropped, it is told to end.
pub(super) struct Session<F> {
    thread: JoinHandle<()>,
    pub(super) events: Receiver<Event<F>>,
    leash: Leash,
}

/// Tells a session to end when it is dropped.
struct Leash(SyncSender<Control>);

impl Drop for Leash {
    fn drop(&mut self) {
        // A full queue holds reasons to end already.
        let _ = self.0.try_send(Control::Stop);
    }
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

impl Ending {
    /// The device went, and the stream with it unless the server moved that.
    fn is_gone(&self) -> bool {
        match self {
            Self::Superseded { gone } => *gone,
            Self::Failed(error) => matches!(error, SoundCardError::Unplugged { .. }),
            Self::Stopped => false,
        }
    }
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
        Ok(Self { thread, events, leash: Leash(control) })
    }

    /// Tells it to end, and hears it no more. Does not wait; the thread can be waited for.
    pub(super) fn stop(self) -> JoinHandle<()> {
        drop(self.leash);
        self.thread
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
            Err(error) => {
                self.tell(Event::Ended(Ending::Failed(error)));
                return;
            }
        };
        let (stream, opened, feed) = match self.open(&host) {
            Ok(open) => open,
            Err(error) => return self.end(&host, Ending::Failed(error)),
        };
        // Before `play`, which blocks until a microphone behind a sound server delivers something.
        if !self.tell(Event::Opened(opened.clone(), feed)) {
            // Given up while it opened, perhaps long ago: a microphone must not begin to listen now.
            return;
        }
        let (ending, is_killed) = match self.play_and_hold(&host, &stream, &opened) {
            Ok(ending) => (ending, false),
            Err(error) => {
                debug!(%error, kind = ?error.kind(), "the stream broke");
                let is_killed = kills_the_stream(&error);
                let by_server = host.kind == HostKind::Server;
                (Ending::Failed(SoundCardError::of_device(error, &opened.name, by_server)), is_killed)
            }
        };
        let patience = if ending.is_gone() { LAST_WORD } else { Duration::ZERO };
        self.end(&host, ending);
        let is_servers = host.kind == HostKind::Server && F::END == SoundEnd::Speaker;
        if is_servers && (is_killed || self.is_killed_within(patience)) {
            // The server ended this stream itself; cpal would wait without end for it to confirm the end. One that the
            // server only moved elsewhere is alive, and while it is the server takes none beside it on this connection.
            std::mem::forget(stream);
        }
    }

    /// Whether somebody hears it: nobody listens to a session that was given up.
    fn tell(&self, event: Event<F>) -> bool {
        self.events.try_send(event).is_ok()
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

    /// An error is cpal's word that the stream broke.
    fn play_and_hold(&self, host: &Host, stream: &OpenStream, opened: &Opened) -> Result<Ending, cpal::Error> {
        let by_server = host.kind == HostKind::Server;
        match self.orders.try_recv() {
            Ok(Control::Stop) => return Ok(Ending::Stopped),
            Ok(Control::Broken(error)) => return Err(error),
            Err(_) => {}
        }
        if let Err(error) = stream.play() {
            return Ok(Ending::Failed(SoundCardError::of_device(error, &opened.name, by_server)));
        }
        loop {
            match self.orders.recv_timeout(LOOK_AROUND) {
                Ok(Control::Stop) => return Ok(Ending::Stopped),
                Ok(Control::Broken(error)) => return Err(error),
                // Never: `broken` is a sender of this very channel.
                Err(RecvTimeoutError::Disconnected) => return Ok(Ending::Stopped),
                // The kernel's devices tell when they go; asking for them opens each card.
                Err(RecvTimeoutError::Timeout) if by_server || !opened.is_chosen => {
                    match self.superseded(host, opened) {
                        Ok(Some(ending)) => return Ok(ending),
                        Ok(None) => {}
                        Err(error) => return Ok(Ending::Failed(error)),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether the server is known to have ended the stream, now or within this time.
    fn is_killed_within(&self, patience: Duration) -> bool {
        let began = Instant::now();
        loop {
            match self.orders.recv_timeout(patience.saturating_sub(began.elapsed())) {
                Ok(Control::Broken(error)) if kills_the_stream(&error) => return true,
                Ok(Control::Broken(_) | Control::Stop) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
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
