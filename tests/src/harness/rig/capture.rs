//! What leaves an end, by a packet socket (packet(7)) in its namespace.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::now_ns;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketType, recv, socket};

/// Records until it is dropped.
#[derive(Debug)]
pub struct Capture {
    state: Arc<State>,
    reading: Option<JoinHandle<()>>,
}

/// A packet that left.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// When it was seen, by [`now_ns`].
    pub t_ns: u64,
    /// From where; port 0 if its protocol has none.
    pub from: SocketAddrV4,
    /// Whereto; port 0 if its protocol has none.
    pub to: SocketAddrV4,
    /// Its protocol's number: 1 ICMP, 6 TCP, 17 UDP.
    pub protocol: u8,
    /// The first byte of a datagram of UDP.
    pub first: Option<u8>,
}

#[derive(Debug, Default)]
struct State {
    packets: Mutex<Vec<Packet>>,
    ends: AtomicBool,
}

/// `ETH_P_ALL` (linux/if_ether.h) in the byte order of networks: only with this are packets seen that leave.
const ALL: u32 = 3_u16.to_be() as u32;
/// A minute of a call sends some 10,000.
const MOST_PACKETS: usize = 500_000;
const BUFFER_BYTES: usize = 8 << 20;
/// How soon it ends.
const LOOKS_UP: Duration = Duration::from_millis(50);

impl Capture {
    /// In the namespace of this thread, an end of the home of that number.
    pub(super) fn start(home: u8) -> Self {
        // Without its link's header (SOCK_DGRAM), and not bound: of every interface.
        let protocol = NonZeroU32::new(ALL).map(Protocol::from_raw);
        let socket =
            socket(AddressFamily::PACKET, SocketType::DGRAM, protocol).expect("who makes namespaces may listen");
        set_socket_recv_buffer_size(&socket, BUFFER_BYTES).expect("a buffer can be asked for");
        set_socket_timeout(&socket, Timeout::Recv, Some(LOOKS_UP)).expect("a socket can be told to give up");
        let state = Arc::new(State::default());
        let records = Arc::clone(&state);
        let reading = thread::spawn(move || record(&socket, home, &records));
        Self { state, reading: Some(reading) }
    }

    /// What has left so far.
    #[must_use]
    pub fn packets(&self) -> Vec<Packet> {
        // What has left just now is still under way to this socket's reader.
        thread::sleep(2 * LOOKS_UP);
        self.state.packets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.state.ends.store(true, Ordering::Relaxed);
        let _ = self.reading.take().map(JoinHandle::join);
    }
}

impl Packet {
    /// Whether it carries media or reports on it: RTP, SRTP or RTCP (RFC 7983 §7).
    #[must_use]
    pub fn is_rtp(&self) -> bool {
        self.protocol == UDP && self.first.is_some_and(|first| (128..192).contains(&first))
    }

    /// Whether it is a datagram of DTLS (RFC 7983 §7).
    #[must_use]
    pub fn is_dtls(&self) -> bool {
        self.protocol == UDP && self.first.is_some_and(|first| (20..64).contains(&first))
    }

    /// Reads an IPv4 packet (RFC 791 §3.1); of a later fragment the ports are 0.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first()?;
        if head >> 4 != 4 {
            return None;
        }
        let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
        let protocol = *bytes.get(9)?;
        let fragment = u16::from_be_bytes([*bytes.get(6)?, *bytes.get(7)?]) & 0x1fff;
        let payload = bytes.get(usize::from(head & 15) * 4..)?;
        let port = |at: usize| match payload.get(at..at + 2) {
            Some(&[high, low]) if fragment == 0 && matches!(protocol, TCP | UDP) => u16::from_be_bytes([high, low]),
            _ => 0,
        };
        Some(Self {
            t_ns: now_ns(),
            from: SocketAddrV4::new(address(12)?, port(0)),
            to: SocketAddrV4::new(address(16)?, port(2)),
            protocol,
            first: (protocol == UDP && fragment == 0).then(|| payload.get(8).copied()).flatten(),
        })
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;

fn record(socket: &OwnedFd, home: u8, state: &State) {
    // Enough of a packet to know what it is.
    let mut buffer = [0; 128];
    while !state.ends.load(Ordering::Relaxed) {
        let count = match recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((count, _)) => count,
            // Nothing came, an interface went down, or too much came: the last would hide packets, so it is said.
            Err(Errno::AGAIN | Errno::INTR | Errno::NETDOWN) => continue,
            Err(error) => panic!("what leaves cannot be recorded: {error}"),
        };
        let Some(packet) = buffer.get(..count).and_then(Packet::parse) else { continue };
        // What comes in has another source.
        let [ten, private, site, _] = packet.from.ip().octets();
        if (ten, private) == (10, 77) && site % 10 == home {
            let mut packets = state.packets.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(packets.len() < MOST_PACKETS, "more packets than a call sends");
            packets.push(packet);
        }
    }
}
