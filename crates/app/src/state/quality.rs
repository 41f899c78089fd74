//! How the call does: figures of the last second, and a sentence while it is not good. Bad news comes within two
//! seconds, good news slowly, so that nothing flickers.

use ahoy_client::Stats;

use crate::view::QualityView;

/// Below this nobody hears or sees it, with repair; above twice this everybody does.
const LOST_SHOWN_PERCENT: f32 = 5.0;
/// A sentence stays until it is clearly better.
const LOST_GONE_PERCENT: f32 = 2.0;
/// People begin to talk at the same time: ITU-T G.114 wants less than 400 ms one way, and most notice less than that.
const ROUND_TRIP_SHOWN_MS: f32 = 500.0;
const ROUND_TRIP_GONE_MS: f32 = 400.0;
/// Packets a second that find no room on this machine.
const DROPPED_SHOWN: f32 = 20.0;
const DROPPED_GONE: f32 = 5.0;
/// How much of a worse value, and of a better one, counts at once.
const WORSE_PART: f32 = 0.7;
const BETTER_PART: f32 = 0.25;

/// Follows one call.
#[derive(Debug, Default)]
pub(super) struct Quality {
    last: Option<Stats>,
    lost_in: Gauge,
    lost_out: Gauge,
    round_trip: Gauge,
    dropped: Gauge,
}

/// A value that rises fast, falls slowly, and is bad from one threshold up until another down.
#[derive(Debug, Default)]
struct Gauge {
    value: f32,
    bad: bool,
}

impl Gauge {
    fn take(&mut self, value: f32, shown: f32, gone: f32) {
        let part = if value > self.value { WORSE_PART } else { BETTER_PART };
        self.value += part * (value - self.value);
        self.bad = self.value >= if self.bad { gone } else { shown };
    }
}

impl Quality {
    /// Takes the figures of a second, counted from the call's beginning. `None` after the first: a second needs two.
    pub(super) fn take(&mut self, stats: &Stats, name: &str) -> Option<QualityView> {
        let last = self.last.replace(*stats)?;
        let received = stats.packets_received.saturating_sub(last.packets_received);
        let lost = u64::try_from(stats.packets_lost.saturating_sub(last.packets_lost)).unwrap_or(0);
        let lost_percent = percent(lost, received.saturating_add(lost));
        let lost_out = stats.sound_lost_by_peer.max(stats.picture_lost_by_peer) * 100.0;
        let dropped = stats.packets_dropped_here.saturating_sub(last.packets_dropped_here);
        self.lost_in.take(lost_percent, LOST_SHOWN_PERCENT, LOST_GONE_PERCENT);
        self.lost_out.take(finite(lost_out), LOST_SHOWN_PERCENT, LOST_GONE_PERCENT);
        self.dropped.take(dropped as f32, DROPPED_SHOWN, DROPPED_GONE);
        let round_trip = stats.rtt_ms.map(|ms| finite(ms as f32));
        if let Some(ms) = round_trip {
            self.round_trip.take(ms, ROUND_TRIP_SHOWN_MS, ROUND_TRIP_GONE_MS);
        }
        let bits = |now: u64, before: u64| narrow(now.saturating_sub(before).saturating_mul(8));
        Some(QualityView {
            sentence: self.sentence(name),
            round_trip_ms: round_trip.map(|ms| ms.round() as u32),
            lost_percent,
            sound_delay_ms: finite(stats.sound_delay_ms as f32).round() as u32,
            fps: narrow(stats.frames_shown.saturating_sub(last.frames_shown)),
            received_bps: bits(stats.received_bytes, last.received_bytes),
            sent_bps: bits(stats.sent_bytes, last.sent_bytes),
        })
    }

    /// The worst, and whose it seems to be: what is lost one way is mostly lost where it is sent from, since
    /// connections carry less up than down.
    fn sentence(&self, name: &str) -> Option<String> {
        let (lost_in, lost_out) = (self.lost_in.value.round(), self.lost_out.value.round());
        if self.dropped.bad {
            return Some("This computer is too busy to keep up with the call.".into());
        }
        match (self.lost_in.bad, self.lost_out.bad) {
            (true, true) => Some(format!(
                "The network is losing part of the call: {lost_in} % of what {name} sends, {lost_out} % of what you \
                 send."
            )),
            (true, false) => Some(format!("{name}'s network seems weak: {lost_in} % of what {name} sends is lost.")),
            (false, true) => Some(format!("Your network seems weak: {lost_out} % of what you send is lost.")),
            (false, false) => self
                .round_trip
                .bad
                .then(|| format!("The delay is high: {} ms to {name} and back.", self.round_trip.value.round())),
        }
    }
}

fn percent(part: u64, whole: u64) -> f32 {
    if whole == 0 { 0.0 } else { part as f32 * 100.0 / whole as f32 }
}

/// A figure that the other side may have made up.
fn finite(value: f32) -> f32 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use ahoy_client::CallId;

    use super::*;

    pub(crate) fn stats(call: CallId) -> Stats {
        Stats {
            call,
            rtt_ms: None,
            available_send_bps: None,
            sent_bytes: 0,
            received_bytes: 0,
            packets_received: 0,
            packets_lost: 0,
            packets_recovered: 0,
            packets_nacked: 0,
            packets_lost_by_peer: 0,
            packets_resent: 0,
            sound_lost_by_peer: 0.0,
            picture_lost_by_peer: 0.0,
            packets_dropped_here: 0,
            frames_captured: 0,
            frames_sent: 0,
            frames_shown: 0,
            key_frames_requested: 0,
            concealed_ms: 0,
            recovered_ms: 0,
            sound_delay_ms: 0.0,
            sound_early_ms: None,
        }
    }

    /// What one second is like.
    type Second = fn(&mut Stats);

    /// What is said after each of these seconds.
    fn said(seconds: &[Second]) -> Vec<Option<String>> {
        let mut now = stats(CallId::from_random_bytes([1; 16]));
        let mut quality = Quality::default();
        assert_eq!(quality.take(&now, "bob"), None, "a second needs two readings");
        let mut said = Vec::new();
        for second in seconds {
            now.packets_received += 100;
            second(&mut now);
            said.push(quality.take(&now, "bob").unwrap().sentence);
        }
        said
    }

    fn good(now: &mut Stats) {
        now.rtt_ms = Some(40.0);
        now.sound_lost_by_peer = 0.0;
    }

    fn lossy_in(now: &mut Stats) {
        now.packets_received -= 20;
        now.packets_lost += 20;
    }

    #[test]
    fn figures_are_those_of_the_last_second() {
        let mut now = stats(CallId::from_random_bytes([1; 16]));
        let mut quality = Quality::default();
        quality.take(&now, "bob");
        now.received_bytes = 125_000;
        now.sent_bytes = 12_500;
        now.frames_shown = 30;
        now.packets_received = 97;
        now.packets_lost = 3;
        now.rtt_ms = Some(41.6);
        now.sound_delay_ms = 62.4;
        let view = quality.take(&now, "bob").unwrap();
        assert_eq!((view.received_bps, view.sent_bps, view.fps), (1_000_000, 100_000, 30));
        assert_eq!((view.lost_percent, view.round_trip_ms, view.sound_delay_ms), (3.0, Some(42), 62));
        assert_eq!(view.sentence, None);
    }

    #[test]
    fn bad_news_comes_at_once_and_goes_slowly() {
        let seconds: Vec<Second> =
            [good, lossy_in].into_iter().chain(std::iter::repeat_n(good as Second, 12)).collect();
        let said = said(&seconds);
        assert_eq!(said[0], None);
        assert!(said[1].as_ref().unwrap().contains("bob's network"), "{said:?}");
        assert!(said[3].is_some(), "not gone after two good seconds: {said:?}");
        assert_eq!(said[13], None, "gone in the end: {said:?}");
    }

    #[test]
    fn the_cause_is_named() {
        let seconds: [(Second, &str); 4] = [
            (|now| now.sound_lost_by_peer = 0.3, "Your network"),
            (
                |now| {
                    lossy_in(now);
                    now.picture_lost_by_peer = 0.2;
                },
                "The network is losing",
            ),
            (|now| now.rtt_ms = Some(900.0), "delay"),
            (|now| now.packets_dropped_here += 500, "too busy"),
        ];
        for (second, words) in seconds {
            let said = said(&[good, second, second]);
            assert!(said[2].as_ref().is_some_and(|sentence| sentence.contains(words)), "{words}: {said:?}");
        }
    }

    #[test]
    fn figures_that_a_peer_made_up_do_no_harm() {
        let mut now = stats(CallId::from_random_bytes([1; 16]));
        let mut quality = Quality::default();
        quality.take(&now, "bob");
        now.packets_lost = i64::MIN;
        now.sound_lost_by_peer = f32::NAN;
        now.rtt_ms = Some(f64::INFINITY);
        now.received_bytes = u64::MAX;
        let view = quality.take(&now, "bob").unwrap();
        assert_eq!((view.lost_percent, view.round_trip_ms, view.received_bps), (0.0, Some(0), u32::MAX));
        now.packets_lost = i64::MAX;
        assert!(quality.take(&now, "bob").unwrap().lost_percent.is_finite());
    }
}
