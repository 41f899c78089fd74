//! The kernel's own camera (vivid) and sound card (snd-aloop): real drivers below the code that opens real devices. They
//! are in a VM. One test boots it and runs all the others inside, which outside are ignored. What is slow in there is the
//! processor, not the clock: so nothing here asks how fast something was.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ahoy_tests::harness::cli::{Cli, Event, file};
use ahoy_tests::harness::process::Process;
use ahoy_tests::harness::programs::{self, program};
use ahoy_tests::harness::vm::Vm;
use ahoy_tests::harness::vm::inside::{Driver, set_controls, v4l2_ctl};
use ahoy_tests::harness::y4m::Recording;
use ahoy_tests::harness::{Server, skipped, speech};

/// For the VM from first to last; it takes a quarter of that on two free processors.
const WHOLE: Duration = Duration::from_secs(300);
/// For one step inside.
const STEP: Duration = Duration::from_secs(60);

/// Above this somebody speaks: a tenth of what the speech has in the mean.
const LOUD: f32 = 0.01;

const CAMERA: &str = "/dev/video0";
/// What goes out by the first comes in by the second.
const LOOPBACK: [&str; 2] = ["plughw:CARD=Loopback,DEV=0", "plughw:CARD=Loopback,DEV=1"];

#[test]
fn the_kernels_devices_work_in_a_vm() {
    let vm = match Vm::set_up(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm")) {
        Ok(vm) => vm,
        Err(why) => return skipped(why),
    };
    let own = std::env::current_exe().expect("a running program has a path");
    let tests = format!("'{}' --ignored --test-threads=1", own.display());
    let ended = vm.run(&format!("{} exec {tests}", programs::list()), WHOLE);
    let output = ended.output.join("\n");
    println!("{output}");
    assert_eq!(ended.code, Some(0), "the tests in the VM failed; its kernel said: {}", ended.console);
    assert!(!output.contains(" 0 passed"), "no test ran in the VM");
}

#[test]
#[ignore = "runs in the VM"]
fn cameras_come_and_go_with_their_driver() {
    let list = || {
        let mut probe = Process::start("probe", &mut Command::new(program("camera_probe")));
        assert!(probe.wait(STEP).success());
        probe.output()
    };
    let [first, second] = [0, 1].map(|number| format!("camera /dev/video{number} vivid-00{number}-vid-cap"));
    for cameras in [vec![], vec![first.clone()], vec![], vec![first, second]] {
        let _driver = (!cameras.is_empty()).then(|| Driver::cameras(cameras.len()));
        assert_eq!(list(), cameras);
    }
}

#[test]
#[ignore = "runs in the VM"]
fn pictures_are_what_the_driver_draws() {
    // 75 % colour bars and black, in video range (BT.601).
    const BARS: [u8; 8] = [180, 162, 131, 112, 84, 65, 35, 16];
    let _camera = Driver::cameras(1);
    // No text over them, and they walk to the right.
    set_controls("osd_text_mode=2,horizontal_movement=6");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("seen.y4m");
    let mut probe = Process::start("probe", Command::new(program("camera_probe")).args([CAMERA, "30"]).arg(&path));
    assert!(probe.wait(STEP).success());
    let mut recording = Recording::open(&path);
    // Of its sizes the largest that is fluent; its larger ones have ten pictures a second and fewer.
    assert_eq!((recording.width, recording.height, recording.rate), (640, 480, 25.0));
    let mut places = Vec::new();
    for number in 0..recording.pictures {
        let picture = recording.luma(number);
        let rows: Vec<&[u8]> = picture.chunks(recording.width).collect();
        assert!(rows.iter().all(|row| *row == rows[0]), "picture {number} has rows that are out of place");
        // Where the white bar begins, and which bars come from there on.
        let place = (0..rows[0].len()).find(|at| rows[0][*at] > 170 && rows[0][(at + 639) % 640] <= 170);
        let place = place.unwrap_or_else(|| panic!("picture {number} has no white bar: {:?}", rows[0]));
        for (bar, wanted) in BARS.iter().enumerate() {
            let middle = rows[0][(place + 80 * bar + 40) % 640];
            assert!(middle.abs_diff(*wanted) <= 2, "bar {bar} of picture {number} is {middle}, not {wanted}");
        }
        places.push(place);
    }
    let moved = places.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(moved >= 25, "the same pictures again: the bars begin at {places:?}");
}

#[test]
#[ignore = "runs in the VM"]
fn an_unplugged_camera_is_told_and_works_when_it_is_back() {
    let _camera = Driver::cameras(1);
    let probe = start_camera();
    // It is plugged in again when its last user has closed it.
    set_controls("disconnect=1");
    wait_for_line(&probe, "error vivid-000-vid-cap was unplugged; plug it in", 0);
    wait_for_line(&probe, "open", 1);
}

#[test]
#[ignore = "runs in the VM"]
fn a_failing_driver_is_told_and_opening_again_helps() {
    let _camera = Driver::cameras(1);
    let probe = start_camera();
    set_controls("inject_fatal_streaming_error=1");
    wait_for_line(&probe, "error the driver of vivid-000-vid-cap failed; turn the camera on again", 0);
    wait_for_line(&probe, "open", 1);
}

#[test]
#[ignore = "runs in the VM"]
fn a_camera_of_another_program_is_busy_until_that_ends() {
    let _camera = Driver::cameras(1);
    // It tells of each picture, on standard error.
    let other = v4l2_ctl(&["--stream-mmap", "--verbose"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(other.get_program()).args(other.get_args());
    shell.envs(other.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut other = Process::start("v4l2-ctl", &mut shell);
    wait_for_line(&other, "cap dqbuf", 3);
    let probe = probe_camera();
    wait_for_line(&probe, "error vivid-000-vid-cap is in use by another program; close that program", 0);
    other.kill();
    wait_for_line(&probe, "picture", 3);
}

#[test]
#[ignore = "runs in the VM"]
fn the_list_of_sound_devices_is_short_and_quiet() {
    let list = || {
        let mut probe = Process::start("probe", Command::new(program("sound_probe")).arg("list"));
        assert!(probe.wait(STEP).success());
        assert_eq!(probe.errors(), "", "libraries have nothing to say");
        probe.output()
    };
    assert!(list().is_empty(), "no card, no device: no null device above all");
    let _card = Driver::sound_card();
    let devices = list();
    let words: Vec<Vec<&str>> = devices.iter().map(|line| line.split(' ').take(2).collect()).collect();
    let [zero, one] = LOOPBACK.map(|id| format!("id={id}"));
    let wanted = [["microphone", &zero], ["microphone", &one], ["speaker", &zero], ["speaker", &one]]
        .map(|words| words.to_vec());
    assert_eq!(words, wanted, "{devices:?}");
}

#[test]
#[ignore = "runs in the VM"]
fn what_the_speaker_plays_the_microphone_hears() {
    let _card = Driver::sound_card();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("heard.wav");
    let heard = path.to_str().expect("a plain path");
    let mut probe =
        probe_sound(folder.path(), &["--speaker", LOOPBACK[0], "--microphone", LOOPBACK[1], "--heard", heard]);
    let begun = wait_for_sound(&probe, &["microphone_delay_ms", "speaker_delay_ms"]);
    // Six seconds from then on. The file is whole but for its last second.
    let ended = probe.wait_for("six seconds", STEP, |lines| {
        lines.iter().filter_map(|line| number(line, "in")).find(|blocks| *blocks >= begun + 600.0)
    });
    probe.kill();
    let samples = read_wav(&path);
    assert!(samples.len() as f64 >= (ended - 100.0) * 480.0, "{} samples of {ended} blocks", samples.len());

    let rises: Vec<usize> = (1..samples.len()).filter(|at| samples[at - 1] < 0 && samples[*at] >= 0).collect();
    let mut periods: Vec<usize> = rises.windows(2).map(|pair| pair[1] - pair[0]).collect();
    periods.sort_unstable();
    let median = periods[periods.len() / 2];
    // 440 Hz at 48 kHz.
    assert!((108..=110).contains(&median), "the period is {median} samples");
    // The slow machine drops some of it, but it is what is there.
    let whole = periods.iter().filter(|period| (107..=111).contains(*period)).count();
    assert!(whole > 3 * 440, "of six seconds of sound only {whole} periods are whole");
    assert!(whole * 10 > periods.len() * 8, "{whole} of {} periods are whole", periods.len());
}

#[test]
#[ignore = "runs in the VM"]
fn a_sound_card_of_another_program_is_busy_until_that_ends() {
    let _card = Driver::sound_card();
    let folder = tempfile::tempdir().expect("a folder can be made");
    // Both, or the other would stand in.
    let mut others = LOOPBACK.map(|id| probe_sound(folder.path(), &["--speaker", id]));
    for other in &others {
        wait_for_sound(other, &["speaker_delay_ms"]);
    }
    let probe = probe_sound(folder.path(), &["--speaker", LOOPBACK[0]]);
    wait_for_line(&probe, "\"Loopback, Loopback PCM\" is in use by another program; close that program", 0);
    others.iter_mut().for_each(Process::kill);
    wait_for_sound(&probe, &["speaker_delay_ms"]);
}

#[test]
#[ignore = "runs in the VM"]
fn a_call_shows_what_the_camera_sees() {
    let _camera = Driver::cameras(1);
    let server = Server::start();
    let bob = Cli::new(&server, "bob").with("--microphone", "tone");
    let alice = Cli::new(&server, "alice").with("--microphone", "tone").with("--camera", CAMERA);
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob");
    answering.process().wait_for("fifty pictures", STEP, |lines| {
        let mut stats = lines.iter().map(|line| Event::parse(line)).filter(|event| event.name() == "stats");
        stats.any(|stats| stats.number("frames_shown") >= 50).then_some(())
    });
    let first = answering.wait_for("first_frame");
    assert_eq!((first.number("width"), first.number("height")), (640, 480));
    calling.process().interrupt();
    calling.ends_within(STEP, 0);
    answering.ends_within(STEP, 0);
    assert!(calling.all("media_failed").is_empty(), "{:?}", calling.all("media_failed"));
}

#[test]
#[ignore = "runs in the VM"]
fn a_call_carries_what_the_microphone_hears() {
    let _card = Driver::sound_card();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [said, heard] = ["said.wav", "heard.wav"].map(|name| folder.path().join(name));
    let speech = Path::new(env!("CARGO_MANIFEST_DIR")).join("media/speech-16k.wav");
    write_at_the_cards_rate(&speech, &said);
    // Somebody speaks into Alice's microphone.
    let said = file(&said);
    let speaking = probe_sound(folder.path(), &["--microphone", &said, "--play", "echo", "--speaker", LOOPBACK[0]]);
    wait_for_sound(&speaking, &["speaker_delay_ms"]);

    let server = Server::start();
    let bob = Cli::new(&server, "bob").with("--speaker", &file(&heard));
    let alice = Cli::new(&server, "alice").with("--microphone", LOOPBACK[1]);
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob --audio-only");
    // There are statistics each second, as good a time to look as any.
    answering.process().wait_for("fifteen loud seconds", 2 * STEP, |_| {
        let loud = loudness(&heard).into_iter().filter(|loudness| *loudness > LOUD).count();
        (loud >= 15).then_some(())
    });
    calling.process().interrupt();
    calling.ends_within(STEP, 0);
    answering.ends_within(STEP, 0);
    let sent = speech::read_wav(&speech);
    let found = speech::find(&speech::read_wav(&heard), &sent);
    let follows = |pair: &&[speech::Found]| speech::displacement(pair[0], pair[1], sent.len()) < speech::RATE_HZ / 4;
    let in_order = found.windows(2).filter(follows).count();
    // The slow machine tears many a second, so that single ones are not much alike and come a quarter of one early or late.
    // Of other speech one pair in sixteen would follow each other as these do in what was said.
    assert!(in_order >= 3, "what is heard is not what was said: {found:?}");
}

/// Shows the camera for a minute or less, and tries again as often as that fails.
fn probe_camera() -> Process {
    Process::start("probe", Command::new(program("camera_probe")).args([CAMERA, "1000", "/dev/null", "100000"]))
}

/// The same, and gives pictures already.
fn start_camera() -> Process {
    let probe = probe_camera();
    wait_for_line(&probe, "picture", 3);
    probe
}

/// Plays a tone and records until it is dropped.
fn probe_sound(folder: &Path, arguments: &[&str]) -> Process {
    // It ends with its input; a pipe that it holds at both ends has no end.
    let mut shell = Command::new("sh");
    shell.args(["-c", "mkfifo input.$$ && exec \"$0\" \"$@\" --seconds 1000 0<> input.$$"]);
    Process::start("probe", shell.current_dir(folder).arg(program("sound_probe")).args(arguments))
}

/// Waits until the probe's devices are open: then they have delays. Gives how many blocks had come in by then.
fn wait_for_sound(probe: &Process, delays: &[&str]) -> f64 {
    probe.wait_for("sound", STEP, |lines| {
        let line = lines.iter().find(|line| delays.iter().all(|name| number(line, name).is_some_and(|ms| ms > 0.0)))?;
        number(line, "in")
    })
}

/// The number in `… name=12.5 …`.
fn number(line: &str, name: &str) -> Option<f64> {
    line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

/// Waits for a line with these words that has `nth` such before it.
#[track_caller]
fn wait_for_line(process: &Process, words: &str, nth: usize) {
    process.wait_for(words, STEP, |lines| lines.iter().filter(|line| line.contains(words)).nth(nth).cloned());
}

/// Each sample thrice: bringing speech to another rate well takes longer in the VM than speaking it.
fn write_at_the_cards_rate(speech: &Path, to: &Path) {
    let mut reader = hound::WavReader::open(speech).expect("the speech is there");
    let spec = hound::WavSpec { sample_rate: reader.spec().sample_rate * 3, ..reader.spec() };
    let mut writer = hound::WavWriter::create(to, spec).expect("files can be written");
    for sample in reader.samples::<i16>() {
        let sample = sample.expect("the speech is whole");
        for _ in 0..3 {
            writer.write_sample(sample).expect("files can be written");
        }
    }
    writer.finalize().expect("files can be written");
}

/// Of each second of a recording, which may be being written.
fn loudness(path: &Path) -> Vec<f32> {
    let Ok(reader) = hound::WavReader::open(path) else { return Vec::new() };
    let samples = reader.into_samples::<i16>().map_while(Result::ok).map(|sample| f32::from(sample) / 32768.0);
    samples.collect::<Vec<f32>>().chunks(48_000).map(speech::rms).collect()
}

fn read_wav(path: &PathBuf) -> Vec<i32> {
    let reader = hound::WavReader::open(path).expect("the probe recorded");
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (1, 48_000));
    reader.into_samples().map(|sample| sample.expect("the recording is whole")).collect()
}
