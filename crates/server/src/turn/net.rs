//! The sockets around the relay. All run on one thread, so the relay needs no lock; nothing is borrowed across an await.

mod door;
pub(super) mod listen;
mod ports;
mod stream;
mod udp;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{SockAddr, SockRef};
use tokio::net::UdpSocket;

use self::door::{Door, Place};
use self::ports::SocketPorts;
use self::stream::Outgoing;
use super::config::{TurnConfig, TurnLimits};
use super::frames::FRAME_MAX;
use super::message::Head;
use super::metrics::{Dropped, TurnMetrics};
use super::relay::{Action, Client, Now, Relay, RelayId, Transport};
use super::unix_now;

/// Between two looks for what has expired.
const TICK: Duration = Duration::from_secs(1);
/// The longest datagram there is.
const DATAGRAM_MAX: usize = 65_535;

/// What all tasks of the thread share.
pub(super) struct Net {
    relay: RefCell<Relay>,
    ports: RefCell<SocketPorts>,
    listeners: Vec<Rc<UdpSocket>>,
    streams: RefCell<HashMap<u64, Rc<Outgoing>>>,
    door: RefCell<Door>,
    pub(super) limits: TurnLimits,
    pub(super) metrics: Arc<TurnMetrics>,
    /// For what is read, and for what is written.
    received: RefCell<Vec<u8>>,
    assembled: RefCell<Vec<u8>>,
}

impl Net {
    /// `key` signs nonces.
    pub(super) fn new(
        config: &TurnConfig,
        key: [u8; 32],
        listeners: Vec<UdpSocket>,
        metrics: Arc<TurnMetrics>,
    ) -> Rc<Self> {
        let local = listeners.iter().filter_map(|socket| Some(socket.local_addr().ok()?.ip())).collect();
        Rc::new(Self {
            relay: RefCell::new(Relay::new(config, key, Arc::clone(&metrics))),
            ports: RefCell::new(SocketPorts::new(config, local)),
            listeners: listeners.into_iter().map(Rc::new).collect(),
            streams: RefCell::default(),
            door: RefCell::new(Door::new(config.limits.connections, config.limits.address_connections)),
            limits: config.limits,
            metrics,
            received: RefCell::new(vec![0; DATAGRAM_MAX]),
            assembled: RefCell::new(Vec::with_capacity(FRAME_MAX)),
        })
    }

    /// Serves what comes over UDP, and ends what has expired, until it is dropped.
    pub(super) fn start(self: &Rc<Self>) {
        for (index, socket) in self.listeners.iter().enumerate() {
            tokio::task::spawn_local(udp::serve_clients(Rc::clone(self), index, Rc::clone(socket)));
        }
        let net = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                net.relay.borrow_mut().handle_timeout(now().instant, &mut *net.ports.borrow_mut());
            }
        });
    }

    /// A message from a client.
    fn client_says(self: &Rc<Self>, client: Client, bytes: &[u8]) {
        let action = self.relay.borrow_mut().hear_client(now(), client, bytes, &mut *self.ports.borrow_mut());
        self.act(client, action);
        let opened = self.ports.borrow_mut().take_opened();
        for (relay, socket) in opened {
            let task = tokio::task::spawn_local(udp::serve_peers(Rc::clone(self), relay, socket));
            self.ports.borrow_mut().keep(relay, task.abort_handle());
        }
    }

    /// A datagram from a peer.
    fn peer_says(&self, relay: RelayId, peer: SocketAddr, bytes: &[u8]) {
        let action = self.relay.borrow_mut().hear_peer(now(), relay, peer, bytes);
        if let Action::ToClient { client, head, payload, align } = action {
            self.tell(client, &head, payload, align);
        }
    }

    fn act(&self, from: Client, action: Action<'_>) {
        match action {
            Action::Nothing => {}
            Action::Reply(answer) => self.send(from, &answer),
            Action::ToPeer { relay, peer, payload } => {
                if !self.ports.borrow().send(relay, peer, payload) {
                    self.metrics.lose(Dropped::Socket);
                }
            }
            Action::ToClient { client, head, payload, align } => self.tell(client, &head, payload, align),
        }
    }

    fn tell(&self, client: Client, head: &Head, payload: &[u8], align: usize) {
        let mut assembled = self.assembled.borrow_mut();
        assembled.clear();
        assembled.extend_from_slice(head.as_bytes());
        assembled.extend_from_slice(payload);
        let length = assembled.len().next_multiple_of(align);
        assembled.resize(length, 0);
        self.send(client, &assembled);
    }

    fn send(&self, to: Client, bytes: &[u8]) {
        match to.transport {
            Transport::Udp(index) => {
                if !self.listeners.get(index).is_some_and(|socket| send_to(socket, bytes, to.address)) {
                    self.metrics.lose(Dropped::Socket);
                }
            }
            Transport::Stream(number) => {
                if !self.streams.borrow().get(&number).is_some_and(|outgoing| outgoing.push(bytes)) {
                    self.metrics.lose(Dropped::Queue);
                }
            }
        }
    }

    /// A connection begins, for which the oldest without an allocation makes room where there are too many. `None`: all of
    /// them have one.
    fn enter(&self, client: Client) -> Option<Place> {
        let relay = self.relay.borrow();
        let place = self.door.borrow_mut().enter(client, |other| relay.serves(other))?;
        self.metrics.connections.fetch_add(1, Relaxed);
        Some(place)
    }

    fn leave(&self, place: &Place) {
        self.door.borrow_mut().leave(place);
        self.metrics.connections.fetch_sub(1, Relaxed);
    }
}

/// Sends at once or not at all: waiting for one reader would make all the others wait.
fn send_to(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) -> bool {
    // Not tokio's `try_send_to`, which sends nothing before the system told it that there is room, in the beginning too.
    SockRef::from(socket).send_to(bytes, &SockAddr::from(to)).is_ok()
}

fn now() -> Now {
    Now { instant: tokio::time::Instant::now().into_std(), unix: unix_now() }
}
