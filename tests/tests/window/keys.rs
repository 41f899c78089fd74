//! A name goes from one computer to another by its recovery phrase, as people do it: read off one window, typed into another.

use ahoy_tests::harness::Server;
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::window::Opening;

use crate::people::{signed_in, take_turn};

const WORDS: &str = "return [...document.querySelectorAll('ol[aria-label=\"Recovery phrase\"] li')]
    .map((word) => word.innerText.replace(/[^a-z]/g, '')).join(' ')";

#[test]
fn a_name_is_carried_to_another_window_by_the_words_on_the_first() {
    let _turn = take_turn();
    let (Some(old), Some(new)) = (Desktop::start(), Desktop::start()) else { return };
    let server = Server::start();
    let Some(mut alice) = signed_in(&old, &server, "alice").open("alice") else { return };
    alice.wait_for_screen("home");
    alice.click("Settings");
    alice.click("Show the recovery phrase");
    alice.wait_for_text("I have written them down");
    let words = alice.ask(WORDS).as_str().unwrap_or_default().to_owned();
    assert_eq!(words.split(' ').count(), 24, "{}", alice.text());
    alice.click("Close");
    alice.wait_for_screen("home");
    alice.click("Settings");
    alice.wait_for_text("Show the recovery phrase");
    assert_eq!(alice.ask(WORDS), "", "it is gone when somebody looked away");
    let told = alice.app().process().output().join("\n") + &alice.app().process().errors();
    assert!(told.contains("signed_in") && !told.contains(&words), "the words are nobody else's");
    drop(alice);

    let Some(alice) = Opening::new(&new).open("alice's new computer") else { return };
    alice.write("Your name", "alice");
    alice.write("Server", &server.url());
    alice.click("I have a recovery phrase");
    alice.write("Recovery phrase", &words.replacen(' ', " ahoy ", 1));
    alice.click("Restore the key");
    alice.wait_for_text("these are 25");
    alice.write("Recovery phrase", &words);
    alice.click("Restore the key");
    alice.wait_for_text("The key of alice is on this computer now");
    alice.click("Sign in");
    alice.wait_for_screen("home");
    alice.wait_for_nth("signed_in", 0);
}
