//! Beside `tungstenite`: what one reads of any bytes, the other reads.

use std::io::{Cursor, Read, Write};

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::*;

const MAX: usize = 200;

/// What was read of some bytes, and why it ended.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    said: Vec<String>,
    broken: Option<Broken>,
}

fn ours(bytes: &[u8], cuts: &mut impl FnMut() -> usize) -> Outcome {
    let (mut reader, mut waiting, mut rest) = (Reader::new(MAX), Vec::new(), bytes);
    let mut said = Vec::new();
    loop {
        let (now, later) = rest.split_at(cuts().min(rest.len()));
        waiting.extend_from_slice(now);
        rest = later;
        let mut at = 0;
        loop {
            match reader.read(&mut waiting[at..]) {
                Ok(Some((length, received))) => {
                    at += length;
                    let is_close = matches!(received, Some(Received::Close(_)));
                    said.extend(received.map(|received| match received {
                        Received::Text(text) => format!("text {text}"),
                        Received::Binary(length) => format!("binary {length}"),
                        Received::Ping(payload) => format!("ping {payload:?}"),
                        Received::Pong(payload) => format!("pong {payload:?}"),
                        Received::Close(code) => format!("close {code:?}"),
                    }));
                    if is_close {
                        return Outcome { said, broken: None };
                    }
                }
                Ok(None) => break,
                Err(broken) => return Outcome { said, broken: Some(broken) },
            }
        }
        waiting.drain(..at);
        if rest.is_empty() {
            return Outcome { said, broken: None };
        }
    }
}

/// Gives the bytes, and takes what is answered.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn theirs(bytes: &[u8]) -> Outcome {
    let config = WebSocketConfig::default().max_message_size(Some(MAX)).max_frame_size(Some(MAX));
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(bytes)), Role::Server, Some(config));
    let mut said = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => said.push(format!("text {text}")),
            Ok(Message::Binary(bytes)) => said.push(format!("binary {}", bytes.len())),
            Ok(Message::Ping(bytes)) => said.push(format!("ping {:?}", &bytes[..])),
            Ok(Message::Pong(bytes)) => said.push(format!("pong {:?}", &bytes[..])),
            Ok(Message::Close(frame)) => {
                // It answers a code that nobody may send by 1002.
                let code = frame.map(|frame| u16::from(frame.code));
                said.push(format!("close {code:?}"));
                return Outcome { said, broken: None };
            }
            Ok(Message::Frame(_)) => unreachable!("not when reading"),
            Err(Error::Io(_)) => return Outcome { said, broken: None },
            Err(error) => {
                let broken = match error {
                    Error::Capacity(_) => Broken::TooLong,
                    Error::Utf8(_) => Broken::NotUtf8,
                    _ => Broken::Protocol,
                };
                return Outcome { said, broken: Some(broken) };
            }
        }
    }
}

fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::new();
    write(&mut frame, Kind::Text, payload);
    frame[0] = first;
    frame[1] |= 0x80;
    frame.truncate(frame.len() - payload.len());
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[test]
fn frames_come_out_as_rfc_6455_shows_them() {
    // §5.7: a masked text, and texts of 5, 256 and 65,536 bytes without a mask.
    let mut masked = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(Reader::new(MAX).read(&mut masked), Ok(Some((11, Some(Received::Text("Hello".into()))))));
    for (length, head) in
        [(5, &[0x81, 5][..]), (256, &[0x81, 126, 1, 0]), (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0])]
    {
        let mut out = Vec::new();
        write(&mut out, Kind::Text, &vec![b'x'; length]);
        assert_eq!((&out[..head.len()], out.len()), (head, head.len() + length));
    }
}

#[test]
fn what_is_too_long_is_found_by_its_head_alone() {
    let announced = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes()].concat();
    assert_eq!(Reader::new(MAX).read(&mut announced(MAX as u64)), Ok(None));
    for length in [MAX as u64 + 1, 1 << 40, u64::MAX] {
        assert_eq!(Reader::new(MAX).read(&mut announced(length)), Err(Broken::TooLong));
    }
    let mut reader = Reader::new(MAX);
    assert_eq!(reader.read(&mut masked(0x02, &[0; 150], [0; 4])), Ok(Some((158, None))));
    assert_eq!(reader.read(&mut masked(0x80, &[0; 51], [0; 4])), Err(Broken::TooLong), "both together");
}

#[test]
fn whatever_comes_is_read_as_tungstenite_reads_it() {
    // xorshift64*.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = move |count: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % count
    };
    let (mut whole, mut broken, mut same) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..=below(5) {
            const FIRST: [u8; 12] = [0x81, 0x81, 0x81, 0x82, 0x01, 0x02, 0x80, 0x00, 0x89, 0x8a, 0x88, 0x81];
            let mut first = FIRST[below(FIRST.len())];
            if below(30) == 0 {
                first ^= 1 << below(8);
            }
            let length = [0, 1, 2, 5, 7, 8, 9, 63, 124, 125, 126, 150, 199, 200, 201][below(15)];
            let mut payload: Vec<u8> = "aé😀{}".bytes().cycle().take(length).collect();
            if first == 0x88 && length >= 2 {
                let code = [999, 1000, 1001, 1004, 1005, 1011, 1015, 2999, 3000, 4001, 4999, 5000][below(12)];
                payload[..2].copy_from_slice(&u16::to_be_bytes(code));
            }
            let mut frame = masked(first, &payload, [1, 2, 3, u8::try_from(below(256)).unwrap()]);
            if below(40) == 0 {
                frame[1] &= 0x7f;
            }
            bytes.extend(frame);
        }
        let theirs = theirs(&bytes);
        // They end a close with a wrong code by 1002 of their own, which we call broken.
        let ours = match ours(&bytes, &mut || 1 + below(64)) {
            Outcome { mut said, broken: Some(Broken::Protocol) }
                if theirs.said.last().is_some_and(|l| l == "close Some(1002)") =>
            {
                said.push("close Some(1002)".into());
                Outcome { said, broken: None }
            }
            other => other,
        };
        // A frame that is wrong in two ways may be refused for either.
        assert_eq!((&ours.said, ours.broken.is_some()), (&theirs.said, theirs.broken.is_some()), "{bytes:x?}");
        same += usize::from(ours.broken == theirs.broken);
        whole += usize::from(ours.broken.is_none());
        broken += usize::from(ours.broken.is_some());
    }
    assert!(whole > 2_000 && broken > 2_000 && same > 18_000, "{whole} {broken} {same}");
}
