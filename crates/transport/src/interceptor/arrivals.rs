//! Reports to the peer when its packets came, by their transport-wide numbers, as often as is of use: after each picture,
//! on a slow path seldom enough to take no more than a small part of it. The crate makes the reports, this says when.

use super::rate::ByteRate;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket, TwccReceiverBuilder, TwccReceiverInterceptor};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::time::{Duration, Instant};

/// What a report takes of the path back, all headers included, and what share of what comes it may be.
const REPORT_BITS: f64 = 900.0;
const SHARE: f64 = 0.06;

const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(200);

/// How long the end of a picture is waited for.
const PICTURE: Duration = Duration::from_millis(15);

/// The crate's own interval: none, so that it reports whenever it is let.
const ALWAYS: Duration = Duration::from_micros(1);

pub(crate) struct Arrivals {
    reports: TwccReceiverInterceptor,
    /// When the first packet came that was not reported on.
    waiting_since: Option<Instant>,
    reported_at: Option<Instant>,
    rate: ByteRate,
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        let reports = TwccReceiverBuilder::new().with_interval(ALWAYS).build();
        Self { reports, waiting_since: None, reported_at: None, rate: ByteRate::default() }
    }

    /// When the next report may leave at the earliest.
    fn earliest(&self, since: Instant) -> Instant {
        let pause = Duration::from_secs_f64(REPORT_BITS / (self.rate.bps() * SHARE).max(1.0));
        self.reported_at.map_or(since, |at| at + pause.clamp(SHORTEST, LONGEST))
    }

    fn due(&self) -> Option<Instant> {
        let since = self.waiting_since?;
        Some(self.earliest(since).max(since + PICTURE))
    }

    fn report(&mut self, now: Instant) -> Result<(), Error> {
        self.waiting_since = None;
        self.reported_at = Some(now);
        self.reports.handle_timeout(now)
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Arrivals {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let now = packet.now;
        let ends_picture = match &packet.message.packet {
            Packet::Rtp(rtp) => {
                self.rate.add(now, rtp.payload.len());
                self.waiting_since.get_or_insert(now);
                Some(rtp.header.marker)
            }
            _ => None,
        };
        self.reports.handle_read(packet)?;
        let Some(ends_picture) = ends_picture else { return Ok(()) };
        let since = self.waiting_since.unwrap_or(now);
        if self.due().is_some_and(|due| due <= now) || ends_picture && self.earliest(since) <= now {
            self.report(now)?;
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reports.poll_read()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.reports.handle_write(packet)
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.reports.poll_write()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.due().is_some_and(|due| due <= now) { self.report(now) } else { Ok(()) }
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.due()
    }
}

impl Interceptor for Arrivals {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.reports.bind_local_stream(info);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.reports.unbind_local_stream(info);
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.reports.bind_remote_stream(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.reports.unbind_remote_stream(info);
    }
}
