//! Peers that die, stop, hang up at a bad moment, have a wrong clock or too little of the processor, or a bug.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{available_parallelism, scope, sleep};
use std::time::{Duration, Instant};

use ahoy_tests::harness::pace::{allow, pick};
use ahoy_tests::harness::rig::{longest_freeze, now_ns};
use ahoy_tests::harness::{Cli, DEADLINE, Running, Server, skipped};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;

use crate::{alone, beside_others, camera};

/// How long a call goes on before something happens to it.
const SETTLED: Duration = Duration::from_secs(2);

/// A call between two that report every picture and take commands, alice having called.
fn call(server: &Server, prepare: impl Fn(Cli) -> Cli) -> [Running; 2] {
    let cli = |user| prepare(Cli::new(server, user).with_media().and(&["--frame-events", "--commands"]));
    let bob = cli("bob").start_signed_in("answer");
    let alice = cli("alice").start("call bob");
    for peer in [&alice, &bob] {
        peer.wait_for("connected");
        peer.wait_for("first_frame");
    }
    sleep(SETTLED);
    [alice, bob]
}

fn hang_up(mut pair: [Running; 2]) {
    pair[0].tell("hang-up");
    pair.iter_mut().for_each(|peer| drop(peer.ends_with(0)));
}

/// Waits for that time of the events' clock.
fn sleep_until(t_ns: u64) {
    sleep(Duration::from_nanos(t_ns.saturating_sub(now_ns())));
}

/// Whether the fake camera is open: it is a timer descriptor, and nothing else in these programs is.
fn camera_is_open(peer: &mut Running) -> bool {
    peer.process().descriptors().iter().any(|name| name.contains("timerfd"))
}

#[test]
fn a_peer_that_is_killed_is_missed_within_5_s_and_the_call_ends_within_50() {
    let _turn = beside_others();
    let Some(camera) = camera() else { return };
    let server = Server::start();
    let waiting = Cli::new(&server, "alice").with("--camera", "default").with("--microphone", "tone");
    // Stays when the call has ended, so that it can be seen what it holds.
    let mut alice = waiting.with_environment(camera.environment()).start_signed_in("answer --calls 2");
    let bob = Cli::new(&server, "bob").with_media();
    let mut killed = bob.start("call alice");
    alice.wait_for("first_frame");
    sleep(SETTLED);
    assert!(camera_is_open(&mut alice), "the camera is on in the call");
    killed.process().kill();
    let at = now_ns();
    let again = bob.start("answer");
    let back = Duration::from_nanos(again.wait_for("signed_in").t_ns() - at);
    assert!(back <= allow(Duration::from_secs(5)), "the name's owner is back after {back:?}");
    wait_within(Duration::from_secs(60), "the call ends", || !alice.all("ended").is_empty());
    let lost = Duration::from_nanos(alice.wait_for("path_lost").t_ns() - at);
    assert!(lost <= allow(Duration::from_secs(5)), "it took {lost:?} to notice");
    let ended = alice.wait_for("ended");
    let took = Duration::from_nanos(ended.t_ns() - at);
    assert!(took <= allow(Duration::from_secs(50)), "it took {took:?} to end");
    assert!(!ended.text("message").is_empty(), "it says why");
    wait_within(DEADLINE, "the camera is let go", || !camera_is_open(&mut alice));
    let mut carol = Cli::new(&server, "carol").with_media().start("call alice --seconds 0.5");
    carol.ends_with(0);
    // It broke off one call and ended the other well: the last one counts.
    alice.ends_with(0);
}

#[test]
fn a_peer_that_stands_still_for_5_s_is_back_within_2_and_in_step() {
    let _turn = beside_others();
    let server = Server::start();
    let mut pair = call(&server, |cli| cli);
    pair[1].process().signal(Signal::STOP);
    sleep(Duration::from_secs(5));
    pair[1].process().signal(Signal::CONT);
    let back = now_ns();
    let watched = back + 6_000_000_000;
    sleep_until(watched + 500_000_000);
    for peer in &pair {
        let longest = longest_freeze(peer, back, watched);
        assert!(longest <= allow(Duration::from_secs(2)), "nothing was seen for {longest:?}");
        let stats = peer.all("stats");
        let early_ms = stats.last().expect("a call tells how it does").decimal("sound_early_ms");
        assert!(early_ms.abs() <= pick(200.0, 80.0), "sound is {early_ms} ms early");
    }
    hang_up(pair);
}

#[test]
fn a_caller_who_hangs_up_at_any_moment_leaves_nothing_behind() {
    let _turn = beside_others();
    let seeds: u64 = pick(60, 1_000);
    scope(|threads| {
        for lane in 0..2 {
            threads.spawn(move || hang_up_at_random((0..seeds).filter(move |seed| seed % 2 == lane)));
        }
    });
}

fn hang_up_at_random(seeds: impl Iterator<Item = u64>) {
    const CALLERS: usize = 64;
    let Some(camera) = camera() else { return };
    let server = Server::start_with(&["--new-names", "200"]);
    let (callee, callers) = one_for_many(&server, CALLERS);
    let callee = callee.with("--camera", "default").with_environment(camera.environment());
    let mut bob = callee.start_signed_in("answer --calls 1000000");
    // Once everything, so that what is made once is there.
    callers[CALLERS - 1].start("call bob --seconds 0.5").ends_with(0);
    wait_within(DEADLINE, "the camera is let go", || !camera_is_open(&mut bob));
    let before = [bob.process().descriptors().len(), bob.process().threads()];
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let mut caller = callers[seed as usize / 2 % (CALLERS - 2)].start("call bob");
        caller.wait_for("dialling");
        sleep(Duration::from_millis(random.random_range(0..700)));
        caller.process().interrupt();
        let hung_up = now_ns();
        let status = caller.process().wait(DEADLINE);
        let errors = caller.process().errors();
        assert!(
            matches!(status.code(), Some(0 | 4)) && !errors.contains("panicked"),
            "seed {seed}: {status}, {errors}"
        );
        wait_within(DEADLINE, "nobody rings", || bob.all("incoming").len() == bob.all("ended").len());
        if let Some(ended) = bob.all("ended").last().filter(|ended| ended.t_ns() > hung_up) {
            let took = Duration::from_nanos(ended.t_ns() - hung_up);
            assert!(took <= allow(Duration::from_secs(2)), "seed {seed}: the callee was left for {took:?}");
        }
    }
    assert!(bob.all("refused").is_empty() && bob.all("incoming").len() > 1, "they ring");
    callers[CALLERS - 2].start("call bob --seconds 0.5").ends_with(0);
    wait_within(DEADLINE, "the camera is let go", || !camera_is_open(&mut bob));
    // Some threads of the runtime come and go; one a call would be thirty.
    wait_within(DEADLINE, "descriptors and threads are given back", || {
        let now = [bob.process().descriptors().len(), bob.process().threads()];
        now.iter().zip(&before).all(|(now, before)| *now <= before + 6)
    });
    bob.process().interrupt();
    let status = bob.process().wait(DEADLINE);
    assert!(status.code().is_some() && !bob.process().errors().contains("panicked"), "{status}");
}

#[test]
fn a_wall_clock_that_jumps_by_a_day_is_not_noticed() {
    let _turn = beside_others();
    let Some(mut clock) = WallClock::new() else { return };
    let server = Server::start();
    let environment = clock.environment();
    let pair = call(&server, |cli| cli.with_environment(environment.clone()));
    let from = now_ns();
    for offset in ["+86400", "-86400", "+0"] {
        clock.turn(offset);
        sleep(Duration::from_secs(2));
    }
    for peer in &pair {
        let longest = longest_freeze(peer, from, now_ns());
        assert!(longest < allow(Duration::from_secs(1)), "nothing was seen for {longest:?}");
        assert!(peer.all("path_lost").is_empty() && peer.all("link_lost").is_empty());
    }
    hang_up(pair);
}

/// The wall clock of programs that libfaketime is loaded into. Their monotonic clock stays.
struct WallClock {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl WallClock {
    /// As it is. `None`: this machine has no libfaketime, which is said.
    fn new() -> Option<Self> {
        let output = Command::new("faketime").args(["-f", "+0", "env"]).output().ok();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let Some(library) = text.lines().find_map(|line| line.strip_prefix("LD_PRELOAD=")) else {
            skipped("no libfaketime (the package faketime) to turn a wall clock with");
            return None;
        };
        let library = library.replace("libfaketime.so", "libfaketimeMT.so").into();
        let mut clock = Self { folder: tempfile::tempdir().expect("a folder can be made"), library };
        clock.turn("+0");
        Some(clock)
    }

    fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.folder.path().join("offset")),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// Turns it to so many seconds from the true time, and sees that programs believe it.
    fn turn(&mut self, offset: &str) {
        let [new, file] = ["new", "offset"].map(|name| self.folder.path().join(name));
        // At once: a program may be reading it.
        std::fs::write(&new, offset).and_then(|()| std::fs::rename(&new, &file)).expect("there is room");
        let date = Command::new("date").arg("+%s").envs(self.environment()).output().expect("there is a clock");
        let shown: i64 = String::from_utf8_lossy(&date.stdout).trim().parse().expect("it tells the time");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later").as_secs();
        let off = shown - now as i64 - offset.parse::<i64>().expect("an offset");
        assert!(off.abs() < 60, "the wall clock is {off} s off what it was turned to");
    }
}

#[test]
fn on_a_starved_machine_sound_goes_on_and_pictures_come_back() {
    let _turn = alone();
    let server = Server::start();
    let pair = call(&server, |cli| cli);
    let concealed = |peer: &Running| peer.all("stats").last().map_or(0.0, |stats| stats.decimal("concealed_ms"));
    let before = pair.each_ref().map(concealed);
    let starved = Duration::from_secs(pick(6, 60));
    let from = now_ns();
    starve(starved);
    let to = now_ns();
    sleep(Duration::from_secs(5));
    for (peer, before) in pair.iter().zip(before) {
        let silent = concealed(peer) - before;
        assert!(silent <= starved.as_secs_f64() * 1e3 * pick(0.5, 0.25), "{silent} ms of {starved:?} were not heard");
        let longest = longest_freeze(peer, from, to);
        assert!(longest <= allow(Duration::from_secs(3)), "nothing was seen for {longest:?}");
        let longest = longest_freeze(peer, to, to + 4_500_000_000);
        assert!(longest <= allow(Duration::from_secs(2)), "afterwards nothing was seen for {longest:?}");
    }
    hang_up(pair);
}

/// Two threads a core that do nothing but compute.
fn starve(lasts: Duration) {
    let threads = 2 * available_parallelism().map_or(2, usize::from);
    let over = AtomicBool::new(false);
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        sleep(lasts);
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_bug_in_one_part_of_the_media_costs_that_part_and_the_call_goes_on() {
    let _turn = beside_others();
    for (part, word) in [("encoder", "picture"), ("decoder", "picture"), ("audio", "sound")] {
        let server = Server::start();
        let mut pair = call(&server, |cli| cli);
        pair[0].tell(&format!("panic {part}"));
        let told = pair[0].wait_for("media_failed");
        assert!(told.text("message").contains(word), "{}", told.text("message"));
        let from = now_ns();
        sleep(allow(Duration::from_secs(2)));
        // The way on which nothing happened still works.
        let seeing = if part == "decoder" { 1 } else { 0 };
        let longest = longest_freeze(&pair[seeing], from, now_ns());
        assert!(longest < allow(Duration::from_secs(1)), "{part}: nothing was seen for {longest:?}");
        pair[0].tell("hang-up");
        let status = pair[0].process().wait(DEADLINE);
        let errors = pair[0].process().errors();
        assert!(status.success() && errors.contains(&format!("on purpose: {}", capital(part))), "{status}: {errors}");
        pair[1].ends_with(0);
    }
}

#[test]
fn a_bug_in_a_calls_task_ends_that_call_in_words_and_nothing_else() {
    let _turn = beside_others();
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").with_media().and(&["--commands"]).start_signed_in("answer --calls 2");
    let mut alice = Cli::new(&server, "alice").with_media().start("call bob");
    bob.wait_for("first_frame");
    bob.tell("panic task");
    assert!(!bob.wait_for("ended").text("message").is_empty());
    let status = alice.process().wait(DEADLINE);
    assert!(!alice.wait_for("ended").text("message").is_empty(), "{status}");
    let mut carol = Cli::new(&server, "carol").with_media().start("call bob --seconds 1");
    carol.wait_for("first_frame");
    carol.ends_with(0);
    let status = bob.process().wait(DEADLINE);
    assert!(status.success() && bob.process().errors().contains("on purpose: Task"), "{status}");
}

/// A callee, bob, and so many who know him and whom he knows: three times a minute is how often one may make another ring.
pub(crate) fn one_for_many(server: &Server, callers: usize) -> (Cli, Vec<Cli>) {
    let names: Vec<String> = (0..callers).map(|number| format!("caller{number}")).collect();
    let contacts: Vec<&str> = names.iter().flat_map(|name| ["--contact", name]).collect();
    let callers = names.iter().map(|name| Cli::new(server, name).with_media().and(&["--contact", "bob"])).collect();
    (Cli::new(server, "bob").with_media().and(&contacts), callers)
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

#[track_caller]
pub(crate) fn wait_within(within: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        sleep(Duration::from_millis(20));
    }
}
