//! What stands in for a screen: every picture is decoded, nobody sees it, and the other side may be told how large.

use ahoy_client::{FrameSink, PictureForm, PictureView, Shown, ShownPicture, VideoCodec};

/// A screen that shows the other side's picture at a size that does not change.
#[derive(Debug)]
pub(crate) struct Screen {
    shown: Option<Shown>,
}

impl Screen {
    /// Without a size the other side is told none.
    pub(crate) fn new(shown: Option<Shown>) -> Self {
        Self { shown }
    }
}

impl FrameSink for Screen {
    fn form(&self, _: PictureView, _: Option<VideoCodec>) -> PictureForm {
        PictureForm::Raw
    }

    fn shown(&self, view: PictureView) -> Option<Shown> {
        match view {
            PictureView::Local => None,
            PictureView::Remote => self.shown,
        }
    }

    fn show(&self, _: ShownPicture) {}
}
