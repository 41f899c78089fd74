//! The sending side: encoded pictures and sound become RTP packets. Pacing and repair are not here.

mod h264;
mod opus;
mod vp8;

use crate::format::PictureFormat;
use crate::packet::RtpPacket;
use crate::slabs::Slabs;
use crate::vp8::MAX_PICTURE_ID;
use bytes::{BufMut as _, Bytes, BytesMut};

pub use opus::OpusPacketizer;

/// The most payload that is put into one packet.
///
/// What the smallest IPv6 path carries (1,280 bytes) less IPv6 and UDP (48), a TURN channel header (4), the RTP header (12) with
/// its extensions (12), the SRTP tag (16) and the two bytes that a retransmission adds (RFC 4588), rounded down.
pub const MAX_PAYLOAD_BYTES: usize = 1_180;

/// A packet's headers are no shorter: smaller pieces are not worth one.
const MIN_PIECE_BYTES: usize = 60;

/// The first sequence number of a stream, made from a random number: below 2^15. A receiver that lost the first packets
/// takes the first that it sees for one before the numbers wrap, and could decrypt none if they had wrapped by then
/// (RFC 3711 §3.3.1).
pub fn first_sequence(random: u16) -> u16 {
    random & 0x7fff
}

/// Cuts the coded pictures of one stream into packets.
///
/// Packets are numbered on across a change of format: it stays the same stream, and SRTP takes a jump in the numbers for
/// packets of long ago (RFC 3711 §3.3.1).
#[derive(Debug)]
pub struct FramePacketizer {
    sequence: u16,
    picture_id: u16,
    payloads: Payloads,
}

/// The payloads of one picture, in sending order. Keeps its memory from one picture to the next.
#[derive(Debug)]
struct Payloads {
    memory: Slabs,
    list: Vec<Bytes>,
    /// No payload is longer, in bytes.
    longest: usize,
}

impl Default for Payloads {
    fn default() -> Self {
        Self { memory: Slabs::default(), list: Vec::new(), longest: MAX_PAYLOAD_BYTES }
    }
}

impl Payloads {
    /// Adds one that `write` makes of `bytes` at most.
    fn push(&mut self, bytes: usize, write: impl FnOnce(&mut BytesMut)) {
        self.list.push(self.memory.payload(bytes, write));
    }

    /// Adds one of two parts.
    fn push_parts(&mut self, header: &[u8], body: &[u8]) {
        self.push(header.len() + body.len(), |payload| {
            payload.put_slice(header);
            payload.put_slice(body);
        });
    }
}

impl FramePacketizer {
    /// Starts a stream. The number should be random (RFC 3550 §5.1); it is taken as [`first_sequence`] has it.
    pub fn new(sequence: u16) -> Self {
        Self::numbered_from(first_sequence(sequence))
    }

    /// Goes on at any number.
    pub(crate) fn numbered_from(sequence: u16) -> Self {
        Self { sequence, picture_id: sequence & MAX_PICTURE_ID, payloads: Payloads::default() }
    }

    /// The packets of one coded picture, in sending order; the last one carries the marker. One without content gives none.
    /// They count as sent, looked at or not.
    pub fn packetize(
        &mut self,
        format: PictureFormat,
        picture: &[u8],
        timestamp: u32,
    ) -> impl ExactSizeIterator<Item = RtpPacket> {
        self.packetize_into(1, format, picture, timestamp)
    }

    /// The same, in about `least` packets or more, unless they became too short.
    pub fn packetize_into(
        &mut self,
        least: usize,
        format: PictureFormat,
        picture: &[u8],
        timestamp: u32,
    ) -> impl ExactSizeIterator<Item = RtpPacket> {
        self.payloads.longest = match least {
            0 | 1 => MAX_PAYLOAD_BYTES,
            _ => (picture.len() / least).clamp(MIN_PIECE_BYTES, MAX_PAYLOAD_BYTES),
        };
        match format {
            PictureFormat::H264 => h264::append(picture, &mut self.payloads),
            PictureFormat::Vp8 => {
                self.picture_id = self.picture_id.wrapping_add(1) & MAX_PICTURE_ID;
                vp8::append(picture, self.picture_id, &mut self.payloads);
            }
        }
        let count = self.payloads.list.len();
        let first = self.sequence;
        self.sequence = first.wrapping_add(count as u16);
        self.payloads.list.drain(..).enumerate().map(move |(index, payload)| RtpPacket {
            sequence: first.wrapping_add(index as u16),
            timestamp,
            marker: index + 1 == count,
            payload,
        })
    }
}

/// Cuts `bytes` into as few pieces of at most `longest` bytes as possible, of nearly one size: a last one of a few bytes
/// would cost a packet for nothing.
fn even_pieces(bytes: &[u8], longest: usize) -> impl Iterator<Item = &[u8]> {
    let count = bytes.len().div_ceil(longest).max(1);
    bytes.chunks(bytes.len().div_ceil(count).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VP8_FRAME: [u8; 4] = [0x11, 0, 0, 7];
    const H264_SLICE: [u8; 6] = [0, 0, 1, 0x41, 1, 2];

    #[test]
    fn packets_and_vp8_frames_are_numbered_on_and_wrap() {
        let mut packetizer = FramePacketizer::numbered_from(65_534);
        let mut packets: Vec<RtpPacket> = packetizer.packetize(PictureFormat::Vp8, &VP8_FRAME, 1).collect();
        packets.extend(packetizer.packetize(PictureFormat::H264, &H264_SLICE, 2));
        packets.extend(packetizer.packetize(PictureFormat::Vp8, &VP8_FRAME, 3));
        let numbers: Vec<(u16, u32)> = packets.iter().map(|packet| (packet.sequence, packet.timestamp)).collect();
        assert_eq!(numbers, [(65_534, 1), (65_535, 2), (0, 3)]);
        assert_eq!(packets[0].payload[2..4], [0xff, 0xff]);
        assert_eq!(packets[2].payload[2..4], [0x80, 0x00]);
    }

    #[test]
    fn the_first_number_of_a_stream_is_below_2_to_the_15th() {
        for (random, first) in [(0, 0), (0x7fff, 0x7fff), (0x8000, 0), (65_534, 0x7ffe)] {
            let mut packetizer = FramePacketizer::new(random);
            assert_eq!(packetizer.packetize(PictureFormat::Vp8, &VP8_FRAME, 1).next().unwrap().sequence, first);
            assert_eq!(OpusPacketizer::new(random, 1).packetize(bytes::Bytes::new(), 960).sequence, first);
        }
    }

    #[test]
    fn only_the_last_packet_of_a_picture_carries_the_marker() {
        for format in [PictureFormat::H264, PictureFormat::Vp8] {
            let picture = [&H264_SLICE[..], &[9; 3_000]].concat();
            let packets: Vec<RtpPacket> = FramePacketizer::new(0).packetize(format, &picture, 77).collect();
            assert_eq!(packets.iter().map(|packet| packet.marker).collect::<Vec<_>>(), [false, false, true]);
            assert!(packets.iter().all(|packet| packet.timestamp == 77));
        }
    }

    #[test]
    fn a_small_picture_can_be_several_packets_and_stays_the_same() {
        for format in [PictureFormat::H264, PictureFormat::Vp8] {
            let picture = [&H264_SLICE[..], &[9; 400]].concat();
            let mut packetizer = FramePacketizer::new(0);
            let packets: Vec<_> = packetizer.packetize_into(4, format, &picture, 77).collect();
            assert!((4..=5).contains(&packets.len()), "{}", packets.len());
            let sent: usize = packets.iter().map(|packet| packet.payload.len()).sum();
            assert!((400..450).contains(&sent), "{sent}");
            assert_eq!(packetizer.packetize_into(4, format, &H264_SLICE, 78).count(), 1);
            assert_eq!(packetizer.packetize(format, &picture, 79).count(), 1);
        }
    }

    #[test]
    fn a_picture_without_content_gives_no_packets_and_takes_no_number() {
        let mut packetizer = FramePacketizer::new(5);
        for (format, nothing) in
            [(PictureFormat::H264, &[][..]), (PictureFormat::H264, &[1, 2, 3]), (PictureFormat::Vp8, &[])]
        {
            assert_eq!(packetizer.packetize(format, nothing, 0).len(), 0);
        }
        assert_eq!(packetizer.packetize(PictureFormat::Vp8, &VP8_FRAME, 0).next().unwrap().sequence, 5);
    }

    #[test]
    fn packets_that_nobody_looks_at_take_their_numbers_all_the_same() {
        let mut packetizer = FramePacketizer::new(5);
        drop(packetizer.packetize(PictureFormat::H264, &[&H264_SLICE[..], &[9; 3_000]].concat(), 0));
        assert_eq!(packetizer.packetize(PictureFormat::Vp8, &VP8_FRAME, 0).next().unwrap().sequence, 8);
    }
}
