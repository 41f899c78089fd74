//! A server's side of WebSocket (RFC 6455) on bytes: messages out of what came, frames of what goes. Without extensions.
//! Pure: no socket, no clock. A test compares it with `tungstenite`, which was here before: that keeps two buffers for each
//! connection, of which there are thousands idle; here what came is read where it lies, in a buffer that all share.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// RFC 6455 §5.5.
const CONTROL_MAX: usize = 125;

/// RFC 6455 §5.2.
mod opcode {
    pub(super) const CONTINUATION: u8 = 0;
    pub(super) const TEXT: u8 = 1;
    pub(super) const BINARY: u8 = 2;
    pub(super) const CLOSE: u8 = 8;
    pub(super) const PING: u8 = 9;
    pub(super) const PONG: u8 = 10;
}

/// The server's answer to a client's `Sec-WebSocket-Key` (§4.2.2).
pub(crate) fn accept(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    STANDARD.encode(digest)
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    Text(Cow<'a, str>),
    /// So many bytes.
    Binary(usize),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// With its code, if it says one.
    Close(Option<u16>),
}

/// Why nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Not as RFC 6455 wants it.
    Protocol,
    NotUtf8,
    TooLong,
}

/// What goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Ping,
    Pong,
    Close,
}

/// Reads frames, and remembers the parts of a message that came in several.
#[derive(Debug)]
pub(crate) struct Reader {
    message_max: usize,
    parts: Option<Box<Parts>>,
}

#[derive(Debug, Default)]
struct Parts {
    is_text: bool,
    payload: Vec<u8>,
    /// Up to here it is known to be UTF-8.
    checked: usize,
}

/// The beginning of a frame.
#[derive(Debug)]
struct Head {
    is_last: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Of the head itself, and of what follows.
    length: usize,
    payload: usize,
}

impl Reader {
    /// No message may be longer than `message_max` bytes.
    pub(crate) fn new(message_max: usize) -> Self {
        Self { message_max, parts: None }
    }

    /// Reads the first frame of `bytes`: how long it is, and what it says, if that is all of a message. `None`: not all of it
    /// has come.
    pub(crate) fn read<'a>(&mut self, bytes: &'a mut [u8]) -> Result<Option<(usize, Option<Received<'a>>)>, Broken> {
        let Some(head) = self.head(bytes)? else { return Ok(None) };
        let whole = head.length + head.payload;
        let Some(payload) = bytes.get_mut(head.length..whole) else { return Ok(None) };
        unmask(payload, head.mask);
        let payload: &'a [u8] = payload;
        let received = match head.opcode {
            opcode::CLOSE => Some(Received::Close(close_code(payload)?)),
            opcode::PING => Some(Received::Ping(payload)),
            opcode::PONG => Some(Received::Pong(payload)),
            opcode if head.is_last && self.parts.is_none() => Some(message(opcode == opcode::TEXT, payload)?),
            opcode => self.part(opcode, payload, head.is_last)?,
        };
        Ok(Some((whole, received)))
    }

    /// Everything that can be wrong with a frame but its content is found here, before the rest of it comes.
    fn head(&self, bytes: &[u8]) -> Result<Option<Head>, Broken> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let (payload, extended) = match second & 0x7f {
            126 => match rest.first_chunk() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 8),
                None => return Ok(None),
            },
            short => (u64::from(short), 0),
        };
        let payload = usize::try_from(payload).unwrap_or(usize::MAX);
        let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
        let before = self.parts.as_ref().map(|parts| parts.payload.len());
        let is_in_order = match opcode {
            opcode::TEXT | opcode::BINARY => before.is_none(),
            opcode::CONTINUATION => before.is_some(),
            opcode::CLOSE | opcode::PING | opcode::PONG => is_last && payload <= CONTROL_MAX,
            _ => false,
        };
        // The reserved bits; and every client's frame is masked (§5.1).
        if first & 0x70 != 0 || second & 0x80 == 0 || !is_in_order {
            return Err(Broken::Protocol);
        }
        let is_data = opcode < opcode::CLOSE;
        if is_data && before.unwrap_or(0).saturating_add(payload) > self.message_max {
            return Err(Broken::TooLong);
        }
        let Some(mask) = rest.get(extended..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
        Ok(Some(Head { is_last, opcode, mask: *mask, length: 2 + extended + mask.len(), payload }))
    }

    /// A message that comes in parts.
    fn part(&mut self, opcode: u8, payload: &[u8], is_last: bool) -> Result<Option<Received<'static>>, Broken> {
        let parts = self.parts.get_or_insert_default();
        if opcode != opcode::CONTINUATION {
            parts.is_text = opcode == opcode::TEXT;
        }
        parts.payload.extend_from_slice(payload);
        if parts.is_text {
            parts.check(is_last)?;
        }
        if !is_last {
            return Ok(None);
        }
        let Some(parts) = self.parts.take() else { return Ok(None) };
        if !parts.is_text {
            return Ok(Some(Received::Binary(parts.payload.len())));
        }
        let text = String::from_utf8(parts.payload).map_err(|_| Broken::NotUtf8)?;
        Ok(Some(Received::Text(Cow::Owned(text))))
    }
}

impl Parts {
    /// Looks at what came since the last time: a character may be cut, unless this is all.
    fn check(&mut self, is_all: bool) -> Result<(), Broken> {
        let new = self.payload.get(self.checked..).unwrap_or_default();
        match std::str::from_utf8(new) {
            Ok(_) => self.checked = self.payload.len(),
            Err(error) if error.error_len().is_none() && !is_all => self.checked += error.valid_up_to(),
            Err(_) => return Err(Broken::NotUtf8),
        }
        Ok(())
    }
}

fn message(is_text: bool, payload: &[u8]) -> Result<Received<'_>, Broken> {
    if !is_text {
        return Ok(Received::Binary(payload.len()));
    }
    let text = std::str::from_utf8(payload).map_err(|_| Broken::NotUtf8)?;
    Ok(Received::Text(Cow::Borrowed(text)))
}

/// RFC 6455 §5.5.1 and §7.4: nothing, or a code that somebody may send and a reason in UTF-8.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Broken> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Broken::Protocol) };
    };
    std::str::from_utf8(reason).map_err(|_| Broken::NotUtf8)?;
    match u16::from_be_bytes(*code) {
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Some(code)),
        _ => Err(Broken::Protocol),
    }
}

/// RFC 6455 §5.3, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let twice = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ twice).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Writes a frame behind what is there.
pub(crate) fn write(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    let opcode = match kind {
        Kind::Text => opcode::TEXT,
        Kind::Ping => opcode::PING,
        Kind::Pong => opcode::PONG,
        Kind::Close => opcode::CLOSE,
    };
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend(medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests;
