//! The sound card through the code that calls use, against a PulseAudio of our own. What it needs of the environment is
//! per process, so the code under test runs in `examples/sound_probe`.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub, reason = "whole calls are tested with it too")]
#[path = "../../../tests/src/harness/process.rs"]
mod process;
#[allow(dead_code, unreachable_pub, reason = "whole calls are tested with it too")]
#[path = "../../../tests/src/harness/pulse.rs"]
mod pulse;
#[allow(unreachable_pub, reason = "whole calls are tested with it too")]
#[path = "../../../tests/src/harness/skipped.rs"]
mod skipped;

use std::f64::consts::TAU;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ahoy_media::file::wav::{WavReader, WavWriter};
use ahoy_media::tone::TONE_HZ;

use process::Process;
use pulse::Pulse;

/// For things that take seconds, on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

fn probe_path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples/sound_probe");
    assert!(path.exists(), "build it with: cargo build -p ahoy-media --examples");
    path
}

fn probe(pulse: &Pulse, arguments: &[&str]) -> Process {
    Process::start("sound_probe", pulse.command(probe_path()).args(arguments))
}

fn wait_for_line(probe: &Process, what: &str) -> String {
    probe.wait_for(what, DEADLINE, |lines| lines.iter().find(|line| line.contains(what)).cloned())
}

/// Until the devices are open and in use.
fn wait_for_sound(probe: &Process) {
    wait_for_line(probe, "state ms=2");
}

/// The reports on how things stand, one a second.
fn states(probe: &Process) -> Vec<String> {
    probe.output().into_iter().filter(|line| line.starts_with("state")).collect()
}

/// The number behind `name=` in a line.
fn number(line: &str, name: &str) -> f64 {
    let from = line.find(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in: {line}")) + name.len() + 2;
    line[from..].split(' ').next().unwrap().parse().unwrap()
}

/// Waits for the end and checks that closing did not take long.
fn end(probe: &mut Process) {
    let closed = wait_for_line(probe, "closed");
    assert!(number(&closed, "ms") < 1000.0, "{closed}");
    assert!(probe.wait(DEADLINE).success());
    assert_eq!(probe.errors(), "", "nothing may be written to standard error");
}

fn read_wav(path: &Path) -> Vec<f32> {
    let samples = hound::WavReader::open(path).unwrap().duration();
    let mut reader = WavReader::new(BufReader::new(File::open(path).unwrap())).unwrap();
    (0..samples).map(|_| reader.read().unwrap()).collect()
}

/// A tone of half the full loudness.
fn write_tone(path: &Path, seconds: usize) {
    let mut writer = WavWriter::new(BufWriter::new(File::create(path).unwrap())).unwrap();
    for block in 0..seconds * 100 {
        let sample = |n: usize| (f64::from(TONE_HZ) * TAU * (block * 480 + n) as f64 / 48_000.0).sin() as f32 * 0.5;
        writer.write(&std::array::from_fn(sample)).unwrap();
    }
    writer.flush().unwrap();
}

/// Loudness of the tone in these samples, and how much of their energy is something else.
fn tone_in(sound: &[f32]) -> (f64, f64) {
    let (mut sin, mut cos, mut energy) = (0.0, 0.0, 1e-12);
    for (n, sample) in sound.iter().enumerate() {
        let (s, c) = (n as f64 / 48_000.0 * f64::from(TONE_HZ) * TAU).sin_cos();
        sin += f64::from(*sample) * s;
        cos += f64::from(*sample) * c;
        energy += f64::from(*sample).powi(2);
    }
    let amplitude = 2.0 * f64::hypot(sin, cos) / sound.len() as f64;
    (amplitude, 1.0 - amplitude * amplitude * sound.len() as f64 / 2.0 / energy)
}

/// For how many tenths of a second on end there is the tone at about this loudness, at best: a gap, a click and a wrong
/// pitch each break it.
fn longest_unbroken(sound: &[f32], loudness: f64) -> usize {
    let is_pure = |(amplitude, rest): (f64, f64)| (amplitude - loudness).abs() < loudness * 0.05 && rest < 0.002;
    let pure: Vec<bool> = sound.chunks_exact(4800).map(|tenth| is_pure(tone_in(tenth))).collect();
    println!("{}", pure.iter().map(|pure| if *pure { '#' } else { '.' }).collect::<String>());
    pure.split(|pure| !pure).map(<[bool]>::len).max().unwrap_or(0)
}

/// A machine that is busy enough starves the sound server itself, which then drops sound: nothing that could be helped
/// here. What goes wrong three times in a row is our doing.
fn in_three_tries(what: impl Fn() -> Result<(), String>) {
    let failed = (1..=3).all(|number| {
        let tried = what();
        if let Err(why) = &tried {
            println!("try {number}: {why}");
        }
        tried.is_err()
    });
    assert!(!failed, "three tries failed, see above");
}

/// Whether the tone is unbroken for so many tenths of a second; on a machine that has too much to do, two seconds.
fn is_unbroken(sound: &[f32], loudness: f64, wanted: usize) -> Result<(), String> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    let is_busy = load > std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64) * 1.5;
    let wanted = if is_busy { 20 } else { wanted };
    match longest_unbroken(sound, loudness) {
        unbroken if unbroken < wanted => Err(format!("unbroken for {unbroken} of {wanted} tenths of a second")),
        _ => Ok(()),
    }
}

#[test]
fn the_list_names_real_devices_and_nothing_else() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let mut list = probe(&pulse, &["list"]);
    assert!(list.wait(DEADLINE).success());
    let expected = [
        "microphone id=vmic default=true name=Mic",
        "speaker id=spk default=true name=Speakers",
        "speaker id=mic default=false name=MicFeed",
    ];
    assert_eq!(list.output(), expected);
    assert_eq!(list.errors(), "");
}

#[test]
fn without_a_sound_server_the_list_is_made_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(probe_path());
    command.env("XDG_RUNTIME_DIR", folder.path()).env_remove("PULSE_SERVER").env_remove("PULSE_RUNTIME_PATH");
    let mut list = Process::start("sound_probe", command.arg("list"));
    assert!(list.wait(DEADLINE).success());
    assert_eq!(list.errors(), "");
    let is_expected = |line: &String| line.contains("id=default ") || line.contains("id=plughw:");
    assert!(list.output().iter().all(is_expected), "{:?}", list.output());
}

#[test]
fn ten_seconds_of_a_tone_come_through_the_microphone_without_a_gap() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (said, heard) = (folder.path().join("said.wav"), folder.path().join("heard.wav"));
    write_tone(&said, 11);
    in_three_tries(|| {
        let arguments = ["--microphone", "vmic", "--heard", heard.to_str().unwrap(), "--seconds", "15"];
        let mut probe = probe(&pulse, &arguments);
        wait_for_sound(&probe);
        let mut player = pulse.play("mic", &said);
        assert!(player.wait(DEADLINE).success());
        end(&mut probe);
        is_unbroken(&read_wav(&heard), 0.5, 100)
    });
}

/// Devices of other rates, formats and channel counts.
const SHAPES: [(&str, &str); 8] = [
    ("cd", "format=s16le rate=44100 channels=2"),
    ("phone", "format=u8 rate=16000 channels=1"),
    ("studio", "format=s32le rate=96000 channels=4"),
    ("surround", "format=float32le rate=48000 channels=6"),
    ("headset", "format=s16le rate=8000 channels=1"),
    ("cinema", "format=s16le rate=96000 channels=8"),
    ("packed", "format=s24le rate=44100 channels=2"),
    // cpal knows no A-law: the server converts.
    ("alaw", "format=alaw rate=8000 channels=1"),
];

/// What the steps of 8-bit formats leave of a tone's purity.
const COARSE: f64 = 0.01;

fn with_shapes() -> Option<Pulse> {
    let lines = SHAPES.map(|(name, shape)| format!("load-module module-null-sink sink_name={name} {shape}"));
    Pulse::start(&lines.each_ref().map(String::as_str))
}

#[test]
fn microphones_of_every_rate_format_and_channel_count_are_heard() {
    let Some(pulse) = with_shapes() else { return };
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said.wav");
    write_tone(&said, 5);
    for (name, _) in SHAPES {
        in_three_tries(|| {
            let heard = folder.path().join(format!("{name}.wav"));
            let monitor = format!("{name}.monitor");
            let arguments = ["--microphone", &monitor, "--heard", heard.to_str().unwrap(), "--seconds", "5"];
            let mut probe = probe(&pulse, &arguments);
            let _player = pulse.play(name, &said);
            end(&mut probe);
            // The server mixes one channel into the six of surround sound with less than full force.
            is_the_tone(name, &read_wav(&heard), 0.15..0.53)
        });
    }
}

fn is_the_tone(name: &str, sound: &[f32], loudness: Range<f64>) -> Result<(), String> {
    let seconds = sound.windows(48_000).step_by(12_000).map(tone_in);
    let (amplitude, rest) = seconds.min_by(|a, b| a.1.total_cmp(&b.1)).ok_or("it lasts less than a second")?;
    println!("{name}: loudness {amplitude:.3}, other than the tone {rest:.5}");
    match loudness.contains(&amplitude) && rest < COARSE {
        true => Ok(()),
        false => Err(format!("{name}: loudness {amplitude}, other than the tone {rest}")),
    }
}

#[test]
fn speakers_of_every_rate_format_and_channel_count_play() {
    let Some(pulse) = with_shapes() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in SHAPES {
        in_three_tries(|| {
            let heard = folder.path().join(format!("{name}.wav"));
            play_and_record(&pulse, name, &heard, 6);
            // Of more than two channels only the front ones sound, and the recorder mixes all.
            is_the_tone(name, &read_wav(&heard), 0.02..0.21)
        });
    }
}

fn play_and_record(pulse: &Pulse, speaker: &str, heard: &Path, seconds: u32) {
    let mut recorder = pulse.record(speaker, heard);
    let mut probe = probe(pulse, &["--speaker", speaker, "--play", "tone", "--seconds", &seconds.to_string()]);
    end(&mut probe);
    recorder.interrupt();
    recorder.wait(DEADLINE);
}

#[test]
fn a_tone_is_played_without_gaps() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let folder = tempfile::tempdir().unwrap();
    let heard = folder.path().join("heard.wav");
    in_three_tries(|| {
        play_and_record(&pulse, "spk", &heard, 12);
        is_unbroken(&read_wav(&heard), 0.2, 80)
    });
}

#[test]
fn the_way_from_speaker_to_microphone_is_short_and_known() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let arguments = ["--microphone", "spk.monitor", "--speaker", "spk", "--play", "clicks", "--seconds", "15"];
    in_three_tries(|| is_short_and_known(&mut probe(&pulse, &arguments)));
}

fn is_short_and_known(probe: &mut Process) -> Result<(), String> {
    end(probe);
    let clicks: Vec<String> = probe.output().into_iter().filter(|line| line.starts_with("click")).collect();
    if clicks.len() < 15 {
        return Err(format!("only {} clicks were heard", clicks.len()));
    }
    let median = |name| {
        // The delays settle in the first seconds.
        let mut values: Vec<f64> = clicks.iter().skip(6).map(|line| number(line, name)).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (round_trip, unexplained) = (median("round_trip_ms"), median("unexplained_ms"));
    println!("round trip {round_trip} ms, of which {unexplained} ms are not in the reported delays");
    match round_trip <= 80.0 && unexplained.abs() <= 20.0 {
        true => Ok(()),
        false => Err("it is to be 80 ms at most, and 20 ms unexplained".into()),
    }
}

#[test]
fn an_unplugged_device_is_replaced_told_of_and_taken_back() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let headset = pulse.plug("headset", "Headset");
    let arguments = ["--microphone", "headset.monitor", "--speaker", "headset", "--seconds", "25"];
    let mut probe = probe(&pulse, &arguments);
    wait_for_sound(&probe);
    pulse.unplug(&headset);
    // At most a second before the device went.
    let before = number(states(&probe).last().unwrap(), "ms");
    for (end, missing, instead) in [("speaker", "Headset", "Speakers"), ("microphone", "Monitor of Headset", "Mic")] {
        let told = wait_for_line(&probe, &format!("of={end}"));
        let expected = format!("\"{missing}\" was unplugged; using \"{instead}\" instead");
        assert!(told.contains(&expected), "{told}");
        assert!(number(&told, "ms") < before + 4000.0, "{told}, unplugged after {before} ms");
    }
    pulse.plug("headset", "Headset");
    wait_for_line(&probe, "\"Headset\" is back");
    wait_for_line(&probe, "\"Monitor of Headset\" is back");
    end(&mut probe);
}

#[test]
fn a_device_is_found_by_its_name_and_under_another_id_again() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let headset = pulse.plug("headset", "Headset");
    let mut probe = probe(&pulse, &["--microphone", "Mic", "--speaker", "Headset", "--seconds", "20"]);
    wait_for_sound(&probe);
    pulse.unplug(&headset);
    wait_for_line(&probe, "\"Headset\" was unplugged; using \"Speakers\" instead");
    pulse.plug("another_port", "Headset");
    wait_for_line(&probe, "\"Headset\" is back");
    pulse.plug("twin", "Headset");
    end(&mut probe);
    let output = probe.output();
    let told = |end: &str| output.iter().filter(|line| line.contains(&format!("of={end}"))).count();
    assert_eq!((told("speaker"), told("microphone")), (2, 0), "the one in use stays: {output:?}");
}

#[test]
fn when_nothing_is_left_that_is_told_and_the_next_device_is_taken() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let arguments = ["--microphone", "default", "--speaker", "default", "--seconds", "20"];
    let mut probe = probe(&pulse, &arguments);
    wait_for_sound(&probe);
    pulse.unplug("module-null-sink");
    wait_for_line(&probe, "there is no microphone; plug one in");
    wait_for_line(&probe, "there is no speaker; plug one in");
    let first = states(&probe).pop().unwrap();
    let later = format!("state ms={}", number(&first, "ms") as u64 / 1000 + 4);
    let last = wait_for_line(&probe, &later);
    // Blocks go on in both directions, at the pace of the clock.
    for blocks in ["in", "out"] {
        let of_clock = (number(&last, "ms") - number(&first, "ms")) / 10.0;
        let passed = number(&last, blocks) - number(&first, blocks);
        assert!((passed - of_clock).abs() < of_clock / 10.0, "{blocks}: {passed} blocks rather than {of_clock}");
    }
    pulse.plug("new", "New");
    wait_for_line(&probe, "\"New\" is back");
    end(&mut probe);
}

/// As Debian sets PulseAudio up, and PipeWire does by itself: streams of a speaker that goes move on to a dummy.
#[test]
fn the_only_speaker_is_taken_back_from_a_server_that_keeps_its_stream_alive() {
    let speaker = "load-module module-null-sink sink_name=spk sink_properties=device.description=Speakers";
    let Some(pulse) = Pulse::start(&[speaker, "load-module module-always-sink"]) else { return };
    let modules = pulse.ask(&["list", "short", "modules"]);
    let plugged = modules.lines().find(|line| line.contains("sink_name=spk")).unwrap();
    let mut probe = probe(&pulse, &["--speaker", "default", "--seconds", "15"]);
    wait_for_sound(&probe);
    pulse.unplug(plugged.split('\t').next().unwrap());
    wait_for_line(&probe, "there is no speaker; plug one in");
    assert!(pulse.ask(&["list", "short", "sinks"]).contains("auto_null"));
    pulse.plug("spk", "Speakers");
    wait_for_line(&probe, "\"Speakers\" is back");
    end(&mut probe);
}

#[test]
fn devices_that_do_nothing_are_noticed_and_used_once_they_wake() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let sleep = |asleep: &str| {
        pulse.ask(&["suspend-sink", "spk", asleep]);
        pulse.ask(&["suspend-sink", "mic", asleep]);
    };
    // Some that never begin, later the same that stop.
    sleep("1");
    let mut probe = probe(&pulse, &["--microphone", "vmic", "--speaker", "spk", "--seconds", "35"]);
    let told = wait_for_line(&probe, "the microphone \"Mic\" is open but does nothing");
    assert!(number(&told, "ms") > 1900.0, "{told}");
    wait_for_line(&probe, "the speaker \"Speakers\" is open but does nothing");
    sleep("0");
    wait_for_line(&probe, "\"Mic\" is back");
    wait_for_line(&probe, "\"Speakers\" is back");
    let told_before = probe.output().len();
    sleep("1");
    probe.wait_for("both are told of again", DEADLINE, |lines| {
        let idle = |end| lines[told_before..].iter().any(|line| line.contains(end) && line.contains("does nothing"));
        (idle("microphone") && idle("speaker")).then_some(())
    });
    end(&mut probe);
}

#[test]
fn a_sound_server_that_crashes_is_told_of_and_found_again() {
    let Some(mut pulse) = Pulse::with_devices() else { return };
    let mut probe = probe(&pulse, &["--microphone", "vmic", "--speaker", "spk", "--seconds", "20"]);
    wait_for_sound(&probe);
    pulse.kill();
    let gone = "the sound server does not answer";
    assert!(wait_for_line(&probe, "of=speaker").contains(gone));
    assert!(wait_for_line(&probe, "of=microphone").contains(gone));
    pulse.start_again();
    wait_for_line(&probe, "\"Mic\" is back");
    wait_for_line(&probe, "\"Speakers\" is back");
    end(&mut probe);
}

#[test]
fn a_sound_server_that_hangs_does_not_hold_us() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let mut probe = probe(&pulse, &["--microphone", "vmic", "--speaker", "spk", "--seconds", "20"]);
    wait_for_sound(&probe);
    pulse.freeze();
    wait_for_line(&probe, "does nothing");
    wait_for_line(&probe, "the sound system does not answer");
    // Closing is quick even so.
    end(&mut probe);
    let states = states(&probe);
    // It was never in the way of the thread that asks for sound.
    let times: Vec<f64> = states.iter().map(|line| number(line, "ms")).collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!(longest < 2000.0, "{longest} ms between two reports");
    let threads = states.iter().map(|line| number(line, "threads")).fold(0.0, f64::max);
    assert!(threads <= 16.0, "{threads} threads");
}

#[test]
fn a_sound_server_that_hung_serves_again() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let mut probe = probe(&pulse, &["--microphone", "vmic", "--speaker", "spk", "--seconds", "25"]);
    wait_for_sound(&probe);
    pulse.freeze();
    for end in ["microphone", "speaker"] {
        wait_for_line(&probe, &format!("the sound system does not answer when asked for the {end}"));
    }
    pulse.thaw();
    wait_for_line(&probe, "\"Mic\" is back");
    wait_for_line(&probe, "\"Speakers\" is back");
    end(&mut probe);
    // The streams that were being opened when it hung are out of the way: only what flows has a delay.
    let last = states(&probe).pop().unwrap();
    assert!(number(&last, "microphone_delay_ms") > 0.0 && number(&last, "speaker_delay_ms") > 0.0, "{last}");
}

#[test]
fn ten_thousand_callbacks_later_nothing_has_grown() {
    let Some(pulse) = Pulse::with_devices() else { return };
    let mut probe = probe(&pulse, &["--microphone", "vmic", "--speaker", "spk", "--seconds", "100"]);
    assert!(probe.wait(DEADLINE * 3).success());
    let states = states(&probe);
    let last = states.last().unwrap();
    let (early, late) = (&states[10..20], &states[states.len() - 10..]);
    for name in ["microphone_delay_ms", "speaker_delay_ms"] {
        let mean = |states: &[String]| states.iter().map(|line| number(line, name)).sum::<f64>() / states.len() as f64;
        let (early, late) = (mean(early), mean(late));
        println!("{name}: {early:.1}, at the end {late:.1}");
        // A busy machine makes the speaker's reserve grow by up to 60 ms.
        assert!(late < early + 65.0 && late < 150.0, "{name}: {early:.1}, at the end {late:.1}");
    }
    assert_eq!(number(&states[10], "threads"), number(last, "threads"));
    let blocks = number(last, "in");
    assert!((9_850.0..10_050.0).contains(&blocks), "{blocks} blocks in 100 s");
}
