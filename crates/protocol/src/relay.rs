//! A message that the server passes on (section 2). Most of what a server does is this, so that most messages are read
//! where they lie and passed on as they were written ([`Relay::read`]); what is not written plainly, or is wrong, takes the
//! way of all other messages ([`Relay::from_object`]), to the same end.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use crate::id::{Address, DeviceAddress, IdError};
use crate::json::Object;
use crate::json::plain::{bare_string, members_of};
use crate::message::MessageError;
use crate::signal::Signal;

/// Members that the server writes and therefore never passes on from a client.
const STAMPED: [&str; 5] = ["to", "from", "seq", "devices", "age_ms"];
/// Room for what is added to a text on its way, so that it need not move for that: the members above.
const ADDED: usize = 128;

/// A message to be passed on.
#[derive(Debug, Clone, PartialEq)]
pub struct Relay {
    /// Whom it is for.
    pub to: Address,
    /// What was understood of it.
    pub signal: Signal,
    /// All that is passed on, unlisted members too.
    pub body: Body,
}

/// The members of a message less those that only the server writes: the text of an object without its last brace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(String);

impl Relay {
    /// A signal to send.
    #[must_use]
    pub fn new(to: Address, signal: Signal) -> Self {
        let body = match serde_json::to_string(&signal) {
            Ok(text) => Body::of(text),
            Err(_) => unreachable!("a signal is a struct with a tag, which serialises to an object"),
        };
        Self { to, signal, body }
    }

    /// Reads a text that is plainly a message of a call. `None` says nothing of what else it is.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let members = members_of(text)?;
        let to = bare_string(members.value("to")?)?.parse().ok()?;
        // Names are known to differ by now, so that other members do not matter here.
        let signal = match bare_string(members.value("type")?)? {
            "offer" => Signal::Offer(serde_json::from_str(text).ok()?),
            "progress" => Signal::Progress(serde_json::from_str(text).ok()?),
            "answer" => Signal::Answer(serde_json::from_str(text).ok()?),
            "candidate" => Signal::Candidate(serde_json::from_str(text).ok()?),
            "restart" => Signal::Restart(serde_json::from_str(text).ok()?),
            "close" => Signal::Close(serde_json::from_str(text).ok()?),
            _ => return None,
        };
        if lacks_video(&signal, &to) {
            return None;
        }
        let mut open = String::with_capacity(text.len() + ADDED);
        for member in members.iter().filter(|member| !STAMPED.contains(&member.name)) {
            open.push(if open.is_empty() { '{' } else { ',' });
            open.push_str(member.whole);
        }
        Some(Self { to, signal, body: Body(open) })
    }

    /// Reads any message of a call, already split into its members.
    ///
    /// # Errors
    /// [`MessageError::Member`] or [`MessageError::Name`].
    pub fn from_object(mut object: Object) -> Result<Self, MessageError> {
        let to = object.get("to").ok_or_else(|| MessageError::Member("missing member `to`".into()))?;
        let to = match to.as_str().map(str::parse::<Address>) {
            Some(Err(error @ (IdError::Username | IdError::Reserved))) => return Err(MessageError::Name(error)),
            Some(Ok(to)) => to,
            Some(Err(_)) | None => Address::deserialize(to)?,
        };
        STAMPED.iter().for_each(|name| {
            object.remove(*name);
        });
        let signal = Signal::deserialize(&object)?;
        if lacks_video(&signal, &to) {
            return Err(MessageError::Member("missing member `video` of an opening offer".into()));
        }
        Ok(Self { to, signal, body: Body::of(Value::Object(object).to_string()) })
    }

    /// The text frame to send.
    pub(crate) fn to_text(&self) -> String {
        format!("{},\"to\":\"{}\"}}", self.body.0, self.to)
    }
}

impl Body {
    /// Of an object that is not empty.
    fn of(mut object: String) -> Self {
        object.pop();
        Self(object)
    }

    /// The message as its receivers get it, but for its number and how long it waited: with who sent it, and, in an
    /// opening offer, how many `devices` it was handed to.
    #[must_use]
    pub fn stamped(self, from: &DeviceAddress, devices: Option<u32>) -> String {
        let mut text = self.0;
        text.reserve(ADDED);
        // Nothing in an address needs to be escaped.
        let _ = write!(text, ",\"from\":\"{from}\"");
        if let Some(devices) = devices {
            let _ = write!(text, ",\"devices\":{devices}");
        }
        text.push('}');
        text
    }
}

fn lacks_video(signal: &Signal, to: &Address) -> bool {
    matches!((signal, to), (Signal::Offer(offer), Address::User(_)) if offer.video.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::json::parse_object;

    const CALL: &str = "0b2c9b1e-3b1a-4c57-8a2f-0d6e7f8a9b0c";
    const SIGNALS: [&str; 9] = [
        r#""type":"offer","call":"CALL","to":"bob","n":0,"sdp":"v=0\r\n","video":true,"name":"Ålice""#,
        r#""type":"offer","call":"CALL","to":"bob/19ce44d05b7a1c02","n":1,"sdp":"v=0""#,
        r#""type":"progress","call":"CALL","to":"bob","state":"ringing","device":"work \"laptop\"""#,
        r#""type":"progress","call":"CALL","to":"bob","state":"accepted","video":true"#,
        r#""type":"answer","call":"CALL","to":"bob","n":0,"sdp":"v=0","early":true"#,
        r#""type":"candidate","call":"CALL","to":"bob","candidate":{"candidate":"x","sdpMid":null,"sdpMLineIndex":0}"#,
        r#""type":"restart","call":"CALL","to":"bob","n":0"#,
        r#""type":"close","call":"CALL","to":"bob","reason":"answered_elsewhere","by":"bob/19ce44d05b7a1c02""#,
        r#""type":"close","call":"CALL","to":"bob","reason":"bored""#,
    ];

    fn from() -> DeviceAddress {
        "alice/9f0c51d2a7e34b18".parse().unwrap()
    }

    /// What a receiver gets to read.
    fn handed(relay: Relay) -> Object {
        parse_object(&relay.body.stamped(&from(), None)).unwrap()
    }

    #[test]
    fn every_message_of_a_call_is_read_where_it_lies() {
        for signal in SIGNALS {
            let text = format!("{{{}}}", signal.replace("CALL", CALL));
            let quick = Relay::read(&text).unwrap_or_else(|| panic!("{text}"));
            let whole = Relay::from_object(parse_object(&text).unwrap()).unwrap();
            assert_eq!((&quick.to, &quick.signal), (&whole.to, &whole.signal));
            assert_eq!(handed(quick), handed(whole), "{text}");
        }
    }

    #[test]
    fn unlisted_members_pass_and_stamped_ones_do_not() {
        let text = r#"{"type":"close","seq":"y","call":"CALL","to":"bob","reason":"hangup","from":"x","devices":[],"age_ms":{},"mood":"calm"}"#;
        let text = text.replace("CALL", CALL);
        let ways = [Relay::read(&text).unwrap(), Relay::from_object(parse_object(&text).unwrap()).unwrap()];
        for relay in ways {
            assert!(parse_object(&relay.to_text()).unwrap().get("to").is_some_and(|to| to == "bob"));
            let names: Vec<String> = handed(relay.clone()).keys().cloned().collect();
            assert!(["call", "from", "mood", "reason", "type"].iter().all(|name| names.iter().any(|n| n == name)));
            assert_eq!(names.len(), 5, "{names:?}");
            let offered = parse_object(&relay.body.stamped(&from(), Some(3))).unwrap();
            assert_eq!((&offered["devices"], &offered["from"]), (&3.into(), &from().to_string().into()));
        }
    }

    #[test]
    fn whatever_is_read_where_it_lies_is_the_same_message_when_it_is_read_whole() {
        const PARTS: [&str; 40] = [
            "\"",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\\",
            "\\n",
            "\\u0074",
            "null",
            "true",
            "1",
            "-1",
            "0",
            "1.0",
            "4294967296",
            "\"to\":",
            "\"bob\"",
            "\"type\":",
            "\"close\"",
            "\"n\":",
            "\"x\":",
            "\"from\":\"x\"",
            "\"seq\":1",
            "[]",
            "{}",
            " ",
            "\"candidate\":",
            "[\"x\"]",
            "\"sdpMid\":7",
            "\"video\":",
            "\"key\":",
            "\"by\":",
            "\"call\":",
            "CALL",
            "é",
            "\"reason\":",
            "\u{7}",
            "\"early\":",
        ];
        let mut dice = Dice::new();
        let (mut read, mut changed) = (0, 0);
        for _ in 0..100_000 {
            let plain = format!("{{{}}}", SIGNALS[dice.below(SIGNALS.len())]);
            let mut text = plain.clone();
            for _ in 0..dice.below(4) {
                // A part is put in, or takes the place of some characters.
                let places: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
                let at = dice.below(places.len());
                let end = places[(at + dice.below(6)).min(places.len() - 1)];
                text.replace_range(places[at]..end, PARTS[dice.below(PARTS.len())]);
            }
            let [plain, text] = [plain, text].map(|text| text.replace("CALL", CALL));
            let Some(quick) = Relay::read(&text) else { continue };
            let whole = parse_object(&text).map_err(Into::into).and_then(Relay::from_object);
            let whole = whole.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((&quick.to, &quick.signal), (&whole.to, &whole.signal), "{text}");
            assert_eq!(handed(quick), handed(whole), "{text}");
            read += 1;
            changed += usize::from(text != plain);
        }
        assert!(read > 20_000 && changed > 1_000, "{read} {changed}");
    }
}
