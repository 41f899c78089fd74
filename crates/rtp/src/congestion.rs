//! How much the path to the peer carries at this moment, from the peer's reports on single packets
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01), and so how much to send and whether a picture may be sent at all.
//!
//! Three things are known of each packet that was reported: when it left, when it came, and how large it was.
//!
//! * **Capacity.** Where a packet had to wait behind the one before it, the time between their arrivals is what the
//!   narrowest link took to send it. Bytes and times of such packets, added up over the newest of them, are its rate.
//!   The pictures themselves are the probes: their packets leave faster than they can arrive. So a path that
//!   became wider shows with the next pictures, without being filled first.
//! * **Queue.** From the capacity follows when each packet on its way will be there; how long the next one would wait is
//!   how far the last one is ahead of it ([`CongestionControl::wait`]). A picture that would wait is left out before it is
//!   encoded (as in Salsify, NSDI 2018), and never queued.
//! * **Silence.** Reports that should be here and are not mean that the path is slower than thought or does not answer.
//!   What they are overdue counts as queue, so a path that broke down is filled with no more than what was on its way.
//!
//! Loss alone changes nothing: on a radio link it says nothing about the rate.

mod base_delay;
mod capacity;
mod in_flight;
mod standing;

use base_delay::BaseDelay;
use capacity::Capacity;
use in_flight::{InFlight, Sent};
use standing::Standing;
use std::time::Duration;

/// What is taken for the capacity until the first packets are reported.
pub const INITIAL_BPS: u64 = 1_500_000;

/// Of what the path carried the last time, this share is taken at the start, between the limits below. Who is too low is
/// right after the first picture, which is short then; who is too high has filled a queue by that time.
const REMEMBERED_SHARE: f64 = 0.75;
const REMEMBERED_MIN_BPS: f64 = 200_000.0;
const REMEMBERED_MAX_BPS: f64 = 2.0 * INITIAL_BPS as f64;

/// Between what the capacity is believed: a packet in three seconds, and more than any picture here takes.
const MIN_BPS: f64 = 30_000.0;
const MAX_BPS: f64 = 50_000_000.0;

/// What is used of the capacity: the rest empties the queue that single large pictures leave.
const USED_SHARE: f64 = 0.9;

/// A queue that never gets shorter than this is one that stands, and is taken down by sending less. Scheduling on both
/// machines looks like a few milliseconds of it.
const STANDING_US: i64 = 15 * MS;

/// A queue that stood for so much longer than that would leave nothing to be sent; but never less than [`MIN_SHARE`].
const DRAINED_US: f64 = 250.0 * MS as f64;
const MIN_SHARE: f64 = 0.4;

/// Packets leave at this multiple of the capacity, and at no less than so many bits a second. Faster than they can arrive:
/// that is what shows how fast they can.
const PACED_SHARE: f64 = 2.5;
const MIN_PACED_BPS: f64 = 2_000_000.0;

/// The first picture leaves so fast: it has to pass a narrow link in any case, and on a wide one nobody waits for it.
const UNKNOWN_PACED_BPS: f64 = 20_000_000.0;

/// Without packets that waited for each other nothing is measured. The estimate then grows, a second, by this share.
const BLIND_GROWTH: f64 = 0.25;
const BLIND_AFTER_US: i64 = 500 * MS;

/// A packet that no report named for so long is not on its way any more. Longer than the longest pause between questions.
const EXPIRED_US: i64 = 5_000 * MS;

/// Smaller packets come as evenly as the network's jitter lets them, and measure that instead; but not behind a queue of
/// so long.
const MIN_MEASURED_BYTES: usize = 300;
const CERTAIN_QUEUE_US: i64 = 30 * MS;

/// How much longer than usual an answer may take before it is overdue.
const LATE_US: i64 = 15 * MS;

/// Where no answer comes, the next pictures ask, so many of them one after the other: a burst of loss is over with the
/// packets that it takes. Then one asks after [`ASK_AGAIN_US`], or what an answer takes, then after twice as long, and so on:
/// the path may have come to rest.
const AT_ONCE: u32 = 3;
const ASK_AGAIN_US: i64 = 60 * MS;
const MAX_DOUBLINGS: u32 = 3;

/// Packets that leave with no more time between them ask together.
const SAME_PICTURE_US: i64 = 10 * MS;

/// What waits no longer than this is behind another picture at most.
const QUEUED_US: i64 = 40 * MS;

const MS: i64 = 1_000;

/// What a report says of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketReport {
    /// Its transport-wide number.
    pub number: u16,
    /// When it came, on any clock of the peer's that goes on evenly; `None` if it did not.
    pub arrived: Option<Duration>,
}

/// Watches the packets of one path. `now` is the time since any fixed moment, the same in every call, and does not go back.
#[derive(Debug)]
pub struct CongestionControl {
    in_flight: InFlight,
    base: BaseDelay,
    capacity: Capacity,
    standing: Standing,
    /// The newest packet that came, as it was sent and when it came.
    last: Option<(i64, Sent, i64)>,
    /// When everything sent so far will have come, on the peer's clock.
    all_here: Option<i64>,
    /// How long an answer takes without a queue: the longest of late.
    answer: Answer,
    /// When the last packet left, and how many questions were not answered since the last report.
    sent_at: i64,
    asked: u32,
    grown_at: i64,
    bps: f64,
    is_known: bool,
}

/// How long packets wait for the report on them besides queueing: the longest in the last few seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    longest: i64,
    before: i64,
    since: i64,
}

impl Answer {
    const SPAN_US: i64 = 2_000 * MS;
    /// While nothing is known: around the world, and a tenth of a second until the report is made.
    const UNKNOWN_US: i64 = 400 * MS;

    fn sample(&mut self, now: i64, took: i64) {
        if now - self.since > Self::SPAN_US {
            *self = Self { longest: 0, before: self.longest, since: now };
        }
        self.longest = self.longest.max(took.clamp(0, 3_000 * MS));
    }

    fn longest(&self) -> i64 {
        match self.longest.max(self.before) {
            0 => Self::UNKNOWN_US,
            known => known,
        }
    }
}

impl CongestionControl {
    /// For a path of which nothing is known.
    pub fn new() -> Self {
        Self {
            in_flight: InFlight::default(),
            base: BaseDelay::default(),
            capacity: Capacity::default(),
            standing: Standing::default(),
            last: None,
            all_here: None,
            answer: Answer::default(),
            sent_at: 0,
            asked: 0,
            grown_at: 0,
            bps: INITIAL_BPS as f64,
            is_known: false,
        }
    }

    /// The path is one that carried `last_known_bps` the last time. That is a guess, and a careful one; it counts until the
    /// first reports say better, and not at all where they have said so already.
    pub fn start_from(&mut self, last_known_bps: u64) {
        if !self.is_known {
            self.bps = (last_known_bps as f64 * REMEMBERED_SHARE).clamp(REMEMBERED_MIN_BPS, REMEMBERED_MAX_BPS);
        }
    }

    /// A packet of `bytes`, headers of all layers included, leaves now under `number`.
    pub fn sent(&mut self, now: Duration, number: u16, bytes: usize) {
        let now = micros(now);
        self.in_flight.expire(now - EXPIRED_US);
        if self.late(now) > 0 && now - self.sent_at > self.pause().max(SAME_PICTURE_US) {
            self.asked += 1;
        }
        self.sent_at = now;
        let mut sent = Sent { at: now, bytes, wait: 0 };
        if let Some(base) = self.base.lowest() {
            sent.wait = self.queue(&sent, base);
            self.all_here = Some(now + base + sent.wait + self.transmission(bytes));
        }
        self.in_flight.insert(number, sent);
    }

    /// The peer reports on packets, in the order of their numbers.
    pub fn reported(&mut self, now: Duration, reports: &[PacketReport]) {
        let now = micros(now);
        if let Some(first) = reports.first() {
            self.in_flight.forget_before(first.number);
        }
        let mut came = false;
        for report in reports {
            let Some((number, sent)) = self.in_flight.take(report.number) else { continue };
            if let Some(arrived) = report.arrived {
                self.came(now, number, sent, micros(arrived));
                came = true;
            }
        }
        if came {
            self.asked = 0;
            self.estimate(now);
        }
        self.predict();
    }

    /// What the path carries, in bits a second, all headers included.
    pub fn capacity_bps(&self) -> u64 {
        self.bps as u64
    }

    /// Whether that was measured; else it is a guess.
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// What should be sent, in bits a second, all headers included.
    pub fn target_bps(&self) -> u64 {
        let excess = (self.standing.lowest() - STANDING_US).max(0) as f64;
        (self.bps * USED_SHARE * (1.0 - excess / DRAINED_US).max(MIN_SHARE)) as u64
    }

    /// Whether the answer to what was sent is late, and a picture sent now asks for one. It should be small: on a path that
    /// came nearly to rest every byte in its queue has to be waited for. And it should be several packets: where only
    /// loss keeps the answers away, one more of them gets through.
    pub fn is_asking(&self, now: Duration) -> bool {
        self.late(micros(now)) > 0
    }

    /// How fast packets should leave, in bits a second.
    pub fn pacing_bps(&self) -> u64 {
        (self.bps * PACED_SHARE).max(if self.is_known { MIN_PACED_BPS } else { UNKNOWN_PACED_BPS }) as u64
    }

    /// How long a packet sent now would wait behind others on its way.
    pub fn wait(&self, now: Duration) -> Duration {
        let now = micros(now);
        let queue = match (self.all_here, self.base.lowest()) {
            (Some(all_here), Some(base)) => all_here - now - base,
            _ => 0,
        };
        duration(queue.max(self.overdue(now)))
    }

    /// Whether a packet that was sent under `number` and not reported on is thought to stand in a queue on its way still,
    /// or to have left it less than `way_back` ago, so that nobody can have said that it is missing. What does not wait
    /// longer than one picture takes does not count.
    pub fn is_queued(&self, now: Duration, number: u16, way_back: Duration) -> bool {
        let Some(sent) = self.in_flight.get(number) else { return false };
        sent.wait > QUEUED_US && micros(now) < sent.at + sent.wait + micros(way_back)
    }

    /// How long nothing has left.
    pub fn idle(&self, now: Duration) -> Duration {
        duration(micros(now) - self.sent_at)
    }

    /// Packets on their way.
    pub fn packets_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// How long the report on the oldest packet is overdue, and so the next picture has to wait; 0 when it is to ask.
    fn overdue(&self, now: i64) -> i64 {
        if now - self.sent_at > self.pause() { 0 } else { self.late(now) }
    }

    /// By how much the report on the oldest packet is late.
    fn late(&self, now: i64) -> i64 {
        self.in_flight.oldest().map_or(0, |oldest| now - oldest.at - self.answer.longest() - oldest.wait - LATE_US)
    }

    /// How long nothing is sent before the next picture asks whether the path answers again.
    fn pause(&self) -> i64 {
        match self.asked.checked_sub(AT_ONCE) {
            None => 0,
            Some(asked) => self.answer.longest().max(ASK_AGAIN_US) << asked.min(MAX_DOUBLINGS),
        }
    }

    fn came(&mut self, now: i64, number: i64, sent: Sent, arrived: i64) {
        let queue = self.base.sample(now, arrived - sent.at);
        self.standing.sample(now, queue);
        self.answer.sample(now, now - sent.at - queue);
        if let Some((before, earlier, earlier_arrived)) = self.last {
            if number < before {
                return;
            }
            let base = arrived - sent.at - queue;
            let burst = transmission(earlier.bytes, self.pacing_bps() as f64) * 3 / 2 + 2 * MS;
            let had_to_wait = sent.at + base < earlier_arrived || sent.at - earlier.at <= burst;
            // What came between two packets and was lost took its time too.
            let is_certain = sent.bytes >= MIN_MEASURED_BYTES || queue >= CERTAIN_QUEUE_US;
            let measures = had_to_wait && is_certain && arrived >= earlier_arrived;
            if number == before + 1 && measures {
                self.capacity.push(arrived, sent.bytes, arrived - earlier_arrived);
                self.grown_at = now;
            }
        }
        self.last = Some((number, sent, arrived));
    }

    fn estimate(&mut self, now: i64) {
        if let Some(bps) = self.capacity.estimate() {
            if now - self.grown_at <= BLIND_AFTER_US {
                self.bps = bps.clamp(MIN_BPS, MAX_BPS);
            }
            self.is_known = true;
        }
        if now - self.grown_at > BLIND_AFTER_US {
            let passed = (now - self.grown_at - BLIND_AFTER_US).min(BLIND_AFTER_US) as f64 / 1e6;
            self.grown_at = now - BLIND_AFTER_US;
            if self.standing.lowest() < STANDING_US && self.bps < INITIAL_BPS as f64 {
                self.bps *= 1.0 + BLIND_GROWTH * passed;
            }
        }
    }

    /// Reckons anew when what is on its way will be there.
    fn predict(&mut self) {
        let (Some(base), Some((newest, _, arrived))) = (self.base.lowest(), self.last) else { return };
        let bps = self.bps;
        let mut all_here = arrived;
        for sent in self.in_flight.after(newest) {
            let unhindered = sent.at + base;
            sent.wait = (all_here - unhindered).max(0);
            all_here = all_here.max(unhindered) + transmission(sent.bytes, bps);
        }
        self.all_here = Some(all_here);
    }

    fn queue(&self, sent: &Sent, base: i64) -> i64 {
        self.all_here.map_or(0, |all_here| (all_here - sent.at - base).max(0))
    }

    fn transmission(&self, bytes: usize) -> i64 {
        transmission(bytes, self.bps)
    }
}

/// How long so many bytes take at a rate.
fn transmission(bytes: usize, bps: f64) -> i64 {
    (bytes as f64 * 8e6 / bps) as i64
}

fn micros(duration: Duration) -> i64 {
    // Sums and differences of a few of these fit, and one is 36,000 years.
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 8)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

impl Default for CongestionControl {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
