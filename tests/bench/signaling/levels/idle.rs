//! Who sits idle, and how all of them come back when the server was gone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ahoy_tests::harness::DEADLINE;
use futures_util::{StreamExt as _, stream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::client::{Client, Who};
use super::super::cores::Cores;
use super::super::meter::{Memory, Meter, peak_kb, resident_kb};
use super::super::rest;
use super::super::server::Server;
use super::super::traffic::Traffic;

/// Before somebody whom the server did not take tries again.
const PAUSE: Duration = Duration::from_millis(200);
/// Who knock at a time.
const AT_A_TIME: usize = 64;

/// What those take who say nothing.
pub(super) struct Idle {
    /// All of them together.
    pub(super) memory_kb: f64,
    /// The part of one core's time.
    pub(super) busy: f64,
}

/// How many a server takes.
pub(super) struct Accepted {
    pub(super) knocked: usize,
    pub(super) entered: usize,
}

/// All come back at once.
pub(super) struct Storm {
    /// From when the server is there again until each is signed in.
    pub(super) each_s: Vec<f64>,
    pub(super) all_s: f64,
    /// The most that the new server had in memory, by what the old one had when all were signed in and idle.
    pub(super) peak_by_idle: f64,
}

/// `people` sign in and sit idle for `span`; then the server is killed and started again.
pub(super) fn measure(server: &mut Server, people: usize, span: Duration, cores: Cores) -> (Idle, Storm) {
    let (idle, resident) = cores.run(|| sit(server, people, span));
    server.restart(cores);
    let (each_s, peak) = cores.run(|| all_come_back(server, people));
    let all_s = each_s.iter().copied().fold(0.0, f64::max);
    (idle, Storm { each_s, all_s, peak_by_idle: peak / resident })
}

/// What they take, and what the server has in memory with them, in kilobytes.
async fn sit(server: &Server, people: usize, span: Duration) -> (Idle, f64) {
    rest(server).await;
    let before = Memory::now(server.member());
    let traffic = Traffic::sign_in(server, people).await;
    rest(server).await;
    let memory = Memory::now(server.member()).since(before, 1);
    let meter = Meter::start(server.member());
    sleep(span).await;
    let busy = meter.stop(0).server_busy;
    let resident = resident_kb(server.member());
    // They are cut off, as when the server is killed; nobody signs out.
    traffic.end().await;
    (Idle { memory_kb: memory.server_kb, busy }, resident)
}

/// When each was back, and the most that the server had in memory meanwhile, in kilobytes.
async fn all_come_back(server: &Server, people: usize) -> (Vec<f64>, f64) {
    let began = Instant::now();
    let mut comers = JoinSet::new();
    for number in 0..people {
        comers.spawn(come_back(server.address(), number, began));
    }
    let (mut each_s, mut all) = (Vec::with_capacity(people), Vec::with_capacity(people));
    while let Some(back) = comers.join_next().await {
        let (client, took_s) = back.expect("everybody comes back");
        each_s.push(took_s);
        all.push(client);
    }
    (each_s, peak_kb(server.member()))
}

/// Under the same name. Gives the client, and when it was signed in.
async fn come_back(server: SocketAddr, number: usize, began: Instant) -> (Client, f64) {
    let who = Who::guest(number as u64);
    loop {
        match Client::sign_in(server, number, &who).await {
            Ok(client) => return (client, began.elapsed().as_secs_f64()),
            Err(error) => assert!(began.elapsed() < DEADLINE, "{}: {error}", who.username),
        }
        sleep(PAUSE).await;
    }
}

/// As many sign in as this program and the server may have files for, at most `wanted`, and stay until all are there.
pub(super) async fn accept(server: &Server, wanted: usize) -> Accepted {
    let knocked = wanted.min(super::super::most_connections());
    let comers = (0..knocked).map(|number| async move {
        let who = Who::guest(number as u64);
        Client::sign_in(server.address(), number, &who).await
    });
    let comers: Vec<_> = stream::iter(comers).buffered(AT_A_TIME).collect().await;
    let entered = comers.iter().filter(|comer| comer.is_ok()).count();
    Accepted { knocked, entered }
}
