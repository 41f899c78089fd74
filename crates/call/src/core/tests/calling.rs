//! The caller's side, until somebody accepted.

use ahoy_protocol::control::{Accepted, ControlMessage};
use ahoy_protocol::description::{DescriptionKind, ProofError, hash};
use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::signal::{Close, CloseReason, ProgressState, Signal};

use super::bench::{
    Bench, CONNECTED, candidate, candidate_signal, close, device, id, name, progress, sdp, signed, to_bob,
};
use crate::{
    Command, EndReason, Event, Failure, Help, Outcome, PeerCommand, PeerInput, Serial, Side, Tried, TriedServer,
};

#[test]
fn dialling_sends_an_offer_to_the_bare_username() {
    let mut bench = Bench::new();
    bench.command(Command::Dial { call: id(1), to: name("bob"), video: true });
    let make = PeerCommand::MakeOffer { serial: Serial(1), ice_restart: false };
    assert_eq!(bench.commands(), [&PeerCommand::Open, &make]);
    bench.made(id(1), "ours");
    let (via, offer) = bench.descriptions()[0].clone();
    assert_eq!(via, to_bob());
    assert_eq!(
        (offer.kind, offer.n, offer.video, offer.name.as_deref()),
        (DescriptionKind::Offer, 0, Some(true), Some("Alice"))
    );
}

#[test]
fn what_the_server_cannot_do_ends_the_call_with_its_reason() {
    for (code, reason) in [
        (ErrorCode::Offline, EndReason::Offline),
        (ErrorCode::UnknownUser, EndReason::UnknownUser),
        (ErrorCode::RateLimited, EndReason::RateLimited { retry_s: Some(9) }),
        (ErrorCode::BadMessage, EndReason::Refused { message: "no".into() }),
    ] {
        let mut bench = Bench::new();
        bench.command(Command::Dial { call: id(1), to: name("bob"), video: false });
        bench.made(id(1), "ours");
        bench.error(id(1), code);
        assert_eq!(bench.ended(), Some(&reason));
        assert!(bench.closes().is_empty(), "nobody is there to be told");
    }
}

#[test]
fn when_the_last_device_goes_offline_so_does_the_call() {
    let mut bench = Bench::dialling(id(1), &[1, 2]);
    bench.error(id(1), ErrorCode::RateLimited);
    assert_eq!(bench.ended(), None, "that was about a candidate");
    bench.error(id(1), ErrorCode::Offline);
    assert_eq!(bench.ended(), Some(&EndReason::Offline));
}

#[test]
fn a_call_that_cannot_begin_says_why() {
    let mut bench = Bench::new();
    bench.command(Command::Dial { call: id(1), to: name("alice"), video: false });
    assert_eq!(bench.ended(), Some(&EndReason::Yourself));
    bench.command(Command::Dial { call: id(2), to: name("bob"), video: false });
    bench.command(Command::Dial { call: id(3), to: name("carol"), video: false });
    assert_eq!(bench.ended(), Some(&EndReason::AlreadyInCall));
    assert_eq!(bench.call(), Some(id(2)));
    bench.command(Command::SignOut);
    assert_eq!(bench.ended(), Some(&EndReason::Cancelled(Side::Local)));
    bench.command(Command::Dial { call: id(4), to: name("bob"), video: false });
    assert_eq!(bench.ended(), Some(&EndReason::NotSignedIn));
}

#[test]
fn before_accepted_a_caller_hears_only_devices_that_the_offer_reached() {
    let mut bench = Bench::dialling(id(1), &[1, 2]);
    for stranger in [device("bob", 3), device("carol", 1)] {
        bench.signal(&stranger, close(id(1), CloseReason::Declined));
        bench.signal(&stranger, progress(id(1), ProgressState::Accepted));
        assert_eq!(bench.out, []);
    }
    assert_eq!(bench.core.view().counters.foreign, 4);
    bench.signal(&device("bob", 2), progress(id(1), ProgressState::Accepted));
    bench.signal(&device("bob", 1), close(id(1), CloseReason::Hangup));
    assert_eq!(bench.out, [], "after accepted only the device that accepted speaks");
    bench.signal(&device("bob", 2), close(id(1), CloseReason::Hangup));
    assert_eq!(bench.ended(), Some(&EndReason::HungUp(Side::Remote)));
}

#[test]
fn it_rings_there_once_a_device_says_so() {
    let mut bench = Bench::dialling(id(1), &[1]);
    assert_eq!(bench.events(), [&Event::Relayed { call: id(1), devices: 1 }]);
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Ringing));
    assert_eq!(bench.events(), [&Event::Ringing { call: id(1), device: Some("phone".into()) }]);
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Ringing));
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Unknown));
    assert_eq!(bench.out, []);
}

#[test]
fn the_first_accepted_wins_and_the_others_are_told_who() {
    let mut bench = Bench::dialling(id(1), &[1, 2]);
    bench.signal(&device("bob", 2), progress(id(1), ProgressState::Accepted));
    let by = Some(device("bob", 2));
    let close = Signal::Close(Close { call: id(1), reason: CloseReason::AnsweredElsewhere, by });
    assert_eq!(bench.sent(), [("bob".to_owned(), &close)]);
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    bench.answered("bob", id(1), DescriptionKind::Answer);
    assert_eq!(bench.out, [], "the second one is too late");
}

#[test]
fn a_caller_sends_after_a_signed_answer_that_is_not_early() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    bench.answered("bob", id(1), DescriptionKind::Answer);
    bench.applied(id(1));
    assert!(!bench.sends(), "no path yet");
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    assert!(bench.sends());
}

#[test]
fn a_caller_sends_after_an_early_answer_only_when_the_control_channel_says_accepted() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.answered("bob", id(1), DescriptionKind::Early);
    bench.applied(id(1));
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    bench.peer(id(1), PeerInput::ControlOpened);
    assert!(!bench.sends() && !bench.gate().play, "nobody has accepted");
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    assert!(!bench.sends() && bench.gate().play, "the server's word is good for the screen");
    let accepted = ControlMessage::Accepted(Accepted { call: id(1), video: true });
    bench.peer(id(1), PeerInput::Control(accepted));
    assert!(bench.sends());
}

#[test]
fn accepted_over_the_control_channel_counts_as_progress_too() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.answered("bob", id(1), DescriptionKind::Early);
    bench.applied(id(1));
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    bench.peer(id(1), PeerInput::ControlOpened);
    let accepted = ControlMessage::Accepted(Accepted { call: id(1), video: true });
    bench.peer(id(1), PeerInput::Control(accepted));
    assert!(bench.sends());
    let by = device("bob", 1);
    assert_eq!(bench.events()[0], &Event::Accepted { call: id(1), by, video: Some(true) });
    assert_eq!(bench.closes(), [("bob".to_owned(), CloseReason::AnsweredElsewhere)]);
}

#[test]
fn an_early_answer_is_taken_from_an_only_device_that_signs() {
    let mut two = Bench::dialling(id(1), &[1, 2]);
    two.answered("bob", id(1), DescriptionKind::Early);
    assert_eq!(two.out, []);
    let mut guest = Bench::new();
    guest.command(Command::Dial { call: id(1), to: name("guest-b"), video: true });
    guest.made(id(1), "ours");
    let to = vec![device("guest-b", 1)];
    guest.receive(ahoy_protocol::message::ServerMessage::Relayed(ahoy_protocol::message::Relayed { call: id(1), to }));
    guest.answered("guest-b", id(1), DescriptionKind::Early);
    assert_eq!(guest.out, []);
    guest.answered("guest-b", id(1), DescriptionKind::Answer);
    guest.applied(id(1));
    guest.peer(id(1), PeerInput::Path(CONNECTED));
    assert!(guest.sends(), "a guest is taken at its word");
}

#[test]
fn an_answer_that_is_not_proven_ends_the_call_and_is_never_applied() {
    let mut bench = Bench::dialling(id(1), &[1]);
    let other_offer = signed("bob", id(1), DescriptionKind::Answer, 0, sdp("theirs"), Some(hash("another")));
    bench.signal(&device("bob", 1), other_offer);
    assert_eq!(bench.ended(), Some(&EndReason::NotProven(ProofError::BadSignature)));
    assert_eq!(bench.closes(), [("bob".to_owned(), CloseReason::Failed)]);
    assert_eq!(bench.commands(), [&PeerCommand::Close]);
    let mut early = Bench::dialling(id(1), &[1]);
    let other_offer = signed("bob", id(1), DescriptionKind::Early, 0, sdp("theirs"), Some(hash("another")));
    early.signal(&device("bob", 1), other_offer);
    assert_eq!(early.ended(), Some(&EndReason::NotProven(ProofError::BadSignature)), "no other answer will come");
}

#[test]
fn busy_and_timeout_end_a_leg_and_the_last_leg_ends_the_call() {
    let mut bench = Bench::dialling(id(1), &[1, 2]);
    bench.signal(&device("bob", 1), close(id(1), CloseReason::Busy));
    assert_eq!(bench.out, []);
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    assert_eq!(bench.out, [], "that leg has ended");
    bench.signal(&device("bob", 2), close(id(1), CloseReason::Timeout));
    assert_eq!(bench.ended(), Some(&EndReason::NoAnswer(Side::Remote)));
    assert!(bench.closes().is_empty());
}

#[test]
fn a_device_that_fails_before_it_rings_has_refused_the_call() {
    let mut refused = Bench::dialling(id(1), &[1, 2]);
    refused.signal(&device("bob", 1), close(id(1), CloseReason::Failed));
    assert_eq!(refused.ended(), Some(&EndReason::Failed(Failure::RefusedThere)));
    let mut rang = Bench::dialling(id(1), &[1, 2]);
    rang.signal(&device("bob", 1), progress(id(1), ProgressState::Ringing));
    rang.signal(&device("bob", 1), close(id(1), CloseReason::Failed));
    assert_eq!(rang.ended(), Some(&EndReason::Failed(Failure::Remote)));
}

#[test]
fn declined_ends_the_call_and_is_sent_on_to_the_other_devices() {
    let mut bench = Bench::dialling(id(1), &[1, 2]);
    bench.signal(&device("bob", 1), close(id(1), CloseReason::Declined));
    assert_eq!(bench.ended(), Some(&EndReason::Declined(Side::Remote)));
    assert_eq!(bench.closes(), [("bob".to_owned(), CloseReason::Declined)]);
}

#[test]
fn a_cancelled_call_stops_ringing_but_not_before_it_rang() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.command(Command::HangUp { call: id(1) });
    assert_eq!(bench.closes(), [("bob".to_owned(), CloseReason::Cancelled)]);
    assert_eq!(bench.ended(), Some(&EndReason::Cancelled(Side::Local)));
    bench.command(Command::Dial { call: id(2), to: name("bob"), video: false });
    bench.command(Command::HangUp { call: id(2) });
    assert!(bench.closes().is_empty(), "the offer never left");
}

#[test]
fn candidates_go_to_the_bare_username_until_an_answer_was_applied() {
    let mut bench = Bench::new();
    bench.command(Command::Dial { call: id(1), to: name("bob"), video: true });
    bench.peer(id(1), PeerInput::Candidate(candidate("ours", 1)));
    assert_eq!(bench.out, [], "its offer has not left");
    bench.made(id(1), "ours");
    assert_eq!(bench.sent()[0].0, "bob");
    bench.relayed(id(1), &[1]);
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    bench.answered("bob", id(1), DescriptionKind::Answer);
    bench.peer(id(1), PeerInput::Candidate(candidate("ours", 2)));
    assert_eq!(bench.sent()[0].0, "bob", "not applied yet");
    bench.applied(id(1));
    bench.peer(id(1), PeerInput::Candidate(candidate("ours", 3)));
    assert_eq!(bench.sent()[0].0, device("bob", 1).to_string());
}

#[test]
fn a_candidate_that_fits_no_description_yet_waits() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.signal(&device("bob", 1), candidate_signal(id(1), "theirs", 1));
    assert_eq!(bench.out, []);
    bench.answered("bob", id(1), DescriptionKind::Answer);
    assert!(bench.commands().contains(&&PeerCommand::AddCandidate(candidate("theirs", 1))));
}

#[test]
fn a_caller_gives_up_after_65_s() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.pass(64);
    assert_eq!(bench.ended(), None);
    bench.pass(1);
    assert_eq!(bench.ended(), Some(&EndReason::NoAnswer(Side::Remote)));
    assert_eq!(bench.closes(), [("bob".to_owned(), CloseReason::Cancelled)]);
}

#[test]
fn from_accepted_to_a_path_it_takes_20_s_at_most_without_a_relay_14_and_then_says_what_was_tried() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    bench.answered("bob", id(1), DescriptionKind::Answer);
    bench.applied(id(1));
    bench.peer(id(1), PeerInput::Candidate(candidate("ours", 1)));
    bench.signal(&device("bob", 1), candidate_signal(id(1), "theirs", 1));
    let url = "turns:x".to_owned();
    let relay = TriedServer { url, help: Help::RelayStream, outcome: Outcome::NoAnswer };
    let tried = Tried { servers: vec![relay] };
    bench.peer(id(1), PeerInput::Tried(tried.clone()));
    bench.pass(19);
    assert_eq!(bench.ended(), None);
    bench.pass(1);
    let failure = Failure::NoPath { local_candidates: 1, remote_candidates: 1, tried };
    assert!(failure.to_string().contains("does not answer"));
    assert_eq!(bench.ended(), Some(&EndReason::Failed(failure)));
    assert_eq!(bench.closes(), [(device("bob", 1).to_string(), CloseReason::Failed)]);
    let mut unaided = Bench::dialling(id(1), &[1]);
    unaided.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    unaided.answered("bob", id(1), DescriptionKind::Answer);
    unaided.applied(id(1));
    let stun = TriedServer { url: "stun:x".into(), help: Help::Reflect, outcome: Outcome::NoAnswer };
    unaided.peer(id(1), PeerInput::Tried(Tried { servers: vec![stun] }));
    unaided.pass(13);
    assert_eq!(unaided.ended(), None);
    unaided.pass(1);
    let Some(EndReason::Failed(failure)) = unaided.ended() else { panic!("it goes on") };
    assert!(failure.to_string().contains("UDP is blocked"), "{failure}");
    let mut silent = Bench::dialling(id(1), &[1]);
    silent.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    silent.pass(20);
    assert_eq!(silent.ended(), Some(&EndReason::Failed(Failure::NoConfirmation)));
}

#[test]
fn when_the_other_side_gives_up_on_a_path_each_says_what_it_knows_of_the_reason() {
    let accepted = |is_caller: bool| {
        if !is_caller {
            let mut bench = Bench::ringing(id(1));
            bench.command(Command::Accept { call: id(1), video: true });
            bench.made(id(1), "ours");
            return bench;
        }
        let mut bench = Bench::dialling(id(1), &[1]);
        bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
        bench.answered("bob", id(1), DescriptionKind::Answer);
        bench.applied(id(1));
        bench
    };
    for is_caller in [true, false] {
        let mut bench = accepted(is_caller);
        bench.pass(13);
        bench.signal(&device("bob", 1), close(id(1), CloseReason::Failed));
        let Some(EndReason::Failed(failure)) = bench.ended() else { panic!("it goes on") };
        assert!(failure.to_string().contains("no relay is set up"), "{failure}");
        assert_eq!(bench.closes(), [], "the other side knows");
        // What fails at once has another reason, and so has what fails while there is a path.
        let mut at_once = accepted(is_caller);
        at_once.pass(1);
        at_once.signal(&device("bob", 1), close(id(1), CloseReason::Failed));
        assert_eq!(at_once.ended(), Some(&EndReason::Failed(Failure::Remote)));
        let mut with_path = accepted(is_caller);
        with_path.peer(id(1), PeerInput::Path(CONNECTED));
        with_path.pass(13);
        with_path.signal(&device("bob", 1), close(id(1), CloseReason::Failed));
        assert_eq!(with_path.ended(), Some(&EndReason::Failed(Failure::Remote)));
    }
}

#[test]
fn a_transport_that_fails_or_never_reports_ends_the_call() {
    let mut bench = Bench::new();
    bench.command(Command::Dial { call: id(1), to: name("bob"), video: true });
    bench.pass(10);
    assert_eq!(bench.ended(), Some(&EndReason::Failed(Failure::TransportSilent)));
    bench.command(Command::Dial { call: id(2), to: name("bob"), video: true });
    let serial = bench.last_serial();
    bench.peer(id(2), PeerInput::Made { serial, result: Err("no sockets".into()) });
    assert_eq!(bench.ended(), Some(&EndReason::Failed(Failure::Transport("no sockets".into()))));
}

#[test]
fn a_stale_report_changes_nothing() {
    let mut bench = Bench::new();
    bench.command(Command::Dial { call: id(1), to: name("bob"), video: true });
    bench.peer(id(1), PeerInput::Made { serial: Serial(9), result: Ok(sdp("ours")) });
    bench.peer(id(2), PeerInput::Made { serial: Serial(1), result: Ok(sdp("ours")) });
    assert_eq!(bench.out, []);
    assert_eq!(bench.core.view().counters.stale, 2);
}
