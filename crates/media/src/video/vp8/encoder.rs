//! The VP8 encoder: one thread, no frames reordered or dropped.

use super::libvpx::{EncoderContext, VpxError};
use crate::frame::VideoFrame;
use crate::rate::FrameRate;
use crate::video::encoder::{EncodeError, EncodedFrame, VideoEncoder, checked_size, clamp_bitrate};

/// Turns pictures into VP8 frames.
pub(crate) struct Vp8Encoder {
    bitrate_bps: u32,
    rate: FrameRate,
    /// Made for one size; another size takes another encoder.
    running: Option<Running>,
}

struct Running {
    width: u32,
    height: u32,
    bitrate_bps: u32,
    /// How many pictures it was given.
    pictures: u64,
    context: EncoderContext,
}

impl Vp8Encoder {
    /// An encoder that spends `bitrate_bps` on `rate` pictures a second. Does nothing yet.
    pub(crate) fn new(bitrate_bps: u32, rate: FrameRate) -> Self {
        Self { bitrate_bps: clamp_bitrate(bitrate_bps), rate, running: None }
    }
}

impl VideoEncoder for Vp8Encoder {
    fn encode(&mut self, frame: &VideoFrame, force_key: bool) -> Result<Option<EncodedFrame>, EncodeError> {
        let mut running = self.encoder_for(frame)?;
        if running.bitrate_bps != self.bitrate_bps {
            let refused = |error: VpxError| EncodeError::Bitrate { bitrate_bps: self.bitrate_bps, code: error.code() };
            running.context.set_bitrate_bps(self.bitrate_bps).map_err(refused)?;
            running.bitrate_bps = self.bitrate_bps;
        }
        // Even distances, as the rate says: rate control spends by them.
        let begins = self.rate.slot_start(running.pictures);
        let ends = self.rate.slot_start(running.pictures + 1);
        running.pictures += 1;
        let coded = running.context.encode(frame, begins..ends, force_key).map_err(codec_error)?;
        let (width, height) = (running.width, running.height);
        self.running = Some(running);
        Ok(coded.map(|(data, key)| EncodedFrame { data, key, width, height }))
    }

    fn set_bitrate_bps(&mut self, bitrate_bps: u32) {
        self.bitrate_bps = clamp_bitrate(bitrate_bps);
    }

    fn bitrate_bps(&self) -> u32 {
        self.bitrate_bps
    }
}

impl Vp8Encoder {
    /// Takes the running encoder, or makes one for a new size. It is put back after a success only: one that failed is not
    /// used again.
    fn encoder_for(&mut self, frame: &VideoFrame) -> Result<Running, EncodeError> {
        let (width, height) = checked_size(frame)?;
        match self.running.take() {
            Some(running) if (running.width, running.height) == (width, height) => Ok(running),
            Some(_) | None => {
                let bitrate_bps = self.bitrate_bps;
                let context = EncoderContext::new(width, height, bitrate_bps).map_err(codec_error)?;
                Ok(Running { width, height, bitrate_bps, pictures: 0, context })
            }
        }
    }
}

fn codec_error(error: VpxError) -> EncodeError {
    EncodeError::Codec(error.into())
}
