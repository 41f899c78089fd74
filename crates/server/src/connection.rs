//! One WebSocket: reads, writes, pings, and ends it as RFC 6455 wants. One task, both directions at once: a client that
//! does not read is still heard. What is said is [`Dialogue`]'s business.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use ahoy_protocol::CLIENT_FRAME_MAX;

use crate::config::Timing;
use crate::dialogue::{Dialogue, Unfinished};
use crate::mailbox::{End, Mailbox, SLOW};
use crate::shared::Line;
use crate::websocket::{Broken, Kind, Reader, Received, write};

/// What is read at once; small messages are gathered up to this size into one write.
const BUFFER: usize = 16 * 1024;
/// So long the system may take nothing for a client for which more waits than it may leave waiting.
const STALLED: Duration = Duration::from_millis(500);
/// For what is read away.
const SCRATCH: usize = 1024;

/// Close codes (RFC 6455 §7.4.1).
mod code {
    pub(super) const NORMAL: u16 = 1000;
    pub(super) const AWAY: u16 = 1001;
    pub(super) const PROTOCOL: u16 = 1002;
    pub(super) const NOT_UTF8: u16 = 1007;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const SIZE: u16 = 1009;
    /// The same device signed in elsewhere (section 3).
    pub(super) const REPLACED: u16 = 4001;
}

thread_local! {
    /// What is just being read, and what is just being written: a connection has buffers of its own only while half a frame
    /// has come, or the system does not take more.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

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
    let mut connection = Connection::begin(stream, read, timing);
    let farewell = connection.talk(&mut dialogue).await;
    let last_words = match farewell {
        // Taken out while they are still this connection's.
        Farewell::Close(..) => std::iter::from_fn(|| dialogue.mailbox().pop(str::to_owned)).collect(),
        Farewell::None | Farewell::Answer(_) => Vec::new(),
    };
    // Signed out or left to linger before any farewell, however long that takes.
    dialogue.leave(matches!(farewell, Farewell::Answer(Some(code::NORMAL))));
    tracing::debug!(?farewell, "connection ends");
    // What cannot be said in time goes unsaid.
    let _ = timeout(timing.closing, Box::pin(connection.say_farewell(farewell, last_words))).await;
}

struct Connection {
    stream: TcpStream,
    timing: Timing,
    reader: Reader,
    /// What came and was not read: mostly nothing, or a frame that is not all there.
    incoming: Vec<u8>,
    /// Whether there may be a whole frame in it.
    unread: bool,
    /// What the system did not take yet.
    outgoing: Vec<u8>,
    /// The answer to the client's last ping.
    pong: Option<Vec<u8>>,
    ping_due: bool,
    next_ping: Instant,
    /// When the last whole message or control frame came: half of one says nothing.
    heard: Instant,
    /// Nothing can be written any more. What the client said before it hung up may still be there to be heard.
    deaf: bool,
    /// Bytes that the system took.
    taken: u64,
    crowded: Option<Crowded>,
    /// Fires at the next deadline, or earlier.
    alarm: Pin<Box<Sleep>>,
}

/// More waits for the client than it may leave waiting.
#[derive(Debug, Clone, Copy)]
struct Crowded {
    since: Instant,
    /// What the system had taken when it last took something, and when that was.
    taken: u64,
    at: Instant,
}

/// What happened.
enum Event {
    /// Something came and was answered.
    Heard,
    /// A message came that takes longer to answer.
    Unfinished(Box<Unfinished>),
    /// The client says farewell, with a code if it has one.
    Closed(Option<u16>),
    Broken(Broken),
    /// The client hung up, or the connection failed.
    Gone,
    Ended(End),
    /// A deadline may have passed.
    Alarm,
}

/// How a connection ends.
#[derive(Debug)]
enum Farewell {
    /// Without a word: nobody is there to hear one.
    None,
    /// The client said it first; its close frame is answered with its code. With 1000 it signs out (section 1).
    Answer(Option<u16>),
    /// A close frame with this code and reason, after what waits.
    Close(u16, &'static str),
}

impl Connection {
    fn begin(stream: TcpStream, read: Bytes, timing: Timing) -> Self {
        // Copied, so that the HTTP buffer that `read` is a piece of is given back.
        let incoming = read.to_vec();
        drop(read);
        let now = Instant::now();
        Self {
            stream,
            timing,
            reader: Reader::new(CLIENT_FRAME_MAX),
            unread: !incoming.is_empty(),
            incoming,
            outgoing: Vec::new(),
            pong: None,
            ping_due: false,
            next_ping: now + timing.ping,
            heard: now,
            deaf: false,
            taken: 0,
            crowded: None,
            alarm: Box::pin(sleep_until(now)),
        }
    }

    /// Until the connection is to end.
    async fn talk(&mut self, dialogue: &mut Dialogue) -> Farewell {
        loop {
            match poll_fn(|cx| self.poll_event(dialogue, cx)).await {
                Event::Heard => {}
                Event::Unfinished(unfinished) => Box::pin(dialogue.finish(unfinished)).await,
                Event::Closed(code) => return Farewell::Answer(code),
                Event::Broken(broken) => return farewell_after(broken),
                Event::Gone => return Farewell::None,
                Event::Ended(end) => return farewell_at(end),
                Event::Alarm => {
                    if let Some(farewell) = self.check_deadlines(dialogue.waits_for_login_since()) {
                        return farewell;
                    }
                }
            }
        }
    }

    fn poll_event(&mut self, dialogue: &mut Dialogue, cx: &mut Context<'_>) -> Poll<Event> {
        let mailbox = dialogue.mailbox();
        match mailbox.look(cx.waker()) {
            Err(end) => return Poll::Ready(Event::Ended(end)),
            Ok(has_more) if !self.deaf && (has_more || self.has_more()) => {
                if self.poll_write(mailbox, cx).is_err() {
                    (self.deaf, self.outgoing) = (true, Vec::new());
                }
                self.look_at_what_waits(mailbox);
            }
            // Nobody is to wait for it.
            Ok(_) if self.deaf && mailbox.is_crowded() => mailbox.is_too_slow(),
            Ok(_) => {}
        }
        if let Some(until) = dialogue.rests_until() {
            self.come_back_by(Instant::from_std(until));
            return self.poll_alarm(cx);
        }
        match self.poll_read(dialogue, cx) {
            Poll::Ready(event) => Poll::Ready(event),
            Poll::Pending if self.deaf => Poll::Ready(Event::Gone),
            // A client that never stops sending uses up the task's share of its turn, and the deadlines hold for it too.
            Poll::Pending => self.poll_alarm(cx),
        }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        pin!(unconstrained(self.alarm.as_mut())).poll(cx).map(|()| Event::Alarm)
    }

    fn come_back_by(&mut self, then: Instant) {
        if then < self.alarm.deadline() {
            self.alarm.as_mut().reset(then);
        }
    }

    /// After the system was given what it takes: ends it with a client that has left too much waiting for too long. One that
    /// reads gets less within that time, as those who send to it are not read meanwhile.
    fn look_at_what_waits(&mut self, mailbox: &Mailbox) {
        if !mailbox.is_crowded() {
            self.crowded = None;
            return;
        }
        let now = Instant::now();
        let crowded = self.crowded.get_or_insert(Crowded { since: now, taken: self.taken, at: now });
        if crowded.taken != self.taken {
            (crowded.taken, crowded.at) = (self.taken, now);
        }
        let slow_at = (crowded.since + SLOW).min(crowded.at + STALLED);
        if slow_at <= now {
            mailbox.is_too_slow();
        } else {
            self.come_back_by(slow_at);
        }
    }

    /// Whether there is something to write besides what is in the mailbox.
    fn has_more(&self) -> bool {
        !self.outgoing.is_empty() || self.pong.is_some() || self.ping_due
    }

    /// Gives the system what it takes now.
    fn poll_write(&mut self, mailbox: &Mailbox, cx: &mut Context<'_>) -> io::Result<()> {
        WRITTEN.with_borrow_mut(|out| {
            loop {
                // First, and as it lies there: nothing is copied for a client that does not read.
                if !self.outgoing.is_empty() {
                    let Poll::Ready(taken) = poll_write_some(&mut self.stream, cx, &self.outgoing)? else {
                        return Ok(());
                    };
                    self.taken += taken as u64;
                    if taken < self.outgoing.len() {
                        self.outgoing.drain(..taken);
                        continue;
                    }
                    // Given back, so that an idle connection does not pay for its busiest moment.
                    self.outgoing = Vec::new();
                }
                out.clear();
                self.gather(mailbox, out);
                if out.is_empty() {
                    return Ok(());
                }
                // What comes into the mailbox meanwhile wakes this task.
                let is_all = out.len() < BUFFER;
                let taken = match poll_write_some(&mut self.stream, cx, out)? {
                    Poll::Ready(taken) => taken,
                    Poll::Pending => 0,
                };
                self.taken += taken as u64;
                self.outgoing = out.get(taken..).unwrap_or_default().to_vec();
                if is_all && self.outgoing.is_empty() {
                    return Ok(());
                }
            }
        })
    }

    /// Frames of what waits, up to what is written at once.
    fn gather(&mut self, mailbox: &Mailbox, out: &mut Vec<u8>) {
        if let Some(pong) = self.pong.take_if(|_| out.len() < BUFFER) {
            write(out, Kind::Pong, &pong);
        }
        while out.len() < BUFFER {
            if mailbox.pop(|text| write(out, Kind::Text, text.as_bytes())).is_some() {
                continue;
            }
            // With nothing before it, so that its number is that of the last message sent.
            if std::mem::take(&mut self.ping_due) {
                write(out, Kind::Ping, mailbox.last_sent().to_string().as_bytes());
            }
            return;
        }
    }

    /// Hears what came.
    fn poll_read(&mut self, dialogue: &mut Dialogue, cx: &mut Context<'_>) -> Poll<Event> {
        READ.with_borrow_mut(|buffer| {
            if !self.unread {
                let mut free = ReadBuf::new(buffer);
                let read = Pin::new(&mut self.stream).poll_read(cx, &mut free);
                let came = free.filled_mut();
                match read {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) if !came.is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(Event::Gone),
                }
                if self.incoming.is_empty() {
                    let (read, event) = self.hear(came, dialogue);
                    self.incoming.extend_from_slice(came.get(read..).unwrap_or_default());
                    return Poll::Ready(event);
                }
                self.incoming.extend_from_slice(came);
            }
            let mut came = std::mem::take(&mut self.incoming);
            let (read, event) = self.hear(&mut came, dialogue);
            if read == 0 {
                self.incoming = came;
            } else if read < came.len() {
                // Without the room that the rest took.
                self.incoming = came.split_off(read);
            }
            Poll::Ready(event)
        })
    }

    /// Answers all whole frames in `came`, and says how many bytes these are; or those up to one that something else must
    /// be done for.
    fn hear(&mut self, came: &mut [u8], dialogue: &mut Dialogue) -> (usize, Event) {
        self.unread = false;
        let mut at = 0;
        loop {
            let (length, received) = match self.reader.read(came.get_mut(at..).unwrap_or_default()) {
                Ok(Some(read)) => read,
                Ok(None) => return (at, Event::Heard),
                Err(broken) => return (at, Event::Broken(broken)),
            };
            at += length;
            if received.is_some() {
                self.heard = Instant::now();
            }
            let mut unfinished = None;
            match received {
                Some(Received::Text(text)) => unfinished = dialogue.hear(&text),
                Some(Received::Binary(length)) => dialogue.hear_binary(length),
                Some(Received::Ping(payload)) => self.pong = Some(payload.to_vec()),
                Some(Received::Pong(payload)) => acknowledge(dialogue.mailbox(), payload),
                Some(Received::Close(code)) => return (at, Event::Closed(code)),
                None => {}
            }
            if let Some(unfinished) = unfinished {
                self.unread = true;
                return (at, Event::Unfinished(unfinished));
            }
            if dialogue.mailbox().ended().is_some() {
                return (at, Event::Heard);
            }
            if dialogue.rests_until().is_some() {
                self.unread = true;
                return (at, Event::Heard);
            }
        }
    }

    fn check_deadlines(&mut self, waits_for_login_since: Option<std::time::Instant>) -> Option<Farewell> {
        let now = Instant::now();
        let silent_at = self.heard + self.timing.silence;
        if silent_at <= now {
            return Some(Farewell::None);
        }
        let login_by = waits_for_login_since.map(|since| Instant::from_std(since) + self.timing.login);
        if login_by.is_some_and(|login_by| login_by <= now) {
            return Some(Farewell::Close(code::POLICY, "no sign-in in time"));
        }
        if self.next_ping <= now {
            self.ping_due = true;
            self.next_ping = now + self.timing.ping;
        }
        let next = login_by.map_or(silent_at, |login_by| login_by.min(silent_at)).min(self.next_ping);
        self.alarm.as_mut().reset(next);
        None
    }

    async fn say_farewell(mut self, farewell: Farewell, last_words: Vec<String>) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.outgoing);
        match farewell {
            Farewell::None => return Ok(()),
            Farewell::Answer(code) => {
                if let Some(pong) = &self.pong {
                    write(&mut out, Kind::Pong, pong);
                }
                write(&mut out, Kind::Close, code.map(u16::to_be_bytes).as_ref().map_or(&[], |code| &code[..]));
            }
            Farewell::Close(code, reason) => {
                for text in last_words {
                    write(&mut out, Kind::Text, text.as_bytes());
                }
                write(&mut out, Kind::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat());
            }
        }
        self.stream.write_all(&out).await?;
        hang_up(self.stream).await
    }
}

/// Gives the system what it takes of `bytes`, which are not none.
fn poll_write_some(stream: &mut TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match Pin::new(stream).poll_write(cx, bytes) {
        Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => written,
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
    let mut scratch = [0; SCRATCH];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}

fn farewell_at(end: End) -> Farewell {
    match end {
        End::Replaced => Farewell::Close(code::REPLACED, "signed in on another connection"),
        End::GoingAway => Farewell::Close(code::AWAY, "the server stops"),
        End::Unbound => Farewell::Close(code::POLICY, "the operator took this name away"),
        End::BadMessages => Farewell::Close(code::POLICY, "too many bad messages"),
        // It does not read; it would not read this.
        End::TooSlow => Farewell::None,
    }
}

fn farewell_after(broken: Broken) -> Farewell {
    match broken {
        Broken::TooLong => Farewell::Close(code::SIZE, "a message has at most 64 KiB"),
        Broken::NotUtf8 => Farewell::Close(code::NOT_UTF8, "not UTF-8"),
        Broken::Protocol => Farewell::Close(code::PROTOCOL, "not as RFC 6455 wants it"),
    }
}
