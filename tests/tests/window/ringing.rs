//! What happens where nobody looks at the window: it rings all the same.

use ahoy_tests::harness::DEADLINE;
use ahoy_tests::harness::Server;
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::process::Process;
use ahoy_tests::harness::programs::program;

use crate::people::{peer, signed_in, sources, take_turn};

#[test]
fn a_call_to_a_hidden_window_shows_it_with_a_notification_that_goes_when_the_caller_gives_up() {
    let _turn = take_turn();
    let Some(desktop) = Desktop::start() else { return };
    let server = Server::start();
    let Some(mut alice) = signed_in(&desktop, &server, "alice").and(&["--hidden"]).open("alice") else { return };
    alice.app().wait_for("signed_in");
    assert_eq!(desktop.display.look().painted(), 0, "nothing is on the screen");
    let mut bob = peer(&server, "bob", &sources().turned).start("call alice");
    bob.wait_for("ringing");
    let shown = desktop.bus.wait_for("notification of bob's call", |shown| shown.summary.contains("bob"));
    assert!(!shown.closed, "it stays while it rings: {shown:?}");
    assert!(shown.actions.iter().all(|(_, label)| label != "Answer"), "a stray click does not answer: {shown:?}");
    alice.wait_for("its window on the screen", |_| Ok((desktop.display.look().painted() > 100_000).then_some(())));
    alice.wait_for_screen("incoming");
    bob.process().interrupt();
    desktop.bus.wait_for("end of the notification", |other| other.id == shown.id && other.closed);
    alice.wait_for_screen("home");
    alice.wait_for_text("1 missed call");
}

#[test]
fn a_call_can_be_declined_from_its_notification() {
    let _turn = take_turn();
    let Some(desktop) = Desktop::start() else { return };
    let server = Server::start();
    let Some(alice) = signed_in(&desktop, &server, "alice").open("alice") else { return };
    alice.wait_for_screen("home");
    alice.wait_for_nth("signed_in", 0);
    let mut bob = peer(&server, "bob", &sources().turned).start("call alice");
    let shown = desktop.bus.wait_for("notification of bob's call", |shown| shown.summary.contains("bob"));
    // Nobody presses before they have seen it, and the app listens a moment after it has shown it.
    alice.wait_for_screen("incoming");
    let (action, _) = shown.actions.iter().find(|(_, label)| label == "Decline").expect("it can be declined");
    desktop.bus.press(&shown, action);
    bob.fails_saying(&["declined"]);
    desktop.bus.wait_for("end of the notification", |other| other.id == shown.id && other.closed);
    alice.wait_for_screen("home");
}

#[test]
fn a_second_start_shows_the_window_of_the_first_and_ends() {
    let _turn = take_turn();
    let Some(desktop) = Desktop::start() else { return };
    let server = Server::start();
    let Some(mut alice) = signed_in(&desktop, &server, "alice").and(&["--hidden"]).open("alice") else { return };
    alice.app().wait_for("signed_in");
    assert_eq!(desktop.display.look().painted(), 0, "nothing is on the screen");
    let mut second = Process::start("a second start", &mut desktop.command(program("ahoy")));
    let status = second.wait(DEADLINE);
    assert!(status.success(), "the second start ended with {status}");
    alice.wait_for("its window on the screen", |_| Ok((desktop.display.look().painted() > 100_000).then_some(())));
    assert_eq!(alice.app().all("signed_in").len(), 1, "the first one did nothing but show itself");
}

#[test]
fn another_profile_is_another_person_on_the_same_desktop() {
    let _turn = take_turn();
    let Some(desktop) = Desktop::start() else { return };
    let server = Server::start();
    let Some(alice) = signed_in(&desktop, &server, "alice").open("alice") else { return };
    let Some(bob) = signed_in(&desktop, &server, "bob").and(&["--profile", "bob"]).open("bob") else { return };
    alice.wait_for_nth("signed_in", 0);
    bob.wait_for_nth("signed_in", 0);
    bob.call("alice");
    alice.click("Voice only");
    for window in [&alice, &bob] {
        window.wait_for_nth("connected", 0);
    }
    alice.click("Hang up");
    bob.wait_for_screen("ended");
}
