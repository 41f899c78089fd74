//! A history of packets and pauses as a string of bytes. Not `arbitrary`'s own form: this one can be written too, so that the
//! corpus begins with real packets, and a changed byte changes one thing.

use std::time::Duration;

use ahoy_rtp::RtpPacket;
use bytes::Bytes;

/// Bytes that are read from the front. What is missing at the end is not there, rather than zero.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next two bytes, low one first.
    pub fn word(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four.
    pub fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight.
    pub fn quad(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// So many bytes, or as many as are left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }
}

/// One thing that happens to a receiver.
pub enum Step {
    /// A packet comes; `flag` is one more bit, for whoever has a use for it.
    Packet { packet: RtpPacket, flag: bool },
    /// Time passes.
    Wait(Duration),
    /// Something else, with a number.
    Other(u16),
}

const MARKER: u8 = 1;
const FLAG: u8 = 2;
/// The number and the time stamp stand there as they are, else the distance to what would be next.
const ABSOLUTE: u8 = 4;

const PACKET: u8 = 0;
const WAIT: u8 = 1;
const OTHER: u8 = 2;

/// Reads steps, up to the end of the bytes.
pub struct Steps<'a> {
    input: Input<'a>,
    sequence: u16,
    timestamp: u32,
}

impl<'a> Steps<'a> {
    /// Steps from these bytes.
    pub fn new(data: &'a [u8]) -> Self {
        Self { input: Input(data), sequence: 0, timestamp: 0 }
    }
}

impl Iterator for Steps<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let kind = self.input.byte()?;
        Some(match kind % 3 {
            WAIT => Step::Wait(Duration::from_millis(self.input.word()?.into())),
            OTHER => Step::Other(self.input.word()?),
            _ => {
                let flags = self.input.byte()?;
                if flags & ABSOLUTE != 0 {
                    (self.sequence, self.timestamp) = (self.input.word()?, self.input.long()?);
                } else {
                    let ahead = i16::from(self.input.byte()? as i8);
                    self.sequence = self.sequence.wrapping_add(1).wrapping_add_signed(ahead);
                    let ahead = i32::from(self.input.word()? as i16);
                    self.timestamp = self.timestamp.wrapping_add_signed(ahead);
                }
                let length = self.input.word()?;
                let payload = Bytes::copy_from_slice(self.input.bytes(length.into()));
                let marker = flags & MARKER != 0;
                let packet = RtpPacket { sequence: self.sequence, timestamp: self.timestamp, marker, payload };
                Step::Packet { packet, flag: flags & FLAG != 0 }
            }
        })
    }
}

/// Writes what [`Steps`] reads.
#[derive(Default)]
pub struct Script(pub Vec<u8>);

impl Script {
    /// A packet, as it is.
    pub fn packet(&mut self, packet: &RtpPacket, flag: bool) {
        let marker = if packet.marker { MARKER } else { 0 };
        let flag = if flag { FLAG } else { 0 };
        self.0.extend([PACKET, ABSOLUTE | marker | flag]);
        self.0.extend(packet.sequence.to_le_bytes());
        self.0.extend(packet.timestamp.to_le_bytes());
        self.0.extend((packet.payload.len() as u16).to_le_bytes());
        self.0.extend(&packet.payload);
    }

    /// A pause.
    pub fn wait(&mut self, milliseconds: u16) {
        self.0.push(WAIT);
        self.0.extend(milliseconds.to_le_bytes());
    }

    /// Something else.
    pub fn other(&mut self, number: u16) {
        self.0.push(OTHER);
        self.0.extend(number.to_le_bytes());
    }
}
