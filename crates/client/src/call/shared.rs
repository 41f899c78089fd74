//! What the threads of one call share: the gate, the meters, and the way to tell.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ahoy_call::Gate;
use ahoy_protocol::control::Shown;
use ahoy_protocol::id::CallId;
use tokio::sync::{mpsc, watch};

use super::PeerReport;
use super::lip_sync::LipSync;
use super::meters::Meters;
use crate::event::{Event, Stamped};

/// No size has so many bits.
const UNKNOWN_SIZE: u64 = u64::MAX;

/// Shared by the task and the threads of a call.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) call: CallId,
    pub(crate) meters: Meters,
    pub(crate) lip_sync: LipSync,
    began: Instant,
    /// In microseconds; 0 is unknown.
    round_trip_us: AtomicU64,
    /// How large the other side shows the picture: width, height, 16 bits each; or [`UNKNOWN_SIZE`].
    shown: AtomicU64,
    gate: watch::Receiver<Gate>,
    reports: mpsc::Sender<PeerReport>,
    frames: Option<mpsc::Sender<Stamped>>,
}

impl Shared {
    pub(crate) fn new(
        call: CallId,
        gate: watch::Receiver<Gate>,
        reports: mpsc::Sender<PeerReport>,
        frames: Option<mpsc::Sender<Stamped>>,
    ) -> Self {
        Self {
            call,
            meters: Meters::default(),
            lip_sync: LipSync::default(),
            began: Instant::now(),
            round_trip_us: AtomicU64::new(0),
            shown: AtomicU64::new(UNKNOWN_SIZE),
            gate,
            reports,
            frames,
        }
    }

    /// The time since the call began: the one clock of all its threads.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// From here to the other side and back, once it is known.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        Some(self.round_trip_us.load(Ordering::Relaxed)).filter(|us| *us > 0).map(Duration::from_micros)
    }

    pub(crate) fn set_round_trip(&self, round_trip: Duration) {
        self.round_trip_us.store(u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The place in which the other side says that it shows the picture of this side, width and height in pixels; 0 of either
    /// while nobody sees it.
    pub(crate) fn shown(&self) -> Option<(u32, u32)> {
        let known = Some(self.shown.load(Ordering::Relaxed)).filter(|size| *size != UNKNOWN_SIZE)?;
        Some(((known >> 16) as u32, known as u32 & 0xffff))
    }

    pub(crate) fn set_shown(&self, Shown { width, height }: Shown) {
        self.shown.store(u64::from(width) << 16 | u64::from(height), Ordering::Relaxed);
    }

    /// What may be sent, played and shown at this moment. Asked before each picture and each block of sound: this is the
    /// place that obeys the gate.
    pub(crate) fn gate(&self) -> Gate {
        *self.gate.borrow()
    }

    /// Tells of a picture, if anybody asked for that; dropped when the owner lags a thousand events behind.
    pub(crate) fn tell_frame(&self, event: Event) {
        if let Some(frames) = &self.frames {
            let _ = frames.try_send(Stamped::now(event));
        }
    }

    /// Tells that something in the media failed.
    pub(crate) fn media_failed(&self, message: String) {
        self.tell(Event::MediaFailed { call: self.call, message });
    }

    /// Tells of something rare. From a thread, never from a task.
    pub(crate) fn tell(&self, event: Event) {
        // A full queue means a driver that is stuck; the event is worth less than the media thread's time.
        let _ = self.reports.try_send(PeerReport::Event(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_size_is_kept_as_it_was_told() {
        let (reports, _) = mpsc::channel(1);
        let (_, gate) = watch::channel(Gate::SHUT);
        let shared = Shared::new(CallId::from_random_bytes([1; 16]), gate, reports, None);
        assert_eq!(shared.shown(), None);
        for (width, height) in [(640, 480), (0, 0), (u16::MAX, 1), (1, u16::MAX), (u16::MAX, u16::MAX)] {
            shared.set_shown(Shown { width, height });
            assert_eq!(shared.shown(), Some((u32::from(width), u32::from(height))));
        }
    }
}
