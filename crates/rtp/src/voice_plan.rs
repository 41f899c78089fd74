//! How speech is to be sent over the path as it is: how long the frames, how many bits, how much twice. Decided anew with
//! each report of the peer's. It does not measure the path's rate; who does can say how much speech may take.

use std::time::Duration;

/// IP, UDP, SRTP and header extensions: what a packet takes besides what is in it, and what its copy's header takes.
const PACKET_BITS: u32 = 58 * 8;
const COPY_BITS: u32 = 5 * 8;

const SHORT_FRAME_MS: u32 = 10;
const FRAME_MS: u32 = 20;

/// Speech without audible loss of quality (RFC 7587 §3.1.1), and what it is brought to by and by on narrow paths.
const BITRATES_BPS: [u32; 4] = [32_000, 24_000, 16_000, 12_000];

/// How much of a rise, and of a fall, of the loss is believed in one report of fifty or a hundred packets.
const RISE: f32 = 0.5;
const FALL: f32 = 0.15;

/// Loss from which on packets are sent twice, and down to which they are.
const LOSSY: f32 = 0.01;
const CLEAN: f32 = 0.003;

/// From this percentage on libopus puts something of each frame into the next packet at our rates.
const LEAST_FEC_PERCENT: f32 = 10.0;

/// Copies that brought more than so much more loss were too much for the path. Judged after so many reports.
const WORSE_FACTOR: f32 = 1.5;
const WORSE_SHARE: f32 = 0.05;
const JUDGED_AFTER: u32 = 4;

/// A round trip that is longer by this than the shortest is a queue that stands: too much is sent. Below the other, none
/// stands.
const QUEUE: Duration = Duration::from_millis(150);
const NO_QUEUE: Duration = Duration::from_millis(50);

/// So much loss is taken for that of a narrow path as well.
const OVERFLOWING: f32 = 0.3;

/// The shortest round trip is forgotten by this with each report: the path may be a longer one now.
const FORGET: Duration = Duration::from_millis(2);

/// What was too much is tried again after this long, and after twice as long each time that it was too much again.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(160);

/// A change shows in the reports after this long.
const SETTLING: Duration = Duration::from_millis(1_500);

/// How speech is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoiceSettings {
    /// Sound in a packet: 10 or 20 ms.
    pub frame_ms: u32,
    /// Of the codec alone.
    pub bitrate_bps: u32,
    /// Send each frame once more in the packet after it (RFC 2198), if the peer takes that.
    pub copies: bool,
    /// What the codec should expect, where there are no copies; 0: no repair data.
    pub loss_percent: u32,
}

/// Decides on them. Without a clock: `now` is the time since any fixed moment.
#[derive(Debug)]
pub struct VoicePlan {
    takes_copies: bool,
    budget_bps: Option<u32>,
    /// The share of packets that is lost, smoothed.
    lost: f32,
    is_lossy: bool,
    trial: Trial,
    narrow: Narrow,
}

/// Whether copies do more good than harm.
#[derive(Debug)]
enum Trial {
    Off,
    /// Since so many reports, with so much loss before.
    On {
        reports: u32,
        before: f32,
    },
    /// They were too much.
    Banned {
        until: Duration,
    },
}

/// How narrow the path is, by the queue that stands in it.
#[derive(Debug, Default)]
struct Narrow {
    shortest: Option<Duration>,
    /// The place in [`BITRATES_BPS`].
    rung: usize,
    changed_at: Duration,
    /// How long no queue must stand before more is tried.
    wait: Duration,
    free_since: Option<Duration>,
}

impl VoicePlan {
    /// For a path of which nothing is known. `takes_copies`: whether the peer does.
    pub fn new(takes_copies: bool) -> Self {
        Self {
            takes_copies,
            budget_bps: None,
            lost: 0.0,
            is_lossy: false,
            trial: Trial::Off,
            narrow: Narrow { wait: FIRST_WAIT, ..Narrow::default() },
        }
    }

    /// Whether the peer takes copies, as was agreed on last.
    pub fn set_takes_copies(&mut self, takes_copies: bool) {
        self.takes_copies = takes_copies;
    }

    /// How long the path takes there and back, as somebody knows before any report: no queue of ours stands then.
    pub fn note_round_trip(&mut self, round_trip: Duration) {
        let shortest = self.narrow.shortest.get_or_insert(round_trip);
        *shortest = round_trip.min(*shortest);
    }

    /// How much speech may take on the path, headers and all; `None` where nobody knows. Less than the least that speech
    /// can do with changes nothing more.
    pub fn set_budget_bps(&mut self, budget_bps: Option<u32>) {
        self.budget_bps = budget_bps;
    }

    /// A report came: of the packets since the last, the share `lost` was.
    pub fn reported(&mut self, now: Duration, lost: f32, round_trip: Option<Duration>) {
        let lost = if lost.is_finite() { lost.clamp(0.0, 1.0) } else { 0.0 };
        self.lost += (lost - self.lost) * if lost > self.lost { RISE } else { FALL };
        self.is_lossy = self.lost > if self.is_lossy { CLEAN } else { LOSSY };
        if let Some(round_trip) = round_trip.filter(|_| self.budget_bps.is_none()) {
            self.narrow.measured(now, round_trip, self.lost);
        }
        self.trial.reported(now, self.is_lossy, lost, self.lost);
    }

    /// How to send from now on.
    pub fn settings(&self) -> VoiceSettings {
        let ladder = &BITRATES_BPS[self.narrow.rung.min(BITRATES_BPS.len() - 1)..];
        let is_wide = self.narrow.rung == 0;
        let wants_copies = is_wide && self.takes_copies && matches!(self.trial, Trial::On { .. });
        let copied =
            VoiceSettings { frame_ms: SHORT_FRAME_MS, bitrate_bps: BITRATES_BPS[0], copies: true, loss_percent: 0 };
        let plain = |bitrate_bps: &u32| VoiceSettings {
            bitrate_bps: *bitrate_bps,
            frame_ms: FRAME_MS,
            copies: false,
            ..copied
        };
        // Half as long frames delay by half. Only longer ones carry repair data that is of use, and a peer that takes no
        // copies may be one of those that count on 20 ms in each packet.
        let has_short = is_wide && self.takes_copies;
        let short = VoiceSettings { frame_ms: SHORT_FRAME_MS, ..plain(&BITRATES_BPS[0]) };
        let choices = [
            wants_copies.then_some(copied),
            wants_copies.then_some(VoiceSettings { frame_ms: FRAME_MS, ..copied }),
            (has_short && !wants_copies).then_some(short),
        ];
        let choices = choices.into_iter().flatten().chain(ladder.iter().map(plain));
        let fits =
            |settings: &VoiceSettings| self.budget_bps.is_none_or(|budget_bps| settings.total_bps() <= budget_bps);
        let least = plain(&BITRATES_BPS[BITRATES_BPS.len() - 1]);
        let settings = choices.into_iter().find(fits).unwrap_or(least);
        let loss_percent = (self.lost * 100.0).clamp(LEAST_FEC_PERCENT, 50.0) as u32;
        let needs_fec = self.is_lossy && !settings.copies;
        VoiceSettings { loss_percent: if needs_fec { loss_percent } else { 0 }, ..settings }
    }
}

impl VoiceSettings {
    /// What it takes on the path, headers and all.
    pub fn total_bps(&self) -> u32 {
        let packets = 1_000 / self.frame_ms.max(1);
        let copies = if self.copies { self.bitrate_bps + packets * COPY_BITS } else { 0 };
        packets * PACKET_BITS + self.bitrate_bps + copies
    }
}

impl Trial {
    fn reported(&mut self, now: Duration, is_lossy: bool, lost: f32, smoothed: f32) {
        match self {
            Self::Off if is_lossy => *self = Self::On { reports: 0, before: smoothed.max(lost) },
            Self::On { .. } if !is_lossy => *self = Self::Off,
            Self::On { reports, before } => {
                *reports = reports.saturating_add(1);
                // Later on it is the path that became worse.
                if *reports == JUDGED_AFTER && smoothed > *before * WORSE_FACTOR + WORSE_SHARE {
                    *self = Self::Banned { until: now + FIRST_WAIT };
                }
            }
            Self::Banned { until } if now < *until => {}
            Self::Banned { .. } => *self = Self::Off,
            Self::Off => {}
        }
    }
}

impl Narrow {
    fn measured(&mut self, now: Duration, round_trip: Duration, lost: f32) {
        let shortest = self.shortest.map_or(round_trip, |shortest| (shortest + FORGET).min(round_trip));
        self.shortest = Some(shortest);
        let queue = round_trip - shortest;
        if queue > NO_QUEUE || lost > OVERFLOWING {
            self.free_since = None;
        }
        if now < self.changed_at + SETTLING {
            return;
        }
        if (queue > QUEUE || lost > OVERFLOWING) && self.rung + 1 < BITRATES_BPS.len() {
            // More was tried a short while ago and was too much.
            if self.changed_at > Duration::ZERO && now < self.changed_at + self.wait {
                self.wait = (self.wait * 2).min(LONGEST_WAIT);
            }
            self.rung += 1;
            self.changed_at = now;
        } else if queue <= NO_QUEUE && lost <= OVERFLOWING && self.rung > 0 {
            let free_since = *self.free_since.get_or_insert(now);
            if now - free_since >= self.wait {
                self.rung -= 1;
                self.changed_at = now;
                self.free_since = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RTT: Option<Duration> = Some(Duration::from_millis(40));

    /// Reports of each second, all alike.
    fn report(
        plan: &mut VoicePlan,
        from_s: u32,
        seconds: u32,
        lost: f32,
        round_trip: Option<Duration>,
    ) -> VoiceSettings {
        (from_s..from_s + seconds).for_each(|at| plan.reported(SECOND * at, lost, round_trip));
        plan.settings()
    }

    #[test]
    fn a_clean_path_carries_short_frames_once_and_nothing_for_repair() {
        let settings = report(&mut VoicePlan::new(true), 0, 10, 0.0, RTT);
        let expected = VoiceSettings { frame_ms: 10, bitrate_bps: 32_000, copies: false, loss_percent: 0 };
        assert_eq!(settings, expected);
    }

    #[test]
    fn loss_is_met_with_copies_at_the_first_report_and_for_as_long_as_it_lasts() {
        let mut plan = VoicePlan::new(true);
        assert!(report(&mut plan, 0, 1, 0.05, RTT).copies);
        assert!(report(&mut plan, 1, 60, 0.2, RTT).copies, "more loss later on is not for the copies");
        assert!(report(&mut plan, 61, 5, 0.0, RTT).copies, "a clean second or two is chance");
        assert!(!report(&mut plan, 66, 60, 0.0, RTT).copies);
    }

    #[test]
    fn a_peer_that_takes_no_copies_gets_longer_frames_with_repair_data() {
        let mut plan = VoicePlan::new(false);
        let settings = report(&mut plan, 0, 20, 0.2, RTT);
        assert_eq!((settings.frame_ms, settings.copies), (20, false));
        assert!((15..=20).contains(&settings.loss_percent), "{settings:?}");
        assert_eq!(report(&mut VoicePlan::new(false), 0, 5, 0.02, RTT).loss_percent, 10);
    }

    #[test]
    fn copies_that_bring_more_loss_are_taken_back_for_a_while() {
        let mut plan = VoicePlan::new(true);
        assert!(report(&mut plan, 0, 1, 0.04, RTT).copies);
        assert!(!report(&mut plan, 1, 6, 0.3, RTT).copies);
        assert!(!report(&mut plan, 7, 5, 0.04, RTT).copies);
        assert!(report(&mut plan, 12, 10, 0.04, RTT).copies);
    }

    #[test]
    fn a_queue_that_stands_is_met_with_less_and_less_and_more_is_tried_when_it_is_gone() {
        let mut plan = VoicePlan::new(true);
        report(&mut plan, 0, 3, 0.0, RTT);
        let queued = Some(Duration::from_millis(900));
        let settings = report(&mut plan, 3, 12, 0.15, queued);
        assert_eq!((settings.frame_ms, settings.bitrate_bps, settings.copies), (20, 12_000, false));
        assert!(settings.total_bps() < 40_000);
        assert_eq!(report(&mut plan, 15, 200, 0.0, RTT).bitrate_bps, 32_000);
    }

    #[test]
    fn a_path_that_overflows_without_a_queue_is_narrow_too_and_a_queue_from_the_first_report_on_is_seen() {
        let mut plan = VoicePlan::new(true);
        assert!(report(&mut plan, 0, 12, 0.4, RTT).total_bps() < 40_000);
        let mut plan = VoicePlan::new(true);
        plan.note_round_trip(Duration::from_millis(40));
        assert!(report(&mut plan, 1, 12, 0.2, Some(Duration::from_millis(340))).total_bps() < 40_000);
    }

    #[test]
    fn what_was_too_much_again_is_tried_ever_more_seldom() {
        let mut plan = VoicePlan::new(true);
        let mut raised = Vec::new();
        let mut before = 32_000;
        for at in 0..600 {
            // More than the second rung takes is too much.
            let round_trip = if plan.settings().total_bps() > 48_000 { 600 } else { 40 };
            plan.reported(SECOND * at, 0.0, Some(Duration::from_millis(if at == 0 { 40 } else { round_trip })));
            let now = plan.settings().bitrate_bps;
            if now > before {
                raised.push(at);
            }
            before = now;
        }
        assert!((2..=10).contains(&raised.len()), "{raised:?}");
    }

    #[test]
    fn no_more_is_taken_than_is_allowed_but_for_the_least_that_speech_needs() {
        for lost in [0.0, 0.1] {
            let mut plan = VoicePlan::new(true);
            report(&mut plan, 0, 3, lost, RTT);
            let mut last = 0;
            for budget_bps in (20_000..300_000).step_by(5_000) {
                plan.set_budget_bps(Some(budget_bps));
                let settings = plan.settings();
                assert!(settings.total_bps() <= budget_bps.max(36_000), "{budget_bps}: {settings:?}");
                assert!(settings.total_bps() >= last, "{budget_bps}: {settings:?}");
                last = settings.total_bps();
            }
            assert_eq!(plan.settings().copies, lost > 0.0);
        }
    }

    #[test]
    fn nonsense_in_reports_changes_nothing_for_good() {
        let mut plan = VoicePlan::new(true);
        for (lost, round_trip) in [(f32::NAN, None), (-3.0, Some(Duration::MAX / 4)), (f32::INFINITY, RTT), (7.0, RTT)]
        {
            plan.reported(SECOND, lost, round_trip);
            assert!(plan.settings().total_bps() > 0);
        }
        assert_eq!(report(&mut plan, 2, 200, 0.0, RTT).bitrate_bps, 32_000);
    }
}
