use ahoy_client::devices::DeviceChoice;
use ahoy_client::view::{self, Counters};
use ahoy_client::{DeviceAddress, Failure, ProofError, RefusedReason, Sending, SessionId, SinkSpec, SourceSpec, Stats};

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
        let contact = ContactView { username: name(username), online: Some(true), pinned: true };
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
        self.event(Event::Incoming { call: call_id(call), from, name: None, video: true, verified: true });
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
    Command::SignIn { username: username.into(), server: server.into() }
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

#[test]
fn without_anybody_remembered_it_begins_with_the_sign_in() {
    let window = Window::nobody();
    let problem = None;
    assert_eq!(
        window.screen(),
        Screen::SignIn { username: String::new(), server: String::new(), busy: false, problem }
    );
    assert_eq!((window.view().link, window.view().account), (LinkView::SignedOut, None));
}

#[test]
fn who_is_remembered_is_home_at_once_and_signs_in() {
    let unstarted = State::new(&Options::new("/data".into()), Ok(Some(remembered())), Now::default());
    assert_eq!(unstarted.view().screen, Screen::Home, "the first view already");
    let mut window = Window::new(&Options::new("/data".into()), remembered());
    assert_eq!((window.screen(), window.view().link), (Screen::Home, LinkView::SigningIn));
    assert_eq!(window.effects(), [Effect::ListHardware, Effect::ReadPeople(name("alice"))]);
    window.read_people();
    let server = "ws://localhost:4280/ws".parse().unwrap();
    assert_eq!(window.effects(), [Effect::StartClient { username: name("alice"), server }]);
    window.event(Event::SignedIn { username: name("alice"), session: session() });
    assert_eq!(window.view().link, LinkView::SignedIn);
    assert_eq!(window.effects(), [], "it is remembered already");
}

#[test]
fn who_signed_out_is_not_signed_in_again_and_may_begin_with_their_name() {
    let mut window = Window::home();
    window.command(Command::SignOut);
    assert!(window.effects().contains(&Effect::StopClient));
    let settings = window.state.settings().clone();
    let again = Window::new(&Options::new("/data".into()), settings);
    let (username, server) = ("alice".to_owned(), "localhost:4280".to_owned());
    assert_eq!(again.screen(), Screen::SignIn { username, server, busy: false, problem: None });
}

#[test]
fn the_command_line_says_who_signs_in_where() {
    let mut options = Options::new("/data".into());
    options.user = Some("Carol".into());
    options.server = Some("127.0.0.1:9".into());
    let mut window = Window::new(&options, remembered());
    assert_eq!(window.screen(), Screen::Home);
    assert!(window.effects().contains(&Effect::ReadPeople(name("carol"))));
    options.server = Some("http://web.example".into());
    let (busy, problem) = Window::new(&options, Settings::default()).sign_in_problem();
    assert!(!busy && problem.unwrap().contains("wss://"));
}

#[test]
fn a_first_sign_in_stays_on_its_screen_until_the_server_says_yes() {
    let mut window = Window::nobody();
    window.command(sign_in(" Alice ", "localhost:4280"));
    assert_eq!(window.sign_in_problem(), (true, None));
    assert_eq!(window.effects(), [Effect::ReadPeople(name("alice"))]);
    window.read_people();
    window.event(Event::SignedIn { username: name("alice"), session: session() });
    assert_eq!((window.screen(), window.view().link), (Screen::Home, LinkView::SignedIn));
    assert_eq!(window.state.settings().account, remembered().account);
    assert!(window.effects().contains(&Effect::WriteSettings));
}

#[test]
fn a_server_that_does_not_answer_is_told_of_and_still_tried() {
    let mut window = Window::nobody();
    window.command(sign_in("alice", "localhost:4280"));
    window.wait_and_tick(7);
    assert_eq!(window.sign_in_problem(), (true, None));
    window.wait_and_tick(1);
    let (busy, problem) = window.sign_in_problem();
    assert!(!busy && problem.unwrap().contains("localhost:4280 does not answer"));
    window.event(link_lost());
    assert!(window.sign_in_problem().1.unwrap().contains("connection refused"));
    window.event(Event::SignedIn { username: name("alice"), session: session() });
    assert_eq!(window.screen(), Screen::Home, "it was tried on");
}

#[test]
fn an_edited_sign_in_takes_the_place_of_the_one_before() {
    let mut window = Window::nobody();
    window.command(sign_in("alice", "localhost:1"));
    window.command(sign_in("carol", "localhost:2"));
    window.effects();
    window.read_people();
    assert_eq!(window.effects(), [], "alice's people are read too late");
    window.input(Input::PeopleRead(name("carol"), Ok(None)));
    let server = "ws://localhost:2/ws".parse().unwrap();
    assert_eq!(window.effects(), [Effect::StartClient { username: name("carol"), server }]);
    window.command(Command::SignOut);
    assert_eq!(window.sign_in_problem(), (false, None));
    assert!(window.effects().contains(&Effect::StopClient));
}

#[test]
fn a_server_that_refuses_for_good_leads_to_the_sign_in_with_the_reason() {
    let mut window = Window::home();
    window.event(Event::SignInFailed { message: "the name belongs to somebody else".into() });
    assert_eq!(window.sign_in_problem(), (false, Some("The name belongs to somebody else.".into())));
    assert!(window.effects().contains(&Effect::StopClient));
}

#[test]
fn a_refusal_during_a_call_waits_until_the_call_is_over() {
    let mut window = Window::in_call();
    window.event(Event::SignInFailed { message: "another program signed in as this device".into() });
    window.call();
    assert_eq!(window.effects(), []);
    window.ends(1, EndReason::HungUp(Side::Remote));
    assert!(window.sign_in_problem().1.is_some());
    let effects = window.effects();
    assert!(effects.contains(&Effect::StopClient));
    assert!(kept(&effects).unwrap().find(&name("bob")).is_some());
    assert_eq!(window.view().people, []);
}

#[test]
fn a_lost_server_is_waited_for_at_home_and_told_of_once_in_a_call() {
    let mut window = Window::home();
    window.event(link_lost());
    let why = "localhost:4280 cannot be reached: connection refused; trying again.".to_owned();
    assert_eq!((window.screen(), window.view().link), (Screen::Home, LinkView::Waiting { why }));
    assert_eq!(window.notices(), [] as [String; 0]);
    window.event(Event::SignedIn { username: name("alice"), session: session() });
    assert_eq!(window.view().link, LinkView::SignedIn);
    let mut window = Window::in_call();
    window.event(link_lost());
    window.event(link_lost());
    assert_eq!(window.notices().len(), 1);
    window.call();
}

#[test]
fn what_cannot_sign_in_is_refused_in_words() {
    let mut window = Window::nobody();
    for (username, server) in [
        ("", "localhost"),
        ("guest-alice", "localhost"),
        ("two words", "localhost"),
        ("alice", ""),
        ("alice", "http://localhost"),
        (&"a".repeat(5_000), "localhost"),
        ("alice", &"a".repeat(5_000)),
    ] {
        assert_eq!(window.refuses(sign_in(username, server)), CommandErrorCode::Invalid, "{username:.20} {server:.20}");
    }
    assert_eq!(Window::home().refuses(sign_in("carol", "localhost")), CommandErrorCode::OutOfPlace);
}

#[test]
fn an_outgoing_call_shows_what_is_known_and_no_more() {
    let mut window = Window::home();
    window.command(Command::Dial { username: "Bob".into(), video: true });
    assert_eq!(window.stage(), OutgoingStage::Reaching);
    let known = ToClient::SetContacts([name("bob")].into());
    let dial = ToClient::Dial { to: name("bob"), video: true };
    let effects = window.effects();
    let place = |told: &ToClient| effects.iter().position(|effect| *effect == Effect::Tell(told.clone()));
    assert!(place(&known).unwrap() < place(&dial).unwrap(), "only the key of one who is known by then is kept");
    window.input(Input::Dialled(Ok(call_id(1))));
    assert_eq!(window.effects(), [], "nothing rings here before it rings there");
    window.event(Event::Ringing { call: call_id(1), device: Some("laptop".into()) });
    assert_eq!(window.stage(), OutgoingStage::Ringing { device: Some("laptop".into()) });
    assert_eq!(window.effects(), [Effect::Play(Sound::Ringback)]);
    window.event(Event::Ringing { call: call_id(1), device: Some("desk".into()) });
    assert_eq!(window.stage(), OutgoingStage::Ringing { device: None }, "which will answer is not known");
    assert_eq!(window.effects(), [], "one tone is enough");
    window.command(Command::HangUp);
    assert_eq!(window.effects(), [Effect::Tell(ToClient::HangUp(call_id(1)))]);
    window.ends(1, EndReason::Cancelled(Side::Local));
    assert_eq!(window.screen(), Screen::Home);
}

#[test]
fn a_call_connects_reconnects_and_keeps_its_clock() {
    let mut window = Window::home();
    window.dial("bob");
    window.event(Event::Accepted { call: call_id(1), by: bob(), video: Some(true) });
    let call = window.call();
    assert_eq!((call.stage, call.connected_at_ms), (CallStage::Connecting, None));
    assert!(window.effects().contains(&Effect::Silence));
    window.wait(2);
    window.event(Event::Connected { call: call_id(1), path: "relay" });
    let began = window.call().connected_at_ms;
    assert_eq!((window.call().stage, began), (CallStage::Connected { relayed: true }, Some(window.now.unix_ms)));
    window.wait(30);
    window.event(Event::PathLost { call: call_id(1) });
    assert_eq!(window.call().stage, CallStage::Reconnecting);
    window.event(Event::Connected { call: call_id(1), path: "host" });
    assert_eq!(window.call().stage, CallStage::Connected { relayed: false });
    assert_eq!(window.call().connected_at_ms, began);
    window.wait(35);
    window.ends(1, EndReason::HungUp(Side::Remote));
    let Screen::Ended { sentence, tone, seconds, call_again, .. } = window.screen() else { panic!() };
    assert_eq!((sentence.as_str(), tone, seconds, call_again), ("bob hung up.", Tone::Neutral, Some(65), true));
    assert!(window.effects().contains(&Effect::Play(Sound::Ended)));
}

#[test]
fn a_neutral_end_leaves_by_itself_and_a_bad_one_stays() {
    let mut window = Window::in_call();
    window.ends(1, EndReason::HungUp(Side::Local));
    window.wait_and_tick(19);
    assert!(matches!(window.screen(), Screen::Ended { .. }));
    window.wait_and_tick(1);
    assert_eq!(window.screen(), Screen::Home);
    let mut window = Window::in_call();
    window.ends(1, EndReason::Failed(Failure::PathLost));
    window.wait_and_tick(3_600);
    assert!(matches!(window.screen(), Screen::Ended { .. }));
    window.command(Command::CloseEnded);
    assert_eq!(window.screen(), Screen::Home);
    window.effects();
    assert_eq!(window.refuses(Command::CloseEnded), CommandErrorCode::OutOfPlace);
}

#[test]
fn an_incoming_call_alerts_rings_and_stops_when_it_is_answered() {
    let mut window = Window::home();
    window.knows("bob");
    window.rings(7, "bob");
    let Screen::Incoming { party, video } = window.screen() else { panic!() };
    assert_eq!((party.username.as_str(), party.trust, video), ("bob", Some(TrustView::Known), true));
    let alerting = Alerting { username: "bob".into(), video: true, known: true };
    assert_eq!(window.effects(), [Effect::Alert(alerting), Effect::Play(Sound::Ring)]);
    assert_eq!(
        window.refuses(Command::Accept { from: "carol".into(), video: false }),
        CommandErrorCode::OutOfPlace,
        "hers was over"
    );
    window.command(Command::Accept { from: "bob".into(), video: false });
    assert_eq!(window.effects()[0], Effect::Tell(ToClient::Accept { call: call_id(7), video: false }));
    window.event(Event::Accepted { call: call_id(7), by: bob(), video: Some(false) });
    assert!(!window.call().camera_on && !window.call().muted);
    let effects = window.effects();
    assert!(effects.contains(&Effect::Calm) && effects.contains(&Effect::Silence), "{effects:?}");
}

#[test]
fn a_stranger_and_a_guest_are_not_shown_as_known() {
    let mut window = Window::home();
    window.rings(7, "mallory");
    let trust = |window: &Window| match window.screen() {
        Screen::Incoming { party, .. } => party.trust,
        other => panic!("{other:?}"),
    };
    assert_eq!(trust(&window), Some(TrustView::FirstTime));
    let from = DeviceAddress { username: name("guest-zoe"), session: session() };
    window.event(Event::Incoming { call: call_id(8), from, name: Some("Bob".into()), video: true, verified: false });
    assert_eq!(trust(&window), Some(TrustView::Guest));
}

#[test]
fn the_first_call_to_somebody_is_not_shown_as_one_with_a_known_key() {
    let mut window = Window::home();
    window.dial("bob");
    let call = view::CallView {
        call: call_id(1),
        user: name("bob"),
        name: None,
        people: view::PeopleView::RingingThere,
        path: view::PathState::New,
        gate: view::Gate::SHUT,
        wanted: Sending { audio: true, video: true, screen: false },
        remote: None,
        trust: Some(view::Trust::Contact),
    };
    window.input(Input::View(client_view(Vec::new(), Some(call.clone()))));
    window.event(Event::Accepted { call: call_id(1), by: bob(), video: None });
    assert_eq!(window.call().party.trust, Some(TrustView::FirstTime));
    window.ends(1, EndReason::HungUp(Side::Local));
    window.knows("bob");
    window.dial("bob");
    window.event(Event::Accepted { call: call_id(1), by: bob(), video: None });
    window.input(Input::View(client_view(Vec::new(), Some(call))));
    assert_eq!(window.call().party.trust, Some(TrustView::Known));
}

#[test]
fn declining_goes_home_without_a_word_and_makes_nobody_a_contact() {
    let mut window = Window::home();
    window.rings(7, "mallory");
    window.command(Command::Decline { from: "mallory".into() });
    assert!(window.effects().contains(&Effect::Tell(ToClient::Decline(call_id(7)))));
    window.ends(7, EndReason::Declined(Side::Local));
    assert_eq!((window.screen(), window.notices().len()), (Screen::Home, 0));
    let person = &window.view().people[0];
    assert_eq!((person.missed, person.last.as_ref().unwrap().direction), (0, Direction::Incoming));
    assert_eq!(window.state.people().contacts(), [].into());
}

#[test]
fn a_call_that_nobody_answers_is_missed_and_makes_nobody_a_contact() {
    let mut window = Window::home();
    window.rings(7, "mallory");
    window.effects();
    window.ends(7, EndReason::Cancelled(Side::Remote));
    assert_eq!((window.screen(), window.notices()), (Screen::Home, vec!["You missed a call from mallory.".to_owned()]));
    assert!(window.effects().contains(&Effect::Calm));
    assert_eq!(window.view().people[0].missed, 1);
    window.event(Event::Missed { call: call_id(8), from: name("mallory"), video: false });
    assert_eq!(window.view().people[0].missed, 2);
    assert_eq!(window.state.people().contacts(), [].into());
    window.command(Command::SeenMissed { username: "mallory".into() });
    assert_eq!(window.view().people[0].missed, 0);
    assert_eq!(kept(&window.effects()).unwrap().find(&name("mallory")).unwrap().missed, 0);
}

#[test]
fn accepting_makes_a_contact_and_removing_ends_it() {
    let mut window = Window::home();
    window.rings(7, "bob");
    window.command(Command::Accept { from: "bob".into(), video: true });
    assert!(window.effects().contains(&Effect::Tell(ToClient::SetContacts([name("bob")].into()))));
    window.event(Event::Accepted { call: call_id(7), by: bob(), video: Some(true) });
    window.ends(7, EndReason::HungUp(Side::Remote));
    window.effects();
    window.command(Command::RemovePerson { username: "bob".into() });
    assert_eq!(window.view().people, []);
    assert!(window.effects().contains(&Effect::Tell(ToClient::SetContacts([].into()))));
}

#[test]
fn a_name_that_does_not_exist_does_not_stay_on_the_list() {
    let mut window = Window::home();
    window.dial("bbo");
    window.effects();
    window.ends(1, EndReason::UnknownUser);
    assert!(matches!(window.screen(), Screen::Ended { call_again: false, tone: Tone::Warning, .. }));
    assert_eq!(window.view().people, []);
    let effects = window.effects();
    assert!(effects.contains(&Effect::Tell(ToClient::SetContacts([].into()))), "{effects:?}");
    assert!(effects.contains(&Effect::Play(Sound::Busy)), "{effects:?}");
}

#[test]
fn the_list_says_who_is_there_whose_key_is_known_and_what_was_last() {
    let mut window = Window::in_call();
    window.wait(5);
    window.ends(1, EndReason::HungUp(Side::Local));
    window.knows("bob");
    let people = window.view().people;
    assert_eq!((people[0].username.as_str(), people[0].online, people[0].known), ("bob", Some(true), true));
    let last = people[0].last.as_ref().unwrap();
    assert_eq!((last.direction, last.seconds, last.video), (Direction::Outgoing, Some(5), true));
}

#[test]
fn who_calls_during_a_call_is_told_of_quietly() {
    let mut window = Window::in_call();
    let refused = |why| Event::Refused { call: call_id(9), from: name("carol"), message: String::new(), why };
    window.event(refused(RefusedReason::Busy));
    window.call();
    assert_eq!(window.notices(), ["carol called while you were in this call."]);
    let missed =
        |window: &Window| window.view().people.iter().find(|person| person.username == "carol").map(|p| p.missed);
    assert_eq!(missed(&window), Some(1));
    window.event(refused(RefusedReason::TooOften));
    assert_eq!((window.notices().len(), missed(&window)), (1, Some(2)));
    window.event(refused(RefusedReason::Proof(ProofError::KeyChanged)));
    assert_eq!(window.view().notices[1].tone, Tone::Danger);
    assert_eq!(missed(&window), Some(2), "who it was is not proven");
}

#[test]
fn a_new_call_takes_the_place_of_an_ended_one_and_of_one_that_called_again() {
    let mut window = Window::in_call();
    window.ends(1, EndReason::CalledAgain);
    assert_eq!(window.screen(), Screen::Home);
    window.rings(2, "bob");
    window.ends(2, EndReason::Cancelled(Side::Remote));
    window.dial("bob");
    window.ends(1, EndReason::Busy);
    assert!(matches!(window.screen(), Screen::Ended { .. }));
    window.rings(3, "bob");
    assert!(matches!(window.screen(), Screen::Incoming { .. }));
    window.ends(3, EndReason::Cancelled(Side::Remote));
    assert_eq!(window.screen(), Screen::Home, "the ended call does not come back");
}

#[test]
fn an_ended_call_may_be_dialled_again() {
    let mut window = Window::home();
    window.dial("bob");
    window.ends(1, EndReason::Offline);
    window.command(Command::Dial { username: "bob".into(), video: false });
    assert_eq!(window.stage(), OutgoingStage::Reaching);
}

#[test]
fn both_dialling_at_once_is_one_call() {
    let mut window = Window::home();
    window.dial("bob");
    window.event(Event::GaveWay { dialled: call_id(1), to: call_id(2) });
    window.event(Event::Accepted { call: call_id(2), by: bob(), video: Some(true) });
    window.ends(1, EndReason::Glare);
    assert!(window.call().camera_on);
    window.event(Event::Connected { call: call_id(2), path: "host" });
    assert_eq!(window.call().stage, CallStage::Connected { relayed: false });
}

#[test]
fn an_incoming_call_that_crosses_a_dialled_one_is_the_one_that_rings() {
    let mut window = Window::home();
    window.dial("bob");
    window.rings(2, "carol");
    window.ends(1, EndReason::AlreadyInCall);
    assert!(matches!(window.screen(), Screen::Incoming { party, .. } if party.username == "carol"));
}

#[test]
fn events_of_other_calls_change_nothing() {
    let mut window = Window::in_call();
    let before = window.view();
    window.event(Event::PathLost { call: call_id(9) });
    window.event(Event::RemoteSending { call: call_id(9), audio: false, video: false });
    window.event(Event::Ringing { call: call_id(9), device: None });
    window.ends(9, EndReason::HungUp(Side::Remote));
    assert_eq!(window.view(), before);
}

#[test]
fn what_is_sent_is_what_the_buttons_say() {
    let mut window = Window::in_call();
    window.command(Command::SetMuted { muted: true });
    window.command(Command::SetCamera { on: false });
    assert!(window.call().muted && !window.call().camera_on);
    let sending = Sending { audio: false, video: false, screen: false };
    let told = window.effects().pop();
    assert_eq!(told, Some(Effect::Tell(ToClient::SetSending { call: call_id(1), sending })));
}

#[test]
fn a_camera_that_fails_in_a_call_is_told_until_it_works_or_is_off() {
    let mut window = Window::in_call();
    use ahoy_client::DeviceKind::{Camera, Microphone};
    let problem = |kind, message: &str| DeviceProblem { kind, message: message.into() };
    let silent = problem(Microphone, "no microphone");
    window.input(Input::Problems(vec![silent.clone(), problem(Camera, "no camera")]));
    assert_eq!(window.call().camera_problem.as_deref(), Some("no camera"));
    window.input(Input::Problems(vec![silent]));
    assert_eq!(window.call().camera_problem, None);
    window.input(Input::Problems(vec![problem(Camera, "no camera")]));
    window.command(Command::SetCamera { on: false });
    assert_eq!(window.call().camera_problem, None, "nobody wants it");
}

#[test]
fn pictures_of_the_other_side_are_there_while_they_come() {
    let mut window = Window::in_call();
    assert!(!window.call().remote_picture);
    window.input(Input::Picture(PictureView::Remote));
    assert!(window.call().remote_picture);
    window.event(Event::RemoteSending { call: call_id(1), audio: true, video: false });
    window.input(Input::Picture(PictureView::Remote));
    assert!(!window.call().remote_picture, "one that was on its way does not count");
    window.effects();
    window.event(Event::RemoteSending { call: call_id(1), audio: true, video: true });
    assert!(!window.call().remote_picture, "none has come yet");
    assert_eq!(window.effects(), [Effect::WatchForPicture(PictureView::Remote)]);
    window.input(Input::Picture(PictureView::Remote));
    assert!(window.call().remote_picture);
}

#[test]
fn figures_come_each_second_and_go_with_the_path() {
    let mut window = Window::in_call();
    let mut stats: Stats = quality::tests::stats(call_id(1));
    window.event(Event::Stats(stats));
    assert_eq!(window.call().quality, None);
    stats.received_bytes = 1_000;
    window.event(Event::Stats(stats));
    assert_eq!(window.call().quality.unwrap().received_bps, 8_000);
    window.event(Event::PathLost { call: call_id(1) });
    window.event(Event::Stats(stats));
    assert_eq!(window.call().quality, None);
}

#[test]
fn the_preview_is_for_outside_a_call_and_for_those_who_look() {
    let mut window = Window::home();
    window.command(Command::SetPreview { on: true });
    let expected = [Effect::SetPreview(true), Effect::WatchForPicture(PictureView::Local)];
    assert_eq!(window.effects()[..2], expected);
    window.input(Input::Picture(PictureView::Local));
    assert!(window.view().preview.picture);
    window.input(Input::Visible(false));
    assert_eq!(window.effects(), [Effect::SetPreview(false)]);
    assert!(!window.view().preview.on && !window.view().preview.picture);
    window.input(Input::Visible(true));
    assert!(!window.view().preview.on, "whoever calls shows the window, and turns on no camera");
    window.command(Command::SetPreview { on: true });
    window.effects();
    window.input(Input::Attached);
    assert_eq!(window.effects(), [Effect::SetPreview(false)]);
}

#[test]
fn no_camera_stays_on_behind_a_screen_that_does_not_show_it() {
    let mut window = Window::home();
    window.command(Command::SetPreview { on: true });
    window.command(Command::SignOut);
    assert!(!window.view().preview.on);
}

#[test]
fn a_call_that_quitting_ends_is_on_the_list() {
    let mut window = Window::in_call();
    window.input(Input::Quitting);
    let view = window.view();
    let last = view.people[0].last.as_ref().unwrap();
    assert_eq!((last.direction, last.seconds.is_some()), (Direction::Outgoing, true));
}

#[test]
fn the_camera_goes_from_the_preview_to_the_call_without_a_gap() {
    let mut window = Window::home();
    window.command(Command::SetPreview { on: true });
    window.dial("bob");
    window.event(Event::Accepted { call: call_id(1), by: bob(), video: Some(true) });
    assert!(window.view().preview.on, "the call takes it over only when it sends");
    window.effects();
    window.event(Event::Connected { call: call_id(1), path: "host" });
    assert_eq!(window.effects(), [Effect::SetPreview(false)]);
    assert_eq!(window.refuses(Command::SetPreview { on: true }), CommandErrorCode::OutOfPlace);
}

#[test]
fn a_call_without_picture_turns_the_preview_off_at_once() {
    let mut window = Window::home();
    window.command(Command::SetPreview { on: true });
    window.command(Command::Dial { username: "bob".into(), video: false });
    assert!(!window.view().preview.on);
    let mut window = Window::home();
    window.command(Command::SetPreview { on: true });
    window.rings(7, "bob");
    assert!(window.view().preview.on);
    window.command(Command::Accept { from: "bob".into(), video: false });
    assert!(!window.view().preview.on);
}

#[test]
fn the_system_is_asked_again_only_while_somebody_looks_or_talks() {
    let mut window = Window::home();
    window.input(with_cameras(vec![]));
    assert_eq!(window.state.poll_timeout(), None);
    window.command(Command::SetPreview { on: true });
    window.input(with_cameras(vec![]));
    window.effects();
    window.wait_and_tick(3);
    assert_eq!(window.effects(), [Effect::ListHardware]);
    window.command(Command::RefreshDevices);
    window.command(Command::RefreshDevices);
    assert_eq!(window.effects(), [], "one question at a time");
    window.input(with_cameras(vec![]));
    assert_eq!(window.effects(), [Effect::ListHardware], "and one more after it");
}

#[test]
fn a_device_is_chosen_by_its_id_and_remembered_with_its_name() {
    let mut window = Window::home();
    let choose = |id: &str| Command::ChooseDevice { device: DeviceKind::Camera, id: Some(id.into()) };
    assert_eq!(window.refuses(choose("usb-1")), CommandErrorCode::Invalid, "nothing was found yet");
    window.input(with_cameras(vec![webcam()]));
    window.command(choose("usb-1"));
    assert_eq!(window.effects(), [chooses_camera("usb-1"), Effect::WriteSettings]);
    assert_eq!(window.view().devices.cameras.chosen.as_deref(), Some("usb-1"));
    let remembered = window.state.settings().devices.camera.clone();
    assert_eq!(remembered, Some(RememberedDevice { id: "usb-1".into(), name: "Webcam".into() }));
    assert_eq!(window.refuses(choose(&"x".repeat(100_000))), CommandErrorCode::Invalid);
    window.command(Command::ChooseDevice { device: DeviceKind::Camera, id: None });
    assert_eq!(window.effects()[0], Effect::ChooseDevices(ChosenDevices::default()));
}

#[test]
fn a_device_that_moved_to_another_port_is_found_by_its_name() {
    let device = RememberedDevice { id: "usb-0".into(), name: "Webcam".into() };
    let devices = ChosenByPerson { camera: Some(device), ..ChosenByPerson::default() };
    let mut window = Window::new(&Options::new("/data".into()), Settings { devices, ..Settings::default() });
    window.effects();
    let twin = DeviceChoice { id: "usb-2".into(), ..webcam() };
    window.input(with_cameras(vec![webcam(), twin]));
    assert_eq!(window.effects(), [], "which of two is meant is not known");
    window.input(with_cameras(vec![webcam()]));
    assert_eq!(window.effects(), [chooses_camera("usb-1"), Effect::WriteSettings]);
    window.input(with_cameras(vec![]));
    assert_eq!(window.effects(), [], "one that is unplugged stays chosen");
    assert_eq!(window.view().devices.cameras.chosen.as_deref(), Some("usb-1"));
}

#[test]
fn the_command_line_chooses_devices_until_the_person_does() {
    let mut options = Options::new("/data".into());
    options.devices = Overrides {
        camera: Some(SourceSpec::Pattern),
        microphone: Some(SourceSpec::Tone),
        speaker: Some(SinkSpec::None),
    };
    let mut window = Window::new(&options, Settings::default());
    let chosen = window.state.chosen_devices();
    assert_eq!(
        (chosen.camera, chosen.microphone, chosen.speaker),
        (SourceSpec::Pattern, SourceSpec::Tone, SinkSpec::None)
    );
    window.input(with_cameras(vec![webcam()]));
    window.command(Command::ChooseDevice { device: DeviceKind::Camera, id: Some("usb-1".into()) });
    let chosen = window.state.chosen_devices();
    assert_eq!((chosen.camera, chosen.speaker), (SourceSpec::Device("usb-1".into()), SinkSpec::None));
}

#[test]
fn why_there_is_nothing_to_choose_is_said() {
    let mut window = Window::home();
    assert_eq!(window.view().devices.cameras.problem, None, "not known yet");
    let sound_problem = Some("the sound server does not answer".to_owned());
    window.input(Input::Hardware(Ok(Hardware { sound_problem, ..Hardware::default() })));
    let devices = window.view().devices;
    assert!(devices.cameras.problem.unwrap().contains("No camera"));
    assert_eq!(devices.microphones.problem.as_deref(), Some("the sound server does not answer"));
    window.input(Input::Hardware(Err("The system does not answer.".into())));
    assert_eq!(window.view().devices.speakers.problem.as_deref(), Some("The system does not answer."));
    window.input(with_cameras(vec![webcam()]));
    assert_eq!(window.view().devices.cameras.problem, None);
}

#[test]
fn trouble_with_a_device_is_a_notice_and_a_reason_to_look_again() {
    let mut window = Window::in_call();
    window.input(with_cameras(vec![]));
    window.event(Event::MediaFailed { call: call_id(1), message: "the camera is in use".into() });
    assert_eq!(window.notices(), ["The camera is in use."]);
    assert_eq!(window.effects(), [Effect::ListHardware]);
    let id = window.view().notices[0].id;
    window.command(Command::Dismiss { id });
    assert_eq!(window.notices(), [] as [String; 0]);
}

#[test]
fn settings_are_checked_kept_and_shown() {
    let mut window = Window::home();
    window.command(Command::SetTheme { theme: Theme::Dark });
    window.command(Command::SetLetterKeys { on: false });
    window.command(Command::SetRingVolume { volume: 0.25 });
    let settings = window.view().settings;
    assert_eq!((settings.theme, settings.letter_keys, settings.ring_volume), (Theme::Dark, false, 0.25));
    assert_eq!(window.effects(), [Effect::WriteSettings, Effect::WriteSettings, Effect::WriteSettings]);
    for volume in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
        assert_eq!(window.refuses(Command::SetRingVolume { volume }), CommandErrorCode::Invalid);
    }
}

#[test]
fn buttons_of_another_screen_do_nothing() {
    let dial = || Command::Dial { username: "carol".into(), video: true };
    let of_a_call = [
        Command::Accept { from: "bob".into(), video: true },
        Command::Decline { from: "bob".into() },
        Command::HangUp,
        Command::SetMuted { muted: true },
        Command::SetCamera { on: false },
        Command::CloseEnded,
    ];
    for command in of_a_call {
        assert_eq!(Window::home().refuses(command.clone()), CommandErrorCode::OutOfPlace);
        assert_eq!(Window::nobody().refuses(command), CommandErrorCode::OutOfPlace);
    }
    for command in [dial(), Command::SignOut, Command::RemovePerson { username: "bob".into() }] {
        assert_eq!(Window::nobody().refuses(command), CommandErrorCode::OutOfPlace);
    }
    assert_eq!(Window::in_call().refuses(dial()), CommandErrorCode::OutOfPlace);
    let mut ringing = Window::home();
    ringing.rings(7, "bob");
    ringing.effects();
    for command in [dial(), Command::HangUp, Command::TestSpeaker, Command::SetMuted { muted: true }] {
        assert_eq!(ringing.refuses(command), CommandErrorCode::OutOfPlace);
    }
}

#[test]
fn nobody_can_be_called_by_what_is_no_name() {
    let mut window = Window::home();
    for username in ["", "  ", "two words", "<b>", "alice", "ALICE", &"b".repeat(100_000)] {
        let code = window.refuses(Command::Dial { username: username.into(), video: true });
        assert_eq!(code, CommandErrorCode::Invalid, "{username:.20}");
    }
}

#[test]
fn signing_out_in_a_call_ends_it_and_leaves_nothing_on_the_screen() {
    let mut window = Window::in_call();
    window.wait(3);
    window.command(Command::SignOut);
    assert_eq!(window.sign_in_problem(), (false, None));
    assert_eq!(window.view().people, []);
    let effects = window.effects();
    assert!(effects.contains(&Effect::StopClient));
    assert_eq!(kept(&effects).unwrap().find(&name("bob")).unwrap().last.as_ref().unwrap().seconds, Some(3));
    assert_eq!(window.refuses(Command::SignOut), CommandErrorCode::OutOfPlace);
}

#[test]
fn a_client_that_fails_is_said_and_asked_for_again() {
    let mut window = Window::home();
    window.input(Input::ClientFailed("the folder cannot be used".into()));
    assert_eq!(window.sign_in_problem(), (false, Some("the folder cannot be used.".into())));
    let mut window = Window::home();
    window.command(Command::Dial { username: "bob".into(), video: true });
    window.input(Input::Dialled(Err("no randomness".into())));
    assert_eq!((window.screen(), window.notices().len()), (Screen::Home, 1));
}

#[test]
fn a_damaged_file_is_told_of_and_begun_anew_but_one_that_cannot_be_read_is_left_alone() {
    let path = std::path::PathBuf::from("/data/settings.json");
    let now = Now::default();
    let kept = path.with_extension("damaged-1.json");
    let damaged = FileError::Damaged { path: path.clone(), what: "no JSON".into(), kept };
    let mut state = State::new(&Options::new("/data".into()), Err(damaged), now);
    assert!(state.view().notices[0].text.contains("damaged-1"));
    state.command(now, Command::SetLetterKeys { on: false }).unwrap();
    assert_eq!(state.poll_effect(), Some(Effect::WriteSettings));
    let unreadable = FileError::Read { path, source: std::io::Error::other("permission denied") };
    let mut state = State::new(&Options::new("/data".into()), Err(unreadable), now);
    assert_eq!(state.view().notices[0].tone, Tone::Danger);
    state.command(now, Command::SetLetterKeys { on: false }).unwrap();
    assert_eq!(state.poll_effect(), None, "what is there may be whole");
}

#[test]
fn people_that_cannot_be_read_are_told_of_and_not_written_over() {
    let mut window = Window::new(&Options::new("/data".into()), remembered());
    let source = std::io::Error::other("permission denied");
    let unreadable = FileError::Read { path: "/data/alice/people.json".into(), source };
    window.input(Input::PeopleRead(name("alice"), Err(unreadable)));
    assert!(window.notices()[0].contains("people.json"));
    window.effects();
    window.dial("bob");
    let effects = window.effects();
    assert_eq!(kept(&effects), None);
    assert!(effects.contains(&Effect::Tell(ToClient::SetContacts([name("bob")].into()))), "the call goes on");
}
