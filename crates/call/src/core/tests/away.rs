//! The server is away while calls ring and go on, and what is said when it is back (section 3, "Coming back").

use ahoy_protocol::control::{Accepted, ControlMessage};
use ahoy_protocol::description::{DescriptionKind, hash};
use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::id::Address;
use ahoy_protocol::message::{ClientMessage, MissedCall, MissedCalls, Received, ServerMessage};
use ahoy_protocol::signal::{CloseReason, ProgressState, Signal};

use super::bench::{Bench, CONNECTED, close, device, id, name, opening, progress, sdp, signed};
use crate::{Command, EndReason, Event, Input, LinkInput, Output, PeerCommand, PeerInput, Serial, Side, Via};

/// What leaves through the server of a call: the words of the contract, candidates left out.
fn said(bench: &Bench) -> Vec<String> {
    let words = bench.out.iter().filter_map(|output| match output {
        Output::Send(ClientMessage::Relay(relay)) => match &relay.signal {
            Signal::Progress(progress) => Some(format!("{:?} to {}", progress.state, relay.to)),
            Signal::Close(close) => Some(format!("{:?} to {}", close.reason, relay.to)),
            Signal::Offer(_) | Signal::Answer(_) | Signal::Candidate(_) | Signal::Restart(_) => None,
        },
        Output::SendDescription { via: Via::Server(to), description } => {
            Some(format!("{:?} {} to {to}", description.kind, description.n))
        }
        _ => None,
    });
    words.collect()
}

/// Bob's answer to Alice's opening offer.
fn answer(kind: DescriptionKind) -> Signal {
    signed("bob", id(1), kind, 0, sdp("theirs"), Some(hash(&sdp("ours"))))
}

fn waited(from: &str, signal: Signal) -> ServerMessage {
    let devices = matches!(signal, Signal::Offer(_)).then_some(1);
    ServerMessage::Signal(Received { from: device(from, 1), devices, age_ms: 5_000, signal })
}

#[test]
fn a_callee_that_rings_says_again_that_it_rings_and_its_early_answer() {
    let mut bench = Bench::ringing(id(1));
    bench.made(id(1), "ours");
    bench.sign_in_again(false);
    let caller = device("bob", 1);
    assert_eq!(said(&bench), [format!("Ringing to {caller}"), format!("Early 0 to {caller}")]);
}

#[test]
fn a_callee_that_accepted_while_the_server_was_away_says_so_when_it_is_back() {
    let mut bench = Bench::ringing(id(1));
    bench.link(LinkInput::Closed { code: None });
    bench.command(Command::Accept { call: id(1), video: true });
    bench.made(id(1), "ours");
    assert_eq!(said(&bench), [] as [String; 0]);
    bench.sign_in_again(false);
    let caller = device("bob", 1);
    assert_eq!(said(&bench), [format!("Accepted to {caller}"), format!("Answer 0 to {caller}")]);
    // The caller is not back yet: that ends nothing, and is tried again.
    bench.error(id(1), ErrorCode::Offline);
    bench.pass(2);
    assert_eq!(said(&bench), [format!("Accepted to {caller}"), format!("Answer 0 to {caller}")]);
    assert_eq!(bench.ended(), None);
}

#[test]
fn a_caller_dials_again_through_a_server_that_knows_nothing_and_waits_a_while_for_the_callee() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.sign_in_again(false);
    assert_eq!(said(&bench), ["Offer 0 to bob"]);
    for _ in 0..2 {
        bench.error(id(1), ErrorCode::Offline);
        bench.pass(4);
        assert_eq!(said(&bench), [] as [String; 0], "the server lets one user ring another six times a minute");
        bench.pass(1);
        assert_eq!(said(&bench), ["Offer 0 to bob"]);
    }
    bench.error(id(1), ErrorCode::Offline);
    assert_eq!(bench.ended(), Some(&EndReason::Offline), "nobody is back within 10 s");
}

/// Alice has dialled Bob's device 1, and the server that she dials through again has reached these.
fn dialled_again(devices: &[u64]) -> Bench {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.sign_in_again(false);
    bench.relayed(id(1), devices);
    bench
}

#[test]
fn a_device_that_a_restarted_server_reaches_too_may_ring_accept_and_be_heard() {
    for devices in [&[1, 2][..], &[2]] {
        let mut bench = dialled_again(devices);
        assert_eq!(bench.events(), [&Event::Relayed { call: id(1), devices: 2 }]);
        bench.relayed(id(1), devices);
        assert_eq!(bench.out, [], "that is known");
        let second = device("bob", 2);
        bench.signal(&second, progress(id(1), ProgressState::Ringing));
        assert_eq!(bench.events(), [&Event::Ringing { call: id(1), device: Some("phone".into()) }]);
        bench.signal(&second, progress(id(1), ProgressState::Accepted));
        let by = second.clone();
        assert!(bench.events().contains(&&Event::Accepted { call: id(1), by, video: None }), "{:?}", bench.out);
        assert_eq!(said(&bench), ["AnsweredElsewhere to bob"]);
        bench.signal(&second, answer(DescriptionKind::Answer));
        bench.applied(id(1));
        bench.peer(id(1), PeerInput::Path(CONNECTED));
        assert!(bench.sends());
    }
}

#[test]
fn a_device_whose_leg_has_ended_stays_out_when_a_restarted_server_names_it_again() {
    let mut bench = Bench::dialling(id(1), &[1, 2]);
    bench.signal(&device("bob", 1), close(id(1), CloseReason::Busy));
    bench.sign_in_again(false);
    bench.relayed(id(1), &[1, 2, 3]);
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    assert_eq!(bench.out, []);
    bench.signal(&device("bob", 2), close(id(1), CloseReason::Timeout));
    assert_eq!(bench.ended(), None, "device 3 is there");
    bench.signal(&device("bob", 3), close(id(1), CloseReason::Busy));
    assert_eq!(bench.ended(), Some(&EndReason::NoAnswer(Side::Remote)));
}

#[test]
fn an_early_answer_of_who_was_the_only_device_holds_until_its_user_accepts() {
    let mut bench = dialled_again(&[1, 2]);
    let first = device("bob", 1);
    bench.signal(&first, answer(DescriptionKind::Early));
    assert_eq!(bench.out, [], "the other may accept yet");
    bench.signal(&first, progress(id(1), ProgressState::Accepted));
    assert!(matches!(bench.commands()[..], [PeerCommand::ApplyAnswer { .. }]));
    bench.applied(id(1));
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    bench.peer(id(1), PeerInput::ControlOpened);
    assert!(!bench.sends(), "only the server says that he accepted");
    let accepted = ControlMessage::Accepted(Accepted { call: id(1), video: true });
    bench.peer(id(1), PeerInput::Control(accepted));
    assert!(bench.sends());
}

#[test]
fn an_early_answer_that_is_kept_does_not_stand_in_the_way_of_another_device() {
    let mut bench = dialled_again(&[1, 2]);
    bench.signal(&device("bob", 1), answer(DescriptionKind::Early));
    bench.signal(&device("bob", 2), progress(id(1), ProgressState::Accepted));
    assert_eq!(bench.commands(), [] as [&PeerCommand; 0]);
    bench.signal(&device("bob", 2), answer(DescriptionKind::Answer));
    assert!(matches!(bench.commands()[..], [PeerCommand::ApplyAnswer { .. }]));
}

#[test]
fn where_the_path_is_built_to_one_device_already_another_rings_no_longer() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.answered("bob", id(1), DescriptionKind::Early);
    bench.applied(id(1));
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    bench.peer(id(1), PeerInput::ControlOpened);
    bench.sign_in_again(false);
    bench.relayed(id(1), &[1, 2]);
    assert_eq!(bench.closes(), [(device("bob", 2).to_string(), CloseReason::Cancelled)]);
    assert_eq!(bench.ended(), None);
    bench.signal(&device("bob", 2), progress(id(1), ProgressState::Accepted));
    assert_eq!(bench.out, [], "it is nobody in this call");
    let accepted = ControlMessage::Accepted(Accepted { call: id(1), video: true });
    bench.peer(id(1), PeerInput::Control(accepted));
    assert!(bench.sends());
}

#[test]
fn an_accepted_call_is_not_opened_again() {
    let mut bench = Bench::in_own_call(id(1));
    bench.sign_in_again(false);
    assert_eq!(said(&bench), ["AnsweredElsewhere to bob"], "his other devices may not have heard");
    assert_eq!(bench.ended(), None);
}

#[test]
fn who_comes_back_into_the_session_says_nothing_twice() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.sign_in_again(true);
    assert_eq!(said(&bench), [] as [String; 0]);
    bench.error(id(1), ErrorCode::Offline);
    assert_eq!(bench.ended(), Some(&EndReason::Offline), "this server knows");
}

#[test]
fn a_call_dialled_and_given_up_while_the_server_was_away_rings_nowhere() {
    let mut bench = Bench::new();
    bench.link(LinkInput::Closed { code: None });
    bench.command(Command::Dial { call: id(1), to: name("bob"), video: true });
    bench.command(Command::HangUp { call: id(1) });
    bench.sign_in_again(false);
    assert_eq!(said(&bench), [] as [String; 0]);
    // Nor does one whose offer was made just before.
    bench.command(Command::Dial { call: id(2), to: name("bob"), video: true });
    bench.link(LinkInput::Closed { code: None });
    bench.made(id(2), "ours");
    bench.command(Command::HangUp { call: id(2) });
    bench.sign_in_again(false);
    assert_eq!(said(&bench), [] as [String; 0]);
}

#[test]
fn a_call_ended_while_the_server_was_away_is_ended_there_too() {
    let mut bench = Bench::ringing(id(1));
    bench.link(LinkInput::Closed { code: None });
    bench.command(Command::Decline { call: id(1) });
    bench.sign_in_again(false);
    assert_eq!(said(&bench), [format!("Declined to {}", device("bob", 1))]);
}

#[test]
fn what_waited_does_not_ring_before_all_of_it_was_read() {
    let mut bench = Bench::new();
    bench.sign_in_again(true);
    bench.receive(waited("bob", opening("bob", id(1))));
    bench.receive(waited("carol", opening("carol", id(2))));
    assert_eq!(bench.out, [], "nothing rings yet");
    bench.receive(waited("bob", close(id(1), CloseReason::Cancelled)));
    bench.receive(ServerMessage::Pong { waited: true });
    assert_eq!(bench.out, [], "that one waited too");
    bench.receive(ServerMessage::Pong { waited: false });
    let events = bench.events();
    assert!(events.contains(&&Event::Missed { call: id(1), from: name("bob"), video: true }), "{events:?}");
    assert!(matches!(events.last(), Some(Event::Incoming { call, .. }) if *call == id(2)), "{events:?}");
}

#[test]
fn what_waited_rings_in_the_end_even_if_the_server_says_nothing_more() {
    let mut bench = Bench::new();
    bench.sign_in_again(true);
    bench.receive(waited("bob", opening("bob", id(1))));
    assert_eq!(bench.call(), None);
    bench.pass(3);
    assert_eq!(bench.call(), Some(id(1)));
}

/// Signed in, then woken from sleep, with the serial of the connection that this ended.
fn woken() -> (Bench, Serial) {
    let mut bench = Bench::new();
    bench.input(Input::Woke);
    let Output::DropLink { serial } = bench.out[0] else { panic!("no link is let go in {:?}", bench.out) };
    bench.out.clear();
    (bench, serial)
}

fn brought_before(bench: &mut Bench, serial: Serial, seq: u64, signal: Signal) {
    let devices = matches!(signal, Signal::Offer(_)).then_some(1);
    let received = Received { from: device("bob", 1), devices, age_ms: 0, signal };
    let input = LinkInput::Received { seq: Some(seq), message: Some(ServerMessage::Signal(received)) };
    bench.input(Input::Link { serial, input });
}

#[test]
fn what_the_connection_had_brought_before_it_was_let_go_is_heeded() {
    let mut bench = Bench::in_call(id(1));
    bench.input(Input::Woke);
    let Output::DropLink { serial } = bench.out[0] else { panic!("no link is let go in {:?}", bench.out) };
    brought_before(&mut bench, serial, 1_000, close(id(1), CloseReason::Hangup));
    assert_eq!(bench.ended(), Some(&EndReason::HungUp(Side::Remote)));
}

#[test]
fn a_call_that_the_connection_had_brought_before_rings_once_all_that_waited_was_read() {
    let (mut bench, serial) = woken();
    brought_before(&mut bench, serial, 1_000, opening("bob", id(1)));
    brought_before(&mut bench, serial, 1_000, opening("bob", id(2)));
    bench.pass(3);
    assert_eq!(bench.call(), None);
    bench.sign_in_opened(true);
    assert_eq!(bench.call(), None);
    bench.receive(ServerMessage::Pong { waited: false });
    assert_eq!(bench.call(), Some(id(1)));
}

#[test]
fn a_call_that_the_connection_had_brought_before_a_session_that_is_over_is_missed() {
    let (mut bench, serial) = woken();
    brought_before(&mut bench, serial, 1_000, opening("bob", id(1)));
    bench.sign_in_opened(false);
    let missed = Event::Missed { call: id(1), from: name("bob"), video: true };
    assert!(bench.events().contains(&&missed), "{:?}", bench.out);
    assert_eq!(bench.call(), None);
    bench.offered("bob", id(1), 1);
    assert_eq!(bench.call(), Some(id(1)), "he calls still");
}

#[test]
fn what_is_held_does_not_ring_for_who_signs_out() {
    let mut bench = Bench::new();
    bench.sign_in_again(true);
    bench.receive(waited("bob", opening("bob", id(1))));
    bench.command(Command::SignOut);
    let missed = Event::Missed { call: id(1), from: name("bob"), video: true };
    assert!(bench.events().contains(&&missed), "{:?}", bench.out);
    bench.input(Input::Tick);
    assert_eq!((bench.core.poll_timeout(), bench.call()), (None, None));
}

#[test]
fn a_call_that_comes_in_now_rings_at_once() {
    let mut bench = Bench::new();
    bench.sign_in_again(true);
    bench.offered("bob", id(1), 1);
    assert_eq!(bench.call(), Some(id(1)));
}

#[test]
fn sleep_or_another_network_opens_the_link_anew_and_ends_no_call() {
    for input in [Input::Woke, Input::NetworkChanged] {
        let mut bench = Bench::in_call(id(1));
        bench.input(input);
        assert!(matches!(
            bench.out[..],
            [Output::DropLink { .. }, Output::Event(Event::LinkLost), Output::OpenLink { .. }]
        ));
        assert_eq!((bench.call(), bench.ended()), (Some(id(1)), None));
    }
}

#[test]
fn calls_missed_while_away_are_told_and_their_number_is_bounded() {
    let mut bench = Bench::new();
    let missed =
        |from: String| MissedCall { from: name(&from), at: "2026-11-21T09:30:00Z".into(), video: true, count: 2 };
    let calls: Vec<MissedCall> = (0..150).map(|number| missed(format!("user{number}"))).collect();
    bench.receive(ServerMessage::Missed(MissedCalls { calls: calls.clone() }));
    assert_eq!(bench.events(), [&Event::MissedWhileAway(calls[..100].to_vec())]);
    bench.receive(ServerMessage::Missed(MissedCalls { calls: vec![missed("alice".into())] }));
    assert_eq!(bench.events(), [] as [&Event; 0], "nobody misses his own call");
    bench.command(Command::SetBlocked([name("mallory")].into()));
    bench.receive(ServerMessage::Missed(MissedCalls { calls: vec![missed("mallory".into())] }));
    assert_eq!(bench.events(), [] as [&Event; 0], "nor one of whoever is blocked");
    bench.offered("bob", id(1), 1);
    bench.receive(ServerMessage::Missed(MissedCalls { calls: vec![missed("bob".into()), missed("carol".into())] }));
    assert_eq!(bench.events(), [&Event::MissedWhileAway(vec![missed("carol".into())])], "Bob's call rings");
}

#[test]
fn a_call_accepted_across_a_restart_of_the_server_comes_about() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.sign_in_again(false);
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
    bench.answered("bob", id(1), DescriptionKind::Answer);
    bench.applied(id(1));
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    assert!(bench.events().iter().any(|event| matches!(event, Event::Connected { .. })));
    bench.command(Command::HangUp { call: id(1) });
    assert_eq!(bench.ended(), Some(&EndReason::HungUp(Side::Local)));
    assert_eq!(said(&bench), [format!("Hangup to {}", Address::Device(device("bob", 1)))]);
}
