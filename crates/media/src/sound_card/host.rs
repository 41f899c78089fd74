//! Which of cpal's hosts is used: on Linux the sound server when one answers (PipeWire answers as PulseAudio too), else
//! ALSA; elsewhere the system's only one. Everything here may block; callers have a thread that can be abandoned.

use std::sync::Arc;

use super::error::SoundCardError;

/// The way to the sound system.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) cpal: Arc<cpal::Host>,
    pub(super) kind: HostKind,
}

/// What the hosts differ in for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostKind {
    /// PulseAudio's protocol: many programs share a device, streams move between devices.
    Server,
    /// Devices of the kernel among the plug-ins of a library.
    Alsa,
    /// WASAPI, CoreAudio.
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "Linux has the two above"))]
    System,
}

#[cfg(target_os = "linux")]
pub(super) use linux::{connect, forget, quiet};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{connect, forget, quiet};

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::{Duration, Instant};

    use cpal::HostId;

    use super::{Host, HostKind, SoundCardError};

    /// cpal gives up on a server that accepts but does not answer after two seconds, and leaves a thread behind.
    const UNANSWERED: Duration = Duration::from_secs(1);

    /// The longest pause after such a try; the first is one second, each next one twice as long.
    const LONGEST_PAUSE: Duration = Duration::from_secs(60);

    /// The one connection to the sound server that all devices share: each of cpal's would keep its thread and its
    /// place at the server (which has 64) until the server ends.
    static SERVER: Mutex<Server> =
        Mutex::new(Server { connection: None, answered: false, pause: Duration::ZERO, not_before: None });

    struct Server {
        connection: Option<Arc<cpal::Host>>,
        /// There is one on this machine; ALSA would take the devices away from it while it restarts.
        answered: bool,
        pause: Duration,
        not_before: Option<Instant>,
    }

    /// The host to use now.
    pub(in super::super) fn connect() -> Result<Host, SoundCardError> {
        // Whoever panicked while holding it left it whole: it is written in single steps.
        let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cpal) = &server.connection {
            return Ok(Host { cpal: Arc::clone(cpal), kind: HostKind::Server });
        }
        if let Some(cpal) = server.connect() {
            return Ok(Host { cpal, kind: HostKind::Server });
        }
        if server.answered {
            return Err(SoundCardError::ServerGone);
        }
        let alsa = cpal::host_from_id(HostId::Alsa).map_err(SoundCardError::NoSystem)?;
        Ok(Host { cpal: Arc::new(alsa), kind: HostKind::Alsa })
    }

    impl Server {
        fn connect(&mut self) -> Option<Arc<cpal::Host>> {
            let began = Instant::now();
            if self.not_before.is_some_and(|time| began < time) {
                return None;
            }
            match cpal::host_from_id(HostId::PulseAudio) {
                Ok(host) => {
                    let host = Arc::new(host);
                    self.connection = Some(Arc::clone(&host));
                    self.answered = true;
                    self.pause = Duration::ZERO;
                    Some(host)
                }
                Err(error) => {
                    tracing::debug!(%error, "no connection to a sound server");
                    if began.elapsed() > UNANSWERED {
                        self.pause = (self.pause * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE);
                        self.not_before = Instant::now().checked_add(self.pause);
                    }
                    None
                }
            }
        }
    }

    /// The connection turned out to be broken; the next [`connect`] makes a new one.
    pub(in super::super) fn forget(host: &Host) {
        let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        if server.connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, &host.cpal)) {
            server.connection = None;
        }
    }

    /// Keeps libasound from writing to standard error on this thread.
    pub(in super::super) fn quiet() {
        if let Err(error) = alsa::Output::local_error_handler() {
            tracing::debug!(%error, "libasound stays talkative");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::sync::Arc;

    use super::{Host, HostKind, SoundCardError};

    /// The host to use now.
    pub(in super::super) fn connect() -> Result<Host, SoundCardError> {
        Ok(Host { cpal: Arc::new(cpal::default_host()), kind: HostKind::System })
    }

    /// Nothing is kept between two calls of [`connect`].
    pub(in super::super) fn forget(_host: &Host) {}

    /// The system's libraries are quiet.
    pub(in super::super) fn quiet() {}
}
