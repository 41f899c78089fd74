//! The link: one WebSocket to the signaling server, in a task of its own. It carries text frames and knows no message;
//! when to connect and what to say is decided by `ahoy-call`.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use ahoy_call::Serial;
use ahoy_protocol::SERVER_FRAME_MAX;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::config::ServerUrl;

/// TCP, TLS and the WebSocket handshake together; the server gives the handshake 10 s (section 1).
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A frame that the network does not take for this long means that the link is dead.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait for the server's close frame.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// Frames waiting for the network. When it is full, the link counts as dead: the server takes 100 messages a second.
const OUTBOX: usize = 512;

/// What happens on a link.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// Connected; the server speaks first.
    Opened {
        /// The own address, if the system tells.
        from: Option<IpAddr>,
    },
    /// A text frame.
    Text(String),
    /// Over, or never came about. The last event.
    Closed {
        /// The close code, if the server gave one.
        code: Option<u16>,
        /// Why, for people.
        reason: String,
    },
}

/// Why a frame is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// So many wait that the link counts as dead.
    Slow,
    /// The link has ended; its [`LinkEvent::Closed`] says why.
    Ended,
}

/// One connection, or the attempt at one. Dropped, it is gone at once; [`Link::close`] signs out first.
#[derive(Debug)]
pub(crate) struct Link {
    outbox: mpsc::Sender<Message>,
    task: JoinHandle<()>,
}

impl Link {
    /// Starts to connect. `events` should be bounded; the link waits for room, so a slow reader slows the server.
    /// Each event carries `serial`, so that a late word of an earlier link is told from this one's.
    pub(crate) fn open(server: &ServerUrl, serial: Serial, events: mpsc::Sender<(Serial, LinkEvent)>) -> Self {
        // For the whole process; whoever came first has chosen, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (outbox, frames) = mpsc::channel(OUTBOX);
        let server = server.clone();
        let task = tokio::spawn(async move {
            let work = AssertUnwindSafe(run(&server, serial, frames, &events)).catch_unwind();
            let closed =
                work.await.unwrap_or_else(|_| closed("this program has a defect in its link; please report it"));
            // The driver may be gone already; then nobody asks why.
            let _ = events.send((serial, closed)).await;
        });
        Self { outbox, task }
    }

    /// Queues a text frame.
    ///
    /// # Errors
    /// When it is not taken.
    pub(crate) fn send(&self, text: String) -> Result<(), Unsent> {
        self.outbox.try_send(Message::text(text)).map_err(|error| match error {
            TrySendError::Full(_) => Unsent::Slow,
            TrySendError::Closed(_) => Unsent::Ended,
        })
    }

    /// Sends what is queued, says that everything up to number `seen` came, as a pong does (section 3), and closes with code
    /// 1000, which signs out at once; waits at most two seconds.
    pub(crate) async fn close(mut self, seen: u64) {
        if seen > 0 {
            // Without it the server tells some of it again at the next sign-in.
            let _ = self.outbox.try_send(Message::Pong(seen.to_string().into()));
        }
        let (gone, _) = mpsc::channel(1);
        self.outbox = gone;
        let _ = timeout(2 * CLOSE_DEADLINE, &mut self.task).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

enum Step {
    Incoming(Option<Result<Message, WsError>>),
    Outgoing(Option<Message>),
}

async fn run(
    server: &ServerUrl,
    serial: Serial,
    mut frames: mpsc::Receiver<Message>,
    events: &mpsc::Sender<(Serial, LinkEvent)>,
) -> LinkEvent {
    let mut socket = match connect(server).await {
        Ok(socket) => socket,
        Err(reason) => return closed(reason),
    };
    let from = local_address(&socket);
    if events.send((serial, LinkEvent::Opened { from })).await.is_err() {
        return closed("stopped");
    }
    loop {
        let step = tokio::select! {
            message = socket.next() => Step::Incoming(message),
            frame = frames.recv() => Step::Outgoing(frame),
        };
        match step {
            Step::Incoming(Some(Ok(Message::Text(text)))) => {
                if events.send((serial, LinkEvent::Text(text.as_str().to_owned()))).await.is_err() {
                    return closed("stopped");
                }
            }
            Step::Incoming(Some(Ok(Message::Close(frame)))) => return closed_by_server(frame),
            // Pongs are sent by the library; the server sends no binary frames.
            Step::Incoming(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_)))) => {}
            Step::Incoming(Some(Err(error))) => return closed(format!("the connection to the server broke: {error}")),
            Step::Incoming(None) => return closed("the server closed the connection"),
            Step::Outgoing(Some(frame)) => match timeout(SEND_DEADLINE, socket.send(frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return closed(format!("the connection to the server broke: {error}")),
                Err(_) => return closed("the network takes nothing any more"),
            },
            Step::Outgoing(None) => {
                sign_out(&mut socket).await;
                return closed("signed out");
            }
        }
    }
}

async fn connect(server: &ServerUrl) -> Result<Socket, String> {
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .max_message_size(Some(SERVER_FRAME_MAX))
        .max_frame_size(Some(SERVER_FRAME_MAX));
    match timeout(CONNECT_DEADLINE, connect_async_with_config(server.as_str(), Some(config), true)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(format!("cannot reach {}: {error}", server.as_str())),
        Err(_) => Err(format!("{} does not answer", server.as_str())),
    }
}

fn local_address(socket: &Socket) -> Option<IpAddr> {
    let stream = match socket.get_ref() {
        MaybeTlsStream::Plain(stream) => stream,
        MaybeTlsStream::Rustls(stream) => stream.get_ref().0,
        // No other kind is built in.
        _ => return None,
    };
    stream.local_addr().ok().map(|address| address.ip())
}

async fn sign_out(socket: &mut Socket) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let handshake = async {
        socket.close(Some(frame)).await.ok();
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = timeout(CLOSE_DEADLINE, handshake).await;
}

fn closed(reason: impl Into<String>) -> LinkEvent {
    LinkEvent::Closed { code: None, reason: reason.into() }
}

fn closed_by_server(frame: Option<CloseFrame>) -> LinkEvent {
    let Some(frame) = frame else { return closed("the server closed the connection") };
    let reason = if frame.reason.is_empty() {
        "the server closed the connection".to_owned()
    } else {
        format!("the server closed the connection: {}", frame.reason)
    };
    LinkEvent::Closed { code: Some(frame.code.into()), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_that_ended_says_so_and_is_not_taken_for_a_slow_one() {
        // Nobody can listen there.
        let server: ServerUrl = "ws://127.0.0.1:0/ws".parse().unwrap();
        let (events, mut heard) = mpsc::channel(8);
        let link = Link::open(&server, Serial::default(), events);
        let (_, event) = heard.recv().await.unwrap();
        assert!(matches!(event, LinkEvent::Closed { code: None, .. }), "{event:?}");
        assert_eq!(link.send("{}".into()), Err(Unsent::Ended));
    }
}
