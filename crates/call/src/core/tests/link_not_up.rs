//! Dialling while the link is not up: it begins when the link is.

use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::message::ServerMessage;
use ahoy_protocol::signal::CloseReason;

use super::bench::{Bench, close, device, id, name, opening, to_bob};
use crate::{
    Command, EndReason, Event, Input, LinkInput, LinkView, Output, PeerCommand, PeerInput, PeopleView, Serial, Side,
};

/// Alice has dialled Bob before the server said that she is welcome.
fn dialled_too_soon() -> Bench {
    let mut bench = Bench::signing_in();
    dial(&mut bench);
    assert_eq!(bench.out, [Output::Event(Event::Dialling { call: id(1), to: name("bob") })]);
    bench
}

fn dial(bench: &mut Bench) {
    bench.command(Command::Dial { call: id(1), to: name("bob"), video: true });
}

/// In which order what matters came out: first the servers, then the peer connection, then what is done with it.
fn order(bench: &Bench) -> Vec<&str> {
    let words = bench.out.iter().filter_map(|output| match output {
        Output::Event(Event::SignedIn { .. }) => Some("servers"),
        Output::Peer { command: PeerCommand::Open, .. } => Some("open"),
        Output::Peer { command: PeerCommand::MakeOffer { .. }, .. } => Some("make an offer"),
        Output::Peer { .. } => Some("something else"),
        Output::SendDescription { .. } => Some("say"),
        _ => None,
    });
    words.collect()
}

fn refused(code: ErrorCode) -> ServerMessage {
    ServerMessage::Error(ErrorMessage { code, message: "no".into(), call: None, retry_s: None })
}

#[test]
fn who_dials_before_the_welcome_makes_the_offer_with_the_servers_that_it_brings() {
    let mut bench = dialled_too_soon();
    assert_eq!(bench.core.view().call.unwrap().people, PeopleView::Dialling);
    bench.welcomed(false);
    assert_eq!(order(&bench), ["servers", "open", "make an offer"]);
    bench.made(id(1), "ours");
    assert_eq!(bench.descriptions().len(), 1);
    assert_eq!(bench.descriptions()[0].0, to_bob());
    bench.relayed(id(1), &[1]);
    assert_eq!(bench.events(), [&Event::Relayed { call: id(1), devices: 1 }]);
    bench.sign_in_again(true);
    assert_eq!(order(&bench), ["servers"], "once");
}

#[test]
fn who_dials_after_sleep_makes_the_offer_with_fresh_servers() {
    for resumed in [true, false] {
        let mut bench = Bench::new();
        bench.input(Input::Woke);
        dial(&mut bench);
        assert_eq!(bench.commands(), [] as [&PeerCommand; 0]);
        bench.sign_in_opened(resumed);
        assert_eq!(order(&bench), ["servers", "open", "make an offer"]);
        bench.made(id(1), "ours");
        assert_eq!(order(&bench), ["say"]);
    }
}

/// Whether Alice, who has dialled while the link was not up, still waits for Bob after the server said that he is not there.
fn waits_for_bob(bench: &mut Bench) -> bool {
    bench.made(id(1), "ours");
    bench.error(id(1), ErrorCode::Offline);
    let ended = bench.ended();
    assert!(matches!(ended, None | Some(EndReason::Offline)), "{ended:?}");
    ended.is_none()
}

#[test]
fn only_after_the_server_was_away_may_who_is_not_there_be_on_the_way_back() {
    let mut started = dialled_too_soon();
    started.welcomed(false);
    assert!(!waits_for_bob(&mut started), "nothing says that the server was away");

    let mut slept = Bench::new();
    slept.input(Input::Woke);
    dial(&mut slept);
    slept.sign_in_opened(false);
    assert!(!waits_for_bob(&mut slept), "it was this machine that was away");

    let mut moved = Bench::new();
    moved.input(Input::NetworkChanged);
    dial(&mut moved);
    moved.sign_in_opened(false);
    assert!(!waits_for_bob(&mut moved), "it was this machine's network");

    let mut lost = Bench::new();
    lost.link(LinkInput::Closed { code: None });
    lost.input(Input::NetworkChanged);
    dial(&mut lost);
    lost.sign_in_again(false);
    assert!(waits_for_bob(&mut lost));
}

#[test]
fn who_has_dialled_already_opens_no_second_peer_connection_after_sleep() {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.input(Input::Woke);
    bench.sign_in_opened(false);
    assert_eq!(order(&bench), ["servers", "say"]);
}

#[test]
fn a_call_that_is_given_up_before_the_welcome_opens_nothing_and_is_said_to_nobody() {
    for command in [Command::HangUp { call: id(1) }, Command::SignOut] {
        let mut bench = dialled_too_soon();
        bench.command(command);
        assert_eq!(bench.ended(), Some(&EndReason::Cancelled(Side::Local)));
        assert_eq!((bench.commands(), bench.sent()), (vec![], vec![]));
        if bench.core.view().link == LinkView::SignedOut {
            continue;
        }
        bench.welcomed(false);
        assert_eq!((order(&bench), bench.sent()), (vec!["servers"], vec![]));
    }
}

#[test]
fn a_link_that_is_lost_again_before_the_welcome_delays_the_call_only() {
    let mut bench = dialled_too_soon();
    bench.sign_in_again(false);
    assert_eq!(order(&bench), ["servers", "open", "make an offer"]);
}

#[test]
fn a_link_that_is_lost_while_the_offer_is_made_takes_it_later() {
    let mut bench = dialled_too_soon();
    bench.welcomed(false);
    bench.link(LinkInput::Closed { code: None });
    bench.made(id(1), "ours");
    assert_eq!(order(&bench), [] as [&str; 0]);
    bench.sign_in_again(false);
    assert_eq!(order(&bench), ["servers", "say"]);
}

#[test]
fn a_sign_in_that_is_refused_for_good_ends_the_call_and_one_that_is_tried_again_does_not() {
    let mut bench = dialled_too_soon();
    bench.receive(refused(ErrorCode::TooMany));
    assert_eq!(bench.ended(), None);
    bench.sign_in_again(false);
    assert_eq!(order(&bench), ["servers", "open", "make an offer"]);

    let mut bench = dialled_too_soon();
    bench.receive(refused(ErrorCode::BadSignature));
    assert_eq!(bench.ended(), Some(&EndReason::NotSignedIn));
    assert_eq!((bench.call(), bench.core.poll_timeout()), (None, None));
}

#[test]
fn without_a_link_a_dialled_call_ends_after_65_s_too() {
    let mut bench = Bench::new();
    bench.input(Input::Woke);
    dial(&mut bench);
    bench.pass(64);
    assert_eq!((bench.ended(), bench.call()), (None, Some(id(1))));
    bench.pass(1);
    assert_eq!(bench.ended(), Some(&EndReason::NotSignedIn), "nobody was asked");
    assert_eq!((bench.commands(), bench.sent()), (vec![], vec![]));
}

#[test]
fn the_65_s_run_from_dialling() {
    let mut bench = Bench::new();
    bench.input(Input::Woke);
    dial(&mut bench);
    bench.pass(5);
    bench.sign_in_again(true);
    let since_dialling = 65 - bench.seconds();
    bench.made(id(1), "ours");
    bench.relayed(id(1), &[1]);
    bench.pass(since_dialling - 1);
    assert_eq!(bench.ended(), None);
    bench.pass(1);
    assert_eq!(bench.ended(), Some(&EndReason::NoAnswer(Side::Remote)));
    assert_eq!(bench.closes(), [("bob".to_owned(), CloseReason::Cancelled)]);
}

#[test]
fn both_dial_at_once_and_one_of_them_while_its_link_is_not_up() {
    for (theirs, is_kept) in [(id(2), true), (id(0), false)] {
        let mut bench = Bench::new();
        bench.input(Input::Woke);
        dial(&mut bench);
        bench.sign_in_opened(true);
        bench.offered("bob", theirs, 1);
        if is_kept {
            assert_eq!(bench.closes(), [(device("bob", 1).to_string(), CloseReason::Glare)]);
            bench.made(id(1), "ours");
            assert_eq!(order(&bench), ["say"]);
        } else {
            assert_eq!(bench.closes(), [], "the own call rings nowhere");
            let view = bench.core.view().call.unwrap();
            assert_eq!((view.call, view.people), (theirs, PeopleView::Accepted));
            let commands = bench.commands();
            assert!(matches!(commands[..], [PeerCommand::Close, PeerCommand::Open, PeerCommand::Answer { .. }]));
        }
    }
}

#[test]
fn what_others_say_of_a_call_that_nobody_was_told_of_is_not_heeded() {
    let mut bench = Bench::new();
    bench.input(Input::Woke);
    let Output::DropLink { serial } = bench.out[0] else { panic!("no link is let go in {:?}", bench.out) };
    dial(&mut bench);
    let to = vec![device("bob", 1)];
    let call = Some(id(1).to_string());
    let error = ErrorMessage { code: ErrorCode::Offline, message: "no".into(), call, retry_s: None };
    let lies = [
        ServerMessage::Relayed(ahoy_protocol::message::Relayed { call: id(1), to }),
        ServerMessage::Error(error),
        ServerMessage::Signal(ahoy_protocol::message::Received {
            from: device("bob", 1),
            devices: None,
            age_ms: 0,
            signal: close(id(1), CloseReason::Declined),
        }),
        ServerMessage::Signal(ahoy_protocol::message::Received {
            from: device("bob", 1),
            devices: Some(1),
            age_ms: 0,
            signal: opening("bob", id(1)),
        }),
    ];
    for (seq, message) in (1_000..).zip(lies) {
        bench.input(Input::Link { serial, input: LinkInput::Received { seq: Some(seq), message: Some(message) } });
        assert_eq!(bench.out, []);
    }
    bench.peer(id(1), PeerInput::Made { serial: Serial(1), result: Ok(String::new()) });
    assert_eq!(bench.out, []);
    bench.sign_in_opened(true);
    assert_eq!(order(&bench), ["servers", "open", "make an offer"]);
}
