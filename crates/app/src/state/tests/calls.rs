//! Calls: what each screen shows of them, and what follows from each event and button.

use ahoy_client::MissedCall;

use super::*;

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
    window.event(Event::Incoming { call: call_id(8), from, name: Some("Bob".into()), video: true, proven: false });
    assert_eq!(trust(&window), Some(TrustView::Guest));
}

#[test]
fn the_first_call_to_somebody_is_not_shown_as_one_with_a_known_key() {
    let mut window = Window::home();
    window.dial("bob");
    let call = seen_call(1);
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
fn a_key_that_is_learnt_by_the_ringing_call_is_not_shown_as_known() {
    let mut window = Window::home();
    let contact =
        |pinned| ContactView { username: name("bob"), online: Some(true), pinned, verified: false, shown_key: None };
    window.input(Input::View(client_view(vec![contact(false)], None)));
    // The core pins it while it proves the offer, before it tells of the call.
    let seen = view::CallView { people: view::PeopleView::RingingHere, ..seen_call(7) };
    window.input(Input::View(client_view(vec![contact(true)], Some(seen))));
    window.rings(7, "bob");
    let Screen::Incoming { party, .. } = window.screen() else { panic!() };
    assert_eq!(party.trust, Some(TrustView::FirstTime));
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
    let calls = vec![MissedCall { from: name("mallory"), at_ms: Some(1), video: true, count: 3 }];
    window.event(Event::MissedWhileAway { calls });
    assert_eq!(window.view().people[0].missed, 5);
    assert!(window.notices().contains(&"mallory called while you were away.".to_owned()));
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
    assert_eq!(window.notices().len(), 1, "the key itself is told of by an event of its own");
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
fn a_call_that_quitting_ends_is_on_the_list() {
    let mut window = Window::in_call();
    window.input(Input::Quitting);
    let view = window.view();
    let last = view.people[0].last.as_ref().unwrap();
    assert_eq!((last.direction, last.seconds.is_some()), (Direction::Outgoing, true));
}

/// A call with bob as the client sees it.
pub(super) fn seen_call(number: u8) -> view::CallView {
    view::CallView {
        call: call_id(number),
        user: name("bob"),
        name: None,
        people: view::PeopleView::RingingThere,
        path: view::PathState::New,
        gate: view::Gate::SHUT,
        wanted: Sending { audio: true, video: true, screen: false },
        remote: None,
        trust: Some(view::Trust::Contact),
        code: None,
    }
}

#[test]
fn whoever_is_blocked_is_no_contact_cannot_be_dialled_or_removed_and_comes_back_when_unblocked() {
    let mut window = Window::home();
    window.rings(7, "bob");
    window.command(Command::SetBlocked { username: "bob".into(), blocked: true });
    let effects = window.effects();
    assert!(effects.contains(&Effect::Tell(ToClient::SetBlocked([name("bob")].into()))), "{effects:?}");
    // The core declines what rings.
    window.ends(7, EndReason::Declined(Side::Local));
    assert!(window.view().people[0].blocked);
    assert_eq!(window.state.people().contacts(), [].into());
    window.effects();
    for refused in [
        Command::Dial { username: "bob".into(), video: true },
        Command::RemovePerson { username: "bob".into() },
        Command::SetBlocked { username: "<b>".into(), blocked: true },
    ] {
        window.refuses(refused);
    }
    window.effects();
    window.command(Command::SetBlocked { username: "bob".into(), blocked: false });
    let effects = window.effects();
    assert!(effects.contains(&Effect::Tell(ToClient::SetBlocked([].into()))), "{effects:?}");
    assert!(!kept(&effects).unwrap().is_blocked(&name("bob")));
    window.command(Command::RemovePerson { username: "bob".into() });
    assert_eq!(window.view().people, []);
}
