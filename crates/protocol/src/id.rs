//! Names on the wire: usernames, sessions (devices), addresses and calls (section 2).

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

const USERNAME_MAX: usize = 32;
const SHOWN_NAME_MAX: usize = 64;
const GUEST_PREFIX: &str = "guest-";
const RESERVED: [&str; 6] = ["admin", "root", "server", "system", "support", "ahoy"];

/// A text that is not the name it should be. The texts are for people and say what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty, too long or with a character that is not allowed.
    #[error("a username has 1 to 32 characters: a letter a-z or digit first, then letters, digits, '.', '_' or '-'")]
    Username,
    /// One of the names that nobody may have.
    #[error("this username is reserved; choose another")]
    Reserved,
    /// Not 16 lower-case hexadecimal digits.
    #[error("a session is 16 lower-case hexadecimal digits")]
    Session,
    /// Not a lower-case UUID with hyphens.
    #[error("a call is named by a lower-case UUID")]
    Call,
}

/// A valid username: 1 to 32 of `[a-z0-9._-]`, beginning with a letter or digit, not a reserved name. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(Arc<str>);

impl Username {
    /// Reads what a person typed: spaces around it go, upper case is folded (section 2).
    ///
    /// # Errors
    /// [`IdError::Username`] or [`IdError::Reserved`].
    pub fn from_typed(text: &str) -> Result<Self, IdError> {
        text.trim().to_ascii_lowercase().parse()
    }

    /// Whether this is a guest's name: guests have no key and sign nothing.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.0.starts_with(GUEST_PREFIX)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = text.bytes();
        let first_ok = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest_ok = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
        if !first_ok || !rest_ok || text.len() > USERNAME_MAX {
            return Err(IdError::Username);
        }
        if RESERVED.contains(&text) {
            return Err(IdError::Reserved);
        }
        Ok(Self(text.into()))
    }
}

/// One device: 8 random bytes made by the client once for an installation and profile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// The session with this number; clients draw it at random.
    #[must_use]
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl FromStr for SessionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 16 || !text.bytes().all(hex) {
            return Err(IdError::Session);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| IdError::Session)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One device of one user: what the server stamps as `from`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceAddress {
    /// Whose device it is.
    pub username: Username,
    /// Which device.
    pub session: SessionId,
}

impl FromStr for DeviceAddress {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (username, session) = text.split_once('/').ok_or(IdError::Session)?;
        Ok(Self { username: username.parse()?, session: session.parse()? })
    }
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.username, self.session)
    }
}

/// Whom a message is for: every device of a user, or one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// Every device of that user (`username`).
    User(Username),
    /// One device (`username/session`).
    Device(DeviceAddress),
}

impl Address {
    /// Whose address it is.
    #[must_use]
    pub fn username(&self) -> &Username {
        match self {
            Self::User(username) => username,
            Self::Device(device) => &device.username,
        }
    }
}

impl From<DeviceAddress> for Address {
    fn from(device: DeviceAddress) -> Self {
        Self::Device(device)
    }
}

impl From<Username> for Address {
    fn from(username: Username) -> Self {
        Self::User(username)
    }
}

impl FromStr for Address {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.contains('/') { text.parse().map(Self::Device) } else { text.parse().map(Self::User) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(username) => username.fmt(f),
            Self::Device(device) => device.fmt(f),
        }
    }
}

/// Names a call in every message about it: a UUID made by the caller (RFC 9562). Its order is that of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(Uuid);

impl CallId {
    /// A version 4 UUID from 16 random bytes.
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl FromStr for CallId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let uuid = Uuid::try_parse(text).map_err(|_| IdError::Call)?;
        // `try_parse` also takes upper case, braces and no hyphens; on the wire there is one spelling, because both sides compare it.
        let mut buffer = Uuid::encode_buffer();
        if uuid.hyphenated().encode_lower(&mut buffer) == text { Ok(Self(uuid)) } else { Err(IdError::Call) }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A peer's free-text `name` or `device`, made safe to show: [`shown_text`] of 64 characters at most (section 2).
#[must_use]
pub fn shown_name(text: &str) -> Option<String> {
    shown_text(text, SHOWN_NAME_MAX)
}

/// Text from outside, made safe to show: control and bidirectional characters (Unicode's `Cc` and `Bidi_Control`) removed,
/// `max` characters at most; `None` when nothing is left.
#[must_use]
pub fn shown_text(text: &str, max: usize) -> Option<String> {
    let is_bidi =
        |c: char| matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let clean: String = text.chars().filter(|&c| !c.is_control() && !is_bidi(c)).take(max).collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(FromText(PhantomData))
            }
        }
    )*};
}

/// Reads a name where it lies, without a copy.
struct FromText<T>(PhantomData<T>);

impl<T: FromStr<Err = IdError>> de::Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

as_text!(Username, SessionId, DeviceAddress, Address, CallId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_what_the_contract_allows_and_nothing_else() {
        for good in ["a", "0", "alice", "a.b_c-d", "guest-7f", &"x".repeat(32)] {
            assert_eq!(good.parse::<Username>().unwrap().as_str(), good);
        }
        for bad in ["", ".a", "-a", "_a", "Alice", "al ice", "аlice", "a/b", "a\0", "a\n", &"x".repeat(33)] {
            assert_eq!(bad.parse::<Username>().unwrap_err(), IdError::Username, "{bad:?}");
        }
        for name in RESERVED {
            assert_eq!(name.parse::<Username>().unwrap_err(), IdError::Reserved);
        }
        assert_eq!(Username::from_typed("  Alice ").unwrap().as_str(), "alice");
    }

    #[test]
    fn addresses_name_a_user_or_one_device() {
        assert!(matches!("bob".parse::<Address>().unwrap(), Address::User(_)));
        let device = "bob/19ce44d05b7a1c02".parse::<Address>().unwrap();
        assert_eq!(device.to_string(), "bob/19ce44d05b7a1c02");
        for bad in [
            "",
            "/",
            "bob/",
            "bob/19CE44D05B7A1C02",
            "bob/19ce",
            "/19ce44d05b7a1c02",
            "bob/19ce44d05b7a1c02/x",
            "bob/+9ce44d05b7a1c02",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_call_has_one_spelling_and_its_order_is_that_of_the_text() {
        let low = "0b2c9b1e-3b1a-4c57-8a2f-0d6e7f8a9b0c";
        let high = "f02c9b1e-3b1a-4c57-8a2f-0d6e7f8a9b0c";
        let parse = |text: &str| text.parse::<CallId>();
        assert_eq!(parse(low).unwrap().to_string(), low);
        assert!(parse(low).unwrap() < parse(high).unwrap());
        for bad in
            ["", "x", &low.to_uppercase(), &low.replace('-', ""), &format!("{{{low}}}"), &format!("urn:uuid:{low}")]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shown_names_cannot_play_tricks() {
        assert_eq!(shown_name("Al\u{202E}ice\u{0007}\n").as_deref(), Some("Alice"));
        assert_eq!(shown_name("\u{2066}\u{2069} "), None);
        assert_eq!(shown_name(&"é".repeat(100)).unwrap().chars().count(), 64);
    }
}
