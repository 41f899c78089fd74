//! The recovery phrase on its screens, and for how long; and from whom the address is hidden.

use ahoy_client::identity::{self, Phrase};
use ahoy_client::{Event, KeyPlace};

use super::*;
use crate::command::TypedPhrase;
use crate::view::{HideAddress, PhraseView, RestoreView};

/// Of the key of 32 zero bytes, as BIP-39 lists it.
fn typed() -> TypedPhrase {
    TypedPhrase(format!("{} art", ["abandon"; 23].join(" ")))
}

fn phrase() -> Phrase {
    let folder = tempfile::tempdir().unwrap();
    identity::restore(folder.path(), &name("alice"), &typed().0, KeyPlace::File).unwrap();
    identity::export(folder.path(), &name("alice"), KeyPlace::File).unwrap()
}

fn read(window: &mut Window) {
    window.input(Input::PhraseRead(name("alice"), Ok(phrase())));
}

fn words(window: &Window) -> Option<usize> {
    match window.view().phrase? {
        PhraseView::Words { words } => Some(words.len()),
        other => panic!("{other:?}"),
    }
}

/// At home, with the phrase on the screen.
fn shown() -> Window {
    let mut window = Window::home();
    window.command(Command::ShowPhrase);
    assert_eq!(window.effects(), [Effect::ReadPhrase(name("alice"))]);
    assert_eq!(window.view().phrase, Some(PhraseView::Reading));
    read(&mut window);
    assert_eq!(words(&window), Some(24));
    assert!(!format!("{:?}", window.view()).contains("abandon"), "what is logged must not have it");
    window
}

#[test]
fn the_phrase_is_shown_when_it_is_asked_for_and_gone_when_it_was_seen() {
    assert_eq!(Window::nobody().refuses(Command::ShowPhrase), CommandErrorCode::OutOfPlace);
    let mut window = shown();
    window.command(Command::HidePhrase);
    assert_eq!(window.view().phrase, None);
    read(&mut window);
    assert_eq!(window.view().phrase, None, "what was read too late is not shown");
}

#[test]
fn the_phrase_is_gone_with_its_screen_and_after_five_minutes() {
    type Leaving = fn(&mut Window);
    let ways: [Leaving; 5] = [
        |window| window.input(Input::Visible(false)),
        |window| window.input(Input::Attached),
        |window| window.rings(1, "bob"),
        |window| window.command(Command::SignOut),
        |window| window.dial("bob"),
    ];
    for (nth, leave) in ways.into_iter().enumerate() {
        let mut window = shown();
        leave(&mut window);
        assert_eq!(window.view().phrase, None, "way {nth}");
    }
    let mut window = shown();
    window.wait_and_tick(299);
    assert_eq!(words(&window), Some(24));
    let left = window.state.poll_timeout().unwrap() - window.now.elapsed;
    assert!(left <= Duration::from_secs(1), "{left:?}");
    window.wait_and_tick(1);
    assert_eq!(window.view().phrase, None);
}

#[test]
fn a_phrase_that_cannot_be_read_says_why_and_one_of_another_user_is_not_shown() {
    let mut window = Window::home();
    window.command(Command::ShowPhrase);
    window.input(Input::PhraseRead(name("carol"), Ok(phrase())));
    assert_eq!(window.view().phrase, Some(PhraseView::Reading));
    window.input(Input::PhraseRead(name("alice"), Err("the keyring is locked; unlock it".into())));
    assert_eq!(window.view().phrase, Some(PhraseView::Failed { why: "The keyring is locked; unlock it.".into() }));
}

fn restore(username: &str, phrase: TypedPhrase) -> Command {
    Command::RestoreKey { username: username.into(), phrase }
}

fn restoring(window: &Window) -> Option<RestoreView> {
    match window.screen() {
        Screen::SignIn { restore, .. } => restore,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_restored_before_signing_in_and_nobody_signs_in_meanwhile() {
    let mut window = Window::nobody();
    window.command(restore(" Alice ", typed()));
    assert_eq!(window.effects(), [Effect::RestoreKey(name("alice"), typed())]);
    assert_eq!(restoring(&window), Some(RestoreView::Keeping));
    assert_eq!(window.refuses(sign_in("alice", "localhost")), CommandErrorCode::OutOfPlace);
    assert_eq!(window.refuses(restore("alice", typed())), CommandErrorCode::OutOfPlace);
    window.input(Input::KeyRestored(name("alice"), Err("another key is there; move it away".into())));
    assert_eq!(restoring(&window), Some(RestoreView::Failed { why: "Another key is there; move it away.".into() }));
    window.command(restore("alice", typed()));
    window.input(Input::KeyRestored(name("alice"), Ok(())));
    assert_eq!(restoring(&window), Some(RestoreView::Done { username: "alice".into() }));
    window.command(sign_in("alice", "localhost"));
    assert_eq!(restoring(&window), None);
}

#[test]
fn what_is_no_phrase_is_refused_in_words_and_told_to_nobody() {
    let mut window = Window::nobody();
    let good = typed().0;
    for (wrong, said) in [
        (String::new(), "24 words"),
        (good.replacen("abandon", "ahoy", 1), "Word 1 "),
        (good.replace("art", "abandon"), "belong together"),
        ("zoo ".repeat(100_000), "24 words"),
    ] {
        let command = restore("alice", TypedPhrase(wrong.clone()));
        assert!(!format!("{command:?}").contains("abandon"), "what is logged must not have it");
        let error = window.state.command(window.now, command.clone()).unwrap_err();
        assert!(error.message.contains(said), "{}", error.message);
        assert_eq!(window.refuses(command), CommandErrorCode::Invalid);
    }
    assert_eq!(window.refuses(restore("guest-alice", typed())), CommandErrorCode::Invalid);
    assert_eq!(Window::home().refuses(restore("alice", typed())), CommandErrorCode::OutOfPlace);
}

#[test]
fn a_sign_in_that_waits_for_its_server_gives_way_to_a_phrase() {
    let mut window = Window::nobody();
    window.command(sign_in("alice", "localhost"));
    window.wait_and_tick(8);
    window.effects();
    window.command(restore("alice", typed()));
    assert_eq!(window.effects(), [Effect::StopClient, Effect::RestoreKey(name("alice"), typed())]);
    assert_eq!(restoring(&window), Some(RestoreView::Keeping));
}

#[test]
fn from_whom_the_address_is_hidden_is_told_and_remembered() {
    let mut window = Window::home();
    assert_eq!(window.view().settings.hide_address, HideAddress::Never);
    window.command(Command::SetHideAddress { from: HideAddress::FromStrangers });
    assert_eq!(window.view().settings.hide_address, HideAddress::FromStrangers);
    let told = ToClient::HideAddress(ahoy_client::HideAddress::FromStrangers);
    assert_eq!(window.effects(), [Effect::Tell(told), Effect::WriteSettings]);
    window.event(Event::SignedIn { username: name("alice"), session: session() });
    let mut next = Window::new(&Options::new("/data".into()), window.state.settings().clone());
    assert_eq!(next.view().settings.hide_address, HideAddress::FromStrangers);
    next.effects();
}
