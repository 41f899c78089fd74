//! The key in the system's keyring: a real Secret Service, which comes, goes, is locked and stands still.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ahoy_tests::harness::cli::Cli;
use ahoy_tests::harness::keyring::Keyring;
use ahoy_tests::harness::{DEADLINE, Server};

use crate::{phrase_of, restore};

/// A fresh installation that uses the keyring.
fn user_of(keyring: &Keyring, server: &Server, name: &str) -> Cli {
    Cli::new(server, name).with("--keyring", "on").with_environment(keyring.environment())
}

/// Signs in and out again.
#[track_caller]
fn signs_in(cli: &Cli) {
    let mut running = cli.start_signed_in("answer");
    running.process().interrupt();
    running.ends_with(4);
}

/// Fails to start, in these words, and makes no key.
#[track_caller]
fn is_refused(cli: &Cli, name: &str, words: &[&str]) {
    let errors = cli.start("echo").ends_with(1);
    for word in words {
        assert!(errors.contains(word), "no {word:?} in {errors:?}");
    }
    assert!(!cli.file(name).join("identity.key").exists(), "a key was made: {errors}");
}

/// The first sign-in puts the key there when the server has said yes, while the program goes on.
#[track_caller]
fn wait_for_file(file: &Path) {
    let deadline = Instant::now() + DEADLINE;
    while !file.exists() {
        assert!(Instant::now() < deadline, "the key stays in its file");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The phrase of a key that is in the keyring and nowhere else: the file goes when the keyring gave the key back a second time.
#[track_caller]
fn settled(cli: &Cli, name: &str) -> String {
    let phrase = phrase_of(cli);
    assert_eq!(phrase_of(cli), phrase);
    assert!(!cli.file(name).join("identity.key").exists(), "the key is still in its file");
    phrase
}

/// Whether any file below holds these bytes.
fn holds(folder: &Path, wanted: &[u8]) -> bool {
    let mut paths = fs::read_dir(folder).expect("the folder is there").flatten().map(|entry| entry.path());
    paths.any(|path| {
        if path.is_dir() {
            return holds(&path, wanted);
        }
        // Not a file: a socket of the keyring's.
        fs::read(&path).is_ok_and(|bytes| bytes.windows(wanted.len()).any(|part| part == wanted))
    })
}

#[test]
fn the_first_sign_in_puts_the_key_into_the_keyring_and_the_next_finds_it() {
    let Some(keyring) = Keyring::unlocked() else { return };
    let server = Server::start();
    let alice = user_of(&keyring, &server, "alice");
    let mut running = alice.start_signed_in("answer");
    wait_for_file(&alice.file("alice/identity.where"));
    // Until it came back from there once more: the keyring may not have written it yet.
    assert!(alice.file("alice/identity.key").exists());
    running.process().interrupt();
    running.ends_with(4);
    let phrase = phrase_of(&alice);
    assert!(!alice.file("alice/identity.key").exists());
    // The server knows the name by that key.
    signs_in(&alice);
    assert_eq!(phrase_of(&alice), phrase);
    // Neither as bytes nor as words is it in a file.
    let elsewhere = Cli::new(&server, "alice");
    restore(&elsewhere, &phrase).ends_with(0);
    let secret = fs::read(elsewhere.file("alice/identity.key")).expect("it was restored there");
    assert!(!holds(&alice.file("."), &secret) && !holds(&alice.file("."), phrase.as_bytes()));
}

#[test]
fn without_its_keyring_a_key_is_refused_and_none_is_made_and_it_is_the_same_afterwards() {
    let Some(mut keyring) = Keyring::unlocked() else { return };
    let server = Server::start();
    let alice = user_of(&keyring, &server, "alice");
    signs_in(&alice);
    let phrase = settled(&alice, "alice");
    keyring.end();
    is_refused(&alice, "alice", &["alice", "cannot be reached", "desktop", "recovery phrase"]);
    // What the command line says changes nothing about where the key is.
    is_refused(&alice.clone().with("--keyring", "off"), "alice", &["cannot be reached"]);
    keyring.lock();
    is_refused(&alice, "alice", &["alice", "keyring", "recovery phrase"]);
    keyring.end();
    keyring.unlock();
    signs_in(&alice);
    assert_eq!(phrase_of(&alice), phrase);
}

#[test]
fn a_keyring_that_stands_still_is_told_within_its_deadline() {
    let Some(keyring) = Keyring::unlocked() else { return };
    let server = Server::start();
    let (alice, carol) = (user_of(&keyring, &server, "alice"), user_of(&keyring, &server, "carol"));
    signs_in(&alice);
    let phrase = settled(&alice, "alice");
    keyring.freeze();
    is_refused(&alice, "alice", &["does not answer", "unlock it"]);
    // It may have a key of hers: none is made while that is not known.
    is_refused(&carol, "carol", &["does not answer"]);
    keyring.thaw();
    assert_eq!(phrase_of(&alice), phrase);
    signs_in(&carol);
}

#[test]
fn where_there_is_no_keyring_the_key_is_in_its_file_and_moves_once_there_is_one() {
    let Some(mut keyring) = Keyring::absent() else { return };
    let server = Server::start();
    let alice = user_of(&keyring, &server, "alice");
    signs_in(&alice);
    let file = alice.file("alice/identity.key");
    assert_eq!(fs::read(&file).expect("the key is there").len(), 32);
    let phrase = phrase_of(&alice);
    keyring.unlock();
    for _ in 0..2 {
        assert_eq!(phrase_of(&alice), phrase);
    }
    assert!(!file.exists(), "it has moved");
    signs_in(&alice);
    assert_eq!(phrase_of(&alice), phrase);
    // A folder that was lost, all but its place: the keyring knows the key still.
    fs::remove_dir_all(alice.file("alice")).expect("the folder is ours");
    signs_in(&alice);
    assert_eq!(phrase_of(&alice), phrase);
}

#[test]
fn a_key_that_the_keyring_lost_is_restored_and_another_is_not_taken_in_its_place() {
    let Some(mut keyring) = Keyring::unlocked() else { return };
    let server = Server::start();
    let (alice, bob) = (user_of(&keyring, &server, "alice"), user_of(&keyring, &server, "bob"));
    signs_in(&alice);
    signs_in(&bob);
    let (phrase, of_bob) = (settled(&alice, "alice"), settled(&bob, "bob"));
    assert_ne!(phrase, of_bob, "two names of one keyring");
    let errors = restore(&alice, &of_bob).ends_with(1);
    assert!(errors.contains("another key"), "{errors}");
    // While it is away nobody can know what it has; the name of the key is known, and no other is taken.
    keyring.end();
    assert!(restore(&alice, &of_bob).ends_with(1).contains("another key"));
    restore(&alice, &phrase).ends_with(0);
    signs_in(&alice);
    assert!(alice.file("alice/identity.key").exists());
    // It comes back without its keys.
    let lost = keyring.environment().into_iter().find(|(name, _)| *name == "XDG_DATA_HOME").expect("set").1;
    fs::remove_dir_all(lost.join("keyrings")).expect("the folder is ours");
    keyring.unlock();
    is_refused(&bob, "bob", &["has it no more", "recovery phrase"]);
    restore(&bob, &of_bob).ends_with(0);
    for (name, cli, phrase) in [("alice", &alice, &phrase), ("bob", &bob, &of_bob)] {
        signs_in(cli);
        assert_eq!(settled(cli, name), *phrase, "{name}'s is in the keyring again");
    }
}
