//! The end of a picture that does not come. Its last packets have no follower that would show the gap until the next
//! picture, a thirtieth of a second later; but a picture that has begun, has had no marker (RFC 6184 §5.1, RFC 7741 §4.1) and
//! is silent for longer than its packets were ever apart has most likely lost its end.

use super::RtpHeader;
use std::time::Duration;

/// Packets of a picture are taken to be this far apart until it is known, and never less: threads are late by that.
const LEAST_APART: Duration = Duration::from_millis(3);

/// Nor more. With packets further apart than this the next picture tells as soon.
const MOST_APART: Duration = Duration::from_millis(20);

/// Packets asked for at most at the end of one picture. Those that do not exist cost nothing: one request covers 17 numbers
/// (RFC 4585 §6.2.1).
const MOST_PACKETS: i64 = 8;

/// Follows the pictures of a stream from their first to their last packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tail {
    newest: Option<Newest>,
    /// How far apart packets of a picture come, at most, of late.
    apart: Duration,
    /// Mean packets of a picture, in sixteenths.
    packets_16: i64,
    /// Pictures that ended without a marker, though nothing was missing; a sender of such is not to be asked for more.
    unmarked: u8,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    at: Duration,
    /// The first packet of its picture that came, and itself.
    first: i64,
    number: i64,
    timestamp: u32,
    marker: bool,
    /// Whether the end of its picture was presumed lost already.
    is_presumed: bool,
}

impl Tail {
    /// A packet came that is newer than all before. Whether it is the first of its picture that came.
    pub(super) fn advance(&mut self, now: Duration, number: i64, header: RtpHeader, by_itself: bool) -> bool {
        let timestamp = header.timestamp;
        let before = self.newest.filter(|newest| newest.number < number);
        // What follows the last packet of a picture with its time stamp is padding.
        let is_padding = before.is_some_and(|newest| newest.timestamp == timestamp && newest.marker);
        let marker = header.marker || is_padding;
        let is_next = before.is_some_and(|newest| newest.number + 1 == number);
        let same = before.filter(|newest| newest.timestamp == timestamp && !newest.marker);
        if let Some(newest) = same.filter(|_| is_next && by_itself) {
            let apart = now.saturating_sub(newest.at).min(MOST_APART);
            self.apart = apart.max(self.apart - self.apart / 64);
        }
        if let Some(newest) = before.filter(|newest| is_next && !newest.marker && newest.timestamp != timestamp) {
            self.unmarked = self.unmarked.saturating_add(1);
            self.count(newest.number - newest.first + 1);
        }
        let first = same.map_or(number, |newest| newest.first);
        if header.marker {
            self.unmarked = 0;
            self.count(number - first + 1);
        }
        self.newest = Some(Newest { at: now, first, number, timestamp, marker, is_presumed: false });
        first == number && !is_padding
    }

    /// Forgets the picture that is coming in.
    pub(super) fn restart(&mut self) {
        self.newest = None;
    }

    /// When the end of the picture that is coming in is to be presumed lost, if nothing comes before.
    pub(super) fn due(&self) -> Option<Duration> {
        let newest = self.newest.filter(|newest| !newest.marker && !newest.is_presumed && self.unmarked < 2)?;
        let apart = self.apart.max(LEAST_APART);
        Some(newest.at.saturating_add(apart + apart / 2))
    }

    /// How many packets after the newest are presumed lost, if that is due.
    pub(super) fn presume(&mut self, now: Duration) -> Option<i64> {
        self.due().filter(|due| *due <= now)?;
        let newest = self.newest.as_mut()?;
        newest.is_presumed = true;
        let here = newest.number - newest.first + 1;
        Some((self.packets() - here).clamp(1, MOST_PACKETS))
    }

    /// How many packets a picture has, in the mean.
    pub(super) fn packets(&self) -> i64 {
        ((self.packets_16 + 8) / 16).clamp(1, MOST_PACKETS)
    }

    fn count(&mut self, packets: i64) {
        // Key frames are no measure for the pictures after them.
        if packets > 2 * MOST_PACKETS {
            return;
        }
        let packets_16 = packets * 16;
        self.packets_16 = match self.packets_16 {
            0 => packets_16,
            mean => mean + (packets_16 - mean) / 8,
        };
    }
}
