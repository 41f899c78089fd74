//! One WebSocket: reads, writes, pings, and ends it as RFC 6455 wants. One task, both directions at once: a client that
//! does not read is still heard. What is said is [`Dialogue`]'s business.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message, Utf8Bytes};

use ahoy_protocol::CLIENT_FRAME_MAX;

use crate::config::Timing;
use crate::dialogue::Dialogue;
use crate::mailbox::{End, Mailbox};
use crate::shared::Line;

/// Allocated for every connection, so small: the default of 128 KiB would be the server's whole memory.
const READ_BUFFER: usize = 1024;
/// Small messages are gathered up to this size into one write.
const WRITE_BUFFER: usize = 4 * 1024;
/// The same device signed in elsewhere (section 3).
const REPLACED: u16 = 4001;

/// Serves one client from `hello` to the end. `read` is what came behind the HTTP request.
///
/// What is not needed while a connection sits idle is boxed: there are thousands of them, idle for hours.
pub(crate) async fn serve(stream: TcpStream, read: Bytes, address: IpAddr, line: Line) {
    let timing = line.shared().config.timing;
    let local = stream.local_addr().ok().map(|local| local.ip());
    let mut dialogue = match Dialogue::begin(line, address, local) {
        Ok(dialogue) => dialogue,
        Err(error) => return tracing::error!(%error, "no randomness"),
    };
    let mut connection = Box::pin(Connection::begin(stream, read, timing)).await;
    let farewell = connection.talk(&mut dialogue).await;
    let last_words = match farewell {
        // Taken out while they are still this connection's.
        Farewell::Close(..) => std::iter::from_fn(|| dialogue.mailbox().pop()).collect(),
        Farewell::None | Farewell::Answer { .. } => Vec::new(),
    };
    // Signed out or left to linger before any farewell, however long that takes.
    dialogue.leave(matches!(farewell, Farewell::Answer { signs_out: true }));
    tracing::debug!(?farewell, "connection ends");
    // What cannot be said in time goes unsaid.
    let _ = timeout(timing.closing, Box::pin(connection.say_farewell(farewell, last_words))).await;
}

struct Connection {
    socket: WebSocketStream<TcpStream>,
    timing: Timing,
    /// Something was given to the socket and is not yet on its way.
    unflushed: bool,
    ping_due: bool,
    next_ping: Instant,
    heard: Instant,
    /// Fires at the next deadline, or earlier.
    alarm: Pin<Box<Sleep>>,
}

/// What happened.
enum Event {
    Received(Message),
    /// The client hung up.
    Gone,
    Failed(WebSocketError),
    Ended(End),
    /// A deadline may have passed.
    Alarm,
}

/// How a connection ends.
#[derive(Debug)]
enum Farewell {
    /// Without a word: nobody is there to hear one.
    None,
    /// The client said it first; its close frame is answered. With code 1000 it signs out (section 1).
    Answer { signs_out: bool },
    /// A close frame with this code and reason, after what waits.
    Close(u16, &'static str),
}

impl Connection {
    async fn begin(stream: TcpStream, read: Bytes, timing: Timing) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(CLIENT_FRAME_MAX))
            .max_frame_size(Some(CLIENT_FRAME_MAX));
        // Copied, so that the HTTP buffer that `read` is a piece of is given back.
        let part = read.to_vec();
        drop(read);
        let socket = WebSocketStream::from_partially_read(stream, part, Role::Server, Some(config)).await;
        let now = Instant::now();
        let (next_ping, alarm) = (now + timing.ping, Box::pin(sleep_until(now)));
        Self { socket, timing, unflushed: false, ping_due: false, next_ping, heard: now, alarm }
    }

    /// Until the connection is to end.
    async fn talk(&mut self, dialogue: &mut Dialogue) -> Farewell {
        loop {
            match poll_fn(|cx| self.poll_event(dialogue.mailbox(), cx)).await {
                Event::Received(message) => {
                    self.heard = Instant::now();
                    match message {
                        Message::Text(text) => {
                            if let Some(unfinished) = dialogue.hear(&text) {
                                Box::pin(dialogue.finish(unfinished)).await;
                            }
                        }
                        Message::Binary(bytes) => dialogue.hear_binary(bytes.len()),
                        Message::Close(frame) => {
                            let signs_out = frame.is_some_and(|frame| frame.code == CloseCode::Normal);
                            return Farewell::Answer { signs_out };
                        }
                        Message::Pong(payload) => acknowledge(dialogue.mailbox(), &payload),
                        // Pings are answered by the socket itself.
                        Message::Ping(_) | Message::Frame(_) => {}
                    }
                }
                Event::Gone => return Farewell::None,
                Event::Failed(error) => return farewell_after(&error),
                Event::Ended(end) => return farewell_at(end),
                Event::Alarm => {
                    if let Some(farewell) = self.check_deadlines(dialogue.waits_for_login_since()) {
                        return farewell;
                    }
                }
            }
        }
    }

    fn poll_event(&mut self, mailbox: &Mailbox, cx: &mut Context<'_>) -> Poll<Event> {
        match mailbox.look(cx.waker()) {
            Err(end) => return Poll::Ready(Event::Ended(end)),
            Ok(has_more) if has_more || self.unflushed || self.ping_due => {
                if let Err(error) = self.poll_write(mailbox, cx) {
                    return Poll::Ready(Event::Failed(error));
                }
            }
            Ok(_) => {}
        }
        match self.socket.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(message))) => return Poll::Ready(Event::Received(message)),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Failed(error)),
            Poll::Ready(None) => return Poll::Ready(Event::Gone),
            Poll::Pending => {}
        }
        self.alarm.as_mut().poll(cx).map(|()| Event::Alarm)
    }

    /// Gives the socket what it takes now.
    fn poll_write(&mut self, mailbox: &Mailbox, cx: &mut Context<'_>) -> Result<(), WebSocketError> {
        while let Poll::Ready(ready) = self.socket.poll_ready_unpin(cx) {
            ready?;
            let message = match mailbox.pop() {
                Some(text) => Message::Text(text),
                // With nothing before it, so that its number is that of the last message sent.
                None if self.ping_due => {
                    self.ping_due = false;
                    Message::Ping(mailbox.last_sent().to_string().into())
                }
                None => break,
            };
            self.socket.start_send_unpin(message)?;
            self.unflushed = true;
        }
        if self.unflushed && self.socket.poll_flush_unpin(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }

    fn check_deadlines(&mut self, waits_for_login_since: Option<std::time::Instant>) -> Option<Farewell> {
        let now = Instant::now();
        let silent_at = self.heard + self.timing.silence;
        if silent_at <= now {
            return Some(Farewell::None);
        }
        let login_by = waits_for_login_since.map(|since| Instant::from_std(since) + self.timing.login);
        if login_by.is_some_and(|login_by| login_by <= now) {
            return Some(Farewell::Close(CloseCode::Policy.into(), "no sign-in in time"));
        }
        if self.next_ping <= now {
            self.ping_due = true;
            self.next_ping = now + self.timing.ping;
        }
        let next = login_by.map_or(silent_at, |login_by| login_by.min(silent_at)).min(self.next_ping);
        self.alarm.as_mut().reset(next);
        None
    }

    async fn say_farewell(mut self, farewell: Farewell, last_words: Vec<Utf8Bytes>) -> Result<(), WebSocketError> {
        match farewell {
            Farewell::None => return Ok(()),
            Farewell::Answer { .. } => self.socket.flush().await?,
            Farewell::Close(code, reason) => {
                for text in last_words {
                    self.socket.feed(Message::Text(text)).await?;
                }
                let reason = Utf8Bytes::from_static(reason);
                self.socket.send(Message::Close(Some(CloseFrame { code: code.into(), reason }))).await?;
            }
        }
        Ok(hang_up(self.socket.into_inner()).await?)
    }
}

/// The pong to a ping of the server's says what the client has (section 3); any other says nothing.
fn acknowledge(mailbox: &Mailbox, payload: &[u8]) {
    if let Some(seq) = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()) {
        mailbox.acknowledge(seq);
    }
}

/// Ends a connection so that the other side can read the last words: what it still sends is read away until it hangs up
/// too, for data that nobody reads makes TCP throw away what is on its way to the sender (RFC 9293 §3.10.4, RFC 2525
/// §2.17). Has no deadline of its own.
pub(crate) async fn hang_up(mut stream: TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut scratch = [0; READ_BUFFER];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}

fn farewell_at(end: End) -> Farewell {
    match end {
        End::Replaced => Farewell::Close(REPLACED, "signed in on another connection"),
        End::GoingAway => Farewell::Close(CloseCode::Away.into(), "the server stops"),
        End::Unbound => Farewell::Close(CloseCode::Policy.into(), "the operator took this name away"),
        End::BadMessages => Farewell::Close(CloseCode::Policy.into(), "too many bad messages"),
        // It does not read; it would not read this.
        End::TooSlow => Farewell::None,
    }
}

fn farewell_after(error: &WebSocketError) -> Farewell {
    match error {
        WebSocketError::Capacity(_) => Farewell::Close(CloseCode::Size.into(), "a message has at most 64 KiB"),
        WebSocketError::Utf8(_) => Farewell::Close(CloseCode::Invalid.into(), "not UTF-8"),
        WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Farewell::None,
        WebSocketError::Protocol(_) | WebSocketError::AttackAttempt => {
            Farewell::Close(CloseCode::Protocol.into(), "not as RFC 6455 wants it")
        }
        // The connection itself is gone, or an error that a server's end of an open WebSocket does not have.
        _ => Farewell::None,
    }
}
