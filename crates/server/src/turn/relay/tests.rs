//! The relay in virtual time, with sockets that are only numbers.

use std::time::Duration;

use super::*;
use crate::turn::credentials::username;
use crate::turn::metrics::Dropped;
use stun_types::attribute::{Attribute as _, AttributeType, RawAttribute, XorSocketAddr};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermCredentials, Message, MessageType, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec, Method, TransactionId,
};

mod limits;
mod rules;
mod vectors;

const SECOND: Duration = Duration::from_secs(1);
const UNIX: u64 = 1_800_000_000;
/// Where every relay of the tests is.
const OWN: &str = "9.9.9.9";
const PEER: &str = "8.8.8.8:5000";

/// Sockets without a system.
#[derive(Debug, Default)]
struct FakePorts {
    open: HashMap<RelayId, SocketAddr>,
    next: u16,
    refuse: Option<NoPort>,
}

impl Ports for FakePorts {
    fn open(&mut self, relay: RelayId, _: &Client, family: Family) -> Result<SocketAddr, NoPort> {
        if let Some(why) = self.refuse {
            return Err(why);
        }
        if family == Family::V6 {
            return Err(NoPort::Family);
        }
        self.next += 1;
        let address = SocketAddr::new(OWN.parse().unwrap(), 49_152 + self.next);
        self.open.insert(relay, address);
        Ok(address)
    }

    fn close(&mut self, relay: RelayId) {
        assert!(self.open.remove(&relay).is_some(), "closed once");
    }

    fn is_own(&self, address: IpAddr) -> bool {
        address == OWN.parse::<IpAddr>().unwrap()
    }
}

/// A relay, its sockets and the time.
struct Bench {
    relay: Relay,
    ports: FakePorts,
    now: Now,
    secret: Secret,
    metrics: Arc<TurnMetrics>,
}

/// Somebody who asks it.
struct Asker {
    client: Client,
    username: String,
    key: IntegrityKey,
    nonce: String,
    transaction: u128,
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Success,
    Error(u16),
    Silence,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut TurnConfig)) -> Self {
        let secret = Secret::new("the secret of the tests").unwrap();
        let mut config = TurnConfig::new(Vec::new(), secret.clone());
        change(&mut config);
        let metrics = Arc::new(TurnMetrics::default());
        let relay = Relay::new(&config, [7; 32], Arc::clone(&metrics));
        let now = Now { instant: tokio::time::Instant::now().into_std(), unix: UNIX };
        Self { relay, ports: FakePorts::default(), now, secret, metrics }
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix += time.as_secs();
        self.relay.handle_timeout(self.now.instant, &mut self.ports);
    }

    fn hear<'a>(&mut self, client: Client, bytes: &'a [u8]) -> Action<'a> {
        self.relay.hear_client(self.now, client, bytes, &mut self.ports)
    }

    /// Somebody with good credentials for an hour, who has asked once for a nonce.
    fn asker(&mut self, name: &str, address: &str) -> Asker {
        let expiry = self.now.unix + 3_600;
        self.asker_with(&username(expiry, name), address, Transport::Udp(0))
    }

    fn asker_with(&mut self, username: &str, address: &str, transport: Transport) -> Asker {
        let client = Client { transport, address: address.parse().unwrap() };
        let mut asker = Asker::new(client, username, &self.secret.credential(username));
        asker.nonce = self.nonce(client);
        asker
    }

    fn nonce(&mut self, client: Client) -> String {
        let mut begin = request(method::ALLOCATE, 1);
        put(&mut begin, attribute_of_transport(17));
        let Action::Reply(answer) = self.hear(client, &begin.finish()) else { panic!("no answer") };
        let answer = Message::from_bytes(&answer).unwrap();
        assert_eq!(code(&answer), Some(401));
        let realm = answer.raw_attribute(AttributeType::new(0x0014)).unwrap();
        assert_eq!(&*realm.value, b"ahoy");
        let nonce = answer.raw_attribute(AttributeType::new(0x0015)).unwrap();
        String::from_utf8(nonce.value.to_vec()).unwrap()
    }

    /// Sends a signed request, and checks that what is not silence is signed too.
    fn ask(&mut self, asker: &mut Asker, kind: u16, attributes: &[(u16, Vec<u8>)]) -> Said {
        self.ask_and_read(asker, kind, attributes).0
    }

    fn ask_and_read(&mut self, asker: &mut Asker, kind: u16, attributes: &[(u16, Vec<u8>)]) -> (Said, Vec<u8>) {
        asker.transaction += 1;
        let bytes = asker.signed(kind, attributes);
        match self.hear(asker.client, &bytes) {
            Action::Reply(answer) => (asker.read(&answer), answer),
            Action::Nothing => (Said::Silence, Vec::new()),
            other => panic!("{other:?}"),
        }
    }

    fn allocate(&mut self, asker: &mut Asker) -> SocketAddr {
        let (said, answer) = self.ask_and_read(asker, method::ALLOCATE, &[attribute_of_transport(17)]);
        assert_eq!(said, Said::Success);
        let answer = Message::from_bytes(&answer).unwrap();
        let mapped = answer.raw_attribute(AttributeType::new(0x0020)).unwrap();
        let mapped = XorSocketAddr::from_raw(&mapped).unwrap().addr(answer.transaction_id());
        assert_eq!(mapped, asker.client.address);
        let relayed = answer.raw_attribute(AttributeType::new(0x0016)).unwrap();
        XorSocketAddr::from_raw(&relayed).unwrap().addr(answer.transaction_id())
    }

    fn relay_of(&self, asker: &Asker) -> RelayId {
        self.relay.clients[&asker.client]
    }

    /// Whether data from that client to that peer leaves, by a Send indication.
    fn sends(&mut self, asker: &mut Asker, peer: &str) -> bool {
        let bytes = asker.indication(peer, b"hello");
        matches!(self.hear(asker.client, &bytes), Action::ToPeer { payload: b"hello", .. })
    }
}

impl Asker {
    fn new(client: Client, username: &str, password: &str) -> Self {
        let key = LongTermCredentials::new(username.to_owned(), password.to_owned()).to_key("ahoy".to_owned());
        let key = key.make_key(IntegrityAlgorithm::Sha1);
        Self { client, username: username.to_owned(), key, nonce: "none".to_owned(), transaction: 100 }
    }

    fn signed(&self, kind: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut message = request(kind, self.transaction);
        attributes.iter().for_each(|attribute| put(&mut message, attribute.clone()));
        put(&mut message, (0x0006, self.username.clone().into_bytes()));
        put(&mut message, (0x0014, b"ahoy".to_vec()));
        put(&mut message, (0x0015, self.nonce.clone().into_bytes()));
        message.add_message_integrity_with_key(&self.key, IntegrityAlgorithm::Sha1).unwrap();
        message.finish()
    }

    fn indication(&mut self, peer: &str, data: &[u8]) -> Vec<u8> {
        self.transaction += 1;
        let mut message = Message::builder_indication(Method::new(method::SEND), MessageWriteVec::new());
        let id = transaction(message.data());
        put(&mut message, peer_attribute_for(peer, id));
        put(&mut message, (0x0013, data.to_vec()));
        message.finish()
    }

    fn peer(&self, peer: &str) -> (u16, Vec<u8>) {
        peer_attribute_for(peer, TransactionId::from(self.transaction + 1))
    }

    fn read(&self, answer: &[u8]) -> Said {
        let answer = Message::from_bytes(answer).unwrap();
        assert_eq!(answer.transaction_id(), TransactionId::from(self.transaction));
        match code(&answer) {
            Some(code @ (401 | 438 | 441)) => Said::Error(code),
            code => {
                answer.validate_integrity_with_key(&self.key).unwrap();
                code.map_or(Said::Success, Said::Error)
            }
        }
    }
}

fn request(kind: u16, transaction: u128) -> MessageWriteVec {
    let kind = MessageType::from_class_method(MessageClass::Request, Method::new(kind));
    Message::builder(kind, transaction.into(), MessageWriteVec::new())
}

fn put(message: &mut MessageWriteVec, (kind, value): (u16, Vec<u8>)) {
    message.push_attribute_unchecked(&RawAttribute::new(AttributeType::new(kind), &value));
}

fn transaction(bytes: &[u8]) -> TransactionId {
    let mut id = [0; 16];
    id[4..].copy_from_slice(&bytes[8..20]);
    u128::from_be_bytes(id).into()
}

fn peer_attribute_for(peer: &str, transaction: TransactionId) -> (u16, Vec<u8>) {
    let address = XorSocketAddr::new(peer.parse().unwrap(), transaction);
    let mut value = vec![0; address.length().into()];
    address.write_into_unchecked(&mut value);
    (0x0012, value)
}

fn attribute_of_transport(protocol: u8) -> (u16, Vec<u8>) {
    (0x0019, vec![protocol, 0, 0, 0])
}

fn number(number: u16) -> (u16, Vec<u8>) {
    (0x000C, [number.to_be_bytes(), [0, 0]].concat())
}

fn lifetime(seconds: u32) -> (u16, Vec<u8>) {
    (0x000D, seconds.to_be_bytes().to_vec())
}

fn code(answer: &Message<'_>) -> Option<u16> {
    let error = answer.raw_attribute(AttributeType::new(0x0009))?;
    assert!(error.length() >= 4);
    Some(u16::from(error.value[2]) * 100 + u16::from(error.value[3]))
}
