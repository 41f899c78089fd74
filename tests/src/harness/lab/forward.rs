//! A TCP connection that takes time: what one side writes the other reads so much later, in order and whole.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How many reads may be under way in one direction; whoever sends more waits.
const MOST_UNDER_WAY: usize = 256;
const CHUNK_BYTES: usize = 16 << 10;

/// A listening socket of the namespace that its thread was in.
#[derive(Debug)]
pub(super) struct Bound {
    listener: TcpListener,
    one_way: Duration,
}

/// Ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub(super) struct Forward {
    listener: Arc<TcpListener>,
    /// Of the connections that are open.
    streams: Arc<Mutex<Vec<Weak<TcpStream>>>>,
    accepting: Option<JoinHandle<()>>,
}

/// Some bytes, and when they are to be there.
type Chunk = (Instant, Vec<u8>);

impl Forward {
    pub(super) fn bind(one_way: Duration) -> Bound {
        Bound { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free"), one_way }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }
}

impl Bound {
    /// Leads each connection to `to`, from the namespace that this thread is in.
    pub(super) fn start(self, to: SocketAddr) -> Forward {
        let Self { listener, one_way } = self;
        let listener = Arc::new(listener);
        let streams: Arc<Mutex<Vec<Weak<TcpStream>>>> = Arc::default();
        let (accepts, opened) = (Arc::clone(&listener), Arc::clone(&streams));
        let accepting = spawn("forward-accept", move || {
            while let Some(near) = accept(&accepts) {
                // Nobody is there: the connection closes, as it would without this.
                let Ok(far) = TcpStream::connect(to) else { continue };
                let (near, far) = (Arc::new(near), Arc::new(far));
                let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
                opened.retain(|stream| stream.strong_count() > 0);
                for stream in [&near, &far] {
                    stream.set_nodelay(true).expect("TCP can be told not to wait");
                    opened.push(Arc::downgrade(stream));
                }
                join(Arc::clone(&near), Arc::clone(&far), one_way);
                join(far, near, one_way);
            }
        });
        Forward { listener, streams, accepting: Some(accepting) }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // Linux wakes whoever waits for a connection with this. It fails only when that has ended already.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        let _ = self.accepting.take().map(JoinHandle::join);
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams.iter().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The next connection. `None`: there are no more.
fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept() {
        Ok((near, _)) => Some(near),
        // What Linux says of a socket that was shut down.
        Err(error) if error.kind() == ErrorKind::InvalidInput => None,
        Err(error) => {
            eprintln!("a forward past the link takes no more connections: {error}");
            None
        }
    }
}

/// The first thread ends with what it reads, the second with what it gets from there.
fn join(from: Arc<TcpStream>, to: Arc<TcpStream>, one_way: Duration) {
    let (send, receive) = sync_channel(MOST_UNDER_WAY);
    spawn("forward-read", move || read(&from, &send, one_way));
    spawn("forward-write", move || write(&to, &receive));
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).expect("there are threads")
}

fn read(mut from: &TcpStream, under_way: &SyncSender<Chunk>, one_way: Duration) {
    let mut buffer = [0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        // The end takes as long as what was before it: it is an empty chunk.
        let sent = under_way.send((Instant::now() + one_way, buffer[..count].to_vec()));
        if count == 0 || sent.is_err() {
            return;
        }
    }
}

fn write(mut to: &TcpStream, under_way: &Receiver<Chunk>) {
    while let Ok((due, bytes)) = under_way.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
    }
    // Fails only when it has ended already.
    let _ = to.shutdown(Shutdown::Write);
}
