//! Pairs of guests that send each other messages through the server: as many as it carries, or at a given pace.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;
use uuid::Uuid;

use ahoy_tests::harness::DEADLINE;

use super::client::{Client, Heard, Reader, Who, pong, text_frame};
use super::meter::{Meter, Pace};
use super::server::Server;
use super::turns::Turns;

/// Sign-ins at a time.
const SIGNING_IN: usize = 64;
/// How often the end of something is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// Everybody, signed in; numbers 2n and 2n+1 are a pair.
pub(super) struct Traffic {
    shared: Arc<Shared>,
    readers: JoinSet<()>,
}

/// How long messages took at a given pace.
pub(super) struct Delays {
    pub(super) pace: Pace,
    pub(super) delays_ms: Vec<f64>,
    /// How much later than they were due this program sent them. Part of the delays above.
    pub(super) late_ms: Vec<f64>,
}

struct Shared {
    ends: Vec<End>,
    mode: Mutex<Mode>,
    sent: AtomicU64,
    received: AtomicU64,
    /// The first thing that a server said and should not have.
    complaint: OnceLock<String>,
}

struct End {
    writer: OwnedWriteHalf,
    /// To the other of the pair.
    message: Vec<u8>,
}

/// What a message that arrives leads to.
#[derive(Clone)]
enum Mode {
    /// Nothing.
    Still,
    /// One back.
    Answer,
    /// One back while it is the pair's turn.
    Turns(Arc<Mutex<Turns>>),
    /// Its delay is noted.
    Paced(Arc<Paced>),
}

/// Messages that are sent when they are due, whatever became of the earlier ones.
#[derive(Default)]
struct Paced {
    /// By pair, when those were due that have not arrived.
    due: Vec<Mutex<VecDeque<Instant>>>,
    delays_ms: Mutex<Vec<f64>>,
    late_ms: Mutex<Vec<f64>>,
    stop: AtomicBool,
}

impl Traffic {
    /// Signs in so many, an even number, as guests. They listen from then on, and say nothing.
    pub(super) async fn sign_in(server: &Server, people: usize) -> Self {
        let who: Vec<Who> = (0..people as u64).map(Who::guest).collect();
        let clients = stream::iter(who.iter().enumerate());
        let clients = clients.map(|(number, who)| Client::sign_in(server.address(), number, who)).buffered(SIGNING_IN);
        let clients: Vec<_> = clients.collect().await;
        let calls: Vec<String> = (0..people / 2).map(|_| Uuid::new_v4().to_string()).collect();
        let (mut ends, mut halves) = (Vec::new(), Vec::new());
        for (number, client) in clients.into_iter().enumerate() {
            let Client { reader, writer } = client.expect("the server takes a guest");
            let message = text_frame(&candidate(&calls[number / 2], &who[number ^ 1].address()));
            ends.push(End { writer, message });
            halves.push(reader);
        }
        let (sent, received, complaint) = (AtomicU64::new(0), AtomicU64::new(0), OnceLock::new());
        let shared = Arc::new(Shared { ends, mode: Mutex::new(Mode::Still), sent, received, complaint });
        let mut readers = JoinSet::new();
        for (number, reader) in halves.into_iter().enumerate() {
            readers.spawn(listen(Arc::clone(&shared), number, reader));
        }
        Self { shared, readers }
    }

    /// Every pair has one message under way, which each sends back when it comes.
    pub(super) async fn one_each(&self, server: &Server, start: Duration, span: Duration) -> Pace {
        self.shared.set_mode(Mode::Answer);
        for pair in 0..self.shared.pairs() {
            self.shared.send(2 * pair, 1);
        }
        self.count(server, start, span).await
    }

    /// `speaking` pairs have [`turns::UNDER_WAY`](super::turns::UNDER_WAY) messages under way. They take turns with all
    /// others, for one client may only send so many.
    pub(super) async fn several_each(&self, server: &Server, speaking: usize, start: Duration, span: Duration) -> Pace {
        let mut turns = Turns::new(self.shared.pairs());
        let first: Vec<usize> = (0..speaking).map(|_| turns.begin_next()).collect();
        self.shared.set_mode(Mode::Turns(Arc::new(Mutex::new(turns))));
        for pair in first {
            self.shared.send(2 * pair, super::turns::UNDER_WAY);
        }
        self.count(server, start, span).await
    }

    /// So many a second from one of each pair to the other, a pair after the other.
    pub(super) async fn paced(&self, server: &Server, per_s: f64, start: Duration, span: Duration) -> Delays {
        let due = (0..self.shared.pairs()).map(|_| Mutex::default()).collect();
        let paced = Arc::new(Paced { due, ..Paced::default() });
        self.shared.set_mode(Mode::Paced(Arc::clone(&paced)));
        let (shared, of_sender) = (Arc::clone(&self.shared), Arc::clone(&paced));
        let sender = tokio::spawn(async move { of_sender.send_all(&shared, per_s).await });
        sleep(start).await;
        for noted in [&paced.delays_ms, &paced.late_ms] {
            lock(noted).clear();
        }
        let before = self.shared.received();
        let meter = Meter::start(server.member());
        sleep(span).await;
        let pace = meter.stop(self.shared.received() - before);
        let [delays_ms, late_ms] = [&paced.delays_ms, &paced.late_ms].map(|noted| lock(noted).clone());
        paced.stop.store(true, Ordering::Relaxed);
        sender.await.expect("the server takes what is sent");
        self.quiet().await;
        Delays { pace, delays_ms, late_ms }
    }

    /// Hangs up on everybody.
    pub(super) async fn end(mut self) {
        self.readers.shutdown().await;
    }

    async fn count(&self, server: &Server, start: Duration, span: Duration) -> Pace {
        sleep(start).await;
        let before = self.shared.received();
        let meter = Meter::start(server.member());
        sleep(span).await;
        let pace = meter.stop(self.shared.received() - before);
        self.quiet().await;
        pace
    }

    /// Waits until every message has arrived, and checks that each did.
    async fn quiet(&self) {
        self.shared.set_mode(Mode::Still);
        let deadline = Instant::now() + DEADLINE;
        while self.shared.received() < self.shared.sent.load(Ordering::Relaxed) {
            assert!(self.shared.complaint.get().is_none(), "the server says {:?}", self.shared.complaint);
            assert!(Instant::now() < deadline, "messages were lost");
            sleep(LOOK).await;
        }
    }
}

impl Shared {
    fn pairs(&self) -> usize {
        self.ends.len() / 2
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    fn mode(&self) -> Mode {
        lock(&self.mode).clone()
    }

    fn set_mode(&self, mode: Mode) {
        *lock(&self.mode) = mode;
    }

    /// From end `number` to the other of its pair, so often, in one write.
    fn send(&self, number: usize, count: usize) {
        let End { writer, message } = &self.ends[number];
        let sent = match count {
            0 => return,
            1 => writer.try_write(message),
            _ => writer.try_write(&message.repeat(count)),
        };
        // So little always has room, unless the server has not read for long.
        assert_eq!(sent.expect("the server reads"), message.len() * count, "the server reads");
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn hear(&self, text: &str) {
        if !text.contains(r#""type":"candidate""#) {
            self.complaint.get_or_init(|| text.to_owned());
        }
    }

    /// End `number` got so many messages.
    fn react(&self, number: usize, count: usize) {
        match self.mode() {
            Mode::Still => {}
            Mode::Answer => self.send(number, count),
            Mode::Turns(turns) => {
                let (answers, next) = lock(&turns).arrived(number / 2, count);
                self.send(number, answers);
                if let Some(pair) = next {
                    self.send(2 * pair, super::turns::UNDER_WAY);
                }
            }
            Mode::Paced(paced) => paced.arrived(number / 2, count),
        }
    }
}

impl Paced {
    /// On the thread that hears the answers too: one that slept beside it would take turns with it, in slices of
    /// milliseconds, and these would be what is measured. So it never sleeps, and looks for answers between two messages.
    async fn send_all(&self, shared: &Shared, per_s: f64) {
        let began = Instant::now();
        for number in 0_u32.. {
            let due = began + Duration::from_secs_f64(f64::from(number) / per_s);
            loop {
                yield_now().await;
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                if Instant::now() >= due {
                    break;
                }
            }
            let pair = number as usize % shared.pairs();
            lock(&self.due[pair]).push_back(due);
            lock(&self.late_ms).push(due.elapsed().as_secs_f64() * 1000.0);
            shared.send(2 * pair, 1);
        }
    }

    fn arrived(&self, pair: usize, count: usize) {
        let now = Instant::now();
        let mut due = lock(&self.due[pair]);
        let arrived = due.drain(..count).map(|due| now.saturating_duration_since(due).as_secs_f64() * 1000.0);
        lock(&self.delays_ms).extend(arrived);
    }
}

/// Until the connection ends.
async fn listen(shared: Arc<Shared>, number: usize, mut reader: Reader) {
    while reader.more().await.is_ok_and(|more| more) {
        let (mut count, mut pongs) = (0, Vec::new());
        reader.take(|heard| match heard {
            Heard::Text(text) => {
                shared.hear(text);
                count += 1;
            }
            Heard::Ping(payload) => pongs.extend(pong(payload)),
            Heard::Other => {}
        });
        if !pongs.is_empty() {
            let written = shared.ends[number].writer.try_write(&pongs);
            assert_eq!(written.expect("the server reads"), pongs.len(), "the server reads");
        }
        if count > 0 {
            shared.received.fetch_add(count as u64, Ordering::Relaxed);
            shared.react(number, count);
        }
    }
}

/// As a browser makes it for an address that a STUN server told.
pub(super) fn candidate(call: &str, to: &str) -> Value {
    json!({"type": "candidate", "call": call, "to": to, "candidate": {
        "candidate": "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 192.0.2.10 rport 46154 \
                      generation 0 ufrag EsAw network-id 1 network-cost 10",
        "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "EsAw"}})
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
