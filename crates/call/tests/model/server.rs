//! The model's server: sections 3 to 5 as far as calls need them. Sessions linger, in most histories.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ahoy_call::Time;

use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::{Address, CallId, DeviceAddress, Username};
use ahoy_protocol::identity::Binary;
use ahoy_protocol::message::{ClientMessage, Hello, Login, Received, Relay, Relayed, ServerMessage, Welcome};
use ahoy_protocol::signal::Signal;

use crate::world::{Channel, Happening, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(usize);

pub(crate) struct Server {
    /// How long a session outlives its connection.
    linger: Duration,
    conns: Vec<Conn>,
    sessions: BTreeMap<DeviceAddress, Session>,
    /// Counts the sign-ins, to name tokens by.
    welcomes: u64,
    known: BTreeSet<Username>,
    /// Opening offers that nobody answered: who made it, and whom it still reaches.
    offers: BTreeMap<CallId, (DeviceAddress, BTreeSet<DeviceAddress>)>,
}

struct Conn {
    device: usize,
    alive: bool,
    session: Option<DeviceAddress>,
}

struct Session {
    /// `None` while it lingers.
    conn: Option<ConnId>,
    token: String,
    /// The last message's number.
    seq: u64,
    /// What the client may not have seen.
    unseen: VecDeque<(u64, Time, ServerMessage)>,
    /// What the client said, `login` and `ping` left out.
    taken: Vec<String>,
}

impl Server {
    pub(crate) fn new(linger: Duration) -> Self {
        Self {
            linger,
            conns: Vec::new(),
            sessions: BTreeMap::new(),
            welcomes: 0,
            known: BTreeSet::new(),
            offers: BTreeMap::new(),
        }
    }

    pub(crate) fn connect(&mut self, device: usize) -> ConnId {
        self.conns.push(Conn { device, alive: true, session: None });
        ConnId(self.conns.len() - 1)
    }

    pub(crate) fn device(&self, conn: ConnId) -> usize {
        self.conns[conn.0].device
    }

    /// Nothing goes through that connection any more.
    pub(crate) fn kill(&mut self, conn: ConnId) {
        self.conns[conn.0].alive = false;
    }

    /// The client has shown that it saw everything up to that number.
    pub(crate) fn acknowledged(&mut self, conn: ConnId, seq: u64) {
        let address = self.conns[conn.0].session.as_ref();
        if let Some(session) = address.and_then(|address| self.sessions.get_mut(address))
            && session.conn == Some(conn)
        {
            session.unseen.retain(|(number, ..)| *number > seq);
        }
    }

    fn sessions_of(&self, user: &Username) -> Vec<DeviceAddress> {
        self.sessions.keys().filter(|address| address.username == *user).cloned().collect()
    }
}

impl World {
    pub(crate) fn greet(&mut self, device: usize) {
        let Some((_, conn)) = self.devices[device].link else { return };
        let hello = Hello { protocols: vec![1], server: "model".into(), challenge: Binary([0; 32]), guests: true };
        self.send_to(conn, None, ServerMessage::Hello(hello));
    }

    /// A message reaches the server.
    pub(crate) fn serve(&mut self, conn: ConnId, message: ClientMessage) {
        if !self.server.conns[conn.0].alive {
            return;
        }
        if !matches!(message, ClientMessage::Login(_) | ClientMessage::Ping) {
            self.take(conn, &message);
        }
        let session = self.server.conns[conn.0].session.clone();
        match (message, session) {
            (ClientMessage::Login(login), _) => self.sign_in(conn, &login),
            (ClientMessage::Ping, Some(session)) => self.tell(&session, ServerMessage::Pong { waited: false }),
            (ClientMessage::Relay(relay), Some(from)) => self.relay(from, relay),
            (ClientMessage::Contacts(_) | ClientMessage::IceServers, _)
            | (ClientMessage::Ping | ClientMessage::Relay(_), None) => {}
        }
    }

    /// A connection is gone; its session lingers, unless the client signed out.
    pub(crate) fn connection_gone(&mut self, conn: ConnId, signed_out: bool) {
        self.server.kill(conn);
        let Some(address) = self.server.conns[conn.0].session.take() else { return };
        let linger = self.server.linger;
        let Some(session) = self.server.sessions.get_mut(&address).filter(|session| session.conn == Some(conn)) else {
            return;
        };
        session.conn = None;
        let token = session.token.clone();
        if signed_out || linger.is_zero() {
            self.end_session(&address);
        } else {
            self.after(linger, Happening::LingerOver { address, token });
        }
    }

    pub(crate) fn linger_over(&mut self, address: &DeviceAddress, token: &str) {
        let session = self.server.sessions.get(address);
        if session.is_some_and(|session| session.conn.is_none() && session.token == token) {
            self.end_session(address);
        }
    }

    /// The server forgets everything but the names, and every connection breaks.
    pub(crate) fn restart_server(&mut self) {
        self.note("the server restarts");
        self.tally.server_restarts += 1;
        self.server.sessions.clear();
        self.server.offers.clear();
        for conn in &mut self.server.conns {
            conn.alive = false;
            conn.session = None;
        }
        for device in 0..self.devices.len() {
            self.drop_link(device);
        }
    }

    fn end_session(&mut self, session: &DeviceAddress) {
        self.server.sessions.remove(session);
        let mut unreachable = Vec::new();
        self.server.offers.retain(|call, (caller, reached)| {
            let is_last = reached.remove(session) && reached.is_empty();
            if is_last {
                unreachable.push((*call, caller.clone()));
            }
            !is_last
        });
        for (call, caller) in unreachable {
            self.refuse(&caller, ErrorCode::Offline, call);
        }
    }

    fn sign_in(&mut self, conn: ConnId, login: &Login) {
        let username: Username = login.username.parse().unwrap();
        let address = DeviceAddress { username, session: login.session };
        let earlier = self.server.sessions.get(&address).and_then(|session| session.conn);
        if let Some(earlier) = earlier {
            self.server.kill(earlier);
            self.server.conns[earlier.0].session = None;
        }
        let resumed = self.server.sessions.get(&address).is_some_and(|session| {
            let first = session.unseen.front().map_or(session.seq + 1, |(number, ..)| *number);
            let knows = login.seq.is_some_and(|seen| (first..=session.seq + 1).contains(&(seen + 1)));
            login.resume.as_ref() == Some(&session.token) && knows
        });
        if !resumed {
            self.end_session(&address);
        }
        self.server.welcomes += 1;
        let token = self.server.welcomes.to_string();
        let session = self.server.sessions.entry(address.clone()).or_insert_with(|| Session {
            conn: None,
            token: String::new(),
            seq: 0,
            unseen: VecDeque::new(),
            taken: Vec::new(),
        });
        session.conn = Some(conn);
        session.token.clone_from(&token);
        session.unseen.retain(|(number, ..)| login.seq.is_none_or(|seen| *number > seen));
        let (unseen, received) = (session.unseen.clone(), session.taken.len());
        self.server.known.insert(address.username.clone());
        self.server.conns[conn.0].session = Some(address.clone());
        let welcome = Welcome {
            username: address.username,
            session: address.session,
            resumed,
            received: u64::try_from(received).unwrap(),
            resume: token,
            linger_s: u32::try_from(self.server.linger.as_secs()).unwrap(),
            ice_servers: Vec::new(),
            ttl_s: 1,
        };
        self.send_to(conn, None, ServerMessage::Welcome(welcome));
        for (seq, at, message) in unseen {
            let age_ms = u64::try_from(self.now.since(at).as_millis()).unwrap();
            let message = match message {
                ServerMessage::Signal(received) => ServerMessage::Signal(Received { age_ms, ..received }),
                ServerMessage::Pong { .. } => ServerMessage::Pong { waited: true },
                other => other,
            };
            self.send_to(conn, Some(seq), message);
        }
    }

    /// Counts what a client said: what it counts itself.
    fn take(&mut self, conn: ConnId, message: &ClientMessage) {
        let device = self.server.device(conn);
        let Some(address) = self.server.conns[conn.0].session.clone() else { return };
        let Some(session) = self.server.sessions.get_mut(&address) else { return };
        let text = message.to_text();
        let place = session.taken.len();
        session.taken.push(text.clone());
        let is_second = session.taken[..place].contains(&text);
        self.check_taken(device, place, &text, is_second);
    }

    fn relay(&mut self, from: DeviceAddress, relay: Relay) {
        let Relay { to, signal, .. } = relay;
        let call = signal.call();
        if matches!(signal, Signal::Answer(_)) {
            self.server.offers.remove(&call);
        }
        match to {
            Address::User(user) if matches!(signal, Signal::Offer(_)) => self.open_call(from, &user, signal),
            Address::User(user) => {
                for session in self.server.sessions_of(&user) {
                    self.hand_over(&session, from.clone(), None, signal.clone());
                }
            }
            Address::Device(device) if self.server.sessions.contains_key(&device) => {
                self.hand_over(&device, from, None, signal);
            }
            Address::Device(_) => self.refuse(&from, ErrorCode::Offline, call),
        }
    }

    fn open_call(&mut self, from: DeviceAddress, user: &Username, signal: Signal) {
        let (call, to) = (signal.call(), self.server.sessions_of(user));
        if to.is_empty() {
            let known = self.server.known.contains(user) && !user.is_guest();
            self.refuse(&from, if known { ErrorCode::Offline } else { ErrorCode::UnknownUser }, call);
            return;
        }
        for session in &to {
            self.hand_over(session, from.clone(), Some(u32::try_from(to.len()).unwrap()), signal.clone());
        }
        self.server.offers.insert(call, (from.clone(), to.iter().cloned().collect()));
        self.tell(&from, ServerMessage::Relayed(Relayed { call, to }));
    }

    fn hand_over(&mut self, to: &DeviceAddress, from: DeviceAddress, devices: Option<u32>, signal: Signal) {
        self.tell(to, ServerMessage::Signal(Received { from, devices, age_ms: 0, signal }));
    }

    fn refuse(&mut self, to: &DeviceAddress, code: ErrorCode, call: CallId) {
        let error = ErrorMessage { code, message: "no".into(), call: Some(call.to_string()), retry_s: None };
        self.tell(to, ServerMessage::Error(error));
    }

    /// Sends within a session, now or when its client is back.
    fn tell(&mut self, to: &DeviceAddress, message: ServerMessage) {
        let now = self.now;
        let Some(session) = self.server.sessions.get_mut(to) else { return };
        session.seq += 1;
        let (seq, conn) = (session.seq, session.conn);
        session.unseen.push_back((seq, now, message.clone()));
        if let Some(conn) = conn {
            self.send_to(conn, Some(seq), message);
        }
    }

    fn send_to(&mut self, conn: ConnId, seq: Option<u64>, message: ServerMessage) {
        let delay = self.delay();
        self.along(Channel::ToClient(conn), delay, Happening::ToClient { conn, seq, message });
    }
}
