//! What two clients say to each other about a call, through the server or over the control channel (section 5).

use serde::{Deserialize, Deserializer, Serialize};

use crate::id::{CallId, DeviceAddress};
use crate::identity::{PublicKey, Signature, to_be_checked};

/// A message about a call, without its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Signal {
    /// Opens a call, or renegotiates one.
    Offer(Offer),
    /// Says how far a callee's device has come.
    Progress(Progress),
    /// Answers an offer.
    Answer(Answer),
    /// One more way to be reached (trickle ICE, RFC 8838).
    Candidate(CandidateMessage),
    /// The callee asks the caller for an ICE restart.
    Restart(Restart),
    /// Ends a call, or one device's leg of it.
    Close(Close),
}

impl Signal {
    /// Which call it is about.
    #[must_use]
    pub fn call(&self) -> CallId {
        match self {
            Self::Offer(m) => m.call,
            Self::Progress(m) => m.call,
            Self::Answer(m) => m.call,
            Self::Candidate(m) => m.call,
            Self::Restart(m) => m.call,
            Self::Close(m) => m.call,
        }
    }
}

/// The `offer` message. Its SDP proves nothing until [`crate::description::SignedDescription::prove`] accepted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Which call.
    pub call: CallId,
    /// Counts the maker's offers in the call, from 0.
    pub n: u32,
    /// The session description (RFC 8866, RFC 8829).
    pub sdp: String,
    /// Whether the caller dialled with picture; required in an opening offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<bool>,
    /// The caller's free-text name; show it only through [`crate::id::shown_name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The maker's key; absent for guests.
    #[serde(default, deserialize_with = "to_be_checked", skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
    /// The maker's signature; absent for guests.
    #[serde(default, deserialize_with = "to_be_checked", skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// The `progress` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which call.
    pub call: CallId,
    /// How far.
    pub state: ProgressState,
    /// The device's free-text name, sent to contacts only; show it only through [`crate::id::shown_name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// With `accepted`: whether with picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<bool>,
}

/// How far a callee's device has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    /// It is alerting its user.
    Ringing,
    /// Its user said yes.
    Accepted,
    /// A state that this version does not know; ignored.
    #[serde(other)]
    Unknown,
}

/// `null` is as good as nothing, as it is for the other optional members.
fn absent_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The `answer` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which call.
    pub call: CallId,
    /// The number of the offer that it answers.
    pub n: u32,
    /// The session description.
    pub sdp: String,
    /// Whether the callee's user has not accepted yet.
    #[serde(default, deserialize_with = "absent_or_null")]
    pub early: bool,
    /// The maker's key; absent for guests.
    #[serde(default, deserialize_with = "to_be_checked", skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
    /// The maker's signature; absent for guests.
    #[serde(default, deserialize_with = "to_be_checked", skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// The `candidate` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateMessage {
    /// Which call.
    pub call: CallId,
    /// The candidate itself.
    pub candidate: Candidate,
}

/// `RTCIceCandidateInit` (webrtc-pc §4.8.1.1). An empty `candidate` ends a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The `candidate:` attribute (RFC 8839 §5.1), or empty.
    pub candidate: String,
    /// The media section, by its `a=mid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<String>,
    /// The media section, by its place.
    #[serde(default, rename = "sdpMLineIndex", skip_serializing_if = "Option::is_none")]
    pub sdp_mline_index: Option<u16>,
    /// The `a=ice-ufrag` of the description it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

/// The `restart` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Which call.
    pub call: CallId,
    /// The number of the caller's last offer that the callee has seen.
    pub n: u32,
}

/// The `close` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Which call.
    pub call: CallId,
    /// Why.
    pub reason: CloseReason,
    /// With `answered_elsewhere`: the device that answered, which ignores the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<DeviceAddress>,
}

/// Why a call, or one device's leg of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// Somebody hung up.
    Hangup,
    /// The callee said no.
    Declined,
    /// That device is in another call: ends its leg only.
    Busy,
    /// Nobody answered that device: ends its leg only.
    Timeout,
    /// The caller gave up before an answer.
    Cancelled,
    /// Another device of the callee answered.
    AnsweredElsewhere,
    /// Both dialled at once and this call gave way.
    Glare,
    /// Something went wrong.
    Failed,
    /// A reason that this version does not know; the call ends all the same.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> Signal {
        let signal: Signal = serde_json::from_str(text).unwrap();
        let again = serde_json::to_string(&signal).unwrap();
        assert_eq!(serde_json::from_str::<Signal>(&again).unwrap(), signal);
        signal
    }

    #[test]
    fn the_messages_of_the_contract_are_read_and_written() {
        let call = "0b2c9b1e-3b1a-4c57-8a2f-0d6e7f8a9b0c";
        for text in [
            r#"{"type":"offer","call":"C","n":0,"sdp":"v=0","video":true,"name":"Alice"}"#,
            r#"{"type":"progress","call":"C","state":"ringing","device":"work laptop"}"#,
            r#"{"type":"progress","call":"C","state":"accepted","video":true}"#,
            r#"{"type":"answer","call":"C","n":0,"sdp":"v=0","early":true}"#,
            r#"{"type":"candidate","call":"C","candidate":{"candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"u"}}"#,
            r#"{"type":"candidate","call":"C","candidate":{"candidate":"","sdpMid":null,"usernameFragment":"u"}}"#,
            r#"{"type":"restart","call":"C","n":0}"#,
            r#"{"type":"close","call":"C","reason":"answered_elsewhere","by":"bob/19ce44d05b7a1c02"}"#,
        ] {
            assert_eq!(round_trip(&text.replace('C', call)).call().to_string(), call);
        }
    }

    #[test]
    fn unlisted_states_and_reasons_are_no_error() {
        let call = "0b2c9b1e-3b1a-4c57-8a2f-0d6e7f8a9b0c";
        let close = round_trip(&format!(r#"{{"type":"close","call":"{call}","reason":"bored","extra":[1]}}"#));
        assert!(matches!(close, Signal::Close(Close { reason: CloseReason::Unknown, .. })));
        let progress = round_trip(&format!(r#"{{"type":"progress","call":"{call}","state":"thinking"}}"#));
        assert!(matches!(progress, Signal::Progress(Progress { state: ProgressState::Unknown, .. })));
    }
}
