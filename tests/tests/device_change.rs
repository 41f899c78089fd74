//! Other devices chosen while a call goes on: the other side sees and hears them, and the call is the same. These load
//! the machine, so they take turns.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ahoy_tests::harness::Server;
use ahoy_tests::harness::cli::{Cli, Running, file};
use ahoy_tests::harness::media::unpack;
use ahoy_tests::harness::pulse::Pulse;
use ahoy_tests::harness::speech::{self, Found};

/// What is more alike than this is the same speech; another's reaches 0.5.
const SURE: f32 = 0.6;

#[test]
fn another_microphone_chosen_in_a_call_is_what_the_other_side_hears() {
    let _turn = take_turn();
    let microphones = [
        "load-module module-null-sink sink_name=mic rate=48000 channels=1 sink_properties=device.description=MicFeed",
        "load-module module-null-sink sink_name=mic2 rate=48000 channels=1 sink_properties=device.description=MicFeed2",
        "load-module module-remap-source master=mic.monitor source_name=vmic source_properties=device.description=Mic",
        "load-module module-remap-source master=mic2.monitor source_name=vmic2 source_properties=device.description=Headset",
        "set-default-source vmic",
    ];
    let Some(pulse) = Pulse::start(&microphones) else { return };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let sources = unpack(folder.path());
    let server = Server::start();
    let (bob, alice) = (Cli::new(&server, "bob"), Cli::new(&server, "alice"));
    let heard = bob.file("heard.wav");
    let bob = bob.with("--speaker", &file(&heard));
    let alice = alice.with("--microphone", "default").and(&["--commands"]).with_environment(pulse.environment());
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob");
    calling.wait_for("connected");
    let _first = pulse.play("mic", &sources.plain.speech);
    wait_seconds(&calling, 5);
    calling.tell("use-microphone vmic2");
    let _second = pulse.play("mic2", &sources.turned.speech);
    wait_seconds(&calling, 6);
    calling.tell("hang-up");
    let said = calling.ends_with(0);
    assert_eq!(said, "", "nothing is to be complained of");
    answering.ends_with(0);
    let [before, after] = [&sources.plain, &sources.turned].map(|source| {
        let heard = speech::find(&speech::read_wav(&heard), &speech::read_wav(&source.speech));
        sure(heard)
    });
    println!("{before:?}, then {after:?}");
    assert!(before.len() >= 2 && after.len() >= 2, "of the first {before:?}, of the second {after:?}");
    assert!(before.last() < after.first(), "one after the other: {before:?}, {after:?}");
}

#[test]
fn another_speaker_and_camera_chosen_in_a_call_take_over() {
    let _turn = take_turn();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let sources = unpack(folder.path());
    let server = Server::start();
    let (bob, alice) = (Cli::new(&server, "bob"), Cli::new(&server, "alice"));
    let [first, second] = ["first.wav", "second.wav"].map(|name| bob.file(name));
    let bob = bob.with("--speaker", &file(&first)).and(&["--commands", "--frame-events"]);
    let speech = file(&sources.plain.speech);
    let alice = alice.with("--camera", "pattern").with("--microphone", &speech).and(&["--commands"]);
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob");
    assert_eq!(answering.wait_for("first_frame").number("width"), 1280);
    calling.tell("use-camera file:/nowhere/clip.y4m");
    let failed = calling.wait_for("media_failed");
    assert!(failed.text("message").contains("/nowhere/clip.y4m"), "{}", failed.text("message"));
    calling.tell(&format!("use-camera {}", file(&sources.plain.clip)));
    wait_for_width(&answering, 640);
    wait_seconds(&answering, 4);
    answering.tell(&format!("use-speaker {}", file(&second)));
    wait_seconds(&answering, 5);
    calling.tell("hang-up");
    calling.ends_with(0);
    answering.ends_with(0);
    assert_eq!(calling.all("connected").len(), 1, "it was one call");
    for heard in [&first, &second] {
        let found = sure(speech::find(&speech::read_wav(heard), &speech::read_wav(&sources.plain.speech)));
        assert!(!found.is_empty(), "nothing of the speech is in {}", heard.display());
    }
}

/// Where in the recording the speech is.
fn sure(found: Vec<Found>) -> Vec<usize> {
    found.into_iter().filter(|found| found.correlation > SURE).map(|found| found.recorded).collect()
}

/// Statistics come each second.
#[track_caller]
fn wait_seconds(running: &Running, seconds: usize) {
    let before = running.all("stats").len();
    running.wait_for_nth("stats", before + seconds);
}

#[track_caller]
fn wait_for_width(running: &Running, width: u64) {
    let mut shown = running.all("frame_shown").len();
    while running.wait_for_nth("frame_shown", shown).number("width") != width {
        shown += 1;
    }
}

fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
