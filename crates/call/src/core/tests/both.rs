//! Both dial at once, and calling again.

use ahoy_protocol::signal::CloseReason;

use super::bench::{Bench, CONNECTED, close, device, id, name, opening};
use crate::{Command, EndReason, Event, PeerCommand, PeerInput, PeopleView, RefusedReason};

#[test]
fn dialling_a_user_whose_call_is_ringing_here_accepts_that_call() {
    let mut bench = Bench::ringing(id(1));
    bench.command(Command::Dial { call: id(2), to: name("bob"), video: true });
    assert_eq!(bench.events()[0], &Event::GaveWay { dialled: id(2), to: id(1) });
    let view = bench.core.view().call.unwrap();
    assert_eq!((view.call, view.people, view.wanted.video), (id(1), PeopleView::Accepted, true));
}

#[test]
fn the_smaller_id_is_kept_when_its_offer_reached_the_other_device_or_may_have() {
    for relayed in [true, false] {
        let mut bench = Bench::new();
        bench.command(Command::Dial { call: id(1), to: name("bob"), video: true });
        bench.made(id(1), "ours");
        if relayed {
            bench.relayed(id(1), &[1]);
        }
        bench.offered("bob", id(2), 1);
        assert_eq!(bench.closes(), [(device("bob", 1).to_string(), CloseReason::Glare)]);
        assert_eq!(bench.call(), Some(id(1)));
        bench.offered("bob", id(2), 1);
        assert_eq!(bench.out, [], "that call is over");
    }
}

#[test]
fn the_greater_id_gives_way_and_the_other_call_is_accepted_with_what_was_dialled() {
    let mut bench = Bench::dialling(id(2), &[1]);
    bench.offered("bob", id(1), 1);
    assert_eq!(bench.closes(), [("bob".to_owned(), CloseReason::Glare)]);
    assert!(bench.events().contains(&&Event::GaveWay { dialled: id(2), to: id(1) }));
    assert_eq!(bench.ended(), None, "for the user it is one call");
    let view = bench.core.view().call.unwrap();
    assert_eq!((view.call, view.people, view.wanted.video), (id(1), PeopleView::Accepted, true));
    let commands = bench.commands();
    assert!(matches!(commands[..], [PeerCommand::Close, PeerCommand::Open, PeerCommand::Answer { .. }]));
}

#[test]
fn the_smaller_id_gives_way_too_when_its_offer_did_not_reach_the_other_device() {
    let mut bench = Bench::dialling(id(1), &[7]);
    bench.offered("bob", id(2), 1);
    assert_eq!(bench.call(), Some(id(2)));
    assert_eq!(bench.closes(), [("bob".to_owned(), CloseReason::Glare)]);
}

#[test]
fn an_offer_that_proves_nothing_does_not_end_the_own_call() {
    let mut bench = Bench::dialling(id(2), &[1]);
    bench.offered_by(&device("bob", 1), opening("carol", id(1)), 1, 0);
    assert_eq!(bench.call(), Some(id(2)));
    assert_eq!(bench.closes(), [(device("bob", 1).to_string(), CloseReason::Failed)]);
}

#[test]
fn after_glare_for_the_own_call_the_other_is_awaited_for_2_s() {
    let mut bench = Bench::dialling(id(2), &[1, 2]);
    bench.signal(&device("bob", 1), close(id(2), CloseReason::Glare));
    assert_eq!(bench.closes(), [("bob".to_owned(), CloseReason::Glare)], "it rings at no other device any more");
    assert_eq!(bench.core.view().call.unwrap().people, PeopleView::GivingWay);
    bench.pass(1);
    assert_eq!(bench.ended(), None);
    bench.pass(1);
    assert_eq!(bench.ended(), Some(&EndReason::CallingYouElsewhere));
}

#[test]
fn the_call_that_was_awaited_is_accepted_at_once() {
    let mut bench = Bench::dialling(id(2), &[1]);
    bench.signal(&device("bob", 1), close(id(2), CloseReason::Glare));
    bench.offered("bob", id(3), 1);
    assert_eq!(bench.call(), Some(id(3)));
    assert_eq!(bench.core.view().call.unwrap().people, PeopleView::Accepted);
    assert!(bench.closes().is_empty(), "the own call's end was told before");
}

#[test]
fn a_person_who_calls_again_from_the_same_device_rings_anew() {
    let mut bench = Bench::in_call(id(1));
    bench.offered("bob", id(2), 1);
    assert_eq!(bench.ended(), Some(&EndReason::CalledAgain));
    assert_eq!(bench.closes(), [(device("bob", 1).to_string(), CloseReason::Failed)]);
    assert_eq!(bench.core.view().call.unwrap().people, PeopleView::RingingHere);
}

#[test]
fn a_stranger_who_was_accepted_and_calls_again_rings_anew() {
    let mut bench = Bench::new();
    bench.offered("carol", id(1), 1);
    bench.command(Command::Accept { call: id(1), video: true });
    bench.made(id(1), "ours");
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    bench.pass(20);
    assert_eq!(bench.ended(), None);
    bench.offered("carol", id(2), 1);
    let events = bench.events();
    assert_eq!(events[0], &Event::Ended { call: id(1), reason: EndReason::CalledAgain });
    assert!(matches!(events[1..], [Event::Incoming { call, .. }] if *call == id(2)), "{events:?}");
    bench.command(Command::Decline { call: id(2) });
    bench.offered("carol", id(3), 1);
    let reason = RefusedReason::TooOften;
    assert_eq!(bench.events(), [&Event::Refused { call: id(3), from: name("carol"), reason }], "that one was declined");
}

#[test]
fn from_another_device_they_ring_anew_only_while_the_call_has_no_path() {
    let mut bench = Bench::in_call(id(1));
    bench.offered_by(&device("bob", 2), opening("bob", id(2)), 1, 0);
    assert_eq!(bench.closes(), [(device("bob", 2).to_string(), CloseReason::Busy)]);
    assert_eq!(bench.call(), Some(id(1)));
    bench.peer(id(1), PeerInput::Path(crate::PathState::Lost));
    bench.offered_by(&device("bob", 2), opening("bob", id(3)), 1, 0);
    assert_eq!(bench.call(), Some(id(3)));
}

#[test]
fn a_person_who_calls_again_too_often_ends_the_old_call_all_the_same() {
    let mut bench = Bench::in_call(id(1));
    for number in 2..10 {
        bench.offered("bob", id(number), 1);
    }
    assert_eq!(bench.call(), None, "neither the old call, whose other side is gone, nor one more ring");
}
