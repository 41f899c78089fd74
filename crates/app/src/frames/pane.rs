//! What one view may send and when, as rules without clock, thread or socket: two raw pictures on their way at most and the
//! newest wins; encoded ones, of which each needs the one before, in order or not at all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_client::{Picture, PictureForm, Shown, ShownPicture, VideoCodec};
use bytes::Bytes;

use super::line::{Line, LineClosed};
use super::options::WantedForm;
use super::wire::{Form, RawForm, Showing};

/// With one the page would idle while the next is made; more only wait in front of it, and cost memory.
const RAW_IN_FLIGHT: usize = 2;
/// A quarter of a second at 30 a second: what a busy page may be late before the sender has to begin anew.
const ENCODED_IN_FLIGHT: usize = 8;
/// As many again on this side.
const ENCODED_WAITING: usize = 8;
/// A page that answers nothing for so long is hung or stopped. It comes back by itself.
const STALLED: Duration = Duration::from_secs(10);

/// One view: the page that looks at it, and what that page is to see.
pub(super) struct Pane {
    wanted: WantedForm,
    page: Option<Page>,
    /// One raw picture or some encoded ones.
    waiting: VecDeque<Waiting>,
}

/// Who looks.
struct Page {
    line_id: u32,
    line: Arc<dyn Line>,
    showing: Showing,
    in_flight: VecDeque<InFlight>,
    next_sequence: u32,
    /// Encoded pictures make no sense before the next key frame.
    key_frame_wanted: bool,
}

struct Waiting {
    picture: ShownPicture,
    given_at: Instant,
}

/// A picture that the page has not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InFlight {
    sequence: u32,
    sent_at: Instant,
    pub(super) rtp: u32,
    pub(super) captured_at: Option<Instant>,
    /// When it was handed over for showing.
    pub(super) given_at: Instant,
}

/// A picture to be sent now.
pub(super) struct Due {
    pub(super) line_id: u32,
    pub(super) line: Arc<dyn Line>,
    pub(super) picture: Picture,
    pub(super) rtp: u32,
    pub(super) form: Form,
    pub(super) showing: Showing,
    pub(super) sequence: u32,
}

impl Due {
    pub(super) fn send(&self, message: Bytes) -> Result<(), LineClosed> {
        self.line.send(message)
    }
}

impl Pane {
    pub(super) fn new(wanted: WantedForm) -> Self {
        Self { wanted, page: None, waiting: VecDeque::new() }
    }

    /// A page begins to look; one that looked before does so no longer.
    pub(super) fn open(&mut self, line_id: u32, line: Arc<dyn Line>, showing: Showing) {
        self.waiting.clear();
        let in_flight = VecDeque::new();
        self.page = Some(Page { line_id, line, showing, in_flight, next_sequence: 0, key_frame_wanted: true });
    }

    /// A page is gone. Nothing happens if it was replaced before.
    pub(super) fn close(&mut self, line_id: u32) {
        if self.page_of(line_id).is_ok() {
            self.page = None;
            self.waiting.clear();
        }
    }

    pub(super) fn set_showing(&mut self, line_id: u32, showing: Showing) -> Result<(), LineClosed> {
        let page = self.page_of(line_id)?;
        page.showing = showing;
        if hidden(showing) {
            page.key_frame_wanted = true;
            self.waiting.clear();
        }
        Ok(())
    }

    /// The page is done with a picture. Gives what is known of it, unless it was never sent or answered before.
    pub(super) fn answered(&mut self, line_id: u32, sequence: u32) -> Result<Option<InFlight>, LineClosed> {
        let in_flight = &mut self.page_of(line_id)?.in_flight;
        let place = in_flight.iter().position(|sent| sent.sequence == sequence);
        Ok(place.and_then(|place| in_flight.remove(place)))
    }

    pub(super) fn want_key_frame(&mut self, line_id: u32) -> Result<(), LineClosed> {
        self.page_of(line_id)?.key_frame_wanted = true;
        self.waiting.clear();
        Ok(())
    }

    /// In which form the next picture is of use. `codec`: the one it can be had in without being decoded.
    pub(super) fn form(&self, codec: Option<VideoCodec>) -> PictureForm {
        let Some(page) = self.page.as_ref().filter(|page| !hidden(page.showing)) else { return PictureForm::Nothing };
        match codec {
            Some(codec) if takes_encoded(self.wanted, page.showing, codec) => {
                PictureForm::Encoded { key_frame_wanted: page.key_frame_wanted }
            }
            Some(_) | None => PictureForm::Raw,
        }
    }

    /// The place in which pictures are shown now.
    pub(super) fn shown(&self) -> Shown {
        let showing = self.page.as_ref().map(|page| page.showing);
        showing.map_or(Shown::NOT_AT_ALL, |Showing { width_px, height_px, .. }| Shown {
            width: width_px,
            height: height_px,
        })
    }

    /// Takes a picture, or not. Whether there is something to send now is asked with [`Self::take`].
    pub(super) fn put(&mut self, picture: ShownPicture, now: Instant) {
        if self.page.as_ref().is_some_and(|page| page.stalled(now)) {
            tracing::warn!("the page answers no picture; it gets no more until it comes back");
            self.page = None;
            self.waiting.clear();
        }
        let Some(page) = self.page.as_mut().filter(|page| !hidden(page.showing)) else { return };
        match &picture.picture {
            Picture::Raw(_) => {
                self.waiting.clear();
                // A decoder that missed a picture cannot go on with the next.
                page.key_frame_wanted = true;
            }
            Picture::Encoded { codec, .. } if !takes_encoded(self.wanted, page.showing, *codec) => return,
            Picture::Encoded { key: true, .. } => {
                self.waiting.clear();
                page.key_frame_wanted = false;
            }
            Picture::Encoded { key: false, .. } if page.key_frame_wanted => return,
            Picture::Encoded { key: false, .. } if self.waiting.len() >= ENCODED_WAITING => {
                self.waiting.clear();
                page.key_frame_wanted = true;
                return;
            }
            Picture::Encoded { key: false, .. } => {}
        }
        self.waiting.push_back(Waiting { picture, given_at: now });
    }

    /// What is to be sent now. It counts as sent.
    pub(super) fn take(&mut self, now: Instant) -> Option<Due> {
        let page = self.page.as_mut()?;
        let limit = match &self.waiting.front()?.picture.picture {
            Picture::Raw(_) => RAW_IN_FLIGHT,
            Picture::Encoded { .. } => ENCODED_IN_FLIGHT,
        };
        if page.in_flight.len() >= limit {
            return None;
        }
        let Waiting { picture: shown, given_at } = self.waiting.pop_front()?;
        let sequence = page.next_sequence;
        page.next_sequence = sequence.wrapping_add(1);
        let (rtp, captured_at) = (shown.rtp, shown.captured_at);
        page.in_flight.push_back(InFlight { sequence, sent_at: now, rtp, captured_at, given_at });
        Some(Due {
            line_id: page.line_id,
            line: Arc::clone(&page.line),
            form: written_as(self.wanted, page.showing, &shown.picture),
            picture: shown.picture,
            rtp,
            showing: page.showing,
            sequence,
        })
    }

    fn page_of(&mut self, line_id: u32) -> Result<&mut Page, LineClosed> {
        self.page.as_mut().filter(|page| page.line_id == line_id).ok_or(LineClosed)
    }
}

impl Page {
    fn stalled(&self, now: Instant) -> bool {
        self.in_flight.front().is_some_and(|oldest| now.saturating_duration_since(oldest.sent_at) > STALLED)
    }
}

fn hidden(showing: Showing) -> bool {
    showing.width_px == 0 || showing.height_px == 0
}

fn takes_encoded(wanted: WantedForm, showing: Showing, codec: VideoCodec) -> bool {
    match wanted {
        WantedForm::Cheapest | WantedForm::Encoded => showing.decodes.has(codec),
        WantedForm::Rgba | WantedForm::I420 => false,
    }
}

fn written_as(wanted: WantedForm, showing: Showing, picture: &Picture) -> Form {
    match (picture, wanted, showing.raw) {
        (Picture::Encoded { codec, .. }, _, _) => Form::Encoded(*codec),
        (Picture::Raw(_), WantedForm::Rgba, _) => Form::Rgba,
        (Picture::Raw(_), WantedForm::I420, _) => Form::I420,
        (Picture::Raw(_), WantedForm::Cheapest | WantedForm::Encoded, RawForm::Rgba) => Form::Rgba,
        (Picture::Raw(_), WantedForm::Cheapest | WantedForm::Encoded, RawForm::I420) => Form::I420,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Decodes;
    use super::*;
    use ahoy_client::{PictureView, VideoFrame};

    struct NoLine;

    impl Line for NoLine {
        fn send(&self, _: Bytes) -> Result<(), LineClosed> {
            Ok(())
        }
    }

    const VP8: Option<VideoCodec> = Some(VideoCodec::Vp8);
    const SHOWING: Showing =
        Showing { width_px: 640, height_px: 360, raw: RawForm::Rgba, decodes: Decodes { vp8: true, h264: false } };

    fn watched(wanted: WantedForm) -> Pane {
        let mut pane = Pane::new(wanted);
        pane.open(1, Arc::new(NoLine), SHOWING);
        pane
    }

    fn raw(rtp: u32) -> ShownPicture {
        let frame = VideoFrame::new(2, 2, vec![128; 6]).unwrap();
        ShownPicture { view: PictureView::Remote, rtp, captured_at: None, picture: Picture::Raw(frame) }
    }

    fn encoded(rtp: u32, key: bool) -> ShownPicture {
        let picture = Picture::Encoded { codec: VideoCodec::Vp8, key, data: vec![0; 10] };
        ShownPicture { view: PictureView::Remote, rtp, captured_at: None, picture }
    }

    fn rtps(pane: &mut Pane) -> Vec<u32> {
        std::iter::from_fn(|| pane.take(Instant::now()).map(|due| due.rtp)).collect()
    }

    #[test]
    fn two_raw_pictures_are_on_their_way_at_most_and_the_newest_wins() {
        let mut pane = watched(WantedForm::Rgba);
        let now = Instant::now();
        pane.put(raw(1), now);
        assert_eq!(rtps(&mut pane), [1]);
        pane.put(raw(2), now);
        assert_eq!(rtps(&mut pane), [2]);
        for rtp in 3..=9 {
            pane.put(raw(rtp), now);
            assert_eq!(rtps(&mut pane), [0; 0]);
        }
        let first = pane.answered(1, 0).unwrap().unwrap();
        assert_eq!((first.rtp, first.given_at), (1, now));
        assert_eq!(rtps(&mut pane), [9]);
        assert_eq!(pane.answered(1, 0), Ok(None), "answered before");
        assert_eq!(pane.answered(1, 77), Ok(None), "never sent");
        assert_eq!(rtps(&mut pane), [0; 0]);
    }

    #[test]
    fn nothing_is_asked_for_while_nobody_looks() {
        let mut pane = Pane::new(WantedForm::Cheapest);
        assert_eq!(pane.form(VP8), PictureForm::Nothing);
        pane.put(raw(1), Instant::now());
        pane.open(1, Arc::new(NoLine), SHOWING);
        assert_eq!(rtps(&mut pane), [0; 0], "a picture from before the page came");
        pane.put(raw(2), Instant::now());
        pane.set_showing(1, Showing { width_px: 0, ..SHOWING }).unwrap();
        pane.put(raw(3), Instant::now());
        assert_eq!(pane.form(VP8), PictureForm::Nothing);
        assert_eq!(rtps(&mut pane), [0; 0]);
        pane.set_showing(1, SHOWING).unwrap();
        pane.put(encoded(4, false), Instant::now());
        assert_eq!(rtps(&mut pane), [0; 0], "it lacks what came while the page was hidden");
    }

    #[test]
    fn how_large_it_is_shown_is_what_the_page_said_last() {
        let mut pane = Pane::new(WantedForm::Cheapest);
        assert_eq!(pane.shown(), Shown::NOT_AT_ALL);
        pane.open(1, Arc::new(NoLine), SHOWING);
        assert_eq!(pane.shown(), Shown { width: 640, height: 360 });
        pane.set_showing(1, Showing { width_px: 1920, ..SHOWING }).unwrap();
        assert_eq!(pane.shown(), Shown { width: 1920, height: 360 });
        pane.set_showing(1, Showing { width_px: 0, ..SHOWING }).unwrap();
        assert!(!pane.shown().is_seen());
        pane.open(2, Arc::new(NoLine), SHOWING);
        pane.close(2);
        assert_eq!(pane.shown(), Shown::NOT_AT_ALL);
    }

    #[test]
    fn pictures_come_encoded_where_the_page_has_the_codec_and_nobody_wants_them_raw() {
        let mut pane = watched(WantedForm::Cheapest);
        assert_eq!(pane.form(VP8), PictureForm::Encoded { key_frame_wanted: true });
        assert_eq!(pane.form(Some(VideoCodec::H264)), PictureForm::Raw);
        assert_eq!(pane.form(None), PictureForm::Raw);
        pane.set_showing(1, Showing { decodes: Decodes::default(), ..SHOWING }).unwrap();
        assert_eq!(pane.form(VP8), PictureForm::Raw);
        pane.put(encoded(1, true), Instant::now());
        assert_eq!(rtps(&mut pane), [0; 0], "a picture that was asked for before the page gave up decoding");
        assert_eq!(watched(WantedForm::Rgba).form(VP8), PictureForm::Raw);
        assert_eq!(watched(WantedForm::I420).form(VP8), PictureForm::Raw);
    }

    #[test]
    fn raw_pictures_are_written_as_the_page_draws_them_or_as_was_wanted() {
        for (wanted, raw_form, written) in [
            (WantedForm::Cheapest, RawForm::Rgba, Form::Rgba),
            (WantedForm::Cheapest, RawForm::I420, Form::I420),
            (WantedForm::Encoded, RawForm::I420, Form::I420),
            (WantedForm::Rgba, RawForm::I420, Form::Rgba),
            (WantedForm::I420, RawForm::Rgba, Form::I420),
        ] {
            let mut pane = watched(wanted);
            pane.set_showing(1, Showing { raw: raw_form, ..SHOWING }).unwrap();
            pane.put(raw(1), Instant::now());
            assert_eq!(pane.take(Instant::now()).unwrap().form, written, "{wanted:?} {raw_form:?}");
        }
    }

    #[test]
    fn encoded_pictures_begin_with_a_key_frame_and_keep_their_order() {
        let mut pane = watched(WantedForm::Cheapest);
        for (rtp, key) in [(1, false), (2, true), (3, false), (4, false)] {
            pane.put(encoded(rtp, key), Instant::now());
        }
        assert_eq!(pane.form(VP8), PictureForm::Encoded { key_frame_wanted: false });
        assert_eq!(rtps(&mut pane), [2, 3, 4]);
        pane.want_key_frame(1).unwrap();
        pane.put(encoded(5, false), Instant::now());
        assert_eq!(pane.form(VP8), PictureForm::Encoded { key_frame_wanted: true });
        pane.put(encoded(6, true), Instant::now());
        assert_eq!(rtps(&mut pane), [6]);
    }

    #[test]
    fn a_page_that_falls_behind_goes_on_at_a_key_frame_and_nothing_piles_up() {
        let mut pane = watched(WantedForm::Cheapest);
        pane.put(encoded(0, true), Instant::now());
        let mut sent = rtps(&mut pane);
        for rtp in 1..1000 {
            pane.put(encoded(rtp, false), Instant::now());
            sent.extend(rtps(&mut pane));
            assert!(pane.waiting.len() <= ENCODED_WAITING);
        }
        assert_eq!(sent, (0..ENCODED_IN_FLIGHT as u32).collect::<Vec<_>>(), "what came in order, and no more");
        assert_eq!(pane.form(VP8), PictureForm::Encoded { key_frame_wanted: true });
        for sequence in 0..ENCODED_IN_FLIGHT as u32 {
            pane.answered(1, sequence).unwrap().unwrap();
        }
        pane.put(encoded(1000, false), Instant::now());
        assert_eq!(rtps(&mut pane), [0; 0]);
        pane.put(encoded(1001, true), Instant::now());
        assert_eq!(rtps(&mut pane), [1001]);
    }

    #[test]
    fn a_raw_picture_between_encoded_ones_needs_a_key_frame_after_it() {
        let mut pane = watched(WantedForm::Cheapest);
        pane.put(encoded(1, true), Instant::now());
        pane.put(raw(2), Instant::now());
        pane.put(encoded(3, false), Instant::now());
        assert_eq!(rtps(&mut pane), [2]);
    }

    #[test]
    fn a_new_page_takes_the_view_and_the_old_one_is_told_so() {
        let mut pane = watched(WantedForm::Cheapest);
        pane.put(encoded(1, true), Instant::now());
        assert_eq!(rtps(&mut pane), [1]);
        let old = Arc::downgrade(&pane.page.as_ref().unwrap().line);
        pane.open(2, Arc::new(NoLine), SHOWING);
        assert!(old.upgrade().is_none(), "its line is dropped");
        assert_eq!(pane.answered(1, 0), Err(LineClosed));
        pane.close(1);
        assert_eq!(pane.form(VP8), PictureForm::Encoded { key_frame_wanted: true }, "the new page has seen nothing");
        pane.close(2);
        assert_eq!(pane.form(VP8), PictureForm::Nothing);
    }

    #[test]
    fn a_page_that_never_answers_is_given_up() {
        let mut pane = watched(WantedForm::Rgba);
        let began = Instant::now();
        pane.put(raw(1), began);
        pane.take(began).unwrap();
        pane.put(raw(2), began + STALLED);
        assert_eq!(pane.form(None), PictureForm::Raw);
        pane.put(raw(3), began + STALLED + Duration::from_millis(1));
        assert_eq!(pane.form(None), PictureForm::Nothing);
        assert_eq!(pane.answered(1, 0), Err(LineClosed));
    }
}
