//! The boundary to whatever shows pictures to a person: a window, or a test that watches. Where pictures come from and
//! when they are due is decided before it; scaling, transport and drawing are behind it.

use std::time::Instant;

use ahoy_media::VideoFrame;
use ahoy_protocol::control::Shown;
use ahoy_transport::VideoCodec;

/// Where pictures go that a person is to see. Called from the camera's and the decoder's thread, which it must not
/// block.
pub trait FrameSink: Send + Sync {
    /// In what form it takes the next picture; asked before each. `codec` is what the picture is coded in; `None` where
    /// there is no coded form of it to be had: of this side's camera, and where a recording or an echo needs it
    /// decoded.
    fn form(&self, view: PictureView, codec: Option<VideoCodec>) -> PictureForm;

    /// How large it shows a view's pictures now. The other side is told so, and then need not send larger ones. `None`, as
    /// here, where that is not known or they should come as large as they can.
    fn shown(&self, _view: PictureView) -> Option<Shown> {
        None
    }

    /// Takes a picture at the moment when it is to be seen.
    fn show(&self, shown: ShownPicture);
}

/// Whose picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PictureView {
    /// This side's camera.
    Local,
    /// The other side.
    Remote,
}

/// In what form a [`FrameSink`] takes a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureForm {
    /// Not at all: nobody looks. Pictures of the other side are not even decoded then, if nothing else needs them.
    Nothing,
    /// Decoded.
    Raw,
    /// As it came, for a decoder behind the sink. Where there is no coded form, it comes as with [`Self::Raw`].
    Encoded {
        /// That decoder cannot go on without a key frame: nothing is handed over until one has come, and the other side
        /// is asked for it, as often as is good for the path.
        key_frame_wanted: bool,
    },
}

/// A picture to be seen now.
#[derive(Debug, Clone)]
pub struct ShownPicture {
    /// Whose.
    pub view: PictureView,
    /// Its RTP time stamp: that which it is sent with, and outside a call one of the same clock rate, 90 kHz.
    pub rtp: u32,
    /// When it was taken; of the other side's that is not known on this machine's clock.
    pub captured_at: Option<Instant>,
    /// The picture.
    pub picture: Picture,
}

/// The picture itself.
#[derive(Debug, Clone)]
pub enum Picture {
    /// Decoded.
    Raw(VideoFrame),
    /// Coded. The first one that a sink gets, and the first after a gap, is a key frame.
    Encoded {
        /// In what.
        codec: VideoCodec,
        /// Decoding can begin here.
        key: bool,
        /// A frame (VP8), or an access unit as an Annex B stream, parameter sets before each key frame (H.264).
        data: Vec<u8>,
    },
}

/// For programs without a screen: every picture is decoded, and nobody sees it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFrames;

impl FrameSink for NoFrames {
    fn form(&self, _: PictureView, _: Option<VideoCodec>) -> PictureForm {
        PictureForm::Raw
    }

    fn show(&self, _: ShownPicture) {}
}
