//! Clients that do not read what is sent to them: what a server holds for one, and whether anybody else notices.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::super::client::{Client, Who, text_frame};
use super::super::meter::Memory;
use super::super::server::Server;
use super::super::traffic::{Delays, Traffic};

/// A candidate that is longer than any, in bytes.
const LONG: usize = 8 * 1024;
/// As many as a client may send at once: one mebibyte, four times what may wait.
const MESSAGES: usize = 124;
/// Between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(50);

/// What they cost.
pub(super) struct Sleepers {
    /// The most that the server held for one of them at a time.
    pub(super) each_kb: f64,
    /// What others had to wait meanwhile.
    pub(super) honest: Delays,
}

/// Somebody sends each of `count` sleepers all that one may, while honest people send so many messages a second.
pub(super) async fn measure(server: &Server, honest: &Traffic, count: usize, per_s: f64, span: Duration) -> Sleepers {
    let mut asleep = Vec::new();
    let mut senders = Vec::new();
    for number in 0..count as u64 {
        let [to, from] = [920_000 + number, 930_000 + number].map(Who::guest);
        asleep.push(Client::sign_in_to_sleep(server.address(), &to).await.expect("the server takes a guest"));
        let sender = Client::sign_in(server.address(), 0, &from).await.expect("the server takes a guest");
        let call = Uuid::new_v4().to_string();
        let candidate = json!({"candidate": "x".repeat(LONG), "sdpMid": "0"});
        let message = json!({"type": "candidate", "call": call, "to": to.address(), "candidate": candidate});
        senders.push((sender, text_frame(&message)));
    }
    let before = Memory::now(server.member());
    let mut tasks = JoinSet::new();
    for (mut sender, message) in senders {
        tasks.spawn(async move {
            for _ in 0..MESSAGES {
                // Whether the server takes it all is its own affair.
                if sender.writer.write_all(&message).await.is_err() {
                    return;
                }
            }
            // Stays: a session that ends gives its memory back.
            std::future::pending::<()>().await;
        });
    }
    let watch = async {
        let began = Instant::now();
        let mut most_kb = 0.0_f64;
        while began.elapsed() < span {
            most_kb = most_kb.max(Memory::now(server.member()).since(before, count).server_kb);
            sleep(LOOK).await;
        }
        most_kb
    };
    let (each_kb, honest) = tokio::join!(watch, honest.paced(server, per_s, Duration::ZERO, span));
    tasks.shutdown().await;
    drop(asleep);
    Sleepers { each_kb, honest }
}
