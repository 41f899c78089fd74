//! Pictures that are decoded and wait for the moment when their sound is heard.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_media::VideoFrame;

/// Pictures held at most: what the lip sync holds back at 30 pictures a second, and a few more. 22 MB at 720p.
const MOST: usize = 16;

/// A decoded picture.
pub(super) struct Picture {
    pub(super) frame: VideoFrame,
    pub(super) rtp: u32,
    /// When to show it.
    pub(super) at: Duration,
}

/// In the order in which they came, which is that of showing.
#[derive(Default)]
pub(super) struct Waiting(VecDeque<Picture>);

impl Waiting {
    /// Adds a picture. Gives back the oldest where there are too many: it is to be shown at once.
    pub(super) fn push(&mut self, picture: Picture) -> Option<Picture> {
        self.0.push_back(picture);
        if self.0.len() > MOST { self.0.pop_front() } else { None }
    }

    /// When the next one is to be shown.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.front().map(|picture| picture.at)
    }

    /// Takes the next picture, if its moment has come.
    pub(super) fn due(&mut self, now: Duration) -> Option<Picture> {
        self.0.pop_front_if(|picture| picture.at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(rtp: u32, at_ms: u64) -> Picture {
        let frame = VideoFrame::new(2, 2, vec![0; 6]).unwrap();
        Picture { frame, rtp, at: Duration::from_millis(at_ms) }
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
