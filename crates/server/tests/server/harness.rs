//! A server on a free port, a client that speaks the contract, and a bare socket that speaks anything.

use std::net::SocketAddr;
use std::time::Duration;

use ahoy_protocol::identity::{Challenge, IdentityKey, login_statement};
use ahoy_server::{Accounts, Config, serve};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Anything expected comes within this.
const SOON: Duration = Duration::from_secs(10);
pub(crate) const CALL: &str = "0b2c9b1e-3b1a-4c57-8a2f-0d6e7f8a9b0c";

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(tweak: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(Accounts::in_memory().unwrap());
        tweak(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, async { drop(stopped.await) }, config));
        Self { address, stop: Some(stop), task }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A client that is signed in: as a guest, or with the key that [`key_of`] gives the name. Its session is
    /// `number`.
    pub(crate) async fn enter(&self, name: &str, number: u64) -> Client {
        let mut client = self.connect().await;
        let welcome = client.login(name, number).await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        client
    }

    /// The same, by way of a reverse proxy that says where it comes from. Returned is the answer as well.
    pub(crate) async fn come_from(&self, from: &str, name: &str, number: u64) -> (Client, Value) {
        let mut client = Client::connect_from(self.address, Some(from)).await;
        let answer = client.login(name, number).await;
        (client, answer)
    }

    /// A client that is signed in, and its `welcome`.
    pub(crate) async fn welcomed(&self, name: &str, number: u64) -> (Client, Value) {
        let mut client = self.connect().await;
        let welcome = client.login(name, number).await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        (client, welcome)
    }

    /// A new connection on which an earlier session goes on.
    pub(crate) async fn resumed(&self, welcome: &Value, seq: u64) -> (Client, Value) {
        let mut client = self.connect().await;
        let again = client.come_back(welcome, seq).await;
        assert_eq!((&again["type"], &again["resumed"]), (&json!("welcome"), &json!(true)), "{again}");
        (client, again)
    }

    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        soon("the end of the server", self.task).await.unwrap();
    }
}

/// A well-behaved client after the server's `hello`.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) hello: Value,
    authority: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_from(address, None).await
    }

    /// With an `X-Forwarded-For`.
    pub(crate) async fn connect_from(address: SocketAddr, from: Option<&str>) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        if let Some(from) = from {
            request.headers_mut().insert("x-forwarded-for", from.parse().unwrap());
        }
        let (socket, _) = soon("the handshake", tokio_tungstenite::client_async(request, stream)).await.unwrap();
        let mut client = Self { socket, hello: Value::Null, authority: address.to_string() };
        client.hello = client.next().await;
        client
    }

    /// Signs in properly and returns the answer.
    pub(crate) async fn login(&mut self, name: &str, number: u64) -> Value {
        let login = self.login_as(name, number, &key_of(name));
        self.ask(login).await
    }

    /// A correct `login`.
    pub(crate) fn login_as(&self, name: &str, number: u64, key: &IdentityKey) -> Value {
        let mut login = json!({"type": "login", "protocol": 1, "username": name, "session": session(number)});
        if !name.starts_with("guest-") {
            let challenge: Challenge = serde_json::from_value(self.hello["challenge"].clone()).unwrap();
            let (username, session) = (name.parse().unwrap(), session(number).parse().unwrap());
            let statement = login_statement(&self.authority, &challenge, &username, session);
            login["host"] = json!(self.authority);
            login["key"] = json!(key.public());
            login["signature"] = json!(key.sign(&statement));
        }
        login
    }

    /// Comes back to the session of `welcome`, of which everything up to `seq` came, and returns the answer.
    pub(crate) async fn come_back(&mut self, welcome: &Value, seq: u64) -> Value {
        let name = welcome["username"].as_str().unwrap();
        let number = u64::from_str_radix(welcome["session"].as_str().unwrap(), 16).unwrap();
        let mut login = self.login_as(name, number, &key_of(name));
        login["resume"] = welcome["resume"].clone();
        login["seq"] = json!(seq);
        self.ask(login).await
    }

    /// From now on it says that it dialled this.
    pub(crate) fn authority_is(&mut self, authority: &str) {
        self.authority = authority.to_owned();
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        soon("room to send", self.socket.send(Message::text(text))).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.next().await
    }

    /// Sends something and returns the code of the `error` that it must get.
    pub(crate) async fn refused(&mut self, message: Value) -> String {
        let answer = self.ask(message).await;
        assert_eq!(answer["type"], "error", "{answer}");
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
        answer["code"].as_str().unwrap().to_owned()
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match soon("a message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?} where a message should be"),
            }
        }
    }

    /// That nothing more came: a `pong` to a `ping` sent now is the very next message.
    pub(crate) async fn nothing_came(&mut self) {
        let answer = self.ask(json!({"type": "ping"})).await;
        assert_eq!(answer["type"], "pong", "{answer}");
    }

    /// The code that the server closes with. Messages before it are passed over.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match soon("the close", self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("{other:?} where a close should be"),
            }
        }
    }

    /// Acknowledges everything up to this number, without being asked.
    pub(crate) async fn has(&mut self, seq: u64) {
        soon("room for a pong", self.socket.send(Message::Pong(seq.to_string().into()))).await.unwrap();
    }

    /// Hangs up as a program does that is done, and waits for the server's answer.
    pub(crate) async fn leave(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        soon("the close", self.socket.close(Some(frame))).await.unwrap();
        while soon("the close", self.socket.next()).await.is_some_and(|message| message.is_ok()) {}
    }
}

/// The key that a name has in all tests.
pub(crate) fn key_of(name: &str) -> IdentityKey {
    let mut secret = [7; 32];
    for (byte, letter) in secret.iter_mut().zip(name.bytes()) {
        *byte = letter;
    }
    IdentityKey::from_secret(&secret)
}

pub(crate) fn session(number: u64) -> String {
    format!("{number:016x}")
}

pub(crate) fn address(name: &str, number: u64) -> String {
    format!("{name}/{}", session(number))
}

pub(crate) fn offer(to: &str) -> Value {
    json!({"type": "offer", "call": CALL, "to": to, "n": 0, "sdp": "v=0", "video": true})
}

/// A bare socket after a correct WebSocket handshake, past `hello`.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let (answer, mut raw) = Self::request(address, &upgrade_request("/ws", "")).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert_eq!(raw.frame().await.unwrap().0, TEXT, "hello");
        raw
    }

    /// Sends a request and returns the head of the answer, or nothing if the server hangs up without one.
    pub(crate) async fn request(address: SocketAddr, request: &str) -> (String, Self) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may hang up before it has everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut raw = Self { stream, buffer: Vec::new() };
        loop {
            if let Some(end) = raw.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = raw.buffer.split_off(end + 4);
                let head = String::from_utf8(std::mem::replace(&mut raw.buffer, rest)).unwrap();
                return (head, raw);
            }
            if !raw.read_more().await {
                return (String::new(), raw);
            }
        }
    }

    /// A frame with a correct length and mask.
    pub(crate) async fn send_frame(&mut self, first_byte: u8, payload: &[u8]) {
        let mut frame = vec![first_byte];
        match payload.len() {
            short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
            medium @ 126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend(u64::try_from(long).unwrap().to_be_bytes());
            }
        }
        let mask = [0x11, 0x22, 0x33, 0x44];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.send_bytes(&frame).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_frame(FIN | TEXT, text.as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        soon("room to send", self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next frame's opcode and payload; `None` when the server hung up.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// The code of the close frame, which must come, followed by the end of the connection.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            let (opcode, payload) = self.frame().await.expect("a close frame before the end");
            if opcode == CLOSE {
                self.gone().await;
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }

    /// Reads until the server hangs up.
    pub(crate) async fn gone(&mut self) {
        while self.read_more().await {}
    }

    /// How many bytes come until the server hangs up.
    pub(crate) async fn count_to_the_end(&mut self) -> usize {
        let mut bytes = self.buffer.len();
        while self.read_more().await {
            bytes += std::mem::take(&mut self.buffer).len();
        }
        bytes
    }

    /// The text of the body that follows, to the end of the connection.
    pub(crate) async fn body(mut self) -> String {
        self.gone().await;
        String::from_utf8(self.buffer).unwrap()
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (&first, &second) = (self.buffer.first()?, self.buffer.get(1)?);
        assert_eq!(second & 0x80, 0, "a server masks nothing");
        let (start, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().unwrap()))),
            127 => panic!("a frame longer than any of these tests"),
            short => (2, usize::from(short)),
        };
        let payload = self.buffer.get(start..start + length)?.to_vec();
        self.buffer.drain(..start + length);
        Some((first & 0x0F, payload))
    }

    /// Whether something came; a reset is an end as well.
    async fn read_more(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let read = soon("data or the end", self.stream.read(&mut chunk)).await.unwrap_or(0);
        self.buffer.extend(&chunk[..read]);
        read > 0
    }
}

pub(crate) fn upgrade_request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}
