//! TURN over a stream (RFC 8656 §12.5, RFC 8489 §6.2.2): messages one after the other, ChannelData padded to four bytes.

/// No message of a stream is longer, either way; what media needs is a third of it.
pub(crate) const FRAME_MAX: usize = 4_096;
/// Of a STUN message (RFC 8489 §5).
pub(crate) const HEADER: usize = 20;
/// RFC 8489 §5.
pub(crate) const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// What comes is neither STUN nor ChannelData, or too long: where the next message begins can no longer be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    taken: usize,
}

impl Splitter {
    /// Takes what was read. Hand out all messages before more is put in: then it holds less than two.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, without its padding.
    ///
    /// # Errors
    /// [`Broken`]; the connection is to be closed.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Broken> {
        let waiting = &self.buffer[self.taken..];
        let Some((length, padded)) = length(waiting)? else { return Ok(None) };
        if waiting.len() < padded {
            return Ok(None);
        }
        let start = self.taken;
        self.taken += padded;
        Ok(Some(&self.buffer[start..start + length]))
    }
}

/// How long the message is that begins here, without and with padding. `None`: too little to tell.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Broken> {
    let [first, _, high, low, ..] = *bytes else {
        return match bytes.first() {
            Some(0x80..) => Err(Broken),
            _ => Ok(None),
        };
    };
    let body = usize::from(u16::from_be_bytes([high, low]));
    let (length, padded) = match first {
        0x00..=0x3F => {
            let cookie = &bytes[4..bytes.len().min(8)];
            if body % 4 != 0 || !COOKIE.starts_with(cookie) {
                return Err(Broken);
            }
            (HEADER + body, HEADER + body)
        }
        0x40..=0x7F => (4 + body, 4 + body.next_multiple_of(4)),
        0x80.. => return Err(Broken),
    };
    if padded > FRAME_MAX { Err(Broken) } else { Ok(Some((length, padded))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stun(body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[0, 1][..], &length, &COOKIE, &[7; 12], body].concat()
    }

    fn channel_data(payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[0x40, 1][..], &length, payload].concat()
    }

    #[test]
    fn messages_come_out_whole_however_they_went_in() {
        let mut messages: Vec<Vec<u8>> = (0..=8).map(|length| channel_data(&vec![9; length])).collect();
        messages.insert(3, stun(&[]));
        messages.insert(5, stun(&[1; 8]));
        let stream: Vec<u8> = messages
            .iter()
            .flat_map(|message| {
                let mut padded = message.clone();
                padded.resize(message.len().next_multiple_of(4), 0xEE);
                padded
            })
            .collect();
        for chunk in [1, 2, 3, 7, 64, stream.len()] {
            let (mut splitter, mut found) = (Splitter::default(), Vec::new());
            for bytes in stream.chunks(chunk) {
                splitter.put(bytes);
                while let Some(message) = splitter.next().unwrap() {
                    found.push(message.to_vec());
                }
            }
            assert_eq!(found, messages, "in chunks of {chunk}");
        }
    }

    #[test]
    fn what_is_no_message_breaks_the_stream() {
        let long = channel_data(&[0; FRAME_MAX]);
        let odd = [&[0, 1, 0, 3][..], &COOKIE].concat();
        for bad in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"\x80", b"\x00\x01\x00\x00\x21\x13", &odd, &long] {
            let mut splitter = Splitter::default();
            splitter.put(bad);
            let is_broken = splitter.next() == Err(Broken);
            // A request line begins like ChannelData of 8,239 bytes, TLS like STUN without the cookie.
            assert!(is_broken || bad.len() < 4, "{bad:?}");
        }
    }
}
