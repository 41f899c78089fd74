//! TURN over a stream: where one message ends and the next begins (RFC 8656 §12.5, RFC 8489 §6.2.2). Pure, and for whatever
//! comes: nothing is kept but the message that is not whole yet.

use thiserror::Error;

/// The longest message that is taken. TURN's own are far shorter, and so is what media need; but a peer may send its relay
/// datagrams of any length, and no peer may end the tunnel by that: what is longer is passed over.
pub(super) const MAX_BYTES: usize = 4096;

const STUN_HEADER: usize = 20;
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const CHANNEL_HEADER: usize = 4;

/// Neither STUN nor ChannelData: where the next message begins cannot be known any more.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("what the server sends is not TURN")]
pub(super) struct NotTurn;

/// Takes a stream apart.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// What came and was not taken, at most what was pushed last and one message that is not whole.
    rest: Vec<u8>,
    /// Padding of the last message that is still to come, or what is to come of one that is too long.
    skip: usize,
    /// A message came. Before that nothing was allocated, so nothing long can be relayed.
    has_begun: bool,
}

impl Splitter {
    /// Adds what was read. [`Self::next`] is to be called until it gives nothing.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The next message, without padding. What is longer than [`MAX_BYTES`] is left out.
    ///
    /// # Errors
    ///
    /// When the stream is not TURN; then it stays unreadable.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, NotTurn> {
        loop {
            let skipped = self.skip.min(self.rest.len());
            self.rest.drain(..skipped);
            self.skip -= skipped;
            let Some(length) = length(&self.rest)? else { return Ok(None) };
            if length <= MAX_BYTES {
                if self.rest.len() < length {
                    return Ok(None);
                }
                let after = self.rest.split_off(length);
                let message = std::mem::replace(&mut self.rest, after);
                (self.skip, self.has_begun) = (padding(length), true);
                return Ok(Some(message));
            }
            if !self.has_begun {
                // The answer of a web server begins like ChannelData of 21,588 bytes.
                return Err(NotTurn);
            }
            self.skip = length + padding(length);
        }
    }
}

/// A datagram of the TURN client's as it goes into the stream. `None` for what is not TURN, which has no place in it.
pub(super) fn framed(datagram: &[u8]) -> Option<Vec<u8>> {
    let length = length(datagram).ok()?.filter(|length| *length <= MAX_BYTES)?;
    let mut message = datagram.get(..length)?.to_vec();
    message.resize(length + padding(length), 0);
    Some(message)
}

/// How long the message is that begins here, at most 65,555 bytes; `None` as long as that, or whether it is STUN, cannot be
/// seen.
fn length(bytes: &[u8]) -> Result<Option<usize>, NotTurn> {
    let stated = |high: &u8, low: &u8| usize::from(u16::from_be_bytes([*high, *low]));
    match bytes {
        [] => Ok(None),
        [0x00..=0x3f, _, high, low, cookie @ ..] => {
            let stated = stated(high, low);
            let seen = cookie.len().min(STUN_COOKIE.len());
            if stated % 4 != 0 || cookie.get(..seen) != STUN_COOKIE.get(..seen) {
                return Err(NotTurn);
            }
            if seen < STUN_COOKIE.len() {
                return Ok(None);
            }
            Ok(Some(STUN_HEADER + stated))
        }
        [0x40..=0x7f, _, high, low, ..] => Ok(Some(CHANNEL_HEADER + stated(high, low))),
        [0x00..=0x7f, ..] => Ok(None),
        [0x80..=0xff, ..] => Err(NotTurn),
    }
}

/// STUN needs none, as its length is a multiple of four anyway.
fn padding(length: usize) -> usize {
    length.next_multiple_of(4) - length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stun(body: usize) -> Vec<u8> {
        let mut message = vec![0x01, 0x03];
        message.extend((body as u16).to_be_bytes());
        message.extend(STUN_COOKIE);
        message.extend([7; 12]);
        message.extend(vec![9; body]);
        message
    }

    fn channel_data(payload: usize) -> Vec<u8> {
        let mut message = vec![0x40, 0x01];
        message.extend((payload as u16).to_be_bytes());
        message.extend((0..payload).map(|byte| byte as u8));
        message
    }

    /// Everything that comes out of `stream` when it comes in pieces of `size` bytes.
    fn split(stream: &[u8], size: usize) -> Result<Vec<Vec<u8>>, NotTurn> {
        let mut splitter = Splitter::default();
        let mut messages = Vec::new();
        for piece in stream.chunks(size) {
            splitter.push(piece);
            while let Some(message) = splitter.next()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    #[test]
    fn messages_come_out_as_they_went_in_however_the_stream_is_cut() {
        let mut sent = vec![stun(0), stun(64)];
        sent.extend((1..=8).map(channel_data));
        sent.extend([stun(8), channel_data(0), channel_data(1200), stun(4)]);
        let stream: Vec<u8> = sent.iter().flat_map(|message| framed(message).unwrap()).collect();
        assert_eq!(stream.len() % 4, 0);
        for size in [1, 2, 3, 4, 5, 7, 19, 1000, stream.len()] {
            assert_eq!(split(&stream, size), Ok(sent.clone()), "in pieces of {size}");
        }
    }

    #[test]
    fn channel_data_is_padded_anew_whatever_padding_it_had() {
        for payload in 1..=8 {
            let bare = channel_data(payload);
            let mut padded = bare.clone();
            padded.resize(bare.len().next_multiple_of(4), 0xff);
            let framed_bare = framed(&bare).unwrap();
            assert_eq!(framed_bare.len() % 4, 0);
            assert_eq!(framed(&padded).unwrap(), framed_bare);
        }
        assert_eq!(framed(&stun(12)).unwrap(), stun(12));
    }

    #[test]
    fn what_is_not_turn_ends_the_stream_at_its_first_byte_that_shows_it() {
        let mut no_cookie = stun(0);
        no_cookie[5] ^= 1;
        let mut odd = stun(0);
        odd[3] = 3;
        let long_without_cookie = [&[0x01, 0x03, 0xff, 0xfc][..], b"\x21\x13"].concat();
        for garbage in [&b"\x80"[..], b"\xff", &no_cookie[..6], &odd[..4], &long_without_cookie] {
            let mut stream = framed(&channel_data(5)).unwrap();
            stream.extend_from_slice(garbage);
            assert_eq!(split(&stream, 1), Err(NotTurn), "{garbage:x?}");
            assert_eq!(split(&stream, stream.len()), Err(NotTurn), "{garbage:x?}");
            assert_eq!(framed(garbage), None);
        }
        assert_eq!(framed(&channel_data(9)[..8]), None, "cut short");
        let web_server = b"HTTP/1.1 400 Bad Request\r\n";
        assert_eq!(split(web_server, 1), Err(NotTurn), "nothing long comes first");
    }

    #[test]
    fn what_a_peer_sends_too_long_is_passed_over_and_the_tunnel_goes_on() {
        let longest = MAX_BYTES - CHANNEL_HEADER;
        let fits = [channel_data(longest), stun(MAX_BYTES - STUN_HEADER)];
        let too_long =
            [channel_data(longest + 1), channel_data(65_535), stun(MAX_BYTES - STUN_HEADER + 4), stun(65_532)];
        assert!(fits.iter().all(|message| framed(message).is_some()));
        assert!(too_long.iter().all(|message| framed(message).is_none()), "the server would end the tunnel");
        let mut stream = stun(8);
        for (long, fits) in too_long.iter().zip(fits.iter().cycle()) {
            stream.extend_from_slice(long);
            stream.resize(stream.len().next_multiple_of(4), 0);
            stream.extend(fits);
        }
        let expected = [&[stun(8)][..], &fits, &fits].concat();
        for size in [1, 3, 1000, 4096, stream.len()] {
            assert_eq!(split(&stream, size), Ok(expected.clone()), "in pieces of {size}");
        }
        let mut splitter = Splitter { has_begun: true, ..Splitter::default() };
        for piece in channel_data(65_535).chunks(1500) {
            splitter.push(piece);
            assert_eq!(splitter.next(), Ok(None));
            assert!(splitter.rest.is_empty(), "nothing is kept of it");
        }
    }

    #[test]
    fn never_more_is_kept_than_one_message_and_what_was_pushed_last() {
        let mut splitter = Splitter::default();
        let stream: Vec<u8> = (0..2000).flat_map(|_| framed(&channel_data(1001)).unwrap()).collect();
        for piece in stream.chunks(1500) {
            splitter.push(piece);
            while splitter.next().unwrap().is_some() {}
            assert!(splitter.rest.len() < MAX_BYTES);
        }
    }
}
