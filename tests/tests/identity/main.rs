//! A name is a key: the code that both sides see, keys that are remembered and refused, and a server that sits in between.

mod evil;
mod keyring;

use ahoy_tests::harness::Server;
use ahoy_tests::harness::cli::{Cli, Running};

use crate::evil::{Evil, Meddling};

/// The code that a side sees, and whether it takes it for verified.
fn code(running: &Running) -> (String, bool) {
    let event = running.wait_for("code");
    let code = event.text("code").to_owned();
    assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()), "{code:?}");
    (code, event.flag("verified"))
}

fn knowing(server: &str, user: &str, contact: &str) -> Cli {
    Cli::at(server, user).and(&["--contact", contact, "--commands"])
}

/// A short call between two who know each other, so that each has the other's key.
fn meet(alice: &Cli, bob: &Cli) {
    let server = Server::start();
    let [alice, bob] = [alice, bob].map(|cli| cli.clone().with("--server", &server.url()));
    let mut answering = bob.start_signed_in("answer");
    alice.start("call bob --seconds 0.2").ends_with(0);
    answering.ends_with(0);
}

#[test]
fn both_sides_see_the_same_code_and_a_comparison_is_remembered() {
    let server = Server::start();
    let (alice, bob) = (knowing(&server.url(), "alice", "bob"), knowing(&server.url(), "bob", "alice"));
    let mut answering = bob.start_signed_in("answer --calls 3");
    // What the caller says of the code, whether it was verified before, and how the call ends.
    for (nth, (says, verified, ends)) in
        [("codes-match", false, 0), ("codes-differ", true, 1), ("codes-match", false, 0)].into_iter().enumerate()
    {
        let mut calling = alice.start("call bob");
        let (shown, known) = code(&calling);
        assert_eq!(answering.wait_for_nth("code", nth).text("code"), shown);
        assert_eq!(known, verified, "call {nth}");
        calling.wait_for("connected");
        calling.tell(says);
        // A code that differs ends the call by itself.
        if ends == 0 {
            calling.tell("hang-up");
        }
        calling.ends_with(ends);
        let reason = calling.wait_for("ended").text("reason").to_owned();
        assert_eq!(reason, if ends == 0 { "hangup" } else { "codes_differ" });
        answering.wait_for_nth("ended", nth);
    }
    answering.process().wait(ahoy_tests::harness::DEADLINE);
    assert!(answering.all("code").iter().all(|event| !event.flag("verified")), "the callee never compared");
}

#[test]
fn a_key_that_changed_is_refused_until_the_user_takes_it() {
    let (alice, old) = (knowing("ws://127.0.0.1:1/ws", "alice", "bob"), Cli::at("ws://127.0.0.1:1/ws", "bob"));
    meet(&alice, &old);
    // Bob has lost his key, and the name is free on another server.
    let server = Server::start();
    let (alice, bob) = (alice.with("--server", &server.url()), Cli::new(&server, "bob"));
    let refuses = |alice: &Cli| {
        let mut answering = alice.start_signed_in("answer");
        bob.start("call alice").ends_with(4);
        let changed = answering.wait_for("key_changed");
        answering.process().interrupt();
        let errors = answering.ends_with(4);
        assert!(answering.all("incoming").is_empty());
        (changed.text("known").to_owned(), changed.text("shown").to_owned(), errors)
    };
    let (known, shown, errors) = refuses(&alice);
    assert!(known != shown && errors.contains(&format!("--trust-key bob={shown}")), "{errors}");
    // Another key than the one that is shown changes nothing.
    let trust = |key: &str| alice.clone().and(&["--trust-key", &format!("bob={key}")]);
    refuses(&trust(&known));
    let (_, _, errors) = refuses(&trust(&shown));
    assert!(errors.contains("new key"), "{errors}");
    let mut answering = alice.start_signed_in("answer");
    bob.start("call alice --seconds 0.2").ends_with(0);
    answering.ends_with(0);
    let mut answering = bob.start_signed_in("answer");
    alice.start("call bob --seconds 0.2").ends_with(0);
    answering.ends_with(0);
}

#[test]
fn at_first_contact_a_server_in_between_is_found_by_the_code() {
    let evil = Evil::start(Meddling::Everything);
    let bob = Cli::at(&evil.url(), "bob").start_signed_in("answer");
    let mut alice = Cli::at(&evil.url(), "alice").and(&["--commands"]).start("call bob");
    alice.wait_for("connected");
    let (there, here) = (code(&bob), code(&alice));
    assert_ne!(here.0, there.0, "nobody would notice");
    assert!(evil.has_listened(), "the server was in between");
    alice.tell("codes-differ");
    alice.ends_with(1);
}

#[test]
fn a_pinned_callee_notices_a_server_in_between_before_it_rings() {
    let (alice, bob) = (knowing("ws://127.0.0.1:1/ws", "alice", "bob"), knowing("ws://127.0.0.1:1/ws", "bob", "alice"));
    meet(&alice, &bob);
    let evil = Evil::start(Meddling::Everything);
    let answering = bob.with("--server", &evil.url()).start_signed_in("answer");
    alice.with("--server", &evil.url()).start("call bob").ends_with(4);
    answering.wait_for("key_changed");
    answering.wait_for("refused");
    assert!(answering.all("incoming").is_empty(), "it does not ring");
}

#[test]
fn a_pinned_caller_notices_a_server_in_between_before_media_flow() {
    let (alice, bob) = (knowing("ws://127.0.0.1:1/ws", "alice", "bob"), knowing("ws://127.0.0.1:1/ws", "bob", "alice"));
    meet(&alice, &bob);
    let evil = Evil::start(Meddling::Everything);
    // A new installation of Bob's with his old key: it knows nobody, so it takes the server's word.
    let bob = bob.second_device().with("--server", &evil.url());
    let _answering = bob.start_signed_in("answer");
    let mut calling = alice.with("--server", &evil.url()).start("call bob");
    calling.ends_with(4);
    assert_eq!(calling.wait_for("ended").text("reason"), "key_changed");
    assert!(calling.all("connected").is_empty() && calling.all("code").is_empty());
}

#[test]
fn fingerprints_that_are_swapped_without_a_new_signature_are_refused() {
    let evil = Evil::start(Meddling::Unsigned);
    let answering = Cli::at(&evil.url(), "bob").start_signed_in("answer");
    Cli::at(&evil.url(), "alice").start("call bob").ends_with(4);
    answering.wait_for("refused");
    assert!(answering.all("incoming").is_empty() && answering.all("key_changed").is_empty());
}

#[test]
fn guests_find_a_server_in_between_by_the_code_alone() {
    let evil = Evil::start(Meddling::Everything);
    let guest = |name: &str| Cli::at(&evil.url(), name).and(&["--guest"]);
    let answering = guest("guest-yan").start_signed_in("answer");
    let calling = guest("guest-zoe").start("call guest-yan");
    calling.wait_for("connected");
    assert_ne!(code(&calling).0, code(&answering).0);
    assert!(evil.has_listened());
}

#[test]
fn a_server_that_passes_everything_on_changes_no_code() {
    let evil = Evil::start(Meddling::Nothing);
    let guest = |name: &str| Cli::at(&evil.url(), name).and(&["--guest"]);
    let answering = guest("guest-yan").start_signed_in("answer");
    let calling = guest("guest-zoe").start("call guest-yan");
    assert_eq!(code(&calling), code(&answering));
    assert!(!evil.has_listened());
}

#[test]
fn a_name_is_taken_to_another_machine_by_its_recovery_phrase() {
    let server = Server::start();
    let old = Cli::new(&server, "bob");
    let mut nobody = old.start("identity export");
    assert!(nobody.ends_with(1).contains("no key"));
    assert!(nobody.process().output().is_empty());
    let mut bob = old.start_signed_in("answer");
    let phrase = phrase_of(&old);
    bob.process().interrupt();
    bob.ends_with(4);
    let new = Cli::new(&server, "bob");
    let mut mistaken = restore(&new, &phrase.replacen(' ', " ahoy ", 1));
    assert!(mistaken.ends_with(1).contains("24 words"));
    restore(&new, &phrase).ends_with(0);
    assert_eq!(phrase_of(&new), phrase);
    let mut bob = new.start_signed_in("answer");
    bob.process().interrupt();
    bob.ends_with(4);
    // Whoever signs in before they think of the phrase is refused, with a key that nobody knows; it does not stand in the way.
    let hasty = Cli::new(&server, "bob");
    hasty.start("echo").ends_with(3);
    assert_ne!(phrase_of(&hasty), phrase);
    restore(&hasty, &phrase).ends_with(0);
    assert_eq!(phrase_of(&hasty), phrase);
    // Whoever is known to a server by another key keeps it.
    let elsewhere = Server::start();
    let another = Cli::new(&elsewhere, "bob");
    let mut running = another.start_signed_in("answer");
    running.process().interrupt();
    running.ends_with(4);
    let errors = restore(&another, &phrase).ends_with(1);
    assert!(errors.contains("another key"), "{errors}");
    assert_ne!(phrase_of(&another), phrase);
}

#[test]
fn a_new_name_gets_in_by_its_invitation() {
    let server = Server::start_with(&["--registration", "invite"]);
    let bob = Cli::new(&server, "bob");
    assert!(bob.start("answer").ends_with(3).contains("need an invitation"));
    assert!(bob.clone().with("--invite", "guessed").start("answer").ends_with(3).contains("wrong, used up or too old"));
    for bob in [bob.clone().with("--invite", &server.invitation()), bob] {
        let mut bob = bob.start_signed_in("answer");
        bob.process().interrupt();
        bob.ends_with(4);
    }
}

#[test]
fn who_calls_somebody_with_a_new_key_reads_what_to_do_and_so_do_they() {
    let (alice, old) = (knowing("ws://127.0.0.1:1/ws", "alice", "bob"), Cli::at("ws://127.0.0.1:1/ws", "bob"));
    meet(&alice, &old);
    // Bob has lost his key. Alice signs for the old one, which nobody has any more.
    let server = Server::start();
    let (alice, bob) = (alice.with("--server", &server.url()), Cli::new(&server, "bob"));
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob");
    let read = calling.ends_with(4);
    assert!(read.contains("refused the call") && read.contains("new key") && read.contains("call you"), "{read}");
    assert!(!read.contains("failed on their side"), "{read}");
    answering.wait_for("refused");
    answering.process().interrupt();
    let read = answering.ends_with(4);
    assert!(read.contains("if your key is new") && read.contains("call them"), "{read}");
    // Both did as they read.
    let mut answering = alice.start_signed_in("answer");
    bob.start("call alice").ends_with(4);
    let shown = answering.wait_for("key_changed").text("shown").to_owned();
    answering.process().interrupt();
    answering.ends_with(4);
    let trusting = alice.clone().and(&["--trust-key", &format!("bob={shown}")]);
    let mut answering = trusting.start_signed_in("answer");
    bob.start("call alice").ends_with(4);
    answering.wait_for("key_changed");
    answering.process().interrupt();
    answering.ends_with(4);
    let mut answering = bob.start_signed_in("answer");
    alice.start("call bob --seconds 0.2").ends_with(0);
    answering.ends_with(0);
}

fn phrase_of(cli: &Cli) -> String {
    let mut export = cli.start("identity export");
    export.ends_with(0);
    let output = export.process().output().join("\n");
    assert_eq!(output.split_whitespace().count(), 24);
    output
}

fn restore(cli: &Cli, phrase: &str) -> Running {
    // `--commands` is what makes the harness keep standard input open.
    let mut running = cli.clone().and(&["--commands"]).start("identity restore");
    running.tell(phrase);
    running.process().close_input();
    running
}

#[test]
fn the_logs_of_a_whole_call_hold_no_secret() {
    let server = Server::start();
    let loud = [("AHOY_LOG", "debug,ahoy_client=trace,ahoy_call=trace,ahoy_protocol=trace".into())];
    let people = ["alice", "bob"].map(|name| Cli::new(&server, name).with_environment(loud.clone()));
    let [alice, bob] = &people;
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob --seconds 0.5");
    let (code, _) = code(&calling);
    let mut told = calling.ends_with(0) + &answering.ends_with(0);
    assert!(told.contains("verification code"), "the logs are there: {told:.2000}");
    // Behind the time, and not as a part of a longer number: six digits are soon found by chance.
    let after_time = told.lines().filter_map(|line| line.split_once(' ')).map(|(_, rest)| rest);
    let has_code = |line: &str| line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code);
    assert!(!after_time.into_iter().any(has_code), "the code is for the two people");
    told += &[calling.process().output(), answering.process().output()].concat().join("\n");
    for (name, person) in ["alice", "bob"].into_iter().zip(&people) {
        let secret = std::fs::read(person.file(name).join("identity.key")).expect("everybody has a key");
        for form in evil::forms_of(&secret) {
            assert!(!told.contains(&form), "{name}'s secret is in the logs");
        }
        assert!(!told.contains(&phrase_of(person)), "{name}'s phrase is in the logs");
    }
}
