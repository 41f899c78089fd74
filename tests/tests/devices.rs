//! A whole call with cameras and sound cards: two people, each with a camera, a microphone and a speaker of their own,
//! speak at the same time. Measured from outside: when sound enters a microphone and leaves the other's speaker, when a
//! picture is taken and shown. And nothing may grow. `AHOY_CALL_SECONDS` says how long they talk: 20 s if it says nothing.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ahoy_tests::harness::camera::FakeCamera;
use ahoy_tests::harness::cli::{Cli, Event, Running};
use ahoy_tests::harness::ear::{Ear, Heard};
use ahoy_tests::harness::media::{Source, unpack};
use ahoy_tests::harness::process::Process;
use ahoy_tests::harness::pulse::Pulse;
use ahoy_tests::harness::{Server, speech};

/// How far sound and picture may be apart without anybody noticing (ITU-R BT.1359-1: sound 45 ms early).
const APART_MS: f64 = 45.0;

/// The beginning, in which buffers fill, echo cancellers learn and delays settle.
const SETTLING: Duration = Duration::from_secs(6);

/// Sound is listened to for so long, once the call has settled.
const LISTENING: Duration = Duration::from_secs(8);

/// One of the two.
struct Person {
    pulse: Pulse,
    camera: FakeCamera,
    speech: PathBuf,
}

impl Person {
    fn new(source: &Source, folder: &Path, seconds: u64) -> Option<Self> {
        let pulse = Pulse::with_devices()?;
        let camera = FakeCamera::new(&source.clip, "YUYV 640 480 30")?;
        let speech = folder.join(format!("long-{}", source.speech.file_name()?.display()));
        speech::repeat(&source.speech, &speech, Duration::from_secs(seconds + 10));
        Some(Self { pulse, camera, speech })
    }

    fn cli(&self, server: &Server, name: &str) -> Cli {
        let devices = ["--camera", "--microphone", "--speaker"];
        let cli = devices.into_iter().fold(Cli::new(server, name), |cli, device| cli.with(device, "default"));
        let environment = self.camera.environment().into_iter().chain(self.pulse.environment());
        cli.and(&["--frame-events"]).with_environment(environment)
    }

    fn speak(&self) -> Process {
        self.pulse.play("mic", &self.speech)
    }

    fn listen(&self, sink: &str) -> Ear {
        Ear::listen(self.pulse.command("parec"), sink)
    }
}

#[test]
fn two_people_with_cameras_and_sound_cards_talk_in_step_and_nothing_grows() {
    let seconds: u64 = std::env::var("AHOY_CALL_SECONDS").map_or(20, |text| text.parse().expect("a number of seconds"));
    assert!(seconds >= 18, "in less than 18 s there is nothing to compare");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let sources = unpack(folder.path());
    let people = [&sources.plain, &sources.turned].map(|source| Person::new(source, folder.path(), seconds));
    let [Some(alice), Some(bob)] = people else { return };
    let server = Server::start();
    let callee = bob.cli(&server, "bob").start_signed_in("answer");
    let caller = alice.cli(&server, "alice").start(&format!("call bob --seconds {seconds}"));
    let _voices = [alice.speak(), bob.speak()];
    let mut running = [caller, callee];
    for person in &running {
        person.wait_for("connected");
    }
    let began = Instant::now();
    let mut memory = [Vec::new(), Vec::new()];
    std::thread::sleep(SETTLING);
    let ears = [alice.listen("mic"), bob.listen("spk")];
    let sampling = |running: &mut [Running; 2], memory: &mut [Vec<u64>; 2], until: Duration| {
        while began.elapsed() < until {
            for (person, memory) in running.iter_mut().zip(memory.iter_mut()) {
                memory.push(resident_kb(person.process().id()));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    sampling(&mut running, &mut memory, SETTLING + LISTENING);
    let [said, heard] = ears.map(Ear::stop);
    sampling(&mut running, &mut memory, Duration::from_secs(seconds.saturating_sub(2)));
    for person in &mut running {
        let errors = person.ends_within(Duration::from_secs(30), 0);
        assert_eq!(errors, "", "nothing is to be complained of");
    }

    let [caller, callee] = &running;
    let sound_ms = sound_delay_ms(&said, &heard, folder.path());
    let picture_ms = picture_delay_ms(caller, callee);
    eprintln!("mouth to ear {sound_ms:.1} ms, glass to glass {picture_ms:.1} ms");
    assert!((sound_ms - picture_ms).abs() <= APART_MS, "sound {sound_ms:.1} ms, picture {picture_ms:.1} ms");
    for (name, person, memory) in [("alice", caller, &memory[0]), ("bob", callee, &memory[1])] {
        assert_steady(name, person, memory);
    }
}

/// From alice's microphone to bob's ear.
fn sound_delay_ms(said: &Heard, heard: &Heard, folder: &Path) -> f64 {
    let [said_wav, heard_wav] = [(said, "said.wav"), (heard, "heard.wav")].map(|(sound, name)| {
        sound.write(&folder.join(name));
        speech::read_wav(&folder.join(name))
    });
    let offset_ms = 1e3
        * (heard.began.saturating_duration_since(said.began).as_secs_f64()
            - said.began.saturating_duration_since(heard.began).as_secs_f64());
    let found = speech::find(&heard_wav, &said_wav);
    let sure: Vec<f64> = found
        .iter()
        .filter(|found| found.correlation > 0.6)
        .map(|found| (found.recorded as f64 - found.sent as f64) / speech::RATE_HZ as f64 * 1e3 + offset_ms)
        .collect();
    eprintln!("sound: {:?}", found.iter().map(|found| found.correlation).collect::<Vec<_>>());
    assert!(sure.len() >= 3, "hardly anything of what was said was heard: {found:?}");
    median(sure)
}

/// From alice's camera to bob's eye, by the pictures' time stamps.
fn picture_delay_ms(caller: &Running, callee: &Running) -> f64 {
    let taken: HashMap<u64, u64> =
        caller.all("frame_captured").iter().map(|event| (event.number("rtp"), event.t_ns())).collect();
    let shown = callee.all("frame_shown");
    let settled = shown.iter().skip(shown.len() / 3);
    let delays: Vec<f64> = settled
        .filter_map(|event| Some(event.t_ns().saturating_sub(*taken.get(&event.number("rtp"))?) as f64 / 1e6))
        .collect();
    assert!(delays.len() > 100, "only {} pictures are known on both sides", delays.len());
    median(delays)
}

/// That delay, queues and memory of the second half are those of the first, and that the call was good.
fn assert_steady(name: &str, person: &Running, memory_kb: &[u64]) {
    let stats = person.all("stats");
    let settled: Vec<&Event> = stats.iter().skip(SETTLING.as_secs() as usize).collect();
    let (early, late) = settled.split_at(settled.len() / 2);
    let delay = |events: &[&Event]| median(events.iter().map(|event| event.decimal("sound_delay_ms")).collect());
    let last = settled.last().expect("a second has passed");
    let (delay_early, delay_late) = (delay(early), delay(late));
    let half = memory_kb.len() / 2;
    let middle = |memory: &[u64]| median(memory.iter().map(|kb| *kb as f64).collect()) as u64;
    let (memory_early, memory_late) = (middle(&memory_kb[..half]), middle(&memory_kb[half..]));
    let figures = format!(
        "{name}: sound waits {delay_early:.1} then {delay_late:.1} ms; memory {memory_early} then {memory_late} kB; of {} \
         pictures {} shown; {} ms concealed, {} packets found no room; sound early by {:?} ms",
        last.number("frames_captured"),
        last.number("frames_shown"),
        last.number("concealed_ms"),
        last.number("packets_dropped_here"),
        last.text_of("sound_early_ms"),
    );
    eprintln!("{figures}");
    assert!(delay_late <= delay_early + 20.0, "the delay grows: {figures}");
    assert!(memory_late <= memory_early + 2_000, "the memory grows: {figures}");
    assert_eq!(last.number("packets_dropped_here"), 0, "a queue grew: {figures}");
    let call_ms = stats.len() as u64 * 1_000;
    assert!(last.number("concealed_ms") * 50 <= call_ms, "more than 2 % of the sound was invented: {figures}");
    assert!(
        last.number("frames_shown") as f64 >= 0.95 * 30.0 * (stats.len() as f64 - 2.0),
        "pictures are missing: {figures}"
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What a process holds in memory.
fn resident_kb(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}
