//! An encoder made of a codec that is told each picture's quantizer and the rate control that chooses it.

use super::encoder::{EncodeError, EncodedFrame, VideoEncoder, checked_size, clamp_bitrate};
use super::rate_control::{Kind, RateControl, change};
use crate::Cause;
use crate::frame::VideoFrame;
use crate::rate::FrameRate;

/// A codec for pictures of one size, without a rate control of its own.
pub(crate) trait QuantizedCodec: Sized + Send {
    /// Opens it for pictures of this size in pixels.
    fn open(width: u32, height: u32) -> Result<Self, Cause>;

    /// The steps between two levels of its quantizers in octaves (0 is a step of 1), from the finest that is of use to the
    /// coarsest. At most 256.
    fn steps() -> &'static [f64];

    /// Encodes a picture of its size with one of these quantizers and appends what comes out to `data`. Says whether it
    /// became a key frame, which it does if asked and else never after the first; nothing if the codec left it out.
    fn encode(
        &mut self,
        frame: &VideoFrame,
        quantizer: u8,
        key: bool,
        data: &mut Vec<u8>,
    ) -> Result<Option<bool>, Cause>;
}

/// Turns pictures of any size into frames of a codec.
pub(crate) struct ControlledEncoder<C> {
    bitrate_bps: u32,
    rate: FrameRate,
    /// Made for one size; another size takes another one.
    running: Option<Running<C>>,
    /// About as long as the last frames were: the next one's bytes need not move while they grow.
    usual_bytes: usize,
    /// Where the next frame is written.
    spare: Vec<u8>,
}

struct Running<C> {
    width: u32,
    height: u32,
    /// The picture that was encoded last.
    last: Option<VideoFrame>,
    control: RateControl,
    codec: C,
}

impl<C: QuantizedCodec> ControlledEncoder<C> {
    /// An encoder that spends `bitrate_bps` on `rate` pictures a second. Does nothing yet.
    pub(crate) fn new(bitrate_bps: u32, rate: FrameRate) -> Self {
        Self { bitrate_bps: clamp_bitrate(bitrate_bps), rate, running: None, usual_bytes: 0, spare: Vec::new() }
    }

    /// Takes the running codec, or opens one for a new size. It is put back after a success only: one that failed is not
    /// used again.
    fn codec_for(&mut self, frame: &VideoFrame) -> Result<Running<C>, EncodeError> {
        let (width, height) = checked_size(frame)?;
        match self.running.take() {
            Some(running) if (running.width, running.height) == (width, height) => Ok(running),
            Some(_) | None => {
                let codec = C::open(width, height).map_err(EncodeError::Codec)?;
                let control = RateControl::new(width * height, self.bitrate_bps, self.rate.fps());
                Ok(Running { width, height, last: None, control, codec })
            }
        }
    }
}

impl<C: QuantizedCodec> VideoEncoder for ControlledEncoder<C> {
    fn encode(&mut self, frame: &VideoFrame, force_key: bool) -> Result<Option<EncodedFrame>, EncodeError> {
        let mut running = self.codec_for(frame)?;
        running.control.set_rates(self.bitrate_bps, self.rate.fps());
        let mut data = std::mem::take(&mut self.spare);
        data.clear();
        data.reserve(self.usual_bytes);
        let coded = running.encode(frame, force_key, &mut data).map_err(EncodeError::Codec)?;
        // Twice a frame's length holds nearly all that follow it; after a key frame the guess comes down with the next.
        self.usual_bytes = 2 * data.len();
        self.running = Some(running);
        Ok(coded.map(|key| EncodedFrame { data, key, width: frame.width(), height: frame.height() }))
    }

    fn give_back(&mut self, data: Vec<u8>) {
        self.spare = data;
    }

    fn skip(&mut self) {
        if let Some(running) = &mut self.running {
            running.control.set_rates(self.bitrate_bps, self.rate.fps());
            running.control.skip();
        }
    }

    fn set_bitrate_bps(&mut self, bitrate_bps: u32) {
        self.bitrate_bps = clamp_bitrate(bitrate_bps);
    }

    fn set_frame_rate(&mut self, rate: FrameRate) {
        self.rate = rate;
    }

    fn bitrate_bps(&self) -> u32 {
        self.bitrate_bps
    }
}

impl<C: QuantizedCodec> Running<C> {
    fn encode(&mut self, frame: &VideoFrame, force_key: bool, data: &mut Vec<u8>) -> Result<Option<bool>, Cause> {
        let key = force_key || self.last.is_none();
        let kind = if key { Kind::Key } else { Kind::Delta };
        let change = self.last.as_ref().map(|last| change(last, frame));
        let mut coded = None;
        self.control.encode(kind, change, C::steps(), |quantizer| {
            data.clear();
            coded = self.codec.encode(frame, quantizer, key, data)?;
            Ok::<usize, Cause>(data.len())
        })?;
        self.last = Some(frame.clone());
        Ok(coded)
    }
}
