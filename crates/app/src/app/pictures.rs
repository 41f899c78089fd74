//! Notices when pictures begin to come, on their way to where they are shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ahoy_client::{FrameSink, PictureForm, PictureView, Shown, ShownPicture, VideoCodec};
use tokio::sync::mpsc;

use crate::state::Input;

/// Stands before the sink that shows pictures.
pub(crate) struct WatchedPictures {
    sink: Arc<dyn FrameSink>,
    inputs: mpsc::Sender<Input>,
    local: AtomicBool,
    remote: AtomicBool,
}

impl WatchedPictures {
    pub(crate) fn new(sink: Arc<dyn FrameSink>, inputs: mpsc::Sender<Input>) -> Self {
        Self { sink, inputs, local: AtomicBool::new(false), remote: AtomicBool::new(false) }
    }

    /// Tells of the next picture of this view, and of no later one.
    pub(crate) fn watch_for(&self, view: PictureView) {
        self.watched(view).store(true, Ordering::Relaxed);
    }

    fn watched(&self, view: PictureView) -> &AtomicBool {
        match view {
            PictureView::Local => &self.local,
            PictureView::Remote => &self.remote,
        }
    }
}

impl FrameSink for WatchedPictures {
    // Asked before each picture, also where the page shows none: it shows one only once it knows that they come.
    fn form(&self, view: PictureView, codec: Option<VideoCodec>) -> PictureForm {
        let watched = self.watched(view);
        if watched.load(Ordering::Relaxed) && self.inputs.try_send(Input::Picture(view)).is_ok() {
            watched.store(false, Ordering::Relaxed);
        }
        self.sink.form(view, codec)
    }

    fn shown(&self, view: PictureView) -> Option<Shown> {
        self.sink.shown(view)
    }

    fn show(&self, shown: ShownPicture) {
        self.sink.show(shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Blind;

    impl FrameSink for Blind {
        fn form(&self, _: PictureView, _: Option<VideoCodec>) -> PictureForm {
            PictureForm::Nothing
        }

        fn show(&self, _: ShownPicture) {}
    }

    #[test]
    fn the_first_picture_is_told_of_once_each_time_it_is_watched_for() {
        let (inputs, mut told) = mpsc::channel(8);
        let pictures = WatchedPictures::new(Arc::new(Blind), inputs);
        let picture = |view| assert_eq!(pictures.form(view, None), PictureForm::Nothing);
        picture(PictureView::Remote);
        assert!(told.try_recv().is_err(), "nobody asked");
        for _ in 0..2 {
            pictures.watch_for(PictureView::Remote);
            picture(PictureView::Local);
            picture(PictureView::Remote);
            picture(PictureView::Remote);
            assert!(matches!(told.try_recv(), Ok(Input::Picture(PictureView::Remote))));
            assert!(told.try_recv().is_err(), "once");
        }
    }
}
