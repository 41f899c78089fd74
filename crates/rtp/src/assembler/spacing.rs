//! How far apart the time stamps of neighbouring pictures are at least, and so whether there can have been one between two.

/// Pictures over which the least distance is taken, twice over: frame rates change.
const PICTURES: u32 = 32;

/// The least distance of late, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spacing {
    last: Option<u32>,
    least: u32,
    least_before: u32,
    seen: u32,
}

impl Spacing {
    /// A picture with this time stamp is used; nothing between it and the one before was left out.
    pub(super) fn used(&mut self, timestamp: u32) {
        if let Some(distance) =
            self.last.map(|last| timestamp.wrapping_sub(last)).filter(|distance| is_ahead(*distance))
        {
            self.least = if self.seen == 0 { distance } else { self.least.min(distance) };
            self.seen += 1;
        }
        if self.seen >= PICTURES {
            (self.least_before, self.seen) = (self.least, 0);
        }
        self.last = Some(timestamp);
    }

    /// Pictures were left out since the last one that was used.
    pub(super) fn interrupt(&mut self) {
        self.last = None;
    }

    /// Whether the picture at `timestamp` follows the last one that was used.
    pub(super) fn follows_last(&self, timestamp: u32) -> bool {
        self.last.is_some_and(|last| self.are_neighbours(last, timestamp))
    }

    /// Whether no other picture can be between those with these time stamps.
    pub(super) fn are_neighbours(&self, earlier: u32, later: u32) -> bool {
        let least = match (self.least_before, self.seen) {
            (0, _) => 0,
            (before, 0) => before,
            (before, _) => before.min(self.least),
        };
        let distance = later.wrapping_sub(earlier);
        is_ahead(distance) && distance < least.saturating_mul(2)
    }
}

fn is_ahead(distance: u32) -> bool {
    (1..1 << 31).contains(&distance)
}
