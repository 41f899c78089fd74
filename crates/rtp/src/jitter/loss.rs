//! Whether enough is lost, and the packets carry copies enough, for it to be worthwhile to wait for those.

/// Packets over which loss is averaged: five seconds, or half of that where each holds 10 ms.
const AVERAGED: f32 = 250.0;

/// Loss from which on a step of delay is worth its price, and down to which it stays so.
const WORTHWHILE: f32 = 0.01;
const NO_LONGER: f32 = 0.005;

/// Missing packets that count at a time: a longer hole is an outage, which copies do not fill.
const MAX_MISSING: i64 = 10;

/// Packets without a copy before it is taken that the sender makes none: as long. Opus makes none of silence.
const WITHOUT_COPY: u32 = 250;

#[derive(Debug, Default)]
pub(super) struct LossEstimate {
    share: f32,
    is_high: bool,
    /// Counts down from the last packet that carried a copy.
    copies_for: u32,
    /// How far back that copy reached, in samples: so long after it is due a lost packet's copy comes.
    reach: i64,
}

impl LossEstimate {
    /// A packet came that reaches back by so many samples before its own; 0: without a copy.
    pub(super) fn note_repair(&mut self, reach: i64) {
        if reach > 0 {
            self.reach = reach;
            self.copies_for = WITHOUT_COPY;
        } else {
            self.copies_for = self.copies_for.saturating_sub(1);
        }
    }

    /// A packet is played, or the copy of one that is missing itself, with `missing` ones before it.
    pub(super) fn note_played(&mut self, missing: i64, is_copy: bool) {
        for _ in 0..missing.clamp(0, MAX_MISSING) + i64::from(is_copy) {
            self.share += (1.0 - self.share) / AVERAGED;
        }
        if !is_copy {
            self.share -= self.share / AVERAGED;
        }
        self.is_high = self.share > if self.is_high { NO_LONGER } else { WORTHWHILE };
    }

    /// How much longer packets should be held for the sake of copies, in samples.
    pub(super) fn worthwhile_wait(&self) -> i64 {
        if self.is_high && self.copies_for > 0 { self.reach } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_waited_for_while_they_are_needed_and_come() {
        let mut loss = LossEstimate::default();
        loss.note_repair(960);
        for packet in 0..300 {
            loss.note_played(i64::from(packet % 60 == 0), packet % 60 == 30);
        }
        assert_eq!(loss.worthwhile_wait(), 960, "3 % are lost: {loss:?}");
        for _ in 0..WITHOUT_COPY {
            loss.note_repair(0);
        }
        assert_eq!(loss.worthwhile_wait(), 0, "nothing to wait for");
        loss.note_repair(480);
        for _ in 0..1_000 {
            loss.note_played(0, false);
        }
        assert_eq!(loss.worthwhile_wait(), 0, "nothing is lost any more: {loss:?}");
    }
}
