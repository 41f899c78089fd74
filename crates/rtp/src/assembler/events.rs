//! What an assembler gives and tells.

/// One coded picture, ready for the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssembledFrame {
    /// The RTP time stamp, as sent.
    pub rtp: u32,
    /// The picture, in the form that [`PictureFormat`](crate::PictureFormat) says.
    pub data: Vec<u8>,
    /// Whether decoding can begin here.
    pub key: bool,
}

/// What a [`FrameAssembler`](crate::FrameAssembler) has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssemblerEvent {
    /// The next picture in decoding order.
    Frame(AssembledFrame),
    /// Pictures are withheld until a key frame comes: ask the sender for one.
    KeyFrameWanted,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssemblerStats {
    /// Pictures handed out.
    pub frames: u64,
    /// Of those, key frames.
    pub key_frames: u64,
    /// Packets that were already there or already used.
    pub duplicates: u64,
    /// Times the way on was lost: a packet that did not come in time, or payloads against the format.
    pub breaks: u64,
    /// Pictures that were incomplete and left out, because no other refers to them.
    pub left_out: u64,
    /// Packets thrown away because of a break or a limit.
    pub discarded: u64,
}
