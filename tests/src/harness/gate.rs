//! A gate between a client and the server. A closed one lets a sign-in through, then holds back what the client says
//! until it is opened: so a test can have two clients dial before either hears of the other, whatever the machine does.
//! An open one lets everything through, until the connection is cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use super::Server;

/// A gate for one client. It opens when it is dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    door: Arc<Door>,
}

#[derive(Debug)]
struct Door {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Whether those who have signed in are held.
    closed: bool,
    /// Both ends of each connection, to cut them.
    streams: Vec<TcpStream>,
    /// Whether nobody needs the gate any more.
    over: bool,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn closed_before(server: &Server) -> Self {
        Self::before(server, true)
    }

    /// An open gate.
    #[must_use]
    pub fn open_before(server: &Server) -> Self {
        Self::before(server, false)
    }

    fn before(server: &Server, closed: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = State { closed, streams: Vec::new(), over: false };
        let door = Arc::new(Door { state: Mutex::new(state), changed: Condvar::new() });
        let (inside, host) = (Arc::clone(&door), server.host().to_owned());
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if inside.lock().over {
                    break;
                }
                if let Ok(server) = TcpStream::connect(&host) {
                    pass(&client, &server, &inside);
                }
            }
        });
        Self { address, door }
    }

    /// What the client dials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Lets everything through from now on.
    pub fn open(&self) {
        self.door.lock().closed = false;
        self.door.changed.notify_all();
    }

    /// Cuts every connection there is. The client may dial again.
    pub fn cut(&self) {
        for stream in self.door.lock().streams.drain(..) {
            // Fails only when it has ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
        self.door.lock().over = true;
        // Wakes the listener, which sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Door {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics here")
    }

    fn wait_until_open(&self) {
        drop(self.changed.wait_while(self.lock(), |state| state.closed).expect("nobody panics here"));
    }
}

/// Passes on what each says to the other, on two threads that end with the connection.
fn pass(client: &TcpStream, server: &TcpStream, door: &Arc<Door>) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("there are file descriptors");
    door.lock().streams.extend([clone(client), clone(server)]);
    let (signed_in, told) = (Arc::new(Mutex::new(false)), Arc::clone(door));
    let (from, to, mark) = (clone(client), clone(server), Arc::clone(&signed_in));
    thread::spawn(move || {
        copy(from, to, |_| {
            if *mark.lock().expect("nobody panics here") {
                told.wait_until_open();
            }
        });
    });
    let (from, to, mut heard) = (clone(server), clone(client), Vec::new());
    thread::spawn(move || {
        copy(from, to, |bytes| {
            // A server's frames are not masked, so its words can be read on the wire (RFC 6455 §5.1). The mark is made
            // before the client reads its welcome: nothing that it says as one signed in gets past.
            heard.extend_from_slice(bytes);
            if heard.windows(9).any(|window| window == b"\"welcome\"") {
                *signed_in.lock().expect("nobody panics here") = true;
                heard.clear();
            }
        });
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut before: impl FnMut(&[u8])) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.split_at(count).0;
        before(bytes);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    // Fails only when it has ended already.
    let _ = to.shutdown(Shutdown::Both);
}
