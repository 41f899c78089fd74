//! Calls that are set up at a given rate, as clients do it: an opening offer to a name, an answer, and five candidates of
//! each side.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahoy_tests::harness::DEADLINE;
use serde_json::json;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;
use uuid::Uuid;

use super::super::client::{Client, Heard, Reader, Who, pong, text_frame};
use super::super::meter::{Meter, Pace};
use super::super::server::Server;
use super::super::traffic::candidate;

/// Of each side.
const CANDIDATES: usize = 5;
/// The contract lets one call another so often a minute.
const CALLS_OF_ONE: f64 = 6.0;
/// About as long as those of our client with its four media sections, in lines of 32 characters.
const SDP_LINES: usize = 80;

/// How it went.
pub(super) struct Calls {
    /// Of calls that were set up.
    pub(super) pace: Pace,
    /// From when a call was due to the last candidate at its callee.
    pub(super) took_ms: Vec<f64>,
}

struct Shared {
    pairs: Vec<Pair>,
    took_ms: Mutex<Vec<f64>>,
    done: AtomicU64,
    stop: AtomicBool,
}

/// Both of a pair, and what they say.
struct Pair {
    caller: OwnedWriteHalf,
    callee: OwnedWriteHalf,
    offer: Vec<u8>,
    /// To the offer: an answer, and the callee's candidates.
    answer: Vec<u8>,
    /// To the answer: the caller's candidates.
    candidates: Vec<u8>,
    /// When those were due that are not set up.
    due: Mutex<VecDeque<Instant>>,
}

/// So many calls a second, after a `start` that does not count.
pub(super) async fn measure(server: &Server, per_s: f64, start: Duration, span: Duration) -> Calls {
    // No more than these, however long a busy machine takes, and one to spare for each pair.
    let calls = (per_s * (start + span).as_secs_f64()).ceil();
    let count = (calls / (CALLS_OF_ONE - 1.0)).ceil() as u64;
    let (mut pairs, mut readers) = (Vec::new(), Vec::new());
    for number in 0..count {
        let [caller, callee] = [2 * number, 2 * number + 1].map(|number| Who::guest(100_000 + number));
        let [one, other] = [&caller, &callee].map(|who| Client::sign_in(server.address(), number as usize, who));
        let [one, other] = [one.await, other.await].map(|client| client.expect("the server takes a guest"));
        pairs.push(Pair::new(&caller, &callee, [one.writer, other.writer]));
        readers.push([one.reader, other.reader]);
    }
    let (took_ms, done, stop) = (Mutex::default(), AtomicU64::new(0), AtomicBool::new(false));
    let shared = Arc::new(Shared { pairs, took_ms, done, stop });
    let mut tasks = JoinSet::new();
    for (number, [caller, callee]) in readers.into_iter().enumerate() {
        tasks.spawn(hear_as_caller(Arc::clone(&shared), number, caller));
        tasks.spawn(hear_as_callee(Arc::clone(&shared), number, callee));
    }
    let of_dialler = Arc::clone(&shared);
    let dialler = tokio::spawn(async move { of_dialler.dial(per_s, calls as u32).await });
    sleep(start).await;
    lock(&shared.took_ms).clear();
    let before = shared.done.load(Ordering::Relaxed);
    let meter = Meter::start(server.member());
    sleep(span).await;
    let pace = meter.stop(shared.done.load(Ordering::Relaxed) - before);
    let took_ms = lock(&shared.took_ms).clone();
    shared.stop.store(true, Ordering::Relaxed);
    let dialled = dialler.await.expect("the server takes what is sent");
    let deadline = Instant::now() + DEADLINE;
    while shared.done.load(Ordering::Relaxed) < dialled {
        assert!(Instant::now() < deadline, "calls were lost");
        sleep(Duration::from_millis(10)).await;
    }
    tasks.shutdown().await;
    Calls { pace, took_ms }
}

impl Shared {
    /// So many, or until it is told to stop; never sleeps, as those who send messages at a pace do not. Returned is how many
    /// it dialled.
    async fn dial(&self, per_s: f64, most: u32) -> u64 {
        let began = Instant::now();
        for number in 0..most {
            let due = began + Duration::from_secs_f64(f64::from(number) / per_s);
            while Instant::now() < due {
                yield_now().await;
                if self.stop.load(Ordering::Relaxed) {
                    return u64::from(number);
                }
            }
            let pair = &self.pairs[number as usize % self.pairs.len()];
            lock(&pair.due).push_back(due);
            send(&pair.caller, &pair.offer);
        }
        most.into()
    }
}

impl Pair {
    fn new(caller: &Who, callee: &Who, [from_caller, from_callee]: [OwnedWriteHalf; 2]) -> Self {
        let call = Uuid::new_v4().to_string();
        let sdp = "a=rtcp-fb:96 transport-cc pli x\r\n".repeat(SDP_LINES);
        let offer = json!({"type": "offer", "call": call, "to": callee.username, "n": 0, "sdp": sdp, "video": true});
        let answer = json!({"type": "answer", "call": call, "to": caller.address(), "n": 0, "sdp": sdp});
        let candidates = |to: &Who| text_frame(&candidate(&call, &to.address())).repeat(CANDIDATES);
        let mut answer = text_frame(&answer);
        answer.extend(candidates(caller));
        Self {
            caller: from_caller,
            callee: from_callee,
            offer: text_frame(&offer),
            answer,
            candidates: candidates(callee),
            due: Mutex::default(),
        }
    }
}

async fn hear_as_caller(shared: Arc<Shared>, number: usize, reader: Reader) {
    let pair = &shared.pairs[number];
    hear(reader, &pair.caller, |text| {
        if text.contains(r#""type":"answer""#) {
            send(&pair.caller, &pair.candidates);
        }
    })
    .await;
}

async fn hear_as_callee(shared: Arc<Shared>, number: usize, reader: Reader) {
    let pair = &shared.pairs[number];
    let mut candidates = 0_usize;
    hear(reader, &pair.callee, |text| {
        if text.contains(r#""type":"offer""#) {
            send(&pair.callee, &pair.answer);
        } else if text.contains(r#""type":"candidate""#) {
            candidates += 1;
            if candidates.is_multiple_of(CANDIDATES) {
                let due = lock(&pair.due).pop_front().expect("this call was dialled");
                lock(&shared.took_ms).push(due.elapsed().as_secs_f64() * 1000.0);
                shared.done.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await;
}

/// Until the connection ends.
async fn hear(mut reader: Reader, writer: &OwnedWriteHalf, mut react: impl FnMut(&str)) {
    while reader.more().await.is_ok_and(|more| more) {
        reader.take(|heard| match heard {
            Heard::Text(text) => {
                assert!(!text.contains(r#""type":"error""#), "the server says {text}");
                react(text);
            }
            Heard::Ping(payload) => send(writer, &pong(payload)),
            Heard::Other => {}
        });
    }
}

fn send(writer: &OwnedWriteHalf, bytes: &[u8]) {
    let sent = writer.try_write(bytes).expect("the server reads");
    assert_eq!(sent, bytes.len(), "the server reads");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
