//! A server that sits in between: clients dial it, it passes their words on to the real server, and puts itself between
//! the two ends of a call. It swaps descriptions for its own, signs them with its own key, ends DTLS both ways, and passes
//! on what the two say over the control channel. It is as able as a server can be.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use ahoy_tests::harness::Server;
use ahoy_tests::harness::peer::text;
use ahoy_tests::harness::proof::Key;
use ahoy_tests::harness::wire::on_loopback;
use ahoy_transport::{Candidate, Peer, PeerEvent, PeerEvents, ReceivedMedia, VideoCodec};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// What the server does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meddling {
    /// It is honest.
    Nothing,
    /// It puts its descriptions in place of the clients', under their signatures.
    Unsigned,
    /// It signs them too, with a key of its own.
    Everything,
}

/// A running one.
pub(crate) struct Evil {
    address: SocketAddr,
    inside: Arc<Inside>,
    // The real one; it goes with this.
    _server: Server,
}

struct Inside {
    /// Where the real server listens.
    host: String,
    meddling: Meddling,
    key: Key,
    middle: Mutex<Option<Middle>>,
    listened: Arc<AtomicBool>,
    over: AtomicBool,
    runtime: Runtime,
}

/// What stands in the middle of the call.
struct Middle {
    call: String,
    /// The caller's name.
    caller_name: String,
    /// Faces the caller, and its answer.
    caller: Wire,
    answer: String,
    /// The caller's own offer, which the answer must fit.
    offer: String,
    /// Faces the callee.
    callee: Wire,
}

/// One end of a connection.
#[derive(Clone)]
struct Wire {
    peer: Arc<Peer>,
    events: Arc<Mutex<Option<PeerEvents>>>,
    /// What comes is not looked at; it must not be dropped all the same.
    _media: Arc<ReceivedMedia>,
}

/// A client's connection to the real server.
#[derive(Clone)]
struct Line {
    server: Arc<Mutex<TcpStream>>,
    /// From the sign-in.
    username: Arc<Mutex<String>>,
}

impl Evil {
    pub(crate) fn start(meddling: Meddling) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("there are threads");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let server = Server::start();
        let inside = Arc::new(Inside {
            host: server.host().to_owned(),
            meddling,
            key: Key::number(66),
            middle: Mutex::new(None),
            listened: Arc::default(),
            over: AtomicBool::new(false),
            runtime,
        });
        let shared = Arc::clone(&inside);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if shared.over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(&shared.host) {
                    serve(&shared, client, server);
                }
            }
        });
        Self { address, inside, _server: server }
    }

    /// What a client dials.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Whether it has read what the two ends say to each other on their own channel.
    pub(crate) fn has_listened(&self) -> bool {
        self.inside.listened.load(Ordering::SeqCst)
    }
}

impl Drop for Evil {
    fn drop(&mut self) {
        self.inside.over.store(true, Ordering::SeqCst);
        // Wakes the listener, which sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

/// Passes on what client and server say, on two threads that end with the connection.
fn serve(inside: &Arc<Inside>, client: TcpStream, server: TcpStream) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("there are file descriptors");
    let (mut from, mut to) = (clone(&server), clone(&client));
    thread::spawn(move || {
        // What the server says stays as it is: so its numbers stay right.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let line = Line { server: Arc::new(Mutex::new(server)), username: Arc::default() };
    let inside = Arc::clone(inside);
    thread::spawn(move || {
        // Ends with an error when the client is gone.
        let _ = read_client(&inside, client, &line);
        let _ = line.lock().shutdown(std::net::Shutdown::Both);
    });
}

fn read_client(inside: &Arc<Inside>, mut client: TcpStream, line: &Line) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    line.lock().write_all(&request)?;
    loop {
        let (first, payload) = read_frame(&mut client)?;
        let message = serde_json::from_slice(&payload).ok().filter(|_: &Value| first == 0x81);
        match message {
            Some(message) => inside.pass_on(line, message),
            None => write_frame(&mut line.lock(), first, &payload)?,
        }
    }
}

/// The first byte and the content of a client's frame (RFC 6455 §5.2).
fn read_frame(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let length = match head[1] & 0x7f {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            usize::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            stream.read_exact(&mut length)?;
            u64::from_be_bytes(length) as usize
        }
        short => usize::from(short),
    };
    let mut mask = [0; 4];
    stream.read_exact(&mut mask)?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    for (byte, mask) in payload.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
    Ok((head[0], payload))
}

/// As a client, masked with zeros.
fn write_frame(stream: &mut TcpStream, first: u8, payload: &[u8]) -> std::io::Result<()> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        middle @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    stream.write_all(&frame)
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, TcpStream> {
        self.server.lock().expect("nobody panics here")
    }

    fn say(&self, message: &Value) {
        // The call may be over, and the connection with it.
        let _ = write_frame(&mut self.lock(), 0x81, message.to_string().as_bytes());
    }

    fn username(&self) -> String {
        self.username.lock().expect("nobody panics here").clone()
    }
}

impl Inside {
    /// A client says something to the server.
    fn pass_on(&self, line: &Line, message: Value) {
        let kind = message["type"].as_str().unwrap_or_default().to_owned();
        if kind == "login" {
            *line.username.lock().expect("nobody panics here") = text(&message, "username").to_owned();
        }
        if self.meddling == Meddling::Nothing {
            return line.say(&message);
        }
        match kind.as_str() {
            "offer" if message["n"] == 0 => self.swap_offer(line, message),
            "answer" if message["n"] == 0 => self.swap_answer(line, message),
            "candidate" => self.take_candidate(line, &message),
            // The calls of these tests need no second agreement.
            "offer" | "answer" | "restart" => {}
            _ => line.say(&message),
        }
    }

    fn swap_offer(&self, line: &Line, mut message: Value) {
        let offer = text(&message, "sdp").to_owned();
        let (caller, callee) = (self.open(), self.open());
        let (own_offer, answer) = self.runtime.block_on(async {
            let own = callee.peer.make_offer(false).await.expect("it can offer");
            (own, caller.peer.answer(&offer).await.expect("the offer is good"))
        });
        let call = text(&message, "call").to_owned();
        let to = text(&message, "to").to_owned();
        message["sdp"] = own_offer.as_str().into();
        self.sign(&mut message, "offer", [&line.username(), &to], None);
        let (from, other, caller_name) = (callee.clone(), caller.clone(), line.username());
        *self.middle.lock().expect("nobody panics here") =
            Some(Middle { call: call.clone(), caller_name, caller, answer, offer, callee });
        line.say(&message);
        self.pump(&from, other, line.clone(), call, to);
    }

    fn swap_answer(&self, line: &Line, mut message: Value) {
        let middle = self.middle.lock().expect("nobody panics here");
        let Some(middle) = middle.as_ref().filter(|middle| middle.call == text(&message, "call")) else {
            return line.say(&message);
        };
        let applied = self.runtime.block_on(middle.callee.peer.apply_answer(text(&message, "sdp")));
        applied.expect("the answer is good");
        let to = text(&message, "to").to_owned();
        let caller = to.split('/').next().unwrap_or_default().to_owned();
        let kind = if message["early"] == true { "early" } else { "answer" };
        message["sdp"] = middle.answer.as_str().into();
        self.sign(&mut message, kind, [&line.username(), &caller], Some(&middle.offer));
        line.say(&message);
        self.pump(&middle.caller, middle.callee.clone(), line.clone(), middle.call.clone(), to);
    }

    /// Signs for somebody who has a key, with the own one.
    fn sign(&self, message: &mut Value, kind: &str, people: [&str; 2], offer: Option<&str>) {
        if self.meddling == Meddling::Unsigned || people[0].starts_with("guest-") {
            return;
        }
        let signature =
            self.key.sign_description(kind, text(message, "call"), 0, people, text(message, "sdp"), offer, None);
        message["key"] = self.key.public().into();
        message["signature"] = signature.into();
    }

    /// A client's candidates are for the end that faces it.
    fn take_candidate(&self, line: &Line, message: &Value) {
        let middle = self.middle.lock().expect("nobody panics here");
        let Some(middle) = middle.as_ref() else { return };
        let wire = if line.username() == middle.caller_name { &middle.caller } else { &middle.callee };
        let candidate = &message["candidate"];
        if text(candidate, "candidate").is_empty() {
            return;
        }
        let candidate = Candidate {
            candidate: text(candidate, "candidate").into(),
            mid: candidate["sdpMid"].as_str().map(Into::into),
            line_index: None,
            ufrag: candidate["usernameFragment"].as_str().map(Into::into),
        };
        // One that cannot be used is no loss: there are others.
        let _ = self.runtime.block_on(wire.peer.add_candidate(candidate));
    }

    /// Tells one side how to reach the end that faces it, as if the other side said so, and passes on to the other side what
    /// it says on the control channel.
    fn pump(&self, from: &Wire, other: Wire, line: Line, call: String, to: String) {
        let Some(mut events) = from.events.lock().expect("nobody panics here").take() else { return };
        let listened = Arc::clone(&self.listened);
        self.runtime.spawn(async move {
            while let Some(event) = events.next().await {
                let (candidate, mid, ufrag) = match event {
                    PeerEvent::Candidate(own) => (own.candidate, own.mid, own.ufrag),
                    PeerEvent::EndOfCandidates { mid, ufrag } => (String::new(), Some(mid), Some(ufrag)),
                    PeerEvent::Control(words) => {
                        listened.store(true, Ordering::SeqCst);
                        // The other channel may not be open yet.
                        for _ in 0..500 {
                            if other.peer.send_control(words.clone()).await.is_ok() {
                                break;
                            }
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        continue;
                    }
                    _ => continue,
                };
                line.say(&json!({"type": "candidate", "call": call, "to": to, "candidate":
                    {"candidate": candidate, "sdpMid": mid, "usernameFragment": ufrag}}));
            }
        });
    }

    fn open(&self) -> Wire {
        let (peer, events, media) =
            self.runtime.block_on(Peer::open(on_loopback(VideoCodec::H264))).expect("there are sockets");
        Wire { peer: Arc::new(peer), events: Arc::new(Mutex::new(Some(events))), _media: Arc::new(media) }
    }
}

/// A secret as somebody might write it.
pub(crate) fn forms_of(secret: &[u8]) -> [String; 5] {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{secret:?}");
    [hex.to_uppercase(), hex, list, STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)]
}
