//! Whether enough is lost, and the packets carry copies enough, for it to be worthwhile to wait for those.

/// Packets over which loss is averaged: five seconds.
const AVERAGED: f32 = 250.0;

/// Loss from which on a step of delay is worth its price, and down to which it stays so.
const WORTHWHILE: f32 = 0.01;
const NO_LONGER: f32 = 0.005;

/// Missing packets that count at a time: a longer hole is an outage, which copies do not fill.
const MAX_MISSING: i64 = 10;

/// Packets without a copy before it is taken that the sender makes none: five seconds. None is made of silence.
const WITHOUT_COPY: u32 = 250;

#[derive(Debug, Default)]
pub(super) struct LossEstimate {
    share: f32,
    is_high: bool,
    /// Counts down from the last packet that carried a copy.
    copies_for: u32,
}

impl LossEstimate {
    /// A packet came, with a copy of the one before it or without.
    pub(super) fn note_repair(&mut self, has_copy: bool) {
        self.copies_for = if has_copy { WITHOUT_COPY } else { self.copies_for.saturating_sub(1) };
    }

    /// A packet is played, with `missing` ones before it.
    pub(super) fn note_played(&mut self, missing: i64) {
        for _ in 0..missing.clamp(0, MAX_MISSING) {
            self.share += (1.0 - self.share) / AVERAGED;
        }
        self.share -= self.share / AVERAGED;
        self.is_high = self.share > if self.is_high { NO_LONGER } else { WORTHWHILE };
    }

    pub(super) fn is_repair_worthwhile(&self) -> bool {
        self.is_high && self.copies_for > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_waited_for_while_they_are_needed_and_come() {
        let mut loss = LossEstimate::default();
        loss.note_repair(true);
        for packet in 0..300 {
            loss.note_played(i64::from(packet % 30 == 0));
        }
        assert!(loss.is_repair_worthwhile(), "3 % are lost: {loss:?}");
        for _ in 0..WITHOUT_COPY {
            loss.note_repair(false);
        }
        assert!(!loss.is_repair_worthwhile(), "nothing to wait for");
        loss.note_repair(true);
        for _ in 0..1_000 {
            loss.note_played(0);
        }
        assert!(!loss.is_repair_worthwhile(), "nothing is lost any more: {loss:?}");
    }
}
