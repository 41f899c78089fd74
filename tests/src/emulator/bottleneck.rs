//! The narrowest place of a path: one packet after the other passes it, at a rate or at recorded opportunities.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::schedule::Schedule;
use super::trace::{OPPORTUNITY_BYTES, Trace};

/// What lets how much pass when.
#[derive(Debug, Clone)]
pub enum Capacity {
    /// Everything at once.
    Unlimited,
    /// So many bits a second; before the clock begins those of its start.
    Scheduled(Schedule),
    /// As recorded; before the clock begins it is replayed too, and then starts anew.
    Recorded(Arc<Trace>),
}

/// The place itself.
#[derive(Debug)]
pub(super) struct Bottleneck {
    capacity: Capacity,
    /// The capacity until the clock begins, where that is another one.
    before: Option<Schedule>,
    /// The zero of the capacity's time.
    start: Instant,
    /// When the last packet is through.
    free_at: Instant,
    /// The opportunity in use, and what is left of it.
    opportunity: (u64, usize),
}

impl Bottleneck {
    pub(super) fn new(capacity: Capacity, now: Instant) -> Self {
        let before = match &capacity {
            Capacity::Scheduled(schedule) => Some(schedule.at_start()),
            Capacity::Unlimited | Capacity::Recorded(_) => None,
        };
        Self { capacity, before, start: now, free_at: now, opportunity: (0, OPPORTUNITY_BYTES) }
    }

    /// Starts the clock. What was passing starts over too.
    pub(super) fn begin(&mut self, now: Instant) {
        self.before = None;
        self.start = now;
        self.free_at = now;
        self.opportunity = (0, OPPORTUNITY_BYTES);
    }

    /// Takes the next packet, which has been there since `came_at`: when its last byte is through. `None`: never.
    pub(super) fn pass(&mut self, came_at: Instant, bytes: usize) -> Option<Instant> {
        let from = came_at.max(self.free_at).saturating_duration_since(self.start);
        let passed_at = match (&self.capacity, &self.before) {
            (Capacity::Unlimited, _) => from,
            (_, Some(before)) => before.passed_at(from, bytes)?,
            (Capacity::Scheduled(schedule), None) => schedule.passed_at(from, bytes)?,
            (Capacity::Recorded(trace), None) => next_opportunities(trace, &mut self.opportunity, from, bytes),
        };
        self.free_at = self.start + passed_at;
        Some(self.free_at)
    }
}

/// Uses as many opportunities as so many bytes need, from what is left of the current one on. Of one that comes while no
/// packet waits nothing is kept.
fn next_opportunities(trace: &Trace, current: &mut (u64, usize), from: Duration, bytes: usize) -> Duration {
    let (number, left) = current;
    if trace.at(*number) < from {
        (*number, *left) = (trace.first_from(from), OPPORTUNITY_BYTES);
    }
    let mut bytes = bytes;
    while bytes > *left {
        bytes -= *left;
        (*number, *left) = (*number + 1, OPPORTUNITY_BYTES);
    }
    *left -= bytes;
    trace.at(*number)
}
