//! Other devices, chosen at the window during a call.

use std::path::Path;
use std::time::Duration;

use ahoy_tests::harness::camera::FakeCamera;
use ahoy_tests::harness::cli::{Running, file};
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::likeness::Clip;
use ahoy_tests::harness::media::Source;
use ahoy_tests::harness::pulse::Pulse;
use ahoy_tests::harness::window::{Opening, Window};
use ahoy_tests::harness::y4m::Recording;
use ahoy_tests::harness::{Server, speech};

use crate::people::{peer, sources, take_turn};

/// What the clip and the other one are alike in the worst case is 0.7.
const LEAST_SSIM: f64 = 0.85;
/// The filters against noise and echo change speech too: its best second has 0.84, that of other speech 0.6 at most.
const LEAST_CORRELATION: f32 = 0.65;

#[test]
fn another_camera_chosen_in_the_call_is_what_the_other_sees() {
    let _turn = take_turn();
    let Some(camera) = FakeCamera::new(&sources().turned.clip, "YUYV 640 480 30") else { return };
    let Some(desktop) = Desktop::start() else { return };
    let desktop = desktop.with_environment(camera.environment());
    let server = Server::start();
    let bob = peer(&server, "bob", &sources().turned);
    let recorded = bob.file("seen.y4m");
    let bob = bob.with("--display", &file(&recorded));
    let mut answering = bob.start_signed_in("answer");
    let plain = file(&sources().plain.clip);
    let opening = Opening::new(&desktop).and(&["--camera", &plain, "--microphone", "none", "--speaker", "none"]);
    let Some(alice) = opening.open("alice") else { return };
    begin(&alice, &server, &answering);
    choose(&alice, "Choose camera", "Fake Camera");
    pass_seconds(&answering, 4);
    end(&alice, &mut answering);

    let mut seen = Recording::open(&recorded);
    let [before, after] = [seen.pictures / 3, seen.pictures - 10].map(|number| seen.luma(number));
    let likeness = |picture: &[u8], clip: &Path| Clip::open(clip).find(picture, 640).ssim;
    let (before, after) = (likeness(&before, &sources().plain.clip), likeness(&after, &sources().turned.clip));
    assert!(before >= LEAST_SSIM && after >= LEAST_SSIM, "SSIM {before:.3} before, {after:.3} after");
}

#[test]
fn another_microphone_chosen_in_the_call_is_what_the_other_hears() {
    let _turn = take_turn();
    let sound = Pulse::start(&[
        "load-module module-null-sink sink_name=one rate=48000 channels=1 sink_properties=device.description=One",
        "load-module module-null-sink sink_name=two rate=48000 channels=1 sink_properties=device.description=Two",
        "load-module module-remap-source master=one.monitor source_name=desk source_properties=device.description=Desk",
        "load-module module-remap-source master=two.monitor source_name=headset source_properties=device.description=Headset",
        "set-default-source desk",
    ]);
    let Some(sound) = sound else { return };
    let Some(desktop) = Desktop::start() else { return };
    // Sound comes from where XDG_RUNTIME_DIR says, and HOME is of no matter.
    let desktop = desktop.with_environment(sound.environment());
    let server = Server::start();
    let bob = peer(&server, "bob", &sources().turned);
    let recorded = bob.file("heard.wav");
    let bob = bob.with("--speaker", &file(&recorded));
    let mut answering = bob.start_signed_in("answer");
    let opening = Opening::new(&desktop).and(&["--camera", "none", "--microphone", "default", "--speaker", "none"]);
    let Some(alice) = opening.open("alice") else { return };
    let voice = |sink, source: &Source| {
        let long = desktop.file(&format!("{sink}.wav"));
        speech::repeat(&source.speech, &long, Duration::from_secs(90));
        sound.play(sink, &long)
    };
    begin(&alice, &server, &answering);
    let _first = voice("one", &sources().plain);
    pass_seconds(&answering, 6);
    choose(&alice, "Choose microphone", "Headset");
    let _second = voice("two", &sources().turned);
    pass_seconds(&answering, 10);
    end(&alice, &mut answering);

    // The change takes a second on a busy machine, and its seconds are nobody's.
    let heard = speech::read_wav(&recorded);
    let early = &heard[..heard.len() - 11 * speech::RATE_HZ];
    let late = &heard[heard.len() - 7 * speech::RATE_HZ..];
    let best = |heard: &[f32], source: &Source| {
        let found = speech::find(heard, &speech::read_wav(&source.speech));
        found.iter().map(|found| found.correlation).fold(0.0, f32::max)
    };
    let (one, two) = (&sources().plain, &sources().turned);
    for (what, heard, said, not_said) in [("before", early, one, two), ("after", late, two, one)] {
        let (right, wrong) = (best(heard, said), best(heard, not_said));
        println!("{what}: {right:.2} with what was said, {wrong:.2} with the other");
        assert!(right >= LEAST_CORRELATION && right > wrong + 0.1, "{what}: {right:.2} with what was said, {wrong:.2}");
    }
}

/// Alice calls bob, and some seconds pass.
#[track_caller]
fn begin(alice: &Window, server: &Server, bob: &Running) {
    alice.sign_in(server);
    alice.call("bob");
    bob.wait_for("connected");
    pass_seconds(bob, 4);
}

#[track_caller]
fn choose(alice: &Window, menu: &str, device: &str) {
    alice.click(menu);
    alice.click_on("menuitemradio", device);
}

#[track_caller]
fn end(alice: &Window, bob: &mut Running) {
    alice.click("Hang up");
    bob.ends_with(0);
}

/// So many whole seconds at least: statistics come each second, the first of them after a part of one.
#[track_caller]
fn pass_seconds(running: &Running, seconds: usize) {
    running.wait_for_nth("stats", running.all("stats").len() + seconds);
}
