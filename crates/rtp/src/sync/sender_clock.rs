//! A stream's time stamps on its sender's wall clock, by what the sender reports (RFC 3550 §6.4.1).

use crate::sender_report::SenderReport;

/// A report this far from what the one before foretold does not go on from it. Honest ones are a few ms off, by
/// rounding and by clocks that drift apart.
const STEP_US: i64 = 30_000;

const MICROS_PER_SECOND: i128 = 1_000_000;

/// How a report fits to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is the first, or goes on from the one before with its clock so many microseconds ahead.
    Known(i64),
    /// It does not; it is kept beside the one before.
    Stepped,
    /// It does not, but it does fit to the last one that did not.
    SteppedAgain,
}

#[derive(Debug)]
pub(super) struct SenderClock {
    clock_hz: u32,
    report: Option<SenderReport>,
    stepped: Option<SenderReport>,
}

impl SenderClock {
    pub(super) fn new(clock_hz: u32) -> Self {
        Self { clock_hz, report: None, stepped: None }
    }

    pub(super) fn report(&mut self, report: SenderReport) -> Told {
        let Some(before) = self.report else {
            self.report = Some(report);
            return Told::Known(0);
        };
        let step = self.step(before, report);
        if step.abs() <= STEP_US {
            self.report = Some(report);
            self.stepped = None;
            return Told::Known(step);
        }
        let again = self.stepped.is_some_and(|stepped| self.step(stepped, report).abs() <= STEP_US);
        self.stepped = Some(report);
        if again { Told::SteppedAgain } else { Told::Stepped }
    }

    pub(super) fn is_known(&self) -> bool {
        self.report.is_some()
    }

    pub(super) fn is_stepping(&self) -> bool {
        self.stepped.is_some()
    }

    /// Goes over to the report that did not fit, if there is one. Says by how many microseconds its clock is ahead.
    pub(super) fn adopt(&mut self) -> i64 {
        let (Some(before), Some(stepped)) = (self.report, self.stepped.take()) else { return 0 };
        self.report = Some(stepped);
        self.step(before, stepped)
    }

    /// The moment of `rtp` on the sender's wall clock, in microseconds.
    pub(super) fn captured(&self, rtp: u32) -> Option<i64> {
        self.report.map(|report| self.at(report, rtp))
    }

    /// How far the wall clock of `report` is ahead of what `before` foretold.
    fn step(&self, before: SenderReport, report: SenderReport) -> i64 {
        wall_us(report) - self.at(before, report.rtp)
    }

    fn at(&self, report: SenderReport, rtp: u32) -> i64 {
        // Time stamps wrap; the nearer way is meant.
        let ticks = rtp.wrapping_sub(report.rtp) as i32;
        wall_us(report) + i64::from(ticks) * MICROS_PER_SECOND as i64 / i64::from(self.clock_hz)
    }
}

/// At most 2^32 s, 4.3 x 10^15 us. That the 32 bits of seconds wrap in 2036 is a step like any other.
fn wall_us(report: SenderReport) -> i64 {
    ((i128::from(report.ntp) * MICROS_PER_SECOND) >> 32) as i64
}
