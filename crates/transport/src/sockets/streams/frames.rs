//! Datagrams in a stream: two bytes of length before each (RFC 4571 §2, RFC 6544 §3). Pure, and for whatever comes: nothing is
//! kept but the datagram that is not whole yet.

/// The longest that is handed on: what a datagram can carry. The reader's buffer is not much longer.
pub(super) const MAX_BYTES: usize = 1600;

const HEADER: usize = 2;

/// Takes a stream apart.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// What came and was not taken, at most what was pushed last and one datagram that is not whole.
    rest: Vec<u8>,
    /// How much of it is done with.
    at: usize,
    /// What is to come of a datagram that is too long.
    skip: usize,
}

impl Splitter {
    /// Adds what was read. [`Self::next`] is to be called until it gives nothing.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.rest.drain(..self.at);
        self.at = 0;
        self.rest.extend_from_slice(bytes);
    }

    /// The next datagram. Empty ones are left out, and those longer than [`MAX_BYTES`].
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let skipped = self.skip.min(self.rest.len() - self.at);
            self.at += skipped;
            self.skip -= skipped;
            let (header, after) = self.rest.get(self.at..)?.split_first_chunk::<HEADER>()?;
            let length = usize::from(u16::from_be_bytes(*header));
            if length > MAX_BYTES {
                self.skip = HEADER + length;
                continue;
            }
            let datagram = after.get(..length)?;
            self.at += HEADER + length;
            if !datagram.is_empty() {
                return Some(datagram.to_vec());
            }
        }
    }
}

/// A datagram as it goes into the stream. `None`: the peer would not take it.
pub(super) fn framed(datagram: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(datagram.len()).ok().filter(|length| usize::from(*length) <= MAX_BYTES)?;
    let mut frame = Vec::with_capacity(HEADER + datagram.len());
    frame.extend(length.to_be_bytes());
    frame.extend_from_slice(datagram);
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|byte| byte as u8).collect()
    }

    fn frame_of_any_length(datagram: &[u8]) -> Vec<u8> {
        [&(datagram.len() as u16).to_be_bytes(), datagram].concat()
    }

    /// What comes out of `stream` when it comes in pieces of `size` bytes.
    fn split(stream: &[u8], size: usize) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let mut datagrams = Vec::new();
        for piece in stream.chunks(size) {
            splitter.push(piece);
            datagrams.extend(std::iter::from_fn(|| splitter.next()));
            assert!(
                splitter.rest.len() - splitter.at < HEADER + MAX_BYTES,
                "no more is kept than one that is not whole"
            );
        }
        datagrams
    }

    #[test]
    fn datagrams_come_out_as_they_went_in_however_the_stream_is_cut() {
        let sent: Vec<Vec<u8>> = [1, 2, 3, 20, 255, 256, 1200, MAX_BYTES].map(datagram).into();
        let stream: Vec<u8> = sent.iter().flat_map(|datagram| framed(datagram).unwrap()).collect();
        for size in [1, 2, 3, 7, 1000, stream.len()] {
            assert_eq!(split(&stream, size), sent, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_empty_or_longer_than_a_datagram_is_passed_over() {
        assert_eq!(framed(&datagram(MAX_BYTES + 1)), None);
        let mut stream = Vec::new();
        for bytes in [0, MAX_BYTES + 1, 5, 65_535, 0, 0, MAX_BYTES] {
            stream.extend(frame_of_any_length(&datagram(bytes)));
        }
        for size in [1, 3, 1500, stream.len()] {
            assert_eq!(split(&stream, size), [datagram(5), datagram(MAX_BYTES)], "in pieces of {size}");
        }
    }
}
