//! A call in virtual time: sender and receiver, a link each way, and what a viewer would have seen.

use crate::link::{Link, Way};
use crate::sender::{Sender, TICKS};
use ahoy_rtp::{
    Arrival, AssemblerConfig, AssemblerEvent, Came, FrameAssembler, NackGenerator, PictureFormat, RtpHeader, RtpPacket,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// From capture to the first packet, and from the last packet to the screen, a picture takes this long besides the path.
const CODING: Duration = Duration::from_millis(5);

/// What a packet is beside its payload: IPv4, UDP, RTP with extensions, SRTP.
const OVERHEAD_BYTES: usize = 70;

/// A request, as SRTCP.
const REQUEST_BYTES: usize = 80;

/// Other RTCP on the way back: feedback for congestion control. Bursts of loss last for packets, not for a time.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What is simulated.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// Both ways.
    pub(crate) way: Way,
    /// Between the packets of a picture.
    pub(crate) pace: Duration,
    /// Every second picture is referred to by none.
    pub(crate) has_layers: bool,
    /// A parity packet follows each picture (FlexFEC with one row): whichever single packet is lost is known from the others.
    pub(crate) has_parity: bool,
    pub(crate) minutes: u32,
}

/// What came of it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) gaps_a_minute: f64,
    pub(crate) lost: f64,
    /// Packets asked for, packets sent again, and packets sent again that were not missing, for each one lost.
    pub(crate) asked_a_loss: f64,
    pub(crate) resent_a_loss: f64,
    pub(crate) unneeded_a_loss: f64,
    /// RTCP packets with requests, a second.
    pub(crate) requests_a_second: f64,
    pub(crate) keys_a_minute: f64,
    pub(crate) kbps: f64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:4.0} p95 {:4.0} p99 {:4.0} ms, gaps {:5.2}/min, lost {:4.1} %, a loss: asked {:4.2} resent {:4.2} \
             unneeded {:4.2}, {:4.1} requests/s, keys {:4.2}/min, {:4.0} kb/s",
            self.p50_ms,
            self.p95_ms,
            self.p99_ms,
            self.gaps_a_minute,
            self.lost * 100.0,
            self.asked_a_loss,
            self.resent_a_loss,
            self.unneeded_a_loss,
            self.requests_a_second,
            self.keys_a_minute,
            self.kbps,
        )
    }
}

enum Event {
    Capture,
    Send(RtpPacket),
    Parity(Vec<RtpPacket>),
    Packet(RtpPacket, Came),
    ParityArrives(Vec<RtpPacket>),
    Request(Vec<u16>),
    KeyRequest,
    Report,
}

struct Run {
    call: Call,
    events: BTreeMap<(Duration, u64), Event>,
    count: u64,
    sender: Sender,
    forth: Link,
    back: Link,
    generator: NackGenerator,
    assembler: FrameAssembler,
    arrived: BTreeSet<u16>,
    /// When each picture was captured, and the pictures in the order in which they were shown.
    captured: Vec<Duration>,
    shown: Vec<(usize, Duration)>,
    sent: u64,
    lost: u64,
    asked: u64,
    requests: u64,
    resent: u64,
    unneeded: u64,
    keys: u64,
    bytes: u64,
}

/// Runs a call and prints what came of it.
pub(crate) fn run(call: Call, seed: u64) -> Outcome {
    let mut generator = NackGenerator::default();
    let mut assembler = FrameAssembler::new(PictureFormat::H264, AssemblerConfig::default());
    // What RTCP and ICE tell soon after the beginning.
    generator.set_round_trip(call.way.delay * 2);
    assembler.set_round_trip(call.way.delay * 2);
    let mut run = Run {
        call,
        events: BTreeMap::new(),
        count: 0,
        sender: Sender::new(call.has_layers, seed),
        forth: Link::new(call.way, seed),
        back: Link::new(call.way, seed ^ 0x5555),
        generator,
        assembler,
        arrived: BTreeSet::new(),
        captured: Vec::new(),
        shown: Vec::new(),
        sent: 0,
        lost: 0,
        asked: 0,
        requests: 0,
        resent: 0,
        unneeded: 0,
        keys: 0,
        bytes: 0,
    };
    run.at(Duration::ZERO, Event::Capture);
    run.at(REPORT_EVERY, Event::Report);
    let end = Duration::from_secs(60) * call.minutes;
    let mut now = Duration::ZERO;
    while now < end {
        let timeouts = run.generator.poll_timeout().into_iter().chain(run.assembler.poll_timeout());
        let next = run.events.first_key_value().map(|((at, _), _)| *at);
        let due = timeouts.chain(next).min().unwrap();
        assert!(due <= end + Duration::from_secs(10), "there is always a next picture");
        now = now.max(due);
        if next.is_some_and(|next| next <= now) {
            let ((_, _), event) = run.events.pop_first().unwrap();
            run.happen(now, event);
        }
        run.assembler.handle_timeout(now);
        run.listen(now);
    }
    let outcome = run.outcome(end);
    println!("{:24} {outcome}", call.name);
    outcome
}

impl Run {
    fn at(&mut self, at: Duration, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    fn happen(&mut self, now: Duration, event: Event) {
        match event {
            Event::Capture => self.capture(now),
            Event::Send(packet) => {
                self.sent += 1;
                let arrives = self.put(now, packet.payload.len());
                self.lost += u64::from(arrives.is_none());
                if let Some(at) = arrives {
                    self.at(at, Event::Packet(packet, Came::Itself));
                }
            }
            Event::Parity(packets) => {
                let longest = packets.iter().map(|packet| packet.payload.len()).max().unwrap_or(0);
                if let Some(at) = self.put(now, longest + 20) {
                    self.at(at, Event::ParityArrives(packets));
                }
            }
            Event::Packet(packet, came) => self.arrive(now, packet, came),
            Event::ParityArrives(packets) => {
                let missing: Vec<_> =
                    packets.into_iter().filter(|packet| !self.arrived.contains(&packet.sequence)).collect();
                if let [packet] = &missing[..] {
                    self.arrive(now, packet.clone(), Came::Again);
                }
            }
            Event::Request(sequences) => {
                for sequence in sequences {
                    if let Some(packet) = self.sender.again(now, sequence) {
                        self.resent += 1;
                        if let Some(at) = self.put(now, packet.payload.len() + 2) {
                            self.at(at, Event::Packet(packet, Came::Again));
                        }
                    }
                }
            }
            Event::KeyRequest => self.sender.want_key(),
            Event::Report => {
                self.back.send(now, REQUEST_BYTES);
                self.at(now + REPORT_EVERY, Event::Report);
            }
        }
    }

    fn capture(&mut self, now: Duration) {
        self.captured.push(now);
        let packets = self.sender.picture(now);
        let first = now + CODING;
        let last = first + self.call.pace * packets.len() as u32;
        for (index, packet) in (0..).zip(packets.clone()) {
            self.at(first + self.call.pace * index, Event::Send(packet));
        }
        if self.call.has_parity {
            self.at(last, Event::Parity(packets));
        }
        let next = Duration::from_secs(1).mul_f64(self.captured.len() as f64 / 30.0);
        self.at(next, Event::Capture);
    }

    /// Sends a packet with so much payload forth.
    fn put(&mut self, now: Duration, payload_bytes: usize) -> Option<Duration> {
        self.bytes += (payload_bytes + OVERHEAD_BYTES) as u64;
        self.forth.send(now, payload_bytes + OVERHEAD_BYTES)
    }

    fn arrive(&mut self, now: Duration, packet: RtpPacket, came: Came) {
        self.arrived.insert(packet.sequence);
        self.arrived.remove(&packet.sequence.wrapping_add(0x8000));
        let RtpPacket { sequence, timestamp, marker, .. } = packet;
        let arrival = self.generator.push(now, RtpHeader { sequence, timestamp, marker }, came);
        self.unneeded += u64::from(came == Came::Again && arrival == Arrival::Unneeded);
        self.assembler.push(now, packet);
    }

    /// Takes what the receiver has to say.
    fn listen(&mut self, now: Duration) {
        let wanted = self.generator.poll(now);
        if !wanted.is_empty() {
            self.asked += wanted.len() as u64;
            self.requests += 1;
            if let Some(at) = self.back.send(now, REQUEST_BYTES) {
                self.at(at, Event::Request(wanted));
            }
        }
        while let Some(event) = self.assembler.poll_event() {
            match event {
                AssemblerEvent::Frame(frame) => {
                    let number = (frame.rtp / TICKS) as usize;
                    let last = self.shown.last().map_or(0, |(last, _)| last + 1);
                    let left_out = self.sender.pictures.get(last..number).unwrap();
                    let can_be_decoded = frame.key || left_out.iter().all(|(_, is_referred_to)| !is_referred_to);
                    assert!(can_be_decoded, "picture {number} after {last} needs what was left out");
                    assert_eq!(frame.key, self.sender.pictures[number].0);
                    self.shown.push((number, now));
                }
                AssemblerEvent::KeyFrameWanted => {
                    self.keys += 1;
                    if let Some(at) = self.back.send(now, REQUEST_BYTES) {
                        self.at(at, Event::KeyRequest);
                    }
                }
            }
        }
    }

    fn outcome(&self, end: Duration) -> Outcome {
        let minutes = end.as_secs_f64() / 60.0;
        let mut shown = self.shown.iter().peekable();
        let mut delays: Vec<f64> = (0..)
            .zip(&self.captured)
            .filter_map(|(number, captured)| {
                while shown.next_if(|(at, _)| *at < number).is_some() {}
                // Pictures come in order, so the first that is not earlier is also the soonest.
                shown.peek().map(|(_, at)| (*at - *captured).as_secs_f64() * 1e3)
            })
            .collect();
        delays.sort_by(f64::total_cmp);
        let quantile = |share: f64| delays[(delays.len() as f64 * share) as usize];
        let is_gap = |pair: &&[(usize, Duration)]| pair[1].1 - pair[0].1 >= Duration::from_millis(200);
        let a_loss = |count: u64| count as f64 / self.lost.max(1) as f64;
        Outcome {
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            gaps_a_minute: self.shown.windows(2).filter(is_gap).count() as f64 / minutes,
            lost: self.lost as f64 / self.sent as f64,
            asked_a_loss: a_loss(self.asked),
            resent_a_loss: a_loss(self.resent),
            unneeded_a_loss: a_loss(self.unneeded),
            requests_a_second: self.requests as f64 / minutes / 60.0,
            keys_a_minute: self.keys as f64 / minutes,
            kbps: self.bytes as f64 * 8.0 / end.as_secs_f64() / 1e3,
        }
    }
}
