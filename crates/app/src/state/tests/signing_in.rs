//! Coming in: who is remembered, and what a server says or does not say.

use super::*;

#[test]
fn without_anybody_remembered_it_begins_with_the_sign_in() {
    let window = Window::nobody();
    let problem = None;
    assert_eq!(
        window.screen(),
        Screen::SignIn { username: String::new(), server: String::new(), busy: false, problem, restore: None }
    );
    assert_eq!((window.view().link, window.view().account), (LinkView::SignedOut, None));
}

#[test]
fn who_is_remembered_is_home_at_once_and_signs_in() {
    let unstarted = State::new(&Options::new("/data".into()), Ok(Some(remembered())), Now::default());
    assert_eq!(unstarted.view().screen, Screen::Home, "the first view already");
    let mut window = Window::new(&Options::new("/data".into()), remembered());
    assert_eq!((window.screen(), window.view().link), (Screen::Home, LinkView::SigningIn));
    assert_eq!(
        window.effects(),
        [Effect::ListHardware, Effect::SuppressNoise(true), Effect::ReadPeople(name("alice"))]
    );
    window.read_people();
    let server = "ws://localhost:4280/ws".parse().unwrap();
    assert_eq!(window.effects(), [Effect::StartClient { username: name("alice"), server, invite: None }]);
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
    assert_eq!(again.screen(), Screen::SignIn { username, server, busy: false, problem: None, restore: None });
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
fn an_invitation_goes_with_the_sign_in_that_it_was_typed_for_and_is_not_kept() {
    let typed = |invite: &str| Command::SignIn {
        username: "alice".into(),
        server: "localhost:4280".into(),
        invite: invite.into(),
    };
    let mut window = Window::nobody();
    let refused = window.state.command(window.now, typed(&"x".repeat(300))).unwrap_err();
    assert!(refused.message.contains("too long for an invitation"));
    window.command(typed(" q3ZK "));
    window.effects();
    window.read_people();
    let server = "ws://localhost:4280/ws".parse().unwrap();
    let invite = Some("q3ZK".to_owned());
    assert_eq!(window.effects(), [Effect::StartClient { username: name("alice"), server, invite }]);
    window.event(Event::SignedIn { username: name("alice"), session: session() });
    assert_eq!(window.state.settings().account, remembered().account);
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
    assert_eq!(window.effects(), [Effect::StartClient { username: name("carol"), server, invite: None }]);
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
