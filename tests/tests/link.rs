//! The link emulator in real time: what two sockets in its namespaces see of it, and what its log says. Its rules have tests
//! in virtual time beside them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ahoy_tests::harness::DEADLINE;
use ahoy_tests::harness::lab::{End, Lab, LinkChoice};
use ahoy_tests::harness::probe::{Stream, send_over};
use ahoy_tests::harness::programs::program;
use tempfile::TempDir;

/// How much a busy machine may add to the median of a delay.
const LATE_MS: f64 = 15.0;

/// A lab that logs, with the folder of its log.
fn lab(profile: &str, arguments: &[&str]) -> Option<(Lab, TempDir)> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let lab = Lab::start_with(&LinkChoice::profile(profile), Some(&folder.path().join("log")), arguments)?;
    Some((lab, folder))
}

#[test]
fn packets_arrive_in_order_after_the_delay_both_ways() {
    let Some((mut lab, _folder)) = lab("delay-60", &[]) else { return };
    lab.begin();
    for from in [End::A, End::B] {
        let seen = send_over(&lab, from, Stream { packets_per_s: 200, bytes: 1000, lasts: Duration::from_secs(2) });
        assert_eq!((seen.sent, seen.arrived.len()), (400, 400), "nothing is lost");
        assert!(seen.arrived.is_sorted_by_key(|packet| packet.number), "they come in order");
        let delays_ms: Vec<f64> = seen.sorted_delays_ms();
        assert!(delays_ms[0] >= 60.0, "{} ms is too early", delays_ms[0]);
        assert!((60.0..60.0 + LATE_MS).contains(&delays_ms[200]), "{} ms in the median", delays_ms[200]);
    }
}

#[test]
fn packets_are_lost_as_often_and_as_long_as_asked_for_and_a_seed_repeats_it() {
    let stream = Stream { packets_per_s: 1000, bytes: 100, lasts: Duration::from_secs(4) };
    let run = || {
        let (mut lab, folder) = lab("burst-10", &[])?;
        lab.begin();
        let seen = send_over(&lab, End::A, stream);
        Some((seen, lab.summary(End::A), folder))
    };
    let [Some((first, log, _)), Some((second, ..))] = [run(), run()] else { return };
    // 4000 packets in bursts of 4 are 100 bursts, give or take 10.
    assert!((0.06..0.14).contains(&first.lost()), "{} are lost", first.lost());
    assert!((3.0..5.2).contains(&first.mean_burst()), "{} in a row", first.mean_burst());
    assert_eq!(log.lost, u64::from(first.sent) - first.arrived.len() as u64);
    assert_eq!(first.numbers(), second.numbers(), "the seed loses the same");
}

#[test]
fn the_bottleneck_passes_its_rate_and_a_full_queue_drops_the_rest() {
    let Some((mut lab, _folder)) = lab("slow-500k", &["--packets", "20"]) else { return };
    lab.begin();
    // 1028 bytes with the headers of IP and UDP: 823 kb/s, of which 500 kb/s pass.
    let seen = send_over(&lab, End::A, Stream { packets_per_s: 100, bytes: 1000, lasts: Duration::from_secs(4) });
    let log = lab.summary(End::A);
    assert_eq!(log.bytes_in, u64::from(seen.sent) * 1028);
    assert_eq!(log.dropped, u64::from(seen.sent) - seen.arrived.len() as u64);
    // 4 s at the rate and a queue of 20; less when the sender is late and the queue runs dry.
    let most = 4.0 * 500_000.0 / 8.0 / 1028.0 + 20.0;
    let arrived = seen.arrived.len() as f64;
    assert!((most * 0.7..most * 1.1).contains(&arrived), "{arrived} of {most}");
    // 20 packets of 16.4 ms.
    assert!((300.0..335.0).contains(&log.queueing_max_ms), "{log:?}");
    let last = seen.arrived.last().expect("some have arrived");
    assert!((345.0 - 20.0..350.0 + 2.0 * LATE_MS).contains(&last.delay_ms), "{last:?}");
}

#[test]
fn a_recorded_link_is_replayed_from_when_the_clock_begins() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = |name: &str, text: &str| -> PathBuf {
        std::fs::write(folder.path().join(name), text).expect("files can be written");
        folder.path().join(name)
    };
    // Up: an opportunity each 10 ms for half a second, then none for half a second. Down: 12 Mb/s.
    let up: Vec<String> = (1..=50).map(|at| (at * 10).to_string()).chain(["1000".to_owned()]).collect();
    let (up, down) = (file("up", &up.join("\n")), file("down", "1\n"));
    let Some(mut lab) = Lab::start(&LinkChoice::traces(&up, &down), Some(&folder.path().join("log"))) else { return };
    lab.begin();
    // Two each 10 ms, of which one passes.
    let _ = send_over(&lab, End::A, Stream { packets_per_s: 200, bytes: 1472, lasts: Duration::from_millis(1200) });
    // In the middle of the pause nothing passes, and all that could pass before are 50.
    let intervals = lab.intervals(End::A);
    let paused = intervals.windows(2).filter(|pair| pair[0].ends_ms >= 600 && pair[1].ends_ms <= 990);
    for pair in paused {
        assert!(pair[1].bytes_out == 0 && pair[1].queued > 0, "{pair:?}");
    }
    let before: u64 = intervals.iter().filter(|one| one.ends_ms <= 990).map(|one| one.bytes_out).sum();
    assert!(before.is_multiple_of(1500) && (25 * 1500..=50 * 1500).contains(&before), "{before}");
}

#[test]
fn a_connection_past_the_link_takes_its_time_and_loses_nothing() {
    let Some((lab, _folder)) = lab("loss-75", &[]) else { return };
    let server = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let forward = lab.forward(End::B, server.local_addr().expect("it is bound"), Duration::from_millis(40));
    let echo = thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("somebody comes");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("everything comes");
        stream.write_all(&all).expect("it can be sent back");
    });
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let begun = Instant::now();
    let mut client = lab.enter(End::B, || TcpStream::connect(forward)).expect("the forward listens");
    client.write_all(&sent).expect("it takes everything");
    client.shutdown(std::net::Shutdown::Write).expect("it is open");
    let mut came_back = Vec::new();
    client.read_to_end(&mut came_back).expect("everything comes back");
    let took = begun.elapsed();
    assert!(came_back == sent, "{} of {} bytes came back", came_back.len(), sent.len());
    assert!((80..400).contains(&took.as_millis()), "{took:?}");
    echo.join().expect("the echo has worked");
}

#[test]
fn everything_ends_with_the_lab() {
    let Some((lab, _folder)) = lab("clean-20ms", &[]) else { return };
    let forward = lab.forward(End::A, SocketAddr::from(([127, 0, 0, 1], 9)), Duration::ZERO);
    let ip = |arguments: &[&str]| Command::new("ip").args(arguments).output().expect("ip is there");
    // What is started inside stays there after the thread has gone back.
    let devices = |end| lab.enter(end, || String::from_utf8_lossy(&ip(&["-o", "link"]).stdout).into_owned());
    for end in [End::A, End::B] {
        let devices = devices(end);
        assert!(devices.lines().count() == 2 && devices.contains("ahoy0"), "{devices}");
    }
    assert!(!String::from_utf8_lossy(&ip(&["-o", "link"]).stdout).contains("ahoy0"), "the thread is back");
    let socket = lab.enter(End::A, || UdpSocket::bind((lab.address(End::A), 0))).expect("the address is there");
    let there = SocketAddr::from((lab.address(End::B), 9));
    socket.send_to(b"on", there).expect("the link is there");
    drop(lab);
    socket.send_to(b"off", there).expect_err("the device is gone");
    TcpStream::connect(forward).expect_err("nobody listens there outside");
}

#[test]
fn a_link_with_a_dead_way_ends_and_its_log_is_refused() {
    let Some((lab, _folder)) = lab("clean-20ms", &[]) else { return };
    assert!(lab.intervals(End::A).is_empty(), "the clock has not begun");
    let deleted = lab.enter(End::A, || Command::new("ip").args(["link", "delete", "ahoy0"]).status());
    assert!(deleted.expect("ip is there").success());
    let deadline = Instant::now() + DEADLINE;
    let refused = loop {
        match catch_unwind(AssertUnwindSafe(|| lab.intervals(End::B))) {
            Err(refused) => break refused,
            Ok(_) => assert!(Instant::now() < deadline, "the link lives on"),
        }
    };
    let why = refused.downcast_ref::<String>().expect("it says why");
    assert!(why.starts_with("the link has ended with status 1"), "{why}");
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let trace = folder.path().join("trace");
    std::fs::write(&trace, "1\n2\nthree\n").expect("files can be written");
    let trace = trace.to_str().expect("a plain path");
    for (arguments, says) in [
        (&["--profile", "nosuch"][..], "there is no profile \"nosuch\""),
        (&["--trace", trace, trace], "trace:3: no number of milliseconds"),
        (&[], "--profile"),
    ] {
        let output = Command::new(program("ahoy-link")).args(arguments).output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(says), "{arguments:?}: {errors}");
    }
}
