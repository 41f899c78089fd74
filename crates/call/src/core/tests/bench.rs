//! Alice's device on a bench: what goes in, what comes out, and the signatures of the others.

use std::collections::BTreeMap;
use std::time::Duration;

use ahoy_protocol::description::{DescriptionKind, Hash, hash};
use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::{Address, CallId, DeviceAddress, SessionId, Username};
use ahoy_protocol::identity::{Binary, IdentityKey};
use ahoy_protocol::message::{ClientMessage, Hello, IceServerList, Received, Relayed, ServerMessage, Welcome};
use ahoy_protocol::signal::{Candidate, CandidateMessage, Close, CloseReason, Offer, Progress, ProgressState, Signal};

use crate::{
    Command, Config, Core, EndReason, Event, Gate, Input, LinkInput, Output, PathKind, PathState, PeerCommand,
    PeerInput, Serial, Time, Timers, UnsignedDescription, Via,
};

pub(super) const CONNECTED: PathState = PathState::Connected(PathKind::Host);
pub(super) const LOST: PeerInput = PeerInput::Path(PathState::Lost);

pub(super) struct Bench {
    pub(super) core: Core,
    now: Time,
    /// What came out since the last input, and all of it.
    pub(super) out: Vec<Output>,
    all: Vec<Output>,
}

pub(super) fn name(text: &str) -> Username {
    text.parse().unwrap()
}

pub(super) fn device(user: &str, number: u64) -> DeviceAddress {
    DeviceAddress { username: name(user), session: SessionId::from_u64(number) }
}

/// A call id; their order is that of the numbers.
pub(super) fn id(number: u8) -> CallId {
    let mut bytes = [0; 16];
    bytes[0] = number;
    CallId::from_random_bytes(bytes)
}

/// The key of everybody but guests; made from the name's first letter.
pub(super) fn key(user: &str) -> Option<IdentityKey> {
    (!name(user).is_guest()).then(|| IdentityKey::from_secret(&[user.as_bytes()[0]; 32]))
}

/// An SDP of that name, with the application section.
pub(super) fn sdp(tag: &str) -> String {
    let fingerprint = vec!["AB"; 32].join(":");
    format!("v=0\r\nm=audio 9\r\nm=application 9\r\na=fingerprint:sha-256 {fingerprint}\r\na=ice-ufrag:{tag}\r\n")
}

pub(super) fn candidate(tag: &str, number: u32) -> Candidate {
    Candidate {
        candidate: format!("candidate:{number} 1 udp 1 192.0.2.1 9 typ host"),
        sdp_mid: Some("0".into()),
        sdp_mline_index: Some(0),
        username_fragment: Some(tag.into()),
    }
}

pub(super) fn close(call: CallId, reason: CloseReason) -> Signal {
    Signal::Close(Close { call, reason, by: None })
}

pub(super) fn progress(call: CallId, state: ProgressState) -> Signal {
    Signal::Progress(Progress { call, state, device: Some("phone".into()), video: None })
}

/// A description that `maker` signs for Alice.
pub(super) fn signed(
    maker: &str,
    call: CallId,
    kind: DescriptionKind,
    n: u32,
    text: String,
    offer: Option<Hash>,
) -> Signal {
    let unsigned = UnsignedDescription {
        call,
        kind,
        n,
        sdp: text,
        video: Some(true),
        name: Some("B\u{202E}ob".into()),
        receiver: name("alice"),
        receiver_key: None,
        offer,
    };
    unsigned.sign(&name(maker), key(maker).as_ref())
}

pub(super) fn opening(maker: &str, call: CallId) -> Signal {
    signed(maker, call, DescriptionKind::Offer, 0, sdp("theirs"), None)
}

impl Bench {
    /// Alice, whose contact is Bob, signed in.
    pub(super) fn new() -> Self {
        let mut bench = Self::signing_in();
        bench.welcomed(false);
        bench
    }

    /// Alice before the server has said that she is welcome.
    pub(super) fn signing_in() -> Self {
        let config = Config {
            me: name("alice"),
            session: SessionId::from_u64(0xA),
            own_key: key("alice").map(|key| key.public()),
            name: Some("Alice".into()),
            device: Some("laptop".into()),
            contacts: [name("bob")].into(),
            pins: BTreeMap::new(),
            timers: Timers::default(),
            seed: 1,
            secret: [1; 32],
        };
        let mut bench = Self { core: Core::new(config), now: Time::START, out: Vec::new(), all: Vec::new() };
        bench.command(Command::SignIn);
        bench.link(LinkInput::Opened);
        let challenge = Binary([7; 32]);
        bench.greeted();
        assert_eq!(bench.out, [Output::Login { serial: Serial(1), challenge, resume: None }]);
        bench
    }

    /// The link is gone, and Alice is signed in anew; `resumed`: into her session.
    pub(super) fn sign_in_again(&mut self, resumed: bool) {
        self.link(LinkInput::Closed { code: None });
        while !self.out.iter().any(|output| matches!(output, Output::OpenLink { .. })) {
            self.now = self.core.poll_timeout().unwrap();
            self.input(Input::Tick);
        }
        self.sign_in_opened(resumed);
    }

    /// Signs in through the link that is being opened.
    pub(super) fn sign_in_opened(&mut self, resumed: bool) {
        self.link(LinkInput::Opened);
        self.greeted();
        self.welcomed(resumed);
    }

    fn greeted(&mut self) {
        let (server, challenge) = (String::new(), Binary([7; 32]));
        self.receive(ServerMessage::Hello(Hello { protocols: vec![1], server, challenge, guests: true }));
    }

    pub(super) fn welcomed(&mut self, resumed: bool) {
        self.receive(ServerMessage::Welcome(Welcome {
            username: name("alice"),
            session: SessionId::from_u64(0xA),
            resumed,
            // More than was ever sent is all of it.
            received: if resumed { u64::MAX } else { 0 },
            resume: String::new(),
            linger_s: 30,
            ice_servers: Vec::new(),
            ttl_s: 60,
        }));
    }

    /// Alice has dialled Bob: the offer reached these devices of his.
    pub(super) fn dialling(call: CallId, devices: &[u64]) -> Self {
        let mut bench = Self::new();
        bench.command(Command::Dial { call, to: name("bob"), video: true });
        bench.made(call, "ours");
        bench.relayed(call, devices);
        bench
    }

    /// Bob's call rings at Alice's only device.
    pub(super) fn ringing(call: CallId) -> Self {
        let mut bench = Self::new();
        bench.offered("bob", call, 1);
        bench
    }

    /// Bob's call was accepted, and there is a path and a control channel.
    pub(super) fn in_call(call: CallId) -> Self {
        let mut bench = Self::ringing(call);
        bench.command(Command::Accept { call, video: true });
        bench.made(call, "ours");
        bench.peer(call, PeerInput::Path(CONNECTED));
        bench.peer(call, PeerInput::ControlOpened);
        bench
    }

    /// Alice's call was accepted by Bob's device 1, and there is a path and a control channel.
    pub(super) fn in_own_call(call: CallId) -> Self {
        let mut bench = Self::dialling(call, &[1]);
        bench.signal(&device("bob", 1), progress(call, ProgressState::Accepted));
        bench.answered("bob", call, DescriptionKind::Answer);
        bench.applied(call);
        bench.peer(call, PeerInput::Path(CONNECTED));
        bench.peer(call, PeerInput::ControlOpened);
        bench
    }

    pub(super) fn input(&mut self, input: Input) {
        self.core.handle_input(self.now, input);
        self.out = std::iter::from_fn(|| self.core.poll_output()).collect();
        self.all.extend(self.out.iter().cloned());
    }

    pub(super) fn command(&mut self, command: Command) {
        self.input(Input::Person(command));
    }

    pub(super) fn link(&mut self, input: LinkInput) {
        let opened = self.all.iter().rev().find_map(|output| match output {
            Output::OpenLink { serial } => Some(*serial),
            _ => None,
        });
        self.input(Input::Link { serial: opened.unwrap(), input });
    }

    pub(super) fn receive(&mut self, message: ServerMessage) {
        self.link(LinkInput::Received { seq: None, message: Some(message) });
    }

    pub(super) fn relayed(&mut self, call: CallId, devices: &[u64]) {
        let to = devices.iter().map(|number| device("bob", *number)).collect();
        self.receive(ServerMessage::Relayed(Relayed { call, to }));
    }

    pub(super) fn signal(&mut self, from: &DeviceAddress, signal: Signal) {
        self.receive(ServerMessage::Signal(Received { from: from.clone(), devices: None, age_ms: 0, signal }));
    }

    /// An opening offer of `maker`'s device 1 comes in.
    pub(super) fn offered(&mut self, maker: &str, call: CallId, devices: u32) {
        self.offered_by(&device(maker, 1), opening(maker, call), devices, 0);
    }

    pub(super) fn offered_by(&mut self, from: &DeviceAddress, signal: Signal, devices: u32, age_ms: u64) {
        let received = Received { from: from.clone(), devices: Some(devices), age_ms, signal };
        self.receive(ServerMessage::Signal(received));
    }

    /// Bob's device 1 answers Alice's opening offer.
    pub(super) fn answered(&mut self, maker: &str, call: CallId, kind: DescriptionKind) {
        self.signal(&device(maker, 1), signed(maker, call, kind, 0, sdp("theirs"), Some(hash(&sdp("ours")))));
    }

    pub(super) fn asks_for_servers(&self) -> bool {
        self.out.contains(&Output::Send(ClientMessage::IceServers))
    }

    pub(super) fn fresh_servers(&mut self) {
        self.receive(ServerMessage::IceServers(IceServerList { ice_servers: Vec::new(), ttl_s: 60 }));
    }

    pub(super) fn error(&mut self, call: CallId, code: ErrorCode) {
        let error = ErrorMessage { code, message: "no".into(), call: Some(call.to_string()), retry_s: Some(9) };
        self.receive(ServerMessage::Error(error));
    }

    pub(super) fn peer(&mut self, call: CallId, input: PeerInput) {
        self.input(Input::Peer { call, input });
    }

    /// The transport has made the description that was asked for last.
    pub(super) fn made(&mut self, call: CallId, tag: &str) {
        let serial = self.last_serial();
        self.peer(call, PeerInput::Made { serial, result: Ok(sdp(tag)) });
    }

    /// The transport has done what was asked for last.
    pub(super) fn applied(&mut self, call: CallId) {
        let serial = self.last_serial();
        self.peer(call, PeerInput::Applied { serial, result: Ok(()) });
    }

    /// Lets time pass, and each deadline on the way be acted on. The server answers pings.
    pub(super) fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        let mut out = Vec::new();
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.input(Input::Tick);
            let pinged = self.out.contains(&Output::Send(ClientMessage::Ping));
            out.append(&mut self.out);
            if pinged {
                self.receive(ServerMessage::Pong { waited: false });
            }
        }
        self.now = end;
        self.out = out;
    }

    /// How much time has passed since the beginning, in whole seconds.
    pub(super) fn seconds(&self) -> u64 {
        self.now.since_start().as_secs()
    }

    pub(super) fn last_serial(&self) -> Serial {
        let serial = |output: &Output| match output {
            Output::Peer {
                command:
                    PeerCommand::MakeOffer { serial, .. }
                    | PeerCommand::Answer { serial, .. }
                    | PeerCommand::ApplyAnswer { serial, .. }
                    | PeerCommand::Rollback { serial },
                ..
            } => Some(*serial),
            _ => None,
        };
        self.all.iter().rev().find_map(serial).unwrap()
    }

    pub(super) fn events(&self) -> Vec<&Event> {
        self.out
            .iter()
            .filter_map(|output| if let Output::Event(event) = output { Some(event) } else { None })
            .collect()
    }

    /// Why the call ended, if it just did.
    pub(super) fn ended(&self) -> Option<&EndReason> {
        self.events().into_iter().find_map(|event| match event {
            Event::Ended { reason, .. } => Some(reason),
            _ => None,
        })
    }

    /// Signals that left through the server, descriptions left out.
    pub(super) fn sent(&self) -> Vec<(String, &Signal)> {
        let relays = self.out.iter().filter_map(|output| match output {
            Output::Send(ClientMessage::Relay(relay)) => Some(relay),
            _ => None,
        });
        relays.map(|relay| (relay.to.to_string(), &relay.signal)).collect()
    }

    /// The closes that left through the server: to whom and why.
    pub(super) fn closes(&self) -> Vec<(String, CloseReason)> {
        let closes = self.sent().into_iter().filter_map(|(to, signal)| match signal {
            Signal::Close(close) => Some((to, close.reason)),
            _ => None,
        });
        closes.collect()
    }

    pub(super) fn descriptions(&self) -> Vec<(Via, &UnsignedDescription)> {
        let descriptions = self.out.iter().filter_map(|output| match output {
            Output::SendDescription { via, description } => Some((via.clone(), description)),
            _ => None,
        });
        descriptions.collect()
    }

    pub(super) fn commands(&self) -> Vec<&PeerCommand> {
        let commands = self.out.iter().filter_map(|output| match output {
            Output::Peer { command, .. } => Some(command),
            _ => None,
        });
        commands.collect()
    }

    pub(super) fn gate(&self) -> Gate {
        self.core.view().call.map_or(Gate::SHUT, |call| call.gate)
    }

    pub(super) fn sends(&self) -> bool {
        self.gate().send.audio
    }

    pub(super) fn call(&self) -> Option<CallId> {
        self.core.view().call.map(|call| call.call)
    }
}

pub(super) fn to_bob() -> Via {
    Via::Server(Address::User(name("bob")))
}

/// An offer within a call, by Bob's device.
pub(super) fn renegotiating(call: CallId, n: u32, tag: &str) -> Signal {
    match signed("bob", call, DescriptionKind::Offer, n, sdp(tag), None) {
        Signal::Offer(offer) => Signal::Offer(Offer { video: None, name: None, ..offer }),
        other => other,
    }
}

pub(super) fn candidate_signal(call: CallId, tag: &str, number: u32) -> Signal {
    Signal::Candidate(CandidateMessage { call, candidate: candidate(tag, number) })
}
