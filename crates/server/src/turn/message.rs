//! TURN's attributes (RFC 8656 §18) over the codec of STUN messages: what a client asks, and what it is answered.

use std::net::SocketAddr;

use stun_types::attribute::{Attribute as _, AttributeType, RawAttribute, XorSocketAddr};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec, TransactionId,
};

use super::credentials::REALM;
use super::frames::{COOKIE, HEADER};

/// Methods (RFC 8489 §18.2, RFC 8656 §17).
pub(crate) mod method {
    pub(crate) const BINDING: u16 = 0x001;
    pub(crate) const ALLOCATE: u16 = 0x003;
    pub(crate) const REFRESH: u16 = 0x004;
    pub(crate) const SEND: u16 = 0x006;
    pub(crate) const DATA: u16 = 0x007;
    pub(crate) const CREATE_PERMISSION: u16 = 0x008;
    pub(crate) const CHANNEL_BIND: u16 = 0x009;
}

/// Attributes (RFC 8489 §18.3, RFC 8656 §18).
pub(crate) mod attribute {
    pub(crate) const USERNAME: u16 = 0x0006;
    pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(crate) const ERROR_CODE: u16 = 0x0009;
    pub(crate) const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    pub(crate) const CHANNEL_NUMBER: u16 = 0x000C;
    pub(crate) const LIFETIME: u16 = 0x000D;
    pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(crate) const DATA: u16 = 0x0013;
    pub(crate) const REALM: u16 = 0x0014;
    pub(crate) const NONCE: u16 = 0x0015;
    pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(crate) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(crate) const EVEN_PORT: u16 = 0x0018;
    pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub(crate) const DONT_FRAGMENT: u16 = 0x001A;
    pub(crate) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
    pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(crate) const RESERVATION_TOKEN: u16 = 0x0022;
}

/// How many peers one request may name, and how many unknown attributes are named back.
const LISTED_MAX: usize = 16;

/// The attributes of a request or indication, as far as they concern a relay. Each counts where it is first.
#[derive(Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) username: Option<&'a str>,
    pub(crate) realm: bool,
    pub(crate) nonce: Option<&'a [u8]>,
    pub(crate) integrity: bool,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) lifetime_s: Option<u32>,
    pub(crate) channel: Option<u16>,
    /// An IP protocol number.
    pub(crate) transport: Option<u8>,
    /// RFC 8656 §18.8: 1 is IPv4, 2 is IPv6.
    pub(crate) family: Option<u8>,
    pub(crate) data: Option<&'a [u8]>,
    /// `EVEN-PORT` or `RESERVATION-TOKEN`, which nobody needs for media on one port.
    pub(crate) reserves: bool,
    /// `DONT-FRAGMENT`, which is passed over: what is relayed is no larger than what came.
    pub(crate) unknown: Vec<u16>,
    /// One has not the form it must have.
    pub(crate) malformed: bool,
}

/// Reads a whole STUN message; `bytes` is nothing more. `None`: it is none, or its fingerprint is wrong.
pub(crate) fn parse(bytes: &[u8]) -> Option<Message<'_>> {
    let [_, _, high, low, cookie @ ..] = bytes else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length % 4 != 0 || bytes.len() != HEADER + length || !cookie.starts_with(&COOKIE) {
        return None;
    }
    Message::from_bytes(bytes).ok()
}

/// The attributes that count: what stands behind the integrity is not covered by it and is passed over.
pub(crate) fn attributes<'a>(message: &Message<'_>, bytes: &'a [u8]) -> Attributes<'a> {
    let mut found = Attributes::default();
    for (offset, attribute) in message.iter_attributes() {
        let (start, length) = (offset + 4, usize::from(attribute.length()));
        let Some(value) = bytes.get(start..start + length) else {
            found.malformed = true;
            break;
        };
        found.read(attribute.get_type().value(), value, message.transaction_id());
    }
    found
}

impl<'a> Attributes<'a> {
    fn read(&mut self, kind: u16, value: &'a [u8], transaction: TransactionId) {
        let is_good = match kind {
            attribute::USERNAME => first(&mut self.username, std::str::from_utf8(value).ok()),
            attribute::REALM => {
                self.realm = true;
                true
            }
            attribute::NONCE => first(&mut self.nonce, Some(value)),
            attribute::MESSAGE_INTEGRITY => {
                self.integrity = true;
                value.len() == 20
            }
            attribute::MESSAGE_INTEGRITY_SHA256 | attribute::DONT_FRAGMENT => true,
            attribute::XOR_PEER_ADDRESS => match xor_address(value, transaction) {
                Some(peer) if self.peers.len() < LISTED_MAX => {
                    self.peers.push(peer);
                    true
                }
                _ => false,
            },
            attribute::LIFETIME => first(&mut self.lifetime_s, value.try_into().ok().map(u32::from_be_bytes)),
            attribute::CHANNEL_NUMBER => {
                let number = <[u8; 4]>::try_from(value).ok().map(|[high, low, ..]| u16::from_be_bytes([high, low]));
                first(&mut self.channel, number)
            }
            attribute::REQUESTED_TRANSPORT => first(&mut self.transport, leading(value)),
            attribute::REQUESTED_ADDRESS_FAMILY => first(&mut self.family, leading(value)),
            attribute::DATA => first(&mut self.data, Some(value)),
            attribute::EVEN_PORT | attribute::RESERVATION_TOKEN => {
                self.reserves = true;
                true
            }
            // RFC 8489 §14: the lower half must be understood.
            0x0000..=0x7FFF => {
                if self.unknown.len() < LISTED_MAX {
                    self.unknown.push(kind);
                }
                true
            }
            0x8000.. => true,
        };
        self.malformed |= !is_good;
    }
}

/// Keeps the first; `false` when it is none.
fn first<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let is_good = value.is_some();
    if place.is_none() {
        *place = value;
    }
    is_good
}

/// The first of four bytes; the others are reserved.
fn leading(value: &[u8]) -> Option<u8> {
    <[u8; 4]>::try_from(value).ok().map(|[leading, ..]| leading)
}

fn xor_address(value: &[u8], transaction: TransactionId) -> Option<SocketAddr> {
    let raw = RawAttribute::new(AttributeType::new(attribute::XOR_PEER_ADDRESS), value);
    XorSocketAddr::from_raw(&raw).ok().map(|address| address.addr(transaction))
}

/// An answer that is being written.
pub(crate) struct Answer {
    message: MessageWriteVec,
    transaction: TransactionId,
}

impl Answer {
    /// The request was fulfilled. `request` must be one.
    pub(crate) fn success(request: &Message<'_>) -> Self {
        let message = Message::builder_success(request, MessageWriteVec::with_capacity(128));
        Self { message, transaction: request.transaction_id() }
    }

    /// The request was refused (RFC 8489 §14.8). `request` must be one.
    pub(crate) fn error(request: &Message<'_>, code: u16) -> Self {
        let message = Message::builder_error(request, MessageWriteVec::with_capacity(160));
        let answer = Self { message, transaction: request.transaction_id() };
        let [class, number] = [code / 100, code % 100].map(|part| part as u8);
        let reason = reason(code);
        answer.with(attribute::ERROR_CODE, &[&[0, 0, class, number], reason.as_bytes()].concat())
    }

    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.message.push_attribute_unchecked(&RawAttribute::new(AttributeType::new(kind), value));
        self
    }

    pub(crate) fn with_address(mut self, kind: u16, address: SocketAddr) -> Self {
        let address = XorSocketAddr::new(address, self.transaction);
        self.message.push_attribute_unchecked(&address.to_raw(AttributeType::new(kind)));
        self
    }

    pub(crate) fn with_lifetime(self, lifetime_s: u32) -> Self {
        self.with(attribute::LIFETIME, &lifetime_s.to_be_bytes())
    }

    /// With what a client needs to sign its next request.
    pub(crate) fn with_challenge(self, nonce: &str) -> Self {
        self.with(attribute::REALM, REALM.as_bytes()).with(attribute::NONCE, nonce.as_bytes())
    }

    /// Signed and with a fingerprint.
    pub(crate) fn signed(mut self, key: &IntegrityKey) -> Vec<u8> {
        // Fails only where one is there already.
        let _ = self.message.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1);
        self.unsigned()
    }

    /// With a fingerprint.
    pub(crate) fn unsigned(mut self) -> Vec<u8> {
        let _ = self.message.add_fingerprint();
        self.message.finish()
    }
}

fn reason(code: u16) -> &'static str {
    match code {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        420 => "Unknown Attribute",
        437 => "Allocation Mismatch",
        438 => "Stale Nonce",
        440 => "Address Family not Supported",
        441 => "Wrong Credentials",
        442 => "Unsupported Transport Protocol",
        443 => "Peer Address Family Mismatch",
        486 => "Allocation Quota Reached",
        508 => "Insufficient Capacity",
        _ => "Server Error",
    }
}

/// What stands before data on its way to a client: ChannelData's four bytes, or the beginning of a Data indication.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    bytes: [u8; Self::MAX],
    length: u8,
}

impl Head {
    /// Header, XOR-PEER-ADDRESS with an IPv6 address, and the beginning of DATA.
    pub(crate) const MAX: usize = HEADER + 4 + 20 + 4;

    /// Of ChannelData (RFC 8656 §12.4).
    pub(crate) fn channel(number: u16, payload: u16) -> Self {
        Self::of(&[number.to_be_bytes(), payload.to_be_bytes()].concat())
    }

    /// Of a Data indication (RFC 8656 §11.3). `transaction` is any number; only its form matters.
    pub(crate) fn indication(peer: SocketAddr, payload: u16, transaction: u128) -> Self {
        let transaction = TransactionId::from(transaction);
        let id = u128::from(transaction).to_be_bytes();
        let address = XorSocketAddr::new(peer, transaction);
        let mut value = [0; 20];
        let length = usize::from(address.length());
        address.write_into_unchecked(&mut value[..length]);
        let address_header = [0, attribute::XOR_PEER_ADDRESS as u8, 0, length as u8];
        let data_header = [[0, attribute::DATA as u8], payload.to_be_bytes()].concat();
        let body = (4 + length + 4 + usize::from(payload).next_multiple_of(4)) as u16;
        // An indication's class bits are 01 (RFC 8489 §5): 0x0010.
        let kind = (method::DATA | 0x0010).to_be_bytes();
        let header = [&kind[..], &body.to_be_bytes(), &COOKIE, &id[4..]].concat();
        Self::of(&[&header[..], &address_header, &value[..length], &data_header].concat())
    }

    fn of(start: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[..start.len()].copy_from_slice(start);
        Self { bytes, length: start.len() as u8 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}
