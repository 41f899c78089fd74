//! The pictures of one codec: packets in, decoded pictures and wishes for key frames out.

use std::time::Duration;

use ahoy_media::video::CodecUnavailable;
use ahoy_media::{VideoDecoder, VideoFrame};
use ahoy_rtp::{AssemblerConfig, AssemblerEvent, FrameAssembler, RtpPacket};
use ahoy_transport::Codec;
use tracing::debug;

use super::super::codec::of_pictures;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    /// Not in this build.
    #[error(transparent)]
    Unavailable(#[from] CodecUnavailable),
    /// Sound where pictures belong.
    #[error("no codec of pictures")]
    NoPictures,
}

/// What comes out.
pub(super) enum StreamEvent {
    Picture { frame: VideoFrame, rtp: u32 },
    KeyFrameWanted,
}

/// Assembler and decoder of one codec.
pub(super) struct Stream {
    codec: Codec,
    assembler: FrameAssembler,
    decoder: Box<dyn VideoDecoder>,
}

impl Stream {
    pub(super) fn new(codec: Codec) -> Result<Self, StreamError> {
        let (video, format) = of_pictures(codec).ok_or(StreamError::NoPictures)?;
        let assembler = FrameAssembler::new(format, AssemblerConfig::default());
        Ok(Self { codec, assembler, decoder: video.decoder()? })
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Takes a packet; `round_trip` decides how long a missing one is waited for.
    pub(super) fn push(&mut self, now: Duration, round_trip: Option<Duration>, packet: RtpPacket) {
        if let Some(round_trip) = round_trip {
            self.assembler.set_round_trip(round_trip);
        }
        self.assembler.push(now, packet);
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.assembler.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Duration) {
        self.assembler.handle_timeout(now);
    }

    /// The next thing that is ready.
    pub(super) fn poll(&mut self, now: Duration) -> Option<StreamEvent> {
        loop {
            match self.assembler.poll_event()? {
                AssemblerEvent::KeyFrameWanted => return Some(StreamEvent::KeyFrameWanted),
                AssemblerEvent::Frame(frame) => match self.decoder.decode(&frame.data) {
                    Ok(Some(picture)) => return Some(StreamEvent::Picture { frame: picture, rtp: frame.rtp }),
                    Ok(None) => {}
                    Err(error) => {
                        debug!(%error, "a picture could not be decoded");
                        self.assembler.decoder_failed(now);
                    }
                },
            }
        }
    }
}
