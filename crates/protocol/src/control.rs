//! What two clients say over the `control` data channel (section 8): the signals of a call without the server, what each
//! sends and shows now, and the words of the verification code (section 9).

use serde::{Deserialize, Serialize};

use crate::id::CallId;
use crate::json::parse_object;
use crate::message::MessageError;
use crate::signal::Signal;
use crate::verification::Verify;

/// One text frame of the control channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlMessage {
    /// What the sender sends now.
    Media(Sending),
    /// How large the sender shows the receiver's picture.
    Shown(Shown),
    /// The sender's user said yes; counts as `progress` `accepted` too.
    Accepted(Accepted),
    /// A message about the call, as through the server.
    Signal(Signal),
    /// A word towards the verification code (section 9).
    Verify(Verify),
}

/// The `media` message: which of its tracks the sender feeds. A hint for the screen, no promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "media")]
pub struct Sending {
    /// The microphone.
    pub audio: bool,
    /// The camera.
    pub video: bool,
    /// The screen.
    pub screen: bool,
}

/// The `shown` message: the place in which the sender shows the picture of the receiver's camera, in pixels of the screen. A
/// picture is large enough that is no smaller either way. A hint: the receiver need not send less for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "shown")]
pub struct Shown {
    /// From left to right; 0 while nobody can see the picture.
    pub width: u16,
    /// From top to bottom; likewise.
    pub height: u16,
}

impl Shown {
    /// Nobody can see it.
    pub const NOT_AT_ALL: Self = Self { width: 0, height: 0 };

    /// Whether anybody can see the picture.
    #[must_use]
    pub fn is_seen(self) -> bool {
        self.width > 0 && self.height > 0
    }
}

/// The `accepted` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "accepted")]
pub struct Accepted {
    /// Which call.
    pub call: CallId,
    /// Whether with picture.
    pub video: bool,
}

impl ControlMessage {
    /// Reads one text frame from a peer.
    ///
    /// # Errors
    /// [`MessageError`]: malformed, or a type that this version does not know (which is to be ignored).
    pub fn from_text(text: &str) -> Result<Self, MessageError> {
        let object = parse_object(text)?;
        let kind = object.get("type").and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        let value = serde_json::Value::Object(object);
        Ok(match kind.as_str() {
            "media" => Self::Media(serde_json::from_value(value)?),
            "shown" => Self::Shown(serde_json::from_value(value)?),
            "accepted" => Self::Accepted(serde_json::from_value(value)?),
            "offer" | "answer" | "candidate" | "restart" | "close" => Self::Signal(serde_json::from_value(value)?),
            "verify" => Self::Verify(serde_json::from_value(value)?),
            _ => return Err(MessageError::UnknownType(kind)),
        })
    }

    /// The text frame to send.
    #[must_use]
    pub fn to_text(&self) -> String {
        let text = match self {
            Self::Media(m) => serde_json::to_string(m),
            Self::Shown(m) => serde_json::to_string(m),
            Self::Accepted(m) => serde_json::to_string(m),
            Self::Signal(m) => serde_json::to_string(m),
            Self::Verify(m) => serde_json::to_string(m),
        };
        text.expect("plain structs with string keys always serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_read_back_as_written() {
        let call: CallId = "0b2c9b1e-3b1a-4c57-8a2f-0d6e7f8a9b0c".parse().unwrap();
        for message in [
            ControlMessage::Media(Sending { audio: true, video: false, screen: false }),
            ControlMessage::Shown(Shown { width: 640, height: u16::MAX }),
            ControlMessage::Accepted(Accepted { call, video: true }),
            ControlMessage::Signal(Signal::Restart(crate::signal::Restart { call, n: 3 })),
            ControlMessage::Verify(Verify::Commit(crate::identity::Binary([7; 32]))),
        ] {
            assert_eq!(ControlMessage::from_text(&message.to_text()).unwrap(), message);
        }
        assert!(matches!(ControlMessage::from_text(r#"{"type":"later"}"#), Err(MessageError::UnknownType(_))));
        for size in
            [r#""width":640"#, r#""width":65536,"height":1"#, r#""width":-1,"height":1"#, r#""width":1.5,"height":1"#]
        {
            let text = format!(r#"{{"type":"shown",{size}}}"#);
            assert!(ControlMessage::from_text(&text).is_err(), "{text}");
        }
        // `progress` goes through the server alone: its meaning hangs on the sender that the server stamps.
        assert!(
            ControlMessage::from_text(&format!(r#"{{"type":"progress","call":"{call}","state":"ringing"}}"#)).is_err()
        );
    }
}
