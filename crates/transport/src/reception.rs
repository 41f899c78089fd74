//! What a receiver reports of one stream: how much was lost and how unevenly it came (RFC 3550 §6.4.1, appendix A). Pure.
//! Retransmissions in a stream of their own are no part of it, so loss is what the path lost and not what was left of it.

use crate::wall_clock::short_units;
use ahoy_rtp::clock::{SequenceUnwrapper, duration, ticks};
use rtc::rtcp::reception_report::ReceptionReport;
use std::time::{Duration, Instant};

/// Jumps further than these may be a stream that began anew; two packets in a row prove it (RFC 3550 A.1).
const MAX_DROPOUT: i64 = 3_000;
const MAX_MISORDER: i64 = 1_000;

/// The field has 24 bits, the upper one for the sign.
const MAX_LOST: i64 = 0x7f_ffff;

#[derive(Debug)]
pub(crate) struct Reception {
    clock_hz: u32,
    began: Instant,
    count: Option<Count>,
    /// What the sequence number after one far away would be.
    restart_at: Option<u16>,
    /// Of what came before the stream began anew.
    expected_before: i64,
    received: i64,
    at_last_report: (i64, i64),
    transit: Option<u32>,
    /// In ticks of the stream's clock.
    jitter: f64,
    /// What the sender's last report is called, and when it came.
    sender_report: Option<(u32, Instant)>,
}

#[derive(Debug)]
struct Count {
    unwrapper: SequenceUnwrapper,
    first: i64,
    newest: i64,
}

impl Reception {
    pub(crate) fn new(clock_hz: u32, now: Instant) -> Self {
        Self {
            clock_hz,
            began: now,
            count: None,
            restart_at: None,
            expected_before: 0,
            received: 0,
            at_last_report: (0, 0),
            transit: None,
            jitter: 0.0,
            sender_report: None,
        }
    }

    /// A packet of the stream came.
    pub(crate) fn packet_came(&mut self, now: Instant, sequence: u16, timestamp: u32) {
        let Some(count) = &mut self.count else {
            self.begin(now, sequence, timestamp);
            return;
        };
        // On trial: a number from far away must not move what others are measured by.
        let number = count.unwrapper.clone().unwrap(sequence);
        let distance = number - count.newest;
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&distance) {
            if self.restart_at == Some(sequence) {
                self.expected_before += count.newest - count.first + 1;
                self.begin(now, sequence, timestamp);
            } else {
                self.restart_at = Some(sequence.wrapping_add(1));
            }
            return;
        }
        self.restart_at = None;
        self.received += 1;
        if distance > 0 {
            count.unwrapper.unwrap(sequence);
            count.newest = number;
            self.measure(now, timestamp);
        }
    }

    /// A report of the sender's came; `ntp` is what it calls the moment of sending.
    pub(crate) fn sender_reported(&mut self, now: Instant, ntp: u64) {
        self.sender_report = Some(((ntp >> 16) as u32, now));
    }

    /// Packets that should have come by now.
    pub(crate) fn expected(&self) -> i64 {
        self.expected_before + self.count.as_ref().map_or(0, |count| count.newest - count.first + 1)
    }

    /// How unevenly packets come, beside how evenly they were made (RFC 3550 §6.4.1).
    pub(crate) fn jitter(&self) -> Duration {
        duration(self.jitter as u64, self.clock_hz)
    }

    /// The report block for the sender `ssrc`, once something came.
    pub(crate) fn report(&mut self, now: Instant, ssrc: u32) -> Option<ReceptionReport> {
        let newest = self.count.as_ref()?.newest;
        let (expected, received) = (self.expected(), self.received);
        let expected_since = expected - self.at_last_report.0;
        let lost_since = (expected_since - (received - self.at_last_report.1)).max(0);
        self.at_last_report = (expected, received);
        let fraction = (lost_since * 256).checked_div(expected_since).unwrap_or(0);
        let (last_sender_report, delay) = self
            .sender_report
            .map_or((0, 0), |(name, came_at)| (name, short_units(now.saturating_duration_since(came_at))));
        Some(ReceptionReport {
            ssrc,
            fraction_lost: fraction.clamp(0, 255) as u8,
            // The crate writes no negative numbers.
            total_lost: (expected - received).clamp(0, MAX_LOST) as u32,
            last_sequence_number: newest as u32,
            jitter: self.jitter as u32,
            last_sender_report,
            delay,
        })
    }

    fn begin(&mut self, now: Instant, sequence: u16, timestamp: u32) {
        let mut unwrapper = SequenceUnwrapper::default();
        let first = unwrapper.unwrap(sequence);
        self.count = Some(Count { unwrapper, first, newest: first });
        self.restart_at = None;
        self.received += 1;
        self.transit = None;
        self.measure(now, timestamp);
    }

    /// Of packets in order only: one that comes late says how late it is, not how evenly others come.
    fn measure(&mut self, now: Instant, timestamp: u32) {
        let arrival = ticks(now.saturating_duration_since(self.began), self.clock_hz) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs();
            self.jitter += (f64::from(difference) - self.jitter) / 16.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn reception() -> (Reception, Instant) {
        let now = Instant::now();
        (Reception::new(90_000, now), now)
    }

    #[test]
    fn loss_is_what_should_have_come_and_did_not() {
        let (mut reception, now) = reception();
        assert_eq!(reception.report(now, 7), None);
        // Of 65,530 to 65,535 and 0 to 13, four are missing.
        for sequence in (65_530..=65_535).chain(0..=13).filter(|sequence| ![65_533, 2, 3, 9].contains(sequence)) {
            reception.packet_came(now, sequence, 0);
        }
        let report = reception.report(now, 7).unwrap();
        assert_eq!((report.ssrc, report.total_lost, report.fraction_lost), (7, 4, (4 * 256 / 20) as u8));
        assert_eq!(report.last_sequence_number, (1 << 16) + 13);
        assert_eq!(reception.expected(), 20);
        // One was only late, and nothing more was lost.
        reception.packet_came(now, 9, 0);
        reception.packet_came(now, 14, 0);
        let report = reception.report(now, 7).unwrap();
        assert_eq!((report.total_lost, report.fraction_lost), (3, 0));
    }

    #[test]
    fn jitter_is_zero_for_packets_at_the_distances_in_which_they_were_made_and_grows_with_the_difference() {
        let (mut reception, now) = reception();
        for number in 0..100_u16 {
            let timestamp = u32::MAX.wrapping_add(u32::from(number) * 3_000);
            reception.packet_came(now + Duration::from_nanos(33_333_333) * u32::from(number), number, timestamp);
        }
        assert!(reception.jitter() < MS, "{:?}", reception.jitter());
        let now = now + 10_000 * MS;
        for number in 100..300_u16 {
            let late = 8 * MS * u32::from(number % 2);
            reception.packet_came(now + 20 * MS * u32::from(number) + late, number, u32::from(number) * 1_800);
        }
        assert!(reception.jitter().abs_diff(8 * MS) < MS, "{:?}", reception.jitter());
        // A packet that is late out of order does not count.
        reception.packet_came(now + 100_000 * MS, 250, 0);
        assert!(reception.jitter().abs_diff(8 * MS) < MS);
    }

    #[test]
    fn a_report_names_the_senders_last_and_how_long_ago_it_came() {
        let (mut reception, now) = reception();
        reception.packet_came(now, 1, 0);
        let report = reception.report(now, 7).unwrap();
        assert_eq!((report.last_sender_report, report.delay), (0, 0));
        reception.sender_reported(now, 0x1122_3344_5566_7788);
        let report = reception.report(now + 500 * MS, 7).unwrap();
        assert_eq!((report.last_sender_report, report.delay), (0x3344_5566, 32_768));
    }

    #[test]
    fn a_stream_that_counts_anew_is_believed_at_its_second_packet() {
        let (mut reception, now) = reception();
        for sequence in [10, 11, 12, 30_000, 13, 40_000, 40_001, 40_002] {
            reception.packet_came(now, sequence, 0);
        }
        // 10 to 13, then 40,001 and 40,002.
        assert_eq!(reception.expected(), 6);
        assert_eq!(reception.report(now, 7).unwrap().total_lost, 0);
    }

    #[test]
    fn whatever_numbers_come_the_report_can_be_written() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
        let (mut reception, mut now) = reception();
        for _ in 0..20_000 {
            let sequence = if rand::RngExt::random_bool(&mut rng, 0.5) { rand::RngExt::random(&mut rng) } else { 7 };
            reception.packet_came(now, sequence, rand::RngExt::random(&mut rng));
            reception.sender_reported(now, rand::RngExt::random(&mut rng));
            now += MS;
            let report = reception.report(now, 7).unwrap();
            assert!(i64::from(report.total_lost) <= MAX_LOST);
        }
    }
}
