//! When to play faster or slower. What is heard of it least is a little at a time, seldom.

use super::{SAMPLES_PER_MS, Stretch};

/// Sound beyond what is needed from which on to play faster, and what is left of it: so that no step shorter calls for
/// one longer because a thread wakes a little sooner. In between lies a pitch period of high voices; low ones wait for a
/// pause.
const TOO_MUCH: i64 = 8 * SAMPLES_PER_MS;
const LEFT: i64 = 4 * SAMPLES_PER_MS;

/// Where packets come unevenly, what is needed changes all the time: too much is no less than this part of it.
const TOLERATED: i64 = 4;

/// Idle sound from which on to play faster: the shortest pitch period that can be left out, and a little.
const IDLE: i64 = 3 * SAMPLES_PER_MS;

/// How often to make a step shorter, by how much there is too much: rarely, seldom, often, and from `A_LOT` on always.
const SOMEWHAT: i64 = 15 * SAMPLES_PER_MS;
const SOMEWHAT_MORE: i64 = 60 * SAMPLES_PER_MS;
const A_LOT: i64 = 150 * SAMPLES_PER_MS;
const RARELY: i64 = 1_000 * SAMPLES_PER_MS;
const SELDOM: i64 = 100 * SAMPLES_PER_MS;
const OFTEN: i64 = 40 * SAMPLES_PER_MS;

/// How long the least margin counts: many pulls of the slowest sound card.
const WATCH: i64 = 1_000 * SAMPLES_PER_MS;

#[derive(Debug, Default)]
pub(super) struct Pace {
    watched: Option<Watched>,
}

/// What was seen since the last change, or of late. Sound cards pull in bursts, so that the margin swings; the least of
/// it counts.
#[derive(Clone, Copy, Debug)]
struct Watched {
    since: i64,
    least: i64,
    idle: i64,
}

impl Pace {
    /// Decides for a step that is pulled with `margin` more sound than `needed`, and with `idle` decoded sound that still
    /// lies ready, of no use to anybody: packets are pulled a whole block at a time, so that it only delays. Whether the
    /// next packet is here is not asked: it will be when it is pulled, that much earlier.
    pub(super) fn decide(&mut self, now: i64, margin: i64, needed: i64, idle: i64) -> Stretch {
        if margin < 0 {
            self.watched = None;
            return Stretch::Decelerate;
        }
        let fresh = Watched { since: now, least: margin, idle };
        let watched = self.watched.get_or_insert(fresh);
        watched.least = watched.least.min(margin);
        watched.idle = watched.idle.min(idle);
        let excess = watched.least;
        let cut = (excess - LEFT).max(watched.idle);
        let wait = match excess {
            _ if excess < TOO_MUCH.max(needed / TOLERATED) && watched.idle < IDLE => {
                if now - watched.since >= WATCH {
                    *watched = fresh;
                }
                return Stretch::None;
            }
            ..SOMEWHAT => RARELY,
            SOMEWHAT..SOMEWHAT_MORE => SELDOM,
            SOMEWHAT_MORE..A_LOT => OFTEN,
            A_LOT.. => 0,
        };
        if now - watched.since < wait {
            return Stretch::None;
        }
        self.watched = None;
        Stretch::Accelerate { at_most: u32::try_from(cut).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = SAMPLES_PER_MS;

    fn accelerations_in_a_second(margin: i64) -> usize {
        let mut pace = Pace::default();
        (0..50).filter(|step| pace.decide(step * 20 * MS, margin, 0, 0) != Stretch::None).count()
    }

    #[test]
    fn the_more_there_is_too_much_the_oftener_it_is_played_faster() {
        assert_eq!(accelerations_in_a_second(7 * MS), 0);
        assert_eq!(accelerations_in_a_second(20 * MS), 8);
        assert_eq!(accelerations_in_a_second(100 * MS), 16);
        assert_eq!(accelerations_in_a_second(200 * MS), 50);
    }

    #[test]
    fn a_margin_that_grew_is_seen_after_a_while() {
        let mut pace = Pace::default();
        assert_eq!(pace.decide(0, 0, 0, 0), Stretch::None);
        let first = (1..100).find(|step| pace.decide(step * 20 * MS, 30 * MS, 0, 0) != Stretch::None);
        assert_eq!(first, Some(55), "1.1 s");
    }

    #[test]
    fn a_step_loses_less_than_there_is_too_much() {
        let mut pace = Pace::default();
        let stretches = (0..200).map(|step| pace.decide(step * 20 * MS, (9 + step % 3) * MS, 0, 0));
        let stretches: Vec<Stretch> = stretches.filter(|stretch| *stretch != Stretch::None).collect();
        assert!(stretches.len() > 2);
        assert!(stretches.iter().all(|stretch| *stretch == Stretch::Accelerate { at_most: 5 * 48 }), "{stretches:?}");
    }

    #[test]
    fn sound_that_lies_idle_is_left_out_even_where_no_more_is_held_than_needed() {
        let mut pace = Pace::default();
        let stretches = (0..60).map(|step| pace.decide(step * 20 * MS, 2 * MS, 0, 6 * MS));
        let stretches: Vec<Stretch> = stretches.filter(|stretch| *stretch != Stretch::None).collect();
        assert_eq!(stretches, [Stretch::Accelerate { at_most: 6 * 48 }]);
    }

    #[test]
    fn too_little_at_once_is_played_slower_at_once() {
        assert_eq!(Pace::default().decide(0, -1, 0, 0), Stretch::Decelerate);
    }

    #[test]
    fn a_margin_that_swings_counts_by_its_least() {
        let mut pace = Pace::default();
        for step in 0..50 {
            let margin = if step % 3 == 1 { 4 * MS } else { 30 * MS };
            let stretch = pace.decide(step * 20 * MS, margin, 0, 0);
            assert_eq!(stretch, Stretch::None, "step {step}");
        }
    }
}
