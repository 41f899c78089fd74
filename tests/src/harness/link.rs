//! A path between two peers that is as bad as a test wants: what they send each other over UDP goes through here, is delayed
//! or lost, and noted down. It reads of a packet what is not encrypted, and changes nothing in it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How often a thread without packets looks whether it should stop.
const IDLE: Duration = Duration::from_millis(50);

/// What happens to packets one way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// How long each packet takes.
    pub delay: Duration,
    /// Which part of all packets is lost, from 0 to 1.
    pub loss: f64,
    /// How many are lost one after the other each time; 0 and 1 are the same.
    pub burst: u32,
}

/// Whose side of the link something is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// One of the two.
    Left,
    /// The other.
    Right,
}

/// A packet that came to the link.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// When it came.
    pub at: Instant,
    /// What it was.
    pub kind: Kind,
    /// Whether it was lost here.
    pub lost: bool,
}

/// What can be seen of a packet (RFC 7983 §7, RFC 5761 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sound or pictures.
    Rtp {
        /// In which codec, or that it is a retransmission.
        payload_type: u8,
        /// Its number.
        sequence: u16,
    },
    /// RTCP, STUN and DTLS.
    Other,
}

/// The link. It ends when it is dropped.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    ends: [Side; 2],
    stopping: AtomicBool,
}

/// What belongs to one end: where its packets come in, and what happens to them.
#[derive(Debug)]
struct Side {
    /// Where the peer on this end sends to, in place of the other one.
    socket: UdpSocket,
    /// Where that peer is.
    peer: Mutex<Option<SocketAddr>>,
    /// What happens to what it sends.
    way: Mutex<(Way, StdRng)>,
    passages: Mutex<Vec<Passage>>,
}

impl Link {
    /// A link that does the same both ways. What is lost is decided by `seed`.
    ///
    /// # Panics
    /// When there are no sockets or threads.
    #[must_use]
    pub fn new(way: Way, seed: u64) -> Self {
        let side = |seed| Side {
            socket: UdpSocket::bind("127.0.0.1:0").expect("there are sockets"),
            peer: Mutex::default(),
            way: Mutex::new((way, StdRng::seed_from_u64(seed))),
            passages: Mutex::default(),
        };
        let shared = Shared { ends: [side(seed), side(seed ^ 1)], stopping: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let mut threads = Vec::new();
        for end in [End::Left, End::Right] {
            let (queue, queued) = channel();
            let (taking, delivering) = (Arc::clone(&shared), Arc::clone(&shared));
            threads.push(thread::spawn(move || taking.take_packets(end, &queue)));
            threads.push(thread::spawn(move || delivering.deliver(end, &queued)));
        }
        Self { shared, threads }
    }

    /// Changes what happens to packets from now on, both ways.
    pub fn set(&self, way: Way) {
        for side in &self.shared.ends {
            lock(&side.way).0 = way;
        }
    }

    /// The candidate of the peer on `end` as the other one is to see it: in its place stands the link.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn candidate(&self, end: End, candidate: &str) -> String {
        let mut fields: Vec<&str> = candidate.split(' ').collect();
        let address = format!("{}:{}", fields[4], fields[5]);
        *lock(&self.shared.side(end).peer) = Some(address.parse().expect("the candidate has an address"));
        let there = self.shared.side(end.other()).socket.local_addr().expect("the socket is bound");
        let (ip, port) = (there.ip().to_string(), there.port().to_string());
        fields[4] = &ip;
        fields[5] = &port;
        fields.join(" ")
    }

    /// What the peer on `end` has sent so far.
    #[must_use]
    pub fn passages(&self, end: End) -> Vec<Passage> {
        lock(&self.shared.side(end).passages).clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic in it was printed, and the test fails for want of packets.
            let _ = thread.join();
        }
    }
}

impl End {
    fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

impl Shared {
    fn side(&self, end: End) -> &Side {
        match end {
            End::Left => &self.ends[0],
            End::Right => &self.ends[1],
        }
    }

    /// Reads what the peer on `end` sends, and decides when it comes out on the other side, if at all.
    fn take_packets(&self, end: End, queue: &Sender<(Instant, Vec<u8>)>) {
        let side = self.side(end);
        side.socket.set_read_timeout(Some(IDLE)).expect("the time is not zero");
        let mut buffer = [0; 65_536];
        // How many more are lost in this burst.
        let mut still_lost = 0;
        while !self.stopping.load(Ordering::Relaxed) {
            let Ok((length, _)) = side.socket.recv_from(&mut buffer) else { continue };
            let now = Instant::now();
            let packet = &buffer[..length];
            let through_at = {
                let (way, random) = &mut *lock(&side.way);
                if still_lost == 0 && random.random_bool(way.loss / f64::from(way.burst.max(1))) {
                    still_lost = way.burst.max(1);
                }
                let is_lost = still_lost > 0;
                still_lost = still_lost.saturating_sub(1);
                (!is_lost).then(|| now + way.delay)
            };
            lock(&side.passages).push(Passage { at: now, kind: kind(packet), lost: through_at.is_none() });
            if let Some(through_at) = through_at {
                // Fails only when the link ends.
                let _ = queue.send((through_at, packet.to_vec()));
            }
        }
    }

    /// Hands the other peer what the one on `end` sent, each packet when it is through.
    fn deliver(&self, end: End, queued: &Receiver<(Instant, Vec<u8>)>) {
        let other = self.side(end.other());
        while let Ok((through_at, packet)) = queued.recv() {
            thread::sleep(through_at.saturating_duration_since(Instant::now()));
            if let Some(peer) = *lock(&other.peer) {
                // A peer that is gone takes nothing.
                let _ = other.socket.send_to(&packet, peer);
            }
        }
    }
}

fn kind(packet: &[u8]) -> Kind {
    match packet {
        // Between 192 and 223 lie the types of RTCP.
        [128..=191, second @ (0..192 | 224..), high, low, ..] => {
            Kind::Rtp { payload_type: second & 0x7f, sequence: u16::from_be_bytes([*high, *low]) }
        }
        _ => Kind::Other,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
