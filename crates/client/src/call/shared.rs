//! What the threads of one call share: the gate, the meters, and the way to tell.

use ahoy_call::Gate;
use ahoy_protocol::id::CallId;
use tokio::sync::{mpsc, watch};

use super::PeerReport;
use super::meters::Meters;
use crate::event::{Event, Stamped};

/// Shared by the task and the threads of a call.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) call: CallId,
    pub(crate) meters: Meters,
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
        Self { call, meters: Meters::default(), gate, reports, frames }
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
