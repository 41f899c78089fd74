//! The voice as the path allows it: what [`VoicePlan`] decides by the peer's reports is told to the encoder.

use ahoy_media::OpusEncoder;
use ahoy_media::audio::opus::{FRAME_SAMPLES, SHORT_FRAME_SAMPLES};
use ahoy_rtp::{VoicePlan, VoiceSettings};
use ahoy_transport::MediaSender;
use tracing::debug;

use super::super::shared::Shared;

/// How the voice is sent now.
pub(super) struct Protection {
    plan: VoicePlan,
    /// The newest report that was looked at.
    report: u64,
    /// As the encoder was told.
    settings: Option<VoiceSettings>,
}

impl Protection {
    /// For a path of which nothing is known.
    pub(super) fn new(sender: &MediaSender) -> Self {
        Self { plan: VoicePlan::new(sender.takes_copies()), report: 0, settings: None }
    }

    /// How long the next frame is to be.
    pub(super) fn frame_samples(&self) -> usize {
        let is_short = self.settings.is_some_and(|settings| settings.frame_ms < 20);
        if is_short { SHORT_FRAME_SAMPLES } else { FRAME_SAMPLES }
    }

    /// Whether the next packet is to carry a copy of the one before.
    pub(super) fn copies(&self) -> bool {
        self.settings.is_some_and(|settings| settings.copies)
    }

    /// Looks for news, between two frames.
    pub(super) fn follow(&mut self, sender: &MediaSender, encoder: &mut OpusEncoder, shared: &Shared) {
        self.plan.set_takes_copies(sender.takes_copies());
        self.plan.set_budget_bps(sender.voice_budget_bps());
        if let Some(round_trip) = sender.round_trip() {
            self.plan.note_round_trip(round_trip);
        }
        if let Some(report) = sender.reported().filter(|report| report.number != self.report) {
            self.report = report.number;
            self.plan.reported(shared.now(), report.lost, report.round_trip);
        }
        let settings = self.plan.settings();
        if self.settings == Some(settings) {
            return;
        }
        debug!(?settings, "the voice is sent otherwise");
        let set = encoder.set_bitrate_bps(settings.bitrate_bps);
        if let Err(error) = set.and_then(|()| encoder.set_expected_loss_percent(settings.loss_percent)) {
            debug!(%error, "the encoder goes on as it did");
        }
        self.settings = Some(settings);
    }
}
