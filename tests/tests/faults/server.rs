//! The server dies, stands still or comes back while people call, and clients that stand still themselves.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ahoy_client::monotonic_ns;
use ahoy_tests::harness::Server;
use ahoy_tests::harness::cli::{Cli, Running};
use ahoy_tests::harness::pace::{allow, pick};

use crate::beside_others;

/// F1: killed in a call and back after 2 s. Nobody in the call notices, both are signed in again, and while the server
/// is away a goodbye finds its way.
#[test]
fn a_server_that_dies_in_a_call_and_comes_back_is_not_noticed_in_it() {
    let _turn = beside_others();
    let mut server = Server::start_to_restart();
    let (mut calling, mut answering) = in_a_call(&server);
    away(&mut server, &calling, &answering, 2, Duration::from_secs(5));
    let signed_in = |running: &Running| running.wait_for_nth("signed_in", 1).t_ns();
    let lost = |running: &Running| running.wait_for("link_lost").t_ns();
    for running in [&calling, &answering] {
        assert!(signed_in(running) > lost(running));
    }
    // The second time for good.
    server.kill();
    calling.wait_for_nth("link_lost", 1);
    answering.wait_for_nth("link_lost", 1);
    calling.process().interrupt();
    calling.ends_with(0);
    answering.ends_with(0);
    for running in [&calling, &answering] {
        assert_eq!(running.wait_for("ended").text("reason"), "hangup", "the goodbye needs no server");
        assert!(running.all("path_lost").is_empty(), "the path was never in doubt");
    }
}

/// F2: away for ten minutes; at the short pace for so long that the waits between attempts have grown to their longest.
#[test]
fn a_server_that_is_away_for_long_is_found_again_and_the_call_goes_on() {
    let _turn = beside_others();
    let mut server = Server::start_to_restart();
    let (mut calling, mut answering) = in_a_call(&server);
    away(&mut server, &calling, &answering, pick(14, 600), Duration::from_secs(10));
    // It works as before: somebody else learns from it that they talk.
    let mut carol = Cli::new(&server, "carol").start("call bob");
    carol.fails_saying(&["another call", "busy"]);
    calling.process().interrupt();
    calling.ends_with(0);
    answering.ends_with(0);
}

/// F3: restarted while it rings. Accepted after that, the call comes about.
#[test]
fn a_call_that_rings_while_the_server_restarts_can_be_accepted() {
    let _turn = beside_others();
    let mut server = Server::start_to_restart();
    let mut answering = small(&server, "bob").start_signed_in("answer --delay-ms 5000");
    let mut calling = small(&server, "alice").start("call bob --seconds 1");
    calling.wait_for("ringing");
    server.restart();
    assert!(answering.all("accepted").is_empty(), "the server was back before anybody said yes");
    connects_and_ends(&mut calling, &mut answering);
}

/// F3: accepted while the server is away, the call comes about when it is back.
#[test]
fn a_call_accepted_while_the_server_is_away_comes_about_when_it_is_back() {
    let _turn = beside_others();
    let mut server = Server::start_to_restart();
    let mut answering = small(&server, "bob").start_signed_in("answer --delay-ms 1500");
    let mut calling = small(&server, "alice").start("call bob --seconds 1");
    calling.wait_for("ringing");
    server.kill();
    answering.wait_for("accepted");
    server.restart();
    connects_and_ends(&mut calling, &mut answering);
}

/// F4: stopped, with all connections open. Both notice within 10 s, the call goes on, and both are back when it is.
#[test]
fn a_server_that_stands_still_is_noticed_within_10_s_and_the_call_goes_on() {
    let _turn = beside_others();
    let server = Server::start_to_restart();
    let (mut calling, mut answering) = in_a_call(&server);
    let (began, before) = (monotonic_ns(), [&calling, &answering].map(statistics));
    server.freeze();
    for running in [&calling, &answering] {
        let noticed = Duration::from_nanos(running.wait_for("link_lost").t_ns() - began);
        println!("noticed after {noticed:?}");
        // Exactly 9 s in virtual time; what is more is this machine's load.
        assert!(noticed < allow(Duration::from_secs(10)), "noticed only after {noticed:?}");
    }
    let stands = pick(Duration::ZERO, Duration::from_secs(30));
    sleep(stands.saturating_sub(Duration::from_nanos(monotonic_ns() - began)));
    server.thaw();
    for (running, before) in [&calling, &answering].into_iter().zip(before) {
        running.wait_for_nth("signed_in", 1);
        assert_goes_on(running, before);
    }
    calling.process().interrupt();
    calling.ends_with(0);
    answering.ends_with(0);
}

/// F23: a computer that slept. Its link looks sound; it is opened anew at once, and calls come in again within 5 s.
#[test]
fn who_slept_signs_in_anew_at_once_and_can_be_called() {
    let _turn = beside_others();
    let server = Server::start();
    let mut answering = Cli::new(&server, "bob").start_signed_in("answer");
    freeze_for(&mut answering, pick(Duration::from_secs(9), Duration::from_secs(60)));
    let woke = monotonic_ns();
    let back = answering.wait_for_nth("signed_in", 1).t_ns();
    let took = Duration::from_nanos(back.saturating_sub(woke));
    println!("back after {took:?}");
    assert!(took < allow(Duration::from_secs(5)), "back only after {took:?}");
    assert_eq!(answering.all("link_lost").len(), 1);
    let mut calling = Cli::new(&server, "alice").start("call bob --seconds 0.5");
    calling.ends_with(0);
    answering.ends_with(0);
}

/// Pictures small enough for several calls at once on one machine.
fn small(server: &Server, name: &str) -> Cli {
    Cli::new(server, name).with_media().with("--shown", "160x90")
}

/// Alice has called Bob, and both see each other.
fn in_a_call(server: &Server) -> (Running, Running) {
    let answering = small(server, "bob").start_signed_in("answer");
    let calling = small(server, "alice").start("call bob");
    calling.wait_for("first_frame");
    answering.wait_for("first_frame");
    (calling, answering)
}

/// The server dies and is started again so many seconds later; both are signed in again, and media went on all the time.
#[track_caller]
fn away(server: &mut Server, calling: &Running, answering: &Running, seconds: usize, back_within: Duration) {
    let before = [calling, answering].map(statistics);
    server.kill();
    calling.wait_for("link_lost");
    answering.wait_for("link_lost");
    // Statistics come each second.
    let so_far = calling.all("stats").len();
    for second in 1..=seconds {
        calling.wait_for_nth("stats", so_far + second);
    }
    assert_eq!(calling.all("signed_in").len(), 1, "there is nothing to sign in to");
    let restarted = monotonic_ns();
    server.restart();
    for (running, before) in [calling, answering].into_iter().zip(before) {
        let took = Duration::from_nanos(running.wait_for_nth("signed_in", 1).t_ns() - restarted);
        println!("signed in after {took:?}");
        assert!(took <= allow(back_within), "signed in only {took:?} after the server was back");
        assert_goes_on(running, before);
    }
}

/// How many statistics there are, for [`assert_goes_on`].
fn statistics(running: &Running) -> usize {
    running.wait_for("stats");
    running.all("stats").len()
}

/// From the `from`th statistics on until now, and two seconds more, sound and pictures came all the time. A loaded machine
/// may take its time for a picture, so that only in each two seconds something has to come.
#[track_caller]
fn assert_goes_on(running: &Running, from: usize) {
    running.wait_for_nth("stats", running.all("stats").len() + 1);
    let stats = &running.all("stats")[from - 1..];
    let figures = |name: &str| stats.iter().map(|stats| stats.number(name)).collect::<Vec<u64>>();
    let (packets, shown) = (figures("packets_received"), figures("frames_shown"));
    println!("by each second: packets {packets:?}, pictures {shown:?}");
    assert!(packets.len() >= 3 && packets.windows(3).all(|three| three[0] < three[2]), "it froze: {packets:?}");
    assert!(shown.first() < shown.last(), "the picture froze: {shown:?}");
    assert!(running.all("path_lost").is_empty() && running.all("ended").is_empty());
}

/// Both are connected and end after the second that the caller asked for.
#[track_caller]
fn connects_and_ends(calling: &mut Running, answering: &mut Running) {
    calling.wait_for("connected");
    answering.wait_for("connected");
    calling.ends_with(0);
    answering.ends_with(0);
    assert_eq!(calling.wait_for("ended").text("reason"), "hangup");
    assert_eq!(calling.all("dialling").len(), 1);
    assert_eq!(answering.all("incoming").len(), 1, "it rings once");
}

/// Stops a program for so long, as sleep does. There is no event to wait for: nothing happens meanwhile.
fn freeze_for(running: &mut Running, time: Duration) {
    running.process().signal(rustix::process::Signal::STOP);
    let until = Instant::now() + time;
    while Instant::now() < until {
        sleep(until.saturating_duration_since(Instant::now()));
    }
    running.process().signal(rustix::process::Signal::CONT);
}
