//! Thousands of connections that never become one, beside two people who talk (row A1 of docs/reliability.md). The server is
//! the program: what it holds is told apart from what the crowd holds.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::harness::*;
use crate::program::Program;

const CROWD: usize = 5_000;
/// What everything else needs.
const OTHER_DESCRIPTORS: u64 = 200;
/// The contract's ten seconds from the connection on, and what a busy machine needs to accept so many and to tell.
const CLOSED_WITHIN: Duration = Duration::from_secs(15);
/// Of what the crowd makes of the server, for each connection: the buffer that hyper reads headers into, and a task.
const HELD_KIB: u64 = 32;
/// All come within seconds, and no more than the system lets wait for being accepted: others would never reach the server.
const AT_A_TIME: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);
/// What a 99th percentile of some hundreds is off by where others compute too.
const ROOM: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_slow_connections_are_closed_in_time_and_two_who_talk_do_not_notice() {
    let crowd = CROWD.min(usize::try_from(raise_descriptor_limit().saturating_sub(OTHER_DESCRIPTORS)).unwrap());
    let program = Program::start(&["--no-turn"]);
    let server = program.child.id();
    let mut alice = Client::connect(program.address).await;
    let mut bob = Client::connect(program.address).await;
    for (client, name) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        assert_eq!(client.login(name, 1).await["type"], "welcome");
    }
    let mut quiet = Vec::new();
    for _ in 0..200 {
        quiet.push(a_word(&mut alice, &mut bob).await);
    }
    let before = resident_kib(server);
    let mut slow = JoinSet::new();
    let (mut loud, mut most, mut longest, mut come) = (Vec::new(), before, Duration::ZERO, 0);
    while come < crowd || !slow.is_empty() {
        let next = crowd.min(come + AT_A_TIME);
        (come..next).for_each(|number| drop(slow.spawn(dawdle(program.address, number))));
        come = next;
        loud.push(a_word(&mut alice, &mut bob).await);
        most = most.max(resident_kib(server));
        while let Some(lasted) = slow.try_join_next() {
            longest = longest.max(lasted.unwrap());
        }
    }
    let (quiet, loud, held) = (p99(quiet), p99(loud), (most - before) / crowd as u64);
    println!(
        "{crowd} connections: the last closed after {longest:?}, {held} KiB each, p99 {quiet:?} before, {loud:?} beside"
    );
    assert!(longest <= CLOSED_WITHIN, "one was open for {longest:?}");
    assert!(held <= HELD_KIB, "{held} KiB for each connection");
    assert!(loud <= 2 * quiet + ROOM, "a word took {loud:?}, without the crowd {quiet:?}");
    // There is room for others again.
    assert_eq!(Client::connect(program.address).await.login("carol", 1).await["type"], "welcome");
}

/// One from alice to bob, and how long it took.
async fn a_word(alice: &mut Client, bob: &mut Client) -> Duration {
    sleep(PAUSE).await;
    let began = Instant::now();
    alice.send(json!({"type": "restart", "call": CALL, "to": address("bob", 1), "n": 0})).await;
    assert_eq!(bob.next().await["type"], "restart");
    began.elapsed()
}

/// A connection that says nothing, most of a request, or a byte a second. Returned is how long the server bore it.
async fn dawdle(server: SocketAddr, number: usize) -> Duration {
    let (mut reader, mut writer) = TcpStream::connect(server).await.unwrap().into_split();
    let began = Instant::now();
    let request = upgrade_request("/ws", "").into_bytes();
    let write = async {
        match number % 3 {
            0 => {}
            1 => drop(writer.write_all(&request[..request.len() - 1]).await),
            _ => {
                for byte in &request {
                    if writer.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
        // Nothing more, and the connection is left to the server.
        std::future::pending::<()>().await;
    };
    let read = async {
        // Closed or reset, either is an end.
        let _ = reader.read_to_end(&mut Vec::new()).await;
    };
    tokio::select! {
        () = write => {}
        () = read => {}
        () = sleep(2 * CLOSED_WITHIN) => {}
    }
    began.elapsed()
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99).div_ceil(100) - 1]
}

/// As far as the system allows, for this program and those that it starts.
fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}

fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
