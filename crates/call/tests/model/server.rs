//! The model's server: sections 3 to 5 as far as calls need them. Sessions do not linger.

use std::collections::{BTreeMap, BTreeSet};

use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::{Address, CallId, DeviceAddress, Username};
use ahoy_protocol::identity::Binary;
use ahoy_protocol::message::{ClientMessage, Hello, Received, Relay, Relayed, ServerMessage, Welcome};
use ahoy_protocol::signal::Signal;

use crate::world::{Channel, Happening, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(usize);

#[derive(Default)]
pub(crate) struct Server {
    conns: Vec<Conn>,
    sessions: BTreeMap<DeviceAddress, ConnId>,
    known: BTreeSet<Username>,
    /// Opening offers that nobody answered: who made it, and whom it still reaches.
    offers: BTreeMap<CallId, (DeviceAddress, BTreeSet<DeviceAddress>)>,
}

struct Conn {
    device: usize,
    alive: bool,
    session: Option<DeviceAddress>,
}

impl Server {
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

    pub(crate) fn session_of(&self, address: &DeviceAddress) -> Option<ConnId> {
        self.sessions.get(address).copied()
    }

    fn sessions_of(&self, user: &Username) -> Vec<DeviceAddress> {
        self.sessions.keys().filter(|address| address.username == *user).cloned().collect()
    }
}

impl World {
    pub(crate) fn greet(&mut self, device: usize) {
        let Some((_, conn)) = self.devices[device].link else { return };
        let hello = Hello { protocols: vec![1], server: "model".into(), challenge: Binary([0; 32]), guests: true };
        self.send_to(conn, ServerMessage::Hello(hello));
    }

    /// A message reaches the server.
    pub(crate) fn serve(&mut self, conn: ConnId, message: ClientMessage) {
        if !self.server.conns[conn.0].alive {
            return;
        }
        match message {
            ClientMessage::Login(login) => {
                let username: Username = login.username.parse().unwrap();
                self.sign_in(conn, DeviceAddress { username, session: login.session });
            }
            ClientMessage::Contacts(_) | ClientMessage::IceServers => {}
            ClientMessage::Ping => self.send_to(conn, ServerMessage::Pong),
            ClientMessage::Relay(relay) => {
                if let Some(from) = self.server.conns[conn.0].session.clone() {
                    self.relay(conn, from, relay);
                }
            }
        }
    }

    /// A connection is gone, and with it its session.
    pub(crate) fn connection_gone(&mut self, conn: ConnId) {
        self.server.kill(conn);
        let Some(session) = self.server.conns[conn.0].session.take() else { return };
        if self.server.sessions.get(&session) != Some(&conn) {
            return;
        }
        self.server.sessions.remove(&session);
        let mut unreachable = Vec::new();
        self.server.offers.retain(|call, (caller, reached)| {
            let is_last = reached.remove(&session) && reached.is_empty();
            if is_last {
                unreachable.push((*call, caller.clone()));
            }
            !is_last
        });
        for (call, caller) in unreachable {
            if let Some(conn) = self.server.session_of(&caller) {
                self.refuse(conn, ErrorCode::Offline, call);
            }
        }
    }

    fn sign_in(&mut self, conn: ConnId, address: DeviceAddress) {
        if let Some(earlier) = self.server.sessions.insert(address.clone(), conn) {
            self.server.kill(earlier);
            self.server.conns[earlier.0].session = None;
        }
        self.server.known.insert(address.username.clone());
        self.server.conns[conn.0].session = Some(address.clone());
        let welcome = Welcome {
            username: address.username,
            session: address.session,
            resumed: false,
            received: 0,
            resume: String::new(),
            linger_s: 0,
            ice_servers: Vec::new(),
            ttl_s: 1,
        };
        self.send_to(conn, ServerMessage::Welcome(welcome));
    }

    fn relay(&mut self, conn: ConnId, from: DeviceAddress, relay: Relay) {
        let Relay { to, signal, .. } = relay;
        let call = signal.call();
        if matches!(signal, Signal::Answer(_)) {
            self.server.offers.remove(&call);
        }
        match to {
            Address::User(user) if matches!(signal, Signal::Offer(_)) => self.open_call(conn, from, &user, signal),
            Address::User(user) => {
                for session in self.server.sessions_of(&user) {
                    self.hand_over(&session, from.clone(), None, signal.clone());
                }
            }
            Address::Device(device) if self.server.session_of(&device).is_some() => {
                self.hand_over(&device, from, None, signal);
            }
            Address::Device(_) => self.refuse(conn, ErrorCode::Offline, call),
        }
    }

    fn open_call(&mut self, conn: ConnId, from: DeviceAddress, user: &Username, signal: Signal) {
        let (call, to) = (signal.call(), self.server.sessions_of(user));
        if to.is_empty() {
            let known = self.server.known.contains(user) && !user.is_guest();
            self.refuse(conn, if known { ErrorCode::Offline } else { ErrorCode::UnknownUser }, call);
            return;
        }
        for session in &to {
            self.hand_over(session, from.clone(), Some(u32::try_from(to.len()).unwrap()), signal.clone());
        }
        self.server.offers.insert(call, (from, to.iter().cloned().collect()));
        self.send_to(conn, ServerMessage::Relayed(Relayed { call, to }));
    }

    fn hand_over(&mut self, to: &DeviceAddress, from: DeviceAddress, devices: Option<u32>, signal: Signal) {
        let Some(conn) = self.server.session_of(to) else { return };
        self.send_to(conn, ServerMessage::Signal(Received { from, devices, age_ms: 0, signal }));
    }

    fn refuse(&mut self, conn: ConnId, code: ErrorCode, call: CallId) {
        let error = ErrorMessage { code, message: "no".into(), call: Some(call.to_string()), retry_s: None };
        self.send_to(conn, ServerMessage::Error(error));
    }

    fn send_to(&mut self, conn: ConnId, message: ServerMessage) {
        let delay = self.delay();
        self.along(Channel::ToClient(conn), delay, Happening::ToClient { conn, message });
    }
}
