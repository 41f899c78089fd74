//! Clients that mean harm, each in a loop without end: a third never finish their handshake, a third announce frames that
//! are too long, a third flood, and call the same victim again and again.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::super::client::{Client, Who, bare, text_frame};
use super::super::server::Server;
use super::super::traffic::candidate;

/// Between two bytes of a handshake.
const TRICKLE: Duration = Duration::from_secs(1);
/// Between two frames that are too long, each on a connection of its own.
const PAUSE: Duration = Duration::from_millis(50);
/// A thousand messages a second, one in ten of which opens a call.
const FLOOD: Duration = Duration::from_millis(10);
const AT_ONCE: usize = 9;
/// Of a text frame of a gibibyte (RFC 6455 §5.2), with its mask.
const ENDLESS: [u8; 14] = [0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];

/// Those who mean harm, and their victim.
pub(super) struct Attackers {
    tasks: JoinSet<()>,
}

impl Attackers {
    /// So many connections.
    pub(super) async fn begin(server: &Server, count: usize) -> Self {
        let address = server.address();
        let victim = Who::guest(900_000);
        let called = Client::sign_in(address, 0, &victim).await.expect("the server takes a guest");
        let mut tasks = JoinSet::new();
        tasks.spawn(read_away(called));
        for number in 0..count {
            match number % 3 {
                0 => tasks.spawn(trickle(address, number)),
                1 => tasks.spawn(announce(address, number)),
                _ => tasks.spawn(flood(address, number, victim.clone())),
            };
        }
        Self { tasks }
    }

    /// They hang up.
    pub(super) async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn read_away(mut client: Client) {
    while client.reader.more().await.is_ok_and(|more| more) {
        client.reader.take(|_| {});
    }
}

/// One byte a second of a request that never ends.
async fn trickle(server: SocketAddr, number: usize) {
    loop {
        let connected = async { bare(number)?.connect(server).await };
        if let Ok(mut stream) = connected.await {
            for byte in b"GET /ws HTTP/1.1\r\nX: ".iter().chain(b"x".iter().cycle()) {
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                sleep(TRICKLE).await;
            }
        }
        sleep(PAUSE).await;
    }
}

/// A frame that is too long, until the server hangs up; then again.
async fn announce(server: SocketAddr, number: usize) {
    loop {
        if let Ok(mut client) = Client::connect(server, number).await
            && client.writer.write_all(&ENDLESS).await.is_ok()
        {
            while client.reader.more().await.is_ok_and(|more| more) {
                client.reader.forget();
            }
        }
        sleep(PAUSE).await;
    }
}

/// As many messages as a thousand a second, all to one, and calls of it among them.
async fn flood(server: SocketAddr, number: usize, victim: Who) {
    let who = Who::guest(910_000 + number as u64);
    let mut client = Client::sign_in(server, number, &who).await.expect("the server takes a guest");
    let call = Uuid::new_v4().to_string();
    let mut burst = text_frame(&candidate(&call, &victim.address())).repeat(AT_ONCE);
    let offer = json!({"type": "offer", "call": call, "to": victim.username, "n": 0, "sdp": "v=0", "video": true});
    burst.extend(text_frame(&offer));
    let mut ticks = interval(FLOOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            more = client.reader.more() => {
                client.reader.forget();
                if more.is_ok_and(|more| more) {
                    continue;
                }
                return;
            }
        }
        if client.writer.write_all(&burst).await.is_err() {
            return;
        }
    }
}
