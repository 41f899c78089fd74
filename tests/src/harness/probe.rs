//! A steady stream of numbered UDP packets over a lab's link, and what arrives of it.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::lab::{End, Lab};

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// How many packets a second, evenly.
    pub packets_per_s: u32,
    /// How long each is; 28 bytes of headers come on top.
    pub bytes: usize,
    /// How long it goes on.
    pub lasts: Duration,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How many were sent.
    pub sent: u32,
    /// Those that came, in the order in which they did.
    pub arrived: Vec<Arrival>,
}

/// A packet that came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Its number, counted from 0.
    pub number: u32,
    /// How long it took from one socket to the other.
    pub delay_ms: f64,
}

/// What comes while the machine is busy elsewhere.
const UNREAD_BYTES: usize = 16 << 20;

/// No packet for so long, and the last is sent: no more come. Longer than the pauses of the committed links (without
/// `outage`, whose pause ends while packets are still sent): `cellular` stalls for up to 1 s, perhaps within a packet that
/// takes another 0.1 s at the lowest rate.
const QUIET: Duration = Duration::from_millis(1500);

/// Sends a stream from that end to the other.
///
/// # Panics
/// When a socket fails.
#[must_use]
pub fn send_over(lab: &Lab, from: End, stream: Stream) -> Seen {
    let socket = |end| lab.enter(end, || UdpSocket::bind((lab.address(end), 0))).expect("the link has addresses");
    let (sender, receiver) = (socket(from), socket(from.other()));
    sender.connect(receiver.local_addr().expect("it is bound")).expect("the link has routes");
    set_socket_recv_buffer_size_force(&receiver, UNREAD_BYTES).expect("who has a lab may have a large buffer");
    receiver.set_read_timeout(Some(QUIET)).expect("the time is not zero");
    let begun = Instant::now();
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(&sender, stream, begun));
        let mut arrived = Vec::new();
        loop {
            let mut packet = [0; 2048];
            match receiver.recv(&mut packet) {
                Ok(_) => arrived.push(arrival(&packet, begun.elapsed())),
                Err(_) if sending.is_finished() => break,
                Err(_) => {}
            }
        }
        Seen { sent: sending.join().expect("sending does not panic"), arrived }
    })
}

/// Each packet holds its number, and when it was sent.
fn send(sender: &UdpSocket, stream: Stream, begun: Instant) -> u32 {
    let every = Duration::from_secs(1) / stream.packets_per_s;
    let count = (stream.lasts.as_nanos() / every.as_nanos()) as u32;
    let mut packet = vec![0; stream.bytes.max(12)];
    for number in 0..count {
        thread::sleep((begun + every * number).saturating_duration_since(Instant::now()));
        packet[..4].copy_from_slice(&number.to_be_bytes());
        packet[4..12].copy_from_slice(&(begun.elapsed().as_nanos() as u64).to_be_bytes());
        sender.send(&packet).expect("the link takes packets");
    }
    count
}

fn arrival(packet: &[u8; 2048], at: Duration) -> Arrival {
    let [a, b, c, d, sent_at @ ..] = packet.first_chunk::<12>().expect("it is longer");
    let sent_at = Duration::from_nanos(u64::from_be_bytes(*sent_at));
    Arrival { number: u32::from_be_bytes([*a, *b, *c, *d]), delay_ms: at.saturating_sub(sent_at).as_secs_f64() * 1e3 }
}

impl Seen {
    /// Which came.
    #[must_use]
    pub fn numbers(&self) -> BTreeSet<u32> {
        self.arrived.iter().map(|packet| packet.number).collect()
    }

    /// Which part of all is missing.
    #[must_use]
    pub fn lost(&self) -> f64 {
        1.0 - self.arrived.len() as f64 / f64::from(self.sent)
    }

    /// How many are missing in a row, in the mean; NaN when none is.
    #[must_use]
    pub fn mean_burst(&self) -> f64 {
        let came = self.numbers();
        let missing: Vec<u32> = (0..self.sent).filter(|number| !came.contains(number)).collect();
        missing.len() as f64 / missing.chunk_by(|one, next| one + 1 == *next).count() as f64
    }

    /// How long those took that came, the shortest first.
    #[must_use]
    pub fn sorted_delays_ms(&self) -> Vec<f64> {
        let mut delays_ms: Vec<f64> = self.arrived.iter().map(|packet| packet.delay_ms).collect();
        delays_ms.sort_by(f64::total_cmp);
        delays_ms
    }
}
