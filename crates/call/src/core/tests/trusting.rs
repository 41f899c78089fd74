//! Keys and the verification code (section 5, "Proof", and section 9).

use ahoy_protocol::control::ControlMessage;
use ahoy_protocol::description::{DescriptionKind, ProofError, hash};
use ahoy_protocol::identity::{Binary, IdentityKey};
use ahoy_protocol::signal::CloseReason;
use ahoy_protocol::verification::{Code, Nonces, Party, Verify, commit};

use super::bench::{Bench, CONNECTED, device, id, key, name, opening, sdp, signed};
use crate::{Command, EndReason, Event, PeerCommand, PeerInput, Pin, RefusedReason, Trust, UnsignedDescription};

fn pins(bench: &Bench) -> Vec<(String, Pin)> {
    let pins = bench.events().into_iter().filter_map(|event| match event {
        Event::Pin { username, pin } => Some((username.to_string(), *pin)),
        _ => None,
    });
    pins.collect()
}

fn pin_of(user: &str, verified: bool) -> (String, Pin) {
    (user.into(), Pin { key: key(user).unwrap().public(), verified })
}

fn words(bench: &Bench) -> Vec<Verify> {
    let words = bench.commands().into_iter().filter_map(|command| match command {
        PeerCommand::SendControl(ControlMessage::Verify(word)) => Some(*word),
        _ => None,
    });
    words.collect()
}

fn codes(bench: &Bench) -> Vec<(Code, bool)> {
    let codes = bench.events().into_iter().filter_map(|event| match event {
        Event::Code { code, verified, .. } => Some((*code, *verified)),
        _ => None,
    });
    codes.collect()
}

fn hear(bench: &mut Bench, word: Verify) {
    bench.peer(id(1), PeerInput::Control(ControlMessage::Verify(word)));
}

/// An opening offer in Bob's name, well signed with another key.
fn by_another(call: u8) -> ahoy_protocol::signal::Signal {
    let description = UnsignedDescription {
        call: id(call),
        kind: DescriptionKind::Offer,
        n: 0,
        sdp: sdp("theirs"),
        video: None,
        name: None,
        receiver: name("alice"),
        receiver_key: None,
        offer: None,
    };
    description.sign(&name("bob"), Some(&IdentityKey::from_secret(&[99; 32])))
}

#[test]
fn an_offer_that_does_not_ring_makes_nobody_known() {
    let mut bench = Bench::new();
    bench.offered_by(&device("bob", 1), opening("bob", id(1)), 1, 90_000);
    assert!(matches!(bench.events()[..], [Event::Missed { .. }]), "no key is learned from what waited too long");
    bench.offered("carol", id(2), 1);
    bench.offered_by(&device("bob", 1), opening("bob", id(3)), 1, 0);
    assert_eq!(pins(&bench), [], "nor from a call during another");
}

#[test]
fn a_stranger_who_calls_and_becomes_a_contact_is_pinned_in_that_call() {
    // Before the user accepts, and after.
    for accepts_first in [false, true] {
        let mut bench = Bench::new();
        bench.offered("carol", id(1), 1);
        assert_eq!(pins(&bench), [], "a stranger is not known by anything");
        if accepts_first {
            bench.command(Command::Accept { call: id(1), video: true });
        }
        bench.command(Command::SetContacts([name("bob"), name("carol")].into()));
        assert_eq!(pins(&bench), [pin_of("carol", false)]);
        assert_eq!(bench.core.view().call.unwrap().trust, Some(Trust::Contact));
        bench.command(Command::SetContacts([name("bob"), name("carol")].into()));
        assert_eq!(pins(&bench), [], "once");
    }
}

#[test]
fn a_stranger_who_is_called_and_becomes_a_contact_is_pinned_in_that_call() {
    // Before the answer, and after.
    for answers_first in [false, true] {
        let mut bench = Bench::new();
        bench.command(Command::Dial { call: id(1), to: name("carol"), video: true });
        bench.made(id(1), "ours");
        let to = vec![device("carol", 1)];
        bench.receive(ahoy_protocol::message::ServerMessage::Relayed(ahoy_protocol::message::Relayed {
            call: id(1),
            to,
        }));
        let answer = signed("carol", id(1), DescriptionKind::Answer, 0, sdp("theirs"), Some(hash(&sdp("ours"))));
        if answers_first {
            bench.signal(&device("carol", 1), answer.clone());
            assert_eq!(pins(&bench), []);
        }
        bench.command(Command::SetContacts([name("carol")].into()));
        if !answers_first {
            assert_eq!(pins(&bench), [], "nothing was proven yet");
            bench.signal(&device("carol", 1), answer);
        }
        assert_eq!(pins(&bench), [pin_of("carol", false)]);
    }
}

#[test]
fn a_guest_is_never_pinned() {
    let mut bench = Bench::new();
    bench.offered("guest-zoe", id(1), 1);
    bench.command(Command::SetContacts([name("guest-zoe")].into()));
    assert_eq!(pins(&bench), []);
    assert_eq!(bench.core.view().call.unwrap().trust, Some(Trust::Guest));
}

#[test]
fn a_changed_key_is_shown_and_taken_only_when_the_user_says_so() {
    let mut bench = Bench::ringing(id(1));
    bench.command(Command::Decline { call: id(1) });
    let (known, shown) = (key("bob").unwrap().public(), IdentityKey::from_secret(&[99; 32]).public());
    bench.command(Command::TrustNewKey { username: name("bob"), key: shown });
    assert_eq!(bench.events(), [] as [&Event; 0], "no other key was shown yet");
    bench.offered_by(&device("bob", 2), by_another(2), 1, 0);
    let changed = Event::KeyChanged { username: name("bob"), known, shown };
    let reason = RefusedReason::Proof(ProofError::KeyChanged);
    assert_eq!(bench.events(), [&changed, &Event::Refused { call: id(2), from: name("bob"), reason }]);
    assert_eq!(bench.core.view().contacts[0].shown_key, Some(shown));
    bench.command(Command::TrustNewKey { username: name("bob"), key: Binary([5; 32]) });
    assert_eq!(bench.events(), [] as [&Event; 0], "that was not shown");
    bench.offered_by(&device("bob", 2), by_another(3), 1, 0);
    assert_eq!(bench.call(), None, "asking again changes nothing");
    bench.command(Command::TrustNewKey { username: name("bob"), key: shown });
    assert_eq!(pins(&bench), [("bob".to_owned(), Pin::unverified(shown))]);
    bench.offered_by(&device("bob", 2), by_another(4), 1, 0);
    assert_eq!(bench.call(), Some(id(4)), "now it rings");
    bench.command(Command::Decline { call: id(4) });
    bench.offered_by(&device("bob", 1), opening("bob", id(5)), 1, 0);
    assert_eq!(bench.call(), None, "and the old key is the other one");
}

#[test]
fn a_key_that_its_owner_did_not_sign_with_is_not_shown() {
    let mut bench = Bench::ringing(id(1));
    bench.command(Command::Decline { call: id(1) });
    let forged = match by_another(2) {
        ahoy_protocol::signal::Signal::Offer(offer) => {
            ahoy_protocol::signal::Signal::Offer(ahoy_protocol::signal::Offer { key: Some(Binary([98; 32])), ..offer })
        }
        other => other,
    };
    bench.offered_by(&device("bob", 2), forged, 1, 0);
    assert_eq!(bench.core.view().contacts[0].shown_key, None);
}

/// What Bob's side of the code is made of.
fn bob(nonce: u8) -> Party {
    Party { nonce: Binary([nonce; 32]), key: Some(key("bob").unwrap().public()), certificate: [0xAB; 32] }
}

fn alice(nonce: ahoy_protocol::verification::Nonce) -> Party {
    Party { nonce, key: Some(key("alice").unwrap().public()), certificate: [0xAB; 32] }
}

#[test]
fn a_caller_commits_itself_and_opens_its_word_after_the_callees() {
    let mut bench = Bench::in_own_call(id(1));
    let nonce = Nonces::new([1; 32]).next_nonce();
    assert_eq!(words(&bench), [Verify::Commit(commit(&nonce))]);
    hear(&mut bench, Verify::Nonce(Binary([7; 32])));
    assert_eq!(words(&bench), [Verify::Nonce(nonce)]);
    let code = Code::of(&alice(nonce), &bob(7));
    assert_eq!(codes(&bench), [(code, false)]);
    assert_eq!(bench.core.view().call.unwrap().code, Some(code));
    hear(&mut bench, Verify::Nonce(Binary([8; 32])));
    assert_eq!(bench.out, [], "once a call");
}

#[test]
fn a_callee_answers_the_commit_and_ends_the_call_when_the_nonce_does_not_fit() {
    for fits in [true, false] {
        let mut bench = Bench::in_call(id(1));
        assert_eq!(words(&bench), [], "the caller begins");
        hear(&mut bench, Verify::Commit(commit(&Binary([7; 32]))));
        let nonce = Nonces::new([1; 32]).next_nonce();
        assert_eq!(words(&bench), [Verify::Nonce(nonce)]);
        hear(&mut bench, Verify::Nonce(Binary([if fits { 7 } else { 8 }; 32])));
        if fits {
            assert_eq!(codes(&bench), [(Code::of(&bob(7), &alice(nonce)), false)]);
        } else {
            assert_eq!(bench.ended(), Some(&EndReason::CodeBroken));
            assert_eq!(bench.closes(), [(device("bob", 1).to_string(), CloseReason::Failed)]);
        }
    }
}

#[test]
fn nothing_is_said_of_the_code_before_the_user_accepts() {
    let mut bench = Bench::ringing(id(1));
    bench.made(id(1), "ours");
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    bench.peer(id(1), PeerInput::ControlOpened);
    hear(&mut bench, Verify::Commit(commit(&Binary([7; 32]))));
    assert_eq!(words(&bench), []);
    bench.command(Command::Accept { call: id(1), video: true });
    assert_eq!(words(&bench).len(), 1);
}

#[test]
fn a_compared_code_is_remembered_until_the_key_or_the_users_mind_changes() {
    let mut bench = Bench::in_own_call(id(1));
    bench.command(Command::CodeCompared { call: id(1), same: true });
    assert_eq!(pins(&bench), [], "there is no code yet");
    hear(&mut bench, Verify::Nonce(Binary([7; 32])));
    bench.command(Command::CodeCompared { call: id(1), same: true });
    assert_eq!(pins(&bench), [pin_of("bob", true)]);
    assert!(bench.core.view().contacts[0].verified);
    bench.command(Command::HangUp { call: id(1) });
    bench.offered("bob", id(2), 1);
    bench.command(Command::Accept { call: id(2), video: true });
    bench.made(id(2), "ours");
    bench.peer(id(2), PeerInput::ControlOpened);
    let say = |bench: &mut Bench, word| bench.peer(id(2), PeerInput::Control(ControlMessage::Verify(word)));
    say(&mut bench, Verify::Commit(commit(&Binary([9; 32]))));
    say(&mut bench, Verify::Nonce(Binary([9; 32])));
    assert!(matches!(codes(&bench)[..], [(_, true)]), "the next call knows");
    bench.command(Command::CodeCompared { call: id(2), same: false });
    assert_eq!(pins(&bench), [pin_of("bob", false)]);
    assert_eq!(bench.ended(), Some(&EndReason::CodesDiffer));
}
