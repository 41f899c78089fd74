//! The relay on real sockets, asked by a client made by hand: over UDP, TCP and TLS.

#![allow(clippy::unwrap_used)]

#[cfg(target_os = "linux")]
#[path = "turn/coturn.rs"]
mod coturn;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ahoy_server::turn::credentials::username;
use ahoy_server::turn::{Secret, Turn, TurnConfig, TurnTls};
use stun_types::attribute::{Attribute as _, AttributeType, RawAttribute, XorSocketAddr};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermCredentials, Message, MessageWrite as _, MessageWriteExt as _,
    MessageWriteVec, Method,
};
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(30);
const ALLOCATE: u16 = 3;
const CREATE_PERMISSION: u16 = 8;
const CHANNEL_BIND: u16 = 9;
/// Until the year 2286.
const EXPIRY: u64 = 9_999_999_999;

/// A way to the relay that carries whole messages.
trait Way {
    fn send(&mut self, message: &[u8]);
    fn receive(&mut self) -> Vec<u8>;
}

impl Way for UdpSocket {
    fn send(&mut self, message: &[u8]) {
        UdpSocket::send(self, message).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 2_000];
        let length = self.recv(&mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }
}

/// A stream: what is written goes byte by byte, what is read is cut by hand.
struct Stream<S>(S);

impl<S: Read + Write> Way for Stream<S> {
    fn send(&mut self, message: &[u8]) {
        let mut padded = message.to_vec();
        padded.resize(message.len().next_multiple_of(4), 0xEE);
        for byte in padded {
            self.0.write_all(&[byte]).unwrap();
        }
        self.0.flush().unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut message = vec![0; 4];
        self.0.read_exact(&mut message).unwrap();
        let body = usize::from(u16::from_be_bytes([message[2], message[3]]));
        let (length, padded) = match message[0] {
            0..=0x3F => (20 + body, 20 + body),
            _ => (4 + body, 4 + body.next_multiple_of(4)),
        };
        message.resize(padded, 0);
        self.0.read_exact(&mut message[4..]).unwrap();
        message.truncate(length);
        message
    }
}

struct Client<W> {
    way: W,
    username: String,
    key: IntegrityKey,
    nonce: String,
}

impl<W: Way> Client<W> {
    fn new(way: W, username: &str, password: &str) -> Self {
        let key = LongTermCredentials::new(username.to_owned(), password.to_owned()).to_key("ahoy".to_owned());
        let key = key.make_key(IntegrityAlgorithm::Sha1);
        let mut client = Self { way, username: username.to_owned(), key, nonce: "none".to_owned() };
        let answer = client.ask(ALLOCATE, None, &[]);
        let answer = Message::from_bytes(&answer).unwrap();
        let nonce = answer.raw_attribute(AttributeType::new(0x0015)).expect("a nonce");
        client.nonce = String::from_utf8(nonce.value.to_vec()).unwrap();
        client
    }

    fn of(way: W, secret: &Secret, name: &str) -> Self {
        let username = username(EXPIRY, name);
        Self::new(way, &username, &secret.credential(&username))
    }

    /// Sends a signed request; gives the answer to it.
    fn ask(&mut self, kind: u16, peer: Option<SocketAddr>, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = Message::builder_request(Method::new(kind), MessageWriteVec::new());
        let mut id = [0; 16];
        id[4..].copy_from_slice(&message.data()[8..20]);
        let transaction = u128::from_be_bytes(id).into();
        let own: [(u16, &[u8]); 3] =
            [(0x0006, self.username.as_bytes()), (0x0014, b"ahoy"), (0x0015, self.nonce.as_bytes())];
        for (kind, value) in attributes.iter().copied().chain(own) {
            message.push_attribute_unchecked(&RawAttribute::new(AttributeType::new(kind), value));
        }
        if let Some(peer) = peer {
            let address = XorSocketAddr::new(peer, transaction);
            message.push_attribute_unchecked(&address.to_raw(AttributeType::new(0x0012)));
        }
        message.add_message_integrity_with_key(&self.key, IntegrityAlgorithm::Sha1).unwrap();
        self.way.send(&message.finish());
        loop {
            let answer = self.way.receive();
            let read = Message::from_bytes(&answer).unwrap();
            if read.transaction_id() == transaction {
                return answer;
            }
        }
    }

    fn allocate(&mut self) -> Result<SocketAddr, u16> {
        self.allocate_in(1)
    }

    /// The same in a family of addresses (RFC 8656 §18.8): 1 is IPv4, 2 is IPv6.
    fn allocate_in(&mut self, family: u8) -> Result<SocketAddr, u16> {
        let answer = self.ask(ALLOCATE, None, &[(0x0019, &[17, 0, 0, 0]), (0x0017, &[family, 0, 0, 0])]);
        let answer = Message::from_bytes(&answer).unwrap();
        match code(&answer) {
            Some(code) => Err(code),
            None => {
                let relayed = answer.raw_attribute(AttributeType::new(0x0016)).unwrap();
                Ok(XorSocketAddr::from_raw(&relayed).unwrap().addr(answer.transaction_id()))
            }
        }
    }

    fn code_of(&mut self, kind: u16, peer: SocketAddr, attributes: &[(u16, &[u8])]) -> Option<u16> {
        code(&Message::from_bytes(&self.ask(kind, Some(peer), attributes)).unwrap())
    }
}

fn code(answer: &Message<'_>) -> Option<u16> {
    let error = answer.raw_attribute(AttributeType::new(0x0009))?;
    assert!(error.length() >= 4);
    Some(u16::from(error.value[2]) * 100 + u16::from(error.value[3]))
}

fn start(change: impl FnOnce(&mut TurnConfig)) -> (Turn, Secret) {
    let secret = Secret::random().unwrap();
    let mut config = TurnConfig::new(vec!["127.0.0.1:0".parse().unwrap()], secret.clone());
    config.allow_own = true;
    change(&mut config);
    (Turn::start(config).unwrap(), secret)
}

fn udp(relay: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(relay).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn tcp(relay: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(relay).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Datagrams of every length from 1 to 8 bytes and one of a picture's, both ways, by indication and by channel.
fn carries(way: impl Way, secret: &Secret) {
    let mut client = Client::of(way, secret, "alice");
    let relayed = client.allocate().unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let address = peer.local_addr().unwrap();
    assert_eq!(client.code_of(CREATE_PERMISSION, address, &[]), None);
    peer.send_to(b"before the channel", relayed).unwrap();
    let indication = client.way.receive();
    let indication = Message::from_bytes(&indication).unwrap();
    let data = indication.raw_attribute(AttributeType::new(0x0013)).unwrap();
    assert_eq!(&*data.value, b"before the channel");
    assert_eq!(client.code_of(CHANNEL_BIND, address, &[(0x000C, &[0x40, 1, 0, 0])]), None);
    for length in (1..=8).chain([1_200]) {
        let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let frame = [&[0x40, 1][..], &(length as u16).to_be_bytes(), &payload].concat();
        client.way.send(&frame);
        let mut buffer = [0; 2_000];
        let (came, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..came], from), (&payload[..], relayed));
        peer.send_to(&payload, relayed).unwrap();
        assert_eq!(client.way.receive(), frame);
    }
}

#[tokio::test]
async fn a_relay_carries_datagrams_for_clients_over_udp_and_tcp() {
    let (turn, secret) = start(|_| {});
    let relay = turn.addresses()[0];
    tokio::task::spawn_blocking(move || {
        carries(udp(relay), &secret);
        carries(Stream(tcp(relay)), &secret);
    })
    .await
    .unwrap();
    let mut metrics = String::new();
    turn.metrics().write_prometheus(&mut metrics);
    assert!(metrics.contains("ahoy_turn_allocated_total 2\n"), "{metrics}");
    assert!(metrics.contains("ahoy_turn_relayed_datagrams_total{way=\"to_client\"} 20\n"), "{metrics}");
    turn.stop().await;
}

#[tokio::test]
async fn a_relay_carries_datagrams_for_clients_over_tls() {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["relay.test".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pem = |name: &str, label: &str, der: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let path = folder.path().join(name);
        std::fs::write(&path, format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")).unwrap();
        path
    };
    let certificate = pem("cert.pem", "CERTIFICATE", cert.der());
    let key = pem("key.pem", "PRIVATE KEY", &signing_key.serialize_der());
    let (turn, secret) = start(|config| {
        config.tls = Some(TurnTls { listen: "127.0.0.1:0".parse().unwrap(), certificate, key });
    });
    let relay = turn.tls_address().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tokio::task::spawn_blocking(move || {
        let name = "relay.test".try_into().unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        carries(Stream(rustls::StreamOwned::new(connection, tcp(relay))), &secret);
    })
    .await
    .unwrap();
    turn.stop().await;
}

#[tokio::test]
async fn a19_nothing_of_this_machine_is_reached_and_no_stranger_gets_a_relay() {
    let (turn, secret) = start(|config| config.allow_own = false);
    let relay = turn.addresses()[0];
    tokio::task::spawn_blocking(move || {
        let good = username(EXPIRY, "alice");
        let expired = username(1, "alice");
        for (name, password) in [(&good, "guess".to_owned()), (&expired, secret.credential(&expired))] {
            assert_eq!(Client::new(udp(relay), name, &password).allocate(), Err(401));
        }
        let mut client = Client::of(udp(relay), &secret, "alice");
        client.allocate().unwrap();
        let victim = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = victim.local_addr().unwrap().port();
        for peer in [format!("127.0.0.1:{port}"), relay.to_string()] {
            // A refusal is told once a second.
            std::thread::sleep(Duration::from_millis(1_050));
            let peer: SocketAddr = peer.parse().unwrap();
            assert_eq!(client.code_of(CREATE_PERMISSION, peer, &[]), Some(403), "{peer}");
            std::thread::sleep(Duration::from_millis(1_050));
            assert_eq!(client.code_of(CHANNEL_BIND, peer, &[(0x000C, &[0x40, 1, 0, 0])]), Some(403), "{peer}");
        }
    })
    .await
    .unwrap();
    turn.stop().await;
}

#[tokio::test]
async fn a_stream_without_an_allocation_or_without_turn_is_closed() {
    let (turn, _) = start(|config| config.limits.idle = Duration::from_millis(300));
    let relay = turn.addresses()[0];
    tokio::task::spawn_blocking(move || {
        let mut silent = tcp(relay);
        assert_eq!(silent.read(&mut [0; 10]).unwrap(), 0);
        let mut odd = tcp(relay);
        odd.write_all(b"\x80\x80\x80\x80 is neither STUN nor a channel").unwrap();
        // Closed with what it did not read: some systems call that a reset.
        assert!(matches!(odd.read(&mut [0; 10]), Ok(0) | Err(_)));
    })
    .await
    .unwrap();
    turn.stop().await;
}

#[tokio::test]
async fn connections_that_only_stand_there_make_room_for_who_has_a_password() {
    let (turn, secret) = start(|config| {
        config.limits.idle = Duration::from_secs(600);
        (config.limits.address_connections, config.limits.connections) = (2, 3);
    });
    let relay = turn.addresses()[0];
    tokio::task::spawn_blocking(move || {
        let (mut first, mut second) = (tcp(relay), tcp(relay));
        let mut alice = Client::of(Stream(tcp(relay)), &secret, "alice");
        alice.allocate().unwrap();
        assert_eq!(first.read(&mut [0; 10]).unwrap(), 0, "the oldest");
        // The next is younger than alice's.
        let mut bob = Client::of(Stream(tcp(relay)), &secret, "bob");
        assert_eq!(second.read(&mut [0; 10]).unwrap(), 0);
        bob.allocate().unwrap();
        // Nobody is left who could go.
        let mut third = tcp(relay);
        match third.read(&mut [0; 10]) {
            Ok(read) => assert_eq!(read, 0, "it is closed"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        for client in [&mut alice, &mut bob] {
            assert_eq!(client.allocate(), Err(437), "it has one");
        }
    })
    .await
    .unwrap();
    turn.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_said_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let config = TurnConfig::new(vec![listen], Secret::random().unwrap());
    let error = Turn::start(config).unwrap_err().to_string();
    assert!(error.contains(&listen.to_string()) && error.contains("--no-turn"), "{error}");
}

/// `cargo test -p ahoy-server --test turn --release -- --ignored --nocapture measure`
#[tokio::test]
#[ignore = "a measurement: it says figures and checks none"]
async fn measure_the_relay() {
    let (turn, secret) = start(|config| {
        config.limits.user_allocations = 2_000;
        config.limits.address_allocations = 2_000;
        config.limits.unproven_per_s = 1_000_000;
        config.limits.user_bytes_per_s = 1_000_000_000;
    });
    let relay = turn.addresses()[0];
    tokio::task::spawn_blocking(move || {
        let before = resident_kib();
        let mut clients: Vec<_> = (0..1_000).map(|_| Client::of(udp(relay), &secret, "alice")).collect();
        let connected = resident_kib();
        let relayed: Vec<SocketAddr> = clients.iter_mut().map(|client| client.allocate().unwrap()).collect();
        let after = resident_kib();
        println!("1,000 clients {} KiB, their allocations {} KiB", connected - before, after - connected);
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let address = peer.local_addr().unwrap();
        let client = &mut clients[0];
        assert_eq!(client.code_of(CHANNEL_BIND, address, &[(0x000C, &[0x40, 1, 0, 0])]), None);
        let frame = [&[0x40, 1, 0x04, 0xB0][..], &[7; 1_200]].concat();
        let mut buffer = [0; 2_000];
        // One at a time: how long a datagram takes there and back, each by way of the relay.
        let mut delays: Vec<Duration> = (0..5_000)
            .map(|_| {
                let sent = Instant::now();
                let _ = client.way.send(&frame);
                let _ = peer.recv(&mut buffer).unwrap();
                peer.send_to(&frame[4..], relayed[0]).unwrap();
                let _ = client.way.receive();
                sent.elapsed()
            })
            .collect();
        delays.sort_unstable();
        println!("there and back: median {:?}, p99 {:?}", delays[2_500], delays[4_950]);
        // Twenty under way at all times.
        let (began, mut carried) = (Instant::now(), 0_u64);
        for _ in 0..20 {
            let _ = client.way.send(&frame);
        }
        while began.elapsed() < Duration::from_secs(3) {
            if peer.recv(&mut buffer).is_ok() {
                carried += 1;
            }
            let _ = client.way.send(&frame);
        }
        let mbps = carried as f64 * 1_200.0 * 8.0 / began.elapsed().as_secs_f64() / 1e6;
        println!(
            "to the peer: {mbps:.0} Mb/s, {:.0} datagrams a second",
            carried as f64 / began.elapsed().as_secs_f64()
        );
    })
    .await
    .unwrap();
    turn.stop().await;
}

/// Of this process, from `/proc`.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
