//! The other side's sender reports, on their way to the lip sync.

use std::time::Instant;

use ahoy_rtp::SenderReport;
use ahoy_transport::{Peer, Track};
use tokio::sync::watch;

use super::super::lip_sync::LipSync;

type Latest = watch::Receiver<Option<(SenderReport, Instant)>>;

/// The newest report of sound and of pictures.
pub(super) struct Reports {
    sound: Latest,
    picture: Latest,
}

impl Reports {
    pub(super) fn of(peer: &Peer) -> Self {
        Self { sound: peer.sender_reports(Track::Microphone), picture: peer.sender_reports(Track::Camera) }
    }

    /// Passes on what has come since.
    pub(super) fn pass_on(&mut self, lip_sync: &LipSync) {
        if let Some(report) = fresh(&mut self.sound) {
            lip_sync.sound_reported(report);
        }
        if let Some(report) = fresh(&mut self.picture) {
            lip_sync.picture_reported(report);
        }
    }
}

fn fresh(latest: &mut Latest) -> Option<SenderReport> {
    // Without a sender left, nothing new will come.
    if !latest.has_changed().unwrap_or(false) {
        return None;
    }
    latest.borrow_and_update().map(|(report, _)| report)
}
