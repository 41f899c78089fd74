//! What the server answers to what it cannot do (section 7).

use serde::{Deserialize, Serialize};

/// Why; programs decide by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not an object of the contract: malformed, a member missing, repeated or of the wrong type.
    BadMessage,
    /// A `type` that the contract does not list.
    UnknownType,
    /// A protocol version that the server does not speak.
    UnsupportedProtocol,
    /// Something that needs a sign-in came before it.
    NotSignedIn,
    /// A name that the contract does not allow, or not with this kind of sign-in.
    BadUsername,
    /// The name is bound to another key, or a guest's name is in use.
    UsernameTaken,
    /// No key, a wrong signature, or a signature for another host.
    BadSignature,
    /// This server takes no guests.
    GuestsRefused,
    /// Nobody has ever signed in under that name.
    UnknownUser,
    /// That name has no device signed in now, or that device is gone.
    Offline,
    /// Too many in too short a time; `retry_s` says when again.
    RateLimited,
    /// More at a time than the contract allows.
    TooMany,
    /// This server takes no new names, or only with an invitation.
    RegistrationClosed,
    /// The server's own fault.
    Internal,
    /// A code that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The `error` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "error")]
pub struct ErrorMessage {
    /// Why.
    pub code: ErrorCode,
    /// One sentence for people.
    pub message: String,
    /// The call that it is about, as the client wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Seconds to wait before trying again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_s: Option<u32>,
}
