//! A sender of pictures in virtual time: what an encoder at 750 kb/s gives, cut into packets by the real packetizer, kept
//! for sending again by the rule of `ahoy-transport`.

use ahoy_rtp::{FramePacketizer, PictureFormat, RtpPacket};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// RTP ticks from one picture to the next, at 30 a second.
pub(crate) const TICKS: u32 = 3_000;

/// A key frame is not made sooner after the one before, whoever asks.
const KEY_PAUSE: Duration = Duration::from_millis(300);

/// A packet is not sent again sooner after it was sent again: seven eighths of the round trip that the sender knows.
const RESEND_PAUSE: Duration = Duration::from_millis(35);

/// Bytes of a key frame: 20 packets.
const KEY_BYTES: usize = 23_000;

struct Kept {
    packet: RtpPacket,
    resent_at: Option<Duration>,
}

pub(crate) struct Sender {
    rng: StdRng,
    packetizer: FramePacketizer,
    kept: BTreeMap<u16, Kept>,
    key_wanted: bool,
    key_sent_at: Option<Duration>,
    /// Every second picture is one that no other refers to.
    has_layers: bool,
    /// What each picture is, by number: whether it is a key frame, and whether others refer to it.
    pub(crate) pictures: Vec<(bool, bool)>,
}

impl Sender {
    pub(crate) fn new(has_layers: bool, seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            packetizer: FramePacketizer::new(seed as u16),
            kept: BTreeMap::new(),
            key_wanted: true,
            key_sent_at: None,
            has_layers,
            pictures: Vec::new(),
        }
    }

    /// The next picture's packets.
    pub(crate) fn picture(&mut self, now: Duration) -> Vec<RtpPacket> {
        let number = self.pictures.len();
        let is_key = self.key_wanted && self.key_sent_at.is_none_or(|at| now.saturating_sub(at) >= KEY_PAUSE);
        let is_referred_to = is_key || !(self.has_layers && number % 2 == 1);
        let (head, bytes): (&[u8], usize) = if is_key {
            (self.key_wanted, self.key_sent_at) = (false, Some(now));
            (&[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 0, 1, 0x65, 0x88], KEY_BYTES)
        } else if is_referred_to {
            (&[0, 0, 0, 1, 0x41, 0x9a], self.rng.random_range(1_300..4_700))
        } else {
            (&[0, 0, 0, 1, 0x01, 0x9a], self.rng.random_range(1_300..4_700))
        };
        self.pictures.push((is_key, is_referred_to));
        let unit: Vec<u8> = head.iter().copied().chain(std::iter::repeat_n(7, bytes)).collect();
        let packets: Vec<RtpPacket> =
            self.packetizer.packetize(PictureFormat::H264, &unit, number as u32 * TICKS).collect();
        for packet in &packets {
            self.kept.insert(packet.sequence, Kept { packet: packet.clone(), resent_at: None });
            self.kept.remove(&packet.sequence.wrapping_sub(1_024));
        }
        packets
    }

    /// The packet, if it may be sent again now.
    pub(crate) fn again(&mut self, now: Duration, sequence: u16) -> Option<RtpPacket> {
        let kept = self.kept.get_mut(&sequence)?;
        if kept.resent_at.is_some_and(|at| now.saturating_sub(at) < RESEND_PAUSE) {
            return None;
        }
        kept.resent_at = Some(now);
        Some(kept.packet.clone())
    }

    pub(crate) fn want_key(&mut self) {
        self.key_wanted = true;
    }
}
