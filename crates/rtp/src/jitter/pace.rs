//! When to play faster or slower. What is heard of it least is a little at a time, seldom.

use super::{SAMPLES_PER_MS, Stretch};

/// Sound beyond what is needed from which on to play faster: as much as one step can lose, a pitch period of the lowest
/// voice, so that no step shorter calls for one longer.
const TOO_MUCH: i64 = 15 * SAMPLES_PER_MS;

/// How often to make a step shorter, by how much there is too much: seldom, often, and from `A_LOT` on always.
const SOMEWHAT_MORE: i64 = 60 * SAMPLES_PER_MS;
const A_LOT: i64 = 150 * SAMPLES_PER_MS;
const SELDOM: i64 = 100 * SAMPLES_PER_MS;
const OFTEN: i64 = 40 * SAMPLES_PER_MS;

/// How long the least margin counts: many pulls of the slowest sound card.
const WATCH: i64 = 300 * SAMPLES_PER_MS;

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
}

impl Pace {
    /// Decides for a step that is pulled with `margin` more sound than needed, and `spare` held beyond that step.
    pub(super) fn decide(&mut self, now: i64, margin: i64, spare: i64) -> Stretch {
        if margin < 0 {
            self.watched = None;
            return Stretch::Decelerate;
        }
        let fresh = Watched { since: now, least: margin };
        let watched = self.watched.get_or_insert(fresh);
        watched.least = watched.least.min(margin);
        let excess = watched.least.min(spare);
        let wait = match excess {
            ..TOO_MUCH => {
                if now - watched.since >= WATCH {
                    *watched = fresh;
                }
                return Stretch::None;
            }
            TOO_MUCH..SOMEWHAT_MORE => SELDOM,
            SOMEWHAT_MORE..A_LOT => OFTEN,
            A_LOT.. => 0,
        };
        if now - watched.since < wait {
            return Stretch::None;
        }
        self.watched = None;
        Stretch::Accelerate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = SAMPLES_PER_MS;

    fn accelerations_in_a_second(margin: i64, spare: i64) -> usize {
        let mut pace = Pace::default();
        (0..50).filter(|step| pace.decide(step * 20 * MS, margin, spare) == Stretch::Accelerate).count()
    }

    #[test]
    fn the_more_there_is_too_much_the_oftener_it_is_played_faster() {
        assert_eq!(accelerations_in_a_second(14 * MS, 100 * MS), 0);
        assert_eq!(accelerations_in_a_second(20 * MS, 100 * MS), 8);
        assert_eq!(accelerations_in_a_second(100 * MS, 200 * MS), 16);
        assert_eq!(accelerations_in_a_second(200 * MS, 200 * MS), 50);
    }

    #[test]
    fn a_margin_that_grew_is_seen_after_a_while() {
        let mut pace = Pace::default();
        assert_eq!(pace.decide(0, 0, 100 * MS), Stretch::None);
        let first = (1..50).find(|step| pace.decide(step * 20 * MS, 30 * MS, 100 * MS) == Stretch::Accelerate);
        assert_eq!(first, Some(20), "400 ms");
    }

    #[test]
    fn what_is_not_here_cannot_be_played_faster() {
        assert_eq!(accelerations_in_a_second(200 * MS, 0), 0);
    }

    #[test]
    fn too_little_at_once_is_played_slower_at_once() {
        assert_eq!(Pace::default().decide(0, -1, 0), Stretch::Decelerate);
    }

    #[test]
    fn a_margin_that_swings_counts_by_its_least() {
        let mut pace = Pace::default();
        for step in 0..50 {
            let margin = if step % 3 == 1 { 5 * MS } else { 30 * MS };
            let stretch = pace.decide(step * 20 * MS, margin, 100 * MS);
            assert_eq!(stretch, Stretch::None, "step {step}");
        }
    }
}
