//! One history: devices with real cores, what travels between them, and the faults on the way.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use ahoy_call::{
    Command, Config, Core, Event, Input, LinkInput, Output, PathKind, PathState, PeerInput, Resume, Serial, Time,
    Timers, Via,
};
use ahoy_protocol::control::ControlMessage;
use ahoy_protocol::id::{CallId, DeviceAddress, SessionId};
use ahoy_protocol::identity::IdentityKey;
use ahoy_protocol::message::{ClientMessage, Login, Relay, ServerMessage};

use crate::checks::{Record, Tally};
use crate::coming_back::Counted;
use crate::peer::Peer;
use crate::random::Random;
use crate::server::{ConnId, Server};
use crate::users::{User, make_users};

/// What kind of history it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nothing breaks: every call that people want comes about.
    Calm,
    /// Links, paths and devices break, completions fail or never come, messages come twice.
    Rough,
    /// As `Rough`, and anybody says anything.
    Garbage,
}

pub(crate) struct Device {
    pub(crate) core: Core,
    /// Index into the users.
    pub(crate) user: usize,
    pub(crate) address: DeviceAddress,
    /// Counts restarts: what was under way for an earlier life does not arrive.
    pub(crate) life: u32,
    pub(crate) link: Option<(Serial, ConnId)>,
    pub(crate) peers: BTreeMap<CallId, Peer>,
    pub(crate) record: Record,
    pub(crate) counted: Counted,
    view: ahoy_call::View,
}

impl Device {
    pub(crate) fn view(&self) -> &ahoy_call::View {
        &self.view
    }
}

/// Something on its way.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    LinkOpened {
        device: usize,
        serial: Serial,
    },
    ToServer {
        conn: ConnId,
        message: ClientMessage,
    },
    ToClient {
        conn: ConnId,
        seq: Option<u64>,
        message: ServerMessage,
    },
    /// The server notices that a connection is gone.
    ServerClosed {
        conn: ConnId,
        signed_out: bool,
    },
    /// Nobody came back into a session, if its token is still this one.
    LingerOver {
        address: DeviceAddress,
        token: String,
    },
    ServerRestarts,
    /// The client notices.
    LinkClosed {
        device: usize,
        life: u32,
        serial: Serial,
        code: Option<u16>,
    },
    Peer {
        device: usize,
        life: u32,
        call: CallId,
        input: PeerInput,
    },
    Control {
        from: usize,
        to: usize,
        call: CallId,
        message: ControlMessage,
    },
    Path {
        device: usize,
        with: usize,
        call: CallId,
        path: PathState,
    },
    ControlOpen {
        device: usize,
        with: usize,
        call: CallId,
    },
    Act {
        device: usize,
    },
    Dial {
        device: usize,
    },
    Fault {
        device: usize,
    },
    Garbage {
        device: usize,
    },
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    pub(crate) now: Time,
    pub(crate) users: Vec<User>,
    pub(crate) devices: Vec<Device>,
    pub(crate) server: Server,
    pub(crate) tally: Tally,
    pub(crate) codes: crate::checks::Codes,
    pub(crate) calls: Vec<CallId>,
    queue: BTreeMap<(Time, u64), Happening>,
    queued: u64,
    timers: Timers,
    /// When the last message of each channel arrives: channels keep their order.
    channels: BTreeMap<Channel, Time>,
    broken: Option<String>,
    trace: Option<String>,
    /// From then on people and faults rest.
    pub(crate) rest: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channel {
    ToServer(ConnId),
    ToClient(ConnId),
    Control(usize, usize),
    Peer(usize),
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let weather = match random.below(100) {
            0..35 => Weather::Calm,
            35..85 => Weather::Rough,
            _ => Weather::Garbage,
        };
        let users = make_users(&mut random);
        let mut timers = Timers::default();
        if random.percent(80) {
            // Pings only fill the trace; the other histories have them.
            (timers.ping_idle, timers.ping_call) = (Duration::from_hours(1), Duration::from_hours(1));
        }
        let linger = random.pick(&[0, 2, 30, 30, 30]);
        let mut world = Self {
            random,
            weather,
            now: Time::START,
            users,
            devices: Vec::new(),
            server: Server::new(Duration::from_secs(linger)),
            tally: Tally::default(),
            codes: crate::checks::Codes::default(),
            calls: Vec::new(),
            queue: BTreeMap::new(),
            queued: 0,
            timers,
            channels: BTreeMap::new(),
            broken: None,
            trace: traced.then(String::new),
            rest: Time::from_start(Duration::from_secs(40)),
        };
        for user in 0..world.users.len() {
            let most =
                if weather == Weather::Calm { world.random.pick(&[1, 1, 2, 3]) } else { 1 + world.random.below(3) };
            for _ in 0..most {
                world.add_device(user);
            }
        }
        world
    }

    /// Plays the history to its end.
    pub(crate) fn run(&mut self) -> Result<Tally, String> {
        self.schedule_everything();
        let end = self.rest + Duration::from_secs(200);
        while self.broken.is_none() {
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let timer = self.next_timer();
            match (next, timer) {
                (Some(at), Some((due, device))) if due <= at && due <= end => self.tick(due, device),
                (None, Some((due, device))) if due <= end => self.tick(due, device),
                (Some(at), _) if at <= end => {
                    let (_, happening) = self.queue.pop_first().unwrap();
                    self.now = at;
                    self.happen(happening);
                }
                _ => break,
            }
        }
        if self.broken.is_none() {
            self.check_agreement();
        }
        match self.broken.take() {
            Some(broken) => Err(broken),
            None => Ok(std::mem::take(&mut self.tally)),
        }
    }

    pub(crate) fn trace(&self) -> &str {
        self.trace.as_deref().unwrap_or_default()
    }

    pub(crate) fn break_rule(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(&what);
        self.broken.get_or_insert(what);
    }

    pub(crate) fn note(&mut self, what: &str) {
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "{:>9.3} {what}", self.now.since_start().as_secs_f64());
        }
    }

    pub(crate) fn is_resting(&self) -> bool {
        self.now >= self.rest
    }

    pub(crate) fn after(&mut self, delay: Duration, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now + delay, self.queued), happening);
    }

    /// As [`Self::after`], but never before what the same channel carries already.
    pub(crate) fn along(&mut self, channel: Channel, delay: Duration, happening: Happening) {
        let at = (self.now + delay).max(self.channels.get(&channel).copied().unwrap_or_default());
        self.channels.insert(channel, at);
        self.queued += 1;
        self.queue.insert((at, self.queued), happening);
    }

    /// How long something takes on the network: mostly little.
    pub(crate) fn delay(&mut self) -> Duration {
        if self.random.percent(5) { self.random.millis(200, 1_500) } else { self.random.millis(1, 120) }
    }

    pub(crate) fn percent_when_rough(&mut self, percent: usize) -> bool {
        self.weather != Weather::Calm && !self.is_resting() && self.random.percent(percent)
    }

    /// Hands a device an input, and does what it asks for.
    pub(crate) fn input(&mut self, device: usize, input: Input) {
        if self.trace.is_some() {
            let name = self.devices[device].address.to_string();
            let text = crate::checks::brief(&format!("{input:?}"));
            self.note(&format!("{name} <- {text}"));
        }
        let now = self.now;
        self.devices[device].core.handle_input(now, input);
        while let Some(output) = self.devices[device].core.poll_output() {
            if self.trace.is_some() {
                let name = self.devices[device].address.to_string();
                let text = crate::checks::brief(&format!("{output:?}"));
                self.note(&format!("{name} -> {text}"));
            }
            self.check_output(device, &output);
            self.carry_out(device, output);
        }
        self.devices[device].view = self.devices[device].core.view();
        self.check_device(device);
    }

    pub(crate) fn command(&mut self, device: usize, command: Command) {
        self.check_command(device, &command);
        self.input(device, Input::Person(command));
    }

    /// The device's link breaks; both ends notice in their own time, and what is under way is lost.
    pub(crate) fn drop_link(&mut self, device: usize) {
        let Some((serial, conn)) = self.devices[device].link.take() else { return };
        self.server.kill(conn);
        let life = self.devices[device].life;
        let (there, here) = (self.delay(), self.delay());
        self.after(there, Happening::ServerClosed { conn, signed_out: false });
        self.after(here, Happening::LinkClosed { device, life, serial, code: None });
    }

    /// The device's program ends without a word, and starts anew.
    pub(crate) fn restart(&mut self, device: usize) {
        self.note(&format!("{} restarts", self.devices[device].address));
        if let Some((_, conn)) = self.devices[device].link.take() {
            self.server.kill(conn);
            let there = self.delay();
            self.after(there, Happening::ServerClosed { conn, signed_out: false });
        }
        for call in self.devices[device].peers.keys().copied().collect::<Vec<_>>() {
            self.close_peer(device, call);
        }
        let core = self.new_core(self.devices[device].user, self.devices[device].address.session);
        let device_state = &mut self.devices[device];
        device_state.life += 1;
        device_state.peers.clear();
        device_state.record = Record::default();
        device_state.counted = Counted::default();
        device_state.view = core.view();
        device_state.core = core;
        self.command(device, Command::SignIn);
    }

    fn add_device(&mut self, user: usize) {
        let session = SessionId::from_u64(self.random.next());
        let core = self.new_core(user, session);
        let address = DeviceAddress { username: self.users[user].name.clone(), session };
        let view = core.view();
        let peers = BTreeMap::new();
        let (record, counted) = (Record::default(), Counted::default());
        self.devices.push(Device { core, user, address, life: 0, link: None, peers, record, counted, view });
    }

    fn new_core(&mut self, user: usize, session: SessionId) -> Core {
        let seed = self.random.next();
        let user = &self.users[user];
        Core::new(Config {
            me: user.name.clone(),
            session,
            own_key: user.key.as_ref().map(IdentityKey::public),
            name: Some("Name".into()),
            device: Some("device".into()),
            contacts: user.contacts.clone(),
            pins: BTreeMap::new(),
            timers: self.timers,
            seed,
            secret: [seed as u8; 32],
        })
    }

    fn schedule_everything(&mut self) {
        // In calm histories nobody dials before everybody is signed in.
        let soonest = if self.weather == Weather::Calm { 7_000 } else { 800 };
        for device in 0..self.devices.len() {
            self.command(device, Command::SignIn);
            for _ in 0..self.random.below(4) {
                let at = self.random.millis(soonest, 35_000);
                self.after(at, Happening::Act { device });
            }
            if self.weather != Weather::Calm && self.random.percent(60) {
                for _ in 0..self.random.below(3) {
                    let at = self.random.millis(1_000, 38_000);
                    self.after(at, Happening::Fault { device });
                }
            }
            if self.weather == Weather::Garbage {
                for _ in 0..self.random.below(20) {
                    let at = self.random.millis(500, 39_000);
                    self.after(at, Happening::Garbage { device });
                }
            }
        }
        if self.weather != Weather::Calm && self.random.percent(20) {
            let at = self.random.millis(1_000, 38_000);
            self.after(at, Happening::ServerRestarts);
        }
        let caller = self.random.below(self.devices.len());
        let at = self.random.millis(soonest, soonest + 3_000);
        self.after(at, Happening::Dial { device: caller });
        if self.random.percent(35) {
            // Both dial at about the same moment.
            let other = self.random.below(self.devices.len());
            let at = at + self.random.millis(0, 150);
            self.after(at, Happening::Dial { device: other });
        }
    }

    fn next_timer(&self) -> Option<(Time, usize)> {
        let timers = self.devices.iter().enumerate();
        timers.filter_map(|(index, device)| Some((device.core.poll_timeout()?, index))).min()
    }

    fn tick(&mut self, due: Time, device: usize) {
        self.now = due.max(self.now);
        self.input(device, Input::Tick);
        if self.devices[device].core.poll_timeout().is_some_and(|next| next <= self.now) {
            self.break_rule("a deadline that was acted on is still there");
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::LinkOpened { device, serial } => {
                if self.devices[device].link.is_some_and(|(open, _)| open == serial) {
                    self.input(device, Input::Link { serial, input: LinkInput::Opened });
                    self.greet(device);
                }
            }
            Happening::ToServer { conn, message } => self.serve(conn, message),
            Happening::ToClient { conn, seq, message } => self.deliver(conn, seq, message),
            Happening::ServerClosed { conn, signed_out } => self.connection_gone(conn, signed_out),
            Happening::LingerOver { address, token } => self.linger_over(&address, &token),
            Happening::ServerRestarts => self.restart_server(),
            Happening::LinkClosed { device, life, serial, code } => {
                if self.devices[device].life == life {
                    self.input(device, Input::Link { serial, input: LinkInput::Closed { code } });
                }
            }
            Happening::Peer { device, life, call, input } => {
                if self.devices[device].life == life {
                    self.peer_reports(device, call, &input);
                    self.input(device, Input::Peer { call, input });
                }
            }
            Happening::Control { from, to, call, message } => self.deliver_control(from, to, call, message),
            Happening::Path { device, with, call, path } => self.path_happens(device, with, call, path),
            Happening::ControlOpen { device, with, call } => self.control_opens(device, with, call),
            Happening::Act { device } => self.act(device),
            Happening::Dial { device } => self.dial(device),
            Happening::Fault { device } => self.fault(device),
            Happening::Garbage { device } => self.garbage(device),
        }
    }

    /// What the core asks for is done, as a driver would.
    fn carry_out(&mut self, device: usize, output: Output) {
        match output {
            Output::OpenLink { serial } => {
                self.drop_link(device);
                let conn = self.server.connect(device);
                self.devices[device].link = Some((serial, conn));
                let delay = self.delay();
                self.along(Channel::ToClient(conn), delay, Happening::LinkOpened { device, serial });
            }
            Output::CloseLink { serial, seen: _ } => {
                let Some((_, conn)) = self.devices[device].link.take_if(|(open, _)| *open == serial) else { return };
                let life = self.devices[device].life;
                let delay = self.delay();
                self.along(Channel::ToServer(conn), delay, Happening::ServerClosed { conn, signed_out: true });
                self.after(delay, Happening::LinkClosed { device, life, serial, code: None });
            }
            Output::DropLink { serial } => {
                if self.devices[device].link.is_some_and(|(open, _)| open == serial) {
                    self.drop_link(device);
                }
            }
            Output::Login { resume, .. } => self.send(device, ClientMessage::Login(self.login(device, resume))),
            Output::Send(message) => self.send(device, message),
            Output::SendDescription { via, description } => {
                let user = &self.users[self.devices[device].user];
                let call = description.call;
                let signal = description.sign(&user.name, user.key.as_ref());
                match via {
                    Via::Server(to) => self.send(device, ClientMessage::Relay(Relay::new(to, signal))),
                    Via::Control => self.send_control(device, call, ControlMessage::Signal(signal)),
                }
            }
            Output::Peer { call, command } => self.peer_command(device, call, command),
            Output::Media { .. } => {}
            Output::Event(event) => self.told(device, &event),
        }
    }

    fn login(&self, device: usize, resume: Option<Resume>) -> Login {
        let address = &self.devices[device].address;
        Login {
            protocol: 1,
            username: address.username.to_string(),
            session: address.session,
            name: None,
            device: None,
            host: None,
            key: None,
            signature: None,
            seq: resume.as_ref().map(|resume| resume.seq),
            resume: resume.map(|resume| resume.token),
            invite: None,
        }
    }

    fn send(&mut self, device: usize, message: ClientMessage) {
        self.note_said(device, &message);
        if let Some((_, conn)) = self.devices[device].link {
            let delay = self.delay();
            self.along(Channel::ToServer(conn), delay, Happening::ToServer { conn, message });
        }
    }

    fn deliver(&mut self, conn: ConnId, seq: Option<u64>, message: ServerMessage) {
        let device = self.server.device(conn);
        if self.devices[device].link.is_none_or(|(_, open)| open != conn) {
            return;
        }
        if matches!(&message, ServerMessage::Signal(_)) && self.percent_when_rough(4) {
            let (message, delay) = (message.clone(), self.random.millis(0, 8_000));
            self.after(delay, Happening::ToClient { conn, seq, message });
        }
        self.deliver_numbered(device, seq, message);
        if let Some(seq) = seq
            && self.random.percent(30)
        {
            self.server.acknowledged(conn, seq);
        }
    }

    /// The person reacts to what is told.
    fn told(&mut self, device: usize, event: &Event) {
        if let Event::Incoming { .. } = event
            && self.random.percent(85)
        {
            let after = self.random.millis(100, 6_000);
            self.after(after, Happening::Act { device });
        }
    }
}

/// A path that came about in the model.
pub(crate) const CONNECTED: PathState = PathState::Connected(PathKind::Host);
