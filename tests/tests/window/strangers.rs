//! What others call themselves is shown as it is written, and does nothing.

use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::peer::{new_call, text};
use ahoy_tests::harness::sdp::Endpoint;
use ahoy_tests::harness::{Peer, Server};
use serde_json::json;

use crate::people::{signed_in, take_turn};

/// Of the longest that a name may be.
const NAME: &str = "<img src=x onerror=\"document.title='taken'\">";

/// What would turn round what stands after it, and a line of its own.
const HIDDEN: &str = "\u{202e}\u{2066}\r\n\u{0}";

#[test]
fn a_name_with_markup_in_it_is_only_text() {
    let _turn = take_turn();
    let Some(desktop) = Desktop::start() else { return };
    let server = Server::start();
    let Some(alice) = signed_in(&desktop, &server, "alice").open("alice") else { return };
    alice.wait_for_nth("signed_in", 0);
    let mut mallory = Peer::guest(&server, "guest-mallory");
    let call = new_call();
    let name = format!("{HIDDEN}{NAME}");
    mallory.send(&json!({"type": "offer", "call": call, "to": "alice", "n": 0, "sdp": Endpoint::new().offer(),
        "video": true, "name": name}));
    alice.wait_for_screen("incoming");
    alice.wait_for_text("guest-mallory");
    alice.wait_for_text(NAME);
    let notification = desktop.bus.wait_for("notification", |shown| shown.summary.contains("guest-mallory"));
    assert!(!(notification.summary + &notification.body).contains('<'), "a desktop may read markup");
    assert_is_only_text(&alice);
    mallory.close(&call, "alice", "cancelled");
    alice.wait_for_screen("home");
    assert_is_only_text(&alice);
}

#[test]
fn an_answering_stranger_cannot_write_more_than_text_either() {
    let _turn = take_turn();
    let Some(desktop) = Desktop::start() else { return };
    let server = Server::start();
    let Some(alice) = signed_in(&desktop, &server, "alice").open("alice") else { return };
    alice.wait_for_nth("signed_in", 0);
    let mut mallory = Peer::guest(&server, "guest-mallory");
    alice.call("guest-mallory");
    let offer = mallory.expect("offer");
    mallory.send(&json!({"type": "progress", "call": offer["call"], "to": offer["from"], "state": "ringing",
        "device": NAME}));
    alice.wait_for_text("Ringing");
    assert_is_only_text(&alice);
    mallory.close(text(&offer, "call"), text(&offer, "from"), NAME);
    mallory.close(text(&offer, "call"), text(&offer, "from"), "declined");
    alice.wait_for_screen("ended");
    assert_is_only_text(&alice);
}

/// Nothing of what a stranger wrote became part of the page, or ran.
#[track_caller]
fn assert_is_only_text(window: &ahoy_tests::harness::window::Window) {
    let theirs = window.ask("return document.querySelectorAll('img[src=x], [onerror]').length");
    assert_eq!(theirs, 0, "markup of a stranger is in the page");
    assert_ne!(window.ask("return document.title"), "taken", "a script of a stranger ran");
    let text = window.text();
    assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{0}']), "invisible characters of a stranger: {text:?}");
}
