//! The callee's side, until the user accepted.

use std::time::Duration;

use ahoy_protocol::description::{DescriptionKind, ProofError, hash};
use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::signal::{Answer, Close, CloseReason, Offer, Progress, ProgressState, Restart, Signal};

use super::bench::{
    Bench, CONNECTED, candidate, candidate_signal, close, device, id, key, name, opening, progress, renegotiating, sdp,
    signed,
};
use crate::{
    Command, EndReason, Event, Failure, Output, PathState, PeerCommand, PeerInput, RefusedReason, Side, Trust,
};

#[test]
fn an_opening_offer_rings_and_says_so_with_the_devices_name_to_a_contact_only() {
    for (maker, trust, device_name) in
        [("bob", Trust::Contact, Some("laptop")), ("carol", Trust::Stranger, None), ("guest-c", Trust::Guest, None)]
    {
        let mut bench = Bench::new();
        bench.offered(maker, id(1), 1);
        let device_name = device_name.map(str::to_owned);
        let ringing = Progress { call: id(1), state: ProgressState::Ringing, device: device_name, video: None };
        assert_eq!(bench.sent(), [(device(maker, 1).to_string(), &Signal::Progress(ringing))]);
        let (call, from, name) = (id(1), device(maker, 1), Some("Bob".to_owned()));
        let incoming = Event::Incoming { call, from, name, video: true, trust };
        assert!(bench.events().contains(&&incoming), "{:?}", bench.events());
    }
}

#[test]
fn to_a_caller_that_is_no_contact_nothing_but_progress_and_close_leaves_before_the_user_accepts() {
    for maker in ["carol", "guest-c"] {
        let mut bench = Bench::new();
        bench.offered(maker, id(1), 1);
        assert_eq!((bench.commands().len(), bench.descriptions().len(), bench.sent().len()), (0, 0, 1));
        bench.signal(&device(maker, 1), candidate_signal(id(1), "theirs", 1));
        assert_eq!(bench.out, [], "the transport does not even hear of it");
        bench.command(Command::Accept { call: id(1), video: false });
        let Signal::Progress(accepted) = bench.sent()[0].1.clone() else { panic!("{:?}", bench.out) };
        assert_eq!((accepted.state, accepted.video), (ProgressState::Accepted, Some(false)));
        let commands = bench.commands();
        assert!(matches!(commands[..], [PeerCommand::Open, PeerCommand::Answer { .. }, PeerCommand::AddCandidate(_)]));
        bench.made(id(1), "ours");
        assert_eq!(bench.descriptions()[0].1.kind, DescriptionKind::Answer);
    }
}

#[test]
fn a_contact_at_an_only_device_is_answered_early() {
    let mut bench = Bench::ringing(id(1));
    assert!(matches!(bench.commands()[..], [PeerCommand::Open, PeerCommand::Answer { .. }]));
    bench.made(id(1), "ours");
    let (_, answer) = bench.descriptions()[0].clone();
    let binds = (DescriptionKind::Early, 0, Some(hash(&sdp("theirs"))), key("bob").map(|key| key.public()));
    assert_eq!((answer.kind, answer.n, answer.offer, answer.receiver_key), binds);
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    bench.peer(id(1), PeerInput::ControlOpened);
    assert_eq!(bench.out, [], "nothing is sent or played while it rings");
    bench.command(Command::Accept { call: id(1), video: true });
    assert!(bench.sends(), "accepting is instant");
    let over_control = bench.commands().into_iter().any(|c| matches!(c, PeerCommand::SendControl(_)));
    assert!(over_control, "the caller waits for this word");
}

#[test]
fn no_early_answer_with_several_devices_or_without_the_application_section() {
    let mut several = Bench::new();
    several.offered("bob", id(1), 2);
    assert!(several.commands().is_empty());
    let mut bare = Bench::new();
    let offer = sdp("theirs").replace("m=application 9\r\n", "");
    bare.offered_by(&device("bob", 1), signed("bob", id(1), DescriptionKind::Offer, 0, offer, None), 1, 0);
    assert!(bare.commands().is_empty());
    let mut held = Bench::ringing(id(1));
    let serial = held.last_serial();
    let answer = sdp("ours").replace("m=application 9\r\n", "");
    held.peer(id(1), PeerInput::Made { serial, result: Ok(answer) });
    held.peer(id(1), PeerInput::Candidate(candidate("ours", 1)));
    assert_eq!(held.out, [], "the own answer lacks the section: it waits, and its candidates too");
    held.command(Command::Accept { call: id(1), video: true });
    assert_eq!(held.descriptions()[0].1.kind, DescriptionKind::Answer);
    assert_eq!(held.sent().len(), 2, "accepted, and the candidate");
}

#[test]
fn an_answer_that_was_in_the_making_when_the_user_accepted_is_not_early() {
    let mut bench = Bench::ringing(id(1));
    bench.command(Command::Accept { call: id(1), video: true });
    assert!(bench.commands().is_empty());
    bench.made(id(1), "ours");
    assert_eq!(bench.descriptions()[0].1.kind, DescriptionKind::Answer);
}

#[test]
fn an_opening_offer_that_fails_proof_does_not_ring_and_is_answered_with_failed() {
    let unsigned = |signal| match signal {
        Signal::Offer(offer) => Signal::Offer(Offer { signature: None, ..offer }),
        other => other,
    };
    for (signal, error) in [
        (unsigned(opening("bob", id(1))), ProofError::Unsigned),
        (opening("carol", id(1)), ProofError::BadSignature),
        (signed("bob", id(1), DescriptionKind::Offer, 0, "v=0".into(), None), ProofError::NoFingerprint),
    ] {
        let mut bench = Bench::new();
        bench.offered_by(&device("bob", 1), signal.clone(), 1, 0);
        assert_eq!(bench.closes(), [(device("bob", 1).to_string(), CloseReason::Failed)]);
        let refused = Event::Refused { call: id(1), from: name("bob"), reason: RefusedReason::Proof(error) };
        assert_eq!(bench.events(), [&refused]);
        bench.offered_by(&device("bob", 1), signal, 1, 0);
        assert_eq!(bench.out, [], "once");
    }
}

#[test]
fn a_contacts_key_is_pinned_at_the_first_call_and_another_one_later_is_refused_and_shown() {
    let mut bench = Bench::ringing(id(1));
    let key = key("bob").unwrap().public();
    assert_eq!(bench.events()[0], &Event::Pin { username: name("bob"), pin: crate::Pin::unverified(key) });
    bench.command(Command::Decline { call: id(1) });
    // `carol`'s key signs as `bob`.
    let forged = crate::UnsignedDescription {
        call: id(2),
        kind: DescriptionKind::Offer,
        n: 0,
        sdp: sdp("x"),
        video: Some(false),
        name: None,
        receiver: name("alice"),
        receiver_key: None,
        offer: None,
    };
    bench.offered_by(&device("bob", 1), forged.sign(&name("bob"), super::bench::key("carol").as_ref()), 1, 0);
    let reason = RefusedReason::Proof(ProofError::KeyChanged);
    let shown = super::bench::key("carol").unwrap().public();
    let changed = Event::KeyChanged { username: name("bob"), known: key, shown };
    assert_eq!(bench.events(), [&changed, &Event::Refused { call: id(2), from: name("bob"), reason }]);
}

#[test]
fn a_callee_hears_only_the_device_that_offered() {
    let mut bench = Bench::ringing(id(1));
    for stranger in [device("bob", 2), device("carol", 1)] {
        bench.signal(&stranger, close(id(1), CloseReason::Cancelled));
        assert_eq!(bench.out, []);
    }
    assert_eq!(bench.core.view().counters.foreign, 2);
    for signal in [
        progress(id(1), ProgressState::Accepted),
        Signal::Restart(Restart { call: id(1), n: 0 }),
        renegotiating(id(1), 1, "x"),
    ] {
        bench.signal(&device("bob", 1), signal);
        assert_eq!(bench.out, [], "not while it rings");
    }
    bench.signal(&device("bob", 1), close(id(1), CloseReason::Cancelled));
    assert_eq!(bench.ended(), Some(&EndReason::Cancelled(Side::Remote)));
}

#[test]
fn the_device_that_is_named_ignores_answered_elsewhere_and_the_others_end() {
    let mut bench = Bench::ringing(id(1));
    bench.command(Command::Accept { call: id(1), video: false });
    let elsewhere = |by| Signal::Close(Close { call: id(1), reason: CloseReason::AnsweredElsewhere, by: Some(by) });
    bench.signal(&device("bob", 1), elsewhere(device("alice", 0xA)));
    assert_eq!(bench.out, []);
    bench.signal(&device("bob", 1), elsewhere(device("alice", 0xB)));
    assert_eq!(bench.ended(), Some(&EndReason::AnsweredElsewhere));
    assert_eq!(bench.closes(), [], "the caller knows");
}

#[test]
fn each_reason_to_close_a_ringing_has_its_sentence() {
    for (close_reason, reason) in [
        (CloseReason::Hangup, EndReason::HungUp(Side::Remote)),
        (CloseReason::Declined, EndReason::DeclinedElsewhere),
        (CloseReason::Cancelled, EndReason::Cancelled(Side::Remote)),
        (CloseReason::Glare, EndReason::Glare),
        (CloseReason::Failed, EndReason::Failed(Failure::Remote)),
        (CloseReason::Unknown, EndReason::Failed(Failure::Remote)),
    ] {
        let mut bench = Bench::ringing(id(1));
        bench.signal(&device("bob", 1), close(id(1), close_reason));
        assert_eq!(bench.ended(), Some(&reason));
        let sentence = reason.to_string();
        assert!(sentence.ends_with('.') && sentence.starts_with(|c: char| c.is_uppercase()), "{sentence}");
    }
}

#[test]
fn a_ringing_whose_caller_went_offline_stops() {
    let mut bench = Bench::ringing(id(1));
    bench.error(id(1), ErrorCode::Offline);
    assert_eq!(bench.ended(), Some(&EndReason::Cancelled(Side::Remote)));
}

#[test]
fn decline_and_hang_up_decline() {
    for command in [Command::Decline { call: id(1) }, Command::HangUp { call: id(1) }] {
        let mut bench = Bench::ringing(id(1));
        bench.command(command);
        assert_eq!(bench.closes(), [(device("bob", 1).to_string(), CloseReason::Declined)]);
        assert_eq!(bench.ended(), Some(&EndReason::Declined(Side::Local)));
    }
}

#[test]
fn a_callee_rings_for_60_s_less_what_the_offer_waited() {
    for (age_ms, seconds) in [(0, 60), (20_000, 40)] {
        let mut bench = Bench::new();
        bench.offered_by(&device("carol", 1), opening("carol", id(1)), 1, age_ms);
        bench.pass(seconds - 1);
        assert_eq!(bench.ended(), None);
        bench.pass(1);
        assert_eq!(bench.ended(), Some(&EndReason::NoAnswer(Side::Local)));
        assert_eq!(bench.closes(), [(device("carol", 1).to_string(), CloseReason::Timeout)]);
    }
}

#[test]
fn an_opening_offer_that_waited_more_than_60_s_is_a_missed_call() {
    let mut bench = Bench::new();
    bench.offered_by(&device("carol", 1), opening("carol", id(1)), 1, 60_001);
    assert_eq!(bench.events(), [&Event::Missed { call: id(1), from: name("carol"), video: true }]);
    assert_eq!(bench.call(), None);
}

#[test]
fn a_device_in_a_call_is_busy_for_everybody_else() {
    let mut bench = Bench::ringing(id(1));
    bench.offered("carol", id(2), 1);
    assert_eq!(bench.closes(), [(device("carol", 1).to_string(), CloseReason::Busy)]);
    assert_eq!(bench.call(), Some(id(1)));
}

#[test]
fn a_contact_rings_three_times_a_minute_and_another_once() {
    for (maker, most) in [("bob", 3), ("carol", 1)] {
        let mut bench = Bench::new();
        for number in 0..most {
            bench.offered(maker, id(number), 1);
            bench.command(Command::Decline { call: id(number) });
            assert!(bench.ended().is_some());
        }
        bench.offered(maker, id(9), 1);
        assert_eq!(bench.closes(), [(device(maker, 1).to_string(), CloseReason::Busy)]);
        assert_eq!(bench.call(), None);
        bench.pass(60);
        bench.offered(maker, id(10), 1);
        assert_eq!(bench.call(), Some(id(10)));
    }
}

#[test]
fn messages_of_a_closed_call_are_dropped_for_ten_minutes() {
    let mut bench = Bench::ringing(id(1));
    bench.command(Command::Decline { call: id(1) });
    bench.offered("bob", id(1), 1);
    assert_eq!(bench.out, []);
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    assert_eq!(bench.out, []);
    bench.pass(Duration::from_mins(10).as_secs() + 1);
    bench.offered("bob", id(1), 1);
    assert_eq!(bench.call(), Some(id(1)));
}

#[test]
fn what_expects_a_call_that_is_not_known_is_answered_once_with_failed() {
    let answer =
        || Signal::Answer(Answer { call: id(1), n: 0, sdp: sdp("x"), early: false, key: None, signature: None });
    let restart = Signal::Restart(Restart { call: id(1), n: 0 });
    for signal in [answer(), progress(id(1), ProgressState::Accepted), renegotiating(id(1), 1, "x"), restart] {
        let mut bench = Bench::new();
        bench.signal(&device("bob", 1), signal);
        assert_eq!(bench.closes(), [(device("bob", 1).to_string(), CloseReason::Failed)]);
        bench.signal(&device("bob", 1), answer());
        assert_eq!(bench.out, []);
    }
    for signal in
        [progress(id(1), ProgressState::Ringing), close(id(1), CloseReason::Hangup), candidate_signal(id(1), "x", 1)]
    {
        let mut bench = Bench::new();
        bench.signal(&device("bob", 1), signal);
        assert_eq!(bench.out, []);
    }
}

#[test]
fn an_early_path_that_failed_ends_the_call_when_it_is_accepted() {
    let mut bench = Bench::ringing(id(1));
    bench.made(id(1), "ours");
    bench.peer(id(1), PeerInput::Path(PathState::Failed));
    assert_eq!(bench.ended(), None, "it still rings");
    bench.command(Command::Accept { call: id(1), video: false });
    assert!(matches!(bench.ended(), Some(EndReason::Failed(Failure::NoPath { .. }))));
}

#[test]
fn nobody_is_called_by_himself_and_a_second_copy_does_not_ring_again() {
    let mut bench = Bench::new();
    bench.offered("alice", id(1), 1);
    assert_eq!(bench.out, []);
    bench.offered("bob", id(2), 1);
    bench.offered("bob", id(2), 1);
    assert_eq!(bench.out, []);
    assert_eq!(bench.core.view().counters.passed, 1);
    let shut = |output: &Output| !matches!(output, Output::Media { .. });
    assert!(bench.out.iter().all(shut));
}
