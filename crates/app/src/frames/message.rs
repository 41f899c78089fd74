//! A picture as a message for the page: scaled down to the size at which it is shown, in the form that is wanted. Keeps its
//! buffers from one to the next.

use std::collections::VecDeque;

use ahoy_client::{ConvertError, Picture, Scaler, VideoFrame, to_rgba};
use bytes::{Bytes, BytesMut};

use super::pane::Due;
use super::wire::{Form, HEADER_LEN, Header, Showing};

/// As many as are on their way, and the one being made.
const BUFFERS: usize = 3;
/// What the scaler makes at least.
const SIDE_MIN_PX: u32 = 2;

/// Makes messages for one view.
#[derive(Default)]
pub(super) struct MessageMaker {
    scaler: Scaler,
    /// Sent ones, the oldest first: their memory is taken again once nobody else holds it.
    sent: VecDeque<Bytes>,
}

impl MessageMaker {
    /// The header and the picture.
    ///
    /// # Errors
    /// If the picture cannot be converted; no valid one gives reason to.
    pub(super) fn make(&mut self, due: &Due) -> Result<Bytes, ConvertError> {
        let header = Header { form: due.form, key: true, width: 0, height: 0, sequence: due.sequence, rtp: due.rtp };
        match &due.picture {
            Picture::Encoded { key, data, .. } => {
                let mut message = BytesMut::with_capacity(HEADER_LEN + data.len());
                message.extend_from_slice(&Header { key: *key, ..header }.to_bytes());
                message.extend_from_slice(data);
                Ok(message.freeze())
            }
            Picture::Raw(frame) => self.make_raw(frame, due.showing, header),
        }
    }

    fn make_raw(&mut self, frame: &VideoFrame, showing: Showing, header: Header) -> Result<Bytes, ConvertError> {
        let (width, height) = shown_size(frame, showing);
        let scaled = self.scaler.scale(frame, width, height)?;
        // Sides fit: `VideoFrame` has 4096 at most.
        let header = Header { width: width as u16, height: height as u16, ..header };
        let rgba = header.form == Form::Rgba;
        let length = if rgba { width as usize * height as usize * 4 } else { scaled.data().len() };
        let mut message = self.buffer(HEADER_LEN + length);
        let (front, picture) = message.split_at_mut(HEADER_LEN);
        front.copy_from_slice(&header.to_bytes());
        if rgba {
            to_rgba(&scaled, picture)?;
        } else {
            picture.copy_from_slice(scaled.data());
        }
        let message = message.freeze();
        self.sent.push_back(message.clone());
        Ok(message)
    }

    /// A buffer to be written over: the oldest one's memory, if the line is done with it.
    fn buffer(&mut self, length: usize) -> BytesMut {
        let oldest = if self.sent.len() >= BUFFERS { self.sent.pop_front() } else { None };
        let mut buffer = oldest.and_then(|sent| sent.try_into_mut().ok()).unwrap_or_default();
        buffer.resize(length, 0);
        buffer
    }
}

/// The size to scale to: the smallest that fills the place both ways, so that it is sharp whether the page cuts the picture
/// to the place or fits it in; never larger than the picture is.
fn shown_size(frame: &VideoFrame, showing: Showing) -> (u32, u32) {
    let (width, height) = (frame.width(), frame.height());
    let across = f64::from(showing.width_px) / f64::from(width);
    let down = f64::from(showing.height_px) / f64::from(height);
    let shrink = across.max(down).min(1.0);
    let side = |length: u32| ((f64::from(length) * shrink / 2.0).round() as u32 * 2).clamp(SIDE_MIN_PX, length);
    (side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::super::line::{Line, LineClosed};
    use super::super::wire::{Decodes, RawForm};
    use super::*;
    use ahoy_client::VideoCodec;
    use std::sync::Arc;

    struct NoLine;

    impl Line for NoLine {
        fn send(&self, _: Bytes) -> Result<(), LineClosed> {
            Ok(())
        }
    }

    fn grey(width: u32, height: u32) -> VideoFrame {
        let length = VideoFrame::byte_len(width, height).unwrap();
        VideoFrame::new(width, height, vec![128; length]).unwrap()
    }

    fn showing(width_px: u16, height_px: u16) -> Showing {
        Showing { width_px, height_px, raw: RawForm::Rgba, decodes: Decodes::default() }
    }

    fn due(picture: Picture, form: Form, showing: Showing) -> Due {
        Due { line_id: 1, line: Arc::new(NoLine), picture, rtp: 9, form, showing, sequence: 7 }
    }

    #[test]
    fn a_picture_is_never_enlarged_and_always_large_enough_for_its_place() {
        for (frame, place, wanted) in [
            ((1280, 720), (640, 360), (640, 360)),
            ((1280, 720), (4000, 4000), (1280, 720)),
            ((1280, 720), (320, 640), (1138, 640)),
            ((640, 480), (101, 1), (102, 76)),
            ((4096, 2), (1, 1), (2048, 2)),
            ((2, 4096), (1, 1), (2, 2048)),
            ((2, 2), (u16::MAX, u16::MAX), (2, 2)),
            ((4096, 4096), (1, 1), (2, 2)),
        ] {
            let frame = grey(frame.0, frame.1);
            assert_eq!(shown_size(&frame, showing(place.0, place.1)), wanted, "{frame:?} at {place:?}");
        }
    }

    #[test]
    fn a_raw_picture_comes_scaled_in_the_form_that_is_wanted() {
        let mut maker = MessageMaker::default();
        let rgba = maker.make(&due(Picture::Raw(grey(640, 360)), Form::Rgba, showing(320, 180))).unwrap();
        let header = Header { form: Form::Rgba, key: true, width: 320, height: 180, sequence: 7, rtp: 9 };
        assert_eq!(rgba[..HEADER_LEN], header.to_bytes());
        assert_eq!(rgba.len(), HEADER_LEN + 320 * 180 * 4);
        assert!(rgba[HEADER_LEN..].chunks_exact(4).all(|pixel| pixel == [130, 130, 130, 255]));
        let i420 = maker.make(&due(Picture::Raw(grey(640, 360)), Form::I420, showing(320, 180))).unwrap();
        assert_eq!(i420[..HEADER_LEN], Header { form: Form::I420, ..header }.to_bytes());
        assert_eq!(i420[HEADER_LEN..], [128; 320 * 180 * 3 / 2]);
    }

    #[test]
    fn an_encoded_picture_is_handed_on_as_it_is() {
        let form = Form::Encoded(VideoCodec::Vp8);
        let picture = Picture::Encoded { codec: VideoCodec::Vp8, key: false, data: vec![5; 99] };
        let message = MessageMaker::default().make(&due(picture, form, showing(320, 180))).unwrap();
        let header = Header { form, key: false, width: 0, height: 0, sequence: 7, rtp: 9 };
        assert_eq!(message[..HEADER_LEN], header.to_bytes());
        assert_eq!(message[HEADER_LEN..], [5; 99]);
    }

    #[test]
    fn memory_is_used_again_once_the_line_is_done_with_it() {
        let mut maker = MessageMaker::default();
        let due = due(Picture::Raw(grey(64, 64)), Form::Rgba, showing(64, 64));
        let held = maker.make(&due).unwrap();
        let places: Vec<_> = (0..20).map(|_| maker.make(&due).unwrap().as_ptr()).collect();
        assert!(!places.contains(&held.as_ptr()), "a message that is still on its way was written over");
        let mut later: Vec<_> = places[10..].to_vec();
        later.sort_unstable();
        later.dedup();
        assert_eq!(later.len(), BUFFERS, "of {places:?}");
    }
}
