//! The camera, through the code that reads real ones: a fake driver beneath the camera library gives pictures that are
//! known, and can be unplugged, stalled and taken by somebody else. These load the machine, so they take turns.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ahoy_tests::harness::camera::{FakeCamera, State};
use ahoy_tests::harness::cli::{Cli, file};
use ahoy_tests::harness::media::{Sources, unpack};
use ahoy_tests::harness::process::Process;
use ahoy_tests::harness::programs::program;
use ahoy_tests::harness::ssim::ssim;
use ahoy_tests::harness::y4m::Recording;
use ahoy_tests::harness::{DEADLINE, Server};

const RAW: [&str; 2] = ["YUYV 640 480 30", "NV12 640 480 30"];
const JPEG: &str = "MJPG 640 480 30";

/// A picture that the probe told of.
struct Shown {
    size: String,
    at_us: u64,
}

#[test]
fn raw_pictures_arrive_bit_by_bit_whatever_the_drivers_row_length() {
    let _turn = take_turn();
    for offer in RAW {
        for padded in [false, true] {
            let Some(camera) = FakeCamera::new(&clip(), offer) else { return };
            if padded {
                camera.becomes(State::Padded);
            }
            let (shown, mut recording) = record(&camera, 60);
            assert_paced(&shown, 30.0);
            let mut clip = Recording::open(&clip());
            let mut next = 0;
            for number in 0..recording.pictures {
                let picture = recording.picture(number);
                // Pictures that came too fast for this machine are missing, never torn or out of order.
                let found = (next..clip.pictures).find(|at| clip.picture(*at) == picture);
                let found = found.unwrap_or_else(|| panic!("{offer}: picture {number} is none of those after {next}"));
                next = found + 1;
            }
        }
    }
}

#[test]
fn compressed_pictures_look_like_what_was_compressed() {
    let _turn = take_turn();
    for padded in [false, true] {
        let Some(camera) = FakeCamera::new(&clip(), JPEG) else { return };
        if padded {
            camera.becomes(State::Padded);
        }
        let (shown, mut recording) = record(&camera, 45);
        assert_paced(&shown, 30.0);
        let mut clip = Recording::open(&clip());
        let mut next = 0;
        for number in 0..recording.pictures {
            let picture = recording.picture(number);
            let luma = &picture[..640 * 480];
            let likeness = |at: usize, clip: &mut Recording| (ssim(luma, &clip.luma(at), 640), at);
            let candidates = (next..clip.pictures.min(next + 8)).map(|at| likeness(at, &mut clip));
            let (best, at) = candidates.max_by(|left, right| left.0.total_cmp(&right.0)).expect("the clip is longer");
            assert!(best > 0.97, "picture {number} is like picture {at} of the clip by {best:.3}");
            let original = clip.picture(at);
            let off: u64 = picture.iter().zip(&original).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            let mean = off as f64 / picture.len() as f64;
            assert!(mean < 3.0, "picture {number} is off by {mean:.2} in the mean, colours included");
            next = at + 1;
        }
    }
}

#[test]
fn the_best_of_the_offers_is_what_comes() {
    let _turn = take_turn();
    let table = [
        ("YUYV 640 480 30\nYUYV 1280 720 10\nNV12 320 240 30", "640x480", 30.0),
        ("YUYV 640 480 30\nNV12 1280 720 30\nYUYV 1920 1080 30", "1280x720", 30.0),
        ("YUYV 640 480 10\nMJPG 640 480 30\nYUYV 320 240 30", "640x480", 30.0),
        ("YUYV 640 360 15", "640x360", 15.0),
    ];
    for (offers, size, fps) in table {
        let Some(camera) = FakeCamera::new(&clip(), offers) else { return };
        let (shown, _) = record(&camera, 20);
        assert!(shown.iter().all(|picture| picture.size == size), "{offers}: not {size}");
        assert_paced(&shown, fps);
    }
}

#[test]
fn what_the_camera_offers_and_cannot_do_gives_way_to_what_it_can() {
    let _turn = take_turn();
    let Some(camera) = FakeCamera::new(&clip(), &format!("YUYV 1280 720 30\nNV12 640 480 30\n{JPEG}")) else { return };
    camera.becomes(State::Crowded);
    let (shown, _) = record(&camera, 10);
    assert!(shown.iter().all(|picture| picture.size == "640x480"), "the compressed ones came");
    let Some(camera) = FakeCamera::new(&clip(), "MJPG 1280 720 30\nYUYV 320 240 30") else { return };
    camera.sends(&[0xff, 0xd8, 0xff, 0xd9]);
    let (shown, _) = record(&camera, 10);
    assert!(shown.iter().all(|picture| picture.size == "320x240"), "the undamaged ones came");
}

#[test]
fn cameras_are_listed_while_they_are_there() {
    let _turn = take_turn();
    let Some(camera) = FakeCamera::new(&clip(), RAW[0]) else { return };
    let list = || {
        let mut probe = start(&camera, &[]);
        assert!(probe.wait(DEADLINE).success());
        let ours = "camera /dev/video0 Fake Camera";
        probe.output().iter().any(|line| line == ours)
    };
    assert!(list());
    for state in [State::Busy, State::Refused] {
        camera.becomes(state);
        assert!(list(), "{state:?}: opening it says what is the matter");
        camera.is_no_longer(state);
    }
    camera.becomes(State::Unplugged);
    assert!(!list());
}

#[test]
fn a_camera_that_cannot_be_opened_says_why_and_what_to_do() {
    let _turn = take_turn();
    for (state, words) in [
        (State::Busy, "Fake Camera is in use by another program; close that program"),
        (State::Refused, "Ahoy may not use Fake Camera; add your account to the group \"video\""),
        (State::Broken, "the driver of Fake Camera failed"),
        (State::Crowded, "the USB bus has no room left for Fake Camera"),
        (State::Stalled, "Fake Camera gives no pictures; unplug it"),
        (State::Unplugged, "there is no camera \"/dev/video0\""),
    ] {
        let Some(camera) = FakeCamera::new(&clip(), RAW[0]) else { return };
        camera.becomes(state);
        let mut probe = start(&camera, &["/dev/video0", "5"]);
        assert!(!probe.wait(DEADLINE).success());
        let output = probe.output();
        assert!(output.iter().any(|line| line.starts_with(&format!("error {words}"))), "{state:?}: {output:?}");
    }
    let Some(camera) = FakeCamera::new(&clip(), "GREY 640 480 30") else { return };
    let mut probe = start(&camera, &["Fake Camera", "5"]);
    assert!(!probe.wait(DEADLINE).success());
    assert!(probe.output().iter().any(|line| line.contains("offers no pictures that Ahoy reads")));
}

#[test]
fn an_unplugged_camera_is_told_at_once_and_works_when_it_is_back() {
    let _turn = take_turn();
    let Some(camera) = FakeCamera::new(&clip(), RAW[0]) else { return };
    let mut probe = start(&camera, &["/dev/video0", "100", "-", "100000"]);
    wait_for_line(&probe, "picture", 20);
    camera.becomes(State::Unplugged);
    let since = Instant::now();
    wait_for_line(&probe, "error Fake Camera was unplugged; plug it in", 0);
    assert!(since.elapsed() < Duration::from_secs(1), "it took {:?}", since.elapsed());
    camera.is_no_longer(State::Unplugged);
    assert!(probe.wait(DEADLINE).success(), "it gives a hundred pictures after that");
}

#[test]
fn a_silent_camera_is_told_of_and_holds_one_thread_however_often_it_is_opened() {
    let _turn = take_turn();
    let Some(camera) = FakeCamera::new(&clip(), RAW[0]) else { return };
    let mut probe = start(&camera, &["default", "100", "-", "50"]);
    wait_for_line(&probe, "picture", 20);
    camera.becomes(State::Stalled);
    let since = Instant::now();
    let silent = "error Fake Camera gives no pictures; unplug it";
    wait_for_line(&probe, silent, 0);
    let took = since.elapsed();
    assert!(took < Duration::from_secs(4), "it took {took:?}");
    wait_for_line(&probe, silent, 3);
    // The thread that waited for a picture gets one, and sees that nobody wants it any more.
    camera.is_no_longer(State::Stalled);
    let reopened = wait_for_line(&probe, "open at", 1);
    assert!(reopened.ends_with(" 2 threads"), "threads have piled up: {reopened}");
    assert!(probe.wait(DEADLINE).success());
}

#[test]
fn damaged_pictures_are_dropped_and_too_many_are_an_error() {
    let _turn = take_turn();
    let Some(camera) = FakeCamera::new(&clip(), JPEG) else { return };
    let jpegs = std::fs::read(camera.beside("frames.mjpeg")).expect("they were made");
    let ends: Vec<usize> =
        (0..jpegs.len() - 1).filter(|at| jpegs[*at..at + 2] == [0xff, 0xd9]).map(|at| at + 2).collect();
    let (good, next) = (&jpegs[..ends[0]], &jpegs[ends[0]..ends[1]]);
    // Every other one has lost its second half.
    camera.sends(&[good, &next[..next.len() / 2]].concat());
    let (_, recording) = record(&camera, 20);
    assert_eq!(recording.pictures, 20);
    camera.sends(&good[..good.len() / 2]);
    let mut probe = start(&camera, &["default", "5"]);
    assert!(!probe.wait(DEADLINE).success());
    assert!(probe.output().iter().any(|line| line.starts_with("error Fake Camera sends damaged pictures")));
}

#[test]
fn a_call_shows_the_camera_and_goes_on_when_it_is_unplugged() {
    let _turn = take_turn();
    let Some(camera) = FakeCamera::new(&clip(), &format!("{}\n{JPEG}", RAW[0])) else { return };
    let server = Server::start();
    let bob = Cli::new(&server, "bob").with("--microphone", "tone");
    let bob = bob.clone().with("--display", &file(&bob.file("seen.y4m")));
    let mut answering = bob.start_signed_in("answer");
    let alice = Cli::new(&server, "alice").with("--camera", "default").with("--microphone", "tone");
    let mut calling = alice.with_environment(camera.environment()).start("call bob --seconds 12");
    answering.wait_for("first_frame");
    answering.wait_for_nth("stats", 4);
    camera.becomes(State::Unplugged);
    let since = Instant::now();
    let failed = calling.wait_for("media_failed");
    assert!(since.elapsed() < Duration::from_secs(2), "it took {:?}", since.elapsed());
    let message = failed.text("message");
    assert!(message.contains("Fake Camera was unplugged; plug it in"), "{message}");
    calling.ends_within(2 * DEADLINE, 0);
    answering.ends_with(0);
    let ended = calling.wait_for("ended");
    assert_eq!(ended.text("reason"), "hangup");
    assert!(ended.t_ns() > failed.t_ns() + 1_000_000_000, "the call went on");
    assert_eq!(calling.all("media_failed").len(), 1, "once is enough");
    assert_shows_the_clip(&bob.file("seen.y4m"));
}

#[test]
fn another_camera_stands_in_for_one_that_is_unplugged_in_a_call_until_it_is_back() {
    let _turn = take_turn();
    for chosen in ["default", "/dev/video0"] {
        let Some(camera) = FakeCamera::new(&clip(), RAW[0]) else { return };
        camera.becomes(State::Accompanied);
        let server = Server::start();
        let bob = Cli::new(&server, "bob").with("--microphone", "tone").and(&["--frame-events"]);
        let mut answering = bob.start_signed_in("answer");
        let alice = Cli::new(&server, "alice").with("--camera", chosen).with("--microphone", "tone");
        let alice = alice.with_environment(camera.environment()).and(&["--commands"]);
        let mut calling = alice.start("call bob");
        let pictures_come = || answering.wait_for_nth("frame_shown", answering.all("frame_shown").len() + 30);
        pictures_come();
        camera.becomes(State::Unplugged);
        let told = calling.wait_for_nth("device_changed", 0);
        assert_eq!(told.text("message"), "\"Fake Camera\" was unplugged; using \"Second Camera\" instead");
        pictures_come();
        camera.is_no_longer(State::Unplugged);
        assert_eq!(calling.wait_for_nth("device_changed", 1).text("message"), "\"Fake Camera\" is back");
        pictures_come();
        // With neither there it is said once, and the first one that is plugged in is used.
        camera.is_no_longer(State::Accompanied);
        camera.becomes(State::Unplugged);
        let failed = calling.wait_for("media_failed");
        assert!(failed.text("message").contains("Fake Camera was unplugged; plug it in"), "{failed:?}");
        camera.becomes(State::Accompanied);
        let told = calling.wait_for_nth("device_changed", 2);
        assert_eq!(told.text("message"), "\"Fake Camera\" was unplugged; using \"Second Camera\" instead");
        pictures_come();
        calling.tell("hang-up");
        calling.ends_with(0);
        answering.ends_with(0);
        assert_eq!(calling.all("connected").len(), 1, "it was one call");
        assert_eq!(calling.all("media_failed").len(), 1, "once is enough");
    }
}

#[test]
fn a_camera_that_went_before_the_call_is_replaced_and_taken_when_it_comes() {
    let _turn = take_turn();
    let Some(camera) = FakeCamera::new(&clip(), RAW[0]) else { return };
    let server = Server::start();
    let alice = Cli::new(&server, "alice").with("--camera", "/dev/video0").with("--microphone", "tone");
    let mut answering = alice.with_environment(camera.environment()).start_signed_in("answer");
    camera.becomes(State::Unplugged);
    camera.becomes(State::Accompanied);
    let bob = Cli::new(&server, "bob").with("--microphone", "tone").and(&["--commands"]);
    let mut calling = bob.start("call alice");
    let told = answering.wait_for("device_changed");
    assert_eq!(told.text("message"), "\"/dev/video0\" is not connected; using \"Second Camera\" instead");
    calling.wait_for("first_frame");
    camera.is_no_longer(State::Unplugged);
    let back = answering.wait_for_nth("device_changed", 1);
    assert_eq!(back.text("message"), "\"Fake Camera\" is back");
    calling.tell("hang-up");
    calling.ends_with(0);
    answering.ends_with(0);
}

#[test]
fn a_call_whose_camera_is_taken_says_so_and_goes_on_without() {
    let _turn = take_turn();
    let Some(camera) = FakeCamera::new(&clip(), RAW[0]) else { return };
    let server = Server::start();
    let alice = Cli::new(&server, "alice").with("--camera", "Fake Camera").with("--microphone", "tone");
    let mut answering = alice.with_environment(camera.environment()).start_signed_in("answer");
    camera.becomes(State::Busy);
    let mut calling = Cli::new(&server, "bob").with("--microphone", "tone").start("call alice --seconds 3");
    let failed = answering.wait_for("media_failed");
    assert!(failed.text("message").contains("in use by another program"), "{failed:?}");
    calling.ends_with(0);
    answering.ends_with(0);
    assert_eq!(calling.wait_for("ended").text("reason"), "hangup");
}

#[test]
fn who_hangs_up_does_not_wait_for_a_camera_that_is_being_opened() {
    let _turn = take_turn();
    let Some(camera) = FakeCamera::new(&clip(), RAW[0]) else { return };
    camera.becomes(State::Stalled);
    let server = Server::start();
    let mut answering = Cli::new(&server, "bob").with("--microphone", "tone").start_signed_in("answer");
    let alice = Cli::new(&server, "alice").with("--camera", "default").with("--microphone", "tone");
    let mut calling = alice.with_environment(camera.environment()).start("call bob --seconds 2");
    answering.wait_for("ended");
    let since = Instant::now();
    calling.ends_with(0);
    println!("it took {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_millis(2500), "it took {:?}", since.elapsed());
    assert!(calling.all("media_failed").is_empty(), "it was turned off before it could fail");
    answering.ends_with(0);
}

fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A failed test must not fail the others.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 640x480, 30 pictures a second, in a folder of this test program.
fn clip() -> PathBuf {
    static SOURCES: OnceLock<Sources> = OnceLock::new();
    let sources = SOURCES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("camera");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        unpack(&folder)
    });
    sources.plain.clip.clone()
}

fn start(camera: &FakeCamera, arguments: &[&str]) -> Process {
    let mut command = Command::new(program("camera_probe"));
    Process::start("camera_probe", command.args(arguments).envs(camera.environment()))
}

/// What the default camera gave, and the pictures themselves.
fn record(camera: &FakeCamera, pictures: usize) -> (Vec<Shown>, Recording) {
    let path = camera.beside("shown.y4m");
    let mut probe = start(camera, &["default", &pictures.to_string(), path.to_str().expect("a plain path")]);
    assert!(probe.wait(DEADLINE).success(), "{:?}", probe.output());
    let shown = probe.output().iter().filter_map(|line| shown(line)).collect();
    (shown, Recording::open(&path))
}

/// `picture NUMBER SIZE MICROSECONDS`.
fn shown(line: &str) -> Option<Shown> {
    let words: Vec<&str> = line.strip_prefix("picture ")?.split(' ').collect();
    Some(Shown { size: words[1].into(), at_us: words[2].parse().expect("a number") })
}

/// The line that begins so and has `nth` such before it.
#[track_caller]
fn wait_for_line(probe: &Process, begins: &str, nth: usize) -> String {
    probe.wait_for(begins, DEADLINE, |lines| lines.iter().filter(|line| line.starts_with(begins)).nth(nth).cloned())
}

/// Half of the pictures came no later after the one before than the rate says, by their time stamps.
#[track_caller]
fn assert_paced(shown: &[Shown], fps: f64) {
    let mut steps: Vec<u64> = shown.windows(2).map(|pair| pair[1].at_us - pair[0].at_us).collect();
    steps.sort_unstable();
    let middle = steps[steps.len() / 2] as f64 * fps / 1e6;
    println!("{} pictures, the middle step is {middle:.3} of what {fps} a second make", shown.len());
    assert!((0.8..1.25).contains(&middle), "the middle step is {middle:.3} of what {fps} a second make");
}

/// After the first second, where the encoder has what it needs, pictures of the clip follow each other.
fn assert_shows_the_clip(recorded: &Path) {
    let mut recording = Recording::open(recorded);
    assert_eq!((recording.width, recording.height), (640, 480));
    assert!(recording.pictures > 90, "only {} pictures came", recording.pictures);
    let mut clip = Recording::open(&clip());
    let originals: Vec<Vec<u8>> = (0..clip.pictures).map(|number| clip.luma(number)).collect();
    let best = |luma: &[u8]| {
        let likeness = originals.iter().enumerate().map(|(at, original)| (ssim(luma, original, 640), at));
        likeness.max_by(|left, right| left.0.total_cmp(&right.0)).expect("there are pictures")
    };
    let found: Vec<(f64, usize)> = [40, 55, 70, 85].map(|number| best(&recording.luma(number))).into();
    println!("likeness and place in the clip: {found:.3?}");
    assert!(found.iter().all(|(likeness, _)| *likeness > 0.85), "not the clip: {found:?}");
    let steps: Vec<usize> =
        found.windows(2).map(|pair| (pair[1].1 + clip.pictures - pair[0].1) % clip.pictures).collect();
    assert!(steps.iter().all(|step| (8..=25).contains(step)), "not in its order and pace: {found:?}");
}
