//! Lip sync: when to show a picture so that it is seen when its sound is heard or a little before, and how long the sound
//! should wait where pictures take longer. Decides only; holding pictures is the caller's, and sound is held by the jitter buffer.

mod sender_clock;

use std::time::Duration;

use crate::clock::{AUDIO_CLOCK_HZ, VIDEO_CLOCK_HZ};
use crate::sender_report::SenderReport;
use sender_clock::{SenderClock, Told};

/// No picture is held for longer than this, whatever the other side's clocks say.
pub const MAX_HOLD: Duration = Duration::from_millis(400);

/// Sound is not asked to wait for longer than this: a conversation suffers more from delay than from bad sync.
pub const MAX_SOUND_DELAY: Duration = Duration::from_millis(300);

/// How much earlier than its picture sound may be without being delayed. It is noticed from 45 ms on, late sound from
/// 125 ms on (ITU-R BT.1359-1); the rest is for pictures that are later than most.
const LEAD_US: i64 = 20 * MS;

/// How much earlier than its sound a picture is shown, where it is ready by then: sound that is late is noticed from 125 ms on
/// (ITU-R BT.1359-1), so waiting for it to the last would only make the picture late. Not more, so that with what the
/// reports and the clocks are off the two stay within 45 ms of each other either way.
const EARLY_US: i64 = 25 * MS;

/// Pictures are played up to 15 % faster or slower, which nobody sees, to get to where they should be.
const PICTURE_SLEW_US: i64 = 150 * MS;

/// How fast the delay of the sound is raised and lowered, a second. The voice is stretched by that much.
const RAISE_US: i64 = 50 * MS;
const LOWER_US: i64 = 20 * MS;

/// The sound's delay is not lowered for less than this, so that it comes to rest.
const IDLE_US: i64 = 10 * MS;

/// Sound and picture further apart than this are not of one moment: a clock that is wrong or a stream that stands
/// still.
const MAX_APART_US: i64 = 1_000 * MS;

/// Sound not heard and pictures not seen for this long have stopped; then there is nothing to be in step with.
const STOPPED_US: i64 = 2_000 * MS;

/// Time over which what is heard is averaged: a step of concealment or a stretched one is no news.
const SOUND_AVERAGED_US: i64 = 200 * MS;
const OFFSET_AVERAGED_US: i64 = 500 * MS;

/// How fast the estimate of when pictures are ready moves, a second: up for each that is later and down for each that
/// is earlier, in proportions that let it rest where four in five are earlier.
const LATER_US: i64 = 120 * MS;
const EARLIER_US: i64 = 30 * MS;

const MS: i64 = 1_000;
const SECOND: i64 = 1_000_000;

/// Joins the sound and the picture of one sender.
///
/// All times are since any fixed moment of this machine, the same for all calls. What the sender reports ties each
/// stream's time stamps to its one wall clock (RFC 3550 §6.4.1); that clock is compared with ours nowhere, only how
/// long after their moments on it sound and picture get here.
#[derive(Debug)]
pub struct LipSync {
    sound: SenderClock,
    picture: SenderClock,
    heard: Option<Heard>,
    seen: Option<Seen>,
    min_delay_us: i64,
    offset_us: Option<i64>,
}

/// The sound, as it is heard.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: i64,
    /// From its moment on the sender's clock to being heard. Only differences of such times mean anything.
    transit: i64,
    /// The same without what the jitter buffer adds.
    transit_unheld: i64,
}

/// The pictures, as they are ready to be shown.
#[derive(Clone, Copy, Debug)]
struct Seen {
    since: i64,
    at: i64,
    /// From its moment on the sender's clock until a picture is ready; four of five are sooner.
    ready: i64,
    /// Pictures have been far from that since.
    astray_since: Option<i64>,
    /// From its moment on the sender's clock until a picture is shown; `None` if that is as soon as it is ready.
    playout: Option<i64>,
    /// When the last one is shown.
    shown: i64,
}

impl Default for LipSync {
    fn default() -> Self {
        Self {
            sound: SenderClock::new(AUDIO_CLOCK_HZ),
            picture: SenderClock::new(VIDEO_CLOCK_HZ),
            heard: None,
            seen: None,
            min_delay_us: 0,
            offset_us: None,
        }
    }
}

impl LipSync {
    /// Nothing is known; pictures are shown as they come.
    pub fn new() -> Self {
        Self::default()
    }

    /// The sender reported of its sound.
    pub fn sound_reported(&mut self, report: SenderReport) {
        let told = self.sound.report(report);
        if let Told::Known(step) = told {
            self.shift_sound(step);
        }
        if are_both_told(told, &self.picture) {
            self.adopt_steps();
        }
    }

    /// The sender reported of its pictures.
    pub fn picture_reported(&mut self, report: SenderReport) {
        let told = self.picture.report(report);
        if let Told::Known(step) = told {
            self.shift_picture(step);
        }
        if are_both_told(told, &self.sound) {
            self.adopt_steps();
        }
    }

    /// The sample with the time stamp `rtp` is heard at `at`, which may be a little ahead; `held` is how long sound
    /// waits in the jitter buffer and the queue behind it ([`JitterStats::delay`](crate::JitterStats)).
    pub fn sound_heard(&mut self, rtp: u32, at: Duration, held: Duration) {
        let at = micros(at);
        let Some(captured) = self.sound.captured(rtp) else { return };
        let transit = at - captured;
        let fresh = Heard { at, transit, transit_unheld: transit.saturating_sub(micros(held)) };
        let passed = self.heard.map_or(0, |heard| (at - heard.at).clamp(0, SECOND));
        let joins = |heard: &Heard| !is_over(heard.at, at) && is_near(heard.transit, transit);
        self.heard = Some(match self.heard.filter(joins) {
            Some(heard) => Heard {
                at,
                transit: averaged(heard.transit, transit, passed, SOUND_AVERAGED_US),
                transit_unheld: averaged(heard.transit_unheld, fresh.transit_unheld, passed, SOUND_AVERAGED_US),
            },
            None => fresh,
        });
        self.steer_sound(at, passed);
    }

    /// A picture is decoded. Says when to show it: now or later, by no more than [`MAX_HOLD`].
    pub fn picture_ready(&mut self, rtp: u32, now: Duration) -> Duration {
        let held = self.hold(rtp, micros(now)).clamp(0, micros(MAX_HOLD));
        now + Duration::from_micros(held.unsigned_abs())
    }

    /// How long the jitter buffer should hold sound at least, for
    /// [`set_min_delay`](crate::JitterBuffer::set_min_delay).
    pub fn min_delay(&self) -> Duration {
        Duration::from_micros(self.min_delay_us.unsigned_abs())
    }

    /// How much earlier sound is heard than its picture is shown, of late, in ms; negative if it is later. ITU-R
    /// BT.1359 counts like this. `None` while that cannot be known.
    pub fn offset_ms(&self) -> Option<i64> {
        self.offset_us.map(|offset| offset / MS)
    }

    /// For how long to hold a picture, in microseconds.
    fn hold(&mut self, rtp: u32, now: i64) -> i64 {
        let Some(captured) = self.picture.captured(rtp) else { return 0 };
        let ready = now - captured;
        let Some((mut seen, passed)) = self.see(now, ready) else {
            return self.seen.map_or(0, |seen| seen.shown - now);
        };
        let wanted = self.heard.filter(|heard| !is_over(heard.at, now)).map(|heard| heard.transit);
        let wanted = wanted.filter(|transit| is_near(*transit, seen.ready));
        let slew = per_second(PICTURE_SLEW_US, passed);
        seen.playout = match (wanted, seen.playout) {
            (None, None) => None,
            (Some(transit), None) => Some(transit.saturating_sub(EARLY_US).min(ready)),
            (Some(transit), Some(playout)) => {
                let latest = seen.ready.saturating_add(micros(MAX_HOLD));
                Some(toward(playout, transit.saturating_sub(EARLY_US).min(latest), slew, slew))
            }
            // Nothing to be in step with any more: back to showing them as they come, as slowly.
            (None, Some(playout)) => Some(playout.saturating_sub(slew)).filter(|playout| *playout > ready),
        };
        let due = seen.playout.map_or(now, |playout| captured.saturating_add(playout));
        // Not before the one before, whatever the clocks did.
        let shown = due.max(seen.shown).clamp(now, now + micros(MAX_HOLD));
        seen.shown = shown;
        self.seen = Some(seen);
        self.offset_us = wanted.map(|transit| {
            let offset = shown - captured - transit;
            self.offset_us.map_or(offset, |before| averaged(before, offset, passed, OFFSET_AVERAGED_US))
        });
        shown - now
    }

    /// Takes note of when a picture is ready. Gives what is known of the pictures with it and the time since the last
    /// one, or `None` for one that is far from the others.
    fn see(&mut self, now: i64, ready: i64) -> Option<(Seen, i64)> {
        let first = Seen { since: now, at: now, ready, astray_since: None, playout: None, shown: now };
        let Some(seen) = self.seen.filter(|seen| !is_over(seen.at, now)) else {
            self.seen = Some(first);
            return Some((first, 0));
        };
        let passed = (now - seen.at).clamp(0, SECOND);
        if !is_near(seen.ready, ready) {
            let since = seen.astray_since.unwrap_or(now);
            if now - since < SECOND {
                self.seen = Some(Seen { at: now, astray_since: Some(since), ..seen });
                return None;
            }
            return Some((first, passed));
        }
        let ready = match now - seen.since {
            // The first pictures are large and late.
            ..SECOND => ready.min(seen.ready),
            SECOND.. => toward(seen.ready, ready, per_second(LATER_US, passed), per_second(EARLIER_US, passed)),
        };
        Some((Seen { at: now, ready, astray_since: None, ..seen }, passed))
    }

    /// Asks for as much delay of the sound as brings it to where pictures are ready, no more and only slowly.
    fn steer_sound(&mut self, now: i64, passed: i64) {
        let pictures = self.seen.filter(|seen| !is_over(seen.at, now)).map(|seen| seen.ready);
        let wanted = match (self.heard, pictures) {
            (Some(heard), Some(ready)) if is_near(heard.transit, ready) => {
                ready.saturating_sub(heard.transit_unheld).saturating_sub(LEAD_US)
            }
            (Some(_) | None, Some(_) | None) => 0,
        };
        let wanted = wanted.clamp(0, micros(MAX_SOUND_DELAY));
        if wanted > self.min_delay_us || wanted == 0 || wanted < self.min_delay_us - IDLE_US {
            let (raise, lower) = (per_second(RAISE_US, passed), per_second(LOWER_US, passed));
            self.min_delay_us = toward(self.min_delay_us, wanted, raise, lower);
        }
    }

    /// Goes over to the reports that did not go on from those before.
    fn adopt_steps(&mut self) {
        let (sound_step, picture_step) = (self.sound.adopt(), self.picture.adopt());
        self.shift_sound(sound_step);
        self.shift_picture(picture_step);
    }

    /// The sender's clock of the sound goes `step` ahead of what it was. That does not change when sound was heard.
    fn shift_sound(&mut self, step: i64) {
        if let Some(heard) = &mut self.heard {
            heard.transit = heard.transit.saturating_sub(step);
            heard.transit_unheld = heard.transit_unheld.saturating_sub(step);
        }
    }

    fn shift_picture(&mut self, step: i64) {
        if let Some(seen) = &mut self.seen {
            seen.ready = seen.ready.saturating_sub(step);
            seen.playout = seen.playout.map(|playout| playout.saturating_sub(step));
        }
    }
}

/// Whether a report that did not go on from the one before can be taken, now that one stream was told of. It means that
/// the sender's wall clock was set, and the other stream's last report is of before that, or that the stream began
/// anew. Which of them it is shows when the other stream is told of too; until then all stays as it was.
fn are_both_told(told: Told, other: &SenderClock) -> bool {
    match told {
        Told::Known(_) => other.is_stepping(),
        Told::Stepped => other.is_stepping() || !other.is_known(),
        Told::SteppedAgain => true,
    }
}

fn micros(duration: Duration) -> i64 {
    // A few of these can be added up, and one is 36,000 years.
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 8)
}

fn is_over(last: i64, now: i64) -> bool {
    now.saturating_sub(last) > STOPPED_US
}

fn is_near(left: i64, right: i64) -> bool {
    left.saturating_sub(right).saturating_abs() <= MAX_APART_US
}

fn per_second(amount: i64, passed: i64) -> i64 {
    amount * passed / SECOND
}

/// `from`, moved towards `to` by no more than allowed.
fn toward(from: i64, to: i64, up: i64, down: i64) -> i64 {
    to.clamp(from.saturating_sub(down), from.saturating_add(up))
}

/// `before` and `now`, which are near each other, `passed` apart, averaged over a time of `over`.
fn averaged(before: i64, now: i64, passed: i64, over: i64) -> i64 {
    let difference = now.saturating_sub(before).clamp(-2 * MAX_APART_US, 2 * MAX_APART_US);
    before.saturating_add(difference * passed.min(over) / over)
}

#[cfg(test)]
mod tests;
