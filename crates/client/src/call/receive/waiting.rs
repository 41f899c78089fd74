//! Pictures that are complete and wait for the moment when their sound is heard.

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame_sink::Picture;

/// Pictures held at most: what the lip sync holds back at 30 pictures a second, and a few more. 22 MB at 720p.
const MOST: usize = 16;

/// A picture that waits.
pub(super) struct Waiter {
    pub(super) picture: Picture,
    /// Width and height, in pixels.
    pub(super) size: (u32, u32),
    pub(super) rtp: u32,
    /// Somebody is to see it; else it is recorded or sent back.
    pub(super) is_seen: bool,
    /// When to show it.
    pub(super) at: Duration,
}

/// In the order in which they came, which is that of showing.
#[derive(Default)]
pub(super) struct Waiting(VecDeque<Waiter>);

impl Waiting {
    /// Adds a picture. Gives back the oldest where there are too many: it is to be shown at once.
    pub(super) fn push(&mut self, waiter: Waiter) -> Option<Waiter> {
        self.0.push_back(waiter);
        if self.0.len() > MOST { self.0.pop_front() } else { None }
    }

    /// When the next one is to be shown.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.front().map(|waiter| waiter.at)
    }

    /// Takes the next picture, if its moment has come.
    pub(super) fn due(&mut self, now: Duration) -> Option<Waiter> {
        self.0.pop_front_if(|waiter| waiter.at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(rtp: u32, at_ms: u64) -> Waiter {
        let picture = Picture::Raw(ahoy_media::VideoFrame::new(2, 2, vec![0; 6]).unwrap());
        Waiter { picture, size: (2, 2), rtp, is_seen: true, at: Duration::from_millis(at_ms) }
    }

    #[test]
    fn pictures_come_when_they_are_due_and_in_their_order() {
        let mut waiting = Waiting::default();
        assert!(waiting.push(picture(1, 20)).is_none() && waiting.push(picture(2, 50)).is_none());
        assert!(waiting.due(Duration::from_millis(19)).is_none());
        assert_eq!(waiting.due(Duration::from_millis(20)).map(|picture| picture.rtp), Some(1));
        assert!(waiting.due(Duration::from_millis(49)).is_none());
        assert_eq!(waiting.next(), Some(Duration::from_millis(50)));
    }

    #[test]
    fn more_than_can_be_held_are_shown_early_and_not_lost() {
        let mut waiting = Waiting::default();
        let crowded_out: Vec<u32> = (0..20).filter_map(|rtp| waiting.push(picture(rtp, 1000))).map(|p| p.rtp).collect();
        assert_eq!(crowded_out, [0, 1, 2, 3]);
    }
}
