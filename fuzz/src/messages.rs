//! Text frames: of a client to the server, of the server to a client, and between peers. What is understood of a message and
//! written again must be understood the same: else two readers see two messages.

use ahoy_protocol::control::ControlMessage;
use ahoy_protocol::description::{Expectation, SignedDescription};
use ahoy_protocol::id::{DeviceAddress, SessionId, Username, shown_name};
use ahoy_protocol::json::{Object, parse_object};
use ahoy_protocol::message::{ClientMessage, Relay, ServerMessage};
use ahoy_protocol::signal::Signal;

/// One text frame, read as either side of the connection to the server would.
pub fn wire_message(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some(quick) = Relay::read(text) {
        let whole = parse_object(text).map_err(Into::into).and_then(Relay::from_object);
        let whole = whole.expect("what is read where it lies is a message");
        assert_eq!((&quick.to, &quick.signal), (&whole.to, &whole.signal));
        assert_eq!(handed(quick), handed(whole));
    }
    if let Ok(message) = parse_object(text).map_err(Into::into).and_then(ClientMessage::from_object) {
        let object = parse_object(&message.to_text()).expect("what is written is an object");
        let again = ClientMessage::from_object(object).expect("what is written is a message");
        match (&message, &again) {
            // Members that nobody knows are passed on as JSON, whose long fractions may lose their last digit.
            (ClientMessage::Relay(one), ClientMessage::Relay(other)) => {
                assert_eq!((&one.to, &one.signal), (&other.to, &other.signal));
                let members = handed(one.clone());
                assert!(members.keys().eq(handed(other.clone()).keys()));
                assert!(["to", "seq", "devices", "age_ms"].iter().all(|name| !members.contains_key(*name)));
                assert_eq!(members["from"], "alice/0000000000000001");
                look_at(&one.signal);
            }
            _ => assert_eq!(message, again),
        }
    }
    if let Ok(message) = ServerMessage::from_text(text) {
        let written = serde_json::Value::Object(message.to_object()).to_string();
        assert_eq!(ServerMessage::from_text(&written).expect("what is written is a message"), message);
        if let ServerMessage::Signal(received) = &message {
            look_at(&received.signal);
        }
    }
}

/// What a receiver gets to read of a message that is passed on.
fn handed(relay: Relay) -> Object {
    let from = DeviceAddress { username: "alice".parse().expect("a username"), session: SessionId::from_u64(1) };
    parse_object(&relay.body.stamped(&from, None)).expect("what is written is an object")
}

/// One text frame of the control channel.
pub fn control_message(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(message) = ControlMessage::from_text(text) {
        let again = ControlMessage::from_text(&message.to_text()).expect("what is written is a message");
        assert_eq!(message, again);
        if let ControlMessage::Signal(signal) = &message {
            look_at(signal);
        }
    }
}

/// What is done with any signal before it is believed.
fn look_at(signal: &Signal) {
    use ahoy_protocol::description::DescriptionKind::{Answer, Early, Offer};
    let (kind, n, sdp, key, signature) = match signal {
        Signal::Offer(offer) => {
            let shown = offer.name.as_deref().and_then(shown_name);
            assert!(shown.is_none_or(|name| !name.chars().any(char::is_control)));
            (Offer, offer.n, &offer.sdp, offer.key, offer.signature)
        }
        Signal::Answer(answer) => {
            let kind = if answer.early { Early } else { Answer };
            (kind, answer.n, &answer.sdp, answer.key, answer.signature)
        }
        _ => return,
    };
    let [maker, receiver]: [Username; 2] = ["alice", "bob"].map(|name| name.parse().expect("a username"));
    let expected = Expectation {
        call: signal.call(),
        maker: &maker,
        receiver: &receiver,
        offer: None,
        own_key: None,
        pinned: None,
    };
    let proven = SignedDescription::new(kind, n, sdp.clone(), key, signature).prove(&expected);
    // Nobody who makes up bytes has a key that signed them.
    assert!(proven.is_err());
}
