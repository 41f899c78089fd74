//! What a client and the server say to each other: one JSON object a text frame (sections 1, 3, 4, 5, 7).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::error::ErrorMessage;
use crate::id::{DeviceAddress, IdError, SessionId, Username};
use crate::identity::{Challenge, PublicKey, Signature, to_be_checked};
use crate::json::{JsonError, Object, parse_object};
pub use crate::relay::Relay;
use crate::signal::Signal;

/// Why a text frame is no message of the contract.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not a JSON object, or with a repeated member name.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// No string `type`, or a listed member missing or of the wrong type.
    #[error("{0}")]
    Member(String),
    /// A message for somebody who can have no such name.
    #[error("{0}")]
    Name(IdError),
    /// A `login` of another version of the protocol, whatever else it says.
    #[error("this program speaks version {} of the protocol", crate::VERSION)]
    Version,
    /// A `type` that is not listed here.
    #[error("unknown type {0:?}")]
    UnknownType(String),
}

impl From<serde_json::Error> for MessageError {
    fn from(error: serde_json::Error) -> Self {
        Self::Member(error.to_string())
    }
}

/// From a client to the server.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientMessage {
    /// Signs in.
    Login(Login),
    /// Replaces this session's contact list.
    Contacts(Contacts),
    /// Asks for fresh ICE servers.
    IceServers,
    /// Asks for a `pong`.
    Ping,
    /// To be relayed.
    Relay(Relay),
}

/// The `login` message. `username` is unchecked text: the server answers a bad one with its own code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "login")]
pub struct Login {
    /// The protocol version; [`crate::VERSION`].
    pub protocol: u32,
    /// Who signs in.
    pub username: String,
    /// The device that does.
    pub session: SessionId,
    /// Free text to show beside the username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text that names the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The authority that the client dialled; what the signature is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The account's key; absent for guests.
    #[serde(default, deserialize_with = "to_be_checked", skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
    /// Over [`crate::identity::login_statement`]; absent for guests.
    #[serde(default, deserialize_with = "to_be_checked", skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// The token of the last `welcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// The last `seq` seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Lets a new name in where the operator invites; read by servers that do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
}

/// The `contacts` message. Names that are no usernames are kept as text: nobody has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "contacts")]
pub struct Contacts {
    /// At most [`crate::CONTACTS_MAX`].
    pub usernames: Vec<String>,
}

impl ClientMessage {
    /// Reads one text frame of a client, already split into its members.
    ///
    /// # Errors
    /// [`MessageError`], of which it is never [`MessageError::Json`].
    pub fn from_object(object: Object) -> Result<Self, MessageError> {
        let kind = message_type(&object)?;
        Ok(match kind.as_str() {
            "login" => {
                let is_other =
                    |protocol: &Value| !protocol.is_f64() && protocol.is_number() && *protocol != crate::VERSION;
                if object.get("protocol").is_some_and(is_other) {
                    return Err(MessageError::Version);
                }
                Self::Login(typed(object)?)
            }
            "contacts" => Self::Contacts(typed(object)?),
            "ice_servers" => Self::IceServers,
            "ping" => Self::Ping,
            "offer" | "progress" | "answer" | "candidate" | "restart" | "close" => {
                Self::Relay(Relay::from_object(object)?)
            }
            _ => return Err(MessageError::UnknownType(kind)),
        })
    }

    /// The text frame to send.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Login(login) => text_of(login),
            Self::Contacts(contacts) => text_of(contacts),
            Self::IceServers => r#"{"type":"ice_servers"}"#.into(),
            Self::Ping => r#"{"type":"ping"}"#.into(),
            Self::Relay(relay) => relay.to_text(),
        }
    }
}

/// From the server to a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerMessage {
    /// The first word.
    Hello(Hello),
    /// Signed in.
    Welcome(Welcome),
    /// Something could not be done.
    Error(ErrorMessage),
    /// A contact came or went.
    Presence(Presence),
    /// Whom an opening offer reached.
    Relayed(Relayed),
    /// The answer to a `ping`.
    Pong {
        /// It waited for this client to come back: it answers a `ping` of an earlier connection. The server says so by
        /// an `age_ms`, of whatever value.
        waited: bool,
    },
    /// Fresh ICE servers.
    IceServers(IceServerList),
    /// Who called while no device was signed in.
    Missed(MissedCalls),
    /// A message from another client.
    Signal(Received),
}

/// The `hello` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "hello")]
pub struct Hello {
    /// Versions that the server speaks.
    pub protocols: Vec<u32>,
    /// The server's name and version, for logs.
    pub server: String,
    /// To be signed by `login`.
    pub challenge: Challenge,
    /// Whether guests are welcome.
    pub guests: bool,
}

/// The `welcome` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "welcome")]
pub struct Welcome {
    /// Who signed in.
    pub username: Username,
    /// Which device.
    pub session: SessionId,
    /// Whether the earlier session goes on.
    pub resumed: bool,
    /// How many of the session's messages the server has taken.
    pub received: u64,
    /// The token to come back with.
    pub resume: String,
    /// How long the session outlives its connection, in seconds.
    pub linger_s: u32,
    /// STUN and TURN.
    pub ice_servers: Vec<IceServer>,
    /// How long the credentials hold, in seconds.
    pub ttl_s: u32,
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a URL or a list of URLs")]
    enum Urls {
        One(String),
        More(Vec<String>),
    }
    Ok(match Urls::deserialize(deserializer)? {
        Urls::One(url) => vec![url],
        Urls::More(urls) => urls,
    })
}

/// One entry of `ice_servers`: `RTCIceServer` (webrtc-pc §4.2.4).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URLs (RFC 7064, RFC 7065). One alone may come as a string, as in webrtc-pc.
    #[serde(deserialize_with = "one_or_more")]
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    /// Without what gives access.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// The `ice_servers` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "ice_servers")]
pub struct IceServerList {
    /// STUN and TURN.
    pub ice_servers: Vec<IceServer>,
    /// How long the credentials hold, in seconds.
    pub ttl_s: u32,
}

/// The `presence` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "presence")]
pub struct Presence {
    /// The contact.
    pub username: Username,
    /// Whether a device of theirs is signed in.
    pub online: bool,
}

/// The `relayed` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "relayed")]
pub struct Relayed {
    /// Which call.
    pub call: crate::id::CallId,
    /// The devices that the offer was handed to.
    pub to: Vec<DeviceAddress>,
}

/// The `missed` message (section 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "missed")]
pub struct MissedCalls {
    /// One entry a caller, at most [`crate::MISSED_CALLS_MAX`].
    pub calls: Vec<MissedCall>,
}

/// What was missed from one caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedCall {
    /// Who called.
    pub from: Username,
    /// When last: an RFC 3339 time in UTC, unchecked text.
    pub at: String,
    /// Whether the last one was with picture.
    pub video: bool,
    /// How many times, 1 or more.
    pub count: u32,
}

/// A signal as the server hands it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who sent it; stamped by the server.
    pub from: DeviceAddress,
    /// In an opening offer: how many devices of this user it was handed to.
    pub devices: Option<u32>,
    /// How long it waited for this client to come back, in milliseconds.
    pub age_ms: u64,
    /// The message.
    pub signal: Signal,
}

/// One text frame of the server: a message and its number in the session (section 3).
#[derive(Debug)]
pub struct ServerFrame {
    /// Counts the session's messages from 1; absent before `welcome`. What is not understood has its number too, so
    /// that a client which comes back does not get it again. A `seq` that is no whole number counts as absent.
    pub seq: Option<u64>,
    /// The message, or why it is none; one of an unknown type is to be ignored.
    pub message: Result<ServerMessage, MessageError>,
}

impl ServerFrame {
    /// Reads one text frame of the server.
    ///
    /// # Errors
    /// When it is not exactly one JSON object with each member name once.
    pub fn from_text(text: &str) -> Result<Self, JsonError> {
        let object = parse_object(text)?;
        let seq = object.get("seq").and_then(Value::as_u64);
        Ok(Self { seq, message: ServerMessage::from_object(object) })
    }
}

impl ServerMessage {
    /// Reads one text frame of the server, its number left out ([`ServerFrame`]).
    ///
    /// # Errors
    /// [`MessageError`]; an unknown type is to be ignored.
    pub fn from_text(text: &str) -> Result<Self, MessageError> {
        Self::from_object(parse_object(text)?)
    }

    fn from_object(object: Object) -> Result<Self, MessageError> {
        let kind = message_type(&object)?;
        Ok(match kind.as_str() {
            "hello" => Self::Hello(typed(object)?),
            "welcome" => Self::Welcome(typed(object)?),
            "error" => Self::Error(typed(object)?),
            "presence" => Self::Presence(typed(object)?),
            "relayed" => Self::Relayed(typed(object)?),
            "pong" => Self::Pong { waited: object.contains_key("age_ms") },
            "ice_servers" => Self::IceServers(typed(object)?),
            "missed" => Self::Missed(typed(object)?),
            "offer" | "progress" | "answer" | "candidate" | "restart" | "close" => {
                let Stamp { from, devices, age_ms } = typed(object.clone())?;
                Self::Signal(Received { from, devices, age_ms, signal: typed(object)? })
            }
            _ => return Err(MessageError::UnknownType(kind)),
        })
    }

    /// The members to send, without `seq`, which belongs to the session that it is sent in.
    #[must_use]
    pub fn to_object(&self) -> Object {
        match self {
            Self::Hello(m) => object_of(m),
            Self::Welcome(m) => object_of(m),
            Self::Error(m) => object_of(m),
            Self::Presence(m) => object_of(m),
            Self::Relayed(m) => object_of(m),
            Self::Pong { waited: false } => object_of(&serde_json::json!({ "type": "pong" })),
            Self::Pong { waited: true } => object_of(&serde_json::json!({ "type": "pong", "age_ms": 0 })),
            Self::IceServers(m) => object_of(m),
            Self::Missed(m) => object_of(m),
            Self::Signal(m) => m.to_object(),
        }
    }
}

impl Received {
    fn to_object(&self) -> Object {
        let mut members = object_of(&self.signal);
        members.insert("from".into(), Value::String(self.from.to_string()));
        if let Some(devices) = self.devices {
            members.insert("devices".into(), devices.into());
        }
        if self.age_ms > 0 {
            members.insert("age_ms".into(), self.age_ms.into());
        }
        members
    }
}

/// What the server writes into a relayed message.
#[derive(Deserialize)]
struct Stamp {
    from: DeviceAddress,
    #[serde(default)]
    devices: Option<u32>,
    #[serde(default)]
    age_ms: u64,
}

fn message_type(object: &Object) -> Result<String, MessageError> {
    let kind = object.get("type").and_then(Value::as_str);
    kind.map(str::to_owned).ok_or_else(|| MessageError::Member("missing member `type`, or it is no string".into()))
}

fn typed<T: serde::de::DeserializeOwned>(object: Object) -> Result<T, MessageError> {
    Ok(serde_json::from_value(Value::Object(object))?)
}

fn object_of<T: Serialize>(message: &T) -> Object {
    match serde_json::to_value(message) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => unreachable!("messages are structs with string keys, which serialise to objects"),
    }
}

fn text_of<T: Serialize>(message: &T) -> String {
    Value::Object(object_of(message)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Binary;

    const CALL: &str = "0b2c9b1e-3b1a-4c57-8a2f-0d6e7f8a9b0c";

    fn from_client(text: &str) -> Result<ClientMessage, MessageError> {
        ClientMessage::from_object(parse_object(&text.replace("CALL", CALL))?)
    }

    #[test]
    fn what_a_client_writes_is_read_back() {
        for text in [
            r#"{"type":"login","protocol":1,"username":"guest-a","session":"9f0c51d2a7e34b18"}"#,
            r#"{"type":"contacts","usernames":["bob","carol"]}"#,
            r#"{"type":"ice_servers"}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"offer","call":"CALL","to":"bob","n":0,"sdp":"v=0","video":true}"#,
            r#"{"type":"close","call":"CALL","to":"bob/19ce44d05b7a1c02","reason":"hangup"}"#,
        ] {
            let message = from_client(text).unwrap();
            let again = ClientMessage::from_object(parse_object(&message.to_text()).unwrap()).unwrap();
            assert_eq!(again, message, "{text}");
        }
    }

    #[test]
    fn a_missing_or_wrong_member_is_told_from_an_unknown_type() {
        for text in [
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"login","protocol":1,"username":"a"}"#,
            r#"{"type":"login","protocol":"1","username":"a","session":"9f0c51d2a7e34b18"}"#,
            r#"{"type":"login","protocol":1,"username":"a","session":"short"}"#,
            r#"{"type":"contacts","usernames":[1]}"#,
            r#"{"type":"offer","call":"CALL","to":"bob","n":0,"sdp":"v=0"}"#,
            r#"{"type":"offer","call":"CALL","to":"bob","n":-1,"sdp":"v=0","video":true}"#,
            r#"{"type":"offer","call":"no","to":"bob","n":0,"sdp":"v=0","video":true}"#,
            r#"{"type":"offer","call":"CALL","n":0,"sdp":"v=0","video":true}"#,
            r#"{"type":"offer","call":"CALL","to":"bob/Den","n":0,"sdp":"v=0","video":true}"#,
            r#"{"type":"candidate","call":"CALL","to":"bob","candidate":"x"}"#,
            r#"{"type":"close","call":"CALL","to":"bob"}"#,
        ] {
            assert!(matches!(from_client(text), Err(MessageError::Member(_))), "{text}");
        }
        assert!(matches!(from_client(r#"{"type":"dance"}"#), Err(MessageError::UnknownType(_))));
        for to in ["Bob", "", "admin", "Bob/19ce44d05b7a1c02"] {
            let offer = format!(r#"{{"type":"offer","call":"CALL","to":"{to}","n":0,"sdp":"v=0","video":true}}"#);
            assert!(matches!(from_client(&offer), Err(MessageError::Name(_))), "{to}");
        }
        for login in [r#"{"type":"login","protocol":2}"#, r#"{"type":"login","protocol":-1,"who":"a"}"#] {
            assert!(matches!(from_client(login), Err(MessageError::Version)), "{login}");
        }
        let renegotiation = r#"{"type":"offer","call":"CALL","to":"bob/19ce44d05b7a1c02","n":1,"sdp":"v=0"}"#;
        assert!(from_client(renegotiation).is_ok(), "only an opening offer needs `video`");
    }

    #[test]
    fn a_text_that_is_no_key_or_no_signature_is_passed_on_and_proves_nothing() {
        let text =
            r#"{"type":"offer","call":"CALL","to":"bob","n":0,"sdp":"v=0","video":true,"key":"AAAA","signature":"?"}"#;
        let ClientMessage::Relay(relay) = from_client(text).unwrap() else { panic!("a relay") };
        let Signal::Offer(offer) = &relay.signal else { panic!("an offer") };
        assert_eq!((offer.key, offer.signature), (Some(Binary([0; 32])), Some(Binary([0; 64]))));
        let sender = "alice/9f0c51d2a7e34b18".parse().unwrap();
        let passed_on = relay.body.stamped(&sender, None);
        assert!(passed_on.contains(r#""key":"AAAA""#) && passed_on.contains(r#""signature":"?""#), "as it was written");
        assert!(from_client(&text.replace(r#""?""#, "7")).is_err(), "not even a text");
    }

    #[test]
    fn what_others_write_in_another_way_is_read_too() {
        let answer = r#"{"type":"answer","call":"CALL","to":"bob","n":0,"sdp":"v=0","early":null,"key":null}"#;
        let ClientMessage::Relay(relay) = from_client(answer).unwrap() else { panic!("a relay") };
        assert!(matches!(relay.signal, Signal::Answer(answer) if !answer.early && answer.key.is_none()));
        let list = |urls: &str| {
            serde_json::from_str::<IceServerList>(&format!(r#"{{"ice_servers":[{{"urls":{urls}}}],"ttl_s":60}}"#))
        };
        assert_eq!(list(r#""stun:a""#).unwrap(), list(r#"["stun:a"]"#).unwrap());
        assert!(list("7").is_err());
    }

    #[test]
    fn what_the_server_writes_is_read_back() {
        let from: DeviceAddress = "alice/9f0c51d2a7e34b18".parse().unwrap();
        let signal = from_client(r#"{"type":"restart","call":"CALL","to":"bob","n":2}"#).unwrap();
        let ClientMessage::Relay(relay) = signal else { panic!("a relay") };
        let received = Received { from, devices: Some(2), age_ms: 17, signal: relay.signal };
        let missed =
            MissedCall { from: "carol".parse().unwrap(), at: "2026-11-21T09:30:00Z".into(), video: true, count: 2 };
        for message in [
            ServerMessage::Pong { waited: false },
            ServerMessage::Pong { waited: true },
            ServerMessage::Presence(Presence { username: "bob".parse().unwrap(), online: true }),
            ServerMessage::IceServers(IceServerList { ice_servers: vec![], ttl_s: 60 }),
            ServerMessage::Missed(MissedCalls { calls: vec![missed] }),
            ServerMessage::Signal(received),
        ] {
            let text = Value::Object(message.to_object()).to_string();
            assert_eq!(ServerMessage::from_text(&text).unwrap(), message, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_has_a_number_too() {
        let seq = |text: &str| ServerFrame::from_text(text).map(|frame| (frame.seq, frame.message.is_ok())).ok();
        assert_eq!(seq(r#"{"type":"pong","seq":41}"#), Some((Some(41), true)));
        assert_eq!(seq(r#"{"type":"pong"}"#), Some((None, true)));
        assert_eq!(seq(r#"{"type":"later","seq":42}"#), Some((Some(42), false)));
        assert_eq!(seq(r#"{"type":"presence","seq":43}"#), Some((Some(43), false)), "a listed member is missing");
        for odd in ["-1", "1.5", "\"7\"", "18446744073709551616", "null"] {
            assert_eq!(seq(&format!(r#"{{"type":"pong","seq":{odd}}}"#)), Some((None, true)), "{odd}");
        }
        assert_eq!(seq(r#"{"type":"pong","seq":1,"seq":2}"#), None);
    }
}
