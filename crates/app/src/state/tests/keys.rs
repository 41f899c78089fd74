//! Keys of others: the code of a call, and a key that changed.

use ahoy_client::view::{self, ContactView};
use ahoy_client::{Event, PublicKey};

use super::calls::seen_call;
use super::{Window, bob, call_id, client_view, name};
use crate::command::{Command, CommandErrorCode};
use crate::state::Input;
use crate::state::effect::{Effect, ToClient};
use crate::view::{CodeView, TrustView};

fn key(letter: char) -> PublicKey {
    // 43 characters; the last one carries four bits only.
    format!("{}A", letter.to_string().repeat(42)).parse().unwrap()
}

fn contact(verified: bool, shown_key: Option<PublicKey>) -> ContactView {
    ContactView { username: name("bob"), online: Some(true), pinned: true, verified, shown_key }
}

fn code() -> ahoy_client::Code {
    let party = |byte| ahoy_client::Party { nonce: key(byte), key: None, certificate: [0; 32] };
    ahoy_client::Code::of(&party('A'), &party('B'))
}

#[test]
fn a_code_is_shown_and_compared_in_the_call_and_remembered() {
    let mut window = Window::home();
    window.knows("bob");
    window.dial("bob");
    window.event(Event::Accepted { call: call_id(1), by: bob(), video: None });
    window.effects();
    assert_eq!(window.refuses(Command::CompareCode { same: true }), CommandErrorCode::OutOfPlace);
    let seen = view::CallView { code: Some(code()), ..seen_call(1) };
    window.input(Input::View(client_view(vec![contact(false, None)], Some(seen.clone()))));
    let digits = code().to_string();
    assert_eq!(window.call().code, Some(CodeView { digits: digits.clone(), verified: false, lasts: true }));
    window.effects();
    window.command(Command::CompareCode { same: true });
    assert_eq!(window.effects(), [Effect::Tell(ToClient::CodeCompared { call: call_id(1), same: true })]);
    window.input(Input::View(client_view(vec![contact(true, None)], Some(seen))));
    assert_eq!(window.call().code, Some(CodeView { digits, verified: true, lasts: true }));
    assert_eq!(window.call().party.trust, Some(TrustView::Verified));
    assert!(window.view().people[0].verified);
}

#[test]
fn a_changed_key_is_told_and_trusted_only_as_it_is_shown() {
    let mut window = Window::home();
    window.knows("bob");
    window.event(Event::KeyChanged { username: name("bob"), known: key('A'), shown: key('B') });
    assert!(window.notices()[0].contains("another key"), "{:?}", window.notices());
    window.effects();
    let trust = |key: PublicKey| Command::TrustNewKey { username: "bob".into(), key: key.to_string() };
    assert_eq!(window.refuses(trust(key('B'))), CommandErrorCode::OutOfPlace);
    window.input(Input::View(client_view(vec![contact(false, Some(key('B')))], None)));
    assert_eq!(window.refuses(trust(key('C'))), CommandErrorCode::OutOfPlace);
    let typed = Command::TrustNewKey { username: "bob".into(), key: "no key".into() };
    assert_eq!(window.refuses(typed), CommandErrorCode::Invalid);
    window.effects();
    window.command(trust(key('B')));
    let told = ToClient::TrustNewKey { username: name("bob"), key: key('B') };
    assert_eq!(window.effects(), [Effect::Tell(told)]);
}
