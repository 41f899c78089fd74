//! What may leave a device before its user has accepted, whatever the other side, the server and the path do and in whatever
//! order: every order of eight inputs, six long. Calls that came in from a contact and from a stranger, and one that went out.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::thread;

use ahoy_call::{
    Command, Config, Core, Event, Gate, Input, LinkInput, Output, PathKind, PathState, PeerCommand, PeerInput, Serial,
    Time, Timers, UnsignedDescription,
};
use ahoy_protocol::control::{Accepted, ControlMessage, Sending};
use ahoy_protocol::description::{DescriptionKind, hash};
use ahoy_protocol::id::{CallId, DeviceAddress, SessionId, Username};
use ahoy_protocol::identity::{Binary, IdentityKey};
use ahoy_protocol::message::{ClientMessage, Hello, Received, Relayed, ServerMessage, Welcome};
use ahoy_protocol::signal::{Progress, ProgressState, Signal};

const LENGTH: usize = 6;
const ALL: Sending = Sending { audio: true, video: true, screen: true };
const NOTHING: Sending = Sending { audio: false, video: false, screen: false };

/// What happens to the call, one thing at a time.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "eight of them; a box would only cost an allocation")]
enum Happening {
    /// This comes in.
    Input(Input),
    /// The transport has done what it was asked for last, if it was.
    Done,
}

/// One kind of call, at the moment from which anything may happen.
struct Case {
    /// Makes the core, up to that moment.
    begin: Box<dyn Fn() -> History + Sync>,
    alphabet: [Happening; 8],
    /// Whether what came out is allowed.
    allows: fn(&Output) -> bool,
}

/// A core, and what the transport was asked for last.
struct History {
    core: Core,
    asked: Option<(Serial, bool)>,
}

impl History {
    fn signed_in(contact: Option<&str>) -> Self {
        let config = Config {
            me: name("alice"),
            session: SessionId::from_u64(0xA),
            own_key: Some(key("alice").public()),
            name: Some("Alice".into()),
            device: Some("laptop".into()),
            contacts: contact.map(name).into_iter().collect(),
            pins: BTreeMap::new(),
            timers: Timers::default(),
            seed: 1,
            secret: [1; 32],
        };
        let mut history = Self { core: Core::new(config), asked: None };
        history.input(Input::Person(Command::SignIn));
        history.input(Input::Link { serial: Serial(1), input: LinkInput::Opened });
        let challenge = Binary([7; 32]);
        let hello = Hello { protocols: vec![1], server: String::new(), challenge, guests: true };
        history.input(received(ServerMessage::Hello(hello)));
        let welcome = Welcome {
            username: name("alice"),
            session: SessionId::from_u64(0xA),
            resumed: false,
            received: 0,
            resume: String::new(),
            linger_s: 30,
            ice_servers: Vec::new(),
            ttl_s: 60,
        };
        history.input(received(ServerMessage::Welcome(welcome)));
        history
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.core.handle_input(Time::START, input);
        let out: Vec<Output> = std::iter::from_fn(|| self.core.poll_output()).collect();
        for output in &out {
            let Output::Peer { command, .. } = output else { continue };
            self.asked = match command {
                PeerCommand::MakeOffer { serial, .. } | PeerCommand::Answer { serial, .. } => Some((*serial, true)),
                PeerCommand::ApplyAnswer { serial, .. } | PeerCommand::Rollback { serial } => Some((*serial, false)),
                _ => continue,
            };
        }
        out
    }

    fn happens(&mut self, happening: &Happening) -> Vec<Output> {
        match happening {
            Happening::Input(input) => self.input(input.clone()),
            Happening::Done => match self.asked.take() {
                Some((serial, true)) => self.input(peer(PeerInput::Made { serial, result: Ok(sdp("ours")) })),
                Some((serial, false)) => self.input(peer(PeerInput::Applied { serial, result: Ok(()) })),
                None => Vec::new(),
            },
        }
    }

    fn gate(&self) -> Gate {
        self.core.view().call.map_or(Gate::SHUT, |call| call.gate)
    }
}

fn name(text: &str) -> Username {
    text.parse().unwrap()
}

fn key(user: &str) -> IdentityKey {
    IdentityKey::from_secret(&[user.as_bytes()[0]; 32])
}

fn call() -> CallId {
    CallId::from_random_bytes([1; 16])
}

fn sdp(tag: &str) -> String {
    let fingerprint = vec!["AB"; 32].join(":");
    format!("v=0\r\nm=audio 9\r\nm=application 9\r\na=fingerprint:sha-256 {fingerprint}\r\na=ice-ufrag:{tag}\r\n")
}

fn received(message: ServerMessage) -> Input {
    Input::Link { serial: Serial(1), input: LinkInput::Received { seq: None, message: Some(message) } }
}

fn peer(input: PeerInput) -> Input {
    Input::Peer { call: call(), input }
}

fn from(user: &str, devices: Option<u32>, signal: Signal) -> Input {
    let from = DeviceAddress { username: name(user), session: SessionId::from_u64(1) };
    received(ServerMessage::Signal(Received { from, devices, age_ms: 0, signal }))
}

/// A description of `maker`'s, signed if they have a key.
fn description(maker: &str, kind: DescriptionKind, n: u32, offer: Option<&str>) -> Signal {
    let maker = name(maker);
    let unsigned = UnsignedDescription {
        call: call(),
        kind,
        n,
        sdp: sdp("theirs"),
        video: (n == 0).then_some(true),
        name: None,
        receiver: name("alice"),
        receiver_key: Some(key("alice").public()),
        offer: offer.map(hash),
    };
    unsigned.sign(&maker, (!maker.is_guest()).then(|| key(maker.as_str())).as_ref())
}

fn accepted_by_progress(user: &str) -> Input {
    let progress = Progress { call: call(), state: ProgressState::Accepted, device: None, video: Some(true) };
    from(user, None, Signal::Progress(progress))
}

fn came_in(caller: &'static str, contact: Option<&'static str>) -> Case {
    let opening = from(caller, Some(1), description(caller, DescriptionKind::Offer, 0, None));
    let control = |message| Happening::Input(peer(PeerInput::Control(message)));
    let answer = description(caller, DescriptionKind::Answer, 0, Some(&sdp("ours")));
    let alphabet = [
        Happening::Input(from(caller, None, answer)),
        Happening::Input(accepted_by_progress(caller)),
        Happening::Input(from(caller, None, description(caller, DescriptionKind::Offer, 1, None))),
        control(ControlMessage::Accepted(Accepted { call: call(), video: true })),
        Happening::Input(peer(PeerInput::Path(PathState::Connected(PathKind::Host)))),
        Happening::Input(peer(PeerInput::ControlOpened)),
        Happening::Input(Input::Person(Command::SetSending { call: call(), sending: ALL })),
        Happening::Done,
    ];
    let begin = move || {
        let mut history = History::signed_in(contact);
        let out = history.input(opening.clone());
        assert!(out.iter().any(|output| matches!(output, Output::Event(Event::Incoming { .. }))), "{out:?}");
        history
    };
    let allows = if contact.is_some() { allowed_to_a_contact } else { allowed_to_a_stranger };
    Case { begin: Box::new(begin), alphabet, allows }
}

/// Nothing is sent or played, and nobody is told that the user accepted.
fn is_silent(output: &Output) -> bool {
    match output {
        Output::Media { gate, .. } => *gate == Gate::SHUT,
        Output::Event(event) => !matches!(event, Event::Accepted { .. } | Event::Connected { .. }),
        Output::Send(ClientMessage::Relay(relay)) => match &relay.signal {
            Signal::Progress(progress) => progress.state != ProgressState::Accepted,
            _ => true,
        },
        Output::Peer { command, .. } => {
            !matches!(command, PeerCommand::SendControl(ControlMessage::Accepted(_) | ControlMessage::Media(_)))
        }
        _ => true,
    }
}

/// A path may be built, by answers that say that the user did not accept.
fn allowed_to_a_contact(output: &Output) -> bool {
    let is_early = match output {
        Output::SendDescription { description, .. } => description.kind == DescriptionKind::Early,
        _ => true,
    };
    is_early && is_silent(output)
}

/// `progress` and `close`, and nothing from which an address could be learnt.
fn allowed_to_a_stranger(output: &Output) -> bool {
    let says_nothing = match output {
        Output::Send(ClientMessage::Relay(relay)) => matches!(relay.signal, Signal::Progress(_) | Signal::Close(_)),
        Output::SendDescription { .. } | Output::Peer { .. } => false,
        _ => true,
    };
    says_nothing && is_silent(output)
}

/// The server may say that the callee accepted, which is for the screen; nothing leaves before the callee's own word.
fn allowed_to_a_callee(output: &Output) -> bool {
    match output {
        Output::Media { gate, .. } => gate.send == NOTHING,
        _ => true,
    }
}

/// Goes through every order, a thread for each first input, and returns how many there were.
fn check(case: &Case) -> usize {
    let orders = |first: usize| {
        let others = case.alphabet.len().pow(LENGTH as u32 - 1);
        for number in 0..others {
            let order: Vec<usize> = std::iter::once(first)
                .chain(
                    (0..LENGTH as u32 - 1).map(|place| number / case.alphabet.len().pow(place) % case.alphabet.len()),
                )
                .collect();
            let mut history = (case.begin)();
            for (place, input) in order.iter().enumerate() {
                let out = history.happens(&case.alphabet[*input]);
                let forbidden = out.iter().find(|output| !(case.allows)(output));
                assert!(forbidden.is_none(), "{forbidden:?} after {:?}", &order[..=place]);
                assert_eq!(history.gate().send, NOTHING, "after {:?}", &order[..=place]);
            }
        }
        others
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..case.alphabet.len()).map(|first| scope.spawn(move || orders(first))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no order breaks a rule")).sum()
    })
}

#[test]
fn in_no_order_does_anything_leave_to_a_stranger_before_the_user_accepted() {
    assert_eq!(check(&came_in("guest-mallory", None)), 8_usize.pow(6));
}

#[test]
fn in_no_order_do_media_leave_to_a_contact_before_the_user_accepted() {
    let case = came_in("bob", Some("bob"));
    assert_eq!(check(&case), 8_usize.pow(6));
    // The same inputs open the gate once the user says yes: it is that word which was missing, and nothing else.
    let mut history = (case.begin)();
    let [.., path, control, sending, done] = &case.alphabet;
    for happening in [done, path, control, sending] {
        history.happens(happening);
    }
    history.input(Input::Person(Command::Accept { call: call(), video: true }));
    assert_eq!(history.gate(), Gate { send: ALL, play: true });
}

#[test]
fn in_no_order_do_media_leave_to_a_callee_who_has_not_signed_or_said_that_they_accepted() {
    let early = description("bob", DescriptionKind::Early, 0, Some(&sdp("ours")));
    let ringing = Progress { call: call(), state: ProgressState::Ringing, device: None, video: None };
    let alphabet = [
        Happening::Input(from("bob", None, early)),
        Happening::Input(accepted_by_progress("bob")),
        Happening::Input(from("bob", None, Signal::Progress(ringing))),
        Happening::Input(from(
            "guest-mallory",
            None,
            description("guest-mallory", DescriptionKind::Answer, 0, Some(&sdp("ours"))),
        )),
        Happening::Input(peer(PeerInput::Path(PathState::Connected(PathKind::Host)))),
        Happening::Input(peer(PeerInput::ControlOpened)),
        Happening::Input(Input::Person(Command::SetSending { call: call(), sending: ALL })),
        Happening::Done,
    ];
    let begin = || {
        let mut history = History::signed_in(Some("bob"));
        history.input(Input::Person(Command::Dial { call: call(), to: name("bob"), video: true }));
        history.happens(&Happening::Done);
        let bob = DeviceAddress { username: name("bob"), session: SessionId::from_u64(1) };
        history.input(received(ServerMessage::Relayed(Relayed { call: call(), to: vec![bob] })));
        history
    };
    let case = Case { begin: Box::new(begin), alphabet, allows: allowed_to_a_callee };
    assert_eq!(check(&case), 8_usize.pow(6));
    let mut history = (case.begin)();
    let [early, _, _, _, path, control, sending, done] = &case.alphabet;
    for happening in [early, done, path, control, sending] {
        history.happens(happening);
    }
    history.input(peer(PeerInput::Control(ControlMessage::Accepted(Accepted { call: call(), video: true }))));
    assert_eq!(history.gate().send, ALL, "the callee's own word opens it");
}
