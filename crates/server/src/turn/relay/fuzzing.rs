//! The door for the fuzz targets: a relay and a stream's splitter, given any bytes. Besides not panicking, they keep what they
//! promise to the rest of the crate. In no build but theirs.

use std::net::SocketAddr;
use std::time::Duration;

use stun_types::attribute::{AttributeType, RawAttribute, XorSocketAddr};
use stun_types::message::{
    IntegrityAlgorithm, LongTermCredentials, Message, MessageType, MessageWrite as _, MessageWriteExt as _,
    MessageWriteVec, Method, TransactionId,
};

use super::{
    Action, Client, Family, HashMap, IpAddr, MessageClass, NoPort, Now, Ports, Relay, RelayId, Transport, is_guest,
    peers,
};
use crate::shared::now;
use crate::turn::config::{RelayPorts, TurnConfig};
use crate::turn::credentials::{REALM, Secret, username};
use crate::turn::frames::{FRAME_MAX, Splitter};
use crate::turn::message::{attribute, method, parse};
use crate::turn::metrics::TurnMetrics;

/// Where every relay is.
const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(9, 9, 9, 9));
/// A date on which credentials are made that hold for an hour.
const UNIX: u64 = 1_800_000_000;
/// No answer needs more.
const ANSWER_MAX: usize = 512;

/// Whom a client may ask for: those that may be reached, those that may not, and other relays.
const PEERS: [&str; 12] = [
    "8.8.8.8:5000",
    "8.8.4.4:0",
    "[2606:4700::1]:5000",
    "9.9.9.9:49153",
    "9.9.9.9:49154",
    "9.9.9.9:22",
    "127.0.0.1:80",
    "169.254.169.254:80",
    "192.168.1.1:53",
    "[::1]:80",
    "[::ffff:10.0.0.1]:80",
    "[64:ff9b::7f00:1]:80",
];

/// A stream as it comes from a client, in pieces: a byte before each says how long it is. What is handed out is a message or
/// ChannelData no longer than a frame.
pub fn stream(mut data: &[u8]) {
    let mut splitter = Splitter::default();
    let (mut came, mut handed_out) = (0, 0);
    while let Some((&length, rest)) = data.split_first() {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(length)));
        data = rest;
        splitter.put(piece);
        came += piece.len();
        loop {
            match splitter.next() {
                Ok(Some(message)) => {
                    assert!((4..=FRAME_MAX).contains(&message.len()), "{}", message.len());
                    handed_out += message.len();
                    assert!(handed_out <= came, "more goes out than came");
                }
                Ok(None) => break,
                // The connection is closed.
                Err(_) => return,
            }
        }
    }
}

/// What clients and peers send to a relay, and the time. Some of it is signed as only those with a password can: what is
/// behind the signature is read too.
pub fn relay(data: &[u8]) {
    let Ok(secret) = Secret::new("the secret of the fuzz targets") else { return };
    let config = TurnConfig { ports: RelayPorts(1..=2), ..TurnConfig::new(Vec::new(), secret.clone()) };
    let mut bench = Bench {
        relay: Relay::new(&config, [7; 32], TurnMetrics::default().into()),
        ports: Numbers::default(),
        now: Now { instant: now(), unix: UNIX },
        secret,
        transaction: 1,
    };
    let mut input = Input(data);
    while bench.step(&mut input).is_some() {
        bench.check();
    }
}

struct Bench {
    relay: Relay,
    ports: Numbers,
    now: Now,
    secret: Secret,
    transaction: u128,
}

impl Bench {
    /// One thing that happens. `None`: that was all.
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        let kind = input.byte()?;
        let client = client(input.byte()?);
        match kind % 6 {
            // As it comes.
            0 => {
                let length = input.word()?;
                self.hear(client, input.bytes(length));
            }
            // Signed, with any attributes.
            1 => {
                let mut message = self.request(input.byte()?);
                let length = input.word()?;
                let mut attributes = Input(input.bytes(length));
                while let (Some(kind), Some(length)) = (attributes.word(), attributes.byte()) {
                    put(&mut message, kind, attributes.bytes(length));
                }
                self.ask(client, message);
            }
            // Signed, about a peer.
            2 => {
                let mut message = self.request(input.byte()?);
                put_peer(&mut message, peer(input.byte()?));
                put(&mut message, attribute::CHANNEL_NUMBER, &[input.byte()? & 0x7F, input.byte()?, 0, 0]);
                put(&mut message, attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
                self.ask(client, message);
            }
            // Data for a peer, in an indication.
            3 => {
                let kind = MessageType::from_class_method(MessageClass::Indication, Method::new(method::SEND));
                let mut message = Message::builder(kind, self.next(), MessageWriteVec::new());
                put_peer(&mut message, peer(input.byte()?));
                let length = input.byte()?;
                put(&mut message, attribute::DATA, input.bytes(length));
                self.hear(client, &message.finish());
            }
            // Data of a peer.
            4 => {
                let (relay, from) = (RelayId(input.byte()?.into()), peer(input.byte()?));
                let length = input.word()?;
                let action = self.relay.hear_peer(self.now, relay, from, input.bytes(length));
                check_action(&action, &self.ports);
            }
            _ if input.byte()? % 4 == 0 => self.relay.closed(client, &mut self.ports),
            _ => {
                let tenths = u64::from(input.word()?);
                self.now.instant += Duration::from_millis(100 * tenths);
                self.now.unix += tenths / 10;
                self.relay.handle_timeout(self.now.instant, &mut self.ports);
            }
        }
        Some(())
    }

    fn next(&mut self) -> TransactionId {
        self.transaction += 1;
        self.transaction.into()
    }

    fn request(&mut self, kind: u8) -> MessageWriteVec {
        let kind = MessageType::from_class_method(MessageClass::Request, Method::new(u16::from(kind % 10)));
        Message::builder(kind, self.next(), MessageWriteVec::new())
    }

    fn ask(&mut self, client: Client, mut message: MessageWriteVec) {
        let name = username(UNIX + 3_600, if client.address.port().is_multiple_of(2) { "alice" } else { "guest-a" });
        let password = self.secret.credential(&name);
        let nonce = self.relay.nonces.make(self.now.unix, client.address);
        put(&mut message, attribute::USERNAME, name.as_bytes());
        put(&mut message, attribute::REALM, REALM.as_bytes());
        put(&mut message, attribute::NONCE, nonce.as_bytes());
        let key = LongTermCredentials::new(name, password).to_key(REALM.to_owned());
        let key = key.make_key(IntegrityAlgorithm::Sha1);
        // What the input put in may be such an attribute already.
        let _ = message.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1);
        self.hear(client, &message.finish());
    }

    fn hear(&mut self, client: Client, bytes: &[u8]) {
        let action = self.relay.hear_client(self.now, client, bytes, &mut self.ports);
        check_action(&action, &self.ports);
    }

    fn check(&self) {
        let count = self.relay.allocations.len();
        assert_eq!((self.relay.clients.len(), self.relay.relayed.len(), self.ports.open.len()), (count, count, count));
        let counted = self.relay.allocations.values().map(|allocation| allocation.network.with_site().count());
        assert_eq!(self.relay.networks.values().sum::<usize>(), counted.sum::<usize>());
        let guests = self.relay.allocations.values().filter(|allocation| is_guest(&allocation.name));
        assert_eq!(self.relay.guests, guests.count());
        assert!(count <= self.relay.limits.allocations);
    }
}

/// What is done is nothing that a relay must not do.
fn check_action(action: &Action<'_>, ports: &Numbers) {
    match action {
        Action::Nothing => {}
        Action::Reply(answer) => {
            assert!(answer.len() <= ANSWER_MAX, "an answer of {} bytes", answer.len());
            let read = parse(answer).expect("an answer is a message");
            assert!(matches!(read.class(), MessageClass::Success | MessageClass::Error));
        }
        Action::ToPeer { relay, peer, .. } => {
            assert!(ports.open.contains_key(relay) && peer.port() > 0);
            assert!(peers::may_reach(peer.ip(), false) && !ports.is_own(peer.ip()), "{peer} is reached");
        }
        Action::ToClient { client, head, payload, align } => {
            let length = (head.as_bytes().len() + payload.len()).next_multiple_of(*align);
            assert!(matches!(client.transport, Transport::Udp(_)) || length <= FRAME_MAX);
        }
    }
}

fn client(number: u8) -> Client {
    let number = u16::from(number % 5);
    let transport = if number < 3 { Transport::Udp(0) } else { Transport::Stream(number.into()) };
    Client { transport, address: SocketAddr::from(([7, 7, 7, 7], 6_000 + number)) }
}

fn peer(number: u8) -> SocketAddr {
    PEERS[usize::from(number) % PEERS.len()].parse().expect("an address")
}

fn put(message: &mut MessageWriteVec, kind: u16, value: &[u8]) {
    message.push_attribute_unchecked(&RawAttribute::new(AttributeType::new(kind), value));
}

fn put_peer(message: &mut MessageWriteVec, peer: SocketAddr) {
    let mut id = [0; 16];
    id[4..].copy_from_slice(&message.data()[8..20]);
    let address = XorSocketAddr::new(peer, u128::from_be_bytes(id).into());
    message.push_attribute_unchecked(&address.to_raw(AttributeType::new(attribute::XOR_PEER_ADDRESS)));
}

/// Sockets without a system.
#[derive(Debug, Default)]
struct Numbers {
    open: HashMap<RelayId, SocketAddr>,
    last: u16,
}

impl Ports for Numbers {
    fn open(&mut self, relay: RelayId, _: &Client, family: Family) -> Result<SocketAddr, NoPort> {
        if family == Family::V6 {
            return Err(NoPort::Family);
        }
        self.last = self.last.checked_add(1).ok_or(NoPort::Taken)?;
        let address = SocketAddr::new(OWN, 49_152_u16.checked_add(self.last).ok_or(NoPort::Taken)?);
        assert!(self.open.insert(relay, address).is_none(), "opened twice");
        Ok(address)
    }

    fn close(&mut self, relay: RelayId) {
        assert!(self.open.remove(&relay).is_some(), "closed twice");
    }

    fn is_own(&self, address: IpAddr) -> bool {
        address == OWN
    }
}

/// Bytes that are read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn bytes(&mut self, count: impl Into<usize>) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.into().min(self.0.len()));
        self.0 = rest;
        bytes
    }
}
