//! Datagrams that nobody asked for, on the way between two peers: garbage from a third address, and a relay between the two
//! that says everything twice and once more damaged.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Whose candidate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The test's own peer's.
    Own,
    /// The other side's.
    Theirs,
}

/// The address in an ICE candidate (RFC 8839 §5.1), if it is one of IPv4.
#[must_use]
pub fn address_in(candidate: &str) -> Option<SocketAddr> {
    let mut fields = candidate.split(' ').skip(4);
    let (ip, port) = (fields.next()?.parse::<Ipv4Addr>().ok()?, fields.next()?.parse().ok()?);
    Some(SocketAddr::from((ip, port)))
}

/// Threads that end with their owner.
#[derive(Debug, Default)]
struct Threads {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Calls `step` again and again, which must return within a moment.
    fn repeat(&mut self, mut step: impl FnMut() + Send + 'static) {
        let over = Arc::clone(&self.over);
        self.threads.push(thread::spawn(move || {
            while !over.load(Relaxed) {
                step();
            }
        }));
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("the time is not zero");
    socket
}

/// A stranger who fires hellos, fragments and other DTLS at whatever address it hears of.
#[derive(Debug)]
pub struct Fire {
    targets: Arc<Mutex<Vec<SocketAddr>>>,
    shots: Arc<AtomicU64>,
    _threads: Threads,
}

impl Fire {
    /// Begins, with no address yet.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn begin() -> Self {
        let (targets, shots) = (Arc::<Mutex<Vec<SocketAddr>>>::default(), Arc::<AtomicU64>::default());
        let mut threads = Threads::default();
        let (socket, ammunition) = (socket(), ammunition());
        let (to, fired) = (Arc::clone(&targets), Arc::clone(&shots));
        let mut next = 0;
        threads.repeat(move || {
            for target in to.lock().expect("nobody panics with it").iter() {
                for datagram in ammunition.iter().cycle().skip(next).take(20) {
                    // A full buffer is no reason to stop.
                    let _ = socket.send_to(datagram, target);
                    fired.fetch_add(1, Relaxed);
                }
            }
            next = (next + 20) % ammunition.len();
            // 20,000 a second at most, or the machine would be what fails.
            thread::sleep(Duration::from_millis(1));
        });
        Self { targets, shots, _threads: threads }
    }

    /// At this address too, from now on.
    ///
    /// # Panics
    /// When the thread that fires has panicked.
    pub fn at(&self, target: SocketAddr) {
        self.targets.lock().expect("nobody panics with it").push(target);
    }

    /// Datagrams so far.
    #[must_use]
    pub fn shots(&self) -> u64 {
        self.shots.load(Relaxed)
    }
}

/// DTLS that is none, or of nobody who was asked (RFC 6347 §4.1, §4.2).
fn ammunition() -> Vec<Vec<u8>> {
    let record = |kind: u8, version: [u8; 2], epoch: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[kind, version[0], version[1], 0, epoch, 0, 0, 0, 0, 0, 1][..], &length, body].concat()
    };
    let (one_zero, one_two) = ([0xfe, 0xff], [0xfe, 0xfd]);
    // A hello that offers nothing but the cipher suite without encryption.
    let hello = |version: [u8; 2]| {
        let body = [&version[..], &[7; 32], &[0, 0, 0, 2, 0, 1, 1, 0]].concat();
        let length = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
        [&[1, length[1], length[2], length[3], 0, 0, 0, 0, 0, length[1], length[2], length[3]][..], &body].concat()
    };
    let mut all = vec![
        record(22, one_two, 0, &hello(one_two)),
        record(22, one_zero, 0, &hello(one_zero)),
        record(22, one_two, 0, &[]),
        record(20, one_two, 0, &[1]),
        record(21, one_two, 0, &[2, 0]),
        record(21, one_two, 0, &[1, 0]),
        record(23, one_two, 0, &[0; 64]),
        record(23, one_two, 1, &[0; 64]),
        record(22, one_two, 1, &[0xff; 200]),
        record(22, one_two, 0, &[0; 12]),
        vec![22],
        vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        vec![0x80; 40],
        vec![0; 20],
    ];
    // Fragments of a message that never becomes whole.
    all.extend((0..200_u8).map(|at| record(22, one_two, 0, &[1, 0xff, 0xff, 0xff, 0, at, 0, at, 0, 0, 0, 1, at])));
    all
}

/// A relay between a peer and the other side, each of whom takes it for the other. Media of the own peer go out as they are,
/// once more as they are, and twice damaged.
#[derive(Debug)]
pub struct Meddler {
    own_side: Arc<Side>,
    their_side: Arc<Side>,
    spoilt: Arc<AtomicU64>,
    _threads: Threads,
}

#[derive(Debug)]
struct Side {
    socket: UdpSocket,
    /// Who is on that side.
    who: Mutex<Option<SocketAddr>>,
}

impl Side {
    fn new() -> Arc<Self> {
        Arc::new(Self { socket: socket(), who: Mutex::new(None) })
    }

    fn send(&self, datagram: &[u8]) {
        let who = *self.who.lock().expect("nobody panics with it");
        if let Some(who) = who {
            let _ = self.socket.send_to(datagram, who);
        }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().expect("it is bound").port()
    }
}

impl Meddler {
    /// Begins, and knows nobody yet.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn begin() -> Self {
        let (own_side, their_side, spoilt) = (Side::new(), Side::new(), Arc::<AtomicU64>::default());
        let mut threads = Threads::default();
        let mut buffer = [0; 2_048];
        let (from, to) = (Arc::clone(&their_side), Arc::clone(&own_side));
        threads.repeat(move || {
            if let Ok((length, _)) = from.socket.recv_from(&mut buffer) {
                to.send(&buffer[..length]);
            }
        });
        let (from, to, count) = (Arc::clone(&own_side), Arc::clone(&their_side), Arc::clone(&spoilt));
        threads.repeat(move || {
            let Ok((length, _)) = from.socket.recv_from(&mut buffer) else { return };
            let datagram = &mut buffer[..length];
            to.send(datagram);
            // SRTP and SRTCP (RFC 7983 §7).
            if !datagram.first().is_some_and(|first| (128..=191).contains(first)) || length < 16 {
                return;
            }
            to.send(datagram);
            // A number that was not there yet, under a tag that is of another.
            datagram[3] ^= 0x40;
            to.send(datagram);
            datagram[3] ^= 0x40;
            datagram[length - 1] ^= 1;
            to.send(datagram);
            count.fetch_add(3, Relaxed);
        });
        Self { own_side, their_side, spoilt, _threads: threads }
    }

    /// What one side is told in place of the other's candidate. `None`: nothing.
    ///
    /// # Panics
    /// When a thread of the relay has panicked.
    #[must_use]
    pub fn between(&self, whose: Whose, candidate: &str) -> Option<String> {
        let address = address_in(candidate)?;
        let (who, shown) = match whose {
            Whose::Own => (&self.own_side, &self.their_side),
            Whose::Theirs => (&self.their_side, &self.own_side),
        };
        let mut who = who.who.lock().expect("nobody panics with it");
        if who.is_some() {
            return None;
        }
        *who = Some(address);
        let fields = candidate.split(' ').enumerate();
        let port = shown.port().to_string();
        Some(fields.map(|(at, field)| if at == 5 { port.as_str() } else { field }).collect::<Vec<_>>().join(" "))
    }

    /// Datagrams that were added.
    #[must_use]
    pub fn spoilt(&self) -> u64 {
        self.spoilt.load(Relaxed)
    }
}
