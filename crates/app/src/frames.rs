//! Pictures on their way into the page: scaled and written on a thread of their own for each view, then sent over a loopback
//! socket, or over a channel of the window system that the shell brings. How the page draws is in `ui/src/video`.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use ahoy_client::{FrameSink, PictureForm, PictureView, Shown, ShownPicture, VideoCodec};
use tracing::{debug, warn};

use crate::page::FramesAddress;

mod line;
mod message;
mod options;
mod pane;
mod socket;
mod token;
pub mod wire;

pub use line::{Line, LineClosed};
use message::MessageMaker;
pub use options::{FramesOptions, UnknownForm, WantedForm};
use pane::{Due, InFlight, Pane};
use socket::Socket;
use wire::{PageMessage, Showing, View};

/// Where pictures go that the page is to show. Dropped, it hangs up on every page and its threads end.
pub struct Frames {
    shared: Arc<Shared>,
    socket: Option<Socket>,
    threads: Vec<JoinHandle<()>>,
}

/// The page has drawn a picture.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    /// Whose.
    pub view: PictureView,
    /// Which.
    pub rtp: u32,
    /// When it was captured, where that is known.
    pub captured_at: Option<Instant>,
    /// When it was handed over for showing.
    pub given_at: Instant,
    /// When the page's word came, right after drawing: on this side's clock, so a little late, never early.
    pub drawn_at: Instant,
}

/// A page's line for one view, among all there ever were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineId {
    view: View,
    number: u32,
}

type OnDrawn = Box<dyn Fn(Drawn) + Send + Sync>;

/// What the threads, the pages and whoever gives pictures meet over.
struct Shared {
    local: Cell,
    remote: Cell,
    next_line: AtomicU32,
    on_drawn: OnceLock<OnDrawn>,
}

/// A pane between threads. Locked for microseconds only: nothing is converted or sent meanwhile.
struct Cell {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    pane: Pane,
    ended: bool,
}

impl Frames {
    /// Starts the threads and opens the socket. Without a socket, where the system gives none, pages get their pictures by
    /// [`Self::open_line`].
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start(options: FramesOptions) -> io::Result<Self> {
        let cell = || Cell {
            state: Mutex::new(State { pane: Pane::new(options.form), ended: false }),
            changed: Condvar::new(),
        };
        let shared =
            Arc::new(Shared { local: cell(), remote: cell(), next_line: AtomicU32::new(0), on_drawn: OnceLock::new() });
        let mut frames = Self { shared: Arc::clone(&shared), socket: None, threads: Vec::new() };
        for (view, name) in [(PictureView::Local, "frames-local"), (PictureView::Remote, "frames-remote")] {
            let shared = Arc::clone(&shared);
            let thread =
                thread::Builder::new().name(name.to_owned()).spawn(move || send_pictures(shared.cell(view)))?;
            frames.threads.push(thread);
        }
        if options.socket {
            frames.socket = match Socket::open(shared) {
                Ok(socket) => Some(socket),
                Err(error) => {
                    warn!(%error, "no socket for pictures; they go through a channel of the window");
                    None
                }
            };
        }
        Ok(frames)
    }

    /// Where the page finds the socket, if there is one.
    pub fn address(&self) -> Option<FramesAddress> {
        self.socket.as_ref().map(Socket::address)
    }

    /// Whom to tell that a picture was drawn. Called on a thread that must not be held up. Only the first one counts.
    pub fn when_drawn(&self, tell: impl Fn(Drawn) + Send + Sync + 'static) {
        let _ = self.shared.on_drawn.set(Box::new(tell));
    }

    /// Sends a view's pictures through this line from now on, and through no other.
    pub fn open_line(&self, view: View, showing: Showing, line: Arc<dyn Line>) -> LineId {
        self.shared.open_line(view, showing, line)
    }

    /// What a page says over a line that is no socket.
    ///
    /// # Errors
    /// If the line is not in use any more.
    pub fn hear(&self, line: LineId, message: PageMessage) -> Result<(), LineClosed> {
        self.shared.hear(line, message)
    }

    /// The page needs no pictures of this line any more.
    pub fn close_line(&self, line: LineId) {
        self.shared.close_line(line);
    }
}

impl FrameSink for Frames {
    fn form(&self, view: PictureView, codec: Option<VideoCodec>) -> PictureForm {
        self.shared.cell(view).lock().pane.form(codec)
    }

    fn shown(&self, view: PictureView) -> Option<Shown> {
        Some(self.shared.cell(view).lock().pane.shown())
    }

    fn show(&self, shown: ShownPicture) {
        let cell = self.shared.cell(shown.view);
        cell.lock().pane.put(shown, Instant::now());
        cell.changed.notify_all();
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.socket = None;
        for cell in [&self.shared.local, &self.shared.remote] {
            cell.lock().ended = true;
            cell.changed.notify_all();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                warn!("a thread for pictures panicked");
            }
        }
    }
}

impl Shared {
    fn cell(&self, view: PictureView) -> &Cell {
        match view {
            PictureView::Local => &self.local,
            PictureView::Remote => &self.remote,
        }
    }

    fn open_line(&self, view: View, showing: Showing, line: Arc<dyn Line>) -> LineId {
        let number = self.next_line.fetch_add(1, Ordering::Relaxed);
        debug!(?view, number, ?showing, "a page looks");
        self.cell(view.into()).lock().pane.open(number, line, showing);
        LineId { view, number }
    }

    fn close_line(&self, line: LineId) {
        debug!(view = ?line.view, number = line.number, "a page has gone");
        self.cell(line.view.into()).lock().pane.close(line.number);
    }

    fn hear(&self, line: LineId, message: PageMessage) -> Result<(), LineClosed> {
        let view = line.view.into();
        let cell = self.cell(view);
        match message {
            PageMessage::Showing { showing } => {
                debug!(?view, ?showing, "the page shows pictures differently");
                cell.lock().pane.set_showing(line.number, showing)
            }
            PageMessage::KeyFrameWanted => cell.lock().pane.want_key_frame(line.number),
            PageMessage::Drawn { sequence } => {
                let answered = self.answered(line, sequence)?;
                if let (Some(drawn), Some(tell)) = (answered, self.on_drawn.get()) {
                    let InFlight { rtp, captured_at, given_at, .. } = drawn;
                    tell(Drawn { view, rtp, captured_at, given_at, drawn_at: Instant::now() });
                }
                Ok(())
            }
            PageMessage::Skipped { sequence } => self.answered(line, sequence).map(drop),
        }
    }

    fn answered(&self, line: LineId, sequence: u32) -> Result<Option<InFlight>, LineClosed> {
        let cell = self.cell(line.view.into());
        let answered = cell.lock().pane.answered(line.number, sequence);
        cell.changed.notify_all();
        answered
    }
}

impl Cell {
    // A panic while the lock is held would be a bug of the pane, whose every step leaves it usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a picture that may be sent; nothing once it is over. Its owner's drop ends the wait.
    fn next(&self) -> Option<Due> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(due) = state.pane.take(Instant::now()) {
                return Some(due);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A view's thread.
fn send_pictures(cell: &Cell) {
    let mut maker = MessageMaker::default();
    while let Some(due) = cell.next() {
        let sent = match maker.make(&due) {
            Ok(message) => due.send(message).is_ok(),
            Err(error) => {
                warn!(%error, "a picture cannot be shown");
                false
            }
        };
        if !sent {
            cell.lock().pane.close(due.line_id);
        }
    }
}

#[cfg(test)]
mod tests;
