//! What goes between the program and the page's pictures, whichever way it goes. `ui/src/video/wire.ts` is the other half.
//!
//! The program sends one binary message a picture: a header of 16 bytes, its numbers in network byte order, and the picture.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 1 | 0xAF |
//! | 1 | 1 | the version of this format, 1 |
//! | 2 | 1 | the form: 0 RGBA, 1 I420, 2 VP8, 3 H.264 (Annex B) |
//! | 3 | 1 | bit 0: a key frame, from which a decoder may begin |
//! | 4 | 2 | width in pixels; 0 where the codec's data says it |
//! | 6 | 2 | height in pixels, likewise |
//! | 8 | 4 | number of the picture on this line; the page names it when it has drawn it |
//! | 12 | 4 | the picture's RTP time stamp |
//!
//! The page sends JSON: a [`Hello`] first, then [`PageMessage`]s.

use ahoy_client::{PictureView, VideoCodec};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Longer messages of the page end its connection.
pub const PAGE_MESSAGE_MAX: usize = 1024;
/// Bytes before the picture.
pub const HEADER_LEN: usize = 16;

const MAGIC: u8 = 0xAF;
const VERSION: u8 = 1;
const KEY: u8 = 1;

/// What stands before a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How to read the bytes that follow.
    pub form: Form,
    /// A decoder may begin here. Raw pictures stand alone as well.
    pub key: bool,
    /// Pixels, 0 for an encoded picture.
    pub width: u16,
    /// Pixels, 0 for an encoded picture.
    pub height: u16,
    /// Counts the pictures of a line.
    pub sequence: u32,
    /// The RTP time stamp.
    pub rtp: u32,
}

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Four bytes a pixel, rows packed.
    Rgba,
    /// The planes Y, U and V, rows packed; BT.601, video range.
    I420,
    /// As it came over the network, for the page to decode.
    Encoded(VideoCodec),
}

impl Header {
    /// As it stands before the picture.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let form = match self.form {
            Form::Rgba => 0,
            Form::I420 => 1,
            Form::Encoded(VideoCodec::Vp8) => 2,
            Form::Encoded(VideoCodec::H264) => 3,
        };
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&[MAGIC, VERSION, form, if self.key { KEY } else { 0 }]);
        bytes[4..6].copy_from_slice(&self.width.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.height.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[12..].copy_from_slice(&self.rtp.to_be_bytes());
        bytes
    }
}

/// The first word of a page over the socket.
#[derive(Debug, Deserialize, TS)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hello {
    /// What the program gave the page to prove itself with.
    pub token: String,
    /// Which pictures it wants.
    pub view: View,
    /// How.
    pub showing: Showing,
}

/// What a page says after that.
#[derive(Debug, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum PageMessage {
    /// It shows its pictures differently now.
    Showing {
        /// How.
        showing: Showing,
    },
    /// A picture is drawn: there is room for another.
    Drawn {
        /// The number in its header.
        sequence: u32,
    },
    /// A picture will never be drawn: there is room for another.
    Skipped {
        /// The number in its header.
        sequence: u32,
    },
    /// Its decoder cannot go on without a key frame.
    KeyFrameWanted,
}

/// How a page shows a view's pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Showing {
    /// Width of the place on the screen, in pixels of the screen; 0 while nobody can see it.
    pub width_px: u16,
    /// Height of the place, likewise.
    pub height_px: u16,
    /// What it draws faster, where pictures are not encoded.
    pub raw: RawForm,
    /// What it decodes by itself.
    pub decodes: Decodes,
}

/// A form of a picture that is not encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum RawForm {
    /// [`Form::Rgba`].
    Rgba,
    /// [`Form::I420`].
    I420,
}

/// Which codecs a page decodes by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decodes {
    /// VP8.
    pub vp8: bool,
    /// H.264, constrained baseline.
    pub h264: bool,
}

impl Decodes {
    /// Whether this codec is among them.
    pub fn has(self, codec: VideoCodec) -> bool {
        match codec {
            VideoCodec::Vp8 => self.vp8,
            VideoCodec::H264 => self.h264,
        }
    }
}

/// Whose pictures. [`PictureView`] as the page says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum View {
    /// This side's camera.
    Local,
    /// The other side's.
    Remote,
}

impl From<View> for PictureView {
    fn from(view: View) -> Self {
        match view {
            View::Local => Self::Local,
            View::Remote => Self::Remote,
        }
    }
}

impl From<PictureView> for View {
    fn from(view: PictureView) -> Self {
        match view {
            PictureView::Local => Self::Local,
            PictureView::Remote => Self::Remote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The same bytes and values stand in the page's test of `wire.ts`.
    #[test]
    fn a_header_is_written_as_the_page_reads_it() {
        let header =
            Header { form: Form::I420, key: true, width: 1280, height: 720, sequence: 0x0102_0304, rtp: 0xfffe_fdfc };
        let bytes = [0xaf, 1, 1, 1, 0x05, 0x00, 0x02, 0xd0, 1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc];
        assert_eq!(header.to_bytes(), bytes);
        for (form, written) in
            [(Form::Rgba, 0), (Form::Encoded(VideoCodec::Vp8), 2), (Form::Encoded(VideoCodec::H264), 3)]
        {
            let bytes = Header { form, key: false, ..header }.to_bytes();
            assert_eq!(bytes[2..4], [written, 0]);
        }
    }

    #[test]
    fn what_the_page_writes_is_read() {
        let hello = r#"{"token":"ab","view":"remote","showing":
            {"widthPx":640,"heightPx":360,"raw":"i420","decodes":{"vp8":true,"h264":false}}}"#;
        let hello: Hello = serde_json::from_str(hello).unwrap();
        assert_eq!((hello.token.as_str(), hello.view), ("ab", View::Remote));
        let decodes = Decodes { vp8: true, h264: false };
        assert_eq!(hello.showing, Showing { width_px: 640, height_px: 360, raw: RawForm::I420, decodes });
        let drawn = serde_json::from_str(r#"{"kind":"drawn","sequence":4294967295}"#).unwrap();
        assert!(matches!(drawn, PageMessage::Drawn { sequence: u32::MAX }));
        let wanted = serde_json::from_str(r#"{"kind":"keyFrameWanted"}"#).unwrap();
        assert!(matches!(wanted, PageMessage::KeyFrameWanted));
    }

    #[test]
    fn what_is_not_in_the_format_is_refused() {
        for message in [
            r#"{"kind":"drawn"}"#,
            r#"{"kind":"drawn","sequence":-1}"#,
            r#"{"kind":"drawn","sequence":4294967296}"#,
            r#"{"kind":"drawn","sequence":1,"more":1}"#,
            r#"{"kind":"showing","showing":{"widthPx":65536,"heightPx":1,"raw":"rgba","decodes":{"vp8":false,"h264":false}}}"#,
            r#"{"kind":"showing","showing":{"widthPx":1,"heightPx":1,"raw":"rgb","decodes":{"vp8":false,"h264":false}}}"#,
            r#"{"kind":"other"}"#,
            "",
            "[]",
        ] {
            assert!(serde_json::from_str::<PageMessage>(message).is_err(), "{message}");
        }
    }
}
