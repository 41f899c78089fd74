//! What the narrowest link of the path sends a second, from packets that waited for each other there.

use std::collections::VecDeque;

/// The newest packets count whose sending took this long together, but no fewer than [`MIN_PACKETS`]: two or three of a slow
/// link, and on a radio link, which sends in bursts, several of those.
const BUSY_US: i64 = 100_000;

/// Those that came longer before the newest do not count any more.
const AGE_US: i64 = 1_000_000;

/// Fewer packets measure nothing.
const MIN_PACKETS: usize = 2;

/// Reports have steps of 250 µs; what comes in the same step took no less than this.
const MIN_BUSY_US: i64 = 100;

const MAX_PACKETS: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Capacity {
    packets: VecDeque<Packet>,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    arrived: i64,
    bytes: usize,
    /// Since the one before it came.
    took: i64,
}

impl Capacity {
    pub(super) fn push(&mut self, arrived: i64, bytes: usize, took: i64) {
        if self.packets.len() == MAX_PACKETS {
            self.packets.pop_front();
        }
        self.packets.push_back(Packet { arrived, bytes, took });
    }

    /// Bits a second, if enough is known.
    pub(super) fn estimate(&self) -> Option<f64> {
        let newest = self.packets.back()?.arrived;
        let (mut bytes, mut busy, mut count) = (0, 0, 0);
        for packet in self.packets.iter().rev() {
            if newest - packet.arrived > AGE_US || (busy >= BUSY_US && count >= MIN_PACKETS) {
                break;
            }
            bytes += packet.bytes;
            busy += packet.took.max(MIN_BUSY_US);
            count += 1;
        }
        (count >= MIN_PACKETS).then(|| bytes as f64 * 8e6 / busy as f64)
    }
}
