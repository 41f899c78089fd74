//! Opus packets as RTP (RFC 7587): one packet a payload, on a clock that runs on through silence.

use crate::packet::RtpPacket;
use crate::packetizer::first_sequence;
use crate::red::Copy;
use crate::slabs::Slabs;
use bytes::{BufMut as _, Bytes};

/// Numbers and stamps the Opus packets of one stream.
#[derive(Debug)]
pub struct OpusPacketizer {
    sequence: u16,
    timestamp: u32,
    after_silence: bool,
    /// The last packet: its time stamp and payload.
    last: Option<(u32, Bytes)>,
    memory: Slabs,
}

/// Who waits for a copy from longer ago would delay all sound by as much: 40 ms.
const MAX_COPY_BACK: u32 = 1_920;

/// What says no more than that nobody talks (libopus in DTX) is not worth a copy.
const RESTING_BYTES: usize = 2;

impl OpusPacketizer {
    /// Starts a stream. Both numbers should be random (RFC 3550 §5.1); the first is taken as [`first_sequence`] has it.
    pub fn new(sequence: u16, timestamp: u32) -> Self {
        Self::numbered_from(first_sequence(sequence), timestamp)
    }

    /// Goes on at any numbers.
    pub(crate) fn numbered_from(sequence: u16, timestamp: u32) -> Self {
        Self { sequence, timestamp, after_silence: true, last: None, memory: Slabs::default() }
    }

    /// The packet for one Opus payload that plays for `samples` at 48 kHz.
    pub fn packetize(&mut self, payload: impl AsRef<[u8]>, samples: u32) -> RtpPacket {
        let payload = payload.as_ref();
        let payload = self.memory.payload(payload.len(), |written| written.put_slice(payload));
        let packet =
            RtpPacket { sequence: self.sequence, timestamp: self.timestamp, marker: self.after_silence, payload };
        self.last = Some((self.timestamp, packet.payload.clone()));
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.after_silence = false;
        packet
    }

    /// A copy of the last packet, for the one that comes next (RFC 2198). None where that was long ago.
    pub fn copy(&self) -> Option<Copy> {
        let (timestamp, payload) = self.last.as_ref().filter(|(_, payload)| payload.len() > RESTING_BYTES)?;
        let back = self.timestamp.wrapping_sub(*timestamp);
        (back <= MAX_COPY_BACK).then(|| Copy { back, payload: payload.clone() })
    }

    /// Passes over `samples` at 48 kHz for which nothing is sent: muted, or a pause the encoder saw.
    pub fn skip(&mut self, samples: u32) {
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.after_silence = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_moves_the_clock_but_not_the_count_and_the_next_packet_is_marked() {
        let mut packetizer = OpusPacketizer::numbered_from(65_535, u32::MAX - 959);
        let first = packetizer.packetize(Bytes::from_static(b"a"), 960);
        let second = packetizer.packetize(Bytes::from_static(b"b"), 960);
        packetizer.skip(1_920);
        assert_eq!(packetizer.copy(), None, "long ago, and of silence");
        let third = packetizer.packetize(Bytes::from_static(b"c"), 960);
        let seen: Vec<(u16, u32, bool)> =
            [first, second, third].iter().map(|packet| (packet.sequence, packet.timestamp, packet.marker)).collect();
        assert_eq!(seen, [(65_535, u32::MAX - 959, true), (0, 0, false), (1, 2_880, true)]);
    }

    #[test]
    fn the_last_packet_can_be_sent_again_in_the_next() {
        let mut packetizer = OpusPacketizer::numbered_from(0, u32::MAX - 100);
        assert_eq!(packetizer.copy(), None);
        packetizer.packetize(Bytes::from_static(b"talk"), 480);
        assert_eq!(packetizer.copy(), Some(Copy { back: 480, payload: Bytes::from_static(b"talk") }));
        packetizer.skip(480);
        assert_eq!(packetizer.copy().map(|copy| copy.back), Some(960));
        packetizer.skip(960 + 480);
        assert_eq!(packetizer.copy(), None);
    }
}
