//! What the threads of one call share: the gate, the meters, and the way to tell.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ahoy_call::Gate;
use ahoy_protocol::id::CallId;
use tokio::sync::{mpsc, watch};

use super::PeerReport;
use super::lip_sync::LipSync;
use super::meters::Meters;
use crate::event::{Event, Stamped};

/// Shared by the task and the threads of a call.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) call: CallId,
    pub(crate) meters: Meters,
    pub(crate) lip_sync: LipSync,
    began: Instant,
    /// In microseconds; 0 is unknown.
    round_trip_us: AtomicU64,
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
