//! Pictures and sound: where they come from, where they go, and the codecs between. It knows no
//! network: frames and packets go in and out as plain values.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audio;
pub mod camera;
pub mod convert;
pub mod file;
pub mod frame;
pub mod latest;
pub mod notice;
mod pace;
pub mod pattern;
pub mod rate;
pub mod resample;
pub mod sink;
pub mod sound_card;
pub mod source;
pub mod spec;
pub mod tone;
pub mod tones;
pub mod video;

/// What a library below a module's error says went wrong. Its type is nobody's business outside.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

pub use audio::opus::{OpusDecoder, OpusEncoder};
pub use audio::{AudioBlock, BLOCK_SAMPLES, SAMPLE_RATE_HZ};
pub use camera::{Camera, CameraError, CameraInfo};
pub use frame::{FramePool, VideoFrame};
pub use latest::Latest;
pub use notice::SoundNotice;
pub use rate::FrameRate;
pub use sink::{PictureSink, SoundSink};
pub use sound_card::{SoundDeviceInfo, SoundDevices};
pub use source::{CapturedFrame, PictureSource, SoundSource};
pub use spec::{SinkSpec, SourceSpec};
pub use video::VideoCodec;
pub use video::decoder::VideoDecoder;
pub use video::encoder::{EncodedFrame, VideoEncoder};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_belongs_to_a_thread_can_be_moved_into_it() {
        fn is_send<T: Send>() {}
        is_send::<(Box<dyn VideoEncoder>, Box<dyn VideoDecoder>, OpusEncoder, OpusDecoder)>();
        is_send::<(PictureSource, SoundSource, PictureSink, SoundSink)>();
        is_send::<(VideoFrame, EncodedFrame, Latest<VideoFrame>)>();
    }
}
