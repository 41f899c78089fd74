//! The one loop: brings what happens to the core, and carries out what the core asks for. It decides nothing about calls.

mod telling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, SystemTime};

use ahoy_call::{
    Command, Core, Input, LinkInput, LinkView, Output, Resume, Serial, Time, UnsignedDescription, Via, View,
};
use ahoy_protocol::control::ControlMessage;
use ahoy_protocol::id::{CallId, SessionId, Username};
use ahoy_protocol::identity::{Challenge, IdentityKey, login_statement};
use ahoy_protocol::message::{ClientMessage, Login, MessageError, Relay, ServerFrame, ServerMessage};
use ahoy_transport::{Certificate, IceServer, Network};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use crate::call::{CallTask, PeerReport, Surroundings};
use crate::client::StartError;
use crate::clock::BootClock;
use crate::config::{Config, HideAddress};
use crate::event::Stamped;
use crate::kept::Kept;
use crate::known_rates::KnownRates;
use crate::network::{Addresses, LinkAddress};
use crate::signaling::{Link, LinkEvent, Unsent};
use crate::storage::Storage;

/// What comes from the link and waits for the driver; full, the link waits, and so in the end does the server.
const LINK_EVENTS: usize = 64;
/// What comes from peer connections and waits for the driver; full, a call's task waits.
const PEER_REPORTS: usize = 256;
/// How long the calls may take to close their connections, threads and files.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);
/// Events that wait for an owner who does not read; the oldest go first beyond it.
const OUTBOX: usize = 4_096;
/// Timers are looked at this often at least: the system's timers stand still while the machine sleeps.
const LONGEST_SLEEP: Duration = Duration::from_secs(2);
/// Who looks at the clock each 2 s and finds this much gone slept in between, or was stopped: what the link still holds
/// is old by then, and the server may have given it up. No loaded machine holds a task up for so long.
const SLEPT: Duration = Duration::from_secs(7);

/// What the owner wants.
#[derive(Debug)]
pub(crate) enum Order {
    /// Something for the rules of a call.
    Core(Command),
    /// From whom the machine's addresses are hidden in the calls to come.
    HideAddress(HideAddress),
}

pub(crate) struct Driver {
    core: Core,
    config: Config,
    session: SessionId,
    identity: Option<IdentityKey>,
    is_identity_known: bool,
    /// A guest keeps nothing.
    storage: Option<Storage>,
    /// What paths to others carried in earlier calls.
    rates: KnownRates,
    certificate: Certificate,
    clock: BootClock,
    /// When something was done last.
    awake_at: Time,
    /// What the link and the calls go by, too.
    addresses: Addresses,
    link_address: LinkAddress,
    link: Option<(Serial, Link)>,
    /// A link that was let go because it took nothing any more; the core is about to hear of it.
    broken_link: Option<Serial>,
    link_queue: mpsc::Sender<(Serial, LinkEvent)>,
    link_events: mpsc::Receiver<(Serial, LinkEvent)>,
    calls: BTreeMap<CallId, CallTask>,
    /// The calls' work and the links' farewells, until they have ended by themselves.
    tasks: JoinSet<()>,
    recordings: Arc<AtomicU32>,
    peer_queue: mpsc::Sender<PeerReport>,
    peer_reports: mpsc::Receiver<PeerReport>,
    ice_servers: Vec<IceServer>,
    orders: mpsc::Receiver<Order>,
    outbox: VecDeque<Stamped>,
    events: mpsc::Sender<Stamped>,
    connected: Option<CallId>,
    /// What is known of why the link went, until it was told.
    link_lost_because: Option<String>,
    view: watch::Sender<View>,
}

enum Step {
    Order(Option<Order>),
    Link(Serial, LinkEvent),
    Peer(PeerReport),
    Addresses(BTreeSet<IpAddr>),
    Tick,
    /// There is room for an event.
    Room,
}

impl Driver {
    /// Prepares everything; nothing is connected yet.
    pub(crate) fn new(
        config: Config,
        kept: Kept,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<Stamped>,
    ) -> Result<(Self, watch::Receiver<View>), StartError> {
        let username = config.account.username().clone();
        let Kept { storage, identity, session, pins, rates } = kept;
        let core = Core::new(ahoy_call::Config {
            me: username,
            session,
            own_key: identity.as_ref().map(IdentityKey::public),
            name: config.name.clone(),
            device: config.device.clone(),
            contacts: config.contacts.iter().cloned().collect(),
            pins,
            timers: config.timers,
            seed: crate::random::number()?,
            secret: crate::random::bytes()?,
        });
        let (link_queue, link_events) = mpsc::channel(LINK_EVENTS);
        let (peer_queue, peer_reports) = mpsc::channel(PEER_REPORTS);
        let (view, view_reader) = watch::channel(core.view());
        let driver = Self {
            ice_servers: config.ice_servers.clone(),
            core,
            session,
            identity,
            is_identity_known: false,
            rates,
            storage,
            certificate: Certificate::generate()?,
            clock: BootClock::start(),
            awake_at: Time::START,
            addresses: Addresses::watch(),
            link_address: LinkAddress::default(),
            link: None,
            broken_link: None,
            link_queue,
            link_events,
            calls: BTreeMap::new(),
            tasks: JoinSet::new(),
            recordings: Arc::default(),
            peer_queue,
            peer_reports,
            orders,
            outbox: VecDeque::new(),
            events,
            connected: None,
            link_lost_because: None,
            view,
            config,
        };
        Ok((driver, view_reader))
    }

    /// Runs until nobody can command it any more, then closes everything in order.
    pub(crate) async fn run(mut self) {
        let blocked = self.config.blocked.iter().cloned().collect();
        self.handle(Input::Person(Command::SetBlocked(blocked))).await;
        self.handle(Input::Person(Command::SignIn)).await;
        loop {
            let wake = self.next_wake();
            // Fair: a peer that floods its control channel must not starve the link or the timers.
            let step = tokio::select! {
                order = self.orders.recv() => Step::Order(order),
                Some(report) = self.peer_reports.recv() => Step::Peer(report),
                Some((serial, event)) = self.link_events.recv() => Step::Link(serial, event),
                Ok(now) = self.addresses.changed() => Step::Addresses(now),
                Ok(permit) = self.events.reserve(), if !self.outbox.is_empty() => {
                    if let Some(event) = self.outbox.pop_front() {
                        permit.send(event);
                    }
                    Step::Room
                }
                () = tokio::time::sleep_until(wake) => Step::Tick,
            };
            self.notice_sleep().await;
            match step {
                Step::Order(Some(Order::Core(command))) => self.handle(Input::Person(command)).await,
                Step::Order(Some(Order::HideAddress(hide))) => self.config.hide_address = hide,
                Step::Order(None) => break,
                Step::Link(serial, event) => self.handle_link(serial, event).await,
                Step::Peer(PeerReport::Input(call, input)) => self.handle(Input::Peer { call, input }).await,
                Step::Peer(PeerReport::Event(event)) => self.tell(event),
                Step::Peer(PeerReport::Rate { with, network, bps }) => self.keep_rate(with, network, bps),
                Step::Addresses(now) => self.addresses_changed(&now).await,
                Step::Tick => self.handle(Input::Tick).await,
                Step::Room => {}
            }
        }
        self.close().await;
    }

    /// Before anything else is done: what the link brought before the sleep must not be taken for news.
    async fn notice_sleep(&mut self) {
        let now = self.now();
        if now.since(self.awake_at) > SLEPT {
            debug!("the machine slept, or this program was stopped");
            self.link_lost_because = Some("this computer was asleep".into());
            self.handle(Input::Woke).await;
        }
        self.awake_at = now;
    }

    async fn addresses_changed(&mut self, now: &BTreeSet<IpAddr>) {
        let is_signed_in = self.core.view().link == LinkView::SignedIn;
        if self.link_address.changed(now, is_signed_in) {
            debug!("the network has changed: the link is opened anew");
            self.link_lost_because = Some("the network has changed".into());
            self.handle(Input::NetworkChanged).await;
        }
    }

    fn next_wake(&self) -> Instant {
        let until = self.core.poll_timeout().map_or(LONGEST_SLEEP, |at| at.since(self.now()));
        Instant::now() + until.min(LONGEST_SLEEP)
    }

    fn now(&self) -> Time {
        Time::from_start(self.clock.elapsed())
    }

    async fn close(mut self) {
        // Without their owner the calls' tasks end by themselves.
        self.calls.clear();
        if let Some((_, link)) = self.link.take() {
            self.tasks.spawn(link.close(0));
        }
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(CLOSE_DEADLINE, ended).await.is_err() {
            warn!("a call or the link did not close in time");
        }
        while let Ok(report) = self.peer_reports.try_recv() {
            match report {
                PeerReport::Rate { with, network, bps } => self.keep_rate(with, network, bps),
                PeerReport::Input(..) | PeerReport::Event(_) => {}
            }
        }
        for event in std::mem::take(&mut self.outbox) {
            // An owner that reads no more does not want to know.
            let _ = self.events.try_send(event);
        }
    }

    async fn handle_link(&mut self, serial: Serial, event: LinkEvent) {
        let input = match event {
            LinkEvent::Opened { from } => {
                if self.link.as_ref().is_some_and(|(open, _)| *open == serial) {
                    self.link_address.set(from);
                }
                LinkInput::Opened
            }
            LinkEvent::Text(text) => match ServerFrame::from_text(&text) {
                Ok(ServerFrame { seq, message }) => LinkInput::Received { seq, message: understood(message) },
                Err(error) => {
                    debug!(%error, "the server said something that is no message");
                    return;
                }
            },
            LinkEvent::Closed { code, reason } => {
                debug!(reason, "link closed");
                // The end of one before says nothing of the one that there is.
                if self.link.as_ref().is_some_and(|(open, _)| *open == serial) {
                    self.link_lost_because = Some(reason);
                }
                LinkInput::Closed { code }
            }
        };
        self.handle(Input::Link { serial, input }).await;
    }

    async fn handle(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next {
            self.core.handle_input(self.now(), input);
            while let Some(output) = self.core.poll_output() {
                self.carry_out(output).await;
            }
            // A link that took nothing more while the outputs were carried out.
            let broken = self.broken_link.take();
            next = broken.map(|serial| Input::Link { serial, input: LinkInput::Closed { code: None } });
        }
        let view = self.core.view();
        self.view.send_if_modified(|shown| {
            let changed = *shown != view;
            *shown = view;
            changed
        });
    }

    async fn carry_out(&mut self, output: Output) {
        match output {
            Output::OpenLink { serial } => {
                self.link_address.set(None);
                self.link = Some((serial, Link::open(&self.config.server, serial, self.link_queue.clone())));
            }
            Output::CloseLink { serial, seen } => {
                if let Some((_, link)) = self.link.take_if(|(open, _)| *open == serial) {
                    // It may take its time; the calls go on meanwhile.
                    self.tasks.spawn(link.close(seen));
                }
            }
            // Dropped, it is gone without a goodbye.
            Output::DropLink { serial } => drop(self.link.take_if(|(open, _)| *open == serial)),
            Output::Login { serial, challenge, resume } => self.log_in(serial, &challenge, resume),
            Output::Send(message) => self.send(&message),
            Output::SendDescription { via, description } => self.send_description(via, description),
            Output::Peer { call, command } => self.command_peer(call, command),
            Output::Media { call, gate } => {
                if let Some(task) = self.calls.get(&call) {
                    task.set_gate(gate);
                }
            }
            Output::Event(event) => self.handle_event(event),
        }
    }

    fn log_in(&mut self, serial: Serial, challenge: &Challenge, resume: Option<Resume>) {
        if self.link.as_ref().is_none_or(|(open, _)| *open != serial) {
            return;
        }
        let username = self.config.account.username();
        let host = self.config.server.authority();
        let signature = self.identity.as_ref().map(|key| {
            let statement = login_statement(&host, challenge, username, self.session);
            key.sign(&statement)
        });
        let login = Login {
            protocol: ahoy_protocol::VERSION,
            username: username.as_str().to_owned(),
            session: self.session,
            name: self.config.name.clone(),
            device: self.config.device.clone(),
            host: self.identity.is_some().then_some(host),
            key: self.identity.as_ref().map(IdentityKey::public),
            signature,
            seq: resume.as_ref().map(|resume| resume.seq),
            resume: resume.map(|resume| resume.token),
            invite: self.config.invite.clone(),
        };
        self.send(&ClientMessage::Login(login));
    }

    fn send(&mut self, message: &ClientMessage) {
        let Some((serial, link)) = &self.link else { return };
        match link.send(message.to_text()) {
            // Of one that has ended the reason is on its way, and what it did not take is said again on the next.
            Ok(()) | Err(Unsent::Ended) => {}
            Err(Unsent::Slow) => {
                self.link_lost_because = Some("the network takes nothing any more".into());
                self.broken_link = Some(*serial);
                self.link = None;
            }
        }
    }

    fn send_description(&mut self, via: Via, description: UnsignedDescription) {
        let call = description.call;
        let signal = description.sign(self.config.account.username(), self.identity.as_ref());
        match via {
            Via::Server(to) => self.send(&ClientMessage::Relay(Relay::new(to, signal))),
            Via::Control => {
                let message = ControlMessage::Signal(signal);
                self.command_peer(call, ahoy_call::PeerCommand::SendControl(message));
            }
        }
    }

    fn command_peer(&mut self, call: CallId, command: ahoy_call::PeerCommand) {
        if command == ahoy_call::PeerCommand::Open {
            let View { call: seen, contacts, .. } = self.core.view();
            let user = seen.filter(|seen| seen.call == call).map(|seen| seen.user);
            // The next guest of that name is somebody else.
            let with = user.filter(|user| !user.is_guest());
            let is_contact = contacts.iter().any(|contact| Some(&contact.username) == with.as_ref());
            let known_rates = with.as_ref().map(|user| self.rates.of(user, unix_time())).unwrap_or_default();
            let surroundings = Surroundings {
                call,
                with,
                recordings: Arc::clone(&self.recordings),
                media: self.config.media.clone(),
                peer: ahoy_transport::PeerConfig {
                    ice_servers: self.ice_servers.clone(),
                    relay_only: self.config.hide_address.hides_from(is_contact),
                    loopback: self.config.loopback,
                    certificate: self.certificate.clone(),
                    video_codecs: self.config.media.video_codecs.clone(),
                    known_rates,
                },
                addresses: self.addresses.for_another(),
                reports: self.peer_queue.clone(),
                frames: self.config.media.frame_events.then(|| self.events.clone()),
            };
            let (task, work) = CallTask::new(surroundings);
            self.calls.insert(call, task);
            self.tasks.spawn(work);
            while self.tasks.try_join_next().is_some() {}
            return;
        }
        let closing = command == ahoy_call::PeerCommand::Close;
        if let Some(task) = self.calls.get(&call)
            && !task.command(command)
        {
            // The core notices by its deadline that nothing comes back.
            warn!(%call, "the peer connection takes no more commands");
        }
        if closing {
            self.calls.remove(&call);
        }
    }

    fn set_ice_servers(&mut self, servers: Vec<ahoy_protocol::message::IceServer>) {
        let theirs = servers.into_iter().map(|server| IceServer {
            urls: server.urls,
            username: server.username.unwrap_or_default(),
            credential: server.credential.unwrap_or_default(),
        });
        self.ice_servers = self.config.ice_servers.iter().cloned().chain(theirs).collect();
        for task in self.calls.values() {
            task.set_ice_servers(self.ice_servers.clone());
        }
    }

    fn pin(&mut self, username: &Username, pin: ahoy_call::Pin) {
        if let Some(storage) = &self.storage
            && let Err(error) = storage.pin(username, pin)
        {
            warn!(%error, "the key of a contact could not be kept; it will be learnt anew at the next call");
        }
    }

    fn keep_rate(&mut self, with: Username, network: Network, bps: u64) {
        self.rates.note(with, network, bps, unix_time());
        if let Some(storage) = &self.storage
            && let Err(error) = storage.keep_rates(&self.rates)
        {
            debug!(%error, "what a path carries could not be kept; the next call begins without it");
        }
    }
}

/// By the machine's calendar, which may be wrong.
fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// What a frame says; what is no message is only logged.
fn understood(message: Result<ServerMessage, MessageError>) -> Option<ServerMessage> {
    match message {
        Ok(message) => return Some(message),
        Err(MessageError::UnknownType(kind)) => {
            debug!(kind, "the server said something that this version does not know");
        }
        // Only debug: the error quotes what was said.
        Err(error) => debug!(%error, "the server said something that is no message"),
    }
    None
}
