//! The pictures of one codec: packets in; pictures, decoded or as they came, and wishes for key frames out.

use std::time::Duration;

use ahoy_media::VideoDecoder;
use ahoy_media::video::CodecUnavailable;
use ahoy_media::video::decoder::DecodeError;
use ahoy_rtp::{AssembledFrame, AssemblerConfig, AssemblerEvent, FrameAssembler, RtpPacket};
use ahoy_transport::{Codec, VideoCodec};
use tracing::debug;

use super::super::codec::{agreed, of_pictures};
use crate::frame_sink::{Picture, PictureForm};

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
    Picture {
        picture: Picture,
        /// Width and height, in pixels.
        size: (u32, u32),
        rtp: u32,
    },
    KeyFrameWanted,
}

/// Who has had every picture up to now, and so can go on without a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follower {
    Nobody,
    /// The one here.
    Decoder,
    /// One behind the sink.
    Sink,
}

/// Assembler and decoder of one codec.
pub(super) struct Stream {
    codec: Codec,
    video: VideoCodec,
    assembler: FrameAssembler,
    decoder: Box<dyn VideoDecoder>,
    follower: Follower,
    /// Of the last key frame that was handed on as it came.
    size: (u32, u32),
}

impl Stream {
    pub(super) fn new(codec: Codec) -> Result<Self, StreamError> {
        let (video, format) = of_pictures(codec).ok_or(StreamError::NoPictures)?;
        let assembler = FrameAssembler::new(format, AssemblerConfig::default());
        let (decoder, video) = (video.decoder()?, agreed(video));
        Ok(Self { codec, video, assembler, decoder, follower: Follower::Nobody, size: (0, 0) })
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

    /// What the pictures are coded in.
    pub(super) fn video(&self) -> VideoCodec {
        self.video
    }

    /// A decoder behind the sink has missed pictures of this stream, or had some of another in between.
    pub(super) fn lose_sink(&mut self) {
        if self.follower == Follower::Sink {
            self.follower = Follower::Nobody;
        }
    }

    /// The next thing that is ready; a picture in the form that `form` says, which is asked for each.
    pub(super) fn poll(&mut self, now: Duration, mut form: impl FnMut() -> PictureForm) -> Option<StreamEvent> {
        loop {
            match self.assembler.poll_event()? {
                AssemblerEvent::KeyFrameWanted => return Some(StreamEvent::KeyFrameWanted),
                AssemblerEvent::Frame(frame) => match self.bring_into_form(frame, form()) {
                    Ok(Some(picture)) => return Some(picture),
                    Ok(None) => {}
                    Err(error) => {
                        debug!(%error, "a picture cannot be used");
                        self.follower = Follower::Nobody;
                        self.assembler.decoder_failed(now);
                    }
                },
            }
        }
    }

    /// Whoever did not have the pictures before needs a key frame first.
    fn bring_into_form(
        &mut self,
        frame: AssembledFrame,
        form: PictureForm,
    ) -> Result<Option<StreamEvent>, DecodeError> {
        let AssembledFrame { rtp, data, key } = frame;
        let (follower, is_lost) = match form {
            PictureForm::Nothing => (Follower::Nobody, false),
            PictureForm::Raw => (Follower::Decoder, false),
            PictureForm::Encoded { key_frame_wanted } => (Follower::Sink, key_frame_wanted),
        };
        if follower != Follower::Nobody && !key && (is_lost || self.follower != follower) {
            return Err(DecodeError::AwaitingKeyFrame);
        }
        self.follower = follower;
        match follower {
            Follower::Nobody => Ok(None),
            Follower::Decoder => {
                let decoded = self.decoder.decode(&data);
                self.assembler.give_back(data);
                Ok(decoded?.map(|frame| {
                    let size = (frame.width(), frame.height());
                    StreamEvent::Picture { picture: Picture::Raw(frame), size, rtp }
                }))
            }
            Follower::Sink => {
                let screened = self.decoder.screen(&data);
                self.assembler.give_back(data);
                Ok(screened?.map(|screened| {
                    self.size = screened.size.unwrap_or(self.size);
                    let picture = Picture::Encoded { codec: self.video, key, data: screened.data };
                    StreamEvent::Picture { picture, size: self.size, rtp }
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_media::pattern::TestPattern;
    use ahoy_media::{FrameRate, VideoEncoder};
    use ahoy_rtp::{FramePacketizer, PictureFormat};

    const CODED: PictureForm = PictureForm::Encoded { key_frame_wanted: false };
    const CODED_ANEW: PictureForm = PictureForm::Encoded { key_frame_wanted: true };

    /// A sender of the test pattern, and who receives it.
    struct Pair {
        encoder: Box<dyn VideoEncoder>,
        packetizer: FramePacketizer,
        stream: Stream,
        number: u32,
    }

    impl Pair {
        fn new() -> Self {
            let encoder = ahoy_media::VideoCodec::H264.encoder(500_000, FrameRate::THIRTY).unwrap();
            let (packetizer, stream) = (FramePacketizer::new(1), Stream::new(Codec::H264).unwrap());
            Self { encoder, packetizer, stream, number: 0 }
        }

        /// What comes of the next picture, a third of a second after the one before: r for a decoded one, c for a coded
        /// one, K for a coded key frame, ! for a wish for a key frame.
        fn next(&mut self, key: bool, form: PictureForm) -> String {
            self.number += 1;
            let now = Duration::from_secs(1) * self.number / 3;
            let picture = TestPattern::new().frame(u64::from(self.number));
            let encoded = self.encoder.encode(&picture, key).unwrap().unwrap();
            for packet in self.packetizer.packetize(PictureFormat::H264, &encoded.data, self.number * 30_000) {
                self.stream.push(now, None, packet);
            }
            self.stream.handle_timeout(now);
            let mut came = String::new();
            while let Some(event) = self.stream.poll(now, || form) {
                came.push(match event {
                    StreamEvent::KeyFrameWanted => '!',
                    StreamEvent::Picture { picture, size, .. } => {
                        assert_eq!(size, (1280, 720));
                        match picture {
                            Picture::Raw(_) => 'r',
                            Picture::Encoded { key: true, .. } => 'K',
                            Picture::Encoded { key: false, .. } => 'c',
                        }
                    }
                });
            }
            came
        }
    }

    #[test]
    fn a_change_of_form_asks_for_a_key_frame_and_goes_on_there() {
        let mut pair = Pair::new();
        assert_eq!(pair.next(true, PictureForm::Raw), "r");
        assert_eq!(pair.next(false, PictureForm::Raw), "r");
        assert_eq!(pair.next(false, CODED), "!");
        assert_eq!(pair.next(true, CODED), "K");
        assert_eq!(pair.next(false, CODED), "c");
        assert_eq!(pair.next(false, PictureForm::Raw), "!");
        assert_eq!(pair.next(true, PictureForm::Raw), "r");
    }

    #[test]
    fn a_decoder_that_is_lost_gets_a_key_frame_next_and_requests_back_off() {
        let mut pair = Pair::new();
        assert_eq!(pair.next(true, CODED), "K");
        let asked: String = (0..12).map(|_| pair.next(false, CODED_ANEW)).collect();
        assert!((2..=5).contains(&asked.len()) && !asked.contains('c'), "{asked:?} in four seconds");
        assert_eq!(pair.next(true, CODED_ANEW), "K");
        assert_eq!(pair.next(false, CODED), "c");
        pair.stream.lose_sink();
        assert!(!pair.next(false, CODED).contains('c'), "it missed one");
    }

    #[test]
    fn pictures_that_nobody_wants_cost_no_decoding_and_no_request() {
        let mut pair = Pair::new();
        assert_eq!(pair.next(true, PictureForm::Raw), "r");
        let unseen: String = (0..6).map(|_| pair.next(false, PictureForm::Nothing)).collect();
        assert_eq!(unseen, "");
        assert_eq!(pair.next(false, PictureForm::Raw), "!");
        assert_eq!(pair.next(true, PictureForm::Raw), "r");
    }
}
