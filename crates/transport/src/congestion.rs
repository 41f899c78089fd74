//! What is known of the path's rate, shared by the interceptor that measures it and by those who encode for it.

use ahoy_rtp::{CongestionControl, PacketReport};
use std::time::Duration;

/// Over how long it is measured what sound takes.
const WINDOW: Duration = Duration::from_millis(500);

/// Of the rate left for pictures: what their packets' headers take, a part and so many bits a second.
const PAYLOAD_SHARE: f64 = 0.93;
const HEADERS_BPS: f64 = 10_000.0;

/// With less, a picture is not worth its bits; and where the voice needs them, it gets them.
const MIN_PICTURE_BPS: f64 = 20_000.0;

/// Where nothing leaves nothing is learned of the path. Who does not talk sends no sound; then a picture asks after this
/// how much it carries now, and none would ever come again otherwise.
const ASK_AFTER: Duration = Duration::from_secs(1);

/// What the voice may take at least, before its share of the whole.
const VOICE_BPS: u64 = 100_000;
const VOICE_SHARE: f64 = 0.4;

/// What may be spent on the next picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureBudget {
    /// Bits a second for coded pictures, without headers. 0: there is nothing left for them.
    pub bitrate_bps: u32,
    /// How long a picture sent now would wait on its way.
    pub wait: Duration,
    /// A picture only asks whether a path that is silent answers again. It should be small, and still several packets:
    /// each of them that gets through is an answer.
    pub is_asking: bool,
}

/// The state of the path.
#[derive(Debug)]
pub(crate) struct Congestion {
    control: CongestionControl,
    now: Duration,
    /// Bytes that wait to leave.
    queued: usize,
    others: Others,
}

/// What is not pictures. Those that are sent again are: they wait on their way like any, and what waits is in the budget.
#[derive(Debug, Default)]
struct Others {
    since: Duration,
    bytes: usize,
    bps: f64,
}

impl Congestion {
    pub(crate) fn new() -> Self {
        Self { control: CongestionControl::new(), now: Duration::ZERO, queued: 0, others: Others::default() }
    }

    /// The path is one that carried so much in an earlier connection.
    pub(crate) fn start_from(&mut self, last_known_bps: u64) {
        self.control.start_from(last_known_bps);
    }

    /// Goes on to `now`, the time since the connection began.
    pub(crate) fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        let passed = self.now.saturating_sub(self.others.since);
        if passed >= WINDOW {
            let bps = self.others.bytes as f64 * 8.0 / passed.as_secs_f64();
            self.others = Others { since: self.now, bytes: 0, bps };
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    pub(crate) fn control(&self) -> &CongestionControl {
        &self.control
    }

    pub(crate) fn set_queued(&mut self, bytes: usize) {
        self.queued = bytes;
    }

    pub(crate) fn sent(&mut self, number: u16, bytes: usize, is_picture: bool) {
        self.control.sent(self.now, number, bytes);
        if !is_picture {
            self.others.bytes += bytes;
        }
    }

    pub(crate) fn reported(&mut self, reports: &[PacketReport]) {
        self.control.reported(self.now, reports);
    }

    pub(crate) fn picture_budget(&self) -> PictureBudget {
        let left = (self.control.target_bps() as f64 - self.others.bps) * PAYLOAD_SHARE - HEADERS_BPS;
        let bitrate_bps = match left {
            enough if enough >= MIN_PICTURE_BPS => enough as u32,
            _ if self.control.idle(self.now) >= ASK_AFTER => MIN_PICTURE_BPS as u32,
            _ => 0,
        };
        let queued_us = self.queued as u64 * 8_000_000 / self.control.capacity_bps().max(1);
        let wait = self.control.wait(self.now) + Duration::from_micros(queued_us);
        PictureBudget { bitrate_bps, wait, is_asking: self.control.is_asking(self.now) }
    }

    /// What the voice may take, headers and all, once it is known what the path carries.
    pub(crate) fn voice_budget_bps(&self) -> Option<u32> {
        let target = self.control.target_bps();
        let share = ((target as f64 * VOICE_SHARE) as u64).max(VOICE_BPS.min(target));
        self.control.is_known().then(|| u32::try_from(share).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_too_narrow_for_pictures_is_asked_by_one_now_and_then_while_nobody_talks() {
        let mut congestion = Congestion::new();
        let at = Duration::from_millis;
        let leave = |congestion: &mut Congestion, ms, number, bytes, is_picture| {
            congestion.advance(at(ms));
            congestion.sent(number, bytes, is_picture);
        };
        for number in 0..10 {
            leave(&mut congestion, 0, number, 1_000, true);
        }
        congestion.advance(at(2_500));
        let arrived = |number| Some(at(20 + 250 * u64::from(number)));
        let reports: Vec<_> = (0..10).map(|number| PacketReport { number, arrived: arrived(number) }).collect();
        congestion.reported(&reports);
        assert_eq!(congestion.control().capacity_bps(), 32_000);
        let budget = |congestion: &mut Congestion, ms| {
            congestion.advance(at(ms));
            congestion.picture_budget().bitrate_bps
        };
        // The voice asks too, and must not wait for pictures.
        for number in 10..160 {
            let ms = 2_500 + 20 * u64::from(number);
            leave(&mut congestion, ms, number, 60, false);
            assert_eq!(budget(&mut congestion, ms), 0);
        }
        let last = 2_500 + 20 * 159;
        assert_eq!(budget(&mut congestion, last + 999), 0);
        assert_eq!(budget(&mut congestion, last + 1_000), 20_000);
        leave(&mut congestion, last + 1_000, 160, 500, true);
        assert_eq!(budget(&mut congestion, last + 1_010), 0);
        assert_eq!(budget(&mut congestion, last + 2_000), 20_000);
    }
}
