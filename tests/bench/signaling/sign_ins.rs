//! Clients that connect, sign in, sign out and come again, so many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ahoy_tests::harness::proof::Key;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Client, Who};
use super::meter::{Meter, Pace};
use super::server::Server;

/// Clients at a time: enough that the server always has one to serve.
const WORKERS: usize = 64;
/// Names of each worker. It comes again under the one that was signed in the longest time ago.
const NAMES: u64 = 4;

/// How they prove who they are.
#[derive(Clone)]
pub(super) enum Proof {
    /// Not at all: each is a new guest.
    Guest,
    /// Names that the server knows, and a signature.
    Key(Arc<Key>),
}

/// Signs in under every name once: a name new to the server is written to its disk, which is not what is measured.
pub(super) async fn introduce(server: &Server, key: &Key) {
    for number in 0..WORKERS as u64 * NAMES {
        let who = Who::keyed(number, key);
        let client = Client::sign_in(server.address(), 0, &who).await.expect("the server takes a new name");
        client.hang_up().await.expect("the server hangs up");
    }
}

/// Signs in for `span`, after a `start` that does not count.
pub(super) async fn measure(server: &Server, proof: &Proof, start: Duration, span: Duration) -> Pace {
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (address, proof) = (server.address(), proof.clone());
        let (done, stop) = (Arc::clone(&done), Arc::clone(&stop));
        workers.spawn(async move {
            for turn in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let who = who(&proof, worker as u64, turn);
                let client = Client::sign_in(address, worker, &who).await.expect("the server takes a client");
                done.fetch_add(1, Ordering::Relaxed);
                client.hang_up().await.expect("the server hangs up");
            }
        });
    }
    sleep(start).await;
    let before = done.load(Ordering::Relaxed);
    let meter = Meter::start(server.member());
    sleep(span).await;
    let pace = meter.stop(done.load(Ordering::Relaxed) - before);
    stop.store(true, Ordering::Relaxed);
    while let Some(worker) = workers.join_next().await {
        worker.expect("signing in works");
    }
    pace
}

fn who(proof: &Proof, worker: u64, turn: u64) -> Who {
    match proof {
        // Not one of those that stayed, nor one that may still be there.
        Proof::Guest => Who::guest((worker + 1) * 1_000_000_000 + turn),
        Proof::Key(key) => Who::keyed(worker * NAMES + turn % NAMES, key),
    }
}
