//! Pictures that no other refers to. One that is incomplete when the next is there is left out: nothing after it needs it,
//! and waiting for it would only make the next one late.

use super::{Extent, FrameAssembler};
use crate::depacketizer::{begins_picture_at, is_disposable, picture_id};

impl FrameAssembler {
    /// Where the next picture begins, if the incomplete one at `next` is not needed and the next one is complete. What is
    /// missing must be known to belong to none but that one.
    pub(super) fn disposable(&self, next: i64) -> Option<i64> {
        let mut held = self.packets.starting_at(next);
        let (first, begin) = held.next()?;
        let mut last = (first, begin);
        if !is_disposable(self.format, &begin.payload) {
            return None;
        }
        let (end, after) = loop {
            let (sequence, held) = held.next()?;
            if held.timestamp != begin.timestamp {
                break (sequence, held);
            }
            if !is_disposable(self.format, &held.payload) {
                return None;
            }
            last = (sequence, held);
        };
        let ids = (picture_id(self.format, &begin.payload), picture_id(self.format, &after.payload));
        let begins_here = first == next
            || match (self.last_id, ids.0) {
                (Some(before), Some(id)) => follows(before, id),
                _ => self.spacing.follows_last(begin.timestamp),
            };
        // A gap after the marker is another picture's, which may be needed.
        let ends_here = last.0 + 1 == end
            || !last.1.marker
                && match ids {
                    (Some(id), Some(after)) => follows(id, after),
                    _ => self.spacing.are_neighbours(begin.timestamp, after.timestamp),
                };
        let is_next_whole =
            begins_picture_at(self.format, &after.payload) && matches!(self.extent(end), Extent::Complete { .. });
        (begins_here && ends_here && is_next_whole).then_some(end)
    }
}

/// Whether a VP8 picture id is the next: it has 7 or 15 bits (RFC 7741 §4.2).
fn follows(before: u16, id: u16) -> bool {
    id == before.wrapping_add(1) || (id == 0 && matches!(before, 0x7f | 0x7fff))
}
