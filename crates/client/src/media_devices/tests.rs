//! The devices as their owner and a call see them, with the test pattern as camera and the tone as microphone: both are
//! opened and run like real ones.

use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ahoy_call::Gate;
use ahoy_media::VideoFrame;
use ahoy_media::pattern::TestPattern;
use ahoy_protocol::control::Sending;
use ahoy_transport::VideoCodec;

use super::*;
use crate::frame_sink::{Picture, PictureForm, PictureView, ShownPicture};

const DEADLINE: Duration = Duration::from_secs(20);
const OPEN: Gate = Gate { send: Sending { audio: true, video: true, screen: false }, play: true };

/// Sees all pictures and keeps of each whether it was the first since the camera was opened.
struct Eye {
    first: VideoFrame,
    seen: Mutex<Vec<(u32, bool)>>,
}

impl Eye {
    fn new() -> Arc<Self> {
        Arc::new(Self { first: TestPattern::new().frame(0), seen: Mutex::default() })
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// How often the camera was opened.
    fn openings(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|(_, first)| *first).count()
    }

    fn wait_for_more(&self, pictures: usize) {
        let enough = self.count() + pictures;
        wait_until("pictures", || self.count() >= enough);
    }

    fn wait_for_the_last(&self) {
        let mut last = (self.count(), Instant::now());
        wait_until("the camera to be closed", || {
            if self.count() != last.0 {
                last = (self.count(), Instant::now());
            }
            last.1.elapsed() > Duration::from_millis(400)
        });
    }
}

impl FrameSink for Eye {
    fn form(&self, view: PictureView, codec: Option<VideoCodec>) -> PictureForm {
        assert_eq!((view, codec), (PictureView::Local, None));
        PictureForm::Raw
    }

    fn show(&self, shown: ShownPicture) {
        let Picture::Raw(frame) = shown.picture else { panic!("a camera has no coded pictures") };
        self.seen.lock().unwrap().push((shown.rtp, frame == self.first));
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "waited in vain for {what}");
        sleep(Duration::from_millis(10));
    }
}

fn pattern_and_tone() -> ChosenDevices {
    ChosenDevices { camera: SourceSpec::Pattern, microphone: SourceSpec::Tone, speaker: SinkSpec::None }
}

fn call_id(byte: u8) -> CallId {
    CallId::from_random_bytes([byte; 16])
}

#[test]
fn a_preview_shows_the_camera_and_how_loud_the_microphone_is_until_it_is_turned_off() {
    let eye = Eye::new();
    let devices = MediaDevices::new(pattern_and_tone(), Arc::<Eye>::clone(&eye));
    let levels = devices.levels();
    assert_eq!((eye.count(), levels.borrow().microphone), (0, 0.0));
    devices.set_preview(true);
    eye.wait_for_more(3);
    // A sine with an amplitude of 0.2.
    wait_until("the tone", || (levels.borrow().microphone - 0.141).abs() < 0.005);
    devices.set_preview(false);
    eye.wait_for_the_last();
    wait_until("silence", || *levels.borrow() == Levels::default());
    devices.set_preview(true);
    eye.wait_for_more(1);
    assert_eq!(eye.openings(), 2);
}

#[test]
fn a_call_gets_the_camera_open_and_decides_until_it_is_over() {
    let eye = Eye::new();
    let devices = MediaDevices::new(pattern_and_tone(), Arc::<Eye>::clone(&eye));
    devices.set_preview(true);
    eye.wait_for_more(3);
    let (_gate, open) = watch::channel(OPEN);
    let (call, input) = (devices.for_call(call_id(1)), PictureInput::behind(open, call_id(1)));
    call.follow(false, None);
    eye.wait_for_more(3);
    call.follow(true, Some(input.clone()));
    wait_until("pictures in the call", || input.captured() >= 5);
    assert_eq!(eye.openings(), 1, "the camera stayed open");
    call.follow(true, None);
    eye.wait_for_the_last();
    let sent = input.captured();
    devices.set_preview(true);
    eye.wait_for_the_last();
    drop(call);
    eye.wait_for_more(3);
    assert_eq!((eye.openings(), input.captured()), (2, sent), "the preview is back, and no business of the call's");
}

#[test]
fn pictures_reach_a_call_only_while_its_gate_is_open() {
    let eye = Eye::new();
    let devices = MediaDevices::new(pattern_and_tone(), Arc::<Eye>::clone(&eye));
    let (gate, shut) = watch::channel(Gate::SHUT);
    let (call, input) = (devices.for_call(call_id(1)), PictureInput::behind(shut, call_id(1)));
    call.follow(true, Some(input.clone()));
    eye.wait_for_more(5);
    assert_eq!(input.captured(), 0);
    gate.send_replace(OPEN);
    wait_until("pictures in the call", || input.captured() >= 3);
    gate.send_replace(Gate::SHUT);
    let sent = input.captured();
    eye.wait_for_more(5);
    assert!(input.captured() <= sent + 1, "the one that was under way");
}

#[test]
fn a_call_gets_the_microphone_open_and_another_one_does_not() {
    let devices = MediaDevices::new(pattern_and_tone(), Eye::new());
    let levels = devices.levels();
    devices.set_preview(true);
    wait_until("the tone", || levels.borrow().microphone > 0.1);
    let call = devices.for_call(call_id(1));
    let mut microphone = call.open_microphone(&SourceSpec::Tone).unwrap().unwrap();
    let mut block = [0.0; ahoy_media::BLOCK_SAMPLES];
    wait_until("sound", || microphone.read(&mut block));
    // The tone begins with silence; one that was heard before does not.
    assert!(block[0].abs() > 0.0);
    wait_until("silence", || *levels.borrow() == Levels::default());
    drop(call);
    wait_until("the tone", || levels.borrow().microphone > 0.1);
    assert!(devices.for_call(call_id(2)).open_microphone(&SourceSpec::None).unwrap().is_none());
}

#[test]
fn a_camera_that_fails_is_told_and_another_one_chosen_takes_its_place() {
    let eye = Eye::new();
    let missing = ChosenDevices { camera: SourceSpec::File("/nowhere/clip.y4m".into()), ..pattern_and_tone() };
    let devices = MediaDevices::new(missing, Arc::<Eye>::clone(&eye));
    let problems = devices.problems();
    devices.set_preview(true);
    wait_until("a problem", || !problems.borrow().is_empty());
    let DeviceProblem { kind, message } = problems.borrow()[0].clone();
    assert_eq!(kind, DeviceKind::Camera);
    assert!(message.contains("/nowhere/clip.y4m"), "{message}");
    devices.choose(pattern_and_tone());
    eye.wait_for_more(3);
    assert!(problems.borrow().is_empty());
    assert_eq!(devices.chosen(), pattern_and_tone());
}
