//! A client that is quick enough to keep a server busy: the frames of RFC 6455 that this takes, by hand, and messages
//! that are made once and sent many times.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use ahoy_tests::harness::DEADLINE;
use ahoy_tests::harness::proof::Key;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// Not zeros: with those a server could save the unmasking.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// What one read takes at most.
const READ_MAX: usize = 4 * 1024;
/// Clients come from so many addresses, so that the ports of none run out while closed connections linger in the
/// kernel.
const ADDRESSES: usize = 250;
/// In bytes.
const SLEEPERS_BUFFER: u32 = 16 * 1024;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Who signs in.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) username: String,
    /// 16 hexadecimal digits.
    pub(super) session: String,
    /// Its signature is asked for; a guest has none.
    pub(super) key: Option<Key>,
}

/// A client that is signed in.
pub(super) struct Client {
    pub(super) reader: Reader,
    pub(super) writer: OwnedWriteHalf,
}

/// Where it hears the server.
pub(super) struct Reader {
    stream: OwnedReadHalf,
    /// What came and was not yet taken.
    waiting: Vec<u8>,
}

/// What came.
pub(super) enum Heard<'a> {
    Text(&'a str),
    Ping(&'a [u8]),
    Other,
}

impl Who {
    /// Number `number` among the guests.
    pub(super) fn guest(number: u64) -> Self {
        Self { username: format!("guest-{number}"), session: format!("{number:016x}"), key: None }
    }

    /// Number `number` among those with a name. The key is everybody's: a signature costs the same.
    pub(super) fn keyed(number: u64, key: &Key) -> Self {
        Self { username: format!("person-{number}"), session: format!("{number:016x}"), key: Some(key.clone()) }
    }

    pub(super) fn address(&self) -> String {
        format!("{}/{}", self.username, self.session)
    }
}

impl Client {
    /// Connects from the address with this number, shakes hands and signs in.
    ///
    /// # Panics
    /// When the server does anything else than the contract says.
    pub(super) async fn sign_in(server: SocketAddr, from: usize, who: &Who) -> io::Result<Self> {
        timeout(DEADLINE, Self::sign_in_at_last(server, from, who)).await?
    }

    /// Signs out, and waits for the server to hang up.
    pub(super) async fn hang_up(mut self) -> io::Result<()> {
        // 1000: signed out for good (section 1).
        self.writer.write_all(&frame(CLOSE, &1000_u16.to_be_bytes())).await?;
        let gone = async {
            while self.reader.more().await? {}
            io::Result::Ok(())
        };
        timeout(DEADLINE, gone).await?
    }

    /// Connects from the address with this number and shakes hands.
    pub(super) async fn connect(server: SocketAddr, from: usize) -> io::Result<Self> {
        Self::shake_hands(bare(from)?, server).await
    }

    /// Signs in with so small a buffer for what it does not read that the server soon finds out.
    pub(super) async fn sign_in_to_sleep(server: SocketAddr, who: &Who) -> io::Result<Self> {
        let socket = bare(0)?;
        socket.set_recv_buffer_size(SLEEPERS_BUFFER)?;
        let client = Self::shake_hands(socket, server).await?;
        client.log_in(server, who).await
    }

    async fn sign_in_at_last(server: SocketAddr, from: usize, who: &Who) -> io::Result<Self> {
        Self::connect(server, from).await?.log_in(server, who).await
    }

    async fn log_in(mut self, server: SocketAddr, who: &Who) -> io::Result<Self> {
        let login = self.reader.one(|hello| login(who, server, hello)).await?;
        self.writer.write_all(&text_frame(&login)).await?;
        let is_welcome = |text: &str| assert!(text.contains(r#""type":"welcome""#), "no welcome, but {text}");
        self.reader.one(is_welcome).await?;
        Ok(self)
    }

    async fn shake_hands(socket: TcpSocket, server: SocketAddr) -> io::Result<Self> {
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let (stream, mut writer) = stream.into_split();
        let mut reader = Reader { stream, waiting: Vec::new() };
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        writer.write_all(request.as_bytes()).await?;
        reader.upgraded().await?;
        Ok(Self { reader, writer })
    }
}

/// A socket at the address with this number.
pub(super) fn bare(from: usize) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    let from = u8::try_from(from % ADDRESSES).expect("fewer than 256") + 1;
    socket.bind((Ipv4Addr::new(127, 0, 1, from), 0).into())?;
    Ok(socket)
}

impl Reader {
    /// Waits for what the server says next, once or more often. False: it hung up.
    pub(super) async fn more(&mut self) -> io::Result<bool> {
        self.waiting.reserve(READ_MAX);
        Ok(self.stream.read_buf(&mut self.waiting).await? > 0)
    }

    /// Takes everything that has come as a whole.
    ///
    /// # Panics
    /// At a frame that the server must not send.
    pub(super) fn take(&mut self, mut hear: impl FnMut(Heard<'_>)) {
        let mut at = 0;
        while let Some((heard, length)) = next_frame(&self.waiting[at..]) {
            hear(heard);
            at += length;
        }
        self.waiting.drain(..at);
    }

    /// Throws away what came, whatever it is.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Waits for a text that comes alone.
    async fn one<T>(&mut self, mut take: impl FnMut(&str) -> T) -> io::Result<T> {
        loop {
            let mut taken = None;
            self.take(|heard| match heard {
                Heard::Text(text) => taken = Some(take(text)),
                Heard::Ping(_) | Heard::Other => {}
            });
            if let Some(taken) = taken {
                return Ok(taken);
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn upgraded(&mut self) -> io::Result<()> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = self.waiting.windows(END.len()).position(|window| window == END) {
                assert!(self.waiting.starts_with(b"HTTP/1.1 101 "), "the server does not upgrade");
                self.waiting.drain(..end + END.len());
                return Ok(());
            }
        }
    }
}

/// A text frame as it goes out.
pub(super) fn text_frame(message: &Value) -> Vec<u8> {
    frame(TEXT, message.to_string().as_bytes())
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PONG, payload)
}

fn login(who: &Who, server: SocketAddr, hello: &str) -> Value {
    let mut login = json!({"type": "login", "protocol": 1, "username": who.username, "session": who.session});
    if let Some(key) = &who.key {
        let hello: Value = serde_json::from_str(hello).expect("the server speaks JSON");
        let challenge = hello["challenge"].as_str().expect("hello has a challenge");
        let host = server.to_string();
        login["key"] = key.public().into();
        login["signature"] = key.sign_login(&host, challenge, &who.username, &who.session).into();
        login["host"] = host.into();
    }
    login
}

/// A whole masked frame of less than 64 KiB (RFC 6455 §5.2).
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    let length = u16::try_from(payload.len()).expect("messages of the benchmark are short");
    match u8::try_from(length) {
        Ok(short @ ..126) => frame.push(0x80 | short),
        Ok(_) | Err(_) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The first frame and how long it is, if all of it is there.
fn next_frame(bytes: &[u8]) -> Option<(Heard<'_>, usize)> {
    let (&[first, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, header) = match length {
        short @ ..126 => (usize::from(short), 2),
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?)), 4),
        127.. => panic!("a server's frame is not masked and short"),
    };
    let payload = bytes.get(header..header + length)?;
    let heard = match first {
        0x81 => Heard::Text(std::str::from_utf8(payload).expect("a text frame is UTF-8")),
        _ if first == 0x80 | PING => Heard::Ping(payload),
        _ => Heard::Other,
    };
    Some((heard, header + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_out_as_rfc_6455_shows_it() {
        // §5.7: a single-frame masked text message.
        assert_eq!(frame(TEXT, b"Hello"), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(frame(TEXT, &[0; 300])[..4], [0x81, 0xfe, 1, 44]);
    }

    #[test]
    fn frames_are_taken_when_they_are_whole() {
        let mut bytes = b"\x81\x05Hello\x89\x02hi\x81\x7e\x01\x00".to_vec();
        bytes.extend([b'x'; 255]);
        let text = |bytes: &[u8]| match next_frame(bytes) {
            Some((Heard::Text(text), length)) => Some((text.to_owned(), length)),
            _ => None,
        };
        assert_eq!(text(&bytes), Some(("Hello".to_owned(), 7)));
        assert!(matches!(next_frame(&bytes[7..]), Some((Heard::Ping(b"hi"), 4))));
        assert_eq!(text(&bytes[11..]), None);
        bytes.push(b'x');
        assert_eq!(text(&bytes[11..]), Some(("x".repeat(256), 260)));
    }
}
