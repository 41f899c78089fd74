//! The rules of the window, a person and a server played by the tests. What they share.

mod calls;
mod devices;
mod keeping;
mod keys;
mod recovery;
mod signing_in;

use ahoy_client::devices::{DeviceChoice, Hardware};
use ahoy_client::view::{self, Counters};
use ahoy_client::{
    CallId, DeviceAddress, Event, Failure, ProofError, RefusedReason, Sending, SessionId, SinkSpec, SourceSpec, Stats,
    View,
};

use super::*;
use crate::command::{Command, CommandErrorCode, DeviceKind};
use crate::options::Overrides;
use crate::settings::{ChosenByPerson, RememberedAccount, RememberedDevice};
use crate::view::{CallStage, CallView, Direction, LinkView, OutgoingStage, Theme, TrustView};

/// A state, the time, and what was asked for since it was last looked at.
struct Window {
    state: State,
    now: Now,
}

fn name(text: &str) -> Username {
    text.parse().unwrap()
}

fn call_id(number: u8) -> CallId {
    CallId::from_random_bytes([number; 16])
}

fn session() -> SessionId {
    "00000000000000ff".parse().unwrap()
}

fn remembered() -> Settings {
    let account = RememberedAccount { username: "alice".into(), server: "localhost:4280".into(), signed_in: true };
    Settings { account: Some(account), ..Settings::default() }
}

impl Window {
    fn new(options: &Options, settings: Settings) -> Self {
        let now = Now { elapsed: Duration::from_secs(100), unix_ms: 1_700_000_000_000 };
        let mut window = Self { state: State::new(options, Ok(Some(settings)), now), now };
        window.input(Input::Started);
        window
    }

    fn nobody() -> Self {
        let mut window = Self::new(&Options::new("/data".into()), Settings::default());
        window.effects();
        window
    }

    /// Signed in as alice, the server reached, nothing else asked for.
    fn home() -> Self {
        let mut window = Self::new(&Options::new("/data".into()), remembered());
        window.read_people();
        window.event(Event::SignedIn { username: name("alice"), session: session() });
        window.effects();
        window
    }

    fn in_call() -> Self {
        let mut window = Self::home();
        window.dial("bob");
        window.event(Event::Accepted { call: call_id(1), by: bob(), video: Some(true) });
        window.event(Event::Connected { call: call_id(1), path: "host" });
        window.effects();
        window
    }

    fn wait(&mut self, seconds: u64) {
        self.now.elapsed += Duration::from_secs(seconds);
        self.now.unix_ms += seconds * 1_000;
    }

    fn wait_and_tick(&mut self, seconds: u64) {
        self.wait(seconds);
        self.input(Input::Tick);
    }

    fn input(&mut self, input: Input) {
        self.state.handle(self.now, input);
    }

    fn event(&mut self, event: Event) {
        self.input(Input::Event(event));
    }

    fn read_people(&mut self) {
        self.input(Input::PeopleRead(name("alice"), Ok(None)));
    }

    fn knows(&mut self, username: &str) {
        let contact = ContactView {
            username: name(username),
            online: Some(true),
            pinned: true,
            verified: false,
            shown_key: None,
        };
        self.input(Input::View(client_view(vec![contact], None)));
    }

    fn command(&mut self, command: Command) {
        self.state.command(self.now, command).unwrap();
    }

    fn refuses(&mut self, command: Command) -> CommandErrorCode {
        let before = self.view();
        let error = self.state.command(self.now, command.clone()).expect_err(&format!("{command:?} was done"));
        assert!(error.message.ends_with('.'), "{error}");
        assert_eq!(self.view(), before, "{command:?} was refused and did something");
        assert_eq!(self.effects(), [], "{command:?}");
        error.code
    }

    fn dial(&mut self, username: &str) {
        self.command(Command::Dial { username: username.into(), video: true });
        self.input(Input::Dialled(Ok(call_id(1))));
    }

    fn rings(&mut self, call: u8, from: &str) {
        let from = DeviceAddress { username: name(from), session: session() };
        self.event(Event::Incoming { call: call_id(call), from, name: None, video: true, proven: true });
    }

    fn ends(&mut self, call: u8, why: EndReason) {
        let (reason, message) = (why.code(), why.to_string());
        self.event(Event::Ended { call: call_id(call), reason, message, connected: false, why });
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.state.poll_effect()).collect()
    }

    fn view(&self) -> AppView {
        self.state.view()
    }

    fn screen(&self) -> Screen {
        self.view().screen
    }

    fn notices(&self) -> Vec<String> {
        self.view().notices.into_iter().map(|notice| notice.text).collect()
    }

    fn call(&self) -> CallView {
        match self.screen() {
            Screen::Call(call) => *call,
            other => panic!("{other:?}"),
        }
    }

    fn stage(&self) -> OutgoingStage {
        match self.screen() {
            Screen::Outgoing { stage, .. } => stage,
            other => panic!("{other:?}"),
        }
    }

    fn sign_in_problem(&self) -> (bool, Option<String>) {
        match self.screen() {
            Screen::SignIn { busy, problem, .. } => (busy, problem),
            other => panic!("{other:?}"),
        }
    }
}

/// The people that are to be kept, if any are.
fn kept(effects: &[Effect]) -> Option<&People> {
    effects.iter().rev().find_map(|effect| {
        let Effect::WritePeople(username, people) = effect else { return None };
        assert_eq!(*username, name("alice"));
        Some(people)
    })
}

fn bob() -> DeviceAddress {
    DeviceAddress { username: name("bob"), session: session() }
}

fn client_view(contacts: Vec<ContactView>, call: Option<view::CallView>) -> View {
    View { link: view::LinkView::SignedIn, call, contacts, counters: Counters::default() }
}

fn sign_in(username: &str, server: &str) -> Command {
    Command::SignIn { username: username.into(), server: server.into(), invite: String::new() }
}

fn link_lost() -> Event {
    Event::LinkLost { message: "connection refused".into() }
}

fn webcam() -> DeviceChoice {
    DeviceChoice { id: "usb-1".into(), name: "Webcam".into() }
}

fn with_cameras(cameras: Vec<DeviceChoice>) -> Input {
    Input::Hardware(Ok(Hardware { cameras, ..Hardware::default() }))
}

fn chooses_camera(camera: &str) -> Effect {
    let camera = SourceSpec::Device(camera.into());
    Effect::ChooseDevices(ChosenDevices { camera, ..ChosenDevices::default() })
}
