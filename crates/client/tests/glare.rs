//! Row F9: both sides restart ICE or renegotiate at once. The rules of a call and real peer connections, over a server that
//! delivers in order and late; what is said on the control channel may overtake it.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_call::{
    Command, Config, Core, Event, Input, LinkInput, Output, PathKind, PathState, PeerCommand, PeerInput, Serial, Time,
    Timers, UnsignedDescription, Via,
};
use ahoy_protocol::control::ControlMessage;
use ahoy_protocol::description::DescriptionKind;
use ahoy_protocol::id::{CallId, DeviceAddress, SessionId, Username};
use ahoy_protocol::identity::Binary;
use ahoy_protocol::message::{ClientMessage, Hello, IceServerList, Received, Relayed, ServerMessage, Welcome};
use ahoy_protocol::signal::{Candidate, Signal};
use ahoy_rtp::RtpPacket;
use ahoy_transport::{Certificate, Peer, PeerConfig, PeerEvent, PeerEvents, ReceivedMedia, Track, VideoCodec};
use tokio::time::{Instant, sleep_until, timeout};

const ROUNDS: u64 = 200;
/// A round is over in tens of milliseconds; a machine that is busy with other things may take its time.
const DEADLINE: Duration = Duration::from_secs(30);
const NAMES: [&str; 2] = ["guest-alice", "guest-bob"];

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end
    }

    fn millis(&mut self, end: u64) -> Duration {
        Duration::from_micros(self.below(end * 1_000))
    }
}

struct Device {
    core: Core,
    peer: Option<(Peer, PeerEvents, ReceivedMedia)>,
    path: PathState,
    /// An own offer was sent and neither answered nor taken back.
    has_offered: bool,
    restarts: u32,
    rollbacks: u32,
    lost: u32,
}

struct World {
    start: Instant,
    random: Random,
    call: CallId,
    devices: [Device; 2],
    /// What reaches a device, and when.
    queue: VecDeque<(Instant, usize, Input)>,
    /// When the last message of the server's reaches each: they keep their order.
    last: [Instant; 2],
}

fn address(index: usize) -> DeviceAddress {
    DeviceAddress { username: name(index), session: SessionId::from_u64(index as u64) }
}

fn name(index: usize) -> Username {
    NAMES[index].parse().unwrap()
}

fn link(input: LinkInput) -> Input {
    Input::Link { serial: Serial(1), input }
}

fn received(message: ServerMessage) -> Input {
    link(LinkInput::Received { seq: None, message: Some(message) })
}

impl World {
    fn new(seed: u64) -> Self {
        let devices = [0, 1].map(|index| Device {
            core: Core::new(Config {
                me: name(index),
                session: SessionId::from_u64(index as u64),
                own_key: None,
                name: None,
                device: None,
                contacts: [].into(),
                pins: [].into(),
                timers: Timers::default(),
                seed: index as u64,
                secret: [index as u8; 32],
            }),
            peer: None,
            path: PathState::New,
            has_offered: false,
            restarts: 0,
            rollbacks: 0,
            lost: 0,
        });
        let start = Instant::now();
        let call = CallId::from_random_bytes([7; 16]);
        Self { start, random: Random(seed), call, devices, queue: VecDeque::new(), last: [start; 2] }
    }

    async fn input(&mut self, index: usize, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = Time::from_start(self.start.elapsed());
            self.devices[index].core.handle_input(now, input);
            while let Some(output) = self.devices[index].core.poll_output() {
                inputs.extend(self.carry_out(index, output).await);
            }
        }
    }

    async fn carry_out(&mut self, index: usize, output: Output) -> Option<Input> {
        match output {
            Output::OpenLink { .. } => {
                let (protocols, server, challenge) = (vec![1], String::new(), Binary([7; 32]));
                self.deliver(index, link(LinkInput::Opened));
                self.deliver(
                    index,
                    received(ServerMessage::Hello(Hello { protocols, server, challenge, guests: true })),
                );
            }
            Output::Login { .. } => self.deliver(
                index,
                received(ServerMessage::Welcome(Welcome {
                    username: name(index),
                    session: SessionId::from_u64(index as u64),
                    resumed: false,
                    received: 0,
                    resume: String::new(),
                    linger_s: 0,
                    ice_servers: Vec::new(),
                    ttl_s: 3_600,
                })),
            ),
            Output::Send(ClientMessage::Ping) => self.deliver(index, received(ServerMessage::Pong { waited: false })),
            Output::Send(ClientMessage::IceServers) => {
                let list = IceServerList { ice_servers: Vec::new(), ttl_s: 3_600 };
                self.deliver(index, received(ServerMessage::IceServers(list)));
            }
            Output::Send(ClientMessage::Relay(relay)) => self.relay(index, relay.signal),
            Output::SendDescription { via, description } => self.describe(index, via, description).await,
            Output::Peer { command, .. } => return self.command(index, command).await,
            Output::Event(Event::PathLost { .. }) => self.devices[index].lost += 1,
            Output::Event(Event::Ended { reason, .. }) => panic!("{} ended: {reason:?}", NAMES[index]),
            Output::Send(_)
            | Output::CloseLink { .. }
            | Output::DropLink { .. }
            | Output::Media { .. }
            | Output::Event(_) => {}
        }
        None
    }

    fn deliver(&mut self, index: usize, input: Input) {
        let at = self.last[index].max(Instant::now() + self.random.millis(12));
        self.last[index] = at;
        self.queue.push_back((at, index, input));
    }

    fn relay(&mut self, from: usize, signal: Signal) {
        let to = 1 - from;
        let is_opening = matches!(&signal, Signal::Offer(offer) if offer.video.is_some());
        if is_opening {
            let relayed = Relayed { call: self.call, to: vec![address(to)] };
            self.deliver(from, received(ServerMessage::Relayed(relayed)));
        }
        let devices = is_opening.then_some(1);
        let message = Received { from: address(from), devices, age_ms: 0, signal };
        self.deliver(to, received(ServerMessage::Signal(message)));
    }

    async fn describe(&mut self, index: usize, via: Via, description: UnsignedDescription) {
        self.devices[index].has_offered |= description.kind == DescriptionKind::Offer;
        let signal = description.sign(&name(index), None);
        match via {
            Via::Server(_) => self.relay(index, signal),
            Via::Control => self.say(index, ControlMessage::Signal(signal)).await,
        }
    }

    async fn say(&self, index: usize, message: ControlMessage) {
        let (peer, ..) = self.devices[index].peer.as_ref().unwrap();
        // The same goes through the server.
        let _ = peer.send_control(message.to_text()).await;
    }

    async fn command(&mut self, index: usize, command: PeerCommand) -> Option<Input> {
        let call = self.call;
        if command == PeerCommand::Open {
            let config = PeerConfig {
                ice_servers: Vec::new(),
                relay_only: false,
                loopback: true,
                certificate: Certificate::generate().unwrap(),
                video_codecs: vec![VideoCodec::H264],
                known_rates: Vec::new(),
            };
            self.devices[index].peer = Some(Peer::open(config).await.unwrap());
            return None;
        }
        let device = &mut self.devices[index];
        let peer = device.peer.as_ref().unwrap().0.clone();
        let made = |serial, result: Result<String, _>| PeerInput::Made { serial, result: Ok(result.unwrap()) };
        let input = match command {
            PeerCommand::MakeOffer { serial, ice_restart } => {
                device.restarts += u32::from(ice_restart);
                made(serial, peer.make_offer(ice_restart).await)
            }
            PeerCommand::Answer { serial, offer } => made(serial, peer.answer(offer.sdp()).await),
            PeerCommand::ApplyAnswer { serial, answer } => {
                device.has_offered = false;
                peer.apply_answer(answer.sdp()).await.unwrap();
                PeerInput::Applied { serial, result: Ok(()) }
            }
            PeerCommand::Rollback { serial } => {
                (device.has_offered, device.rollbacks) = (false, device.rollbacks + 1);
                peer.rollback().await.unwrap();
                PeerInput::Applied { serial, result: Ok(()) }
            }
            PeerCommand::AddCandidate(candidate) => {
                // One of a generation that is over by now is refused, and that is all.
                let _ = peer.add_candidate(of_wire(candidate)).await;
                return None;
            }
            PeerCommand::SendControl(message) => {
                self.say(index, message).await;
                return None;
            }
            PeerCommand::Open | PeerCommand::Close => return None,
        };
        Some(Input::Peer { call, input })
    }

    /// Waits for what happens next, but not for long, and takes part in it.
    async fn step(&mut self) {
        let now = Instant::now();
        if let Some(due) = self.queue.iter().position(|(at, ..)| *at <= now)
            && let Some((_, index, input)) = self.queue.remove(due)
        {
            return self.input(index, input).await;
        }
        let timer = |device: &Device| device.core.poll_timeout().map(|at| self.start + at.since(Time::START));
        let timers = self.devices.iter().filter_map(timer).chain(self.queue.iter().map(|(at, ..)| *at));
        let wake = timers.chain([now + Duration::from_millis(5)]).min().unwrap_or(now);
        let [alice, bob] = &mut self.devices;
        let (index, event) = tokio::select! {
            event = next(alice) => (0, event),
            event = next(bob) => (1, event),
            () = sleep_until(wake) => {
                for index in [0, 1] {
                    self.input(index, Input::Tick).await;
                }
                return;
            }
        };
        if let Some(input) = self.input_of(index, event) {
            self.input(index, Input::Peer { call: self.call, input }).await;
        }
    }

    fn input_of(&mut self, index: usize, event: PeerEvent) -> Option<PeerInput> {
        Some(match event {
            PeerEvent::Candidate(candidate) => PeerInput::Candidate(to_wire(candidate)),
            PeerEvent::EndOfCandidates { mid, ufrag } => PeerInput::Candidate(Candidate {
                candidate: String::new(),
                sdp_mid: Some(mid),
                sdp_mline_index: None,
                username_fragment: Some(ufrag),
            }),
            PeerEvent::Path(path) => {
                let path = match path {
                    ahoy_transport::PathState::New => PathState::New,
                    ahoy_transport::PathState::Connecting => PathState::Connecting,
                    ahoy_transport::PathState::Connected { .. } => PathState::Connected(PathKind::Host),
                    ahoy_transport::PathState::Disconnected => PathState::Lost,
                    ahoy_transport::PathState::Failed => PathState::Failed,
                    ahoy_transport::PathState::Closed => return None,
                };
                self.devices[index].path = path;
                PeerInput::Path(path)
            }
            PeerEvent::ControlOpen => PeerInput::ControlOpened,
            PeerEvent::ControlClosed => PeerInput::ControlClosed,
            PeerEvent::Control(text) => PeerInput::Control(ControlMessage::from_text(&text).ok()?),
            PeerEvent::KeyFrameWanted(_) => return None,
        })
    }

    fn is_at_rest(&self) -> bool {
        let rests = |device: &Device| matches!(device.path, PathState::Connected(_)) && !device.has_offered;
        self.queue.is_empty() && self.devices.iter().all(rests)
    }

    /// Until everything has come to rest, and media flow both ways.
    async fn come_to_rest(&mut self, round: u64) {
        let resting = async {
            let mut number = 0_u16;
            let mut heard = [false; 2];
            let mut again = Instant::now();
            while !(self.is_at_rest() && heard == [true; 2]) {
                if !self.is_at_rest() {
                    heard = [false; 2];
                }
                if Instant::now() >= again {
                    again = Instant::now() + Duration::from_millis(20);
                    number += 1;
                    self.send_marks(round, number);
                }
                self.hear_marks(round, &mut heard);
                self.step().await;
            }
        };
        timeout(DEADLINE, resting).await.unwrap_or_else(|_| panic!("round {round} does not come to rest"));
    }

    fn send_marks(&self, round: u64, number: u16) {
        for device in &self.devices {
            let Some((peer, ..)) = &device.peer else { continue };
            let sequence = (round as u16).wrapping_mul(1_000).wrapping_add(number);
            let payload = [vec![9 << 3], round.to_be_bytes().to_vec()].concat().into();
            let packet = RtpPacket { sequence, timestamp: u32::from(sequence) * 960, marker: false, payload };
            let _ = peer.sender(Track::Microphone).send(packet);
        }
    }

    fn hear_marks(&mut self, round: u64, heard: &mut [bool; 2]) {
        for (device, heard) in self.devices.iter_mut().zip(heard) {
            let Some((_, _, media)) = &mut device.peer else { continue };
            while let Ok(received) = media.microphone.try_recv() {
                *heard |= received.packet.payload.get(1..) == Some(&round.to_be_bytes());
            }
        }
    }
}

/// The next event of a device's peer connection, if it has one.
async fn next(device: &mut Device) -> PeerEvent {
    match &mut device.peer {
        Some((_, events, _)) => events.next().await.expect("the connection is open"),
        None => std::future::pending().await,
    }
}

fn to_wire(candidate: ahoy_transport::Candidate) -> Candidate {
    let ahoy_transport::Candidate { candidate, mid, line_index, ufrag } = candidate;
    Candidate { candidate, sdp_mid: mid, sdp_mline_index: line_index, username_fragment: ufrag }
}

fn of_wire(candidate: Candidate) -> ahoy_transport::Candidate {
    let Candidate { candidate, sdp_mid, sdp_mline_index, username_fragment } = candidate;
    ahoy_transport::Candidate { candidate, mid: sdp_mid, line_index: sdp_mline_index, ufrag: username_fragment }
}

#[tokio::test]
async fn two_hundred_restarts_and_renegotiations_at_once_all_converge_and_media_go_on() {
    let mut world = World::new(1);
    let call = world.call;
    for index in [0, 1] {
        world.input(index, Input::Person(Command::SignIn)).await;
    }
    while !world.queue.is_empty() {
        world.step().await;
    }
    let to = name(1);
    world.input(0, Input::Person(Command::Dial { call, to, video: true })).await;
    while world.devices[1].core.view().call.is_none() {
        world.step().await;
    }
    world.input(1, Input::Person(Command::Accept { call, video: true })).await;
    world.come_to_rest(0).await;

    let mut durations = Vec::new();
    for round in 1..=ROUNDS {
        // Seeded anew, so that a round can be repeated by its number.
        world.random = Random(round);
        let begun = Instant::now();
        for index in [0, 1] {
            for _ in 0..=world.random.below(2) {
                let input = match world.random.below(2) {
                    0 => Input::Person(Command::RestartIce { call }),
                    _ => Input::Peer { call, input: PeerInput::NegotiationNeeded },
                };
                let at = begun + world.random.millis(10);
                world.queue.push_back((at, index, input));
            }
        }
        world.come_to_rest(round).await;
        durations.push(begun.elapsed());
    }
    durations.sort_unstable();
    let [alice, bob] = &world.devices;
    println!(
        "{} restarts, {} rollbacks, {} paths told as lost; median {:?}, longest {:?}",
        alice.restarts,
        bob.rollbacks,
        alice.lost + bob.lost,
        durations[durations.len() / 2],
        durations[durations.len() - 1],
    );
    assert!(alice.restarts > 100 && bob.rollbacks > 10, "{} {}", alice.restarts, bob.rollbacks);
    assert_eq!((bob.restarts, alice.rollbacks), (0, 0), "the caller restarts, and its offers stand");
}
