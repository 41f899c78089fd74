//! The negotiation alone, without its call.

use std::time::Duration;

use ahoy_protocol::description::{DescriptionKind, Expectation, SignedDescription};
use ahoy_protocol::id::CallId;

use super::*;

const NOW: Time = Time::START;

fn sdp(tag: &str) -> String {
    format!("a=fingerprint:sha-256 {}\r\na=ice-ufrag:{tag}\r\n", vec!["AB"; 32].join(":"))
}

/// A guest's description, which needs no signature.
fn proven(kind: DescriptionKind, n: u32, tag: &str) -> ProvenDescription {
    let (maker, receiver) = ("guest-a".parse().unwrap(), "guest-b".parse().unwrap());
    let call = CallId::from_random_bytes([0; 16]);
    let expected = Expectation { call, maker: &maker, receiver: &receiver, offer: None, own_key: None, pinned: None };
    SignedDescription::new(kind, n, sdp(tag), None, None).prove(&expected).unwrap()
}

fn offer(n: u32, tag: &str) -> ProvenDescription {
    proven(DescriptionKind::Offer, n, tag)
}

fn answer(n: u32) -> ProvenDescription {
    proven(DescriptionKind::Answer, n, "answer")
}

fn steps(negotiation: &mut Negotiation) -> Vec<Step> {
    std::iter::from_fn(|| negotiation.next_step()).collect()
}

fn commands(negotiation: &mut Negotiation) -> Vec<PeerCommand> {
    let command = |step| if let Step::Peer(command) = step { Some(command) } else { None };
    steps(negotiation).into_iter().filter_map(command).collect()
}

fn made(negotiation: &mut Negotiation, tag: &str) {
    let serial = Serial(negotiation.last_serial);
    assert!(negotiation.handle_made(NOW, serial, Ok(sdp(tag))));
}

fn applied(negotiation: &mut Negotiation, result: Result<(), String>) {
    let serial = Serial(negotiation.last_serial);
    assert!(negotiation.handle_applied(NOW, serial, result));
}

/// A caller whose opening offer was answered.
fn caller() -> Negotiation {
    let mut negotiation = Negotiation::new(Role::Caller, Timers::default());
    negotiation.open(NOW);
    made(&mut negotiation, "ours");
    negotiation.handle_answer(NOW, answer(0));
    applied(&mut negotiation, Ok(()));
    negotiation.allow_offers(NOW);
    steps(&mut negotiation);
    negotiation
}

/// A callee that has answered the opening offer.
fn callee() -> Negotiation {
    let mut negotiation = Negotiation::new(Role::Callee, Timers::default());
    negotiation.answer_opening(NOW, offer(0, "theirs"));
    made(&mut negotiation, "ours");
    negotiation.allow_offers(NOW);
    steps(&mut negotiation);
    negotiation
}

#[test]
fn numbers_count_the_own_offers_from_0_and_an_answer_repeats_the_one_it_answers() {
    let mut negotiation = Negotiation::new(Role::Caller, Timers::default());
    for n in 0..3 {
        if n == 0 {
            negotiation.open(NOW)
        } else {
            negotiation.want_offer(NOW, false)
        }
        steps(&mut negotiation);
        made(&mut negotiation, "ours");
        assert_eq!(steps(&mut negotiation), [Step::SendOffer { n, sdp: sdp("ours") }]);
        assert_eq!(negotiation.awaited_answer(n), Some(hash(&sdp("ours"))));
        assert_eq!(negotiation.awaited_answer(n + 1), None);
        negotiation.handle_answer(NOW, answer(n));
        assert_eq!(negotiation.awaited_answer(n), None, "the second copy");
        applied(&mut negotiation, Ok(()));
        negotiation.allow_offers(NOW);
    }
    negotiation.handle_offer(NOW, offer(4, "theirs"));
    steps(&mut negotiation);
    assert!(!negotiation.is_new_offer(4) && !negotiation.is_new_offer(3) && negotiation.is_new_offer(5));
    made(&mut negotiation, "answer");
    let sent = Step::SendAnswer { n: 4, sdp: sdp("answer"), offer: hash(&sdp("theirs")) };
    assert_eq!(steps(&mut negotiation), [Step::RemoteApplied, sent]);
}

#[test]
fn an_offer_in_the_making_is_taken_back_for_the_callers() {
    let mut negotiation = callee();
    negotiation.want_offer(NOW, false);
    negotiation.handle_offer(NOW, offer(1, "theirs"));
    negotiation.handle_offer(NOW, offer(2, "newer"));
    steps(&mut negotiation);
    made(&mut negotiation, "ours");
    assert!(matches!(commands(&mut negotiation)[..], [PeerCommand::Rollback { .. }]), "it was never sent");
    applied(&mut negotiation, Ok(()));
    assert!(matches!(&commands(&mut negotiation)[..], [PeerCommand::Answer { offer, .. }] if offer.n() == 2));
    made(&mut negotiation, "answer");
    assert!(matches!(commands(&mut negotiation)[..], [PeerCommand::MakeOffer { .. }]), "and made again");
    made(&mut negotiation, "ours");
    assert!(matches!(steps(&mut negotiation)[..], [Step::SendOffer { n: 0, .. }]));
}

#[test]
fn an_offer_that_could_not_be_made_gives_way_without_a_rollback() {
    let mut negotiation = callee();
    negotiation.want_offer(NOW, false);
    negotiation.handle_offer(NOW, offer(1, "theirs"));
    steps(&mut negotiation);
    let serial = Serial(negotiation.last_serial);
    negotiation.handle_made(NOW, serial, Err("no".into()));
    assert!(matches!(commands(&mut negotiation)[..], [PeerCommand::Answer { .. }]));
}

#[test]
fn an_offer_that_comes_while_an_answer_is_applied_or_made_waits_its_turn() {
    let mut negotiation = caller();
    negotiation.want_offer(NOW, false);
    made(&mut negotiation, "ours");
    negotiation.handle_answer(NOW, answer(1));
    negotiation.handle_offer(NOW, offer(0, "first"));
    steps(&mut negotiation);
    applied(&mut negotiation, Ok(()));
    assert!(matches!(&commands(&mut negotiation)[..], [PeerCommand::Answer { offer, .. }] if offer.n() == 0));
    negotiation.handle_offer(NOW, offer(1, "second"));
    assert_eq!(steps(&mut negotiation), []);
    made(&mut negotiation, "answer");
    assert!(matches!(&commands(&mut negotiation)[..], [PeerCommand::Answer { offer, .. }] if offer.n() == 1));
}

#[test]
fn a_failed_renegotiation_leaves_the_call_as_it_was() {
    let mut not_applied = caller();
    not_applied.want_offer(NOW, false);
    made(&mut not_applied, "ours");
    not_applied.handle_answer(NOW, answer(1));
    steps(&mut not_applied);
    applied(&mut not_applied, Err("no".into()));
    assert!(matches!(steps(&mut not_applied)[..], [Step::RemoteFailed, Step::Peer(PeerCommand::Rollback { .. })]));
    applied(&mut not_applied, Ok(()));
    assert_eq!(steps(&mut not_applied), []);

    let mut not_answered = callee();
    not_answered.handle_offer(NOW, offer(1, "theirs"));
    steps(&mut not_answered);
    let serial = Serial(not_answered.last_serial);
    not_answered.handle_made(NOW, serial, Err("no".into()));
    assert_eq!(steps(&mut not_answered), [Step::RemoteFailed]);

    let mut unheard = caller();
    unheard.want_offer(NOW, false);
    made(&mut unheard, "ours");
    steps(&mut unheard);
    let late = NOW + Duration::from_secs(15);
    assert_eq!(unheard.deadline(), Some(late));
    unheard.handle_deadline(late);
    assert!(matches!(commands(&mut unheard)[..], [PeerCommand::Rollback { .. }]));
    assert_eq!(unheard.awaited_answer(1), None, "it is too late now");
}

#[test]
fn an_unanswered_offer_that_restarts_ice_stands_for_good() {
    let mut negotiation = caller();
    negotiation.want_offer(NOW, true);
    assert_eq!(negotiation.unanswered_restart(), None);
    made(&mut negotiation, "ours");
    assert_eq!((negotiation.deadline(), negotiation.unanswered_restart()), (None, Some((1, sdp("ours")))));
    negotiation.handle_deadline(NOW + Duration::from_hours(1));
    negotiation.handle_offer(NOW, offer(0, "theirs"));
    assert_eq!(negotiation.awaited_answer(1), Some(hash(&sdp("ours"))), "nor does it give way to the callee's");
    negotiation.handle_answer(NOW, answer(1));
    assert_eq!(negotiation.unanswered_restart(), None);
}

#[test]
fn a_rollback_that_fails_or_a_silent_transport_ends_the_call() {
    let mut negotiation = caller();
    negotiation.want_offer(NOW, false);
    made(&mut negotiation, "ours");
    negotiation.handle_deadline(NOW + Duration::from_secs(15));
    applied(&mut negotiation, Err("no".into()));
    assert!(steps(&mut negotiation).contains(&Step::Fail(Failure::Transport("no".into()))));
    let mut silent = caller();
    silent.want_offer(NOW, false);
    steps(&mut silent);
    silent.handle_deadline(NOW + Duration::from_secs(10));
    assert_eq!(steps(&mut silent), [Step::Fail(Failure::TransportSilent)]);
}

#[test]
fn own_offers_wait_until_the_callee_accepted_and_the_first_was_answered() {
    let mut negotiation = Negotiation::new(Role::Caller, Timers::default());
    negotiation.open(NOW);
    negotiation.want_offer(NOW, true);
    negotiation.want_offer(NOW, false);
    made(&mut negotiation, "ours");
    negotiation.handle_answer(NOW, answer(0));
    applied(&mut negotiation, Ok(()));
    steps(&mut negotiation);
    negotiation.allow_offers(NOW);
    let commands = commands(&mut negotiation);
    assert!(matches!(commands[..], [PeerCommand::MakeOffer { ice_restart: true, .. }]), "one for both wishes");
}

#[test]
fn only_a_caller_heeds_restart_and_not_while_one_is_under_way() {
    let mut negotiation = caller();
    assert!(!negotiation.is_restart_asked(1));
    assert!(negotiation.is_restart_asked(0));
    negotiation.want_offer(NOW, true);
    assert!(!negotiation.is_restart_asked(0));
    assert!(matches!(commands(&mut negotiation)[..], [PeerCommand::MakeOffer { ice_restart: true, .. }]));
    assert!(!negotiation.is_restart_asked(0));
    let other = callee();
    assert_eq!(other.restart_n(), Some(0));
    assert!(!other.is_restart_asked(0));
}
