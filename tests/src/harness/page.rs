//! Where a program under a test's command comes to: hands out the files of `tests/peers` over HTTP, and takes the one
//! WebSocket at `/drive`. Just enough HTTP for a page on the same machine.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tungstenite::WebSocket;

use super::DEADLINE;

/// A listener on a free port of this machine, until it is dropped.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    driven: Receiver<WebSocket<TcpStream>>,
    over: Arc<AtomicBool>,
}

/// The end of a request's headers (RFC 9112 §2.1).
const END_OF_HEADERS: &[u8] = b"\r\n\r\n";

impl Page {
    /// Starts to listen.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let over = Arc::new(AtomicBool::new(false));
        let (tell, driven) = sync_channel(1);
        let ended = Arc::clone(&over);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                // A browser opens connections that it may never use: none waits for another.
                let tell = tell.clone();
                thread::spawn(move || serve(stream, &tell));
            }
        });
        Self { address, driven, over }
    }

    /// The URL of a file.
    #[must_use]
    pub fn url(&self, file: &str) -> String {
        format!("http://{}/{file}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the WebSocket.
    #[must_use]
    pub fn drive_url(&self) -> String {
        format!("ws://{}/drive", self.address)
    }

    /// Waits until the program has come. `None`: it did not.
    #[must_use]
    pub fn wait(&self) -> Option<WebSocket<TcpStream>> {
        self.driven.recv_timeout(DEADLINE).ok()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the listener, which sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

/// Where the files are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn serve(mut stream: TcpStream, tell: &SyncSender<WebSocket<TcpStream>>) {
    let mut start = [0; 16];
    let configured = stream.set_read_timeout(Some(DEADLINE)).and_then(|()| stream.set_nodelay(true));
    if configured.is_err() || !stream.peek(&mut start).is_ok_and(|count| count > 0) {
        return;
    }
    if start.starts_with(b"GET /drive ") {
        if let Ok(socket) = tungstenite::accept(stream) {
            // Nobody waits any more: the test is over.
            let _ = tell.send(socket);
        }
        return;
    }
    if let Some(path) = read_request(&mut stream) {
        // A page that is gone needs no file.
        let _ = stream.write_all(&answer(&path));
    }
}

/// The path that is asked for.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(END_OF_HEADERS.len()).any(|bytes| bytes == END_OF_HEADERS) {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&buffer[..count]);
    }
    let request = String::from_utf8(request).ok()?;
    Some(request.strip_prefix("GET /")?.split([' ', '?']).next()?.to_owned())
}

fn answer(path: &str) -> Vec<u8> {
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some(_) | None => "application/octet-stream",
    };
    // Names alone: nothing beside the folder is handed out.
    match fs::read(folder().join(path)).ok().filter(|_| !path.contains('/')) {
        Some(file) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                file.len()
            );
            [head.into_bytes(), file].concat()
        }
        None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
    }
}
