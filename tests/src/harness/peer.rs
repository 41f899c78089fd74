//! A peer made by hand from `docs/signaling.md` alone: a WebSocket, JSON, and the signatures of [`super::proof`]. It uses
//! nothing of ours, so it finds out whether a program of somebody else can speak with ours. It has no media.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket};
use uuid::Uuid;

use super::proof::Key;
use super::{DEADLINE, Server};

/// A signed-in peer.
#[derive(Debug)]
pub struct Peer {
    socket: WebSocket<TcpStream>,
    username: String,
    session: String,
    key: Option<Key>,
    /// What came and was not asked for yet.
    inbox: VecDeque<Value>,
    /// Everything that came, for messages.
    heard: Vec<String>,
}

impl Peer {
    /// Signs in as a guest.
    #[must_use]
    #[track_caller]
    pub fn guest(server: &Server, username: &str) -> Self {
        Self::sign_in(server, username, None)
    }

    /// Signs in as the owner of a name.
    #[must_use]
    #[track_caller]
    pub fn keyed(server: &Server, username: &str, key: &Key) -> Self {
        Self::sign_in(server, username, Some(key.clone()))
    }

    #[track_caller]
    fn sign_in(server: &Server, username: &str, key: Option<Key>) -> Self {
        let stream = TcpStream::connect(server.host()).expect("the server listens");
        stream.set_nodelay(true).expect("the stream is open");
        stream.set_read_timeout(Some(DEADLINE)).expect("the time is not zero");
        let (socket, _) = tungstenite::client(server.url(), stream).expect("the server shakes hands");
        // 16 of the 32 digits: 64 random bits but for the version's four.
        let session = Uuid::new_v4().simple().to_string()[..16].to_owned();
        let mut peer =
            Self { socket, username: username.into(), session, key, inbox: VecDeque::new(), heard: Vec::new() };
        let hello = peer.expect("hello");
        let mut login = json!({"type": "login", "protocol": 1, "username": username, "session": peer.session});
        if let Some(key) = &peer.key {
            let challenge = text(&hello, "challenge");
            login["host"] = server.host().into();
            login["key"] = key.public().into();
            login["signature"] = key.sign_login(server.host(), challenge, username, &peer.session).into();
        }
        peer.send(&login);
        let welcome = peer.expect("welcome");
        assert_eq!(welcome["username"], username);
        assert_eq!(welcome["session"], peer.session.as_str());
        peer
    }

    /// Its full address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}/{}", self.username, self.session)
    }

    /// Its username.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Sends one message.
    ///
    /// # Panics
    /// When the server has hung up.
    #[track_caller]
    pub fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    /// Sends one text frame, whatever is in it.
    ///
    /// # Panics
    /// When the server has hung up.
    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("the server listens");
    }

    /// Sends an opening offer, signed where this peer has a key.
    #[track_caller]
    pub fn dial(&mut self, to: &str, call: &str, sdp: &str) {
        let mut offer = json!({"type": "offer", "call": call, "to": to, "n": 0, "sdp": sdp, "video": true});
        self.prove(&mut offer, "offer", to, None);
        self.send(&offer);
    }

    /// Says that its user accepted, and answers `offer`, signed where this peer has a key.
    #[track_caller]
    pub fn accept(&mut self, offer: &Value, sdp: &str) {
        self.progress(offer, "accepted");
        self.answer(offer, sdp);
    }

    /// Reports on the call of `offer`.
    #[track_caller]
    pub fn progress(&mut self, offer: &Value, state: &str) {
        self.send(
            &json!({"type": "progress", "call": offer["call"], "to": offer["from"], "state": state, "video": true}),
        );
    }

    /// Answers `offer`, signed where this peer has a key.
    ///
    /// # Panics
    /// When `offer` is none.
    #[track_caller]
    pub fn answer(&mut self, offer: &Value, sdp: &str) {
        let answer = self.answer_to(offer, sdp);
        self.send(&answer);
    }

    /// The answer to `offer`, to be sent or spoilt.
    ///
    /// # Panics
    /// When `offer` is none.
    #[must_use]
    pub fn answer_to(&self, offer: &Value, sdp: &str) -> Value {
        let from = text(offer, "from");
        let to = from.split('/').next().expect("the first part is always there");
        let mut answer =
            json!({"type": "answer", "call": offer["call"], "to": from, "n": offer["n"], "sdp": sdp, "early": false});
        self.prove(&mut answer, "answer", to, offer["sdp"].as_str());
        answer
    }

    /// Signs a description where this peer has a key. It has nobody else's key pinned.
    fn prove(&self, message: &mut Value, kind: &str, to: &str, offer: Option<&str>) {
        let Some(key) = &self.key else { return };
        let people = [self.username.as_str(), to];
        let signature = key.sign_description(kind, text(message, "call"), 0, people, text(message, "sdp"), offer, None);
        message["key"] = key.public().into();
        message["signature"] = signature.into();
    }

    /// Sends a candidate.
    #[track_caller]
    pub fn candidate(&mut self, call: &str, to: &str, candidate: &str, ufrag: &str) {
        self.send(&json!({"type": "candidate", "call": call, "to": to, "candidate":
            {"candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": ufrag}}));
    }

    /// Closes a call.
    #[track_caller]
    pub fn close(&mut self, call: &str, to: &str, reason: &str) {
        self.send(&json!({"type": "close", "call": call, "to": to, "reason": reason}));
    }

    /// Waits for the next message of this type; others wait for their turn.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> Value {
        self.expect_where(kind, |message| message["type"] == kind)
    }

    /// Waits for the next message of this type about this call.
    #[track_caller]
    pub fn expect_about(&mut self, kind: &str, call: &str) -> Value {
        self.expect_where(kind, |message| message["type"] == kind && message["call"] == call)
    }

    /// Waits for the next message that `wanted` takes; others wait for their turn.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn expect_where(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.inbox.iter().position(&wanted) {
                return self.inbox.remove(at).expect("it was found just now");
            }
            assert!(self.read(deadline), "no {what} came to {}, only {:#?}", self.username, self.heard);
        }
    }

    /// What came and was not asked for, of this type.
    #[must_use]
    pub fn unread(&self, kind: &str) -> Vec<&Value> {
        self.inbox.iter().filter(|message| message["type"] == kind).collect()
    }

    /// Waits until the client `user` has dealt with everything that this peer sent before. Messages between two peers
    /// stay in order, and an opening offer without a fingerprint is always refused.
    #[track_caller]
    pub fn settle(&mut self, user: &str) {
        let call = Uuid::new_v4().to_string();
        self.dial(user, &call, "v=0\r\n");
        let close = self.expect_about("close", &call);
        assert!(close["reason"] == "failed" || close["reason"] == "busy", "{close}");
    }

    /// Reads one message. False when none came in time or the connection has ended.
    fn read(&mut self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.get_ref().set_read_timeout(Some(left)).expect("the time is not zero");
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    self.heard.push(text.to_string());
                    self.inbox.push_back(serde_json::from_str(&text).expect("the server speaks JSON"));
                    return true;
                }
                // Pings are answered by the library.
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.heard.push(format!("({error})"));
                    return false;
                }
            }
            if Instant::now() >= deadline {
                return false;
            }
        }
    }
}

/// A member of a message that is text.
///
/// # Panics
/// When there is none.
#[must_use]
#[track_caller]
pub fn text<'a>(message: &'a Value, member: &str) -> &'a str {
    message[member].as_str().unwrap_or_else(|| panic!("no text {member} in {message}"))
}

/// A call's name, made anew.
#[must_use]
pub fn new_call() -> String {
    Uuid::new_v4().to_string()
}
