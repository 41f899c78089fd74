//! What a picture and a block of sound cost on their way: converting, scaling, coding, cleaning. On what webcams and
//! microphones give, `tests/media`. `bench core` runs it and makes a table of it.
#![forbid(unsafe_code)]

use criterion::Criterion;

mod clip;
mod codecs;
mod pictures;
mod sound;

/// The JPEGs of cameras are the crate's own affair and stay so: its source is compiled into this program once more.
#[path = "../../src/camera"]
// Its tests come along, without what runs them.
#[allow(dead_code, unused_imports, clippy::unwrap_used)]
mod camera {
    mod jpeg;

    /// A camera that sends JPEGs.
    #[derive(Default)]
    pub(super) struct Jpegs {
        reader: jpeg::JpegReader,
        frames: crate::frame::FramePool,
    }

    impl Jpegs {
        pub(super) fn read(&mut self, jpeg: &[u8]) -> crate::frame::VideoFrame {
            self.reader.read(&mut self.frames, jpeg).expect("a JPEG made here")
        }
    }
}
// What that source calls its crate's.
use ahoy_media::{Cause, convert, frame};

/// Two seconds of the clip, before its first cut.
const PICTURES: usize = 60;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let clip = clip::pictures(PICTURES);
    pictures::bench(&mut criterion, &clip);
    codecs::bench(&mut criterion, &clip);
    sound::bench(&mut criterion);
    criterion.final_summary();
}
