//! The loopback socket for pictures: who may connect (the page, by its `Origin` and this run's token) and for how long an
//! unproved one is listened to. Every program of this machine can knock here, so all of it is bounded.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use tracing::{debug, warn};

use super::line::{Line, LineClosed};
use super::token::Token;
use super::wire::{Hello, PAGE_MESSAGE_MAX, PageMessage};
use super::{LineId, Shared};
use crate::page::FramesAddress;

/// Where our page comes from: on Linux and macOS, on Windows, and on Windows with `useHttpsScheme`.
const ORIGINS: [&str; 3] = ["tauri://localhost", "http://tauri.localhost", "https://tauri.localhost"];
/// Two views, and the two of a page that was reloaded a moment ago.
const CONNECTIONS_MAX: usize = 4;
/// For the handshake, and then for the first word.
const PROVE_DEADLINE: Duration = Duration::from_secs(2);
/// A picture that the system does not take for so long has no reader.
const SEND_DEADLINE: Duration = Duration::from_secs(5);
/// Messages for a page that are not yet in the system's hands: as many as may be on their way.
const OUTBOX: usize = 8;
/// What to wait when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The open socket and its thread. Dropped, all connections end.
pub(super) struct Socket {
    address: FramesAddress,
    /// Dropped first: that ends the thread.
    ending: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("the system gives no socket on 127.0.0.1")]
    Open(#[from] io::Error),
    #[error("the system gives no random numbers, so no page could prove itself")]
    Token(#[from] getrandom::Error),
}

impl Socket {
    /// Listens on a port that the system chooses, on a thread with a runtime of its own: megabytes of pictures a second
    /// should not stand between the app's words.
    pub(super) fn open(shared: Arc<Shared>) -> Result<Self, SocketError> {
        let token = Token::new()?;
        let listener = StdListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        listener.set_nonblocking(true)?;
        let address = FramesAddress { port: listener.local_addr()?.port(), token: token.reveal().to_owned() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ending, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("frames-socket".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    () = serve(listener, Arc::new(Door { token, shared })) => {}
                }
            });
        })?;
        Ok(Self { address, ending: Some(ending), thread: Some(thread) })
    }

    pub(super) fn address(&self) -> FramesAddress {
        self.address.clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.ending = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            warn!("the thread of the socket for pictures panicked");
        }
    }
}

/// What each connection is checked against and then joined to.
struct Door {
    token: Token,
    shared: Arc<Shared>,
}

async fn serve(listener: StdListener, door: Arc<Door>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "the socket for pictures does not listen"),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                // No place: hang up at once. The page tries again, and has the channel.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let door = Arc::clone(&door);
                connections.spawn(async move {
                    if let Err(reason) = connection(stream, &door).await {
                        debug!(%reason, "a connection for pictures ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "the socket for pictures takes nobody");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it did not prove itself in time")]
    Late,
    #[error("its token is wrong")]
    Stranger,
    #[error("it said what is not in the format")]
    Malformed(#[from] serde_json::Error),
    #[error("it said no text")]
    NoText,
    #[error("the connection failed")]
    Socket(#[from] WsError),
    #[error("it read nothing for too long")]
    Slow,
    #[error("it hung up")]
    HungUp,
    #[error("another page has taken its place")]
    Replaced,
}

impl From<LineClosed> for Ended {
    fn from(LineClosed: LineClosed) -> Self {
        Self::Replaced
    }
}

async fn connection(stream: TcpStream, door: &Door) -> Result<(), Ended> {
    // What the page answers is a few bytes that the next picture waits for.
    stream.set_nodelay(true).map_err(WsError::Io)?;
    let opening = accept_hdr_async_with_config(stream, check_origin, Some(limits()));
    let mut socket = timeout(PROVE_DEADLINE, opening).await.map_err(|_| Ended::Late)??;
    let first = timeout(PROVE_DEADLINE, next_text(&mut socket)).await.map_err(|_| Ended::Late)??;
    let hello: Hello = serde_json::from_str(&first)?;
    if !door.token.is(&hello.token) {
        return Err(Ended::Stranger);
    }
    let (outbox, pictures) = mpsc::channel(OUTBOX);
    let line = door.shared.open_line(hello.view, hello.showing, Arc::new(SocketLine(outbox)));
    let ended = exchange(&mut socket, pictures, line, &door.shared).await;
    door.shared.close_line(line);
    ended
}

/// Pictures one way, the page's words the other, until either side is done.
async fn exchange(
    socket: &mut WebSocketStream<TcpStream>,
    mut pictures: mpsc::Receiver<Bytes>,
    line: LineId,
    shared: &Shared,
) -> Result<(), Ended> {
    enum Happened {
        Said(Result<String, Ended>),
        Picture(Option<Bytes>),
    }
    loop {
        let happened = tokio::select! {
            said = next_text(socket) => Happened::Said(said),
            picture = pictures.recv() => Happened::Picture(picture),
        };
        match happened {
            Happened::Said(said) => shared.hear(line, serde_json::from_str::<PageMessage>(&said?)?)?,
            Happened::Picture(Some(picture)) => {
                timeout(SEND_DEADLINE, socket.send(Message::Binary(picture))).await.map_err(|_| Ended::Slow)??;
            }
            Happened::Picture(None) => return Err(Ended::Replaced),
        }
    }
}

async fn next_text(socket: &mut WebSocketStream<TcpStream>) -> Result<String, Ended> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            // Answered beneath.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => return Err(Ended::NoText),
            Some(Ok(Message::Close(_))) | None => return Err(Ended::HungUp),
            Some(Err(error)) => return Err(error.into()),
        }
    }
}

/// Browsers let no page lie about its origin; other programs may, which is what the token is for.
#[expect(clippy::result_large_err, reason = "the library's signature")]
fn check_origin(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    let origin = request.headers().get(header::ORIGIN).map(|origin| origin.as_bytes());
    if ORIGINS.iter().any(|ours| origin == Some(ours.as_bytes())) {
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(None);
    *refusal.status_mut() = StatusCode::FORBIDDEN;
    Err(refusal)
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * PAGE_MESSAGE_MAX)
        .max_message_size(Some(PAGE_MESSAGE_MAX))
        .max_frame_size(Some(PAGE_MESSAGE_MAX))
}

/// Hands pictures to a connection's task.
struct SocketLine(mpsc::Sender<Bytes>);

impl Line for SocketLine {
    fn send(&self, message: Bytes) -> Result<(), LineClosed> {
        self.0.try_send(message).map_err(|_| LineClosed)
    }
}
