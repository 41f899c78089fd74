//! Other devices while a call goes on, chosen by somebody, by the system or because one was unplugged: the other side sees
//! and hears them, and the call is the same. These load the machine, so they take turns.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahoy_tests::harness::Server;
use ahoy_tests::harness::cli::{Cli, Running, file};
use ahoy_tests::harness::media::{self, unpack};
use ahoy_tests::harness::pulse::Pulse;
use ahoy_tests::harness::speech::{self, Found};

/// What is more alike than this is the same speech; another's reaches 0.5.
const SURE: f32 = 0.6;

/// Two microphones: `vmic`, the default, and `vmic2` hear what is played to `mic` and `mic2`.
const MICROPHONES: [&str; 5] = [
    "load-module module-null-sink sink_name=mic rate=48000 channels=1 sink_properties=device.description=MicFeed",
    "load-module module-null-sink sink_name=mic2 rate=48000 channels=1 sink_properties=device.description=MicFeed2",
    "load-module module-remap-source master=mic.monitor source_name=vmic source_properties=device.description=Mic",
    "load-module module-remap-source master=mic2.monitor source_name=vmic2 source_properties=device.description=Headset",
    "set-default-source vmic",
];

#[test]
fn another_microphone_chosen_in_a_call_is_what_the_other_side_hears() {
    let change = |_: &Pulse, calling: &mut Running| calling.tell("use-microphone vmic2");
    let Some((said, _)) = hears_one_microphone_then_the_other("default", change) else { return };
    assert_eq!(said, "", "nothing is to be complained of");
}

#[test]
fn another_default_microphone_of_the_system_is_taken_in_a_call_without_a_word() {
    let change = |pulse: &Pulse, _: &mut Running| drop(pulse.ask(&["set-default-source", "vmic2"]));
    let Some((said, _)) = hears_one_microphone_then_the_other("default", change) else { return };
    assert_eq!(said, "", "nothing is to be complained of");
}

#[test]
fn a_microphone_that_is_unplugged_in_a_call_is_replaced_by_the_default_and_taken_back() {
    let change = |pulse: &Pulse, calling: &mut Running| {
        pulse.ask(&["set-default-source", "vmic2"]);
        let modules = pulse.ask(&["list", "short", "modules"]);
        let plugged = modules.lines().find(|line| line.contains("source_name=vmic ")).expect("it was loaded");
        pulse.unplug(plugged.split('\t').next().expect("a line has words"));
        calling.wait_for("device_changed");
    };
    let Some((said, told)) = hears_one_microphone_then_the_other("vmic", change) else { return };
    assert_eq!(told, ["\"Mic\" was unplugged; using \"Headset\" instead", "\"Mic\" is back"]);
    assert!(said.contains("\"Mic\" was unplugged"), "{said}");
}

/// Alice, with this microphone, calls bob, to whom she speaks by one and, after the change, by the other. In the end what
/// the change took away is there again. Gives what alice's program said, and what it told of devices.
#[track_caller]
fn hears_one_microphone_then_the_other(
    microphone: &str,
    change: impl FnOnce(&Pulse, &mut Running),
) -> Option<(String, Vec<String>)> {
    let _turn = take_turn();
    let stage = Stage::set(&MICROPHONES)?;
    let (bob, alice) = (Cli::new(&stage.server, "bob"), Cli::new(&stage.server, "alice"));
    let heard = bob.file("heard.wav");
    let bob = bob.with("--speaker", &file(&heard));
    let alice = alice.with("--microphone", microphone).and(&["--commands"]);
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.with_environment(stage.pulse.environment()).start("call bob");
    calling.wait_for("connected");
    let _first = stage.pulse.play("mic", &stage.speech[0]);
    wait_seconds(&calling, 6);
    change(&stage.pulse, &mut calling);
    let _second = stage.pulse.play("mic2", &stage.speech[1]);
    wait_seconds(&calling, 6);
    if !calling.all("device_changed").is_empty() {
        let (master, name) = ("master=mic.monitor", "source_name=vmic");
        let description = "source_properties=device.description=Mic";
        let again = ["load-module", "module-remap-source", master, name, description];
        stage.pulse.ask(&again);
        calling.wait_for_nth("device_changed", 1);
    }
    let told = calling.all("device_changed").iter().map(|event| event.text("message").to_owned()).collect();
    calling.tell("hang-up");
    let said = calling.ends_with(0);
    answering.ends_with(0);
    assert_eq!(calling.all("connected").len(), 1, "it was one call");
    let [before, after] = stage.speech.each_ref().map(|speech| find(&heard, speech));
    println!("{before:?}, then {after:?}");
    assert!(!before.is_empty() && !after.is_empty(), "of the first {before:?}, of the second {after:?}");
    assert!(before.last() < after.first(), "one after the other: {before:?}, {after:?}");
    Some((said, told))
}

#[test]
fn a_speaker_that_is_unplugged_in_a_call_is_replaced_and_taken_back_and_another_default_is_followed() {
    let _turn = take_turn();
    let Some(stage) = Stage::set(&[
        "load-module module-null-sink sink_name=desk rate=48000 channels=2 sink_properties=device.description=Desk",
        "load-module module-null-sink sink_name=tv rate=48000 channels=2 sink_properties=device.description=TV",
        "set-default-sink desk",
    ]) else {
        return;
    };
    let pulse = &stage.pulse;
    let headset = pulse.plug("headset", "Headset");
    pulse.ask(&["set-default-sink", "desk"]);
    let speech = file(&stage.speech[0]);
    let alice = Cli::new(&stage.server, "alice").with("--microphone", &speech).and(&["--commands"]);
    let bob = Cli::new(&stage.server, "bob").with("--speaker", "headset").with_environment(pulse.environment());
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob");
    answering.wait_for("connected");
    stage.assert_plays(&calling, "headset", "the one that was chosen");
    pulse.unplug(&headset);
    let told = answering.wait_for_nth("device_changed", 0);
    assert_eq!(told.text("message"), "\"Headset\" was unplugged; using \"Desk\" instead");
    stage.assert_plays(&calling, "desk", "the default instead");
    pulse.ask(&["set-default-sink", "tv"]);
    let told = answering.wait_for_nth("device_changed", 1);
    assert_eq!(told.text("message"), "\"headset\" is not connected; using \"TV\" instead");
    stage.assert_plays(&calling, "tv", "what is the default now");
    pulse.plug("headset", "Headset");
    assert_eq!(answering.wait_for_nth("device_changed", 2).text("message"), "\"Headset\" is back");
    stage.assert_plays(&calling, "headset", "the one that was chosen, again");
    calling.tell("hang-up");
    calling.ends_with(0);
    answering.ends_with(0);
    assert_eq!(answering.all("connected").len(), 1, "it was one call");
    assert!(answering.all("media_failed").is_empty(), "there was a speaker all the time");
}

#[test]
fn a_call_goes_through_devices_of_8_and_96_khz_one_and_eight_channels() {
    let _turn = take_turn();
    let Some(stage) = Stage::set(&[
        "load-module module-null-sink sink_name=phone format=s16le rate=8000 channels=1",
        "load-module module-null-sink sink_name=cinema format=s24le rate=96000 channels=8",
    ]) else {
        return;
    };
    let environment = stage.pulse.environment();
    let alice = Cli::new(&stage.server, "alice").with("--microphone", "phone.monitor").and(&["--commands"]);
    let bob = Cli::new(&stage.server, "bob").with("--speaker", "cinema").with_environment(environment.clone());
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.with_environment(environment).start("call bob");
    answering.wait_for("connected");
    let long = stage.folder.path().join("long.wav");
    speech::repeat(&stage.speech[0], &long, Duration::from_secs(120));
    let _speaking = stage.pulse.play("phone", &long);
    stage.assert_plays(&calling, "cinema", "what was said");
    calling.tell("hang-up");
    assert_eq!(calling.ends_with(0), "", "nothing is to be complained of");
    assert_eq!(answering.ends_with(0), "", "nothing is to be complained of");
}

#[test]
fn noise_suppression_is_switched_in_a_running_call() {
    /// Between noise that goes through, -30 dBFS, and what is left of it, 17 dB less.
    const LOUD: f32 = 0.0126;
    let _turn = take_turn();
    let Some(stage) = Stage::set(&MICROPHONES) else { return };
    let noise = stage.folder.path().join("noise.wav");
    let mut state = 1_u32;
    let samples: Vec<i16> = (0..48_000 * 90)
        .map(|_| {
            // Marsaglia's xorshift; ±1796 of 32768 at most is -30 dBFS in the mean.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state % 3593) as i16 - 1796
        })
        .collect();
    speech::write_wav(&noise, 48_000, &samples);
    let bob = Cli::new(&stage.server, "bob");
    let heard = bob.file("heard.wav");
    let mut answering = bob.with("--speaker", &file(&heard)).start_signed_in("answer");
    let alice = Cli::new(&stage.server, "alice").with("--microphone", "default").and(&["--commands"]);
    let alice = alice.with("--noise-suppression", "off").with_environment(stage.pulse.environment());
    let mut calling = alice.start("call bob");
    let _noise = stage.pulse.play("mic", &noise);
    calling.wait_for("connected");
    wait_seconds(&calling, 6);
    for switch in ["on", "off"] {
        calling.tell(&format!("noise-suppression {switch}"));
        wait_seconds(&calling, 6);
    }
    calling.tell("hang-up");
    assert_eq!(calling.ends_with(0), "", "nothing is to be complained of");
    answering.ends_with(0);
    let wav = hound::WavReader::open(&heard).expect("bob recorded");
    let samples: Vec<f32> =
        wav.into_samples::<i16>().map(|sample| f32::from(sample.expect("a whole file")) / 32768.0).collect();
    let halves: String =
        samples.chunks_exact(24_000).map(|half| if speech::rms(half) > LOUD { '#' } else { '.' }).collect();
    println!("{halves}");
    // Before the first sound there may be silence.
    let halves = halves.trim_matches('.');
    let quiet = halves.split('#').map(str::len).max().unwrap_or(0);
    assert!((6..=20).contains(&quiet), "quiet while it was on, for six seconds or so: {halves}");
    let (before, after) = halves.split_once(&".".repeat(quiet)).expect("it was found");
    let loud = [before, after].map(|part| part.matches('#').count());
    assert!(loud.iter().all(|halves| *halves >= 6), "loud before and after: {halves}");
}

/// What most of these need.
struct Stage {
    pulse: Pulse,
    folder: tempfile::TempDir,
    /// What alice says first, and then: it is other speech.
    speech: [PathBuf; 2],
    server: Server,
}

impl Stage {
    /// With these lines for the sound server; nothing where there is none.
    fn set(sound: &[&str]) -> Option<Self> {
        let pulse = Pulse::start(sound)?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let backwards = folder.path().join("backwards.wav");
        media::reverse(&media::speech(), &backwards);
        Some(Self { pulse, folder, speech: [media::speech(), backwards], server: Server::start() })
    }

    /// That the first speech is played to this sink now.
    #[track_caller]
    fn assert_plays(&self, calling: &Running, sink: &str, what: &str) {
        let path = self.folder.path().join(format!("{sink}.wav"));
        let mut recorder = self.pulse.record(sink, &path);
        wait_seconds(calling, 6);
        recorder.interrupt();
        recorder.wait(Duration::from_secs(20));
        let found = find(&path, &self.speech[0]);
        assert!(!found.is_empty(), "{sink} does not play {what}");
    }
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

/// Where in a recording this speech is.
fn find(recorded: &Path, speech: &Path) -> Vec<usize> {
    sure(speech::find(&speech::read_wav(recorded), &speech::read_wav(speech)))
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
