//! Whole calls between two processes and a real server: what one side shows and says is what the other sees and hears.
//! These load the machine, so they take turns.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use ahoy_tests::harness::cli::{Cli, Event, Running, file};
use ahoy_tests::harness::family::members;
use ahoy_tests::harness::media::{Source, Sources, unpack};
use ahoy_tests::harness::speech::{self, Found};
use ahoy_tests::harness::ssim::ssim;
use ahoy_tests::harness::y4m::Recording;
use ahoy_tests::harness::{DEADLINE, Server};

/// RTP ticks from one picture to the next: 90 kHz (RFC 6184 §8.1), 30 pictures a second.
const TICKS: u32 = 3000;

#[test]
fn each_sees_and_hears_what_the_other_shows_and_says() {
    let _turn = take_turn();
    let server = Server::start();
    let [alice, bob] = [("alice", &sources().plain), ("bob", &sources().turned)]
        .map(|(name, source)| sending(Cli::new(&server, name), source).and(&["--frame-events"]));
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob --seconds 10");
    assert_eq!(calling.wait_for("connected").text("path"), "host");
    calling.ends_within(2 * DEADLINE, 0);
    answering.ends_with(0);
    assert_eq!(calling.wait_for("ended").text("reason"), "hangup");
    assert_eq!(answering.wait_for("ended").text("reason"), "hangup");
    assert!(calling.all("stats").len() >= 8, "statistics come each second");
    for (sender, receiver, recorder, source) in
        [(&calling, &answering, &bob, &sources().plain), (&answering, &calling, &alice, &sources().turned)]
    {
        assert_pictures_arrived(sender, receiver, &recorder.file("seen.y4m"), source);
        assert_speech_arrived(&recorder.file("heard.wav"), &source.speech, 0.90);
    }
    for (keeper, path, other) in [(&alice, "alice/rates.json", "bob"), (&bob, "bob/rates.json", "alice")] {
        let kept = std::fs::read(keeper.file(path)).expect("what the path carried is kept for the next call");
        let kept: Vec<serde_json::Value> = serde_json::from_slice(&kept).expect("it is JSON");
        let [entry] = &kept[..] else { panic!("{kept:?}") };
        assert_eq!((&entry["name"], &entry["network"]), (&other.into(), &"127.0.0.0/24".into()));
        assert!(entry["bps"].as_u64().is_some_and(|bps| bps > 100_000), "{entry}");
    }
}

#[test]
fn an_echo_gives_back_what_it_gets() {
    let _turn = take_turn();
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let alice = sending(Cli::new(&server, "alice"), &sources().plain);
    let mut calling = alice.start("call echo --seconds 8");
    calling.ends_within(2 * DEADLINE, 0);
    echo.wait_for("ended");
    // It goes on echoing until somebody stops it.
    echo.process().interrupt();
    echo.ends_with(0);
    // Coded twice, so somewhat less alike than after one way.
    assert_speech_arrived(&alice.file("heard.wav"), &sources().plain.speech, 0.80);
    assert_pictures_came_back(&alice.file("seen.y4m"), &sources().plain);
}

#[test]
fn an_audio_call_carries_speech_and_no_picture() {
    let _turn = take_turn();
    let server = Server::start();
    let [alice, bob] =
        ["alice", "bob"].map(|name| sending(Cli::new(&server, name), &sources().plain).and(&["--frame-events"]));
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob --seconds 5 --audio-only");
    assert!(!answering.wait_for("incoming").flag("video"), "the callee learns that it is a call without picture");
    calling.ends_with(0);
    answering.ends_with(0);
    for running in [&calling, &answering] {
        assert!(running.all("frame_shown").is_empty() && running.all("first_frame").is_empty(), "no picture is shown");
    }
    for recorder in [&alice, &bob] {
        assert_speech_arrived(&recorder.file("heard.wav"), &sources().plain.speech, 0.90);
    }
}

#[test]
fn a_callee_without_camera_still_sees_the_caller() {
    let _turn = take_turn();
    let server = Server::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Cli::new(&server, name).with_media().and(&["--frame-events"]));
    let mut answering = bob.start_signed_in("answer --audio-only");
    let mut calling = alice.start("call bob");
    let shown = answering.wait_for("first_frame");
    assert_eq!((shown.number("width"), shown.number("height")), (1280, 720));
    assert!(!calling.wait_for("accepted").flag("video"), "the caller learns that there will be no picture");
    calling.process().interrupt();
    calling.ends_with(0);
    answering.ends_with(0);
    assert!(calling.all("frame_shown").is_empty(), "the callee shows nothing");
}

/// The camera's, the encoder's, the decoder's, that of sound, the preview's, which waits, and two for everything that is no
/// media, with one more for what blocks. Sound cards bring their own.
#[test]
fn a_call_has_eight_threads_at_most_beside_its_first_and_each_has_a_name() {
    let _turn = take_turn();
    let server = Server::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Cli::new(&server, name).with_media());
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob");
    calling.wait_for("first_frame");
    answering.wait_for("first_frame");
    // What was started only for the beginning has its name by then, or is gone.
    pass_seconds(&calling, 1);
    for running in [&mut calling, &mut answering] {
        let program = members(running.process().id()).swap_remove(0);
        let threads = program.threads();
        assert!(threads.iter().all(|name| *name != program.name), "one has no name: {threads:?}");
        assert!(threads.len() <= 8, "{threads:?}");
        for name in ["camera", "encoder", "decoder", "audio"] {
            assert_eq!(threads.iter().filter(|thread| *thread == name).count(), 1, "{name} in {threads:?}");
        }
    }
    calling.process().interrupt();
    calling.ends_with(0);
    answering.ends_with(0);
}

#[test]
fn what_is_shown_small_is_sent_small_and_what_nobody_sees_smaller_still() {
    let _turn = take_turn();
    for (shown, sent) in [("300x160", (320, 180)), ("0x0", (160, 90))] {
        let server = Server::start();
        let [alice, bob] = ["alice", "bob"].map(|name| Cli::new(&server, name).with_media().and(&["--frame-events"]));
        let mut answering = bob.with("--shown", shown).start_signed_in("answer");
        let mut calling = alice.start("call bob");
        let size = |frame: &Event| (frame.number("width"), frame.number("height"));
        let (mut frames, until) = (0, Instant::now() + DEADLINE);
        while size(&answering.wait_for_nth("frame_shown", frames)) != sent {
            assert!(Instant::now() < until, "no picture of {sent:?} came for a place of {shown}");
            frames = answering.all("frame_shown").len();
        }
        assert_eq!(size(&calling.wait_for("first_frame")), (1280, 720), "nobody told bob of a smaller place");
        calling.process().interrupt();
        calling.ends_with(0);
        answering.ends_with(0);
    }
}

#[test]
fn a_call_outlives_the_server() {
    let _turn = take_turn();
    let mut server = Server::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Cli::new(&server, name).with_media());
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob --seconds 6");
    calling.wait_for("first_frame");
    answering.wait_for("first_frame");
    server.kill();
    let lost = calling.wait_for("link_lost").t_ns();
    calling.ends_with(0);
    answering.ends_with(0);
    let [last, ended] = ["stats", "ended"].map(|name| calling.all(name).pop().expect("the call was long enough"));
    assert!(last.number("frames_shown") > 60 && ended.t_ns() > lost, "pictures came until the end");
    assert_eq!(answering.wait_for("ended").text("reason"), "hangup", "the goodbye needs no server");
}

#[test]
fn what_is_typed_during_a_call_is_done() {
    let _turn = take_turn();
    let server = Server::start();
    let bob = sending(Cli::new(&server, "bob"), &sources().turned).and(&["--frame-events"]);
    let alice = sending(Cli::new(&server, "alice"), &sources().plain).and(&["--commands"]);
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob");
    let mut told = 0;
    let mut wait_until_sent = |callee: &Running, audio: bool, video: bool| loop {
        let said = callee.wait_for_nth("remote_sending", told);
        told += 1;
        if (said.flag("audio"), said.flag("video")) == (audio, video) {
            return;
        }
    };
    answering.wait_for("first_frame");
    pass_seconds(&answering, 3);

    calling.tell("mute");
    wait_until_sent(&answering, false, true);
    let shown = answering.all("frame_shown").len();
    answering.wait_for_nth("frame_shown", shown + 30);

    calling.tell("camera-off");
    wait_until_sent(&answering, false, false);
    // What was under way may still arrive.
    pass_seconds(&answering, 1);
    let shown = answering.all("frame_shown").len();
    pass_seconds(&answering, 2);
    assert_eq!(answering.all("frame_shown").len(), shown, "no picture is shown");

    calling.tell("camera-on");
    wait_until_sent(&answering, false, true);
    answering.wait_for_nth("frame_shown", shown + 30);

    calling.tell("unmute");
    wait_until_sent(&answering, true, true);
    pass_seconds(&answering, 3);

    calling.tell("hang-up");
    calling.ends_with(0);
    answering.ends_with(0);
    assert_eq!(answering.wait_for("ended").text("reason"), "hangup");
    speech::assert_fell_silent(&bob.file("heard.wav"));
}

#[test]
fn events_can_be_written_to_a_file() {
    let server = Server::start();
    let bob = Cli::new(&server, "bob");
    let mut answering = bob.start_signed_in("answer");
    let alice = Cli::new(&server, "alice");
    let path = alice.file("events.jsonl");
    let mut calling = alice.with("--events", path.to_str().expect("a plain path")).start("call bob --seconds 0.5");
    calling.ends_with(0);
    answering.ends_with(0);
    let text = std::fs::read_to_string(path).expect("the events were written");
    let events: Vec<_> = text.lines().map(Event::parse).collect();
    let names: Vec<&str> = events.iter().map(|event| event.name()).collect();
    for name in ["signed_in", "dialling", "ringing", "accepted", "connected", "ended"] {
        assert!(names.contains(&name), "no {name} in {names:?}");
    }
    assert!(events.is_sorted_by_key(|event| event.t_ns()), "events are in order");
    let call = events.iter().find(|event| event.name() == "dialling").expect("checked just now").text("call");
    assert_eq!(answering.wait_for("incoming").text("call"), call, "both sides speak of the same call");
}

fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A failed test must not fail the others.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many whole seconds at least: statistics come each second, the first of them after a part of one.
#[track_caller]
fn pass_seconds(running: &Running, seconds: usize) {
    running.wait_for_nth("stats", running.all("stats").len() + seconds);
}

fn sources() -> &'static Sources {
    static SOURCES: OnceLock<Sources> = OnceLock::new();
    SOURCES.get_or_init(|| unpack(Path::new(env!("CARGO_TARGET_TMPDIR"))))
}

/// Sends `source` and records what comes.
fn sending(cli: Cli, source: &Source) -> Cli {
    let [seen, heard]: [PathBuf; 2] = ["seen.y4m", "heard.wav"].map(|name| cli.file(name));
    cli.with("--camera", &file(&source.clip))
        .with("--microphone", &file(&source.speech))
        .with("--display", &file(&seen))
        .with("--speaker", &file(&heard))
}

/// Nearly every picture that was captured was shown, in order; and what was recorded are those pictures.
fn assert_pictures_arrived(sender: &Running, receiver: &Running, recorded: &Path, source: &Source) {
    let rtp = |event: &Event| event.number("rtp") as u32;
    let captured: Vec<u32> = sender.all("frame_captured").iter().map(rtp).collect();
    let shown: Vec<u32> = receiver.all("frame_shown").iter().map(rtp).collect();
    let waited_ns = receiver.wait_for("first_frame").t_ns() - receiver.wait_for("connected").t_ns();
    assert!(waited_ns < 3_000_000_000, "the first picture took {waited_ns} ns");

    let place = |rtp: &u32| captured.iter().position(|captured| captured == rtp);
    let places: Vec<usize> = shown.iter().map(|rtp| place(rtp).expect("only what was captured is shown")).collect();
    assert!(places.is_sorted_by(|left, right| left < right), "pictures are shown in order, each once");
    let (first, last) = (places[0], places[places.len() - 1]);
    let between = last - first + 1;
    println!("{} of {} captured pictures were shown, {between} between first and last", shown.len(), captured.len());
    let all = captured.len();
    assert!(shown.len() as f64 >= 0.97 * all as f64, "{} of {all} captured pictures were shown", shown.len());
    assert!(captured.len() - last <= 30, "the picture froze: {} more were captured", captured.len() - last);

    // Pictures lie in the recording as they were taken; a time stamp may be off by what rounding leaves.
    let slot = |rtp: &u32| ((rtp.wrapping_sub(shown[0]) + TICKS / 2) / TICKS) as usize;
    let slots: Vec<usize> = shown.iter().map(slot).collect();
    let mut recording = Recording::open(recorded);
    let whole = slots[slots.len() - 1] + 1;
    assert!(recording.pictures.abs_diff(whole) <= 1, "{} pictures recorded, {whole} shown", recording.pictures);
    assert_recorded(&mut recording, source, &slots, 0.90);
}

/// What came back are the pictures of `source`, in order.
fn assert_pictures_came_back(recorded: &Path, source: &Source) {
    let mut recording = Recording::open(recorded);
    assert!(recording.pictures > 150, "only {} pictures came back", recording.pictures);
    let slots: Vec<usize> = (0..recording.pictures).collect();
    // Coded twice, so somewhat less alike than after one way.
    assert_recorded(&mut recording, source, &slots, 0.85);
}

/// The pictures at `slots` of a recording are the source's, in its order, whichever came first.
fn assert_recorded(recording: &mut Recording, source: &Source, slots: &[usize], least: f64) {
    assert_eq!((recording.width, recording.height, recording.rate), (640, 480, 30.0));
    let mut clip = Recording::open(&source.clip);
    let originals: Vec<Vec<u8>> = (0..clip.pictures).map(|number| clip.luma(number)).collect();
    // Steady after a second: the encoder begins with what the first key frame could afford.
    let whole = recording.pictures;
    let steady: Vec<(usize, Vec<u8>)> = slots
        .iter()
        .filter(|slot| **slot >= 30 && **slot < whole)
        .step_by(2)
        .map(|slot| (*slot, recording.luma(*slot)))
        .collect();
    let likeness = |(slot, seen): &(usize, Vec<u8>), offset: usize| {
        ssim(seen, &originals[(slot + offset) % originals.len()], recording.width)
    };
    // A call begins anywhere in the clip: where, three of its pictures tell.
    let three: Vec<_> = steady.iter().step_by(steady.len() / 3).collect();
    let fit = |offset: &usize| three.iter().map(|seen| likeness(seen, *offset)).sum::<f64>();
    let offset =
        (0..originals.len()).max_by(|left, right| fit(left).total_cmp(&fit(right))).expect("there are pictures");

    let mut similarities: Vec<f64> = steady.iter().map(|seen| likeness(seen, offset)).collect();
    let elsewhere: Vec<f64> = steady.iter().map(|seen| likeness(seen, offset + 5)).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    similarities.sort_by(f64::total_cmp);
    let worst = similarities[similarities.len() / 20];
    let (mean, elsewhere) = (mean(&similarities), mean(&elsewhere));
    println!(
        "SSIM of {} pictures: mean {mean:.3}, worst twentieth {worst:.3}, with others {elsewhere:.3}",
        steady.len()
    );
    assert!(mean >= least, "mean SSIM {mean:.3}, the worst twentieth {worst:.3}");
    assert!(worst >= least - 0.1, "the worst twentieth has an SSIM of {worst:.3}");
    assert!(mean > elsewhere + 0.02, "as like other pictures of the clip: {elsewhere:.3} to {mean:.3}");
}

fn assert_speech_arrived(recorded: &Path, sent: &Path, least: f32) {
    let sent = speech::read_wav(sent);
    let recorded = speech::read_wav(recorded);
    // The first second holds the beginning: silence, then the buffer filling.
    let found = speech::find(&recorded[recorded.len().min(speech::RATE_HZ)..], &sent);
    println!("{found:?}");
    assert!(found.len() >= 3, "hardly any sound in {} samples", recorded.len());
    let mut correlations: Vec<f32> = found.iter().map(|window: &Found| window.correlation).collect();
    correlations.sort_by(f32::total_cmp);
    let median = correlations[correlations.len() / 2];
    assert!(median >= least, "the speech is not alike: {correlations:?}");
    let displaced =
        found.iter().filter(|window| speech::displacement(found[0], **window, sent.len()) > speech::RATE_HZ / 10);
    assert!(displaced.count() <= 1, "the speech is out of place: {found:?}");
}
